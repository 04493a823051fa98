//! `hitters topics`: the Kafka topics of a pipeline, as they are and as they should be.

use crate::cli;
use crate::engine;
use crate::failure::Failure;
use crate::load;
use hitters_connectors::topics::{Outcome, TableTopic, TopicSpec, of_table};
use hitters_pipeline::Files;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Write, stdout};

/// Runs the command.
pub fn run(arguments: &cli::Topics, files: &mut Files) -> Result<(), Failure> {
    let pipeline = load::load(&arguments.target, files)?;
    let plan = engine::plan(&pipeline)?;
    // A topic that several tables name is looked at once.
    let mut topics: BTreeMap<(String, String), TableTopic> = BTreeMap::new();
    for topic in engine::sources(&plan)
        .chain(engine::sinks(&plan))
        .filter_map(|table| of_table(table))
    {
        topics.insert((topic.bootstrap_servers.clone(), topic.topic.clone()), topic);
    }
    if topics.is_empty() {
        return Err(Failure::Usage(format!(
            "{} reads and writes no Kafka topic",
            arguments.target.target
        )));
    }
    let failed = |message: String| Failure::Run(pipeline.script.mask(&message));
    let mut found: Vec<Value> = Vec::new();
    let mut as_wanted = true;
    for topic in topics.into_values() {
        let servers = topic.connect().map_err(failed)?;
        let spec = wanted(arguments, &topic.topic);
        let outcome = servers.ensure(&spec, arguments.create).map_err(failed)?;
        let is = servers.describe(&topic.topic).map_err(failed)?;
        let (state, differences) = match outcome {
            Outcome::Created => ("created", Vec::new()),
            Outcome::Missing => ("missing", Vec::new()),
            Outcome::Exists(differences) => ("exists", differences),
        };
        as_wanted &= state != "missing" && differences.is_empty();
        found.push(json!({
            "topic": topic.topic,
            "bootstrap_servers": topic.bootstrap_servers,
            "state": state,
            "partitions": is.as_ref().map(|is| is.partitions),
            "replication": is.as_ref().map(|is| is.replication),
            "leaderless": is.as_ref().map(|is| is.leaderless.clone()).unwrap_or_default(),
            "differences": differences.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }));
    }
    let mut out = stdout().lock();
    if arguments.json {
        writeln!(out, "{}", Value::from(found))?;
    } else {
        for topic in &found {
            let text = |key: &str| topic[key].as_str().unwrap_or_default();
            write!(
                out,
                "{} at {}: {}",
                text("topic"),
                text("bootstrap_servers"),
                text("state")
            )?;
            match (topic["partitions"].as_i64(), topic["replication"].as_i64()) {
                (Some(partitions), Some(replication)) => {
                    writeln!(out, ", partitions: {partitions}, copies of each: {replication}")?
                }
                _ => writeln!(out, " (--create creates it)")?,
            }
            for difference in topic["differences"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
            {
                writeln!(out, "  {difference}")?;
            }
            if topic["leaderless"]
                .as_array()
                .is_some_and(|partitions| !partitions.is_empty())
            {
                writeln!(
                    out,
                    "  partitions without a leader, which cannot be used now: {}",
                    topic["leaderless"]
                )?;
            }
        }
    }
    if as_wanted { Ok(()) } else { Err(Failure::Told(1)) }
}

/// What the command line wants of every topic.
fn wanted(arguments: &cli::Topics, name: &str) -> TopicSpec {
    let mut settings: BTreeMap<String, String> = arguments.settings.iter().cloned().collect();
    if let Some(compression) = &arguments.compression {
        settings.insert("compression.type".into(), compression.clone());
    }
    if let Some(retention) = arguments.retention {
        settings.insert("retention.ms".into(), retention.as_millis().to_string());
    }
    TopicSpec {
        name: name.to_owned(),
        partitions: arguments.partitions,
        replication: arguments.replication,
        settings,
    }
}
