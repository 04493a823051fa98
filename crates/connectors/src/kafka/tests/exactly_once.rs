//! Rows of a checkpoint are in the topic exactly once, whenever the run dies.

use super::*;
use crate::{Attempt, Factory, MissingOffsets};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use hitters_dataflow::sink::{Checkpoint, Position, Sink, SinkFactory};
use hitters_dataflow::source::{At, SourceFactory, Start};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Instant;

/// Options of the start with this number, and what people hear.
fn start(number: u64) -> (RunOptions, Arc<Mutex<Vec<String>>>) {
    let (run, heard) = bounded();
    let attempt = Attempt {
        pipeline: "p".into(),
        version: 1,
        number,
    };
    (
        RunOptions {
            attempt: Some(attempt),
            ..run
        },
        heard,
    )
}

fn factory(number: u64) -> Factory {
    Factory::new(start(number).0).unwrap()
}

fn sink(broker: &Broker, topic: &str, factory: &Factory) -> Box<dyn Sink> {
    let servers = broker.bootstrap_servers();
    let with = [
        ("connector", "kafka"),
        ("type", "sink"),
        ("format", "json"),
        ("bootstrap_servers", servers.as_str()),
        ("topic", topic),
        ("sink.commit_mode", "exactly_once"),
        ("client_configs", "reconnect.backoff.max.ms=500"),
    ];
    let table = table(&columns(), &with).unwrap();
    let table = Arc::new(hitters_planner::table::Table {
        // The marker's group is named by it, and the tests share a broker.
        name: topic.into(),
        ..Arc::into_inner(table).unwrap()
    });
    SinkFactory::open(factory, Some(&table), table.schema()).unwrap()
}

fn rows(numbers: std::ops::Range<i64>) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    RecordBatch::try_from_iter([("a", numbers)]).unwrap()
}

fn checkpoint(number: u64, positions: &[Position]) -> Checkpoint<'_> {
    Checkpoint { number, positions }
}

/// What is in a topic for readers of this mode.
fn content(broker: &Broker, topic: &str, mode: &str) -> Vec<i64> {
    numbers(read(
        bounded().0,
        &source(broker, topic, &[("source.read_mode", mode)]),
        1,
    ))
}

/// What readers see: asked until it is as expected, since the broker writes the markers of a transaction in its own time.
fn sees(broker: &Broker, topic: &str, expected: std::ops::Range<i64>) {
    let expected: Vec<i64> = expected.collect();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let got = content(broker, topic, "read_committed");
        if got == expected {
            return;
        }
        let repeated = got.windows(2).any(|two| two[0] == two[1]);
        assert!(
            !repeated && Instant::now() < until,
            "{} rows of {}: {:?} ...",
            got.len(),
            expected.len(),
            &got[..got.len().min(20)]
        );
    }
}

/// Offset and metadata that a group has for a partition.
fn committed(broker: &Broker, group: &str, topic: &str, partition: i32) -> (Offset, String) {
    let member: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let found = member.committed_offsets(list, Duration::from_secs(20)).unwrap();
    let element = &found.elements()[0];
    (element.offset(), element.metadata().to_string())
}

#[test]
fn rows_are_visible_after_their_checkpoint_together_with_its_number_and_the_offsets_of_the_sources() {
    let broker = broker();
    topic(&broker, "held", 1);
    topic(&broker, "held-in", 1);
    let factory = factory(3);
    let input = source(&broker, "held-in", &[("source.group_id", "readers")]);
    let mut read = SourceFactory::open(&factory, &input).unwrap();
    let mut sink = sink(&broker, "held", &factory);
    sink.write(&rows(0..3)).unwrap();
    sink.flush().unwrap();
    let held = sink.prepare().unwrap().unwrap();
    sink.write(&rows(3..5)).unwrap();
    sink.flush().unwrap();
    assert!(sink.size() >= held.len());
    // Not even in a transaction that is open: the rows are held here.
    assert_eq!(content(&broker, "held", "read_uncommitted"), Vec::<i64>::new());
    let positions = [Position {
        table: input.table.name.clone(),
        partition: 0,
        next: 7,
    }];
    sink.commit(&checkpoint(1, &positions)).unwrap();
    sees(&broker, "held", 0..3);
    assert_eq!(
        committed(&broker, "hitters-p-v1-held", "held", 0),
        (Offset::Offset(3), "1".into())
    );
    assert_eq!(committed(&broker, "readers", "held-in", 0).0, Offset::Offset(7));
    // The source leaves them to the sink.
    read.commit(&[(0, 9)]).unwrap();
    drop(read);
    assert_eq!(committed(&broker, "readers", "held-in", 0).0, Offset::Offset(7));
    sink.prepare().unwrap();
    sink.commit(&checkpoint(2, &[])).unwrap();
    sees(&broker, "held", 0..5);
}

#[test]
fn a_kill_before_the_commit_is_made_up_for_once() {
    let broker = broker();
    topic(&broker, "before", 1);
    let first = factory(1);
    let mut killed = sink(&broker, "before", &first);
    killed.write(&rows(0..10)).unwrap();
    let held = killed.prepare().unwrap().unwrap();
    drop(killed);
    for attempt in 2..5 {
        let mut next = sink(&broker, "before", &factory(attempt));
        next.recover(&checkpoint(1, &[]), &held).unwrap();
        sees(&broker, "before", 0..10);
    }
}

#[test]
fn a_kill_after_the_commit_sends_nothing_again() {
    let broker = broker();
    topic(&broker, "after", 1);
    let mut killed = sink(&broker, "after", &factory(1));
    killed.write(&rows(0..10)).unwrap();
    let held = killed.prepare().unwrap().unwrap();
    killed.commit(&checkpoint(1, &[])).unwrap();
    drop(killed);
    let mut next = sink(&broker, "after", &factory(2));
    next.recover(&checkpoint(1, &[]), &held).unwrap();
    next.write(&rows(10..12)).unwrap();
    next.prepare().unwrap();
    next.commit(&checkpoint(2, &[])).unwrap();
    sees(&broker, "after", 0..12);
}

#[test]
fn a_checkpoint_that_failed_leaves_its_rows_to_the_next() {
    let broker = broker();
    topic(&broker, "failed", 1);
    let mut sink = sink(&broker, "failed", &factory(1));
    sink.write(&rows(0..4)).unwrap();
    sink.prepare().unwrap();
    sink.write(&rows(4..6)).unwrap();
    let held = sink.prepare().unwrap().unwrap();
    sink.write(&rows(6..7)).unwrap();
    sink.commit(&checkpoint(2, &[])).unwrap();
    sees(&broker, "failed", 0..6);
    assert_eq!(crate::held::decode(&held).unwrap().count(), 6);
}

#[test]
fn a_zombie_that_wakes_up_shows_nothing_and_is_told() {
    let broker = broker();
    topic(&broker, "zombie", 1);
    let (run, heard) = start(1);
    let mut zombie = sink(&broker, "zombie", &Factory::new(run).unwrap());
    zombie.write(&rows(0..5)).unwrap();
    let held = zombie.prepare().unwrap().unwrap();
    let mut next = sink(&broker, "zombie", &factory(2));
    next.recover(&checkpoint(1, &[]), &held).unwrap();
    next.write(&rows(5..8)).unwrap();
    next.prepare().unwrap();
    let error = zombie.commit(&checkpoint(1, &[])).unwrap_err().to_string();
    assert!(
        error.contains("another run of this pipeline has taken over")
            && error.contains("start number 2, and this is start number 1"),
        "{error}; {:?}",
        heard.lock().unwrap()
    );
    // The successor was not disturbed.
    next.commit(&checkpoint(2, &[])).unwrap();
    sees(&broker, "zombie", 0..8);
    // Nor does one help that was slow to start.
    let mut late = sink(&broker, "zombie", &factory(1));
    let error = late.recover(&checkpoint(1, &[]), &held).unwrap_err().to_string();
    assert!(error.contains("taken over"), "{error}");
    // It has fenced the successor, which takes its name back.
    next.write(&rows(8..9)).unwrap();
    next.prepare().unwrap();
    next.commit(&checkpoint(3, &[])).unwrap();
    sees(&broker, "zombie", 0..9);
}

#[test]
fn numbers_of_an_earlier_life_do_not_pass_for_those_of_a_new_one() {
    let broker = broker();
    topic(&broker, "lives", 1);
    let mut old = sink(&broker, "lives", &factory(9));
    old.write(&rows(0..2)).unwrap();
    old.prepare().unwrap();
    old.commit(&checkpoint(50, &[])).unwrap();
    drop(old);
    // The state was deleted: all begins anew, and is killed before the first commit.
    let mut new = sink(&broker, "lives", &factory(1));
    new.write(&rows(2..4)).unwrap();
    let held = new.prepare().unwrap().unwrap();
    drop(new);
    let mut next = sink(&broker, "lives", &factory(2));
    next.recover(&checkpoint(1, &[]), &held).unwrap();
    sees(&broker, "lives", 0..4);
}

#[test]
fn a_marker_that_the_brokers_forgot_is_said_and_the_rows_are_sent() {
    let broker = broker();
    topic(&broker, "forgotten", 1);
    let mut killed = sink(&broker, "forgotten", &factory(1));
    killed.write(&rows(0..3)).unwrap();
    let held = killed.prepare().unwrap().unwrap();
    drop(killed);
    let admin: rdkafka::admin::AdminClient<rdkafka::client::DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()
        .unwrap();
    let group = "hitters-p-v1-forgotten";
    let deleted = crate::topics::wait(admin.delete_groups(&[group], &rdkafka::admin::AdminOptions::new())).unwrap();
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    let (run, heard) = start(2);
    let mut next = sink(&broker, "forgotten", &Factory::new(run).unwrap());
    next.recover(&checkpoint(1, &[]), &held).unwrap();
    sees(&broker, "forgotten", 0..3);
    let heard = heard.lock().unwrap().join("\n");
    assert!(heard.contains("offsets.retention.minutes"), "{heard}");
}

#[test]
fn what_no_checkpoint_of_this_table_can_be_is_an_error() {
    let broker = broker();
    topic(&broker, "hostile", 1);
    let mut next = sink(&broker, "hostile", &factory(2));
    let error = next.recover(&checkpoint(1, &[]), &[1, 9, 0]).unwrap_err().to_string();
    assert!(
        error.starts_with("sink hostile:") && error.contains("held in the checkpoint cannot be read"),
        "{error}"
    );
}

/// `cargo test --release -p hitters-connectors -- --ignored --nocapture time_of_a_commit`
#[test]
#[ignore = "a measurement"]
fn time_of_a_commit() {
    let broker = Broker::start();
    topic(&broker, "timed", 8);
    topic(&broker, "timed-in", 8);
    let factory = factory(1);
    let input = source(&broker, "timed-in", &[("source.group_id", "timed")]);
    SourceFactory::open(&factory, &input).unwrap();
    let mut sink = sink(&broker, "timed", &factory);
    let mut number = 0;
    for (count, pause) in [(100, 0), (100, 1000), (100_000, 0)] {
        let mut times: Vec<Duration> = (0..11)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(pause));
                sink.write(&rows(0..count)).unwrap();
                sink.prepare().unwrap();
                number += 1;
                let position = |partition| Position {
                    table: input.table.name.clone(),
                    partition,
                    next: number,
                };
                let positions: Vec<_> = (0..8).map(position).collect();
                let begun = Instant::now();
                sink.commit(&checkpoint(number as u64, &positions)).unwrap();
                begun.elapsed()
            })
            .collect();
        times.sort();
        println!(
            "{count} rows, {pause} ms between: median {:?}, worst {:?}",
            times[5], times[10]
        );
    }
}

#[test]
fn a_broker_that_restarts_during_the_commit_gets_every_row_once() {
    let mut broker = Broker::start();
    topic(&broker, "restart", 1);
    let (run, heard) = start(1);
    let factory = Factory::new(run).unwrap();
    let mut sink = sink(&broker, "restart", &factory);
    const ROWS: i64 = 100_000;
    for round in 0..3 {
        let (first, next) = (round * ROWS, (round + 1) * ROWS);
        sink.write(&rows(first..next - 1)).unwrap();
        sink.prepare().unwrap();
        let (begun, begin) = std::sync::mpsc::channel();
        let restart = std::thread::spawn(move || {
            begin.recv().unwrap();
            // At another moment of the transaction in each round.
            std::thread::sleep(Duration::from_millis(20 + 60 * round as u64));
            broker.stop();
            std::thread::sleep(Duration::from_millis(500));
            broker.start_again();
            broker
        });
        begun.send(()).unwrap();
        sink.commit(&checkpoint(2 * round as u64 + 1, &[])).unwrap();
        broker = restart.join().unwrap();
        // A broker (4.3.1) that dies between a commit and its markers may forget to write them when it is back: the rows are
        // visible with the next transaction.
        sink.write(&rows(next - 1..next)).unwrap();
        sink.prepare().unwrap();
        sink.commit(&checkpoint(2 * round as u64 + 2, &[])).unwrap();
        sees(&broker, "restart", 0..next);
    }
    let heard = heard.lock().unwrap().join("\n");
    assert!(
        heard.contains("does not answer") && heard.contains("is back after"),
        "{heard}"
    );
}

#[test]
fn a_transaction_that_the_broker_gave_up_is_sent_again() {
    let broker = Broker::with(&[("transaction.abort.timed.out.transaction.cleanup.interval.ms", "200")]);
    topic(&broker, "slow", 1);
    let (run, heard) = start(1);
    let factory = Factory::new(run).unwrap();
    let servers = broker.bootstrap_servers();
    let with = [
        ("connector", "kafka"),
        ("type", "sink"),
        ("format", "json"),
        ("bootstrap_servers", servers.as_str()),
        ("topic", "slow"),
        ("sink.commit_mode", "exactly_once"),
        // Rows wait for a second in the client, longer than the broker lets a transaction live.
        (
            "client_configs",
            "transaction.timeout.ms=1000,linger.ms=900,batch.size=10000000",
        ),
    ];
    let table = table(&columns(), &with).unwrap();
    let mut sink = SinkFactory::open(&factory, Some(&table), table.schema()).unwrap();
    sink.write(&rows(0..10)).unwrap();
    sink.prepare().unwrap();
    let frozen = Arc::new(broker);
    let thawing = frozen.clone();
    let thaw = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        thawing.freeze();
        std::thread::sleep(Duration::from_secs(3));
        thawing.thaw();
    });
    sink.commit(&checkpoint(1, &[])).unwrap();
    thaw.join().unwrap();
    sees(&frozen, "slow", 0..10);
    let heard = heard.lock().unwrap().join("\n");
    assert!(heard.contains("its rows are sent again"), "{heard}");
}

#[test]
fn members_of_the_group_elsewhere_disturb_no_commit() {
    let broker = broker();
    topic(&broker, "foreign", 1);
    topic(&broker, "foreign-in", 1);
    let other: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("group.id", "busy")
        .create()
        .unwrap();
    other.subscribe(&["foreign-in"]).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while other.assignment().unwrap().count() == 0 {
        assert!(Instant::now() < until, "the group does not form");
        let _ = other.poll(Duration::from_millis(100));
    }
    let (run, heard) = start(1);
    let factory = Factory::new(run).unwrap();
    let input = source(&broker, "foreign-in", &[("source.group_id", "busy")]);
    SourceFactory::open(&factory, &input).unwrap();
    let mut sink = sink(&broker, "foreign", &factory);
    let positions = [Position {
        table: input.table.name.clone(),
        partition: 0,
        next: 7,
    }];
    for number in 0..2 {
        sink.write(&rows(number..number + 1)).unwrap();
        sink.prepare().unwrap();
        sink.commit(&checkpoint(number as u64 + 1, &positions)).unwrap();
    }
    sees(&broker, "foreign", 0..2);
    assert_eq!(committed(&broker, "busy", "foreign-in", 0).0, Offset::Offset(7));
    assert_eq!(heard.lock().unwrap().join("\n"), "");
}

#[test]
fn a_source_commits_next_offsets_of_its_group_in_order() {
    let broker = broker();
    topic(&broker, "progress", 2);
    let factory = factory(1);
    let mut source = SourceFactory::open(
        &factory,
        &source(&broker, "progress", &[("source.group_id", "watched")]),
    )
    .unwrap();
    for next in 1..=20 {
        source.commit(&[(0, next), (1, 100 + next)]).unwrap();
    }
    // The end of a run waits for the last of them.
    drop(source);
    assert_eq!(committed(&broker, "watched", "progress", 0).0, Offset::Offset(20));
    assert_eq!(committed(&broker, "watched", "progress", 1).0, Offset::Offset(120));
}

#[test]
fn added_partitions_begin_at_their_oldest_record_and_gone_ones_go_on_if_asked() {
    let broker = broker();
    topic(&broker, "added", 2);
    send(&broker, "added", 0, &["{\"a\":0}", "{\"a\":1}", "{\"a\":2}"]);
    send(&broker, "added", 1, &["{\"a\":10}"]);
    let admin: rdkafka::admin::AdminClient<rdkafka::client::DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()
        .unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset("added", 0, Offset::Offset(2)).unwrap();
    crate::topics::wait(admin.delete_records(&before, &rdkafka::admin::AdminOptions::new())).unwrap();
    let node = source(&broker, "added", &[("source.offset", "latest")]);
    let starts = [
        Start {
            number: 0,
            at: At::Position(1),
        },
        Start {
            number: 1,
            at: At::Beginning,
        },
    ];
    let open = |run: RunOptions| {
        SourceFactory::open(&Factory::new(run).unwrap(), &node)
            .unwrap()
            .reader(&starts)
    };
    let error = open(bounded().0).err().unwrap().to_string();
    assert!(error.contains("--missing-offsets earliest"), "{error}");
    let (run, heard) = bounded();
    let mut reader = open(RunOptions {
        missing: MissingOffsets::Earliest,
        ..run
    })
    .unwrap();
    assert_eq!(numbers(read_all(reader.as_mut(), 2).unwrap()), [2, 10]);
    let heard = heard.lock().unwrap().join("\n");
    assert!(
        heard.contains("1 records of partition 0") && heard.contains("oldest one kept, 2"),
        "{heard}"
    );
}
