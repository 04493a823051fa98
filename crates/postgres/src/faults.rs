//! Errors as PostgreSQL clients know them: a SQLSTATE, what is wrong, and what is allowed.

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion_postgres::pgwire;
use hitters_service::Problem;
use pgwire::error::{ErrorInfo, PgWireError};
use serde_json::Value;

/// A problem on its way through DataFusion.
#[derive(Clone, Debug)]
pub struct Refused(pub Problem);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for Refused {}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<Refused> for DataFusionError {
    fn from(refused: Refused) -> Self {
        Self::External(Box::new(refused))
    }
}

impl From<Refused> for PgWireError {
    fn from(refused: Refused) -> Self {
        said(of_problem(&refused.0))
    }
}

/// The error of a statement that is not allowed or not understood.
pub fn error(code: &str, message: impl Into<String>, hint: &str) -> PgWireError {
    let mut info = ErrorInfo::new("ERROR".into(), code.into(), message.into());
    info.hint = (!hint.is_empty()).then(|| hint.to_owned());
    said(info)
}

/// The error that ends a connection.
pub fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    said(ErrorInfo::new("FATAL".into(), code.into(), message.into()))
}

/// An error of DataFusion.
pub fn planning(error: DataFusionError) -> PgWireError {
    PgWireError::ApiError(Box::new(error))
}

fn said(info: ErrorInfo) -> PgWireError {
    PgWireError::UserError(Box::new(info))
}

/// Gives every error its SQLSTATE, before it is sent.
pub fn translate(error: &mut PgWireError) {
    let PgWireError::ApiError(inner) = error else { return };
    let info = if let Some(refused) = inner.downcast_ref::<Refused>() {
        of_problem(&refused.0)
    } else if let Some(error) = inner.downcast_ref::<DataFusionError>() {
        of_datafusion(error)
    } else {
        // The parser of pg_catalog's crate; it says line and column itself.
        ErrorInfo::new("ERROR".into(), "42601".into(), inner.to_string())
    };
    *error = said(info);
}

/// What REST says as a status and a type.
fn of_problem(problem: &Problem) -> ErrorInfo {
    let code = match problem.kind {
        "bad-parameter" | "k-too-large" => "22023",
        "unknown-parameter" => "42883",
        "range-too-large" | "too-many" => "54000",
        "too-large-for-bigint" => "22003",
        "read-only" => "25006",
        "not-constant" => "0A000",
        "no-pipeline" => "42P01",
        "no-set" => "42704",
        "not-your-pipeline" | "not-your-groups" => "42501",
        "no-key" | "wrong-key" => "28P01",
        "rate-limit" | "too-busy" => "53400",
        "no-sketches" => "0A000",
        "timeout" => "57014",
        "stores-away" => "58000",
        "stored-data" => "XX001",
        _ => "XX000",
    };
    let mut info = ErrorInfo::new("ERROR".into(), code.into(), problem.detail.clone());
    info.hint = problem.more.get("allowed").and_then(allowed);
    info
}

/// `allowed` in words.
fn allowed(value: &Value) -> Option<String> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let list = match value {
        Value::Array(list) if list.is_empty() => return None,
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", plain(value)))
            .collect::<Vec<_>>()
            .join(", "),
        Value::Null => return None,
        other => plain(other),
    };
    Some(format!("Allowed: {list}"))
}

fn of_datafusion(error: &DataFusionError) -> ErrorInfo {
    let root = error.find_root();
    if let DataFusionError::External(inner) = root {
        if let Some(refused) = inner.downcast_ref::<Refused>() {
            return of_problem(&refused.0);
        }
        if let Some(error) = inner.downcast_ref::<DataFusionError>() {
            return of_datafusion(error);
        }
    }
    let message = root.strip_backtrace();
    let code = match root {
        DataFusionError::SQL(..) => "42601",
        DataFusionError::SchemaError(error, _) => match **error {
            SchemaError::FieldNotFound { .. } => "42703",
            SchemaError::AmbiguousReference { .. } => "42702",
            _ => "42701",
        },
        DataFusionError::NotImplemented(_) => "0A000",
        DataFusionError::ResourcesExhausted(_) => "53200",
        DataFusionError::Plan(said) if said.contains("table '") && said.contains("not found") => "42P01",
        DataFusionError::Plan(said) if said.contains("function") => "42883",
        DataFusionError::Plan(_) => "42000",
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => "22000",
        _ => "XX000",
    };
    ErrorInfo::new("ERROR".into(), code.into(), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use serde_json::json;

    fn told(mut error: PgWireError) -> (String, Option<String>) {
        translate(&mut error);
        match error {
            PgWireError::UserError(info) => (info.code, info.hint),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_problem_keeps_what_is_allowed_through_datafusion() {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let problem =
            Problem::new(status, "k-too-large", "t", "k = 5 is too much").of("k", json!({"min": 1, "max": 4}));
        let inner = DataFusionError::from(Refused(problem)).context("a rule failed");
        let expected = ("22023".to_owned(), Some("Allowed: max 4, min 1".to_owned()));
        assert_eq!(told(planning(inner)), expected);
        let problem = Problem::new(StatusCode::NOT_FOUND, "no-set", "t", "none").allowed(json!(["*", "r"]));
        assert_eq!(
            told(Refused(problem).into()),
            ("42704".into(), Some("Allowed: *, r".into()))
        );
    }

    #[test]
    fn errors_of_the_planner_have_states() {
        for (error, code) in [
            (DataFusionError::NotImplemented("x".into()), "0A000"),
            (DataFusionError::ResourcesExhausted("x".into()), "53200"),
            (DataFusionError::Plan("table 'a.b.c' not found".into()), "42P01"),
            (DataFusionError::Internal("x".into()), "XX000"),
        ] {
            assert_eq!(told(planning(error)).0, code);
        }
    }
}
