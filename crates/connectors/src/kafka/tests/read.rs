//! What is read, and where it ends.

use super::*;
use crate::generate::{Generate, Profile, to_topic};
use crate::testing::metadata;
use arrow::array::Array;
use arrow::datatypes::Int32Type;
use hitters_dataflow::source::Poll;
use std::time::Instant;

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
fn a_bounded_run_that_would_read_nothing_says_how_to_read() {
    let broker = broker();
    topic(&broker, "unread", 1);
    let node = source(&broker, "unread", &[("source.offset", "latest")]);
    let (run, heard) = bounded();
    assert!(read(run.clone(), &node, 1).is_empty());
    assert!(heard.lock().unwrap().is_empty(), "an empty topic has nothing to read");
    send(&broker, "unread", 0, &["{\"a\":7}"]);
    assert!(read(run.clone(), &node, 1).is_empty());
    let said = heard.lock().unwrap().join("\n");
    assert!(
        said.contains("the 1 records that the topic holds: --from earliest"),
        "{said}"
    );
    heard.lock().unwrap().clear();
    let asked = RunOptions {
        from: Some(crate::Bound::Latest),
        ..run
    };
    assert!(read(asked, &node, 1).is_empty());
    assert!(heard.lock().unwrap().is_empty(), "who asks for the end gets it");
}

#[test]
fn a_topic_that_grows_is_told_once() {
    use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
    let broker = broker();
    topic(&broker, "wider", 1);
    let (run, heard) = bounded();
    let run = RunOptions { bounded: false, ..run };
    let often = ("client_configs", "topic.metadata.refresh.interval.ms=200");
    let mut reader = reader(run, &source(&broker, "wider", &[often]), None).unwrap();
    let admin: AdminClient<_> = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()
        .unwrap();
    let more = NewPartitions::new("wider", 3);
    let results = crate::topics::wait(admin.create_partitions([&more], &AdminOptions::new())).unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let begun = Instant::now();
    while heard.lock().unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing was said");
        reader.poll(Duration::from_millis(50)).unwrap();
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        reader.poll(Duration::from_millis(50)).unwrap();
    }
    let said = heard.lock().unwrap().clone();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("topic 'wider' has 3 partitions now, and had 1"),
        "{said:?}"
    );
}
