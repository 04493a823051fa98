//! What the cluster says, in our words and at its place in the user's files.

use crate::failure::Failure;
use hitters_arroyo::{Diagnostic, Error, Event, Trouble};
use hitters_pipeline::{Fault, Pipeline};

/// An error of the cluster as the failure of a command.
pub fn failure(pipeline: &Pipeline, error: Error) -> Failure {
    match error {
        Error::Sql(diagnostics) => Failure::Faults(diagnostics.into_iter().map(|one| fault(pipeline, one)).collect()),
        Error::Job {
            pipeline: name,
            what,
            troubles,
        } if troubles.iter().any(|trouble| trouble.table.is_some()) => {
            let told = troubles
                .iter()
                .map(|trouble| job_fault(pipeline, &format!("{name} {what}"), trouble));
            Failure::Job(told.collect())
        }
        other => Failure::Run(pipeline.script.mask(&other.to_string())),
    }
}

/// A fault that the cluster's planner found. It places some of them; others name what they are about.
fn fault(pipeline: &Pipeline, diagnostic: Diagnostic) -> Fault {
    let script = &pipeline.script;
    let place = diagnostic.span.and_then(|(start, end)| {
        // It gives the first character of what is wrong, and sometimes the last one after it.
        let end = if end > start { end } else { (start.0, start.1 + 1) };
        script.locate(start, end)
    });
    Fault {
        message: format!("the cluster's planner: {}", script.mask(diagnostic.message.trim_end())),
        place,
        hint: way_out(&diagnostic.message).map(str::to_owned),
    }
}

/// What to do about messages of the planner that speak of its own inside.
fn way_out(message: &str) -> Option<&'static str> {
    message.contains("__common_expr_").then_some(
        "an expression of GENERATED ALWAYS AS or WATERMARK FOR holds the same call twice outside of coalesce(), which Arroyo does not \
         take: write it so that it stands there once, as sql/tables/messages.sql does",
    )
}

/// Why a job failed, at the table that it failed to read or write.
fn job_fault(pipeline: &Pipeline, what: &str, trouble: &Trouble) -> Fault {
    let script = &pipeline.script;
    let span = trouble
        .table
        .as_ref()
        .and_then(|table| hitters_planner::table_place(script.text(), table));
    Fault {
        message: script.mask(&format!("{what}: {trouble}")),
        place: span.and_then(|span| script.locate((span.line, span.column), (span.end_line, span.end_column))),
        hint: None,
    }
}

/// What happens, as a line; `None` for what people need not know.
pub fn told(event: &Event) -> Option<String> {
    Some(match event {
        Event::Building(name) => format!("{name}: the cluster compiles it (the first function takes minutes)"),
        Event::Built(name, time) => format!("{name}: built in {:.1} s", time.as_secs_f64()),
        Event::Created(name) => format!("{name}: created"),
        Event::Stopping(name) => format!("{name}: stopping, with a last checkpoint"),
        Event::Starting(name) => format!("{name}: starting from its last checkpoint"),
        Event::Scaling(name, to) => format!("{name}: going on with {to} subtasks"),
        Event::Deleted(name) => format!("{name}: the one before is deleted"),
        Event::PutBack(name) => format!("{name}: the one before goes on where it was"),
        Event::State(name, state) => format!("{name}: {state}"),
        Event::Trouble(trouble) => format!("error in {trouble}"),
    })
}
