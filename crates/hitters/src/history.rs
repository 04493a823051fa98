//! For `hitters explain`: what the history of a pipeline weighs in Cassandra.

use crate::engine;
use crate::show::thousands;
use hitters_connectors::topics::{TableTopic, of_table};
use hitters_pipeline::Pipeline;
use hitters_planner::plan::{NodeKind, Plan};
use hitters_planner::window::Window;
use hitters_results::size;
use std::fmt::Write;

/// An answer of the compact form that the estimate is made for, too.
const COMPACT: usize = 100;

/// The topic that a pipeline's history comes from.
///
/// # Errors
/// If it writes none: the name that it would have.
pub fn topic(pipeline: &Pipeline, plan: &Plan) -> Result<TableTopic, String> {
    let name = format!("{}.results", pipeline.name);
    let mut topics = engine::sinks(plan).filter_map(|table| of_table(table));
    topics.find(|topic| topic.topic == name).ok_or(name)
}

/// Bytes a day and group, by tier; `None` for a pipeline without a results topic.
pub fn describe(pipeline: &Pipeline, plan: &Plan) -> Option<String> {
    let topic = topic(pipeline, plan).ok()?.topic;
    let (width, capacity) = sketches(plan)?;
    let mut out = format!(
        "\nhistory of topic {topic} in Cassandra (`hitters archive`), bytes a group, for items of ten characters:\n"
    );
    let form = |compact: Option<usize>| size::sketch_bytes(capacity, compact).ok();
    let forms = [
        ("as published".to_owned(), form(None)),
        (format!("--compact {COMPACT}"), form(Some(COMPACT))),
    ];
    for (name, bytes) in forms {
        let Some(bytes) = bytes else { continue };
        for tier in size::tiers(width, bytes) {
            let _ = writeln!(
                out,
                "  {name:<14} windows of {:<6} about {:>9} a window, {:>13} a day, {:>13} kept for {}",
                length(tier.width),
                thousands(tier.bytes as u128),
                thousands(tier.a_day(1)),
                thousands(tier.kept(1)),
                length(tier.kept),
            );
        }
    }
    Some(out)
}

/// The shortest window with sketches, and how many items those track.
fn sketches(plan: &Plan) -> Option<(i64, usize)> {
    let windows = plan.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Window(node) => {
            let width = match node.window {
                Window::Tumble { width } | Window::Hop { width, .. } => width,
                _ => return None,
            };
            let costs = node
                .aggregates
                .iter()
                .filter_map(|call| hitters_functions::cost_of(&call.function));
            // Widths of a plan are in nanoseconds.
            Some((width / 1_000_000, costs.filter_map(|cost| cost.capacity).max()?))
        }
        _ => None,
    });
    windows.min()
}

fn length(millis: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    let unit = UNITS
        .into_iter()
        .find(|(unit, _)| millis % unit == 0 && millis >= *unit);
    let (unit, name) = unit.unwrap_or((1, "ms"));
    format!("{} {name}", millis / unit)
}
