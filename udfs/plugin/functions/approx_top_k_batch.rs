//! `approx_top_k_batch(item, bin, max_items)`: one sketch (BYTEA) for each bin of a record batch, at the bin's first row, NULL elsewhere.
//!
//! A scalar function that looks at its whole batch on purpose. It runs before the shuffle, so that only sketches travel and only
//! sketches wait in the window's state; `approx_top_k_combine` merges them. All rows are NULL if max_items is out of range.

use crate::glue::{Function, Run, Type, batch_sketches};

#[rust_analyzer::udf]
#[allow(dead_code, unused_variables)]
fn approx_top_k_batch(item: Option<&str>, bin: Option<&str>, max_items: Option<i64>) -> Option<Vec<u8>> {
    None // Arroyo reads the name and the types here, and runs FUNCTION.
}

pub(crate) const FUNCTION: Function = Function {
    name: "approx_top_k_batch",
    arguments: &[("item", Type::Text), ("bin", Type::Text), ("max_items", Type::Integer)],
    returns: Type::Bytes,
    run: Run::Batch(|columns| batch_sketches(columns, None)),
};
