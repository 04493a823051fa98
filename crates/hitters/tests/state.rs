//! What a run finds when it starts on a state: another run, one that wakes up later, torn and changed files, other SQL, more
//! partitions, fewer records, or nothing to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_connectors::generate::Generate;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use support::outside::{Outside, Published, Shown, differences, rows_that_differ};
use support::running::Running;
use support::state::{EVENTS, Pipeline};

/// Events in a second of event time.
const RATE: u64 = 2_000;

const SQL: &str = "
CREATE TABLE counts (opened TEXT NOT NULL, category TEXT NOT NULL, n BIGINT, amount BIGINT)
  WITH (connector = 'redis', type = 'sink', address = '${redis}', format = 'json', target = 'hash',
        'target.key_prefix' = '${prefix}', 'target.key_column' = 'opened', 'target.field_column' = 'category');
INSERT INTO counts SELECT CAST(window.start AS TEXT), category, n, amount FROM (
  SELECT tumble(INTERVAL '1 second') AS window, category, count(*) AS n, sum(amount) AS amount FROM events GROUP BY 1, 2);

CREATE TABLE tops (id TEXT NOT NULL, answer TEXT)
  WITH (connector = 'kafka', type = 'sink', bootstrap_servers = '${kafka}', topic = '${results}', format = 'json',
        'sink.commit_mode' = 'exactly_once', 'sink.key_field' = 'id');
INSERT INTO tops SELECT CAST(window.start AS TEXT), answer FROM (
  SELECT hop(INTERVAL '1 second', INTERVAL '3 seconds') AS window,
         approx_top_k_estimate(approx_top_k_accumulate(item, 64), 5) AS answer FROM events GROUP BY 1);
";

/// A topic with events, and one for results.
struct World {
    outside: Arc<Outside>,
    name: String,
    sent: u64,
}

impl World {
    /// Both topics are named after the test.
    fn new(name: &str, partitions: i32) -> Self {
        let outside = Outside::shared();
        outside.topic(&format!("{name}-events"), partitions);
        outside.topic(&format!("{name}-results"), 1);
        outside.topic(&format!("{name}-undisturbed"), 1);
        Self {
            outside,
            name: name.to_string(),
            sent: 0,
        }
    }

    fn events(&self) -> String {
        format!("{}-events", self.name)
    }

    /// Sends the events of some seconds of event time, to so many partitions.
    fn send(&mut self, seconds: std::ops::Range<u64>, partitions: u32) {
        let options = Generate {
            events: (seconds.end - seconds.start) * RATE,
            seed: seconds.start,
            items: 500,
            start: 1_700_000_000_000 + seconds.start as i64 * 1000,
            rate: RATE as f64,
            disorder: 1_000,
            partitions,
            ..Generate::default()
        };
        self.outside.generate(&self.events(), &options);
        self.sent += options.events;
    }

    /// The SQL with rows to `kind`: `results` or `undisturbed`.
    fn sql(&self, kind: &str) -> String {
        format!("{EVENTS}{SQL}")
            .replace("${events}", &self.events())
            .replace("${prefix}", &format!("{}-{kind}:", self.name))
            .replace("${results}", &format!("{}-{kind}", self.name))
    }

    fn pipeline(&self) -> Pipeline {
        Pipeline::new(&self.outside, &self.name, &self.sql("results"))
    }

    fn outcome(&self, kind: &str) -> (Shown, Published) {
        let name = format!("{}-{kind}", self.name);
        (self.outside.shown(&format!("{name}:")), self.outside.published(&name))
    }

    /// Holds what came out against a run over the whole topic that nothing disturbed.
    #[track_caller]
    fn equals_undisturbed(&self) {
        let name = format!("{}-undisturbed", self.name);
        let pipeline = Pipeline::new(&self.outside, &name, &self.sql("undisturbed"));
        Running::start(pipeline.bounded(1)).end().code(0);
        assert_eq!(pipeline.newest().records, self.sent);
        let (shown, published) = self.outcome("undisturbed");
        assert!(!shown.is_empty() && !published.is_empty());
        let (found, found_published) = self.outcome("results");
        assert!(found == shown, "Redis: {}", rows_that_differ(&shown, &found));
        assert!(
            found_published == published,
            "results: {}",
            differences(&published, &found_published)
        );
    }

    /// Starts a run without an end, and waits until a checkpoint holds all that was sent.
    fn start_and_read_all(&self, pipeline: &Pipeline, parallelism: u64) -> Running {
        let mut running = Running::start(pipeline.run(parallelism));
        self.wait_for_all(pipeline, &mut running);
        running
    }

    fn wait_for_all(&self, pipeline: &Pipeline, running: &mut Running) {
        let until = Instant::now() + Duration::from_secs(60);
        while pipeline.newest().records < self.sent {
            assert!(running.runs(), "it has ended");
            assert!(Instant::now() < until, "{:?} of {}", pipeline.newest(), self.sent);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.outside.kafka.bootstrap_servers());
        config.create().unwrap()
    }
}

/// Waits for an answer of the admin client, whose own thread brings it.
fn answer<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => assert!(Instant::now() < until, "the broker does not answer"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_second_run_is_refused_and_a_stopped_one_goes_on() {
    let mut world = World::new("second", 2);
    let pipeline = world.pipeline();
    world.send(0..6, 2);
    let first = world.start_and_read_all(&pipeline, 2);
    let before = pipeline.newest();
    let said = Running::start(pipeline.run(1)).end().code(1);
    assert!(said.contains("is in use: process"), "{said}");
    assert!(pipeline.newest().number >= before.number);
    first.signal("TERM");
    let said = first.end().code(130);
    assert!(said.contains("the next run goes on from here"), "{said}");
    world.send(6..10, 2);
    let said = Running::start(pipeline.bounded(1)).end().code(0);
    assert!(said.contains("going on from checkpoint"), "{said}");
    world.equals_undisturbed();
}

#[test]
fn a_run_that_wakes_up_after_its_successor_ends_and_changes_nothing() {
    let mut world = World::new("zombie", 2);
    let pipeline = world.pipeline();
    world.send(0..6, 2);
    let zombie = world.start_and_read_all(&pipeline, 2);
    zombie.signal("STOP");
    let asleep = pipeline.newest().number;
    // The lock is the operating system's and goes with a process that dies; on a store that machines share there is none.
    fs::remove_file(pipeline.state.join("lock")).unwrap();
    let mut successor = Running::start(pipeline.run(1));
    world.send(6..10, 2);
    world.wait_for_all(&pipeline, &mut successor);
    // Until the manifests that the successor began with are gone.
    let until = Instant::now() + Duration::from_secs(60);
    while pipeline.manifests()[0].0 <= asleep + 1 {
        assert!(Instant::now() < until && successor.runs());
        std::thread::sleep(Duration::from_millis(20));
    }
    let seen = world.outcome("results");
    zombie.signal("CONT");
    let said = zombie.end().code(1);
    assert!(said.contains("another run of this pipeline has taken"), "{said}");
    assert!(
        world.outcome("results") == seen,
        "the run that was taken over has changed something"
    );
    assert!(successor.runs());
    world.send(10..13, 2);
    world.wait_for_all(&pipeline, &mut successor);
    successor.signal("TERM");
    successor.end().code(130);
    Running::start(pipeline.bounded(2)).end().code(0);
    world.equals_undisturbed();
}

/// How a checkpoint is spoilt.
#[derive(Clone, Copy, Debug)]
enum Damage {
    TornManifest,
    ChangedObject,
    MissingObject,
}

#[test]
fn the_newest_good_checkpoint_is_used_and_what_is_wrong_with_newer_ones_is_said() {
    let mut world = World::new("damage", 2);
    let pipeline = world.pipeline();
    for (number, damage) in [Damage::TornManifest, Damage::ChangedObject, Damage::MissingObject]
        .into_iter()
        .enumerate()
    {
        let second = number as u64 * 4;
        world.send(second..second + 4, 2);
        let running = world.start_and_read_all(&pipeline, 2);
        running.kill();
        let manifests = pipeline.manifests();
        let (newest, path) = manifests.last().unwrap();
        let text = fs::read_to_string(path).unwrap();
        let manifest: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let objects = manifest["objects"].as_array().unwrap();
        let object = objects.iter().map(|object| object["name"].as_str().unwrap());
        // Panes belong to more than one checkpoint.
        let object = pipeline
            .state
            .join(object.clone().find(|name| name.starts_with("state/")).unwrap());
        match damage {
            Damage::TornManifest => fs::write(path, &text[..text.len() / 2]).unwrap(),
            Damage::ChangedObject => {
                let mut bytes = fs::read(&object).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(&object, bytes).unwrap();
            }
            Damage::MissingObject => fs::remove_file(&object).unwrap(),
        }
        let mut running = Running::start(pipeline.run(1));
        assert!(running.says(&format!("checkpoint {newest} in ")), "{}", running.said);
        assert!(running.said.contains("cannot be used"), "{}", running.said);
        assert!(running.says(&format!(
            "going on from checkpoint {}",
            manifests[manifests.len() - 2].0
        )));
        world.wait_for_all(&pipeline, &mut running);
        running.kill();
    }
    Running::start(pipeline.bounded(2)).end().code(0);
    // Rows that a bad checkpoint had published may come again: the same rows.
    let (_, published) = world.outcome("results");
    let unique: BTreeSet<_> = published.iter().cloned().collect();
    let name = "damage-undisturbed";
    let undisturbed = Pipeline::new(&world.outside, name, &world.sql("undisturbed"));
    Running::start(undisturbed.bounded(1)).end().code(0);
    let (shown, expected) = world.outcome("undisturbed");
    let found = world.outcome("results").0;
    assert!(found == shown, "{}", rows_that_differ(&shown, &found));
    assert_eq!(unique.into_iter().collect::<Published>(), expected);

    for (_, path) in pipeline.manifests() {
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 1]).unwrap();
    }
    let manifests = pipeline.manifests();
    let said = Running::start(pipeline.bounded(2)).end().code(1);
    assert!(
        said.contains("none of the") && said.contains("move them away"),
        "{said}"
    );
    assert_eq!(
        pipeline.manifests(),
        manifests,
        "a run that does not start writes nothing"
    );
}

#[test]
fn sql_that_computes_the_same_keeps_its_state_and_other_sql_is_refused() {
    let mut world = World::new("changed", 2);
    let pipeline = world.pipeline();
    world.send(0..5, 2);
    world.start_and_read_all(&pipeline, 2).kill();
    world.send(5..9, 2);
    let sql = world.sql("results");
    // Another width is another question.
    pipeline.write(
        &world.outside,
        &sql.replace("tumble(INTERVAL '1 second')", "tumble(INTERVAL '2 seconds')"),
    );
    let stored = pipeline.newest();
    let said = Running::start(pipeline.bounded(1)).end().code(1);
    assert!(
        said.contains("the SQL has changed, and there is no saved state for") && said.contains("version = "),
        "{said}"
    );
    assert_eq!(pipeline.newest().records, stored.records);
    // Another column of the source, another name of a sink, and a query more that needs no state: nothing is lost.
    let compatible = sql
        .replace("region TEXT, amount", "region TEXT, \"user\" TEXT, amount")
        .replace("TABLE counts", "TABLE counted")
        .replace("INTO counts", "INTO counted")
        + "CREATE TABLE nowhere (\"user\" TEXT) WITH (connector = 'blackhole', type = 'sink');
           INSERT INTO nowhere SELECT \"user\" FROM events WHERE amount < 0;";
    pipeline.write(&world.outside, &compatible);
    let said = Running::start(pipeline.bounded(2)).end().code(0);
    assert!(said.contains("going on from checkpoint"), "{said}");
    world.equals_undisturbed();
}

#[test]
fn partitions_that_are_added_are_read_from_their_beginning() {
    let mut world = World::new("grown", 2);
    let pipeline = world.pipeline();
    world.send(0..5, 2);
    let running = world.start_and_read_all(&pipeline, 2);
    running.signal("TERM");
    running.end().code(130);
    let name = world.events();
    let more = NewPartitions::new(&name, 4);
    let added = answer(world.admin().create_partitions([&more], &AdminOptions::new())).unwrap();
    added[0].as_ref().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    world.send(5..9, 4);
    let said = Running::start(pipeline.bounded(3)).end().code(0);
    assert!(said.contains("partition 2 of table events is new"), "{said}");
    assert!(said.contains("partition 3 of table events is new"), "{said}");
    world.equals_undisturbed();
}

#[test]
fn records_that_retention_deleted_unread_are_an_error_with_a_choice() {
    let mut world = World::new("eaten", 2);
    let pipeline = world.pipeline();
    world.send(0..5, 2);
    world.start_and_read_all(&pipeline, 2).kill();
    world.send(5..9, 2);
    let mut until = TopicPartitionList::new();
    until
        .add_partition_offset(&world.events(), 0, Offset::Offset(6 * RATE as i64 / 2))
        .unwrap();
    answer(world.admin().delete_records(&until, &AdminOptions::new())).unwrap();
    let said = Running::start(pipeline.bounded(2)).end().code(1);
    assert!(
        said.contains("of partition 0 of topic 'eaten-events' is gone") && said.contains("--missing-offsets earliest"),
        "{said}"
    );
    let mut arguments = pipeline.bounded(2);
    arguments.extend(["--missing-offsets".to_string(), "earliest".to_string()]);
    let said = Running::start(arguments).end().code(0);
    assert!(said.contains("records of partition 0"), "{said}");
    // A second of events in one of two partitions is missing.
    assert_eq!(pipeline.newest().records, world.sent - RATE / 2);
}

#[test]
fn a_bounded_run_that_has_ended_adds_nothing_until_its_topic_grows() {
    let mut world = World::new("ended", 2);
    let pipeline = world.pipeline();
    world.send(0..5, 2);
    Running::start(pipeline.bounded(2)).end().code(0);
    let ended = world.outcome("results");
    assert_eq!(pipeline.newest().records, world.sent);
    Running::start(pipeline.bounded(1)).end().code(0);
    assert!(world.outcome("results") == ended);
    assert_eq!(pipeline.newest().records, world.sent);
    // What comes is later than the windows that the first end has published.
    world.send(15..19, 2);
    Running::start(pipeline.bounded(2)).end().code(0);
    world.equals_undisturbed();
}

#[test]
fn while_its_state_cannot_be_stored_a_run_holds_results_back_and_loses_none() {
    let mut world = World::new("unstorable", 2);
    let pipeline = world.pipeline();
    world.send(0..5, 2);
    let mut running = world.start_and_read_all(&pipeline, 2);
    // A file where the folder of objects should be: nothing can be written there, whoever tries.
    let (folder, away) = (pipeline.state.join("state"), pipeline.state.join("away"));
    fs::rename(&folder, &away).unwrap();
    fs::write(&folder, "").unwrap();
    assert!(running.says("the run goes on and tries again"), "{}", running.said);
    let (shown, published) = world.outcome("results");
    let stored = pipeline.newest();
    world.send(5..9, 2);
    // Rows go on to be seen in Redis, but those of the topic wait for their checkpoint.
    let until = Instant::now() + Duration::from_secs(60);
    while world.outcome("results").0.len() < shown.len() + 3 {
        assert!(Instant::now() < until && running.runs(), "{}", running.said);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(world.outcome("results").1 == published);
    assert_eq!(pipeline.newest(), stored);
    fs::remove_file(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    world.wait_for_all(&pipeline, &mut running);
    assert_eq!(pipeline.manifests().last().unwrap().0, pipeline.newest().number);
    running.kill();
    Running::start(pipeline.bounded(1)).end().code(0);
    world.equals_undisturbed();
}
