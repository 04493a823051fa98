//! `make bench-checkpoints`: what keeping state costs, and how soon a killed run is back.
//!
//! Throughput: the same topic is read without checkpoints, with one every ten seconds and with one every second, in turn, and
//! each round gives ratios to its own run without. Then a run holds a large state (HITTERS_BENCH_GROUPS groups, 1,000,000 for
//! about 100 MB) while a paced generator goes on: how long checkpoints held rows up, and, after a kill, the time from the start
//! of the process to the first new row in Redis.
//!
//! All of it twice: with state in memory, and with RocksDB and a memory limit (HITTERS_BENCH_LIMIT, 67108864) that most of the
//! state goes to disk for; three times as many groups are about 100 MB there.
//!
//! HITTERS_BENCH_EVENTS (10,000,000) and HITTERS_BENCH_ROUNDS (3) ask for other numbers, HITTERS_BENCH_BACKEND (memory or rocksdb)
//! for one of the two.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measure;

use hitters_connectors::RunOptions;
use hitters_connectors::generate::{Generate, to_topic};
use hitters_tests::services::{Kafka, Redis};
use measure::setting;
use redis::Commands;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PARTITIONS: u32 = 8;
const ROCKSDB: &str = "rocksdb";
const LONGEST: Duration = Duration::from_secs(300);

const EVENTS: &str = "CREATE TABLE events (ts BIGINT NOT NULL, item TEXT NOT NULL, category TEXT NOT NULL, region TEXT,
    \"user\" TEXT NOT NULL, amount BIGINT,
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00')
        - INTERVAL '2 seconds'))
  WITH (connector = 'kafka', type = 'source', bootstrap_servers = '${kafka}', topic = '${topic}', format = 'json',
        'source.offset' = 'earliest');
CREATE TABLE tops (opened TEXT NOT NULL, region TEXT NOT NULL, answer TEXT)
  WITH (connector = 'redis', type = 'sink', address = '${redis}', format = 'json', target = 'hash',
        'target.key_prefix' = '${topic}:', 'target.key_column' = 'region', 'target.field_column' = 'opened');
";

/// A hop that keeps twenty panes of sketches by region.
const TOPS: &str = "INSERT INTO tops SELECT CAST(window.start AS TEXT), region, answer FROM (
  SELECT hop(INTERVAL '1 second', INTERVAL '20 seconds') AS window, coalesce(region, '') AS region, approx_top_k(item, 100) AS answer
  FROM events GROUP BY 1, 2);
";

/// Rows every second, and a window beside them that stays open and grows.
const LARGE: &str = "INSERT INTO tops SELECT CAST(window.start AS TEXT), 'all', answer FROM (
  SELECT tumble(INTERVAL '1 second') AS window, approx_top_k(item, 10) AS answer FROM events GROUP BY 1);
CREATE TABLE pairs (\"user\" TEXT, item TEXT, n BIGINT) WITH (connector = 'blackhole', type = 'sink');
INSERT INTO pairs SELECT \"user\", item, n FROM (
  SELECT tumble(INTERVAL '3650 days') AS window, \"user\", item, count(*) AS n FROM events GROUP BY 1, 2, 3);
";

struct Bench {
    kafka: Kafka,
    redis: Redis,
    folder: tempfile::TempDir,
    backend: &'static str,
}

impl Bench {
    /// Writes a pipeline; gives its file.
    fn pipeline(&self, name: &str, topic: &str, query: &str, interval: Option<&str>) -> PathBuf {
        let sql = format!("{EVENTS}{query}")
            .replace("${kafka}", &self.kafka.bootstrap_servers())
            .replace("${redis}", &self.redis.url())
            .replace("${topic}", topic);
        fs::write(self.folder.path().join(format!("{name}.sql")), sql).unwrap();
        let mut toml = format!("name = \"{name}\"\nsql = \"{name}.sql\"\n");
        if self.backend == ROCKSDB {
            toml += &format!("memory_limit = {}\n", setting("HITTERS_BENCH_LIMIT", 64 << 20));
            let scratch = self.folder.path().join(format!("scratch-{name}"));
            toml += &format!("[state]\nbackend = \"{ROCKSDB}\"\npath = \"{}\"\n", scratch.display());
        }
        if let Some(interval) = interval {
            toml += &format!("[checkpoint]\nstorage = \"state-{name}\"\ninterval = \"{interval}\"\n");
        }
        let file = self.folder.path().join(format!("{name}.toml"));
        fs::write(&file, toml).unwrap();
        file
    }

    fn topic(&self, name: &str) {
        let file = self.pipeline(name, name, TOPS, None);
        measure::topics(&file, PARTITIONS as i32);
    }

    /// Fills the topic that throughput is measured over.
    fn fill(&self) {
        let events = events();
        self.topic("stream");
        let options = Generate {
            events,
            rate: events as f64 / 100.0,
            partitions: PARTITIONS,
            ..Generate::default()
        };
        self.send("stream", &options);
    }

    fn send(&self, topic: &str, options: &Generate) {
        let servers = self.kafka.bootstrap_servers();
        let sent = to_topic(
            options,
            &servers,
            topic,
            &[],
            &RunOptions::default(),
            false,
            &mut |_| true,
        );
        assert_eq!(sent.unwrap(), options.events);
    }
}

/// Runs it; with its summary on standard output.
fn start(file: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitters"));
    command
        .args(["run", "--quiet", "--json", "--parallelism", "2"])
        .arg(file)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn summary(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Waits until something is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + LONGEST;
    while !so() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn main() {
    let mut bench = Bench {
        kafka: Kafka::start(),
        redis: Redis::start(),
        folder: tempfile::tempdir().unwrap(),
        backend: "memory",
    };
    let only = std::env::var("HITTERS_BENCH_BACKEND").ok();
    bench.fill();
    for backend in ["memory", ROCKSDB] {
        if only.as_ref().is_none_or(|only| only == backend) && (backend != ROCKSDB || cfg!(feature = "rocksdb")) {
            bench.backend = backend;
            println!("state in {backend}\n");
            throughput(&bench);
            recovery(&bench);
            println!();
        }
    }
}

fn events() -> u64 {
    setting("HITTERS_BENCH_EVENTS", 10_000_000)
}

fn throughput(bench: &Bench) {
    let (events, rounds, backend) = (events(), setting("HITTERS_BENCH_ROUNDS", 3), bench.backend);
    let kinds = [
        ("without", None),
        ("every 10 s", Some("10s")),
        ("every 1 s", Some("1s")),
    ];
    println!(
        "{events} events, two workers: events/s, ratio to the run without in the same round, checkpoints, MB on disk"
    );
    let mut ratios = [const { Vec::new() }; 3];
    for round in 0..rounds {
        let mut plain = 0.0;
        // Every second round goes backwards, so that no kind always comes first.
        let mut order = [0, 1, 2];
        if round % 2 == 1 {
            order.swap(1, 2);
        }
        for kind in order {
            let (title, interval) = kinds[kind];
            let file = bench.pipeline(&format!("{backend}-{round}-{kind}"), "stream", TOPS, interval);
            let ran = summary(start(&file, &["--bounded"]));
            assert_eq!(ran["events"].as_u64(), Some(events));
            let rate = ran["events_per_second"].as_f64().unwrap();
            if kind == 0 {
                plain = rate;
            }
            ratios[kind].push(rate / plain);
            let stored = ran["checkpoint"]["stored"].as_u64().unwrap_or(0);
            let disk = ran["peak_disk_bytes"].as_u64().unwrap_or(0) / 1_000_000;
            println!("  {title:<12} {rate:>10.0} {:>7.3} {stored:>4} {disk:>5}", rate / plain);
        }
    }
    for (kind, (title, _)) in kinds.iter().enumerate().skip(1) {
        let ratios = &mut ratios[kind];
        ratios.sort_by(f64::total_cmp);
        println!(
            "{title}: {:.1}% of the throughput without (median)",
            ratios[ratios.len() / 2] * 100.0
        );
    }
    println!("to hold: 95.0% every 10 s\n");
}

fn recovery(bench: &Bench) {
    let more = if bench.backend == ROCKSDB { 3 } else { 1 };
    let groups = setting("HITTERS_BENCH_GROUPS", 1_000_000) * more;
    let topic = format!("large-{}", bench.backend);
    bench.topic(&topic);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    // Nearly every event is a pair of its own.
    let seconds = 60;
    let before = Generate {
        events: groups,
        items: 1_000_000,
        exponent: 0.5,
        start: now - seconds * 1000,
        rate: groups as f64 / seconds as f64,
        partitions: PARTITIONS,
        ..Generate::default()
    };
    bench.send(&topic, &before);
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, servers, paced_topic) = (stop.clone(), bench.kafka.bootstrap_servers(), topic.clone());
    let paced = Generate {
        events: u64::MAX / 2,
        seed: 7,
        items: 1_000,
        start: now,
        rate: 5_000.0,
        ..before
    };
    let generator = std::thread::spawn(move || {
        let run = RunOptions::default();
        let _ = to_topic(&paced, &servers, &paced_topic, &[], &run, true, &mut |_| {
            !stopped.load(Relaxed)
        });
    });
    let file = bench.pipeline(&topic, &topic, LARGE, Some("1s"));
    let mut client = redis::Client::open(bench.redis.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let key = format!("{topic}:all");
    let mut rows = || client.hlen::<_, u64>(&key).unwrap();

    let run = start(&file, &[]);
    until("the whole backlog", || rows() >= seconds as u64);
    let reached = rows();
    until("rows", || rows() >= reached + 5);
    signal(&run, "TERM");
    let ran = summary(run);
    let checkpoint = &ran["checkpoint"];
    println!(
        "{} MB of state in memory, {} MB on disk, {} MB in the last checkpoint; {} checkpoints, none failed: {}",
        ran["peak_state_bytes"].as_u64().unwrap() / 1_000_000,
        ran["peak_disk_bytes"].as_u64().unwrap_or(0) / 1_000_000,
        checkpoint["bytes"].as_u64().unwrap() / 1_000_000,
        checkpoint["stored"],
        checkpoint["failed"] == 0
    );
    println!(
        "a checkpoint held rows up for at most {:.1} ms (to hold: 50 ms)",
        checkpoint["longest_pause_ms"].as_f64().unwrap()
    );

    let mut times = Vec::new();
    let mut run = start(&file, &[]);
    for _ in 0..3 {
        let reached = rows();
        until("rows", || rows() >= reached + 3);
        run.kill().unwrap();
        run.wait().unwrap();
        // Events go on meanwhile: there is something to catch up with.
        std::thread::sleep(Duration::from_millis(1500));
        let (reached, begun) = (rows(), Instant::now());
        run = start(&file, &[]);
        until("a row after the kill", || rows() > reached);
        times.push(begun.elapsed());
    }
    run.kill().unwrap();
    run.wait().unwrap();
    stop.store(true, Relaxed);
    generator.join().unwrap();
    times.sort_unstable();
    println!(
        "killed and started again, the first new row came after {:.2} s (median; {:.2} to {:.2}; to hold: 5 s)",
        times[1].as_secs_f64(),
        times[0].as_secs_f64(),
        times[2].as_secs_f64()
    );
}
