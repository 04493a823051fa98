//! The functions over JSON: those of `datafusion-functions-json` (`json_get`, `json_get_str`, `->`, ...), and by JSONPath
//! those that Arroyo has beside them.

mod path;
mod value;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion_functions_json::udfs;

/// The functions by JSONPath.
pub(crate) fn path_functions() -> Vec<Arc<ScalarUDF>> {
    path::functions()
}

/// The functions of `datafusion-functions-json`.
pub(crate) fn get_functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        udfs::json_as_text_udf(),
        udfs::json_contains_udf(),
        udfs::json_from_scalar_udf(),
        udfs::json_get_udf(),
        udfs::json_get_array_udf(),
        udfs::json_get_bool_udf(),
        udfs::json_get_float_udf(),
        udfs::json_get_int_udf(),
        udfs::json_get_json_udf(),
        udfs::json_get_str_udf(),
        udfs::json_length_udf(),
        udfs::json_object_keys_udf(),
        udfs::json_union_to_text_udf(),
    ]
}
