//! `approx_top_sum(item, weight, k)`: the k items with the largest sums of weights in a group, as an answer (JSON text). Tracks max(1024, 8k) items.

use crate::glue::{Columns, Function, Outcome, Run, Type, Value, top_k};
use crate::sketch::MAX_CAPACITY;

#[rust_analyzer::udf]
#[allow(dead_code, unused_variables)]
fn approx_top_sum(item: Vec<Option<&str>>, weight: Vec<Option<i64>>, k: Vec<Option<i64>>) -> Option<String> {
    None // Arroyo reads the name and the types here, and runs FUNCTION.
}

pub(crate) const FUNCTION: Function = Function {
    name: "approx_top_sum",
    arguments: &[("item", Type::Text), ("weight", Type::Integer), ("k", Type::Integer)],
    returns: Type::Text,
    run: Run::Group(run),
};

/// As on the embedded engine: enough items that the leaders of skewed streams come out with tight bounds.
fn run(columns: &Columns) -> Outcome {
    let k = columns.literal(2, MAX_CAPACITY / 8)?;
    let sketch = top_k(columns, Some(1), (8 * k).clamp(1024, MAX_CAPACITY))?;
    let answer = sketch.answer(k).map_err(|error| error.to_string())?;
    Ok(Some(Value::Text(answer.to_json())))
}
