//! `approx_top_k_estimate(sketch, k)`: the k leading items of a sketch, as an answer (JSON text). NULL in, NULL out.

use crate::glue::{Columns, Function, Outcome, Run, Type, Value};
use crate::sketch::TopK;

#[rust_analyzer::udf]
#[allow(dead_code, unused_variables)]
fn approx_top_k_estimate(sketch: Option<&[u8]>, k: Option<i64>) -> Option<String> {
    None // Arroyo reads the name and the types here, and runs FUNCTION.
}

pub(crate) const FUNCTION: Function = Function {
    name: "approx_top_k_estimate",
    arguments: &[("sketch", Type::Bytes), ("k", Type::Integer)],
    returns: Type::Text,
    run: Run::Rows(run),
};

fn run(columns: &Columns, row: usize) -> Outcome {
    let (Some(bytes), Some(k)) = (columns.bytes(0, row), columns.integer(1, row)) else {
        return Ok(None);
    };
    let sketch = TopK::from_bytes(bytes).map_err(|error| format!("not a sketch: {error}"))?;
    let k = usize::try_from(k).map_err(|_| format!("k must be 1 or more, not {k}"))?;
    let answer = sketch.answer(k).map_err(|error| error.to_string())?;
    Ok(Some(Value::Text(answer.to_json())))
}
