//! The pipelines of the checkout: that each may be deployed to a cluster, or says why not, and what explains and tries them without services.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::Value;
use std::fs;
use support::{root, run};

/// Pipelines for the embedded engine alone, and what a cluster lacks for them.
const EMBEDDED_ONLY: [(&str, &str); 1] = [("flights", "does not unpack")];

fn pipelines() -> Vec<String> {
    let files = fs::read_dir(root().join("pipelines")).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let manifests = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let mut names: Vec<_> = manifests
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_pipeline_may_go_to_a_cluster_or_says_why_not() {
    let names = pipelines();
    assert!(names.len() > 5);
    for name in names {
        let ran = run(["check", &name, "--target", "arroyo", "--json"]);
        let said: Value = serde_json::from_str(&ran.stdout).unwrap();
        match EMBEDDED_ONLY.iter().find(|(only, _)| *only == name) {
            None => assert!(ran.code == Some(0) && said["ok"] == true, "{name}: {said:#}"),
            Some((_, why)) => {
                let faults = said["faults"].as_array().unwrap();
                assert!(
                    faults.len() == 1 && faults[0]["message"].as_str().unwrap().contains(why),
                    "{name}: {said:#}"
                );
            }
        }
    }
}

#[test]
fn the_minutes_of_a_file_are_there_without_any_service() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let events = path("events.ndjson");
    let generated = [
        "generate", "hashtags", "--events", "20000", "--rate", "100", "--items", "50", "--output", &events,
    ];
    run(generated).well();
    let (events, results) = (format!("events={events}"), format!("results={}", path("")));
    let ran = run(["run", "file", "--param", &events, "--param", &results]).well();
    assert!(ran.stdout.contains("Hashtags by minute"), "{}", ran.stdout);
    let rows = fs::read_to_string(folder.path().join("minutes.ndjson")).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let total = |set: &str| -> u64 {
        let of_set = rows.iter().filter(|row| row["set"] == set);
        let total = |row: &Value| -> u64 {
            let answer: Value = serde_json::from_str(row["answer"].as_str().unwrap()).unwrap();
            answer["total"].as_u64().unwrap()
        };
        of_set.map(total).sum()
    };
    assert_eq!((total("*"), total("region")), (20_000, 20_000));
    assert!(rows.iter().filter(|row| row["set"] == "*").count() >= 4, "minutes");
}

#[test]
fn explain_says_when_sketches_of_batches_do_not_pay_on_a_cluster() {
    let both = run(["explain", "shop"]).well().stdout;
    for said in [
        "approx_top_k_batch makes a sketch for each bin of a record batch",
        "approx_top_k_accumulate is the better one",
        "approx_top_k_accumulate keeps every value",
    ] {
        assert!(both.contains(said), "'{said}' is not in\n{both}");
    }
    let batched = run(["explain", "file"]).well().stdout;
    assert!(
        batched.contains("of a record batch") && !batched.contains("keeps every value"),
        "{batched}"
    );
}
