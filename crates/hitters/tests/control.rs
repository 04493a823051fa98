//! A run that keeps state, steered from other shells: nothing is lost or counted twice, whoever stops or scales it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};
use support::{command, run};

/// 100 rows by group and second of event time, without end.
const SQL: &str = "
CREATE TABLE numbers WITH (connector = 'impulse', event_rate = '1000');
SELECT CAST(to_unixtime(window.start) AS BIGINT) AS second, part, n FROM (
    SELECT tumble(INTERVAL '1 second') AS window, counter % 10 AS part, count(*) AS n FROM numbers GROUP BY 1, 2);
";

struct Pipeline {
    folder: tempfile::TempDir,
}

impl Pipeline {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("numbers.sql"), SQL).unwrap();
        let text = "sql = 'numbers.sql'\n[checkpoint]\nstorage = 'state'\ninterval = '200ms'\n";
        fs::write(folder.path().join("numbers.toml"), text).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self) -> String {
        self.path("numbers.toml").display().to_string()
    }

    /// Starts it, with its rows in a file.
    fn start(&self, rows: &str) -> Child {
        let output = File::create(self.path(rows)).unwrap();
        let log = File::create(self.path(&format!("{rows}.log"))).unwrap();
        command(["run", &self.file()])
            .stdout(output)
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn status(&self) -> Option<Value> {
        let ran = run(["status", &self.file(), "--json"]);
        serde_json::from_str(&ran.stdout).ok()
    }

    /// Waits until the status is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(30);
        let mut last = None;
        while Instant::now() < end {
            last = self.status();
            if let Some(status) = last.as_ref().filter(|status| wanted(status)) {
                return status.clone();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{what} did not come; the last status was {last:?}");
    }
}

/// How often each row of the file is there.
fn rows(path: &Path, into: &mut BTreeMap<(i64, i64, i64), usize>) {
    for line in fs::read_to_string(path).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| row[name].as_i64().unwrap();
        *into.entry((field("second"), field("part"), field("n"))).or_default() += 1;
    }
}

#[test]
fn stopped_and_started_again_every_row_comes_once() {
    let pipeline = Pipeline::new();
    let mut seen = BTreeMap::new();
    for (round, windows) in [("first", 2), ("second", 4)] {
        let mut child = pipeline.start(round);
        pipeline.until("a window", |status| {
            status["total"]["windows"].as_i64() >= Some(windows)
        });
        let stopped = run(["stop", &pipeline.file()]).well();
        assert!(stopped.stderr.contains("goes on from checkpoint"), "{}", stopped.stderr);
        assert!(child.wait().unwrap().success());
        rows(&pipeline.path(round), &mut seen);
    }
    let seconds = 1 + seen.keys().map(|row| row.0).max().unwrap();
    assert!(seconds >= 4, "{seen:?}");
    let expected = (0..seconds).flat_map(|second| (0..10).map(move |part| ((second, part, 100), 1)));
    assert_eq!(seen, expected.collect(), "rows of both runs");
    let log = fs::read_to_string(pipeline.path("second.log")).unwrap();
    assert!(log.contains("going on from checkpoint"), "{log}");
}

#[test]
fn scaled_it_goes_on_with_the_same_counts() {
    let pipeline = Pipeline::new();
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
    rows(&pipeline.path("rows"), &mut seen);
    assert!(
        seen.iter().all(|((_, _, n), times)| (*n, *times) == (100, 1)),
        "{seen:?}"
    );
}

#[test]
fn a_second_run_on_the_same_state_is_refused() {
    let pipeline = Pipeline::new();
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
    let pipeline = Pipeline::new();
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
