//! A run that keeps state, steered from other shells: nothing is lost or counted twice, whoever stops or scales it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use support::numbers::{Numbers, Row};
use support::run;

fn pipeline() -> Numbers {
    Numbers::new("state", Vec::new())
}

/// How often each row came.
fn count(rows: Vec<Row>, into: &mut BTreeMap<Row, usize>) {
    rows.into_iter().for_each(|row| *into.entry(row).or_default() += 1);
}

#[test]
fn stopped_and_started_again_every_row_comes_once() {
    let pipeline = pipeline();
    let mut seen = BTreeMap::new();
    for (round, windows) in [("first", 2), ("second", 4)] {
        let mut child = pipeline.start(round);
        pipeline.until("a window", |status| {
            status["total"]["windows"].as_i64() >= Some(windows)
        });
        let stopped = run(["stop", &pipeline.file()]).well();
        assert!(stopped.stderr.contains("goes on from checkpoint"), "{}", stopped.stderr);
        assert!(child.wait().unwrap().success());
        count(pipeline.rows(round), &mut seen);
    }
    let seconds = 1 + seen.keys().map(|row| row[0]).max().unwrap();
    assert!(seconds >= 4, "{seen:?}");
    let expected = (0..seconds).flat_map(|second| (0..10).map(move |part| ([second, part, 100], 1)));
    assert_eq!(seen, expected.collect(), "rows of both runs");
    let log = pipeline.log("second");
    assert!(log.contains("going on from checkpoint"), "{log}");
}

#[test]
fn scaled_it_goes_on_with_the_same_counts() {
    let pipeline = pipeline();
    let mut child = pipeline.start("rows");
    pipeline.until("a window", |status| status["total"]["windows"].as_i64() >= Some(1));
    let before = pipeline.status().unwrap();
    run(["scale", &pipeline.file(), "4"]).well();
    let after = pipeline.until("a further window", |status| {
        status["total"]["windows"].as_i64() >= Some(3)
    });
    assert!(after["total"]["records"].as_i64() > before["total"]["records"].as_i64());
    assert!(after["checkpoint"]["last"].as_i64() > before["checkpoint"]["last"].as_i64());
    assert_eq!(after["pid"], before["pid"]);
    run(["stop", &pipeline.file()]).well();
    assert!(child.wait().unwrap().success());
    let mut seen = BTreeMap::new();
    count(pipeline.rows("rows"), &mut seen);
    assert!(
        seen.iter().all(|([_, _, n], times)| (*n, *times) == (100, 1)),
        "{seen:?}"
    );
}

#[test]
fn a_second_run_on_the_same_state_is_refused() {
    let pipeline = pipeline();
    let mut child = pipeline.start("rows");
    pipeline.until("the first checkpoint", |status| {
        status["checkpoint"]["stored"].as_i64() >= Some(1)
    });
    run(["run", &pipeline.file()]).fails(1, &["is in use", &child.id().to_string()]);
    run(["stop", &pipeline.file()]).well();
    assert!(child.wait().unwrap().success());
}

#[test]
fn status_is_a_table_for_people_and_a_clear_error_without_a_run() {
    let pipeline = pipeline();
    run(["status", &pipeline.file()]).fails(1, &["no run of 'numbers' answers", "state"]);
    run(["stop", "flights"]).fails(2, &["keeps no state", "[checkpoint]"]);
    let mut child = pipeline.start("rows");
    pipeline.until("rows", |status| status["events"].as_i64() >= Some(1));
    let shown = run(["status", &pipeline.file()]).well().stdout;
    for word in ["numbers v1", "running", "events/s", "partition", "dropped: 0 bad"] {
        assert!(shown.contains(word), "{word} is not in\n{shown}");
    }
    run(["stop", &pipeline.file()]).well();
    assert!(child.wait().unwrap().success());
}
