//! State belongs to what a node computes: what may change in a file so that a run goes on from it, and what may not.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[allow(dead_code)]
mod common;

use hitters_planner::identity::identity;
use hitters_planner::plan::NodeKind;
use hitters_planner::{PlanOptions, plan};
use std::collections::BTreeSet;

const SQL: &str = "
CREATE TABLE rides (t TIMESTAMP NOT NULL, driver BIGINT, kind TEXT, fare BIGINT,
    cents BIGINT GENERATED ALWAYS AS (fare * 100), WATERMARK FOR t AS t - INTERVAL '1 minute')
WITH (connector = 'kafka', topic = 'rides', type = 'source');
CREATE TABLE first WITH (connector = 'kafka', topic = 'first', type = 'sink');
CREATE VIEW by_driver AS SELECT driver, tumble(INTERVAL '1 hour') AS window, sum(cents) AS paid FROM rides
    WHERE kind = 'end' GROUP BY 1, 2;
CREATE VIEW by_kind AS SELECT kind, tumble(INTERVAL '1 hour') AS window, count(*) AS n FROM rides GROUP BY 1, 2;
INSERT INTO first SELECT driver, paid, n FROM (
    SELECT d.driver AS driver, d.paid AS paid, k.n AS n, row_number() OVER (PARTITION BY d.window ORDER BY d.paid DESC) AS rn
    FROM by_driver d JOIN by_kind k ON d.window = k.window WHERE k.n > 3) WHERE rn <= 10;
";

/// The identities of the nodes with state.
fn identities(sql: &str) -> BTreeSet<String> {
    let planned = plan(
        sql,
        &common::connectors(),
        &common::functions(),
        &PlanOptions::default(),
    );
    let planned = planned.unwrap_or_else(|errors| panic!("{errors:?}\n{sql}"));
    let stateful = |kind: &NodeKind| {
        matches!(
            kind,
            NodeKind::Window(_) | NodeKind::Regroup { .. } | NodeKind::RowNumber { .. } | NodeKind::Join { .. }
        )
    };
    let nodes = planned
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| stateful(&node.kind));
    nodes.map(|(id, _)| identity(&planned, id)).collect()
}

/// The file with one text in place of another.
fn with(from: &str, to: &str) -> BTreeSet<String> {
    let sql = SQL.replace(from, to);
    assert_ne!(sql, SQL, "{from} is not in the file");
    identities(&sql)
}

#[test]
fn what_plays_no_part_changes_no_identity() {
    let before = identities(SQL);
    assert_eq!(before.len(), 4, "two windows, a join, a number: {before:#?}");
    for (from, to) in [
        ("topic = 'first'", "topic = 'other'"),
        ("first", "renamed"),
        ("by_driver", "per_driver"),
        // Columns that nobody reads, also before those that are read.
        ("driver BIGINT, kind", "vehicle TEXT, driver BIGINT, kind"),
        (
            "cents BIGINT GENERATED",
            "euros BIGINT GENERATED ALWAYS AS (fare), cents BIGINT GENERATED",
        ),
        ("AS paid,", "AS paid ,"),
    ] {
        assert_eq!(with(from, to), before, "{from} -> {to}");
    }
    // A further query that reads other columns comes with nodes of its own.
    let more = format!(
        "{SQL} SELECT tumble(INTERVAL '1 day') AS window, max(fare) AS best FROM rides WHERE kind <> 'x' GROUP BY 1;"
    );
    let more = identities(&more);
    assert!(before.is_subset(&more), "{before:#?}\n{more:#?}");
    assert_eq!(more.len(), before.len() + 1);
}

#[test]
fn what_is_computed_is_the_identity() {
    let before = identities(SQL);
    for (from, to, kept) in [
        ("sum(cents) AS paid", "max(cents) AS paid", 1),
        ("fare * 100", "fare * 10", 1),
        ("kind = 'end'", "kind = 'start'", 1),
        ("driver BIGINT", "driver TEXT", 1),
        ("topic = 'rides'", "topic = 'trips'", 0),
        ("INTERVAL '1 minute'", "INTERVAL '2 minutes'", 0),
        ("k.n > 3", "k.n > 4", 2),
        ("ORDER BY d.paid DESC", "ORDER BY d.paid", 3),
        ("rn <= 10", "rn <= 11", 3),
    ] {
        let after = with(from, to);
        let same = before.intersection(&after).count();
        assert_eq!(same, kept, "{from} -> {to}\n{before:#?}\n{after:#?}");
    }
}

#[test]
fn columns_of_one_name_on_both_sides_of_a_join_are_told_apart() {
    let numbered = |column: &str| {
        let more = format!(
            "SELECT kind, other, rn FROM (SELECT a.kind AS kind, b.kind AS other,
                 row_number() OVER (PARTITION BY a.window ORDER BY {column}.n) AS rn
             FROM by_kind a JOIN by_kind b ON a.window = b.window AND a.kind < b.kind) WHERE rn <= 3;"
        );
        identities(&format!("{SQL} {more}"))
    };
    assert_ne!(numbered("a"), numbered("b"));
}
