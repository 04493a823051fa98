//! Plans and states as people read them.

use super::lag::Lag;
use super::partitions::Topic;
use crate::own_topics::NewTopic;
use crate::show::{size, thousands};
use arrow::temporal_conversions::timestamp_ms_to_datetime;
use comfy_table::{CellAlignment, Table, presets};
use hitters_arroyo::{Change, Cluster, Deployed, FunctionChange, Plan, Status};
use std::fmt::Write;
use std::time::Duration;

/// What a deployment would do: `+` is new, `~` changes, the rest stays. `topics` are those that it reads, `new` those that are to be made.
pub fn plan(cluster: &Cluster, plan: &Plan, topics: &[Topic], new: &[NewTopic]) -> String {
    let mut out = format!("{} on {}\n", plan.pipeline, cluster.url());
    let mut line = |sign: &str, what: &str, name: &str, says: &str| {
        let _ = writeln!(out, "  {sign} {what} {name}: {says}");
    };
    for (function, change) in &plan.functions {
        let (sign, says) = match change {
            FunctionChange::Leave => (" ", "is there"),
            FunctionChange::Build => ("+", "will be compiled there"),
            FunctionChange::Replace => ("~", "will be compiled anew; pipelines that run keep the one they have"),
        };
        line(sign, "function", &function.name, says);
    }
    for topic in new {
        line(
            "+",
            "topic",
            &topic.spec.name,
            &format!("will be created, like {}", topic.like),
        );
    }
    let (sign, mut says) = change(plan);
    let own: Vec<_> = topics.iter().filter(|topic| topic.written).collect();
    if matches!(plan.change, Change::Replace) && !own.is_empty() {
        let names: Vec<_> = own.iter().map(|own| own.topic.topic.as_str()).collect();
        let _ = write!(
            says,
            ". It would roll up what the one before left in {}, too",
            names.join(", ")
        );
    }
    line(sign, "pipeline", &plan.pipeline, &says);
    if plan.older_functions {
        line(
            " ",
            "pipeline",
            &plan.pipeline,
            "runs with functions of an earlier deployment; `hitters replay` fills the next version with these",
        );
    }
    for other in &plan.others {
        let says = format!("stays as it is ({}, {} subtasks)", other.state(), other.parallelism());
        line(" ", "pipeline", other.name(), &says);
    }
    out
}

fn change(plan: &Plan) -> (&'static str, String) {
    let seconds = |time: &Duration| format!("{} s", time.as_secs_f64());
    match &plan.change {
        Change::Create => (
            "+",
            format!("will be created, with {} subtasks of each operator", plan.parallelism()),
        ),
        Change::Leave => (
            " ",
            format!("is there, with {} subtasks of each operator", plan.parallelism()),
        ),
        Change::Replace => (
            "~",
            format!(
                "{} and will be replaced, with {} subtasks of each operator. Its state is lost: the new one reads its \
                 topics from where its tables say. `hitters replay` fills the next version beside it instead",
                match plan.current.as_ref().is_some_and(Deployed::is_cut) {
                    true => "lacks rows, since the cluster's chaining has cut its graph,",
                    false => "runs another SQL",
                },
                plan.parallelism()
            ),
        ),
        Change::Alter {
            parallelism,
            interval,
            start,
        } => {
            let mut says = Vec::new();
            if let Some((from, to)) = parallelism {
                says.push(format!("goes from {from} to {to} subtasks of each operator"));
            }
            if let Some((from, to)) = interval {
                says.push(format!(
                    "takes checkpoints every {} (now {})",
                    seconds(to),
                    seconds(from)
                ));
            }
            if let Some(state) = start {
                says.push(format!("is {state} and starts from its last checkpoint"));
            }
            ("~", says.join("; "))
        }
    }
}

/// How a pipeline is doing.
pub fn status(status: &Status, lag: &Result<Lag, String>) -> String {
    let time = |millis: Option<u64>| {
        let time = millis.and_then(|millis| timestamp_ms_to_datetime(i64::try_from(millis).ok()?));
        time.map_or("-".to_owned(), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
    };
    let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| thousands(rate.round() as u128));
    let mut out = format!(
        "{} ({}), {}, run {} since {}, {} subtasks of each operator\n  {} events/s; ",
        status.pipeline,
        status.id,
        status.state,
        status.run,
        time(status.started),
        status.parallelism,
        rate(status.events()),
    );
    let _ = match lag {
        Ok(lag) => writeln!(out, "{lag}"),
        Err(why) => writeln!(out, "behind the log: unknown ({why})"),
    };
    let _ = match &status.checkpoint {
        Some(last) => writeln!(
            out,
            "  checkpoint {} at {}, {} ms, {}; one every {} s",
            last.epoch,
            time(Some(last.finished)),
            last.finished.saturating_sub(last.started),
            last.bytes.map_or("size unknown".into(), size),
            status.checkpoint_interval
        ),
        None => writeln!(out, "  no checkpoint yet; one every {} s", status.checkpoint_interval),
    };
    for error in &status.errors {
        let _ = writeln!(out, "  error at {}: {error}", time(error.time));
    }
    for unknown in &status.unknown {
        let _ = writeln!(out, "  unknown: {unknown}");
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["operator", "rows in/s", "rows out/s", "held up"]);
    for operator in &status.operators {
        let held = operator
            .backpressure
            .map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0));
        table.add_row([
            operator.description.clone(),
            rate(operator.received),
            rate(operator.sent),
            held,
        ]);
    }
    for column in [1, 2, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    out.push_str(&table.to_string());
    out
}
