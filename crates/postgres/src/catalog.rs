//! What SQL finds by name: the tables of the schema `public`, and the table functions.

use crate::conditions;
use crate::faults::Refused;
use crate::functions::{self, Function};
use crate::session::{self, Session};
use crate::table::{Subject, Table};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use hitters_results::{Filter, group};
use hitters_service::Pairs;
use hitters_service::Problem;
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;

/// The table of pipelines.
const PIPELINES: &str = "pipelines";

/// The tables that a connection sees: one for each pipeline, and that of the pipelines.
#[derive(Debug)]
pub struct Tables {
    session: Arc<Session>,
}

impl Tables {
    /// Of a connection.
    pub fn new(session: Arc<Session>) -> Self {
        Self { session }
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.session.names().unwrap_or_default();
        names.push(PIPELINES.into());
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let session = self.session.clone();
        if name == PIPELINES {
            return Ok(Some(Arc::new(Table::new(session, Subject::Pipelines, Vec::new()))));
        }
        // While no store can be asked, that is what is wrong, and not the name.
        let names = session.names().map_err(Refused)?;
        let Some(groups) = functions::find("groups").filter(|_| names.iter().any(|known| known == name)) else {
            return Ok(None);
        };
        let edge = session.questions.edge(name).await.map_err(Refused)?;
        let pipeline = name.to_owned();
        let table = Table::new(
            session,
            Subject::Newest { groups, pipeline },
            session::dimensions(&edge),
        );
        Ok(Some(Arc::new(table)))
    }

    fn table_exist(&self, name: &str) -> bool {
        name == PIPELINES
            || self
                .session
                .names()
                .is_ok_and(|names| names.iter().any(|known| known == name))
    }
}

/// A table function of a connection. Its arguments stand in their places (`calls`).
#[derive(Debug)]
pub struct Callable {
    session: Arc<Session>,
    function: &'static Function,
}

impl Callable {
    /// Of a connection.
    pub fn new(session: Arc<Session>, function: &'static Function) -> Self {
        Self { session, function }
    }

    fn table(&self, arguments: &[Expr]) -> Result<Table, Refused> {
        let function = self.function;
        let wide = matches!(
            arguments.last(),
            Some(Expr::Literal(ScalarValue::Boolean(Some(true)), _))
        );
        let mut given: Pairs = Vec::new();
        let names = ["pipeline"].into_iter().chain(function.arguments.iter().copied());
        for (name, argument) in names.zip(arguments) {
            given.extend(argument_text(function, name, argument)?.map(|text| (name.to_owned(), text)));
        }
        let mut take = |name: &str| {
            let found = given.iter().position(|(known, _)| known == name);
            found.map(|place| given.remove(place).1)
        };
        let (pipeline, key) = (take("pipeline"), take("group_key"));
        if pipeline.is_none() && !wide {
            let detail = format!("which pipeline? {} begins with its name", function.signature());
            return Err(Problem::parameter("pipeline", detail, json!(self.session.names().unwrap_or_default())).into());
        }
        let dimensions = self.session.dimensions(pipeline.as_deref().filter(|_| !wide))?;
        let subject = Subject::Call {
            function,
            pipeline,
            pairs: given,
            group: Filter(
                group::values(key.as_deref().unwrap_or(group::ALL))
                    .into_iter()
                    .collect(),
            ),
        };
        Ok(Table::new(self.session.clone(), subject, dimensions))
    }
}

impl TableFunctionImpl for Callable {
    fn call_with_args(&self, arguments: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        Ok(Arc::new(self.table(arguments.exprs())?))
    }
}

/// An argument as REST takes it; `None` is NULL.
fn argument_text(function: &Function, name: &str, argument: &Expr) -> Result<Option<String>, Refused> {
    let refused = |why: String| {
        let detail = format!("the argument '{name}' of {} {why}", function.name);
        Refused(Problem::new(
            StatusCode::BAD_REQUEST,
            "not-constant",
            "an argument is not to be had",
            detail,
        ))
    };
    let Expr::Literal(value, _) = argument else {
        return Err(refused(format!("is {argument}, and has to be a constant")));
    };
    if value.is_null() {
        return Ok(None);
    }
    if let Some(at) = conditions::millis(value) {
        return Ok(Some(at.to_string()));
    }
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Ok(Some(as_time(name, text)))
        }
        ScalarValue::IntervalMonthDayNano(Some(span)) if span.months == 0 => {
            let seconds = i64::from(span.days) * 86_400 + span.nanoseconds / 1_000_000_000;
            Ok(Some(format!("{seconds}s")))
        }
        ScalarValue::IntervalMonthDayNano(_) => {
            Err(refused("has months, which are of no fixed length; write days".into()))
        }
        ScalarValue::Int8(_)
        | ScalarValue::Int16(_)
        | ScalarValue::Int32(_)
        | ScalarValue::Int64(_)
        | ScalarValue::UInt8(_)
        | ScalarValue::UInt16(_)
        | ScalarValue::UInt32(_)
        | ScalarValue::UInt64(_)
        | ScalarValue::Float32(_)
        | ScalarValue::Float64(_)
        | ScalarValue::Decimal128(..)
        | ScalarValue::Date32(_) => Ok(Some(value.to_string())),
        other => Err(refused(format!("has the type {}", other.data_type()))),
    }
}

/// PostgreSQL writes a time with a space where RFC 3339 has a T, and hours alone in its offset.
fn as_time(name: &str, text: &str) -> String {
    if !matches!(name, "from" | "to" | "against") || !text.contains(' ') {
        return text.to_owned();
    }
    let text = text.replacen(' ', "T", 1);
    let short = text.len() > 3 && text.is_char_boundary(text.len() - 3) && {
        let end = &text[text.len() - 3..];
        end.starts_with(['+', '-']) && end[1..].bytes().all(|byte| byte.is_ascii_digit()) && text.contains(':')
    };
    if short { format!("{text}:00") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::lit;

    #[test]
    fn arguments_are_texts_of_rest() {
        let function = functions::find("top_k").unwrap();
        let text =
            |name: &str, value: Expr| argument_text(function, name, &value).map_err(|refused| refused.to_string());
        let at = ScalarValue::TimestampNanosecond(Some(1_769_860_800_000_000_000), Some("UTC".into()));
        let hour = ScalarValue::new_interval_mdn(0, 1, 3_600_000_000_000);
        for (name, value, expected) in [
            ("k", lit(5_i64), Some("5")),
            ("last", lit("1h"), Some("1h")),
            ("last", lit(hour), Some("90000s")),
            ("from", lit(at), Some("1769860800000")),
            ("from", lit("2026-01-31 12:00:00+01"), Some("2026-01-31T12:00:00+01:00")),
            ("from", lit("2026-01-31 12:00:00.5"), Some("2026-01-31T12:00:00.5")),
            ("from", lit("2026-01-31"), Some("2026-01-31")),
            ("set", lit("a, b"), Some("a, b")),
            ("to", lit(ScalarValue::Null), None),
        ] {
            assert_eq!(text(name, value), Ok(expected.map(str::to_owned)), "{name}");
        }
        assert!(
            text("last", lit(ScalarValue::new_interval_mdn(1, 0, 0)))
                .unwrap_err()
                .contains("months")
        );
        assert!(text("k", lit(true)).unwrap_err().contains("type"));
        assert!(
            text("k", datafusion::prelude::col("x"))
                .unwrap_err()
                .contains("constant")
        );
    }
}
