//! `count_min_accumulate(item, epsilon, delta)`: the Count-Min table (BYTEA) of a group. NULL if a parameter is out of range.

use crate::glue::{Columns, Function, Outcome, Run, Type, Value, count_min};

#[rust_analyzer::udf]
#[allow(dead_code, unused_variables)]
fn count_min_accumulate(
    item: Vec<Option<&str>>,
    epsilon: Vec<Option<f64>>,
    delta: Vec<Option<f64>>,
) -> Option<Vec<u8>> {
    None // Arroyo reads the name and the types here, and runs FUNCTION.
}

pub(crate) const FUNCTION: Function = Function {
    name: "count_min_accumulate",
    arguments: &[("item", Type::Text), ("epsilon", Type::Number), ("delta", Type::Number)],
    returns: Type::Bytes,
    run: Run::Group(run),
};

fn run(columns: &Columns) -> Outcome {
    let (epsilon, delta) = (columns.share(1)?, columns.share(2)?);
    Ok(Some(Value::Bytes(count_min(columns, epsilon, delta)?.to_bytes())))
}
