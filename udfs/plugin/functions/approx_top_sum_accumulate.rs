//! `approx_top_sum_accumulate(item, weight, max_items)`: the sketch (BYTEA) of a group, that tracks max_items items. NULL if max_items is out of range.

use crate::glue::{Columns, Function, Outcome, Run, Type, Value, top_k};
use crate::sketch::MAX_CAPACITY;

#[rust_analyzer::udf]
#[allow(dead_code, unused_variables)]
fn approx_top_sum_accumulate(
    item: Vec<Option<&str>>,
    weight: Vec<Option<i64>>,
    max_items: Vec<Option<i64>>,
) -> Option<Vec<u8>> {
    None // Arroyo reads the name and the types here, and runs FUNCTION.
}

pub(crate) const FUNCTION: Function = Function {
    name: "approx_top_sum_accumulate",
    arguments: &[
        ("item", Type::Text),
        ("weight", Type::Integer),
        ("max_items", Type::Integer),
    ],
    returns: Type::Bytes,
    run: Run::Group(run),
};

fn run(columns: &Columns) -> Outcome {
    let capacity = columns.literal(2, MAX_CAPACITY)?;
    Ok(Some(Value::Bytes(top_k(columns, Some(1), capacity)?.to_bytes())))
}
