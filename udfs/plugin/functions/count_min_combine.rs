//! `count_min_combine(sketch)`: one of many Count-Min tables. NULLs add nothing.
//!
//! NULL if one of them cannot be read or does not fit the others: a sum that lacks a part would have bounds that do not hold.

use crate::glue::{Columns, Function, Outcome, Run, Type, Value};
use crate::sketch::CountMin;

#[rust_analyzer::udf]
#[allow(dead_code, unused_variables)]
fn count_min_combine(sketch: Vec<Option<&[u8]>>) -> Option<Vec<u8>> {
    None // Arroyo reads the name and the types here, and runs FUNCTION.
}

pub(crate) const FUNCTION: Function = Function {
    name: "count_min_combine",
    arguments: &[("sketch", Type::Bytes)],
    returns: Type::Bytes,
    run: Run::Group(run),
};

fn run(columns: &Columns) -> Outcome {
    let mut all: Option<CountMin> = None;
    for bytes in (0..columns.rows()).filter_map(|row| columns.bytes(0, row)) {
        let one = CountMin::from_bytes(bytes).map_err(|error| error.to_string())?;
        match &mut all {
            None => all = Some(one),
            Some(all) => all.merge(&one).map_err(|error| error.to_string())?,
        }
    }
    Ok(all.map(|all| Value::Bytes(all.to_bytes())))
}
