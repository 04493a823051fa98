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
use conformance::{Shipped, World, continued, shipped, stream};
use hitters_connectors::generate::Generate;
use hitters_tests::services::Arroyo;
use std::io::Write;
use std::time::{Duration, Instant};
use support::{Ran, ended};

/// Longer than any log here: with it a subtask may read several partitions, however far one is behind the other.
const LONG_DELAY: &str = "1 day";

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

/// The rows of the embedded engine over these events.
fn embedded(pipeline: &Shipped, streams: &[&Generate], delay: Option<&str>) -> Rows {
    let world = World::new(streams[0].partitions);
    world.topics(pipeline);
    streams.iter().for_each(|stream| world.send(stream));
    let mut command = world.command("run", pipeline, delay);
    let folder = tempfile::tempdir().unwrap();
    command.args(["--bounded", "--state"]).arg(folder.path());
    ended(command).well();
    world.rows(&pipeline.name)
}

/// A pipeline on the cluster.
struct Deployed<'a> {
    arroyo: &'a mut Arroyo,
    world: World,
    pipeline: &'a Shipped,
    delay: Option<&'a str>,
}

impl<'a> Deployed<'a> {
    fn new(arroyo: &'a mut Arroyo, pipeline: &'a Shipped, partitions: u32, delay: Option<&'a str>) -> Self {
        let world = World::new(partitions);
        world.topics(pipeline);
        Self {
            arroyo,
            world,
            pipeline,
            delay,
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
            let found = self.world.rows(&self.pipeline.name);
            let missing = expected.keys().filter(|key| !found.contains_key(*key)).count();
            if missing == 0 || begun.elapsed() > PATIENCE {
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        // Rows that are replaced, and any that should not come.
        std::thread::sleep(Duration::from_secs(3));
        let status = self.tell("status", &[]);
        let compared = std::panic::catch_unwind(|| same(expected, &self.world.rows(&self.pipeline.name)));
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

    /// Stops it and takes its place on the cluster back.
    fn end(self) {
        self.tell("stop", &[]).well();
    }
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
            let deployed = Deployed::new(&mut arroyo, &pipeline, parallelism, None);
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
    let deployed = Deployed::new(&mut arroyo, pipeline, 2, None);
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
    let deployed = Deployed::new(&mut arroyo, pipeline, 2, Some(LONG_DELAY));
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
