//! `hitters status`, `scale` and `stop`: speaks to a run through its control socket, or to the cluster that the pipeline is
//! deployed to.

use crate::cli::{Running, Scale, Status, Stop};
use crate::cluster::{self, Site};
use crate::control::ask;
use crate::failure::Failure;
use crate::load;
use crate::show::{size, thousands};
use arrow::temporal_conversions::timestamp_ms_to_datetime;
use comfy_table::{CellAlignment, Table, presets};
use hitters_pipeline::{Files, Pipeline, Secrets};
use serde_json::{Value, json};
use std::io::{Write, stderr, stdout};
use std::time::Duration;

/// From one look to the next, for rates and for `--watch`.
const LOOK: Duration = Duration::from_secs(1);

/// A run, by the name of its pipeline and the place of its state.
struct Address {
    pipeline: String,
    place: String,
    secrets: Secrets,
}

/// Where a pipeline runs.
enum Where {
    Here(Address),
    There(Box<Site>),
}

impl Where {
    fn of(running: &Running, files: &mut Files) -> Result<Self, Failure> {
        let pipeline = load::load(&running.target, files)?;
        // Whoever names a state means a run on this machine.
        if running.state.is_none()
            && let Some(cluster) = cluster::open(&running.cluster, &pipeline)?
        {
            return Ok(Self::There(Box::new(Site::new(
                cluster,
                pipeline,
                running.cluster.patience,
            ))));
        }
        Address::of(running, pipeline).map(Self::Here)
    }
}

impl Address {
    fn of(running: &Running, pipeline: Pipeline) -> Result<Self, Failure> {
        let settings = pipeline.settings.checkpoint;
        let place = running.state.clone().or(settings.map(|settings| settings.storage));
        let place = place.ok_or_else(|| {
            Failure::Usage(format!(
                "'{}' keeps no state, so that no run of it can be spoken to: add [checkpoint] to the pipeline file, or run it with \
                 --state and name that here; for one on a cluster say which with --to",
                pipeline.name
            ))
        })?;
        Ok(Self {
            pipeline: pipeline.name,
            place,
            secrets: pipeline.script.secrets().clone(),
        })
    }

    fn ask(&self, request: &Value) -> Result<Value, Failure> {
        ask(&self.pipeline, &self.place, request).map_err(|failure| match failure {
            Failure::Run(text) => Failure::Run(self.secrets.mask(&text)),
            other => other,
        })
    }
}

/// Shows how far a run is.
pub fn status(arguments: &Status, files: &mut Files) -> Result<(), Failure> {
    let address = match Where::of(&arguments.running, files)? {
        Where::Here(address) => address,
        Where::There(site) => return site.status(arguments),
    };
    let request = json!({ "do": "status" });
    let mut before = address.ask(&request)?;
    if arguments.json && !arguments.watch {
        writeln!(stdout(), "{before}")?;
        return Ok(());
    }
    loop {
        std::thread::sleep(LOOK);
        let now = match address.ask(&request) {
            Ok(now) => now,
            // It has ended while it was watched.
            Err(_) if arguments.watch => return Ok(()),
            Err(error) => return Err(error),
        };
        if arguments.json {
            writeln!(stdout(), "{now}")?;
        } else {
            writeln!(stdout(), "{}", text(&before, &now))?;
        }
        if !arguments.watch {
            return Ok(());
        }
        before = now;
    }
}

/// Changes the number of workers.
pub fn scale(arguments: &Scale, quiet: bool, files: &mut Files) -> Result<(), Failure> {
    let address = match Where::of(&arguments.running, files)? {
        Where::Here(address) => address,
        Where::There(site) => return site.scale(arguments.parallelism, arguments.force, quiet),
    };
    let answer = address.ask(&json!({ "do": "scale", "parallelism": arguments.parallelism }))?;
    if !quiet {
        let _ = writeln!(
            stderr(),
            "{}: goes on with {} workers",
            address.pipeline,
            answer["parallelism"]
        );
    }
    Ok(())
}

/// Stops a run.
pub fn stop(arguments: &Stop, quiet: bool, files: &mut Files) -> Result<(), Failure> {
    let address = match Where::of(&arguments.running, files)? {
        Where::Here(address) => address,
        Where::There(site) => return site.stop(quiet),
    };
    let answer = address.ask(&json!({ "do": "stop" }))?;
    if !quiet {
        let _ = writeln!(
            stderr(),
            "{}: stopped; the next run goes on from checkpoint {} in {}",
            address.pipeline,
            answer["checkpoint"],
            address.secrets.mask(&address.place)
        );
    }
    Ok(())
}

/// What people see.
fn text(before: &Value, now: &Value) -> String {
    let number = |value: &Value| thousands(value.as_u64().unwrap_or(0).into());
    let time = |value: &Value| {
        let time = value.as_i64().and_then(timestamp_ms_to_datetime);
        time.map_or("-".to_owned(), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
    };
    let seconds = |value: &Value| value["uptime_seconds"].as_f64().unwrap_or(0.0);
    let events = |value: &Value| value["events"].as_u64().unwrap_or(0);
    let rate = events(now).saturating_sub(events(before)) as f64 / (seconds(now) - seconds(before)).max(1e-3);
    let (total, checkpoint) = (&now["total"], &now["checkpoint"]);
    let mut out = format!(
        "{} v{}, {}, process {}, {} workers, for {:.0} s\n  {} events/s; {} events in all, {} windows, {} rows; complete until {}\n",
        now["pipeline"].as_str().unwrap_or("-"),
        now["version"],
        now["state"].as_str().unwrap_or("-"),
        now["pid"],
        now["parallelism"],
        seconds(now),
        thousands((rate as u64).into()),
        number(&total["records"]),
        number(&total["windows"]),
        number(&total["rows_out"]),
        time(&now["complete_until"]),
    );
    out.push_str(&format!(
        "  dropped: {} bad, {} late, {} late while their partition was silent\n",
        number(&total["bad"]),
        number(&total["late"]),
        number(&total["late_idle"])
    ));
    let disk = match now["disk_bytes"].as_u64() {
        None | Some(0) => String::new(),
        Some(bytes) => format!(" in memory, {} on disk", size(bytes)),
    };
    out.push_str(&format!(
        "  {} of state{disk}; checkpoint {} in {}, {} stored and {} failed in this run, each held rows up for at most {:.1} ms\n",
        size(now["state_bytes"].as_u64().unwrap_or(0)),
        checkpoint["last"],
        checkpoint["place"].as_str().unwrap_or("-"),
        number(&checkpoint["stored"]),
        number(&checkpoint["failed"]),
        checkpoint["longest_pause_ms"].as_f64().unwrap_or(0.0)
    ));
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["table", "partition", "position", "event time", "events"]);
    for partition in now["partitions"].as_array().into_iter().flatten() {
        table.add_row([
            partition["table"].as_str().unwrap_or("-").to_owned(),
            partition["partition"].to_string(),
            number(&partition["position"]),
            time(&partition["event_time"]),
            number(&partition["records"]),
        ]);
    }
    for column in [1, 2, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    out.push_str(&table.to_string());
    out
}
