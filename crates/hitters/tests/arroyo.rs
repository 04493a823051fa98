//! The shipped pipelines on a real Arroyo cluster give the rows of the embedded engine: at parallelism 1 and 2, over a `kill -9` of the
//! whole cluster, and over a rescale.
//!
//! `ARROYO_BIN` or `ARROYO_URL` says where the cluster is (`make test-arroyo`); without one the tests are skipped, and say so.
//! `ARROYO_EVENTS` sets how many events each pipeline gets, `ARROYO_PIPELINES` which ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
mod support;

use conformance::compare::{Compared, same};
use conformance::figures::figures;
use conformance::rows::{Rows, until};
use conformance::{AFTER, DAY, MINUTE, SECOND, Shipped, World, continued, last_window, shipped, stream};
use hitters_connectors::RunOptions;
use hitters_connectors::generate::Generate;
use hitters_connectors::topics::{TopicSpec, Topics};
use hitters_tests::services::Arroyo;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use support::{Ran, ended};

/// Longer than any log here: with it a subtask may read several partitions, however far one is behind the other.
const LONG_DELAY: &str = "1 day";

/// Rows that do not change for so long are all.
const QUIET: Duration = Duration::from_secs(8);

/// When everything is read, rows that do not change for so long are all that it made: what waits for a full record batch goes on with the
/// next checkpoint.
const SETTLED: Duration = Duration::from_secs(20);

/// From one of a few late events to the next, as from a stream that is alive.
const PACE: Duration = Duration::from_secs(5);

/// Items that sketches hold without evicting one.
const FEW: u64 = 500;

/// So many of those.
const PACED: i64 = 40;

/// How long rows may take: a cluster that was not built for speed, on a machine that does other things too, reads 2,000,000 events in that.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long the compiler of a cluster may take for all functions of a pipeline, with what they depend on.
const COMPILER: &str = "60m";

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
fn embedded(pipeline: &Shipped, streams: &[&Generate], delay: Option<&str>) -> (Rows, BTreeSet<String>) {
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
    (rows, world.item_rows(&pipeline.name, last_window(last)))
}

/// A pipeline on the cluster.
struct Deployed<'a> {
    arroyo: &'a mut Arroyo,
    world: World,
    pipeline: &'a Shipped,
    delay: Option<&'a str>,
    /// The last events that are compared.
    last: Generate,
    /// Windows that end later are of no interest.
    until: i64,
    /// Whose rows are looked at.
    version: u64,
    begun: Instant,
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
            last: last.clone(),
            until: last_window(last),
            version: 1,
            begun: Instant::now(),
        }
    }

    fn tell(&self, verb: &str, more: &[&str]) -> Ran {
        let mut command = self.world.command(verb, self.pipeline, self.delay);
        command.args(more).args(["--to", self.arroyo.url()]);
        ended(command)
    }

    fn deploy(&mut self, parallelism: u32) {
        self.begun = Instant::now();
        let number = parallelism.to_string();
        let forced: &[&str] = if parallelism < self.world.partitions {
            &["--force"]
        } else {
            &[]
        };
        let wanted = [
            "--yes",
            "--timeout",
            COMPILER,
            "--patience",
            "5m",
            "--parallelism",
            &number,
        ];
        let ran = self.tell("deploy", &[&wanted[..], forced].concat());
        if ran.code != Some(0) {
            panic!("{}\n{}\n{}", ran.stdout, ran.stderr, self.arroyo.log());
        }
        let took = self.begun.elapsed();
        ran.stderr
            .lines()
            .filter(|line| line.contains(": built in "))
            .for_each(say);
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
        while self.world.redis_rows(&self.pipeline.name, 1).is_empty() {
            assert!(begun.elapsed() < PATIENCE, "no row in Redis\n{}", self.arroyo.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        say(&format!(
            "{}: first rows in Redis {:.1} s after `hitters deploy` began",
            self.pipeline.name,
            self.begun.elapsed().as_secs_f64()
        ));
    }

    /// Waits for a checkpoint that is whole.
    fn checkpointed(&self) {
        let begun = Instant::now();
        loop {
            let status = self.tell("status", &["--json"]).well();
            let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
            if !status["checkpoint"].is_null() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "no checkpoint\n{}", self.arroyo.log());
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Sends ever later events until these rows are there, or patience is at its end.
    ///
    /// Each time the cluster has to have seen the last ones before: it takes the least time of a record batch for the time of all of it, and
    /// panes of which some are a day ahead of others would be late.
    fn close(&self, expected: &Rows, begun: Instant) {
        let is_minute = |key: &str| key.contains(":w:60:") || key.starts_with("topic 60:");
        // They come from days that have come from minutes.
        let is_total = |key: &str| key.contains(":all ");
        // Events of the first step close minutes, of the second what is made of minutes; the third ends the first one's day.
        // Events of one step stay within a minute, but for those of the third, of which each closes the minute of the one before.
        let next = if self.delay.is_some() { 2 * DAY } else { 2 * MINUTE };
        let stages: [(&dyn Fn(&str) -> bool, i64, i64); 3] = [
            (&is_minute, AFTER, SECOND),
            (&|key| !is_total(key), AFTER + next, SECOND),
            (&is_total, 2 * AFTER, next),
        ];
        self.wait_for(0, &|rows| expected.keys().all(|key| rows.contains_key(key)), begun);
        for (of_stage, after, step) in stages {
            let mut number = 0;
            let wanted: Vec<_> = expected.keys().filter(|key| of_stage(key)).collect();
            let are_there = |rows: &Rows| wanted.iter().all(|key| rows.contains_key(*key));
            while begun.elapsed() < PATIENCE {
                let found = self.rows();
                let missing: Vec<_> = wanted.iter().filter(|key| !found.contains_key(**key)).collect();
                let Some(first) = missing.first() else { break };
                say(&format!(
                    "{}: {} rows are to come, as {first}",
                    self.pipeline.name,
                    missing.len()
                ));
                let before = self.world.sent();
                self.world.nudge(&self.last, after + number * step);
                number += 1;
                self.wait_for(before, &are_there, begun);
            }
        }
    }

    /// Waits until these rows are there, or so many events are read and what they made has settled.
    fn wait_for(&self, events: u64, are_there: &dyn Fn(&Rows) -> bool, begun: Instant) {
        let (mut rows, mut since) = (Rows::new(), Instant::now());
        while begun.elapsed() < PATIENCE {
            let now = self.rows();
            if are_there(&now) {
                return;
            }
            if now != rows {
                (rows, since) = (now, Instant::now());
            }
            // What came in one batch with events before is seen with the next ones.
            let patience = if self.read() < events { 2 * SETTLED } else { SETTLED };
            if since.elapsed() > patience {
                return;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until all rows are there, and compares them.
    fn agree(&self, expected: &Rows, what: &str) -> Compared {
        let begun = Instant::now();
        self.close(expected, begun);
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

    /// All rows of the version, those of a second one as if it were the first. The topic of results is one for all versions.
    fn rows(&self) -> Rows {
        let name = &self.pipeline.name;
        if self.version == 1 {
            return self.world.rows(name, self.until);
        }
        let (own, first) = (format!(":v{}:", self.version), ":v1:");
        let rows = self.world.redis_rows(name, self.version).into_iter();
        let rows = rows.map(|(key, mut row)| {
            assert!(
                row.get("version").is_none_or(|version| *version == self.version),
                "{key}: {row}"
            );
            row["version"] = 1.into();
            (key.replace(&own, first), row)
        });
        let mut rows: Rows = rows.collect();
        until(&mut rows, self.until);
        rows
    }

    /// How many events it has read.
    fn read(&self) -> u64 {
        self.world.read(&self.pipeline.name, self.version)
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
        for (parallelism, items) in [(1, FEW), (2, 100_000)] {
            let stream = stream(&pipeline.name, events(), items, parallelism);
            let (expected, items_expected) = embedded(&pipeline, &[&stream], None);
            let mut deployed = Deployed::new(&mut arroyo, &pipeline, &stream, None);
            deployed.world.send(&stream);
            deployed.deploy(parallelism);
            deployed.first_row();
            deployed.agree(&expected, &format!("parallelism {parallelism}, {items} items"));
            // Where sketches evict, they say something else in each engine.
            if items == FEW {
                let found = deployed.world.item_rows(&pipeline.name, deployed.until);
                assert_eq!(found, items_expected, "{}: rows for analysts", pipeline.name);
            }
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
    let (expected, _) = embedded(pipeline, &[&first, &second], None);
    let mut deployed = Deployed::new(&mut arroyo, pipeline, &second, None);
    deployed.world.send(&first);
    deployed.deploy(2);
    deployed.first_row();
    deployed.checkpointed();
    // It dies twice while it reads the second half.
    let world = &deployed.world;
    std::thread::scope(|scope| {
        scope.spawn(|| world.send(&second));
        for read in [first.events + second.events / 5, first.events + second.events / 2] {
            let begun = Instant::now();
            while world.read(&pipeline.name, 1) < read {
                assert!(
                    begun.elapsed() < PATIENCE,
                    "it reads no further\n{}",
                    deployed.arroyo.log()
                );
                std::thread::sleep(Duration::from_millis(50));
            }
            deployed.arroyo.kill();
            say(&format!(
                "killed after {} of {} events",
                world.read(&pipeline.name, 1),
                events()
            ));
            deployed.arroyo.start_again();
        }
    });
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
    let (expected, _) = embedded(pipeline, &[&first, &second], Some(LONG_DELAY));
    let mut deployed = Deployed::new(&mut arroyo, pipeline, &second, Some(LONG_DELAY));
    deployed.world.send(&first);
    deployed.deploy(1);
    let ran = deployed.tell("scale", &["2"]).well();
    assert!(ran.stderr.contains("has 2 subtasks"), "{}", ran.stderr);
    deployed.world.send(&second);
    deployed.agree(&expected, "over a rescale from one to two");
    deployed.end();
}

#[test]
fn a_replay_fills_the_next_version_and_readers_are_switched_over() {
    let Some(mut arroyo) = Arroyo::get("a replay on a cluster") else {
        return;
    };
    let pipelines = pipelines();
    let pipeline = pipelines.iter().find(|one| one.name == "shop").unwrap_or(&pipelines[0]);
    let name = &pipeline.name;
    let stream = stream(name, events() / 2, FEW, 2);
    // As from a stream that is alive, a few events come all the while: two versions are compared by the windows that they close.
    let mut paced = Vec::new();
    for _ in 0..PACED {
        let before = paced.last().unwrap_or(&stream);
        paced.push(Generate {
            events: 200,
            rate: 10.0,
            ..continued(before)
        });
    }
    let all: Vec<_> = std::iter::once(&stream).chain(&paced).collect();
    let (expected, _) = embedded(pipeline, &all, None);
    let mut deployed = Deployed::new(&mut arroyo, pipeline, &paced[paced.len() - 1], None);
    deployed.world.send(&stream);
    deployed.deploy(2);
    deployed.first_row();

    let mut watch = deployed.world.command("status", pipeline, None);
    watch.args(["--watch", "--to", deployed.arroyo.url()]);
    let mut watch = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let goes_on = AtomicBool::new(true);
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            for few in &paced {
                deployed.world.send(few);
                if goes_on.load(Relaxed) {
                    std::thread::sleep(PACE);
                }
            }
        });
        let ran = deployed.tell("replay", &["--yes", "--timeout", COMPILER]);
        goes_on.store(false, Relaxed);
        ran.well()
    });
    for said in ["will be created, like", "version 2 has caught up"] {
        assert!(ran.stderr.contains(said), "'{said}' is not in\n{}", ran.stderr);
    }
    let mut connection = redis::Client::open(deployed.world.redis.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let active: u64 = redis::Commands::get(&mut connection, format!("hh:{name}:active")).unwrap();
    assert_eq!(active, 2);
    // The version before is stopped, and whoever watches it is told so.
    let mut shown = String::new();
    std::io::Read::read_to_string(&mut watch.stdout.take().unwrap(), &mut shown).unwrap();
    assert!(watch.wait().unwrap().success());
    assert!(shown.contains(", Running,") && shown.contains(", Stopped,"), "{shown}");

    // Key for key the same rows, of another version.
    deployed.version = 2;
    let in_redis = expected.into_iter().filter(|(key, _)| key.starts_with("redis "));
    deployed.agree(&in_redis.collect(), "version 2, after a replay");
}

#[test]
fn sketches_of_batches_keep_less_where_a_batch_has_many_rows_of_a_group() {
    let Some(arroyo) = Arroyo::get("figures of a cluster") else {
        return;
    };
    let stream = Generate {
        // Within one hour of event time.
        start: 1_700_002_800_000,
        ..stream("shop", events(), 100_000, 1)
    };
    let world = World::new(1);
    let spec = TopicSpec {
        name: conformance::TOPIC.into(),
        partitions: Some(1),
        ..TopicSpec::default()
    };
    let topics = Topics::connect(&world.kafka.bootstrap_servers(), &[], &RunOptions::default()).unwrap();
    topics.ensure(&spec, true).unwrap();
    world.send(&stream);
    let of = |groups: &[&str], batched: bool| {
        let (rate, bytes) = figures(&arroyo, &world, &stream, groups, batched);
        say(&format!(
            "{groups:?}, batches: {batched}: {rate:.0} events/s, {bytes} bytes in a checkpoint with all {} events in an open window",
            stream.events
        ));
        (rate, bytes)
    };
    let (all_batch, all_plain) = (of(&[], true), of(&[], false));
    let (few_batch, few_plain) = (of(&["category", "region"], true), of(&["category", "region"], false));
    let ratio = |a: (f64, u64), b: (f64, u64)| (a.0 / b.0, b.1 as f64 / a.1 as f64);
    let (all, few) = (ratio(all_batch, all_plain), ratio(few_batch, few_plain));
    say(&format!(
        "batches against values: over all {:.2} x the events/s, state {:.1} times smaller; by category and region {:.2} x, {:.1} times smaller",
        all.0, all.1, few.0, few.1
    ));
    assert!(all.1 > 1.0, "{all:?}");
}

/// A new cluster, so that names can be given again; one that is not ours keeps what is on it, and the next deployment replaces it.
fn forget(arroyo: Arroyo) -> Arroyo {
    if arroyo.is_ours() {
        drop(arroyo);
        return Arroyo::get("").unwrap();
    }
    arroyo
}
