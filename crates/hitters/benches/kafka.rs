//! `make bench-kafka`: from a Kafka topic to the top K, beside a bare loop that takes the messages and drops them.
//!
//! A real broker on this machine holds ten million JSON events in eight partitions. The bare loop is librdkafka's batch
//! call on two threads with the settings of our own source: nobody can read faster through that library. It is timed from
//! its first message to its last; our runs are timed twice, as a process from its start to its end, and as the engine says
//! (without the start of the process, but with asking the brokers). Runs take turns, three rounds; the table shows the
//! best of each with its ratio to the bare loop of the same run. HITTERS_BENCH_EVENTS asks for another number of events.
#![allow(unsafe_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measure;

use hitters_connectors::CONSUMER_SETTINGS;
use hitters_tests::services::Kafka;
use measure::{Process, hitters, setting};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka_sys as sys;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::time::Instant;

const PARTITIONS: i32 = 8;
const THREADS: i32 = 2;
const ROUNDS: usize = 3;

const SOURCE: &str = "CREATE TABLE events (ts BIGINT NOT NULL, item TEXT NOT NULL,
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00')
        - INTERVAL '2 seconds'))
  WITH (connector = 'kafka', type = 'source', bootstrap_servers = '{servers}', topic = '{topic}', format = 'json',
        'source.offset' = 'earliest');
";

const QUERIES: [(&str, &str); 4] = [
    ("count(*), tumble 10 s", "SELECT window, n FROM (SELECT tumble(INTERVAL '10 seconds') AS window, count(*) AS n FROM events GROUP BY 1);"),
    (
        "approx_top_k(item, 100), tumble 10 s",
        "SELECT window, a FROM (SELECT tumble(INTERVAL '10 seconds') AS window, approx_top_k(item, 100) AS a FROM events GROUP BY 1);",
    ),
    (
        "approx_top_k(item, 100), hop 10 s of 1 min",
        "SELECT window, a FROM (SELECT hop(INTERVAL '10 seconds', INTERVAL '1 minute') AS window, approx_top_k(item, 100) AS a
         FROM events GROUP BY 1);",
    ),
    (
        "exact count by item, top 100, tumble 10 s",
        "SELECT window, item, n, rn FROM (SELECT *, row_number() OVER (PARTITION BY window ORDER BY n DESC) AS rn FROM (
         SELECT item, tumble(INTERVAL '10 seconds') AS window, count(*) AS n FROM events GROUP BY 1, 2)) WHERE rn <= 100;",
    ),
];

/// What a run took.
#[derive(Clone, Copy)]
struct Cost {
    /// From the start of the process to its end.
    seconds: f64,
    /// As the engine says.
    engine_seconds: f64,
    processor_seconds: f64,
    peak_bytes: u64,
}

fn main() {
    let events = setting("HITTERS_BENCH_EVENTS", 10_000_000);
    let kafka = Kafka::start();
    let servers = kafka.bootstrap_servers();
    let folder = tempfile::tempdir().unwrap();
    println!(
        "{events} events of about 100 bytes, {PARTITIONS} partitions, {THREADS} threads, best of {ROUNDS} rounds\n"
    );
    let mut memory = BTreeMap::new();
    for items in [10_000u64, 1_000_000, 10_000_000] {
        let topic = format!("events-{items}");
        let sql = |query: &str| SOURCE.replace("{servers}", &servers).replace("{topic}", &topic) + query;
        let file = folder.path().join("query.sql");
        std::fs::write(&file, sql(QUERIES[0].1)).unwrap();
        measure::topics(&file, PARTITIONS);
        let (count, distinct) = (events.to_string(), items.to_string());
        let exponent = if items == 1_000_000 { "1.1" } else { "0.6" };
        hitters(&[
            "generate",
            "shop",
            "--quiet",
            "--topic",
            &topic,
            "--bootstrap-servers",
            &servers,
            "--events",
            &count,
            "--items",
            &distinct,
            "--exponent",
            exponent,
        ]);
        let mut best: BTreeMap<usize, Cost> = BTreeMap::new();
        let mut bare = f64::MAX;
        // Memory is compared over the numbers of items, speed on the usual skew.
        let queries: &[usize] = if items == 1_000_000 { &[0, 1, 2, 3] } else { &[1] };
        for _ in 0..if items == 1_000_000 { ROUNDS } else { 1 } {
            bare = bare.min(bare_loop(&servers, &topic, events));
            for query in queries {
                std::fs::write(&file, sql(QUERIES[*query].1)).unwrap();
                let cost = run(file.to_str().unwrap());
                best.entry(*query)
                    .and_modify(|b| {
                        if cost.seconds < b.seconds {
                            *b = cost
                        }
                    })
                    .or_insert(cost);
            }
        }
        memory.insert(items, best[&1].peak_bytes);
        if items == 1_000_000 {
            println!(
                "{:<44} {:>10} {:>8} {:>10} {:>8} {:>12} {:>8}",
                "Zipf 1.1 over a million items",
                "events/s",
                "of bare",
                "engine's",
                "of bare",
                "us CPU/event",
                "peak MB"
            );
            println!(
                "{:<44} {:>10.0} {:>8.2}",
                "bare loop, messages dropped",
                events as f64 / bare,
                1.0
            );
            for query in queries {
                let cost = best[query];
                let rates = [cost.seconds, cost.engine_seconds].map(|s| (events as f64 / s, bare / s));
                let per_event = cost.processor_seconds * 1e6 / events as f64;
                println!(
                    "{:<44} {:>10.0} {:>8.2} {:>10.0} {:>8.2} {per_event:>12.2} {:>8.0}",
                    QUERIES[*query].0,
                    rates[0].0,
                    rates[0].1,
                    rates[1].0,
                    rates[1].1,
                    cost.peak_bytes as f64 / 1e6
                );
            }
            println!(
                "\nhop over tumble, processor time: {:.2}\n",
                best[&2].processor_seconds / best[&1].processor_seconds
            );
        }
    }
    for (items, bytes) in memory {
        println!(
            "approx_top_k over {items} items (Zipf 0.6, but 1.1 for a million): {} MB peak memory",
            bytes / 1_000_000
        );
    }
}

/// Runs a query over the whole topic, in a process of its own.
fn run(file: &str) -> Cost {
    let threads = THREADS.to_string();
    let ran = Process::start(&["run", "--quiet", "--json", "--bounded", "--parallelism", &threads, file]).end();
    assert!(ran.status.success(), "{file}: {}", ran.stderr);
    Cost {
        seconds: ran.seconds,
        engine_seconds: ran.summary()["seconds"].as_f64().unwrap(),
        processor_seconds: ran.processor_seconds,
        peak_bytes: ran.peak_bytes,
    }
}

/// Seconds from the first message to the last when all messages of a topic are received and dropped.
fn bare_loop(servers: &str, topic: &str, events: u64) -> f64 {
    let dropped: Vec<Dropped> = std::thread::scope(|scope| {
        let thread = |number: i32| scope.spawn(move || drop_messages(servers, topic, number));
        let threads: Vec<_> = (0..THREADS).map(thread).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(dropped.iter().map(|d| d.messages).sum::<u64>(), events);
    let first = dropped.iter().map(|d| d.first).min().unwrap();
    let last = dropped.iter().map(|d| d.last).max().unwrap();
    (last - first).as_secs_f64()
}

/// What a thread of the bare loop saw.
struct Dropped {
    messages: u64,
    first: Instant,
    last: Instant,
}

fn drop_messages(servers: &str, topic: &str, number: i32) -> Dropped {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", "bare");
    for (name, value) in CONSUMER_SETTINGS {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create().unwrap();
    let name = CString::new(topic).unwrap();
    let mine: Vec<i32> = (0..PARTITIONS)
        .filter(|partition| partition % THREADS == number)
        .collect();
    let (mut received, mut ended) = (0, 0);
    let (mut first, mut last) = (None, Instant::now());
    // SAFETY: client, topic and queue live to the end of this function; messages are destroyed once.
    unsafe {
        let client = consumer.client().native_ptr();
        let queue = sys::rd_kafka_queue_new(client);
        let handle = sys::rd_kafka_topic_new(client, name.as_ptr(), std::ptr::null_mut());
        for partition in &mine {
            let from_start = i64::from(sys::RD_KAFKA_OFFSET_BEGINNING);
            assert_eq!(
                sys::rd_kafka_consume_start_queue(handle, *partition, from_start, queue),
                0
            );
        }
        let mut messages = vec![std::ptr::null_mut::<sys::rd_kafka_message_t>(); 8192];
        while ended < mine.len() {
            let count = sys::rd_kafka_consume_batch_queue(queue, 100, messages.as_mut_ptr(), messages.len());
            let (now, before) = (Instant::now(), received);
            for message in &messages[..count.max(0) as usize] {
                match (**message).err {
                    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => received += 1,
                    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => ended += 1,
                    error => panic!("{error:?}"),
                }
                sys::rd_kafka_message_destroy(*message);
            }
            if received > before {
                first.get_or_insert(now);
                last = Instant::now();
            }
        }
        for partition in &mine {
            sys::rd_kafka_consume_stop(handle, *partition);
        }
        sys::rd_kafka_topic_destroy(handle);
        sys::rd_kafka_queue_destroy(queue);
    }
    Dropped {
        messages: received,
        first: first.unwrap_or(last),
        last,
    }
}
