//! Versions of a pipeline side by side: which one readers look at, and `hitters replay`, which fills the next one from the log.
//!
//! A version has keys of its own in Redis and state of its own, so that two of them do not touch each other. Readers follow
//! `hh:<pipeline>:active`, which changes in one step when the new version has read its log to the end.

use crate::cli::{Format, Listen, Missing, Replay, Run};
use crate::cluster;
use crate::engine;
use crate::failure::Failure;
use crate::load;
use crate::own_topics;
use crate::run::{self, Session};
use hitters_connectors::{Active, Reporter};
use hitters_dataflow::Metrics;
use hitters_pipeline::{Files, Pipeline};
use hitters_planner::plan::Plan;
use std::io::{Write, stderr};

/// So many looks in a row must find the log read to its end: rows of the last windows are in the sinks by then.
const LOOKS: u32 = 4;

/// The key that readers follow, and the version that is to be in it.
pub struct Switch {
    active: Active,
    pipeline: String,
    version: u64,
    before: u64,
    looks: u32,
    done: bool,
}

impl Switch {
    /// Changes the key once the run has read its log to the end.
    pub fn look(&mut self, metrics: &Metrics) -> Result<(), Failure> {
        self.looks = if metrics.caught_up() { self.looks + 1 } else { 0 };
        if self.looks < LOOKS { Ok(()) } else { self.switch() }
    }

    /// Changes the key, if that has not been done.
    pub fn switch(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(());
        }
        self.active.set(self.version).map_err(Failure::Run)?;
        let _ = writeln!(
            stderr(),
            "{name}: version {} has caught up with the log, and readers look at it now (hh:{name}:active). Version {} is not \
             needed any more: stop it, and write version = {} into the pipeline file",
            self.version,
            self.before,
            self.version,
            name = self.pipeline
        );
        Ok(())
    }
}

/// Runs the command.
pub fn replay(arguments: &Replay, quiet: bool, files: &mut Files) -> Result<(), Failure> {
    let current = load::load(&arguments.target, files)?;
    if let Some(cluster) = cluster::open(&arguments.cluster, &current)? {
        return cluster::replay(arguments, cluster, current, quiet, files);
    }
    let plan = engine::plan(&current)?;
    let Some(mut active) = open(&current, &plan)? else {
        return Err(Failure::Usage(format!(
            "'{}' writes nothing to Redis, so that there are no readers to switch over: write version = {} into the pipeline \
             file and run it",
            current.name,
            current.version + 1
        )));
    };
    let before = active.get().map_err(Failure::Run)?.unwrap_or(current.version);
    let version = next_version(current.version, before);
    let next = load::load_version(&arguments.target, Some(version), files)?;
    if !quiet {
        let _ = writeln!(
            stderr(),
            "{}: filling version {version} beside version {before}",
            next.name
        );
    }
    let plan = engine::plan(&next)?;
    // The file may name the next version already.
    let old = load::load_version(&arguments.target, Some(before), files)?;
    let mask = |message: String| Failure::Run(next.script.mask(&message));
    for topic in own_topics::missing(&engine::plan(&old)?, &plan).map_err(mask)? {
        topic.create().map_err(mask)?;
        if !quiet {
            let name = &topic.spec.name;
            let _ = writeln!(stderr(), "{}: created the topic {name}, like {}", next.name, topic.like);
        }
    }
    let switch = Switch {
        active,
        pipeline: next.name.clone(),
        version,
        before,
        looks: 0,
        done: false,
    };
    let run = Run {
        target: arguments.target.clone(),
        parallelism: arguments.parallelism,
        memory_limit: None,
        state_backend: None,
        state_path: None,
        limit: None,
        records: None,
        from: Some(arguments.from),
        to: None,
        bounded: arguments.bounded,
        dead_letter: None,
        state: None,
        missing_offsets: Missing::Fail,
        serve: None,
        answers: None,
        how: Listen::default(),
        format: Format::Json,
        json: arguments.json,
    };
    run::rounds(Session::new(&run, &next, quiet, Some(switch))?, plan)
}

/// The version that a replay fills.
pub fn next_version(in_file: u64, before: u64) -> u64 {
    // A file that was changed already names the version that it wants.
    if in_file > before { in_file } else { before + 1 }
}

/// Says which version runs, if nobody has; warns if readers look at another.
pub fn begin(pipeline: &Pipeline, plan: &Plan, quiet: bool) -> Result<(), Failure> {
    let Some(mut active) = open(pipeline, plan)? else {
        return Ok(());
    };
    active.begin(pipeline.version).map_err(Failure::Run)?;
    let shown = active.get().map_err(Failure::Run)?;
    if let Some(shown) = shown.filter(|shown| *shown != pipeline.version && !quiet) {
        let what = if shown > pipeline.version {
            format!("write version = {shown} into the pipeline file")
        } else {
            "`hitters replay` fills a version from the log and then switches readers over".to_owned()
        };
        let _ = writeln!(
            stderr(),
            "{name}: this is version {}, and readers look at version {shown} (hh:{name}:active); {what}",
            pipeline.version,
            name = pipeline.name
        );
    }
    Ok(())
}

/// The key that readers follow; `None` if the pipeline writes nothing to Redis.
pub fn open(pipeline: &Pipeline, plan: &Plan) -> Result<Option<Active>, Failure> {
    let tables: Vec<_> = engine::sinks(plan).cloned().collect();
    Active::open(&pipeline.name, &tables, &Reporter::default())
        .map_err(|error| Failure::Run(pipeline.script.mask(&error)))
}
