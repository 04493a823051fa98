//! `hitters deploy` and the orders to a cluster, over a stand-in for Arroyo and real Kafka and Redis: what people see, what is refused,
//! and that nothing is done that was not shown. What a real Arroyo makes of it is `tests/arroyo.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_connectors::RunOptions;
use hitters_connectors::topics::{TopicSpec, Topics};
use hitters_tests::arroyo::{Behaviour, Fault, Stub};
use hitters_tests::services::{Kafka, Redis};
use redis::Commands;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};
use support::serving::Serving;
use support::{Ran, command, ended};

const KAFKA: &str = "
CREATE TABLE events (
    ts BIGINT NOT NULL, item TEXT NOT NULL,
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    WATERMARK FOR t AS (
        coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '2 seconds'
    )
) WITH (connector = 'kafka', type = 'source', bootstrap_servers = '${servers}', topic = 'events', format = 'json',
        'source.offset' = 'latest');
CREATE TABLE windows (key TEXT NOT NULL, answer TEXT)
WITH (connector = 'redis', type = 'sink', address = '${redis}', format = 'json', target = 'string',
      'target.key_prefix' = 'hh:${pipeline}:v${version}:w:', 'target.key_column' = 'key');
INSERT INTO windows
SELECT CAST(CAST(to_unixtime(window.start) AS BIGINT) AS TEXT), answer FROM (
    SELECT tumble(INTERVAL '5 seconds') AS window, approx_top_k(item, 10) AS answer FROM events GROUP BY 1);
CREATE TABLE panes (answer TEXT) WITH (connector = 'kafka', type = 'sink', bootstrap_servers = '${servers}',
      topic = '${pipeline}.v${version}.panes', format = 'json');
INSERT INTO panes SELECT answer FROM (
    SELECT tumble(INTERVAL '5 seconds') AS window, approx_top_k(item, 10) AS answer FROM events GROUP BY 1);
";

/// Without Kafka and Redis.
const FILE: &str = "
CREATE TABLE events (item TEXT NOT NULL) WITH (connector = 'single_file', type = 'source', path = '/nowhere/${secret}', format = 'json');
CREATE TABLE sink (item TEXT NOT NULL) WITH (connector = 'blackhole');
INSERT INTO sink SELECT item FROM events;
";

struct World {
    stub: Stub,
    folder: tempfile::TempDir,
}

impl World {
    fn new(sql: &str, parameters: &str) -> Self {
        let (stub, folder) = (Stub::start(), tempfile::tempdir().unwrap());
        let world = Self { stub, folder };
        world.write("top.sql", sql);
        world.pipeline(1, parameters);
        fs::create_dir(world.folder.path().join("functions")).unwrap();
        world.write(
            "functions/approx_top_k.rs",
            "#[rustfmt::udf]\nfn approx_top_k(item: Vec<&str>, k: Vec<i64>) -> String { String::new() }\n",
        );
        world
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn pipeline(&self, version: u64, parameters: &str) {
        let text = format!(
            "sql = 'top.sql'\nversion = {version}\n[checkpoint]\ninterval = '5s'\n[cluster]\nurl = '{}'\n\
             api_key = '${{env:CLUSTER_KEY:}}'\n[parameters]\n{parameters}\n",
            self.stub.url()
        );
        self.write("top.toml", &text);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command([arguments[0]]);
        command.arg(self.folder.path().join("top.toml")).args(&arguments[1..]);
        command.env("SECRET", "hush-hush");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        ended(self.command(arguments))
    }

    fn functions(&self) -> String {
        self.folder.path().join("functions").display().to_string()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).well().stdout).unwrap()
    }
}

fn file() -> World {
    World::new(FILE, "secret = '${env:SECRET}'")
}

#[test]
fn nothing_is_done_before_it_was_shown_and_agreed_to() {
    let world = file();
    world.run(&["deploy"]).fails(
        2,
        &["nobody can be asked", "--yes", "+ pipeline top-v1: will be created"],
    );
    let shown = world.run(&["deploy", "--dry-run"]).well();
    assert!(
        shown
            .stdout
            .contains("+ pipeline top-v1: will be created, with 1 subtasks"),
        "{}",
        shown.stdout
    );
    let planned = world.json(&["deploy", "--dry-run", "--json"]);
    assert_eq!(
        (&planned["change"], &planned["done"]),
        (&json!("create"), &json!(false))
    );
    assert!(world.stub.changes().is_empty());

    let done = world.run(&["deploy", "--yes"]).well();
    for said in ["top-v1: created", "top-v1: Running"] {
        assert!(done.stderr.contains(said), "'{said}' is not in\n{}", done.stderr);
    }
    assert_eq!(world.stub.changes(), ["POST /pipelines"]);
    let sent = world.stub.world(|world| world.pipelines()[0].clone());
    assert_eq!(sent["checkpoint_interval_micros"], 5_000_000);
    // The cluster gets the secret, nobody else does.
    assert!(sent["query"].as_str().unwrap().contains("/nowhere/hush-hush"));
    assert!(!done.stderr.contains("hush"), "{}", done.stderr);

    let again = world.run(&["deploy"]).well();
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    assert!(world.stub.changes().is_empty());
}

#[test]
fn a_graph_that_chaining_has_cut_is_refused_with_the_way_out() {
    let world = file();
    world.stub.world(|stub| stub.cuts = true);
    world.run(&["deploy", "--yes"]).fails(
        1,
        &[
            "chaining of operators has cut the graph",
            "'minutes' gets no rows",
            "pipeline.chaining.enabled = false",
        ],
    );
    assert!(world.stub.changes().is_empty());
}

#[test]
fn a_service_measures_a_pipeline_on_its_cluster() {
    let world = file();
    let redis = Redis::start();
    world.run(&["deploy", "--yes"]).well();
    let mut serve = world.command(&["serve", "--listen", "127.0.0.1:0"]);
    serve.args(["--redis", &redis.url()]);
    let serving = Serving::spawn(serve);
    let wait = |wanted: &[&str]| {
        let begun = Instant::now();
        loop {
            let (status, _, text) = serving.get("/metrics", None);
            assert_eq!(status, 200);
            let missing = wanted.iter().find(|line| !text.contains(**line));
            let Some(missing) = missing else { return };
            assert!(begun.elapsed() < Duration::from_secs(60), "{missing} is not in\n{text}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    wait(&[
        "hitters_cluster_up{pipeline=\"top\"} 1\n",
        "hitters_cluster_job_state{pipeline=\"top\",version=\"1\",state=\"Running\"} 1\n",
        "hitters_cluster_subtasks{pipeline=\"top\",version=\"1\"} 1\n",
        "node=\"3\",operator=\"RedisSink<sink>\"} ",
    ]);
    world.stub.world(|stub| stub.break_job("top-v1", "no such topic"));
    wait(&["hitters_cluster_job_state{pipeline=\"top\",version=\"1\",state=\"Failed\"} 1\n"]);

    let mut nobody = command(["serve", "--to", "http://127.0.0.1:1", "--redis", "redis://127.0.0.1:1"]);
    nobody.env("NO_COLOR", "1");
    ended(nobody).fails(2, &["name the pipeline"]);
}

#[test]
fn faults_of_the_clusters_planner_are_drawn_in_the_users_file_without_secrets() {
    let world = file();
    let fault = json!({ "message": "no file at /nowhere/hush-hush", "span": { "start": { "line": 4, "column": 25 }, "end": { "line": 4, "column": 29 } } });
    world.stub.world(|world| world.planner = vec![fault]);
    let ran = world.run(&["deploy", "--yes"]);
    let said = ran.fails(
        3,
        &[
            "the cluster's planner: no file at /nowhere/****",
            "top.sql:4:25",
            "INSERT INTO sink SELECT item",
        ],
    );
    assert!(!said.stderr.contains("hush"), "{}", said.stderr);
    // What only its makers understand comes with what to do.
    let fault = json!({ "message": "Schema error: No field named __common_expr_1. Valid fields are events.item." });
    world.stub.world(|world| world.planner = vec![fault]);
    let ran = world.run(&["deploy", "--yes"]);
    ran.fails(3, &["No field named __common_expr_1", "holds the same call twice"]);
    assert!(world.stub.changes().is_empty());
}

#[test]
fn what_fails_on_the_cluster_ends_the_command_with_its_reason() {
    let world = file();
    world
        .stub
        .world(|world| world.behaviour = Behaviour::Fails("cannot open /nowhere/hush-hush".into()));
    world
        .run(&["deploy", "--yes"])
        .fails(1, &["top-v1 has failed", "cannot open /nowhere/****"]);
    // A job that fails again and again says which table it could not write, and where that is.
    let other = file();
    other
        .stub
        .world(|world| world.behaviour = Behaviour::Loops("disk full at hush-hush".into()));
    let said = other.run(&["deploy", "--yes"]).fails(
        1,
        &["top-v1 fails again and again", "disk full at ****", "top.sql:3:14"],
    );
    assert!(!said.stderr.contains("hush"), "{}", said.stderr);
    // It is there, and failed: the next deployment starts it again.
    world.stub.world(|world| world.behaviour = Behaviour::Runs);
    world
        .run(&["deploy", "--yes"])
        .fails(1, &["~ pipeline top-v1: is Failed and starts", "has failed"]);
    world.stub.fail(
        "GET",
        "/udfs",
        Fault::Status(500, r#"{"error": "Something went wrong"}"#),
        9,
    );
    world
        .run(&["deploy", "--yes"])
        .fails(1, &["Something went wrong (status 500)"]);
    world
        .run(&["deploy", "--yes", "--to", "nowhere"])
        .fails(2, &["'nowhere' is no address of a cluster"]);
}

#[test]
fn the_key_comes_from_the_environment_and_goes_to_the_cluster_of_the_file_only() {
    let world = file();
    world.stub.wants_key("sesame");
    world.run(&["deploy", "--dry-run"]).fails(1, &["the API key"]);
    let with = |variable: &str, arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.env(variable, "sesame");
        ended(command)
    };
    with("CLUSTER_KEY", &["deploy", "--dry-run"]).well();
    with("OTHER", &["deploy", "--dry-run", "--api-key-env", "OTHER"]).well();
    world
        .run(&["status", "--api-key-env", "NOT_THERE"])
        .fails(2, &["NOT_THERE"]);
    // To another address, here the same cluster by another name, the file's key is not sent.
    let elsewhere = world.stub.url().replace("127.0.0.1", "localhost");
    with("CLUSTER_KEY", &["deploy", "--dry-run", "--to", &elsewhere]).fails(1, &["wants an API key"]);
}

#[test]
fn status_stop_and_scale_speak_to_the_cluster() {
    let world = file();
    world.run(&["status"]).fails(1, &["has no top-v1", "hitters deploy"]);
    world.run(&["deploy", "--yes"]).well();
    let shown = world.run(&["status"]).well().stdout;
    for said in [
        "top-v1 (pl_1), Running",
        "1 subtasks",
        "1,500 events/s",
        "KafkaSource<events>",
        "75 %",
        "unknown (it reads no topic)",
    ] {
        assert!(shown.contains(said), "'{said}' is not in\n{shown}");
    }
    world.run(&["scale", "3"]).well();
    let status = world.json(&["status", "--json"]);
    assert_eq!(
        (&status["parallelism"], &status["state"], &status["events_per_second"]),
        (&json!(3), &json!("Running"), &json!(1500.0))
    );
    let stopped = world.run(&["stop"]).well();
    assert!(
        stopped.stderr.contains("goes on from checkpoint") || stopped.stderr.contains("go on from checkpoint 2"),
        "{}",
        stopped.stderr
    );
    assert_eq!(
        world.stub.world(|world| world.state("top-v1")).as_deref(),
        Some("Stopped")
    );
    // The number of subtasks was not asked for, so it stays what it was scaled to.
    let started = world.run(&["deploy", "--yes"]).well();
    assert!(
        started
            .stderr
            .contains("is Stopped and starts from its last checkpoint"),
        "{}",
        started.stderr
    );
    assert_eq!(world.json(&["status", "--json"])["parallelism"], 3);
    // A state names a run on this machine.
    world
        .run(&["status", "--state", "nowhere"])
        .fails(1, &["no run of 'top' answers"]);
}

#[test]
fn subtasks_follow_partitions_and_a_replay_switches_readers_over() {
    let (kafka, redis) = (Kafka::start(), Redis::start());
    let servers = kafka.bootstrap_servers();
    let topics = Topics::connect(&servers, &[], &RunOptions::default()).unwrap();
    let parameters = format!("servers = '{servers}'\nredis = '{}'", redis.url());
    let world = World::new(KAFKA, &parameters);
    let functions = world.functions();
    let deploy = |more: &[&str]| world.run(&[&["deploy", "--yes", "--functions", functions.as_str()], more].concat());

    deploy(&[]).fails(1, &["there is no topic 'events'", "hitters topics --create"]);
    let spec = |name: &str, partitions: i32| TopicSpec {
        name: name.into(),
        partitions: Some(partitions),
        ..TopicSpec::default()
    };
    topics.ensure(&spec("events", 4), true).unwrap();
    deploy(&[]).fails(1, &["there is no topic 'top.v1.panes'"]);
    topics.ensure(&spec("top.v1.panes", 5), true).unwrap();
    deploy(&["--parallelism", "2"]).fails(
        2,
        &[
            "topic 'events' has 4 partitions",
            "dropped as late",
            "--parallelism 4",
            "--force",
        ],
    );
    assert!(world.stub.changes().is_empty());
    let first = deploy(&[]).well();
    assert!(
        first.stderr.contains("+ function approx_top_k: will be compiled there"),
        "{}",
        first.stderr
    );
    assert!(first.stderr.contains("approx_top_k: built in"), "{}", first.stderr);
    assert!(first.stderr.contains("with 4 subtasks"), "{}", first.stderr);
    assert_eq!(world.stub.changes(), ["POST /udfs", "POST /pipelines"]);
    world.run(&["scale", "3"]).fails(2, &["--force"]);
    world.run(&["scale", "3", "--force"]).well();
    world.run(&["scale", "4"]).well();
    world.stub.changes();

    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let active = |connection: &mut redis::Connection| -> Option<u64> { connection.get("hh:top:active").unwrap() };
    assert_eq!(active(&mut connection), Some(1));
    let mut progress = |version: u64, offsets: [i64; 4]| {
        for (partition, offset) in offsets.iter().enumerate() {
            let row = json!({ "partition": partition.to_string(), "offset": offset, "event_time": 1000 + offset })
                .to_string();
            let _: () = connection
                .hset(format!("hh:top:v{version}:progress"), partition.to_string(), row)
                .unwrap();
        }
    };
    progress(1, [4, 5, 6, 7]);
    let status = world.json(&["status", "--json"]);
    assert_eq!(status["lag"]["event_time"], 1004);

    // The next version is not as far as the one before yet.
    progress(2, [4, 5, 6, 6]);
    let mut replay = world.command(&["replay", "--yes", "--functions", &functions]);
    let child = replay
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while world.stub.world(|world| world.state("top-v2")).as_deref() != Some("Running") {
        assert!(std::time::Instant::now() < until, "version 2 did not come");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_secs(3));
    let mut other = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    assert_eq!(active(&mut other), Some(1));
    assert_eq!(
        world.stub.world(|world| world.state("top-v1")).as_deref(),
        Some("Running")
    );
    progress(2, [5, 6, 7, 8]);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("version 2 has caught up") && said.contains("version = 2"),
        "{said}"
    );
    assert_eq!(active(&mut other), Some(2));
    assert!(
        said.contains("+ topic top.v2.panes: will be created, like top.v1.panes"),
        "{said}"
    );
    assert_eq!(topics.describe("top.v2.panes").unwrap().unwrap().partitions, 5);
    assert_eq!(
        world.stub.world(|world| world.state("top-v1")).as_deref(),
        Some("Stopped")
    );
    let sent = world
        .stub
        .world(|world| world.pipelines()[0]["query"].as_str().unwrap().to_owned());
    assert!(
        sent.contains("'source.offset' = 'earliest'") && sent.contains("hh:top:v2:w:"),
        "{sent}"
    );

    // As the file says now, nothing is to be done: a replay is the same pipeline, begun elsewhere.
    world.pipeline(2, &parameters);
    world.stub.changes();
    let again = deploy(&[]).well();
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    assert!(world.stub.changes().is_empty());

    // From a time: the offsets of that time are there under the name of a group.
    progress(3, [9, 9, 9, 9]);
    world
        .run(&[
            "replay",
            "--yes",
            "--functions",
            &functions,
            "--from",
            "2023-11-14T22:13:20Z",
        ])
        .well();
    let sent = world
        .stub
        .world(|world| world.pipelines()[0]["query"].as_str().unwrap().to_owned());
    assert!(
        sent.contains("'source.offset' = 'group'") && sent.contains("'source.group_id' = 'hitters-top-v3-replay'"),
        "{sent}"
    );
    assert_eq!(active(&mut other), Some(3));
    world.run(&["replay", "--bounded"]).fails(2, &["--bounded"]);
}
