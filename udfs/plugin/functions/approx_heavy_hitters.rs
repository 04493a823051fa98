//! `approx_heavy_hitters(sketch, phi)`: all items of a sketch that may have more than the share phi, as an answer (JSON text).

use crate::glue::{Columns, Function, Outcome, Run, Type, Value};
use crate::sketch::TopK;

#[rust_analyzer::udf]
#[allow(dead_code, unused_variables)]
fn approx_heavy_hitters(sketch: Option<&[u8]>, phi: Option<f64>) -> Option<String> {
    None // Arroyo reads the name and the types here, and runs FUNCTION.
}

pub(crate) const FUNCTION: Function = Function {
    name: "approx_heavy_hitters",
    arguments: &[("sketch", Type::Bytes), ("phi", Type::Number)],
    returns: Type::Text,
    run: Run::Rows(run),
};

fn run(columns: &Columns, row: usize) -> Outcome {
    let (Some(bytes), Some(phi)) = (columns.bytes(0, row), columns.number(1, row)) else {
        return Ok(None);
    };
    let sketch = TopK::from_bytes(bytes).map_err(|error| format!("not a sketch: {error}"))?;
    let answer = sketch.heavy_hitters(phi).map_err(|error| error.to_string())?;
    Ok(Some(Value::Text(answer.to_json())))
}
