//! What can go wrong with a cluster, each with what to do.

use crate::answers::Diagnostic;
use crate::graph::Cut;
use std::fmt;

/// Why a cluster did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used.
    #[error("'{url}' is no address of a cluster: {why}; write it as http://host:5115 or https://host:5115")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate of the authority cannot be read.
    #[error("the certificate {path} cannot be used: {why}; it must be a file of certificates in PEM")]
    Certificate {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers.
    #[error("the cluster at {url} does not answer: {why}")]
    Unreachable {
        /// The cluster.
        url: String,
        /// What the network says.
        why: String,
    },
    /// It takes too long.
    #[error(
        "the cluster at {url} has not answered after {seconds} s ({what}); raise the limit with --timeout if it is slow"
    )]
    Slow {
        /// The cluster.
        url: String,
        /// What was asked.
        what: String,
        /// The limit.
        seconds: u64,
    },
    /// The key is missing or wrong.
    #[error("the cluster at {url} {} (status {status}): name the variable that holds its key with --api-key-env, or write [cluster] api_key = \"${{env:NAME}}\" into the pipeline file", if *.given { "refuses the API key" } else { "wants an API key" })]
    Key {
        /// The cluster.
        url: String,
        /// Whether a key was sent.
        given: bool,
        /// The answer's status.
        status: u16,
    },
    /// It says no.
    #[error("the cluster at {url} refuses to {what}: {message} (status {status})")]
    Refused {
        /// The cluster.
        url: String,
        /// What was asked, as `create the pipeline shop-v1`.
        what: String,
        /// The answer's status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The answer is none of an Arroyo.
    #[error(
        "{url} answered (status {status}), but not as an Arroyo does when asked to {what}: {why}; is this the address of its API (port 5115 by default)?"
    )]
    Answer {
        /// The cluster.
        url: String,
        /// What was asked.
        what: String,
        /// The answer's status.
        status: u16,
        /// What is wrong with it.
        why: String,
    },
    /// The planner of the cluster refuses the SQL.
    #[error("the cluster's planner refuses the SQL: {}", .0.iter().map(|one| one.message.as_str()).collect::<Vec<_>>().join("; "))]
    Sql(Vec<Diagnostic>),
    /// The cluster chains operators, and has cut the graph by it.
    #[error(
        "the cluster's chaining of operators has cut the graph of the pipeline: {}. Set pipeline.chaining.enabled = false there (ARROYO__PIPELINE__CHAINING__ENABLED=false), start the cluster again, and deploy again",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Cut(Vec<Cut>),
    /// A function does not compile there.
    #[error("the function {name} does not compile on the cluster:\n{}", .errors.join("\n"))]
    Function {
        /// Its name.
        name: String,
        /// What its compiler says.
        errors: Vec<String>,
    },
    /// What is there must not be touched.
    #[error("{0}")]
    Conflict(String),
    /// The job has failed, or fails again and again.
    #[error("{pipeline} {what}{}", .troubles.iter().map(|trouble| format!("\n  {trouble}")).collect::<String>())]
    Job {
        /// Its pipeline.
        pipeline: String,
        /// How, as `has failed`.
        what: String,
        /// Why, newest first.
        troubles: Vec<Trouble>,
    },
    /// A state did not come in time.
    #[error(
        "{pipeline} is {state} after {seconds} s, and was to be {wanted}; it may still get there: `hitters status` shows it"
    )]
    Late {
        /// The pipeline.
        pipeline: String,
        /// Its state.
        state: String,
        /// The state that was waited for.
        wanted: String,
        /// How long.
        seconds: u64,
    },
}

/// What a job says of its failure.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Trouble {
    /// When, milliseconds since the epoch; `None` for the reason of a failed job, which has no time.
    pub time: Option<u64>,
    /// The operator that it happened in, as the graph of the pipeline describes it.
    pub operator: Option<String>,
    /// The table that this operator reads or writes.
    pub table: Option<String>,
    /// What happened.
    pub message: String,
    /// Whose fault the cluster takes it for: `user`, `external` or `internal`.
    pub domain: Option<String>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operator) = &self.operator {
            write!(f, "{operator}: ")?;
        }
        write!(f, "{}", self.message.trim_end())
    }
}
