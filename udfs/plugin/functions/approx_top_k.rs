//! `approx_top_k(item, k)`: the k items that occur most often in a group, as an answer (JSON text). Tracks max(1024, 8k) items.

use crate::glue::{Columns, Function, Outcome, Run, Type, Value, top_k};
use crate::sketch::MAX_CAPACITY;

#[rust_analyzer::udf]
#[allow(dead_code, unused_variables)]
fn approx_top_k(item: Vec<Option<&str>>, k: Vec<Option<i64>>) -> Option<String> {
    None // Arroyo reads the name and the types here, and runs FUNCTION.
}

pub(crate) const FUNCTION: Function = Function {
    name: "approx_top_k",
    arguments: &[("item", Type::Text), ("k", Type::Integer)],
    returns: Type::Text,
    run: Run::Group(run),
};

/// As on the embedded engine: enough items that the leaders of skewed streams come out with tight bounds.
fn run(columns: &Columns) -> Outcome {
    let k = columns.literal(1, MAX_CAPACITY / 8)?;
    let sketch = top_k(columns, None, (8 * k).clamp(1024, MAX_CAPACITY))?;
    let answer = sketch.answer(k).map_err(|error| error.to_string())?;
    Ok(Some(Value::Text(answer.to_json())))
}
