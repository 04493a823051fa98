//! `hitters deploy`: what would change on the cluster, and then the change.

use super::partitions::Topic;
use super::{Site, functions, nearby, open, partitions, shown};
use crate::cli::{Deploy, Deployment};
use crate::engine;
use crate::failure::Failure;
use crate::load;
use crate::own_topics::NewTopic;
use crate::replay;
use crate::report::{self, Severity};
use hitters_arroyo::{Done, Plan, Wanted};
use hitters_pipeline::{Files, Pipeline};
use serde_json::json;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin, stdout};
use std::time::Duration;

/// Runs the command.
pub fn deploy(arguments: &Deploy, quiet: bool, files: &mut Files) -> Result<(), Failure> {
    let pipeline = load::load(&arguments.target, files)?;
    // What passes the cluster's planner and breaks on rows there is found here only.
    let plan = engine::plan_for(&pipeline, Some(target()))?;
    let Some(cluster) = open(&arguments.cluster, &pipeline)? else {
        return Err(Failure::Usage(
            "say where to: --to http://host:5115, or [cluster] url = \"...\" in the pipeline file".into(),
        ));
    };
    if !quiet {
        engine::warn(&pipeline, &plan, files);
        report::print(&nearby::warnings(&pipeline, cluster.url()), Severity::Warning, files);
    }
    if engine::prints(&plan) && !quiet {
        let _ = writeln!(
            stderr(),
            "a SELECT without INSERT is kept by the cluster for its console: nobody here sees its rows"
        );
    }
    let topics = match partitions::of(&pipeline, &plan, &[]) {
        Err(_) if arguments.deployment.force => Vec::new(),
        found => found?,
    };
    let site = Site::new(cluster, pipeline, arguments.cluster.patience);
    let asked = arguments.parallelism.map(u64::from);
    let wanted = wanted(&site.pipeline, None, &topics, asked, &arguments.deployment)?;
    let (planned, done) = carry_out(
        &site,
        wanted,
        (&topics, &[]),
        &arguments.deployment,
        arguments.json,
        quiet,
    )?;
    if let Some(done) = &done {
        replay::begin(&site.pipeline, &plan, quiet)?;
        if !quiet {
            let _ = writeln!(stderr(), "{}: {}", done.deployed.name(), done.deployed.state());
        }
    }
    if arguments.json {
        let mut value = planned.json();
        value["cluster"] = site.cluster.url().into();
        value["done"] = done.is_some().into();
        if let Some(done) = done {
            value["id"] = done.deployed.id().into();
            value["state"] = json!(done.deployed.state());
        }
        writeln!(stdout(), "{value}")?;
    }
    Ok(())
}

/// What the SQL is checked for. Partitions and subtasks are compared by themselves ([`partitions::check`]), and the graph that the
/// cluster makes is looked at as it is ([`hitters_arroyo::Error::Cut`]).
pub fn target() -> hitters_planner::Cluster {
    hitters_planner::Cluster {
        parallelism: 1,
        partitions: None,
        chaining: false,
    }
}

/// The pipeline as the cluster is to have it. `text` is the SQL where it is not the pipeline's own.
pub fn wanted(
    pipeline: &Pipeline,
    text: Option<String>,
    topics: &[Topic],
    asked: Option<u64>,
    deployment: &Deployment,
) -> Result<Wanted, Failure> {
    let sql = pipeline.script.text();
    let settings = &pipeline.settings;
    let in_file = settings.cluster.as_ref().and_then(|cluster| cluster.parallelism);
    let in_file = in_file.or(settings.parallelism.and_then(|n| u64::try_from(n).ok()));
    let given = asked.or(in_file);
    let partitions = topics.iter().map(|topic| topic.partitions).max();
    // What is asked for is what the user gets, or an error; what is not is what loses nothing.
    let parallelism = given.or(partitions).unwrap_or(1).max(1);
    let interval = settings
        .checkpoint
        .as_ref()
        .map(|checkpoint| checkpoint.interval.unwrap_or(Duration::MAX));
    Ok(Wanted {
        name: pipeline.name.clone(),
        version: pipeline.version,
        sql: sql.to_owned(),
        text,
        functions: functions::needed(pipeline, deployment.functions.as_deref())?,
        parallelism,
        parallelism_given: given.is_some(),
        checkpoint_interval: interval,
    })
}

/// Shows the plan, asks, and does it. `None`: only shown. Of the topics, some are there and some are still to be made.
pub fn carry_out(
    site: &Site,
    wanted: Wanted,
    (topics, new): (&[Topic], &[NewTopic]),
    deployment: &Deployment,
    json: bool,
    quiet: bool,
) -> Result<(Plan, Option<Done>), Failure> {
    let plan = site.cluster.plan(wanted).map_err(|error| site.failure(error))?;
    if !deployment.force {
        partitions::check(topics, plan.parallelism())?;
    }
    let text = shown::plan(&site.cluster, &plan, topics, new);
    if deployment.dry_run {
        if !json {
            write!(stdout(), "{text}")?;
        }
        return Ok((plan, None));
    }
    if !quiet {
        let _ = write!(stderr(), "{text}");
    }
    if plan.is_empty() && new.is_empty() {
        if !quiet {
            let _ = writeln!(stderr(), "nothing to do");
        }
    } else if !deployment.yes {
        agree()?;
    }
    for topic in new {
        let created = topic.create();
        created.map_err(|message| Failure::Run(site.pipeline.script.mask(&message)))?;
    }
    let done = site.cluster.apply(&plan, &site.patience, &mut site.teller(quiet));
    let done = done.map_err(|error| site.failure(error))?;
    Ok((plan, Some(done)))
}

/// Asks on a terminal.
fn agree() -> Result<(), Failure> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(Failure::Usage(
            "nobody can be asked whether to do this: add --yes to do it, or --dry-run to only see it".into(),
        ));
    }
    let _ = write!(stderr(), "Do this? [y/N] ");
    let _ = stderr().flush();
    let mut answer = String::new();
    // An answer that cannot be read is none.
    let _ = stdin().lock().read_line(&mut answer);
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::Run("nothing was changed".into())),
    }
}
