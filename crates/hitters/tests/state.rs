//! What a run finds when it starts on a state: another run, one that wakes up later, torn and changed files, other SQL, more
//! partitions, fewer records, or nothing to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use support::outside::{Published, rows_that_differ};
use support::running::Running;
use support::state::Pipeline;
use support::world::{RATE, World};

fn admin(world: &World) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", world.outside.kafka.bootstrap_servers());
    config.create().unwrap()
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
    world.outside.topics().widen(&name, 4).unwrap();
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
    answer(admin(&world).delete_records(&until, &AdminOptions::new())).unwrap();
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
