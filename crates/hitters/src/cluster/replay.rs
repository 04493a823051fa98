//! `hitters replay` on a cluster: the next version beside the one that runs, and readers switched over once it has caught up.
//!
//! It has caught up when in every partition it has read as far as the version before has by then, or, if that says nothing of
//! itself, to the end of the log as it was at the beginning of the replay.

use super::lag::{Look, Positions};
use super::{Site, deploy, partitions};
use crate::cli::Replay;
use crate::engine;
use crate::failure::Failure;
use crate::load;
use crate::own_topics;
use crate::replay::next_version;
use hitters_arroyo::Cluster;
use hitters_connectors::Bound;
use hitters_connectors::topics::TableTopic;
use hitters_pipeline::{Files, Pipeline};
use hitters_planner::read_from;
use std::io::{Write, stderr};
use std::time::{Duration, Instant};

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(500);
/// From one word about how far it is to the next.
const WORD: Duration = Duration::from_secs(10);

/// Runs the command.
pub fn replay(
    arguments: &Replay,
    cluster: Cluster,
    current: Pipeline,
    quiet: bool,
    files: &mut Files,
) -> Result<(), Failure> {
    if arguments.bounded {
        return Err(Failure::Usage(
            "--bounded is for a replay on this machine: on a cluster it goes on".into(),
        ));
    }
    let mask = |message: String| Failure::Run(current.script.mask(&message));
    let plan = engine::plan(&current)?;
    let mut look = Look::of(&current, &plan).map_err(|why| {
        mask(format!(
            "it could not be known when the next version has caught up: {why}"
        ))
    })?;
    let versions = cluster
        .versions(&current.name)
        .map_err(|error| super::faults::failure(&current, error))?;
    let highest = versions.iter().map(|one| one.version()).max();
    let active = look.active().get().map_err(mask)?;
    let before = active.or(highest).unwrap_or(current.version);
    // A replay that was broken off is taken up: the version above the active one is the one that it fills.
    let version = next_version(current.version, before);
    let old = versions
        .into_iter()
        .find(|one| one.version() == before && one.version() != version);

    let next = load::load_version(&arguments.target, Some(version), files)?;
    let plan = engine::plan_for(&next, Some(deploy::target()))?;
    let was = load::load_version(&arguments.target, Some(before), files)?;
    let new = own_topics::missing(&engine::plan(&was)?, &plan).map_err(mask)?;
    let topics = match partitions::of(&next, &plan, &new) {
        Err(_) if arguments.deployment.force => Vec::new(),
        found => found?,
    };
    let inputs = partitions::inputs(&plan);
    let text = match arguments.from {
        Bound::Earliest => read_from(next.script.text(), "earliest", None),
        Bound::Latest => {
            return Err(Failure::Usage(
                "a replay from the end of the log would read nothing".into(),
            ));
        }
        Bound::Time(_) => {
            let group = format!("hitters-{}-v{version}-replay", next.name);
            if !arguments.deployment.dry_run {
                begin_at(&inputs, &group, arguments.from).map_err(mask)?;
            }
            read_from(next.script.text(), "group", Some(&group))
        }
    };
    let target = look.end().map_err(mask)?;
    let site = Site::new(cluster, next, arguments.cluster.patience);
    let asked = arguments.parallelism.map(u64::from);
    let wanted = deploy::wanted(&site.pipeline, Some(text), &topics, asked, &arguments.deployment)?;
    let (_, done) = deploy::carry_out(
        &site,
        wanted,
        (&topics, &new),
        &arguments.deployment,
        arguments.json,
        quiet,
    )?;
    if done.is_none() {
        return Ok(());
    }
    catch_up(&site, &mut look, version, old.as_ref().map(|_| before), &target, quiet)?;
    look.active().set(version).map_err(mask)?;
    let name = &site.pipeline.name;
    let _ = writeln!(
        stderr(),
        "{name}: version {version} has caught up, and readers look at it now (hh:{name}:active)"
    );
    if let Some(old) = old {
        let stopped = site.cluster.stop(&old, &site.patience, &mut site.teller(quiet));
        stopped.map_err(|error| site.failure(error))?;
    }
    let _ = writeln!(stderr(), "{name}: write version = {version} into the pipeline file");
    Ok(())
}

/// Says in Kafka where the group of the new version begins. The offsets are there before a reader is.
fn begin_at(inputs: &[TableTopic], group: &str, from: Bound) -> Result<(), String> {
    for input in inputs {
        let topics = input.connect()?;
        let positions = topics.positions(&input.topic, from)?;
        topics.commit(&input.topic, group, &positions)?;
    }
    Ok(())
}

/// Waits until the new version is as far as it has to be.
fn catch_up(
    site: &Site,
    look: &mut Look,
    version: u64,
    before: Option<u64>,
    end: &Positions,
    quiet: bool,
) -> Result<(), Failure> {
    let mask = |message: String| Failure::Run(site.pipeline.script.mask(&message));
    let mut word = Instant::now();
    loop {
        let versions = site
            .cluster
            .versions(&site.pipeline.name)
            .map_err(|error| site.failure(error))?;
        let new = versions.iter().find(|one| one.version() == version);
        if new.is_none_or(|new| !new.is_live() && new.state() != "Finished") {
            return Err(Failure::Run(format!(
                "{}-v{version} does not run any more ({}): readers still look at the version before. `hitters status --to` says why",
                site.pipeline.name,
                new.map_or("deleted", |new| new.state())
            )));
        }
        let progress = look.progress(version).map_err(mask)?;
        let said = before
            .map(|before| look.progress(before))
            .transpose()
            .map_err(mask)?
            .unwrap_or_default();
        let target = |number: &i32, end: &i64| said.get(number).map_or(*end, |(next, _)| *next);
        let left: i64 = end
            .iter()
            .map(|(number, end)| target(number, end) - progress.get(number).map_or(0, |(next, _)| *next))
            .map(|left| left.max(0))
            .sum();
        if left == 0 && !progress.is_empty() {
            return Ok(());
        }
        if !quiet && word.elapsed() >= WORD {
            word = Instant::now();
            let _ = writeln!(
                stderr(),
                "  {}-v{version}: {left} events left to catch up",
                site.pipeline.name
            );
        }
        std::thread::sleep(LOOK);
    }
}
