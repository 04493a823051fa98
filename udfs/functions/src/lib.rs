//! The SQL functions of Hitters: heavy hitters and Count-Min over sketches, and parts of JSON.
//!
//! Arrow in, Arrow out: aggregates and scalars of DataFusion, for whatever plans and runs them. Nothing here knows windows,
//! event time, threads or I/O.
//!
//! ```sql
//! SELECT approx_top_k(page, 10) FROM hits;                                   -- the answer at once
//! SELECT region, approx_top_k_accumulate(page, 1024) AS s FROM hits GROUP BY region;   -- sketches to keep,
//! SELECT approx_top_k_estimate(approx_top_k_combine(s), 10) FROM sketches;   -- to combine and to ask
//! ```
//!
//! # Types
//!
//! TEXT comes out as `Utf8View`, BYTEA as `BinaryView`. An item may be of any type that is one value: text and bytes are
//! counted as they are, integers as BIGINT, anything else by its SQL text. Weights are BIGINT.
//!
//! # Rows that do not count
//!
//! A NULL item, a NULL or a negative weight: the row is skipped, and the answer's `skipped` counts it. Rows that a
//! `FILTER (WHERE ...)` drops leave no trace.
//!
//! # Order and state
//!
//! A sketch is a function of the sequence of its group's rows: where batches are cut changes no byte. The state of a group is
//! one BYTEA; state, merge into an empty accumulator, go on gives the bytes of never having stopped.
//!
//! # Errors
//!
//! Wrong calls are `DataFusionError::Plan`: types while the logical plan is made, literals (`k`, `max_items`, `epsilon`,
//! `delta`) when the accumulator of an aggregate is created, which a planner does once for this check. Wrong data, such as bytes
//! that are no sketch, are `DataFusionError::Execution`. All begin with the function's name.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod aggregate;
mod argument;
mod combine;
mod cost;
mod count_min;
mod json;
mod lookup;
mod manual;
mod scalar;
mod top_k;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_expr::registry::FunctionRegistry;
use datafusion_expr::{AggregateUDF, ScalarUDF};

pub use aggregate::{Frozen, freeze};
pub use cost::{Bound, Cost, cost, cost_of};

/// All aggregate functions.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let mut all = top_k::aggregates();
    all.extend(count_min::aggregates());
    all
}

/// All scalar functions of this crate: those over sketches, and those by JSONPath.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let mut all = top_k::scalars();
    all.extend(count_min::scalars());
    all.extend(json::path_functions());
    all
}

/// All functions over JSON: those by JSONPath, and those by keys and indexes, whose operators (`->`, `->>`, `#>`, `#>>`, `?`)
/// come with [`register`] only.
pub fn json_functions() -> Vec<Arc<ScalarUDF>> {
    let mut all = json::path_functions();
    all.extend(json::get_functions());
    all
}

/// The type of what `json_get` returns: a value of any kind.
pub fn json_union() -> &'static DataType {
    json::json_union()
}

/// The function that makes JSON text of what `json_get` returns.
pub fn json_union_to_text() -> Arc<ScalarUDF> {
    json::union_to_text()
}

/// Registers the JSON functions by keys and indexes, with their operators and what makes calls of them cheaper.
///
/// # Errors
///
/// When the registry takes no functions, no planners of operators, or no rewrites.
pub fn register_json(registry: &mut dyn FunctionRegistry) -> Result<()> {
    json::register(registry)
}

/// Registers everything: aggregates, scalars, JSON functions with their operators and rewrites.
///
/// # Errors
///
/// When the registry takes no functions, no planners of operators, or no rewrites.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    register_json(registry)?;
    for function in scalar_functions() {
        registry.register_udf(function)?;
    }
    for function in aggregate_functions() {
        registry.register_udaf(function)?;
    }
    Ok(())
}
