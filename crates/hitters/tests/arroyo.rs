//! The shipped pipelines on a real Arroyo cluster give the rows of the embedded engine: at parallelism 1 and 2, over a `kill -9` of the
//! whole cluster, and over a rescale.
//!
//! `ARROYO_BIN` or `ARROYO_URL` says where the cluster is (`make test-arroyo`); without one the tests are skipped, and say so.
//! `ARROYO_EVENTS` sets how many events each pipeline gets, `ARROYO_PIPELINES` which ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
mod support;

use conformance::compare::{Compared, same};
use conformance::rows::Rows;
use conformance::{Shipped, World, continued, last_window, shipped, stream};
use hitters_connectors::generate::Generate;
use hitters_tests::services::Arroyo;
use std::io::Write;
use std::time::{Duration, Instant};
use support::{Ran, ended};

/// Longer than any log here: with it a subtask may read several partitions, however far one is behind the other.
const LONG_DELAY: &str = "1 day";

/// Rows that do not change for so long are all.
const QUIET: Duration = Duration::from_secs(8);

/// How long rows may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// Said past the capture of the harness: figures are what this test is for, too.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "arroyo: {line}");
}

fn events() -> u64 {
    std::env::var("ARROYO_EVENTS").map_or(200_000, |text| text.parse().expect("a number of events"))
}

fn pipelines() -> Vec<Shipped> {
    let chosen = std::env::var("ARROYO_PIPELINES").ok();
    let is_chosen = |one: &Shipped| {
        chosen
            .as_ref()
            .is_none_or(|names| names.split(',').any(|name| name == one.name))
    };
    shipped().into_iter().filter(is_chosen).collect()
}

/// The rows of the embedded engine over these events, and those that close them. It follows the log as the cluster does, since panes
/// that leave through a topic come back only to a run that goes on.
fn embedded(pipeline: &Shipped, streams: &[&Generate], delay: Option<&str>) -> Rows {
    let world = World::new(streams[0].partitions);
    world.topics(pipeline);
    streams.iter().for_each(|stream| world.send(stream));
    let last = streams[streams.len() - 1];
    world.close(last);
    let folder = tempfile::tempdir().unwrap();
    let mut command = world.command("run", pipeline, delay);
    command.arg("--state").arg(folder.path());
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut run = command.stdout(std::process::Stdio::null()).stderr(log).spawn().unwrap();
    let begun = Instant::now();
    let (mut rows, mut since) = (Rows::new(), Instant::now());
    while rows.is_empty() || since.elapsed() < QUIET {
        let failed = run.try_wait().unwrap();
        let said = || std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(failed.is_none() && begun.elapsed() < PATIENCE, "{failed:?}\n{}", said());
        let now = world.rows(&pipeline.name, last_window(last));
        if now != rows {
            (rows, since) = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    rows
}

/// A pipeline on the cluster.
struct Deployed<'a> {
    arroyo: &'a mut Arroyo,
    world: World,
    pipeline: &'a Shipped,
    delay: Option<&'a str>,
    /// Windows that end later are of no interest.
    until: i64,
}

impl<'a> Deployed<'a> {
    fn new(arroyo: &'a mut Arroyo, pipeline: &'a Shipped, last: &Generate, delay: Option<&'a str>) -> Self {
        let world = World::new(last.partitions);
        world.topics(pipeline);
        Self {
            arroyo,
            world,
            pipeline,
            delay,
            until: last_window(last),
        }
    }

    fn tell(&self, verb: &str, more: &[&str]) -> Ran {
        let mut command = self.world.command(verb, self.pipeline, self.delay);
        command.args(more).args(["--to", self.arroyo.url()]);
        ended(command)
    }

    fn deploy(&self, parallelism: u32) {
        let begun = Instant::now();
        let number = parallelism.to_string();
        let forced: &[&str] = if parallelism < self.world.partitions {
            &["--force"]
        } else {
            &[]
        };
        let ran = self.tell(
            "deploy",
            &[&["--yes", "--patience", "2m", "--parallelism", &number], forced].concat(),
        );
        if ran.code != Some(0) {
            panic!("{}\n{}\n{}", ran.stdout, ran.stderr, self.arroyo.log());
        }
        let took = begun.elapsed();
        // The same again is nothing.
        let again = self
            .tell("deploy", &[&["--parallelism", number.as_str()], forced].concat())
            .well();
        assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
        say(&format!(
            "{}: deployed in {:.1} s",
            self.pipeline.name,
            took.as_secs_f64()
        ));
    }

    /// Waits for rows in Redis.
    fn first_row(&self) {
        let begun = Instant::now();
        while self.world.redis_rows(&self.pipeline.name).is_empty() {
            assert!(begun.elapsed() < PATIENCE, "no row in Redis\n{}", self.arroyo.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        say(&format!(
            "{}: first rows {:.1} s later",
            self.pipeline.name,
            begun.elapsed().as_secs_f64()
        ));
    }

    /// Waits until all rows are there, and compares them.
    fn agree(&self, expected: &Rows, what: &str) -> Compared {
        let begun = Instant::now();
        loop {
            let found = self.rows();
            let missing = expected.keys().filter(|key| !found.contains_key(*key)).count();
            if missing == 0 || begun.elapsed() > PATIENCE {
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        // Rows that are replaced, and any that should not come.
        std::thread::sleep(Duration::from_secs(3));
        let status = self.tell("status", &[]);
        let compared = std::panic::catch_unwind(|| same(expected, &self.rows()));
        let Ok(compared) = compared else {
            panic!(
                "{}: {what}\n{}\n{}",
                self.pipeline.name,
                status.stdout,
                self.arroyo.log()
            );
        };
        say(&format!(
            "{}: {what}: {} rows agree, {} exactly, {} within their bounds, after {:.1} s",
            self.pipeline.name,
            compared.rows,
            compared.exact,
            compared.within_bounds,
            begun.elapsed().as_secs_f64()
        ));
        assert!(compared.rows > 0);
        compared
    }

    fn rows(&self) -> Rows {
        self.world.rows(&self.pipeline.name, self.until)
    }

    /// Stops it.
    fn end(self) {
        self.tell("stop", &[]).well();
    }
}

/// A comparison that finds nothing proves nothing; this needs no cluster.
#[test]
fn the_comparison_finds_a_row_that_differs() {
    let row = |total: u64, lower: u64, exact: bool| {
        let answer = serde_json::json!({
            "format": 1, "kind": "count", "k": 1, "capacity": 8, "total": total, "skipped": 0, "exact": exact, "certain_leaders": 1,
            "max_missed": 2, "items": [{ "rank": 1, "item": "a", "estimate": lower, "lower": lower, "upper": lower + 1, "certain": true }],
            "other": { "estimate": 1, "lower": 1, "upper": 1 },
        });
        serde_json::json!({ "set": "*", "window_end": 60_000, "answer": answer.to_string(), "sketch": "AA" })
    };
    let rows = |row: serde_json::Value| Rows::from([("redis hh:p:v1:w:60:0:*:*".to_owned(), row)]);
    let differ =
        |a: serde_json::Value, b: serde_json::Value| std::panic::catch_unwind(|| same(&rows(a), &rows(b))).is_err();
    assert_eq!(same(&rows(row(9, 5, true)), &rows(row(9, 5, true))).exact, 1);
    assert_eq!(same(&rows(row(9, 5, false)), &rows(row(9, 6, false))).within_bounds, 1);
    assert!(differ(row(9, 5, true), row(9, 6, true)), "exact answers are equal");
    assert!(differ(row(9, 5, false), row(9, 7, false)), "intervals overlap");
    assert!(differ(row(9, 5, false), row(8, 5, false)), "totals are equal");
    let mut other = row(9, 5, true);
    other["set"] = "region".into();
    assert!(differ(row(9, 5, true), other), "columns are equal");
    assert!(
        std::panic::catch_unwind(|| same(&rows(row(9, 5, true)), &Rows::new())).is_err(),
        "a row is missing"
    );
    assert!(
        std::panic::catch_unwind(|| same(&Rows::new(), &rows(row(9, 5, true)))).is_err(),
        "a row is too many"
    );
}

#[test]
fn shipped_pipelines_give_the_same_rows_at_parallelism_one_and_two() {
    let Some(mut arroyo) = Arroyo::get("the conformance of the shipped pipelines") else {
        return;
    };
    for pipeline in pipelines() {
        for (parallelism, items) in [(1, 500), (2, 100_000)] {
            let stream = stream(&pipeline.name, events(), items, parallelism);
            let expected = embedded(&pipeline, &[&stream], None);
            let deployed = Deployed::new(&mut arroyo, &pipeline, &stream, None);
            deployed.world.send(&stream);
            deployed.deploy(parallelism);
            deployed.first_row();
            deployed.world.close(&stream);
            deployed.agree(&expected, &format!("parallelism {parallelism}, {items} items"));
            deployed.end();
            arroyo = forget(arroyo);
        }
    }
}

#[test]
fn rows_are_the_same_over_a_kill_of_the_whole_cluster() {
    let Some(mut arroyo) = Arroyo::get("recovery on a cluster") else {
        return;
    };
    if !arroyo.is_ours() {
        say("SKIPPED: a cluster at ARROYO_URL cannot be killed; set ARROYO_BIN");
        return;
    }
    let pipelines = pipelines();
    let pipeline = pipelines.iter().find(|one| one.name == "shop").unwrap_or(&pipelines[0]);
    let first = stream(&pipeline.name, events() / 2, 500, 2);
    let second = continued(&first);
    let expected = embedded(pipeline, &[&first, &second], None);
    let deployed = Deployed::new(&mut arroyo, pipeline, &second, None);
    deployed.world.send(&first);
    deployed.deploy(2);
    deployed.first_row();
    deployed.arroyo.kill();
    deployed.world.send(&second);
    deployed.arroyo.start_again();
    deployed.world.close(&second);
    deployed.agree(&expected, "over a kill of the whole cluster");
    deployed.end();
}

#[test]
fn rows_are_the_same_over_a_rescale_from_one_to_two() {
    let Some(mut arroyo) = Arroyo::get("a rescale on a cluster") else {
        return;
    };
    let pipelines = pipelines();
    let pipeline = pipelines.iter().find(|one| one.name == "shop").unwrap_or(&pipelines[0]);
    let first = stream(&pipeline.name, events() / 2, 500, 2);
    let second = continued(&first);
    let expected = embedded(pipeline, &[&first, &second], Some(LONG_DELAY));
    let deployed = Deployed::new(&mut arroyo, pipeline, &second, Some(LONG_DELAY));
    deployed.world.send(&first);
    deployed.deploy(1);
    let ran = deployed.tell("scale", &["2"]).well();
    assert!(ran.stderr.contains("has 2 subtasks"), "{}", ran.stderr);
    deployed.world.send(&second);
    deployed.world.close(&second);
    deployed.agree(&expected, "over a rescale from one to two");
    deployed.end();
}

/// A new cluster, so that names can be given again; one that is not ours keeps what is on it, and the next deployment replaces it.
fn forget(arroyo: Arroyo) -> Arroyo {
    if arroyo.is_ours() {
        drop(arroyo);
        return Arroyo::get("").unwrap();
    }
    arroyo
}
