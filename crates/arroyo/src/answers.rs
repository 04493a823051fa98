//! What Arroyo's API answers, as far as it is used here. Fields that a version does not send have a default: 0.15 knows no tags
//! and no places of errors.

use crate::graph::Graph;
use serde::{Deserialize, Serialize};

/// A page, or all, of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Collection<T> {
    pub data: Vec<T>,
    #[serde(default, rename = "hasMore")]
    pub has_more: bool,
}

/// A function that every pipeline of the cluster can use.
#[derive(Debug, Deserialize)]
pub(crate) struct GlobalFunction {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub prefix: String,
    pub definition: String,
    #[serde(default)]
    pub description: Option<String>,
}

/// What a look at a function's source found.
#[derive(Debug, Deserialize)]
pub(crate) struct CheckedFunction {
    #[serde(default)]
    pub errors: Vec<String>,
}

/// What the planner says of a text.
#[derive(Debug, Deserialize)]
pub(crate) struct CheckedQuery {
    #[serde(default)]
    pub errors: Vec<Diagnostic>,
    #[serde(default)]
    pub graph: Option<Graph>,
}

/// One fault that the cluster's planner found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// From where to where in the text that was sent: 1-based line and column, in characters.
    pub span: Option<((u64, u64), (u64, u64))>,
}

impl<'de> Deserialize<'de> for Diagnostic {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Place {
            line: u64,
            column: u64,
        }
        #[derive(Deserialize)]
        struct Span {
            start: Place,
            end: Place,
        }
        // Newer versions send objects, older ones texts.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Sent {
            Text(String),
            Object {
                message: String,
                #[serde(default)]
                span: Option<Span>,
            },
        }
        let (message, span) = match Sent::deserialize(deserializer)? {
            Sent::Text(message) => (message, None),
            Sent::Object { message, span } => (message, span),
        };
        let span = match span {
            Some(span) => Some(((span.start.line, span.start.column), (span.end.line, span.end.column))),
            None => said(&message).map(|at| (at, at)),
        };
        Ok(Self { message, span })
    }
}

/// The place that the parser writes behind its messages: `..., found: x at Line: 3, Column: 14`.
fn said(message: &str) -> Option<(u64, u64)> {
    let number = |name: &str| {
        let (_, rest) = message.rsplit_once(name)?;
        let digits: String = rest
            .trim_start_matches([':', ' '])
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse::<u64>().ok().filter(|number| *number > 0)
    };
    Some((number("Line")?, number("Column")?))
}

/// A pipeline.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Pipeline {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub query: String,
    #[serde(default)]
    pub checkpoint_interval_micros: u64,
    /// `none` while it is wanted to run.
    #[serde(default)]
    pub stop: String,
    #[serde(default)]
    pub graph: Graph,
}

/// The job of a pipeline. There is one.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Job {
    pub id: String,
    pub state: String,
    /// Counts the times that it was scheduled.
    #[serde(default)]
    pub run_id: u64,
    /// Microseconds since the epoch, as every time here.
    #[serde(default)]
    pub start_time: Option<u64>,
    /// Why it failed. Versions before 0.16 send a text.
    #[serde(default)]
    pub failure_reason: Option<Failure>,
    #[serde(default)]
    pub failure_message: Option<String>,
}

/// Why a job failed.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Failure {
    pub error: String,
    #[serde(default)]
    pub domain: Option<String>,
}

/// An error that a task of the job had.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LogMessage {
    pub id: String,
    #[serde(default)]
    pub created_at: u64,
    #[serde(default)]
    pub operator_id: Option<String>,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub details: String,
    #[serde(default)]
    pub error_domain: Option<String>,
}

/// A checkpoint.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CheckpointAnswer {
    pub epoch: u64,
    pub start_time: u64,
    #[serde(default)]
    pub finish_time: Option<u64>,
}

/// An operator's share of a checkpoint.
#[derive(Debug, Deserialize)]
pub(crate) struct OperatorCheckpoint {
    #[serde(default)]
    pub bytes: u64,
}

/// What was measured of an operator.
#[derive(Debug, Deserialize)]
pub(crate) struct OperatorMetrics {
    pub node_id: u64,
    #[serde(default)]
    pub metric_groups: Vec<MetricGroup>,
}

/// One metric of an operator.
#[derive(Debug, Deserialize)]
pub(crate) struct MetricGroup {
    pub name: String,
    #[serde(default)]
    pub subtasks: Vec<SubtaskMetrics>,
}

/// One metric of a subtask, oldest first.
#[derive(Debug, Deserialize)]
pub(crate) struct SubtaskMetrics {
    #[serde(default)]
    pub metrics: Vec<Metric>,
}

/// One value.
#[derive(Debug, Deserialize)]
pub(crate) struct Metric {
    pub time: u64,
    pub value: f64,
}

/// An error of the API itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    pub error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(json: &str) -> Diagnostic {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_fault_has_the_place_that_was_sent_or_said() {
        let sent = r#"{"message": "no column x", "span": {"start": {"line": 2, "column": 8}, "end": {"line": 2, "column": 9}}}"#;
        assert_eq!(diagnostic(sent).span, Some(((2, 8), (2, 9))));
        let said = "\"sql parser error: Expected: ), found: ; at Line: 3, Column: 14\"";
        assert_eq!(diagnostic(said).span, Some(((3, 14), (3, 14))));
        assert_eq!(diagnostic("\"Line of thought\"").span, None);
        assert_eq!(diagnostic(r#"{"message": "Query is empty!"}"#).span, None);
    }
}
