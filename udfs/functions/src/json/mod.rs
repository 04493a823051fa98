//! The functions over JSON text: by keys and indexes (`json_get`, `json_get_str`, `->`, ...), and by JSONPath.
//!
//! The former behave as those of the crate `datafusion-functions-json`, which Arroyo has, and are tested side by side with them; that crate itself
//! would bring all of DataFusion, whose sources and catalogs nothing here uses, into every build.

mod access;
mod find;
mod input;
mod operators;
mod path;
mod union;
mod value;

use std::sync::{Arc, LazyLock};

use datafusion_common::Result;
use datafusion_expr::ScalarUDF;
use datafusion_expr::registry::FunctionRegistry;

use access::{Access, Accessor};
use union::{FromScalar, ToText};

pub(crate) use union::json_union;

/// One of each, so that equal calls are the same function.
static ACCESSORS: LazyLock<[Arc<ScalarUDF>; Access::ALL.len()]> =
    LazyLock::new(|| Access::ALL.map(|access| Arc::new(ScalarUDF::new_from_impl(Accessor::new(access)))));
static TO_TEXT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(ToText::new())));
static FROM_SCALAR: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(FromScalar::new())));

fn accessor(access: Access) -> Arc<ScalarUDF> {
    Arc::clone(&ACCESSORS[access as usize])
}

/// `json_union_to_text`, which makes JSON text of what `json_get` returns.
pub(crate) fn union_to_text() -> Arc<ScalarUDF> {
    Arc::clone(&TO_TEXT)
}

/// The functions by JSONPath.
pub(crate) fn path_functions() -> Vec<Arc<ScalarUDF>> {
    path::functions()
}

/// The functions by keys and indexes.
pub(crate) fn get_functions() -> Vec<Arc<ScalarUDF>> {
    let mut all = ACCESSORS.to_vec();
    all.extend([Arc::clone(&FROM_SCALAR), union_to_text()]);
    all
}

/// Registers the functions by keys and indexes, the operators, and what makes their calls cheaper.
pub(crate) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in get_functions() {
        registry.register_udf(function)?;
    }
    registry.register_function_rewrite(Arc::new(operators::Rewrite))?;
    registry.register_expr_planner(Arc::new(operators::Operators))
}
