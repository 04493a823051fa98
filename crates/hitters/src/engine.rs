//! From the SQL of a pipeline to a plan, with faults that point into the user's files.

use crate::failure::Failure;
use crate::plugins;
use crate::report::{self, Severity};
use hitters_pipeline::{Backend, Broken, Fault, Files, Pipeline, Script};
use hitters_planner::plan::{NodeKind, Plan};
use hitters_planner::table::Table;
use hitters_planner::{Cluster, Functions, PlanOptions, Span};
use std::sync::Arc;

/// Plans a pipeline against everything that this binary holds.
pub fn plan(pipeline: &Pipeline) -> Result<Plan, Failure> {
    plan_for(pipeline, None)
}

/// The same, and checks it for an Arroyo cluster.
pub fn plan_for(pipeline: &Pipeline, arroyo: Option<Cluster>) -> Result<Plan, Failure> {
    let options = PlanOptions {
        arroyo,
        ..PlanOptions::default()
    };
    let mut faults: Vec<Fault> = storage(pipeline).err().into_iter().collect();
    let functions = match plugins::functions(pipeline) {
        Ok(functions) => functions,
        // The SQL would only be told that it calls what is not there.
        Err(found) => {
            faults.extend(found);
            return Err(Failure::Faults(faults));
        }
    };
    match plan_script(&pipeline.script, &functions, &options) {
        Ok(plan) => {
            faults.extend(shows(pipeline, &plan));
            if faults.is_empty() {
                Ok(plan)
            } else {
                Err(Failure::Faults(faults))
            }
        }
        Err(found) => {
            faults.extend(found);
            Err(Failure::Faults(faults))
        }
    }
}

/// Checks that this binary knows the storage of the checkpoints and the state backend. Nothing is opened.
fn storage(pipeline: &Pipeline) -> Result<(), Fault> {
    let state = pipeline.settings.state.as_ref();
    if let Some(state) = state.filter(|state| state.backend == Backend::RocksDb) {
        hitters_storage::spill::check().map_err(|error| Fault {
            message: error.message,
            place: Some(state.place.clone()),
            hint: None,
        })?;
    }
    let Some(checkpoint) = &pipeline.settings.checkpoint else {
        return Ok(());
    };
    hitters_storage::check(&checkpoint.storage).map_err(|error| Fault {
        message: pipeline.script.mask(&error.message),
        place: Some(checkpoint.place.clone()),
        hint: None,
    })
}

/// `[[show]]` of tables that nothing writes.
fn shows(pipeline: &Pipeline, plan: &Plan) -> Vec<Fault> {
    let tables: Vec<String> = sinks(plan).map(|table| table.name.clone()).collect();
    let unknown = pipeline.shows.iter().filter(|show| !tables.contains(&show.table));
    let hint = || match tables.is_empty() {
        true => "tables that are written: none".to_owned(),
        false => format!("tables that are written: {}", tables.join(", ")),
    };
    unknown
        .map(|show| Fault {
            message: format!("[[show]] names '{}', and no INSERT writes to such a table", show.table),
            place: Some(show.place.clone()),
            hint: Some(hint()),
        })
        .collect()
}

/// Plans a script.
fn plan_script(script: &Script, functions: &Functions, options: &PlanOptions) -> Result<Plan, Vec<Fault>> {
    let planned = hitters_planner::plan(script.text(), &hitters_connectors::connectors(), functions, options);
    planned.map_err(|errors| {
        errors
            .into_iter()
            .map(|error| fault(script, error.message, error.span, error.hint))
            .collect()
    })
}

/// All faults of a pipeline that cannot run: those that were found, and those that its SQL has.
pub fn faults(broken: Broken) -> Failure {
    let mut faults = broken.faults;
    faults.extend(
        broken
            .script
            .and_then(|script| plan_script(&script, &functions(), &PlanOptions::default()).err())
            .unwrap_or_default(),
    );
    Failure::Faults(faults)
}

/// The functions beside those of DataFusion.
pub fn functions() -> Functions {
    let mut scalar = hitters_functions::scalar_functions();
    scalar.extend(hitters_functions::json_functions());
    Functions {
        scalar,
        aggregate: hitters_functions::aggregate_functions(),
    }
}

/// The plan's warnings with their places.
pub fn warnings(pipeline: &Pipeline, plan: &Plan) -> Vec<Fault> {
    let warnings = plan.warnings.iter();
    warnings
        .map(|warning| {
            fault(
                &pipeline.script,
                warning.message.clone(),
                warning.span,
                warning.hint.clone(),
            )
        })
        .collect()
}

/// Prints the plan's warnings.
pub fn warn(pipeline: &Pipeline, plan: &Plan, files: &Files) {
    report::print(&warnings(pipeline, plan), Severity::Warning, files);
}

/// The tables that a plan writes.
pub fn sinks(plan: &Plan) -> impl Iterator<Item = &Arc<Table>> {
    plan.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Sink(Some(table)) => Some(table),
        _ => None,
    })
}

/// The tables that a plan reads.
pub fn sources(plan: &Plan) -> impl Iterator<Item = &Arc<Table>> {
    plan.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Source(source) => Some(&source.table),
        _ => None,
    })
}

/// True if a bare SELECT prints rows.
pub fn prints(plan: &Plan) -> bool {
    plan.nodes.iter().any(|node| matches!(node.kind, NodeKind::Sink(None)))
}

fn fault(script: &Script, message: String, span: Option<Span>, hint: Option<String>) -> Fault {
    let place = span.and_then(|span| script.locate((span.line, span.column), (span.end_line, span.end_column)));
    Fault {
        message: script.mask(&message),
        place,
        hint: hint.map(|hint| script.mask(&hint)),
    }
}
