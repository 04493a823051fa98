//! `hitters archive`: from the results topic of a pipeline to the history in Cassandra.
//!
//! At least once, with writes that change nothing when they are done twice: rows are acknowledged before the position behind them
//! is kept, in Cassandra itself, beside them. So it can be killed anywhere and started again, and a new keyspace begins at the
//! beginning of the topic.

mod arguments;
#[cfg(feature = "cassandra")]
mod batch;
#[cfg(feature = "cassandra")]
mod patience;
#[cfg(feature = "cassandra")]
mod work;

pub use arguments::Archive;

use crate::failure::Failure;
use hitters_pipeline::Files;

/// Where rows come from.
#[derive(Debug)]
#[cfg_attr(not(feature = "cassandra"), allow(dead_code))]
struct Log {
    servers: String,
    settings: Vec<(String, String)>,
    topic: String,
}

/// Runs the command.
pub fn run(arguments: &Archive, quiet: bool, files: &mut Files) -> Result<(), Failure> {
    let log = log(arguments, files)?;
    #[cfg(feature = "cassandra")]
    return work::run(arguments, &log, quiet);
    #[cfg(not(feature = "cassandra"))]
    {
        let _ = (log, quiet);
        Err(crate::serve::no_cassandra())
    }
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
