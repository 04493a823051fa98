//! `hitters check` and `hitters explain`: what can be said of a pipeline before it runs.

use crate::batches;
use crate::cli::{Check, Explain, TargetEngine};
use crate::engine;
use crate::failure::Failure;
use crate::history;
use crate::load;
use crate::report::{self, Severity};
use crate::show::thousands;
use crate::spill;
use hitters_pipeline::{Fault, Files};
use hitters_planner::Cluster;
use hitters_planner::plan::{NodeKind, Plan};
use hitters_planner::window::Window;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{Write, stderr, stdout};

/// Runs `check`.
pub fn check(arguments: &Check, files: &mut Files) -> Result<(), Failure> {
    let checked = load::load(&arguments.target, files).and_then(|pipeline| {
        let cluster = arguments.engine.map(|TargetEngine::Arroyo| {
            let partitions = arguments.partitions.map(usize::from);
            let settings = &pipeline.settings;
            let own = settings.cluster.as_ref().and_then(|cluster| cluster.parallelism);
            let own = own.and_then(|n| usize::try_from(n).ok());
            Cluster {
                // As a deployment takes it: the partitions, unless the pipeline file says another number.
                parallelism: own.or(settings.parallelism).or(partitions).unwrap_or(1),
                partitions,
                chaining: true,
            }
        });
        let plan = engine::plan_for(&pipeline, cluster)?;
        Ok((
            engine::warnings(&pipeline, &plan),
            engine::sources(&plan).count(),
            engine::sinks(&plan).count(),
        ))
    });
    if arguments.json {
        let list = |faults: &[Fault]| -> Value { faults.iter().map(|fault| report::json(fault, files)).collect() };
        let (value, failure) = match checked {
            Ok((warnings, ..)) => (json!({ "ok": true, "faults": [], "warnings": list(&warnings) }), None),
            Err(Failure::Faults(faults)) => (
                json!({ "ok": false, "faults": list(&faults), "warnings": [] }),
                Some(Failure::Told(3)),
            ),
            Err(other) => return Err(other),
        };
        writeln!(stdout().lock(), "{value}")?;
        return failure.map_or(Ok(()), Err);
    }
    let (warnings, sources, sinks) = checked?;
    report::print(&warnings, Severity::Warning, files);
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    // Standard error has gone away: the exit code says it too.
    let _ = writeln!(
        stderr(),
        "{}: no faults; reads {}, writes {}",
        arguments.target.target,
        count(sources, "table"),
        count(sinks, "table")
    );
    Ok(())
}

/// Runs `explain`.
pub fn explain(arguments: &Explain, files: &mut Files) -> Result<(), Failure> {
    let pipeline = load::load(&arguments.target, files)?;
    let plan = engine::plan(&pipeline)?;
    engine::warn(&pipeline, &plan, files);
    let mut text = hitters_planner::explain(&plan);
    text.push_str(&costs(&plan));
    text.extend(spill::describe(&pipeline));
    text.extend(batches::describe(&pipeline));
    text.extend(history::describe(&pipeline, &plan));
    write!(stdout().lock(), "{text}")?;
    Ok(())
}

/// What the sketches of each window cost and promise.
fn costs(plan: &Plan) -> String {
    let mut out = String::new();
    for (id, node) in plan.nodes.iter().enumerate() {
        let (what, aggregates) = match &node.kind {
            NodeKind::Window(window) => (window.window.to_string(), &window.aggregates),
            NodeKind::Regroup { aggregates, .. } => ("regrouped window".to_owned(), aggregates),
            _ => continue,
        };
        let panes = match &node.kind {
            NodeKind::Window(window) => match window.window {
                Window::Hop { slide, width } => width / slide.max(1),
                _ => 1,
            },
            _ => 1,
        };
        let calls = hitters_planner::aggregate_calls(plan, id);
        for (aggregate, name) in aggregates.iter().zip(calls) {
            let Some(cost) = hitters_functions::cost_of(&aggregate.function) else {
                continue;
            };
            let tracked = cost
                .capacity
                .map(|items| format!(", {} items tracked", thousands(items as u128)))
                .unwrap_or_default();
            let bytes = thousands(cost.bytes as u128);
            let _ = writeln!(
                out,
                "\n{name} over {what}: about {bytes} bytes a pane and group{tracked}"
            );
            if panes > 1 {
                let all = thousands(cost.bytes as u128 * panes.unsigned_abs() as u128);
                let _ = writeln!(out, "  {panes} panes make a window: about {all} bytes a group");
            }
            for bound in cost.bounds {
                let _ = writeln!(out, "  {} ({})", bound.text, bound.kind);
            }
        }
    }
    out
}
