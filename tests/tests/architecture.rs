//! Who may see whom (ARCHITECTURE.md, "Which room may use which?"), checked from `cargo metadata`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Each package of the workspace and the packages of the workspace that it may depend on. What is not here is not allowed.
const ALLOWED: &[(&str, &[&str])] = &[
    ("hitters-sketch", &[]),
    ("hitters-functions", &["hitters-sketch"]),
    ("hitters-pipeline", &[]),
    ("hitters-results", &["hitters-sketch"]),
    ("hitters-planner", &["hitters-functions"]),
    ("hitters-dataflow", &["hitters-functions", "hitters-planner"]),
    ("hitters-storage", &["hitters-dataflow"]),
    (
        "hitters-connectors",
        &["hitters-planner", "hitters-dataflow", "hitters-results"],
    ),
    ("hitters-arroyo", &["hitters-pipeline"]),
    ("hitters-plugin", &[]),
    ("hitters-plugins", &["hitters-functions"]),
    ("hitters-service", &["hitters-results", "hitters-sketch"]),
    ("hitters-postgres", &["hitters-results", "hitters-service"]),
    (
        "hitters",
        &[
            "hitters-arroyo",
            "hitters-connectors",
            "hitters-dataflow",
            "hitters-functions",
            "hitters-pipeline",
            "hitters-planner",
            "hitters-plugin",
            "hitters-plugins",
            "hitters-postgres",
            "hitters-results",
            "hitters-service",
            "hitters-sketch",
            "hitters-storage",
        ],
    ),
];

/// Crates that some packages must do without: the mathematics knows no Arrow and no I/O, operators no runtime.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "hitters-sketch",
        &[
            "arrow",
            "datafusion",
            "tokio",
            "rdkafka",
            "redis",
            "serde",
            "serde_json",
        ],
    ),
    ("hitters-functions", &["tokio", "rdkafka", "redis"]),
    ("hitters-planner", &["tokio", "rdkafka", "redis"]),
    ("hitters-dataflow", &["tokio", "rdkafka", "redis"]),
    (
        "hitters-pipeline",
        &["arrow", "datafusion", "tokio", "rdkafka", "redis"],
    ),
    ("hitters-results", &["datafusion", "rdkafka"]),
    ("hitters-service", &["arrow", "datafusion", "rdkafka"]),
    ("hitters-postgres", &["arrow", "rdkafka", "redis"]),
    ("hitters-storage", &["arrow", "datafusion"]),
];

/// Direct dependencies (not those of tests) by package.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().unwrap().iter();
            let direct = all
                .filter(|dependency| dependency["kind"] != "dev")
                // Fixes features of what is in the tree anyway (udfs/functions/Cargo.toml); nothing uses it.
                .filter(|dependency| {
                    !dependency["rename"]
                        .as_str()
                        .is_some_and(|name| name.starts_with("feature-"))
                })
                .map(|dependency| text(&dependency["name"]));
            (text(&package["name"]), direct.collect())
        })
        .collect()
}

#[test]
fn packages_see_only_whom_they_may() {
    let found = dependencies();
    let workspace: BTreeSet<&String> = found.keys().collect();
    for (package, dependencies) in &found {
        if package == "hitters-tests" {
            continue;
        }
        let allowed = ALLOWED.iter().find(|(name, _)| name == package);
        let (_, allowed) = allowed
            .unwrap_or_else(|| panic!("{package} is new: say in this test and in ARCHITECTURE.md whom it may see"));
        for dependency in dependencies.iter().filter(|dependency| workspace.contains(dependency)) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{package} must not see {dependency}"
            );
        }
    }
    assert!(
        ALLOWED.iter().all(|(name, _)| found.contains_key(*name)),
        "a package of this test is gone"
    );
}

#[test]
fn lower_rooms_do_without_what_would_tie_them_down() {
    let found = dependencies();
    for (package, forbidden) in FORBIDDEN {
        for crate_name in *forbidden {
            assert!(
                !found[*package].contains(*crate_name),
                "{package} must not use {crate_name}"
            );
        }
    }
}
