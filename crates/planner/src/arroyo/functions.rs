//! Which functions Arroyo knows, and under which names.
//!
//! It registers DataFusion's functions (version 48), those of `datafusion-functions-json` and its own by their main names
//! alone, so that aliases such as `length` are unknown there. Functions of this project and of users are sent along.

use super::findings::Findings;
use crate::error::Error;
use crate::fault;
use crate::functions::{Functions, Registry};
use crate::syntax::place_known;
use datafusion_sql::sqlparser::ast::{Expr, Function, Spanned, Visit, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Scalar, aggregate and window functions by their main names, in order.
const BUILT_IN: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "array_agg",
    "array_any_value",
    "array_append",
    "array_concat",
    "array_dims",
    "array_distance",
    "array_distinct",
    "array_element",
    "array_except",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_intersect",
    "array_length",
    "array_max",
    "array_ndims",
    "array_pop_back",
    "array_pop_front",
    "array_position",
    "array_positions",
    "array_prepend",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_repeat",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
    "array_resize",
    "array_reverse",
    "array_slice",
    "array_sort",
    "array_to_string",
    "array_union",
    "arrow_cast",
    "arrow_typeof",
    "ascii",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "avg",
    "bit_and",
    "bit_length",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "btrim",
    "cardinality",
    "cbrt",
    "ceil",
    "character_length",
    "chr",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "corr",
    "cos",
    "cosh",
    "cot",
    "count",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "current_date",
    "current_time",
    "date_bin",
    "date_part",
    "date_trunc",
    "decode",
    "degrees",
    "dense_rank",
    "digest",
    "empty",
    "encode",
    "ends_with",
    "exp",
    "extract_json",
    "extract_json_string",
    "factorial",
    "find_in_set",
    "first_value",
    "flatten",
    "floor",
    "from_unixtime",
    "gcd",
    "generate_series",
    "get_field",
    "get_first_json_object",
    "greatest",
    "grouping",
    "hop",
    "initcap",
    "isnan",
    "iszero",
    "json_as_text",
    "json_contains",
    "json_get",
    "json_get_bool",
    "json_get_float",
    "json_get_int",
    "json_get_json",
    "json_get_str",
    "json_length",
    "json_object_keys",
    "lag",
    "last_value",
    "lcm",
    "lead",
    "least",
    "left",
    "levenshtein",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "lpad",
    "ltrim",
    "make_array",
    "make_date",
    "make_map",
    "map",
    "map_extract",
    "map_keys",
    "map_values",
    "max",
    "md5",
    "median",
    "min",
    "multi_hash",
    "named_struct",
    "nanvl",
    "now",
    "nth_value",
    "ntile",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "overlay",
    "percent_rank",
    "pi",
    "power",
    "radians",
    "random",
    "range",
    "rank",
    "regexp_count",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "row_number",
    "row_time",
    "rpad",
    "rtrim",
    "session",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "signum",
    "sin",
    "sinh",
    "split_part",
    "sqrt",
    "starts_with",
    "stddev",
    "stddev_pop",
    "string_agg",
    "string_to_array",
    "strpos",
    "struct",
    "substr",
    "substr_index",
    "sum",
    "tan",
    "tanh",
    "to_char",
    "to_date",
    "to_hex",
    "to_local_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "translate",
    "trunc",
    "tumble",
    "union_extract",
    "union_tag",
    "unnest",
    "upper",
    "uuid",
    "var",
    "var_pop",
    "version",
];

/// The functions of one check.
pub(crate) struct Known {
    /// Names of functions that are sent along.
    sent: BTreeSet<String>,
    /// Every name of the embedded engine, with the main name of its function.
    main: BTreeMap<String, String>,
}

impl Known {
    pub(crate) fn new(functions: &Functions, registry: &Registry) -> Self {
        // The JSON functions come with Arroyo, in its version: those that it lacks cannot be sent.
        let mut json = Registry::default();
        let registered = hitters_functions::register_json(&mut json);
        debug_assert!(registered.is_ok());
        let scalars = functions.scalar.iter().map(|f| f.name());
        let names = scalars.chain(functions.aggregate.iter().map(|f| f.name()));
        let sent = names
            .filter(|name| !json.scalars.contains_key(*name))
            .map(str::to_string);
        let scalars = registry
            .scalars
            .iter()
            .map(|(name, f)| (name.clone(), f.name().to_string()));
        let aggregates = registry
            .aggregates
            .iter()
            .map(|(name, f)| (name.clone(), f.name().to_string()));
        Self {
            sent: sent.collect(),
            main: scalars.chain(aggregates).collect(),
        }
    }

    /// Whether the function goes to the cluster with the pipeline.
    pub(crate) fn is_sent(&self, name: &str) -> bool {
        self.sent.contains(name)
    }

    /// Every call in a tree.
    pub(crate) fn check(&self, tree: &impl Visit, found: &mut Findings) {
        let _ = tree.visit(&mut Calls { known: self, found });
    }

    /// What is wrong with a name; nothing also if nobody knows it, which is reported already.
    fn fault(&self, name: &str) -> Option<Error> {
        if BUILT_IN.binary_search(&name).is_ok() || self.is_sent(name) {
            return None;
        }
        let main = self.main.get(name)?;
        if main != name && BUILT_IN.binary_search(&main.as_str()).is_ok() {
            let fault = Error::new(format!("Arroyo knows {name}() only by its other name"));
            return Some(fault.hint(format!("write {main}")));
        }
        let fault = Error::new(format!("Arroyo has no function {name}"));
        Some(match fault::nearest(name, BUILT_IN.iter().copied()) {
            Some(near) => fault.hint(format!(
                "it has {near}; or write the function yourself and name its file in functions = [...]"
            )),
            None => fault
                .hint("compute it with others, or write the function yourself and name its file in functions = [...]"),
        })
    }
}

struct Calls<'k, 'f> {
    known: &'k Known,
    found: &'f mut Findings,
}

impl Visitor for Calls<'_, '_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(Function { name, .. }) => {
                if let Some(ident) = name.0.last().and_then(|part| part.as_ident())
                    && let Some(fault) = self.known.fault(&ident.value.to_lowercase())
                {
                    self.found.error(fault.at(place_known(ident.span)));
                }
            }
            // The parser knows TRIM; Arroyo's planner looks for a function of that name, which is an alias.
            Expr::Trim { trim_where: None, .. } => {
                let fault =
                    Error::new("Arroyo knows trim() only by its other name").hint("write btrim, or TRIM(BOTH ...)");
                self.found.error(fault.at(place_known(expr.span())));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_order_so_that_they_are_found() {
        assert!(BUILT_IN.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn every_name_is_one_of_the_embedded_engine_or_one_that_it_leaves_out() {
        let functions = Functions::hitters();
        let registry = Registry::new(&functions).unwrap();
        let known = Known::new(&functions, &registry);
        let lacking: Vec<_> = BUILT_IN
            .iter()
            .filter(|name| !known.main.contains_key(**name) && !registry.windows.contains_key(**name))
            .collect();
        // Planned by name, not as functions; and what Arroyo alone has.
        assert_eq!(lacking, [&"make_map", &"multi_hash", &"unnest"]);
    }
}
