//! `make bench-latency`: from the append of the event that closes a window to its rows in Redis.
//!
//! A paced generator sends 100,000 events a second of 1,000 groups to a real Kafka topic of eight partitions, its clock the
//! event time; `hitters run` writes the top ten of each group and second to a Redis hash. A window may close when every
//! partition has an event of a watermark behind its end; the last of these events is the one that closes it, and its time is
//! when it was handed to the Kafka client, so that the way to the broker counts too. The hash is asked for its length every
//! millisecond: a row's time is that of the first answer that counts it.
//!
//! HITTERS_BENCH_SECONDS (60), HITTERS_BENCH_RATE (100000) and HITTERS_BENCH_GROUPS (1000) ask for other numbers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measure;

use hitters_tests::services::{Kafka, Redis};
use measure::{Process, setting};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use redis::Commands;
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PARTITIONS: u64 = 8;
/// Width of the windows, and how far the watermark is behind, in milliseconds.
const WIDTH: u64 = 1000;
const DELAY: u64 = 500;
/// How long rows may take before a window is given up.
const LONGEST: Duration = Duration::from_secs(20);

const SQL: &str = "CREATE TABLE events (ts BIGINT NOT NULL, group_key TEXT NOT NULL, item TEXT NOT NULL,
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00')
        - INTERVAL '500 milliseconds'))
  WITH (connector = 'kafka', type = 'source', bootstrap_servers = '{servers}', topic = 'events', format = 'json',
        'source.offset' = 'earliest');
CREATE TABLE tops (opened TEXT NOT NULL, group_key TEXT NOT NULL, answer TEXT NOT NULL)
  WITH (connector = 'redis', type = 'sink', address = '{redis}', format = 'json', target = 'hash', 'target.key_prefix' = 'w:',
        'target.key_column' = 'opened', 'target.field_column' = 'group_key');
INSERT INTO tops SELECT CAST(CAST(extract(epoch FROM window.start) AS BIGINT) AS TEXT), group_key, answer FROM (
  SELECT tumble(INTERVAL '1 second') AS window, group_key, approx_top_k(item, 10) AS answer FROM events GROUP BY 1, 2);
";

fn main() {
    let (seconds, rate) = (
        setting("HITTERS_BENCH_SECONDS", 60),
        setting("HITTERS_BENCH_RATE", 100_000),
    );
    let groups = setting("HITTERS_BENCH_GROUPS", 1000);
    assert!(seconds >= 5, "HITTERS_BENCH_SECONDS: a few windows take five seconds");
    let (kafka, redis) = (Kafka::start(), Redis::start());
    let servers = kafka.bootstrap_servers();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latency.sql");
    std::fs::write(
        &file,
        SQL.replace("{servers}", &servers).replace("{redis}", &redis.url()),
    )
    .unwrap();
    measure::topics(&file, PARTITIONS as i32);
    let mut engine = Process::start(&["run", "--quiet", file.to_str().unwrap()]);
    std::thread::sleep(Duration::from_secs(2));

    let (closed, windows) = mpsc::channel();
    let generator = std::thread::spawn(move || generate(&servers, rate, groups, seconds, &closed));
    let mut client = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let mut waits: Vec<Duration> = Vec::new();
    let mut slowest = BTreeMap::new();
    // The first windows see the engine warm up, and the first begins in its middle.
    for (start, at) in windows.iter().skip(2) {
        let key = format!("w:{}", start / 1000);
        let mut seen = 0;
        while seen < groups {
            let found: u64 = client.hlen(&key).unwrap();
            let waited = Instant::now().saturating_duration_since(at);
            waits.extend((seen..found).map(|_| waited));
            seen = found.max(seen);
            assert!(engine.runs(), "the engine has ended");
            assert!(
                waited < LONGEST,
                "window {start} has {seen} rows of {groups} after {waited:?}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        slowest.insert(Instant::now().saturating_duration_since(at), start);
    }
    let sent = generator.join().unwrap();
    let cost = engine.kill();
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{sent:.0} events/s of {groups} groups, tumble 1 s, {} windows, {} rows to Redis",
        slowest.len(),
        waits.len()
    );
    println!(
        "from the event that closes a window to the row in Redis: median {:.0} ms, p99 {:.0} ms, worst {:.0} ms (to hold: p99 below 1000 ms)",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    println!(
        "the engine: {:.2} processors, {} MB peak memory",
        cost.processor_seconds / cost.seconds,
        cost.peak_bytes / 1_000_000
    );
}

/// Sends events at a steady rate, and tells of each window when the event that closes it was sent. Gives the rate reached.
fn generate(servers: &str, rate: u64, groups: u64, seconds: u64, closed: &mpsc::Sender<(u64, Instant)>) -> f64 {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .unwrap();
    let begun = Instant::now();
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let mut next_end = (epoch / WIDTH + 1) * WIDTH;
    // Of each partition the time of the event that it got last.
    let mut reached = [0; PARTITIONS as usize];
    let mut number = 0;
    while number < rate * seconds {
        let due = begun.elapsed().as_micros() as u64 * rate / 1_000_000;
        while number < due.min(rate * seconds) {
            let ts = epoch + number * 1000 / rate;
            let partition = number % PARTITIONS;
            let event = format!(
                "{{\"ts\":{ts},\"group_key\":\"group-{}\",\"item\":\"item-{}\",\"page\":\"/some/path/of/the/shop\"}}",
                number % groups,
                (number / groups) % 23
            );
            loop {
                let record = BaseRecord::<(), str>::to("events")
                    .partition(partition as i32)
                    .payload(&event);
                match producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                        producer.poll(Duration::from_millis(1));
                    }
                    Err((error, _)) => panic!("{error}"),
                }
            }
            number += 1;
            reached[partition as usize] = ts;
            if ts >= next_end + DELAY && reached.iter().all(|ts| *ts >= next_end + DELAY) {
                closed.send((next_end - WIDTH, Instant::now())).unwrap();
                next_end += WIDTH;
            }
        }
        producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(1));
    }
    let reached = number as f64 / begun.elapsed().as_secs_f64();
    producer.flush(Duration::from_secs(30)).unwrap();
    reached
}
