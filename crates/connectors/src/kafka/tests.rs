//! Against a real broker, which the tests that run at a time share.

use super::*;
use crate::generate::{Generate, Profile, to_topic};
use crate::testing::{bounded, column, lines, metadata, node, read_all, reader, table};
use crate::topics::{Outcome, TopicSpec, Topics};
use crate::{Bound, DeadLetter, Factory, RunOptions, StartTimeout};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use hitters_dataflow::sink::SinkFactory;
use hitters_dataflow::source::{Poll, Rows, SourceFactory};
use hitters_planner::plan::SourceNode;
use hitters_planner::table::Column;
use hitters_tests::services::{Kafka as Broker, free_port};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::{Mutex, Weak};
use std::time::{Duration, Instant};

/// A broker for the tests that run now: the last of them stops it.
fn broker() -> Arc<Broker> {
    static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    shared.upgrade().unwrap_or_else(|| {
        let fresh = Arc::new(Broker::start());
        *shared = Arc::downgrade(&fresh);
        fresh
    })
}

fn topic(broker: &Broker, name: &str, partitions: i32) {
    let topics = Topics::connect(&broker.bootstrap_servers(), &[], &bounded().0).unwrap();
    let spec = TopicSpec {
        name: name.into(),
        partitions: Some(partitions),
        replication: Some(1),
        ..TopicSpec::default()
    };
    assert_eq!(topics.ensure(&spec, true).unwrap(), Outcome::Created);
}

fn producer(broker: &Broker, more: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    for (name, value) in more {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

fn send(broker: &Broker, topic: &str, partition: i32, messages: &[&str]) {
    let producer = producer(broker, &[]);
    for message in messages {
        producer
            .send(
                BaseRecord::<(), str>::to(topic)
                    .partition(partition)
                    .payload(message)
                    .timestamp(1_700_000_000_000),
            )
            .unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
}

fn columns() -> Vec<Column> {
    vec![column("a", DataType::Int64, false)]
}

fn source_of(broker: &Broker, topic: &str, columns: &[Column], more: &[(&str, &str)]) -> SourceNode {
    let servers = broker.bootstrap_servers();
    let mut with = vec![
        ("connector", "kafka"),
        ("type", "source"),
        ("format", "json"),
        ("bootstrap_servers", servers.as_str()),
        ("topic", topic),
    ];
    if !more.iter().any(|(name, _)| *name == "source.offset") {
        with.push(("source.offset", "earliest"));
    }
    with.extend(more);
    node(&table(columns, &with).unwrap())
}

fn source(broker: &Broker, topic: &str, more: &[(&str, &str)]) -> SourceNode {
    source_of(broker, topic, &columns(), more)
}

fn read(run: RunOptions, node: &SourceNode, partitions: usize) -> Vec<Rows> {
    read_all(reader(run, node, None).unwrap().as_mut(), partitions).unwrap()
}

fn numbers(rows: Vec<Rows>) -> Vec<i64> {
    let mut all: Vec<i64> = rows
        .iter()
        .flat_map(|rows| rows.batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn reads_every_message_of_every_partition_once_and_ends() {
    let broker = broker();
    topic(&broker, "all", 4);
    let generate = Generate {
        events: 50_000,
        partitions: 4,
        items: 1_000,
        profile: Profile::Cdn,
        ..Generate::default()
    };
    let servers = broker.bootstrap_servers();
    assert_eq!(
        to_topic(&generate, &servers, "all", &[], &bounded().0, false, &mut |_| true).unwrap(),
        50_000
    );
    let all = [
        column("ts", DataType::Int64, false),
        metadata("offset", "offset_id", DataType::Int64),
        metadata("part", "partition", DataType::Int32),
        metadata("time", "timestamp", DataType::Int64),
        metadata("name", "topic", DataType::Utf8View),
        metadata("key", "key", DataType::BinaryView),
    ];
    let rows = read(bounded().0, &source_of(&broker, "all", &all, &[]), 4);
    let mut next = [0; 4];
    for rows in &rows {
        let batch = &rows.batch;
        let (ts, offsets) = (
            batch.column(0).as_primitive::<Int64Type>(),
            batch.column(1).as_primitive::<Int64Type>(),
        );
        for row in 0..batch.num_rows() {
            assert_eq!(offsets.value(row), next[rows.partition as usize]);
            next[rows.partition as usize] += 1;
            assert_eq!(batch.column(2).as_primitive::<Int32Type>().value(row), rows.partition);
            assert_eq!(batch.column(3).as_primitive::<Int64Type>().value(row), ts.value(row));
            assert_eq!(rows.times[row], ts.value(row) * 1_000_000);
        }
        assert_eq!(rows.next, next[rows.partition as usize]);
        assert_eq!(batch.column(4).as_string_view().value(0), "all");
        assert!(batch.column(5).is_null(0));
    }
    assert_eq!(next, [12_500; 4]);
}

#[test]
fn goes_on_from_a_position() {
    let broker = broker();
    topic(&broker, "positions", 1);
    send(&broker, "positions", 0, &["{\"a\":0}", "{\"a\":1}", "{\"a\":2}"]);
    let node = source(&broker, "positions", &[]);
    let rows = read_all(reader(bounded().0, &node, Some(2)).unwrap().as_mut(), 1).unwrap();
    assert_eq!(rows[0].next, 3);
    assert_eq!(numbers(rows), [2]);
    let error = reader(bounded().0, &node, Some(4)).err().unwrap().to_string();
    assert!(
        error.contains("offset 4 of partition 0 of topic 'positions' is beyond its end 3"),
        "{error}"
    );
}

#[test]
fn empty_topics_and_partitions_end() {
    let broker = broker();
    topic(&broker, "empty", 3);
    assert!(read(bounded().0, &source(&broker, "empty", &[]), 3).is_empty());
    send(&broker, "empty", 1, &["{\"a\":7}"]);
    assert_eq!(numbers(read(bounded().0, &source(&broker, "empty", &[]), 3)), [7]);
    // The default is the end of the log.
    assert!(
        read(
            bounded().0,
            &source(&broker, "empty", &[("source.offset", "latest")]),
            3
        )
        .is_empty()
    );
}

#[test]
fn logs_that_end_with_transaction_markers_end_and_aborted_rows_are_hidden() {
    let broker = broker();
    topic(&broker, "transactions", 1);
    let producer = producer(&broker, &[("transactional.id", "test")]);
    producer.init_transactions(Duration::from_secs(20)).unwrap();
    for (message, commit) in [
        ("{\"a\":1}", true),
        ("{\"a\":2}", false),
        ("{\"a\":3}", true),
        ("{\"a\":4}", false),
    ] {
        producer.begin_transaction().unwrap();
        producer
            .send(BaseRecord::<(), str>::to("transactions").payload(message))
            .unwrap();
        producer.flush(Duration::from_secs(20)).unwrap();
        if commit {
            producer.commit_transaction(Duration::from_secs(20)).unwrap();
        } else {
            producer.abort_transaction(Duration::from_secs(20)).unwrap();
        }
    }
    let committed = source(&broker, "transactions", &[("source.read_mode", "read_committed")]);
    assert_eq!(numbers(read(bounded().0, &committed, 1)), [1, 3]);
    assert_eq!(
        numbers(read(bounded().0, &source(&broker, "transactions", &[]), 1)),
        [1, 2, 3, 4]
    );
    // A transaction that is still open: what comes after it waits, and the run ends before it.
    producer.begin_transaction().unwrap();
    producer
        .send(BaseRecord::<(), str>::to("transactions").payload("{\"a\":5}"))
        .unwrap();
    producer.flush(Duration::from_secs(20)).unwrap();
    assert_eq!(numbers(read(bounded().0, &committed, 1)), [1, 3]);
    producer.abort_transaction(Duration::from_secs(20)).unwrap();
}

#[test]
fn every_compression_is_read() {
    let broker = broker();
    topic(&broker, "compressed", 1);
    for (n, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let producer = producer(&broker, &[("compression.codec", codec), ("linger.ms", "50")]);
        for m in 0..100 {
            let message = format!("{{\"a\":{}}}", n * 100 + m);
            producer
                .send(BaseRecord::<(), str>::to("compressed").payload(&message))
                .unwrap();
        }
        producer.flush(Duration::from_secs(20)).unwrap();
    }
    let expected: Vec<i64> = (0..500).collect();
    assert_eq!(
        numbers(read(bounded().0, &source(&broker, "compressed", &[]), 1)),
        expected
    );
}

#[test]
fn a_login_is_used_and_a_refused_one_is_an_error_at_once() {
    let broker = Broker::with_login("reader", "right");
    topic(&broker, "guarded", 1);
    send(&broker, "guarded", 0, &["{\"a\":1}"]);
    let servers = broker.login_servers();
    let with = |password| {
        let login = [
            ("connector", "kafka"),
            ("type", "source"),
            ("format", "json"),
            ("source.offset", "earliest"),
            ("bootstrap_servers", servers.as_str()),
            ("topic", "guarded"),
            ("auth.type", "sasl"),
            ("auth.mechanism", "PLAIN"),
            ("auth.protocol", "SASL_PLAINTEXT"),
            ("auth.username", "reader"),
            ("auth.password", password),
        ];
        node(&table(&columns(), &login).unwrap())
    };
    assert_eq!(numbers(read(bounded().0, &with("right"), 1)), [1]);
    let begun = Instant::now();
    let error = reader(bounded().0, &with("wrong"), None).err().unwrap().to_string();
    assert!(
        error.contains("refuses the connection") && error.contains("auth.mechanism"),
        "{error}"
    );
    assert!(
        !error.contains("wrong") && begun.elapsed() < Duration::from_secs(15),
        "{error}"
    );
}

#[test]
fn a_tombstone_is_no_row_and_nothing_bad() {
    let broker = broker();
    topic(&broker, "tombstones", 1);
    let producer = producer(&broker, &[]);
    producer
        .send(BaseRecord::<str, str>::to("tombstones").key("k").payload("{\"a\":1}"))
        .unwrap();
    producer
        .send(BaseRecord::<str, str>::to("tombstones").key("k"))
        .unwrap();
    producer.flush(Duration::from_secs(20)).unwrap();
    let rows = read(bounded().0, &source(&broker, "tombstones", &[]), 1);
    assert_eq!(
        rows.iter()
            .map(|rows| (rows.records, rows.bad))
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (2, 0)
    );
    assert_eq!(numbers(rows), [1]);
}

#[test]
fn a_bad_message_is_named_by_partition_and_offset() {
    let broker = broker();
    topic(&broker, "bad", 2);
    send(&broker, "bad", 1, &["{\"a\":0}", "{\"a\":1", "{\"a\":2}"]);
    let node = source(&broker, "bad", &[]);
    let error = read_all(reader(bounded().0, &node, None).unwrap().as_mut(), 2)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("source events: topic 'bad' partition 1 offset 1: not JSON: the text ends too early"),
        "{error}"
    );
    assert!(error.contains("bad_data = 'drop'"), "{error}");
}

#[test]
fn dropped_messages_go_to_the_dead_letter_topic() {
    let broker = broker();
    topic(&broker, "dropping", 1);
    topic(&broker, "letters", 1);
    send(&broker, "dropping", 0, &["{\"a\":0}", "nonsense", "{}", "{\"a\":3}"]);
    let letters = DeadLetter::Topic {
        bootstrap_servers: broker.bootstrap_servers(),
        topic: "letters".into(),
        client_configs: Vec::new(),
    };
    let factory = Factory::new(RunOptions {
        dead_letter: Some(letters),
        ..bounded().0
    })
    .unwrap();
    let mut source = SourceFactory::open(&factory, &source(&broker, "dropping", &[("bad_data", "drop")])).unwrap();
    let starts: Vec<_> = source
        .partitions()
        .unwrap()
        .iter()
        .map(|p| hitters_dataflow::source::Start {
            number: p.number,
            position: None,
        })
        .collect();
    let mut reader = source.reader(&starts).unwrap();
    let mut rejected = false;
    let (mut bad, mut good) = (0, 0);
    loop {
        match reader.poll(Duration::from_millis(100)).unwrap() {
            Poll::Rows(rows) => {
                (bad, good) = (bad + rows.bad, good + rows.batch.num_rows());
                if !rejected {
                    reader.reject(&[(0, "too old".into())]).unwrap();
                    rejected = true;
                }
            }
            Poll::End(_) => break,
            _ => {}
        }
    }
    assert_eq!((bad, good), (2, 2));
    factory.flush_dead_letters().unwrap();
    let columns = [
        column("position", DataType::Int64, false),
        column("payload", DataType::Utf8View, false),
        column("reason", DataType::Utf8View, false),
    ];
    let letters = lines(
        read(bounded().0, &source_of(&broker, "letters", &columns, &[]), 1)
            .into_iter()
            .map(|rows| rows.batch),
    );
    let mut expected = vec![
        r#"{"position":1,"payload":"nonsense","reason":"not JSON: a JSON object is expected here (byte 0 of 8, near \"nonsense\")"}"#,
        r#"{"position":2,"payload":"{}","reason":"column 'a' is missing, but declared NOT NULL"}"#,
        r#"{"position":0,"payload":"{\"a\":0}","reason":"too old"}"#,
    ];
    let mut letters: Vec<_> = letters.iter().map(String::as_str).collect();
    letters.sort_unstable();
    expected.sort_unstable();
    assert_eq!(letters, expected);
}

#[test]
fn unknown_topics_and_unreachable_brokers_are_clear_errors_in_time() {
    let broker = broker();
    let open = |node: &SourceNode, seconds| {
        let run = RunOptions {
            start_timeout: StartTimeout(Duration::from_secs(seconds)),
            ..bounded().0
        };
        SourceFactory::open(&Factory::new(run).unwrap(), node)
            .and_then(|mut source| source.partitions())
            .unwrap_err()
            .to_string()
    };
    let error = open(&source(&broker, "nothing", &[]), 30);
    assert!(
        error.contains("there is no topic 'nothing'") && error.contains("hitters topics"),
        "{error}"
    );

    let nobody = format!("127.0.0.1:{}", free_port());
    let with = [
        ("connector", "kafka"),
        ("type", "source"),
        ("format", "json"),
        ("bootstrap_servers", nobody.as_str()),
        ("topic", "t"),
    ];
    let begun = Instant::now();
    let error = open(&node(&table(&columns(), &with).unwrap()), 2);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(
        error.contains(&nobody) && error.contains("did not answer within 2 s") && error.contains("bootstrap_servers"),
        "{error}"
    );

    let error = open(
        &source(&broker, "nothing", &[("client_configs", "no.such.setting=1")]),
        2,
    );
    assert!(error.contains("no.such.setting"), "{error}");
}

#[test]
fn the_offsets_of_a_group_are_next_offsets() {
    let broker = broker();
    topic(&broker, "grouped", 2);
    send(&broker, "grouped", 0, &["{\"a\":0}", "{\"a\":1}", "{\"a\":2}"]);
    send(&broker, "grouped", 1, &["{\"a\":10}"]);
    let member: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("group.id", "g")
        .create()
        .unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("grouped", 0, Offset::Offset(2)).unwrap();
    member.commit(&offsets, CommitMode::Sync).unwrap();
    let (run, heard) = bounded();
    let rows = read(
        run,
        &source(
            &broker,
            "grouped",
            &[("source.offset", "group"), ("source.group_id", "g")],
        ),
        2,
    );
    // Partition 1 has no offset: it is read from its end on, and said so.
    assert_eq!(numbers(rows), [2]);
    let heard = heard.lock().unwrap().join("\n");
    assert!(
        heard.contains("group 'g' has no offset for partition 1 of topic 'grouped'"),
        "{heard}"
    );
}

#[test]
fn records_that_retention_took_are_an_error_and_never_skipped() {
    let broker = broker();
    topic(&broker, "retention", 1);
    send(&broker, "retention", 0, &["{\"a\":0}", "{\"a\":1}", "{\"a\":2}"]);
    let admin: rdkafka::admin::AdminClient<rdkafka::client::DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()
        .unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset("retention", 0, Offset::Offset(2)).unwrap();
    crate::topics::wait(admin.delete_records(&before, &rdkafka::admin::AdminOptions::new())).unwrap();
    let node = source(&broker, "retention", &[]);
    let error = reader(bounded().0, &node, Some(1)).err().unwrap().to_string();
    assert!(
        error.contains("offset 1 of partition 0 of topic 'retention' is gone: the oldest record kept is 2"),
        "{error}"
    );
    assert!(error.contains("--from earliest"), "{error}");
    assert_eq!(numbers(read(bounded().0, &node, 1)), [2]);
}

#[test]
fn from_to_and_limit_bound_a_run() {
    let broker = broker();
    topic(&broker, "bounds", 2);
    let producer = producer(&broker, &[]);
    for n in 0..10_i64 {
        let message = format!("{{\"a\":{n}}}");
        let record = BaseRecord::<(), str>::to("bounds")
            .partition((n % 2) as i32)
            .payload(&message);
        producer.send(record.timestamp(1_700_000_000_000 + n * 1000)).unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    let node = source(&broker, "bounds", &[("source.offset", "latest")]);
    let rows = |from, to, limit| {
        numbers(read(
            RunOptions {
                bounded: false,
                from,
                to,
                limit,
                ..bounded().0
            },
            &node,
            2,
        ))
    };
    let time = |n: i64| Some(Bound::Time(1_700_000_000_000 + n * 1000));
    assert_eq!(rows(time(3), time(7), None), [3, 4, 5, 6]);
    assert_eq!(rows(Some(Bound::Earliest), time(100), None).len(), 10);
    assert_eq!(rows(Some(Bound::Earliest), None, Some(3)), [0, 1, 2]);
    assert_eq!(rows(time(9), None, Some(100)), [9]);
    assert!(rows(Some(Bound::Latest), None, Some(100)).is_empty());
}

#[test]
fn follows_a_growing_log_and_says_when_it_is_caught_up() {
    let broker = broker();
    topic(&broker, "growing", 1);
    send(&broker, "growing", 0, &["{\"a\":0}"]);
    let run = RunOptions {
        bounded: false,
        ..bounded().0
    };
    let mut reader = reader(run, &source(&broker, "growing", &[]), None).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    let (mut seen, mut caught_up) = (Vec::new(), 0);
    while seen.len() < 3 || caught_up < 2 {
        assert!(Instant::now() < until, "{seen:?}, caught up {caught_up} times");
        match reader.poll(Duration::from_millis(100)).unwrap() {
            Poll::Rows(rows) => seen.extend(numbers(vec![rows])),
            Poll::CaughtUp(partition) => {
                assert_eq!(partition, 0);
                caught_up += 1;
                if caught_up == 1 {
                    send(&broker, "growing", 0, &["{\"a\":1}", "{\"a\":2}"]);
                }
            }
            Poll::Idle => {}
            Poll::End(_) => panic!("an endless run ended"),
        }
    }
    assert_eq!(seen, [0, 1, 2]);
}

#[test]
fn an_outage_is_waited_out_and_said_and_nothing_is_lost() {
    let mut broker = Broker::start();
    topic(&broker, "outage", 1);
    topic(&broker, "answers", 1);
    send(&broker, "outage", 0, &["{\"a\":0}"]);
    let (mut run, heard) = bounded();
    run.bounded = false;
    let node = source(&broker, "outage", &[("client_configs", "reconnect.backoff.max.ms=500")]);
    let mut reader = reader(run.clone(), &node, None).unwrap();
    let servers = broker.bootstrap_servers();
    let with = [
        ("connector", "kafka"),
        ("type", "sink"),
        ("format", "json"),
        ("bootstrap_servers", servers.as_str()),
        ("topic", "answers"),
    ];
    let answers = table(&columns(), &with).unwrap();
    let mut sink = SinkFactory::open(&Factory::new(run).unwrap(), Some(&answers), answers.schema()).unwrap();
    let until = Instant::now() + Duration::from_secs(90);
    let mut next = |wanted: i64| loop {
        assert!(Instant::now() < until, "row {wanted} does not come");
        if let Poll::Rows(rows) = reader.poll(Duration::from_millis(200)).unwrap() {
            assert_eq!(
                numbers(vec![Rows {
                    batch: rows.batch.clone(),
                    times: rows.times.clone(),
                    ..rows
                }]),
                [wanted]
            );
            break rows.batch;
        }
    };
    let first = next(0);
    broker.stop();
    let restart = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(3));
        broker.start_again();
        send(&broker, "outage", 0, &["{\"a\":1}"]);
        broker
    });
    // The flush returns when the broker is back and has taken the row.
    sink.write(&first).unwrap();
    sink.flush().unwrap();
    let second = next(1);
    sink.write(&second).unwrap();
    sink.close().unwrap();
    let broker = restart.join().unwrap();
    assert_eq!(numbers(read(bounded().0, &source(&broker, "answers", &[]), 1)), [0, 1]);
    let heard = heard.lock().unwrap().join("\n");
    assert!(
        heard.contains("does not answer") && heard.contains("is back after"),
        "{heard}"
    );
}

#[test]
fn the_sink_writes_keys_times_and_transactions() {
    let broker = broker();
    let servers = broker.bootstrap_servers();
    for (name, mode) in [("plain", "at_least_once"), ("exact", "exactly_once")] {
        topic(&broker, name, 3);
        let columns = [
            column("a", DataType::Int64, false),
            column("k", DataType::Utf8View, true),
            column("t", DataType::Timestamp(TimeUnit::Nanosecond, None), false),
        ];
        let with = [
            ("connector", "kafka"),
            ("type", "sink"),
            ("format", "json"),
            ("bootstrap_servers", servers.as_str()),
            ("topic", name),
            ("sink.key_field", "k"),
            ("sink.timestamp_field", "t"),
            ("sink.commit_mode", mode),
            ("client_configs", "compression.codec=zstd"),
        ];
        let answers = table(&columns, &with).unwrap();
        let mut sink =
            SinkFactory::open(&Factory::new(bounded().0).unwrap(), Some(&answers), answers.schema()).unwrap();
        // Rows to write, decoded from what a source table would read.
        topic(&broker, &format!("{name}-in"), 1);
        send(
            &broker,
            &format!("{name}-in"),
            0,
            &[
                r#"{"a":1,"k":"x","t":"2023-11-14T22:13:20.5"}"#,
                r#"{"a":2,"k":"x","t":"2023-11-14T22:13:21"}"#,
                r#"{"a":3,"t":"2023-11-14T22:13:22"}"#,
            ],
        );
        for rows in read(
            bounded().0,
            &source_of(&broker, &format!("{name}-in"), &columns, &[]),
            1,
        ) {
            sink.write(&rows.batch).unwrap();
            sink.flush().unwrap();
        }
        sink.close().unwrap();
        let all = [
            columns[0].clone(),
            metadata("key", "key", DataType::BinaryView),
            metadata("time", "timestamp", DataType::Int64),
        ];
        let node = source_of(&broker, name, &all, &[("source.read_mode", "read_committed")]);
        let rows = read(bounded().0, &node, 3);
        let homes: Vec<_> = rows
            .iter()
            .filter(|rows| rows.batch.column(1).is_valid(0))
            .map(|rows| rows.partition)
            .collect();
        assert!(
            !homes.is_empty() && homes.iter().all(|home| *home == homes[0]),
            "a key has one partition: {homes:?}"
        );
        let mut got = lines(rows.into_iter().map(|rows| rows.batch));
        got.sort();
        assert_eq!(
            got,
            [
                r#"{"a":1,"key":"eA==","time":1700000000500}"#,
                r#"{"a":2,"key":"eA==","time":1700000001000}"#,
                r#"{"a":3,"key":null,"time":1700000002000}"#,
            ]
        );
    }
}

#[test]
fn messages_that_the_broker_refuses_are_errors() {
    let broker = broker();
    let topics = Topics::connect(&broker.bootstrap_servers(), &[], &bounded().0).unwrap();
    let settings = [("max.message.bytes".to_string(), "2000".to_string())].into();
    let spec = TopicSpec {
        name: "narrow".into(),
        partitions: Some(1),
        replication: Some(1),
        settings,
    };
    topics.ensure(&spec, true).unwrap();
    let servers = Servers {
        bootstrap: broker.bootstrap_servers(),
        settings: Vec::new(),
    };
    let mut delivery = Delivery::open(&servers, "narrow", None, &bounded().0).unwrap();
    delivery.send(None, &vec![b'x'; 100_000], None).unwrap();
    let error = delivery.flush().unwrap_err();
    assert!(
        error.contains("topic 'narrow'") && error.contains("did not take a message"),
        "{error}"
    );
}

#[test]
fn topics_are_created_and_compared() {
    let broker = broker();
    let topics = Topics::connect(&broker.bootstrap_servers(), &[], &bounded().0).unwrap();
    let settings = [
        ("compression.type".to_string(), "lz4".to_string()),
        ("retention.ms".to_string(), "86400000".to_string()),
    ];
    let spec = TopicSpec {
        name: "wanted".into(),
        partitions: Some(4),
        replication: Some(1),
        settings: settings.into(),
    };
    assert_eq!(topics.ensure(&spec, false).unwrap(), Outcome::Missing);
    assert_eq!(topics.ensure(&spec, true).unwrap(), Outcome::Created);
    assert_eq!(topics.ensure(&spec, true).unwrap(), Outcome::Exists(Vec::new()));
    assert!(topics.names().unwrap().contains(&"wanted".to_string()));
    let other = [("cleanup.policy".to_string(), "compact".to_string())];
    let other = TopicSpec {
        partitions: Some(8),
        replication: Some(3),
        settings: other.into(),
        ..spec.clone()
    };
    let Outcome::Exists(differences) = topics.ensure(&other, true).unwrap() else {
        panic!("it is there")
    };
    let said: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].starts_with("partitions is 4, wanted 8: kafka-topics.sh --alter --topic wanted --partitions 8"),
        "{said:?}"
    );
    assert!(said[1].starts_with("replication is 1, wanted 3"), "{said:?}");
    assert!(
        said[2].starts_with("cleanup.policy is delete, wanted compact"),
        "{said:?}"
    );
    let error = topics
        .ensure(
            &TopicSpec {
                name: "copies".into(),
                replication: Some(3),
                ..TopicSpec::default()
            },
            true,
        )
        .unwrap_err();
    assert!(error.contains("topic 'copies' cannot be created"), "{error}");
}

/// The reader against a loop that takes batches and drops them, on an 8-partition topic:
/// `cargo test --release -p hitters-connectors -- --ignored --nocapture consume_speed`
#[test]
#[ignore = "a measurement"]
fn consume_speed() {
    let broker = Broker::start();
    topic(&broker, "speed", 8);
    let events = std::env::var("EVENTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(4_000_000);
    let generate = Generate {
        events,
        partitions: 8,
        rate: 100_000.0,
        ..Generate::default()
    };
    let begun = Instant::now();
    to_topic(
        &generate,
        &broker.bootstrap_servers(),
        "speed",
        &[],
        &bounded().0,
        false,
        &mut |_| true,
    )
    .unwrap();
    println!(
        "generate: {:.2} M events/s",
        events as f64 / begun.elapsed().as_secs_f64() / 1e6
    );
    let columns = [
        column("ts", DataType::Int64, false),
        column("item", DataType::Utf8View, false),
    ];
    let node = source_of(&broker, "speed", &columns, &[]);
    for _ in 0..3 {
        for threads in [1, 2] {
            let queues = Mutex::new(
                (0..threads)
                    .map(|thread| bare_queue(&broker, "speed", thread, threads))
                    .collect::<Vec<_>>(),
            );
            let bare = in_threads(threads, |_| {
                let (queue, partitions) = queues.lock().unwrap().pop().unwrap();
                bare_loop(queue, partitions)
            });
            let _ = std::fs::write("/proc/self/clear_refs", "5");
            let factory = Factory::new(bounded().0).unwrap();
            let mut source = SourceFactory::open(&factory, &node).unwrap();
            let all = source.partitions().unwrap();
            let readers = Mutex::new(
                (0..threads)
                    .map(|thread| {
                        let mine = all.iter().filter(|p| p.number as usize % threads == thread);
                        let starts: Vec<_> = mine
                            .map(|p| hitters_dataflow::source::Start {
                                number: p.number,
                                position: None,
                            })
                            .collect();
                        source.reader(&starts).unwrap()
                    })
                    .collect::<Vec<_>>(),
            );
            let ours = in_threads(threads, |_| {
                let mut reader = readers.lock().unwrap().pop().unwrap();
                let rows = read_counted(reader.as_mut(), 8 / threads);
                drop(reader);
                rows
            });
            let rate = |(rows, time, _): (u64, f64, f64)| rows as f64 / time / 1e6;
            println!(
                "{threads} thread(s): bare {:.2} M/s ({:.3} us CPU), reader {:.2} M/s ({:.3} us CPU), ratio {:.2}; peak memory {} MB",
                rate(bare),
                bare.2 / bare.0 as f64 * 1e6,
                rate(ours),
                ours.2 / ours.0 as f64 * 1e6,
                rate(ours) / rate(bare),
                memory("VmHWM:")
            );
        }
    }
}

fn read_counted(reader: &mut dyn hitters_dataflow::source::Reader, partitions: usize) -> u64 {
    let (mut rows, mut ended) = (0, 0);
    while ended < partitions {
        match reader.poll(Duration::from_millis(100)).unwrap() {
            Poll::Rows(batch) => rows += std::hint::black_box(batch).batch.num_rows() as u64,
            Poll::End(_) => ended += 1,
            _ => {}
        }
    }
    rows
}

fn bare_queue(broker: &Broker, topic: &str, thread: usize, threads: usize) -> (super::batch::Queue, Vec<i32>) {
    let watch = Watch::new(&broker.bootstrap_servers(), &bounded().0.reporter);
    let servers = Servers {
        bootstrap: broker.bootstrap_servers(),
        settings: Vec::new(),
    };
    let client: super::client::Client = servers.create(&super::source::SETTINGS, &watch).unwrap();
    let mut queue = super::batch::Queue::new(Arc::new(client), topic, 4096).unwrap();
    let partitions: Vec<i32> = (0..8)
        .filter(|partition| *partition as usize % threads == thread)
        .collect();
    partitions
        .iter()
        .for_each(|partition| queue.start(*partition, 0).unwrap());
    (queue, partitions)
}

fn bare_loop(mut queue: super::batch::Queue, mut partitions: Vec<i32>) -> u64 {
    let mut count = 0;
    while !partitions.is_empty() {
        queue.fetch(Duration::from_millis(100));
        for message in queue.messages() {
            if message.event().is_some() {
                partitions.retain(|partition| *partition != message.partition());
            } else {
                count += 1;
            }
        }
    }
    count
}

/// Rows, wall time, CPU seconds of this process.
fn in_threads(threads: usize, work: impl Fn(usize) -> u64 + Sync) -> (u64, f64, f64) {
    let (begun, cpu) = (Instant::now(), cpu());
    let rows = std::thread::scope(|scope| {
        let work = &work;
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        all.into_iter().map(|handle| handle.join().unwrap()).sum()
    });
    (rows, begun.elapsed().as_secs_f64(), self::cpu() - cpu)
}

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
