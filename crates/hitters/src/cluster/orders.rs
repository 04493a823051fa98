//! `hitters status`, `scale` and `stop` of a pipeline on a cluster.

use super::lag::{Lag, Look};
use super::{Site, partitions, shown};
use crate::cli::Status;
use crate::engine;
use crate::failure::Failure;
use serde_json::{Value, json};
use std::io::{Write, stderr, stdout};
use std::time::Duration;

/// From one look to the next with `--watch`: the cluster measures every two seconds.
const LOOK: Duration = Duration::from_secs(2);

impl Site {
    /// Shows how a pipeline is doing.
    pub fn status(&self, arguments: &Status) -> Result<(), Failure> {
        let deployed = self.deployed()?;
        let mut look = Look::open(&self.pipeline);
        loop {
            let status = self.cluster.status(&deployed).map_err(|error| self.failure(error))?;
            let lag = match &mut look {
                Ok(look) => look.lag(deployed.version()),
                Err(why) => Err(why.clone()),
            };
            let lag = lag.map_err(|why| self.pipeline.script.mask(&why));
            if arguments.json {
                let mut value = serde_json::to_value(&status).unwrap_or(Value::Null);
                value["events_per_second"] = json!(status.events());
                value["lag"] = lag.as_ref().map_or(Value::Null, Lag::json);
                value["lag_unknown"] = lag.as_ref().err().map_or(Value::Null, |why| json!(why));
                writeln!(stdout(), "{}", self.masked(value))?;
            } else {
                writeln!(stdout(), "{}", self.pipeline.script.mask(&shown::status(&status, &lag)))?;
            }
            let ended = matches!(status.state.as_str(), "Stopped" | "Finished" | "Failed");
            if !arguments.watch || ended {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Masks every text of a value by itself: as JSON writes it, a secret may look otherwise.
    fn masked(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.pipeline.script.mask(&text).into(),
            Value::Array(all) => all.into_iter().map(|one| self.masked(one)).collect(),
            Value::Object(all) => all.into_iter().map(|(key, one)| (key, self.masked(one))).collect(),
            other => other,
        }
    }

    /// Changes the number of subtasks.
    pub fn scale(&self, parallelism: u16, force: bool, quiet: bool) -> Result<(), Failure> {
        let deployed = self.deployed()?;
        let parallelism = u64::from(parallelism);
        if !force {
            let topics = partitions::of(&self.pipeline, &engine::plan(&self.pipeline)?, &[])?;
            partitions::check(&topics, parallelism)?;
        }
        let scaled = self
            .cluster
            .scale(&deployed, parallelism, &self.patience, &mut self.teller(quiet));
        scaled.map_err(|error| self.failure(error))?;
        if !quiet {
            let _ = writeln!(
                stderr(),
                "{}: has {parallelism} subtasks of each operator",
                deployed.name()
            );
        }
        Ok(())
    }

    /// Stops it, with a last checkpoint.
    pub fn stop(&self, quiet: bool) -> Result<(), Failure> {
        let deployed = self.deployed()?;
        let epoch = self.cluster.stop(&deployed, &self.patience, &mut self.teller(quiet));
        let epoch = epoch.map_err(|error| self.failure(error))?;
        if !quiet {
            let from = epoch.map_or("from the beginning: it has no checkpoint".to_owned(), |epoch| {
                format!("from checkpoint {epoch}")
            });
            let _ = writeln!(
                stderr(),
                "{}: stopped; `hitters deploy` lets it go on {from}",
                deployed.name()
            );
        }
        Ok(())
    }
}
