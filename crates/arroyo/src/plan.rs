//! What a deployment would change: functions to build, and the pipeline to create, alter, replace or leave.

use crate::answers::{CheckedQuery, Collection, GlobalFunction};
use crate::client::{Call, Cluster, Limit};
use crate::deployed::Deployed;
use crate::error::Error;
use crate::mark::Mark;
use serde_json::{Value, json};
use std::time::Duration;

/// Begins the description of a function that hitters has built.
pub(crate) const OURS: &str = "Hitters";
/// Arroyo takes bodies of up to 2 MiB, which some ten functions fill.
const LARGEST: usize = 1_900_000;
/// What Arroyo takes as the time between two checkpoints.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));

/// A function as the cluster takes it: one source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name in SQL.
    pub name: String,
    /// Its Rust source.
    pub source: String,
}

/// A pipeline that is to run on the cluster.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The pipeline's name.
    pub name: String,
    /// Its version: the cluster's pipeline is called `<name>-v<version>`.
    pub version: u64,
    /// Its SQL, parameters filled: a pipeline that runs another is another.
    pub sql: String,
    /// The text to send in its place, if that differs: it says where a replay begins to read.
    pub text: Option<String>,
    /// The functions of ours that the SQL calls.
    pub functions: Vec<Function>,
    /// Subtasks of each operator.
    pub parallelism: u64,
    /// Whether that was asked for: if not, one that runs keeps the number that it has.
    pub parallelism_given: bool,
    /// Time between two checkpoints; `None`: the cluster's. Arroyo takes a second to a day, the nearest of which is used.
    pub checkpoint_interval: Option<Duration>,
}

/// What is to happen to a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionChange {
    /// The cluster has it.
    Leave,
    /// It is built.
    Build,
    /// Another source of that name is there and is replaced. Pipelines that run keep what they were built with.
    Replace,
}

/// What is to happen to the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is created, and reads its topics from where its tables say.
    Create,
    /// It is there, as it should be.
    Leave,
    /// Its SQL is there; what is `Some` changes. It keeps its state.
    Alter {
        /// Subtasks, from and to.
        parallelism: Option<(u64, u64)>,
        /// Time between checkpoints, from and to.
        interval: Option<(Duration, Duration)>,
        /// It does not run: its state, from which it goes on.
        start: Option<String>,
    },
    /// It runs another SQL, or its graph is cut: it is stopped, a new one is created, and then it is deleted. Its state is lost.
    Replace,
}

/// A deployment, planned.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `<name>-v<version>`.
    pub pipeline: String,
    /// Each function, and what happens to it.
    pub functions: Vec<(Function, FunctionChange)>,
    /// What happens to the pipeline.
    pub change: Change,
    /// The pipeline as it is now.
    pub current: Option<Deployed>,
    /// Other versions of it, the highest first.
    pub others: Vec<Deployed>,
    /// The pipeline runs with functions of an earlier deployment, and keeps them.
    pub older_functions: bool,
    pub(crate) wanted: Wanted,
    pub(crate) mark: Mark,
    pub(crate) functions_there: Vec<(String, String)>,
    /// Whether the cluster's planner has read the text, if that is new to it.
    pub(crate) checked: bool,
}

impl Plan {
    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.change == Change::Leave
            && self
                .functions
                .iter()
                .all(|(_, change)| *change == FunctionChange::Leave)
    }

    /// Subtasks that the pipeline will have.
    pub fn parallelism(&self) -> u64 {
        match (&self.change, &self.current) {
            (Change::Leave | Change::Alter { parallelism: None, .. }, Some(current)) => current.parallelism(),
            _ => self.wanted.parallelism,
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let functions = self.functions.iter().map(|(function, change)| {
            let change = match change {
                FunctionChange::Leave => "leave",
                FunctionChange::Build => "build",
                FunctionChange::Replace => "replace",
            };
            json!({ "name": function.name, "change": change })
        });
        let change = match &self.change {
            Change::Create => "create",
            Change::Leave => "leave",
            Change::Alter { .. } => "alter",
            Change::Replace => "replace",
        };
        json!({
            "pipeline": self.pipeline,
            "change": change,
            "parallelism": self.parallelism(),
            "state": self.current.as_ref().map(|current| current.state().to_owned()),
            "functions": functions.collect::<Vec<_>>(),
            "other_versions": self.others.iter().map(|one| one.name().to_owned()).collect::<Vec<_>>(),
        })
    }
}

impl Wanted {
    pub(crate) fn pipeline(&self) -> String {
        format!("{}-v{}", self.name, self.version)
    }

    /// What the cluster gets.
    pub(crate) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or(&self.sql)
    }

    pub(crate) fn interval(&self) -> Option<Duration> {
        self.checkpoint_interval
            .map(|interval| interval.clamp(INTERVALS.0, INTERVALS.1))
    }
}

impl Cluster {
    /// Finds what a deployment would change, and lets the cluster's planner read the SQL. Nothing is changed.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`] if the planner refuses the text; [`Error::Cut`] if chaining would lose rows; [`Error::Conflict`] for a function or pipeline of that name that hitters did
    /// not make; a cluster that does not answer.
    pub fn plan(&self, mut wanted: Wanted) -> Result<Plan, Error> {
        wanted.functions.sort_by(|a, b| a.name.cmp(&b.name));
        let there: Collection<GlobalFunction> = self.get("/udfs".into(), "list its functions")?;
        let functions = changes(&wanted.functions, &there.data)?;
        let versions = self.versions(&wanted.name)?;
        let (current, others): (Vec<_>, Vec<_>) = versions.into_iter().partition(|one| one.version() == wanted.version);
        let current = current.into_iter().next();
        let sources = wanted.functions.iter().map(|function| function.source.as_str());
        let mark = Mark::of(&wanted.name, wanted.version, &wanted.sql, wanted.text(), sources);
        let change = change(&wanted, &mark, current.as_ref())?;
        let mut checked = true;
        if matches!(change, Change::Create | Change::Replace) {
            checked = self.check(wanted.text(), &functions)?;
        }
        let kept = matches!(change, Change::Leave | Change::Alter { .. });
        let older = |one: &Deployed| one.mark().is_some_and(|found| found.functions != mark.functions);
        Ok(Plan {
            pipeline: wanted.pipeline(),
            older_functions: kept && current.as_ref().is_some_and(older),
            functions,
            change,
            current,
            others,
            mark,
            functions_there: there.data.into_iter().map(|one| (one.name, one.id)).collect(),
            wanted,
            checked,
        })
    }

    /// Lets the cluster's planner read a text, with these functions in place of those that it has. False: they are too many to be sent along,
    /// and it has to read the text when it has them.
    pub(crate) fn check(&self, sql: &str, functions: &[(Function, FunctionChange)]) -> Result<bool, Error> {
        let new = functions.iter().filter(|(_, change)| *change != FunctionChange::Leave);
        let sent: Vec<_> = new
            .map(|(function, _)| json!({ "definition": function.source, "language": "rust" }))
            .collect();
        let body = json!({ "query": sql, "udfs": sent });
        if body.to_string().len() > LARGEST && !sent.is_empty() {
            return Ok(false);
        }
        let call = Call {
            method: "POST",
            path: "/pipelines/validate_query".into(),
            what: "check the SQL",
            limit: Limit::Answer,
        };
        let checked: CheckedQuery = self.post(&call, &body)?;
        if !checked.errors.is_empty() {
            return Err(Error::Sql(checked.errors));
        }
        match checked.graph.unwrap_or_default().cuts() {
            cuts if cuts.is_empty() => Ok(true),
            cuts => Err(Error::Cut(cuts)),
        }
    }
}

/// What is to happen to each function.
fn changes(wanted: &[Function], there: &[GlobalFunction]) -> Result<Vec<(Function, FunctionChange)>, Error> {
    let change = |function: &Function| {
        let found = there
            .iter()
            .find(|one| one.name == function.name && one.prefix.is_empty());
        let change = match found {
            None => FunctionChange::Build,
            Some(found) if found.definition == function.source => FunctionChange::Leave,
            Some(found) if found.description.as_deref().is_some_and(|text| text.starts_with(OURS)) => {
                FunctionChange::Replace
            }
            Some(_) => {
                return Err(Error::Conflict(format!(
                    "the cluster has a function {} that hitters did not build: delete it there (DELETE /api/v1/udfs/{}), or \
                     rename it, if nothing needs it under that name",
                    function.name,
                    found.map_or("", |found| found.id.as_str())
                )));
            }
        };
        Ok((function.clone(), change))
    };
    wanted.iter().map(change).collect()
}

/// What is to happen to the pipeline.
fn change(wanted: &Wanted, mark: &Mark, current: Option<&Deployed>) -> Result<Change, Error> {
    let Some(current) = current else {
        return Ok(Change::Create);
    };
    if !current.is_ours() {
        return Err(Error::Conflict(format!(
            "the cluster has a pipeline {} ({}) that hitters did not deploy: rename or delete it there, or deploy as another \
             version (version = N in the pipeline file)",
            current.name(),
            current.id()
        )));
    }
    if current.mark().is_none_or(|found| found.sql != mark.sql) || current.is_cut() {
        return Ok(Change::Replace);
    }
    let parallelism = (current.parallelism(), wanted.parallelism);
    let parallelism = Some(parallelism).filter(|(is, to)| wanted.parallelism_given && is != to);
    let interval = wanted.interval().map(|to| (current.checkpoint_interval(), to));
    let interval = interval.filter(|(is, to)| is != to);
    // What has read its input to the end has nothing to go on with.
    let start = (current.state() == "Stopped" || current.state() == "Failed" || is_told_to_stop(current))
        .then(|| current.state().to_owned())
        .filter(|state| state != "Finished");
    Ok(match (&parallelism, &interval, &start) {
        (None, None, None) => Change::Leave,
        _ => Change::Alter {
            parallelism,
            interval,
            start,
        },
    })
}

/// It is on its way down.
fn is_told_to_stop(current: &Deployed) -> bool {
    !matches!(current.pipeline.stop.as_str(), "" | "none")
}
