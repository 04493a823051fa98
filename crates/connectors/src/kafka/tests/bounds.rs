//! Where a run begins and ends.

use super::*;
use crate::Bound;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

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
