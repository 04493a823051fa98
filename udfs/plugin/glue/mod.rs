//! Between Arroyo's columns and a function of Hitters.
//!
//! Arroyo loads a library and calls `__run` with whole columns, through the Arrow C data interface: all rows of a record batch
//! for a scalar function, all rows of a group for an aggregate. The attribute that comes with `arroyo-udf-plugin` would write
//! `__run` itself, but it knows no lists of text or bytes, and it takes NULLs out of each column by itself, so that rows no
//! longer match. So the marked function of a file only tells Arroyo its name and types, and [`FUNCTION`](crate::FUNCTION) says
//! what runs.
//!
//! Invariant: nothing here or behind it panics into Arroyo, which would restart the job from its last checkpoint, meet the same
//! row and restart it again. What goes wrong becomes a JSON object with an `error` where text comes out, NULL elsewhere.

mod columns;
mod rows;

use std::panic::{AssertUnwindSafe, catch_unwind};

use arroyo_udf_plugin::arrow::array::{Array, ArrayData, BinaryArray, Int64Array, StringArray};
use arroyo_udf_plugin::{FfiArraySchema, FfiArrays, RunResult};

pub(crate) use columns::Columns;
pub(crate) use rows::{batch_sketches, count_min, top_k};

/// An SQL type that goes in or comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// TEXT.
    Text,
    /// BYTEA.
    Bytes,
    /// BIGINT.
    Integer,
    /// DOUBLE.
    Number,
}

/// A value that comes out.
pub(crate) enum Value {
    /// TEXT.
    Text(String),
    /// BYTEA.
    Bytes(Vec<u8>),
    /// BIGINT.
    Integer(i64),
}

/// One result: a value, NULL, or why there is none.
pub(crate) type Outcome = Result<Option<Value>, String>;

/// How a function runs.
pub(crate) enum Run {
    /// Row by row.
    Rows(fn(&Columns, usize) -> Outcome),
    /// Over a whole record batch, with a result for each row.
    Batch(fn(&Columns) -> Result<Vec<Option<Value>>, String>),
    /// Over the rows of a group, with one result: an aggregate.
    Group(fn(&Columns) -> Outcome),
}

/// A function of SQL.
pub(crate) struct Function {
    /// Its name, for errors.
    pub name: &'static str,
    /// Names and types of what goes in.
    pub arguments: &'static [(&'static str, Type)],
    /// The type of what comes out.
    pub returns: Type,
    /// How it runs.
    pub run: Run,
}

/// What Arroyo calls.
///
/// `RunResult::Err` comes out only if the columns themselves cannot be read, because the caller speaks another interface.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn __run(arguments: FfiArrays) -> RunResult {
    let result = catch_unwind(AssertUnwindSafe(|| {
        FfiArraySchema::from_data(call(&crate::FUNCTION, arguments.into_vec()))
    }));
    match result {
        Ok(column) => RunResult::Ok(column),
        Err(_) => RunResult::Err,
    }
}

fn call(function: &Function, arguments: Vec<ArrayData>) -> ArrayData {
    let rows = match function.run {
        Run::Group(_) => 1,
        Run::Rows(_) | Run::Batch(_) => arguments.first().map_or(0, ArrayData::len),
    };
    let outcomes = catch_unwind(AssertUnwindSafe(|| {
        let columns = Columns::new(function, arguments)?;
        match function.run {
            Run::Group(run) => Ok(vec![run(&columns)]),
            Run::Rows(run) => Ok((0..rows).map(|row| run(&columns, row)).collect()),
            Run::Batch(run) => Ok(run(&columns)?.into_iter().map(Ok).collect::<Vec<_>>()),
        }
    }));
    let outcomes = outcomes.unwrap_or_else(|_| Err("an error in the function itself; please report it".to_owned()));
    let built = catch_unwind(|| match outcomes {
        Ok(outcomes) if outcomes.len() == rows => column(function, outcomes.into_iter()),
        Ok(_) => column(function, (0..rows).map(|_| Ok(None))),
        Err(error) => column(function, (0..rows).map(|_| Err(error.clone()))),
    });
    // Text of more than 2 GiB in one column.
    built.unwrap_or_else(|_| column(function, (0..rows).map(|_| Ok(None))))
}

fn column(function: &Function, outcomes: impl Iterator<Item = Outcome>) -> ArrayData {
    match function.returns {
        Type::Text => {
            let texts = outcomes.map(|outcome| match outcome {
                Ok(Some(Value::Text(text))) => Some(text),
                Ok(_) => None,
                Err(error) => Some(failure(function.name, &error)),
            });
            texts.collect::<StringArray>().to_data()
        }
        Type::Bytes => {
            let bytes = outcomes.map(|outcome| match outcome {
                Ok(Some(Value::Bytes(bytes))) => Some(bytes),
                _ => None,
            });
            bytes.collect::<BinaryArray>().to_data()
        }
        Type::Integer | Type::Number => {
            let integers = outcomes.map(|outcome| match outcome {
                Ok(Some(Value::Integer(integer))) => Some(integer),
                _ => None,
            });
            integers.collect::<Int64Array>().to_data()
        }
    }
}

/// `{"format":1,"error":"..."}`.
fn failure(function: &str, error: &str) -> String {
    let mut json = String::from("{\"format\":1,\"error\":\"");
    for character in function.chars().chain(": ".chars()).chain(error.chars()) {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            control if control < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => json.push(other),
        }
    }
    json.push_str("\"}");
    json
}
