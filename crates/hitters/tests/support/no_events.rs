//! Messages that are no events.

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

/// What messages may be instead of events: no JSON, cut off, no time, a time as text, in microseconds, beyond all numbers, before 1970
/// (by much, so that nanoseconds do not reach it), at the epoch, and in the year 2262, a millisecond too late.
pub const NO_EVENTS: [&str; 12] = [
    "not json",
    "",
    "{\"ts\":",
    "{\"item\":\"a\"}",
    "{\"ts\":null}",
    "{\"ts\":\"yesterday\"}",
    "{\"ts\":1700000000000000}",
    "{\"ts\":99999999999999999999}",
    "{\"ts\":-5}",
    "{\"ts\":-9223372036854775808}",
    "{\"ts\":0}",
    "{\"ts\":9223372036855}",
];

/// Sends messages to a partition, in order, recorded now.
pub fn send(servers: &str, topic: &str, partition: i32, messages: &[String]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    for message in messages {
        let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(message);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}
