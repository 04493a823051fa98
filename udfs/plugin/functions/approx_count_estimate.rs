//! `approx_count_estimate(sketch, item)`: what a sketch knows of one item, tracked or not, as JSON text. NULL in, NULL out.

use crate::glue::{Columns, Function, Outcome, Run, Type, Value};
use crate::sketch::{ItemKind, TopK};

#[rust_analyzer::udf]
#[allow(dead_code, unused_variables)]
fn approx_count_estimate(sketch: Option<&[u8]>, item: Option<&str>) -> Option<String> {
    None // Arroyo reads the name and the types here, and runs FUNCTION.
}

pub(crate) const FUNCTION: Function = Function {
    name: "approx_count_estimate",
    arguments: &[("sketch", Type::Bytes), ("item", Type::Text)],
    returns: Type::Text,
    run: Run::Rows(run),
};

fn run(columns: &Columns, row: usize) -> Outcome {
    let (Some(bytes), Some(item)) = (columns.bytes(0, row), columns.text(1, row)) else {
        return Ok(None);
    };
    let sketch = TopK::from_bytes(bytes).map_err(|error| format!("not a sketch: {error}"))?;
    let estimate = match sketch.kind() {
        // A sketch of the embedded engine: its items may be integers.
        ItemKind::Int64 => sketch.estimate_i64(
            item.parse()
                .map_err(|_| format!("the sketch counts integers, and {item:?} is none"))?,
        ),
        ItemKind::Text | ItemKind::Bytes => sketch.estimate(item.as_bytes()),
    };
    Ok(Some(Value::Text(estimate.to_json())))
}
