//! A second version of a pipeline is filled from the log beside the first, and readers are switched over when it has caught
//! up: real Kafka and Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_connectors::RunOptions;
use hitters_connectors::generate::{Generate, to_topic};
use hitters_connectors::topics::Topics;
use hitters_tests::services::{Kafka, Redis};
use redis::Commands;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::{command, events, run};

const SQL: &str = "
CREATE TABLE events (
    ts BIGINT NOT NULL, item TEXT NOT NULL, category TEXT,
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    WATERMARK FOR t AS (
        coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '2 seconds'
    )
) WITH (connector = 'kafka', type = 'source', bootstrap_servers = '${servers}', topic = 'events', format = 'json',
        'source.offset' = 'earliest');
CREATE TABLE windows (key TEXT NOT NULL, category TEXT, answer TEXT)
WITH (connector = 'redis', type = 'sink', address = '${redis}', format = 'json', target = 'string',
      'target.key_prefix' = 'hh:${pipeline}:v${version}:w:', 'target.key_column' = 'key');
INSERT INTO windows
SELECT concat(CAST(to_unixtime(window.start) AS TEXT), ':', coalesce(category, '')), category, answer FROM (
    SELECT tumble(INTERVAL '5 seconds') AS window, category, approx_top_k(item, 10) AS answer FROM events GROUP BY 1, 2);
";

struct World {
    kafka: Kafka,
    redis: Redis,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let (kafka, redis) = (Kafka::start(), Redis::start());
        let options = Generate {
            events: 200_000,
            rate: 5000.0,
            partitions: 4,
            ..Generate::default()
        };
        events::fill(&kafka, "events", &options);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("top.sql"), SQL).unwrap();
        let world = Self { kafka, redis, folder };
        world.pipeline(1);
        world
    }

    /// Writes the pipeline file.
    fn pipeline(&self, version: u64) {
        let text = format!(
            "sql = 'top.sql'\nversion = {version}\n[checkpoint]\nstorage = 'state'\ninterval = '200ms'\n[parameters]\nservers = '{}'\nredis = '{}'\n",
            self.kafka.bootstrap_servers(),
            self.redis.url()
        );
        fs::write(self.folder.path().join("top.toml"), text).unwrap();
    }

    fn file(&self) -> String {
        self.folder.path().join("top.toml").display().to_string()
    }

    fn start(&self, what: &str) -> Child {
        let log = File::create(self.folder.path().join(format!("{what}.log"))).unwrap();
        command([what, &self.file()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn log(&self, what: &str) -> String {
        fs::read_to_string(self.folder.path().join(format!("{what}.log"))).unwrap()
    }

    fn active(&self) -> Option<u64> {
        let mut connection = redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap();
        connection.get("hh:top:active").unwrap()
    }

    /// Rows of a version by the rest of their key.
    fn rows(&self, version: u64) -> BTreeMap<String, String> {
        let mut connection = redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap();
        let prefix = format!("hh:top:v{version}:w:");
        let keys: Vec<String> = connection.keys(format!("{prefix}*")).unwrap();
        let row = |key: &String| (key[prefix.len()..].to_string(), connection.get(key).unwrap());
        keys.iter().map(row).collect()
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn readers_are_switched_over_when_the_next_version_has_caught_up() {
    let world = World::new();
    let mut first = world.start("run");
    until("rows of version 1", || world.rows(1).len() > 20);
    assert_eq!(world.active(), Some(1));

    let mut second = world.start("replay");
    until("the switch", || world.active() == Some(2));
    let rows = world.rows(2);
    assert_eq!(rows, world.rows(1), "rows of both versions");
    assert!(
        world.log("replay").contains("version 2 has caught up"),
        "{}",
        world.log("replay")
    );

    // Both run beside each other; each has a socket of its own.
    run(["stop", &world.file()]).well();
    assert!(first.wait().unwrap().success());
    world.pipeline(2);
    run(["stop", &world.file()]).well();
    assert!(second.wait().unwrap().success());

    // As the pipeline file says now, version 2 goes on from its own state.
    let mut third = world.start("run");
    until("version 2 as a run", || {
        world.log("run").contains("going on from checkpoint")
    });
    until("its socket", || run(["status", &world.file()]).code == Some(0));
    run(["stop", &world.file()]).well();
    assert!(third.wait().unwrap().success());
    assert!(Path::new(&world.folder.path().join("state/v2/manifests")).is_dir());

    // The version before says that nobody looks at it.
    world.pipeline(1);
    let ran = run(["run", &world.file(), "--bounded"]).well();
    assert!(ran.stderr.contains("readers look at version 2"), "{}", ran.stderr);
    assert_eq!(world.active(), Some(2));
}

#[test]
fn what_the_next_version_rolls_up_are_panes_of_its_own() {
    let world = World::new();
    let files = [
        "tables/messages",
        "tables/results",
        "tables/history",
        "tables/panes",
        "queries/panes/count_all",
        "queries/panes/count_by_category_and_region",
        "queries/panes/minutes",
        "queries/panes/publish",
        "queries/rollups/hour",
    ];
    // How many items a sketch tracks tells whose it is: of those that are merged, the coarsest wins.
    let write = |tracked: u32| {
        let sql: Vec<_> = files
            .iter()
            .map(|name| support::root().join(format!("sql/{name}.sql")))
            .collect();
        let text = format!(
            "sql = {sql:?}\nidle_timeout = '500ms'\nidle_close = '2s'\n[checkpoint]\nstorage = 'state'\ninterval = '200ms'\n\
             [parameters]\nbootstrap_servers = '{}'\nredis = '{}'\nmax_items = {tracked}\n",
            world.kafka.bootstrap_servers(),
            world.redis.url()
        );
        fs::write(world.folder.path().join("top.toml"), text).unwrap();
    };
    write(64);
    let servers = world.kafka.bootstrap_servers();
    let topics = Topics::connect(&servers, &[], &RunOptions::default()).unwrap();
    let created = ["--create", "--partitions", "3", "--retention", "1h"];
    // The topic of events is there with four; the others are made.
    run([&["topics", &world.file()][..], &created[..]].concat());
    let hours = |version: u64| -> BTreeMap<String, (u64, u64)> {
        let rows = world
            .rows(version)
            .into_iter()
            .filter(|(key, _)| key.starts_with("3600:"));
        let read = |(key, row): (String, String)| {
            let row: serde_json::Value = serde_json::from_str(&row).unwrap();
            let answer: serde_json::Value = serde_json::from_str(row["answer"].as_str().unwrap()).unwrap();
            let number = |name: &str| answer[name].as_u64().unwrap();
            (key, (number("capacity"), number("total")))
        };
        rows.map(read).collect()
    };
    let mut first = world.start("run");
    until("hours of version 1", || !hours(1).is_empty());
    write(1024);
    let mut second = world.start("replay");
    until("hours of version 2", || hours(2).len() == hours(1).len());
    let (before, after) = (hours(1), hours(2));
    for (key, (tracked, total)) in &after {
        assert_eq!((*tracked, before[key]), (1024, (64, *total)), "{key}");
    }
    let log = world.log("replay");
    assert!(
        log.contains("created the topic top.v2.panes, like top.v1.panes"),
        "{log}"
    );
    let panes = topics.describe("top.v2.panes").unwrap().unwrap();
    assert_eq!((panes.partitions, panes.own["retention.ms"].as_str()), (3, "3600000"));
    for child in [&mut first, &mut second] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn partitions_that_are_added_are_read_from_their_beginning_without_a_restart() {
    let world = World::new();
    let sql = fs::read_to_string(world.folder.path().join("top.sql")).unwrap();
    let often = "'source.offset' = 'latest', client_configs = 'topic.metadata.refresh.interval.ms=300'";
    fs::write(
        world.folder.path().join("top.sql"),
        sql.replace("'source.offset' = 'earliest'", often),
    )
    .unwrap();
    let mut child = world.start("run");
    until("the run", || run(["status", &world.file()]).code == Some(0));
    let servers = world.kafka.bootstrap_servers();
    let topics = Topics::connect(&servers, &[], &RunOptions::default()).unwrap();
    topics.widen("events", 6).unwrap();
    // Before the run has noticed: these rows would be lost to a reader that begins at the end of a new partition.
    let options = Generate {
        events: 60_000,
        rate: 5000.0,
        start: Generate::default().start + 100_000,
        partitions: 6,
        ..Generate::default()
    };
    to_topic(
        &options,
        &servers,
        "events",
        &[],
        &RunOptions::default(),
        false,
        &mut |_| true,
    )
    .unwrap();
    until("rows of six partitions", || {
        let status = run(["status", &world.file(), "--json"]).stdout;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap_or_default();
        status["total"]["records"] == 60_000 && status["partitions"].as_array().is_some_and(|all| all.len() == 6)
    });
    assert!(
        world.log("run").contains("going on from a checkpoint"),
        "{}",
        world.log("run")
    );
    run(["stop", &world.file()]).well();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_pipeline_without_readers_cannot_be_replayed() {
    run(["replay", "flights"]).fails(2, &["no readers", "version = 2"]);
}
