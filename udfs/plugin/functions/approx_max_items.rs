//! `approx_max_items(epsilon, delta)`: how many items a sketch must track for a wanted precision (BIGINT). NULL if there is no such number.

use crate::glue::{Columns, Function, Outcome, Run, Type, Value};
use crate::sketch::max_items;

#[rust_analyzer::udf]
#[allow(dead_code, unused_variables)]
fn approx_max_items(epsilon: Option<f64>, delta: Option<f64>) -> Option<i64> {
    None // Arroyo reads the name and the types here, and runs FUNCTION.
}

pub(crate) const FUNCTION: Function = Function {
    name: "approx_max_items",
    arguments: &[("epsilon", Type::Number), ("delta", Type::Number)],
    returns: Type::Integer,
    run: Run::Rows(run),
};

fn run(columns: &Columns, row: usize) -> Outcome {
    let (Some(epsilon), Some(delta)) = (columns.number(0, row), columns.number(1, row)) else {
        return Ok(None);
    };
    let items = max_items(epsilon, delta).map_err(|error| error.to_string())?;
    Ok(i64::try_from(items).ok().map(Value::Integer))
}
