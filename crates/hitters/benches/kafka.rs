//! `make bench-kafka`: from a Kafka topic to the top K, beside a bare loop that takes the messages and drops them.
//!
//! A real broker on this machine holds ten million JSON events in eight partitions. The bare loop is librdkafka's batch
//! call on two threads: nobody can read faster through that library. Runs take turns, three rounds; the table shows the
//! best of each with its ratio to the bare loop of the same run. HITTERS_BENCH_EVENTS asks for another number of events.
#![allow(unsafe_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hitters_tests::services::Kafka;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka_sys as sys;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
    seconds: f64,
    processor_seconds: f64,
    peak_bytes: u64,
}

fn main() {
    let events: u64 = std::env::var("HITTERS_BENCH_EVENTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(10_000_000);
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
        hitters(&[
            "topics",
            "--create",
            "--partitions",
            &PARTITIONS.to_string(),
            "--quiet",
            file.to_str().unwrap(),
        ]);
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
                "{:<44} {:>10} {:>8} {:>12} {:>8}",
                "Zipf 1.1 over a million items", "events/s", "of bare", "us CPU/event", "peak MB"
            );
            println!(
                "{:<44} {:>10.0} {:>8.2}",
                "bare loop, messages dropped",
                events as f64 / bare,
                1.0
            );
            for query in queries {
                let Cost {
                    seconds,
                    processor_seconds,
                    peak_bytes,
                } = best[query];
                let per_event = processor_seconds * 1e6 / events as f64;
                let (rate, megabytes) = (events as f64 / seconds, peak_bytes as f64 / 1e6);
                println!(
                    "{:<44} {rate:>10.0} {:>8.2} {per_event:>12.2} {megabytes:>8.0}",
                    QUERIES[*query].0,
                    bare / seconds
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

fn hitters(arguments: &[&str]) {
    let status = Command::new(env!("CARGO_BIN_EXE_hitters"))
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "hitters {arguments:?}");
}

/// Runs a query over the whole topic, in a process of its own.
fn run(file: &str) -> Cost {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hitters"));
    child
        .args([
            "run",
            "--quiet",
            "--bounded",
            "--parallelism",
            &THREADS.to_string(),
            file,
        ])
        .stdout(Stdio::null());
    let before = children();
    let started = Instant::now();
    let mut child = child.spawn().unwrap();
    let mut peak_bytes = 0;
    let status = loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        });
        peak_bytes = peak_bytes.max(peak.unwrap_or(0) * 1024);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{file}");
    Cost {
        seconds: started.elapsed().as_secs_f64(),
        processor_seconds: children() - before,
        peak_bytes,
    }
}

/// Processor seconds of children that have ended: fields 16 and 17 of /proc/self/stat, in hundredths.
fn children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let ticks = |field: usize| after_name.split(' ').nth(field - 3).unwrap().parse::<f64>().unwrap();
    (ticks(16) + ticks(17)) / 100.0
}

/// Seconds that it takes to receive and drop all messages of a topic.
fn bare_loop(servers: &str, topic: &str, events: u64) -> f64 {
    let started = Instant::now();
    let received: u64 = std::thread::scope(|scope| {
        let thread = |number: i32| scope.spawn(move || drop_messages(servers, topic, number));
        let threads: Vec<_> = (0..THREADS).map(thread).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(received, events);
    started.elapsed().as_secs_f64()
}

fn drop_messages(servers: &str, topic: &str, number: i32) -> u64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "bare")
        .set("fetch.queue.backoff.ms", "5")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let name = CString::new(topic).unwrap();
    let mine: Vec<i32> = (0..PARTITIONS)
        .filter(|partition| partition % THREADS == number)
        .collect();
    let (mut received, mut ended) = (0, 0);
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
        let mut messages = vec![std::ptr::null_mut::<sys::rd_kafka_message_t>(); 4096];
        while ended < mine.len() {
            let count = sys::rd_kafka_consume_batch_queue(queue, 100, messages.as_mut_ptr(), messages.len());
            for message in &messages[..count.max(0) as usize] {
                match (**message).err {
                    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => received += 1,
                    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => ended += 1,
                    error => panic!("{error:?}"),
                }
                sys::rd_kafka_message_destroy(*message);
            }
        }
        for partition in &mine {
            sys::rd_kafka_consume_stop(handle, *partition);
        }
        sys::rd_kafka_topic_destroy(handle);
        sys::rd_kafka_queue_destroy(queue);
    }
    received
}
