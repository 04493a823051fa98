//! `hitters archive`: from the results topic of a pipeline to the history in Cassandra, or to recent windows in Redis.
//!
//! At least once, with writes that change nothing when they are done twice: rows are acknowledged before the position behind them
//! is kept, in the store itself, beside them. So it can be killed anywhere and started again, and a new store begins at the
//! beginning of the topic.

mod arguments;
mod batch;
mod patience;
mod target;
mod work;

pub use arguments::Archive;

use crate::failure::Failure;
use hitters_pipeline::Files;

/// Where rows come from.
#[derive(Debug)]
struct Log {
    servers: String,
    settings: Vec<(String, String)>,
    topic: String,
}

/// Runs the command.
pub fn run(arguments: &Archive, quiet: bool, files: &mut Files) -> Result<(), Failure> {
    let target = target::Target::of(arguments)?;
    let log = log(arguments, files)?;
    work::run(arguments, &target, &log, quiet)
}

/// The topic: as it was named, or that of the pipeline.
fn log(arguments: &Archive, files: &mut Files) -> Result<Log, Failure> {
    let settings = arguments.client_configs.clone();
    let Some(name) = &arguments.pipeline else {
        return Ok(Log {
            servers: arguments
                .bootstrap_servers
                .clone()
                .unwrap_or_else(|| "localhost:9092".into()),
            settings,
            topic: arguments.topic.clone().unwrap_or_default(),
        });
    };
    let target = crate::cli::Target {
        target: name.clone(),
        params: arguments.params.clone(),
        udfs: Vec::new(),
    };
    let pipeline = crate::load::load(&target, files)?;
    let plan = crate::engine::plan(&pipeline)?;
    let topic = crate::history::topic(&pipeline, &plan).map_err(|wanted| {
        Failure::Usage(format!(
            "{name} writes no topic '{wanted}': add sql/tables/history.sql and sql/queries/panes/publish.sql to it, or name a topic \
             of rows with --topic"
        ))
    })?;
    let mut all = topic.client_configs;
    all.extend(settings);
    Ok(Log {
        servers: arguments.bootstrap_servers.clone().unwrap_or(topic.bootstrap_servers),
        settings: all,
        topic: topic.topic,
    })
}
