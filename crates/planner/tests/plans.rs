//! Plans of the files in `tests/plans`, as `hitters explain` prints them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use hitters_planner::plan::{NodeKind, Plan};
use hitters_planner::{PlanOptions, explain, plan};

fn planned(name: &str, sql: &str) -> Plan {
    match plan(
        sql,
        &common::connectors(),
        &common::functions(),
        &PlanOptions::default(),
    ) {
        Ok(plan) => plan,
        Err(errors) => {
            let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
            panic!("{name}: {}", lines.join("\n"))
        }
    }
}

fn text(plan: &Plan) -> String {
    let mut text = explain(plan);
    for warning in &plan.warnings {
        let span = warning.span.unwrap();
        text.push_str(&format!("warning {}:{} {}\n", span.line, span.column, warning.message));
    }
    text
}

#[test]
fn every_file_has_the_plan_of_its_snapshot() {
    for (name, sql) in common::files("plans") {
        insta::with_settings!({ snapshot_path => "plans", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.as_str(), text(&planned(&name, &sql)));
        });
    }
}

#[test]
fn planning_twice_gives_the_same_plan() {
    for (name, sql) in common::files("plans") {
        assert_eq!(explain(&planned(&name, &sql)), explain(&planned(&name, &sql)), "{name}");
    }
}

/// The engine relies on both.
#[test]
fn inputs_stand_before_their_readers_and_fit_their_positions() {
    for (name, sql) in common::files("plans") {
        let plan = planned(&name, &sql);
        for (id, node) in plan.nodes.iter().enumerate() {
            assert!(node.inputs.iter().all(|input| *input < id), "{name}: node {id}");
            let columns = |i: usize| plan.nodes[node.inputs[i]].schema.fields().len();
            let expected = match &node.kind {
                NodeKind::Source(source) => source.output.len(),
                NodeKind::Project(exprs) => exprs.len(),
                NodeKind::Filter(_) | NodeKind::Unnest { .. } | NodeKind::Union | NodeKind::Sink(_) => columns(0),
                NodeKind::Window(w) => 1 + w.keys.len() + w.aggregates.len(),
                NodeKind::Regroup { keys, aggregates } => keys.len() + aggregates.len(),
                NodeKind::RowNumber { .. } => columns(0) + 1,
                NodeKind::Join { .. } => columns(0) + columns(1),
            };
            assert_eq!(node.schema.fields().len(), expected, "{name}: node {id}");
        }
    }
}
