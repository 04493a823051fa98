//! `make bench-service`: requests for a kept answer beside `redis-benchmark` GETs of the same bytes, and the memory of a long run.
//!
//! `wrk` asks `hitters serve` with a key; `redis-benchmark` asks Redis for a string of the same length: as many connections, no
//! pipelining, one after the other, round by round, so that both see the same machine. A request of `wrk` goes through everything:
//! the key is checked, its limit counted, the freshness is that of now. Then `wrk` asks a mix of questions, some of which are
//! computed, and the resident memory is looked at every second.
//!
//! HITTERS_BENCH_SECONDS (5) of a measurement, HITTERS_BENCH_ROUNDS (3), HITTERS_BENCH_CONNECTIONS (32), HITTERS_BENCH_SOAK (20) seconds of the
//! mix: 3600 is an hour.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measure;

use hitters_results::Row;
use hitters_service::{Access, KeyFile};
use hitters_sketch::{ItemKind, Measure, TopK};
use hitters_tests::services::{Redis, free_port};
use measure::{Process, setting};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const MINUTE: i64 = 60_000;
/// 2026-01-31T12:00:00Z.
const NOON: i64 = 1_769_860_800_000;
/// Minutes that are stored, of three groups and of all of them.
const MINUTES: i64 = 60;

/// What is measured: a name, and the question.
const QUESTIONS: [(&str, &str); 3] = [
    ("the newest window, 10 items", "top?k=10"),
    (
        "an hour by its ends, 100 items",
        "top?k=100&from=2026-01-31T12:00:00Z&to=2026-01-31T12:59:00Z",
    ),
    ("an hour of a group, 10 items", "top?k=10&last=1h&where=region=eu"),
];

fn main() {
    let (seconds, rounds) = (setting("HITTERS_BENCH_SECONDS", 5), setting("HITTERS_BENCH_ROUNDS", 3));
    let (connections, soak) = (
        setting("HITTERS_BENCH_CONNECTIONS", 32),
        setting("HITTERS_BENCH_SOAK", 20),
    );
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    fill(&redis);
    let keys = folder.path().join("keys.json");
    let key = KeyFile::new(&keys).add(access(), None).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut service = Process::start(&[
        "serve",
        "--redis",
        &redis.url(),
        "--listen",
        &address,
        "--keys",
        keys.to_str().unwrap(),
    ]);
    let base = format!("http://{address}/v1/pipelines/shop/");
    let authorization = format!("Authorization: Bearer {key}");
    println!("{connections} connections, {rounds} rounds of {seconds} s each; medians");
    println!(
        "{:<32} {:>7} {:>12} {:>12} {:>6} {:>9} {:>9}",
        "kept answer", "bytes", "wrk req/s", "redis GET/s", "ratio", "p50 ms", "p99 ms"
    );
    for (name, question) in QUESTIONS {
        let url = format!("{base}{question}");
        let body = get(&url, &key);
        let mut client = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
        redis::cmd("SET").arg("bench").arg(&body).exec(&mut client).unwrap();
        let mut found: Vec<(f64, f64, Wrk)> = (0..rounds)
            .map(|_| {
                let peer = redis_gets(&redis, connections, seconds);
                let ours = wrk(&url, &authorization, connections, seconds, None);
                assert_eq!(ours.failed, "", "some requests failed");
                (ours.requests / peer, peer, ours)
            })
            .collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, peer, ours) = &found[found.len() / 2];
        println!(
            "{name:<32} {:>7} {:>12.0} {peer:>12.0} {ratio:>6.2} {:>9.2} {:>9.2}{}",
            body.len(),
            ours.requests,
            ours.half,
            ours.slow,
            if *ratio < 0.5 || ours.slow >= 10.0 {
                "  BELOW"
            } else {
                ""
            },
        );
    }
    memory(&mut service, &base, &authorization, connections, soak, folder.path());
    service.kill();
}

/// Resident memory under a mix of questions, of which many are computed.
fn memory(service: &mut Process, base: &str, authorization: &str, connections: u64, seconds: u64, folder: &Path) {
    let script = folder.join("mix.lua");
    let text = "local regions = {'eu', 'us', 'uk'}
request = function()
  local k, minutes = math.random(1, 100), math.random(1, 59)
  local where = math.random(1, 2) == 1 and '&where=region=' .. regions[math.random(1, 3)] or ''
  if math.random(1, 50) == 1 then
    return wrk.format('GET', wrk.path .. 'series?last=' .. minutes .. 'm&step=1m&k=' .. math.random(1, 20) .. where)
  end
  return wrk.format('GET', wrk.path .. 'top?last=' .. minutes .. 'm&k=' .. k .. where)
end
";
    std::fs::write(&script, text).unwrap();
    let warm = wrk(base, authorization, connections, 5.max(seconds / 10), Some(&script));
    let before = service.resident();
    let begun = Instant::now();
    let (mut most, mut last) = (before, before);
    let mixed = std::thread::scope(|scope| {
        let running = scope.spawn(|| wrk(base, authorization, connections, seconds, Some(&script)));
        while !running.is_finished() {
            std::thread::sleep(Duration::from_secs(1));
            last = service.resident();
            most = most.max(last);
        }
        running.join().unwrap()
    });
    for run in [&warm, &mixed] {
        // Where other work keeps the processors, some answers of the mix take longer than the two seconds that wrk waits.
        let late = run
            .failed
            .strip_prefix("Socket errors: connect 0, read 0, write 0, timeout ");
        let only_late = late.is_some_and(|count| count.parse::<u64>().is_ok());
        assert!(
            run.failed.is_empty() || only_late,
            "some requests failed: {}",
            run.failed
        );
    }
    if !mixed.failed.is_empty() {
        println!("{}", mixed.failed);
    }
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "a mix for {:.0} s: {:.0} requests/s, p99 {:.2} ms; resident {:.1} MB before, {:.1} MB at most, {:.1} MB at its end",
        begun.elapsed().as_secs_f64(),
        mixed.requests,
        mixed.slow,
        mb(before),
        mb(most),
        mb(last)
    );
}

fn access() -> Access {
    Access {
        name: "bench".into(),
        pipelines: vec!["shop".into()],
        groups: Default::default(),
        limit_per_second: Some(u32::MAX),
    }
}

/// An hour of minutes as a pipeline writes them, with compact sketches of 100 items.
fn fill(redis: &Redis) {
    let mut client = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    for minute in 0..MINUTES {
        for group in ["*", "region=eu", "region=us", "region=uk"] {
            let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 1024).unwrap();
            // A long tail, so that something is evicted.
            for item in 0..3000_u64 {
                let item = (item * 7919 + minute.unsigned_abs()) % 3000;
                sketch.update(format!("/articles/2026/{item:05}.html").as_bytes(), 60_000 / (item + 1));
            }
            let row = Row {
                pipeline: "shop".into(),
                version: 1,
                set: if group == "*" { "*" } else { "region" }.into(),
                group: group.into(),
                start: NOON + minute * MINUTE,
                end: NOON + (minute + 1) * MINUTE,
                answer: Some(sketch.answer(100).unwrap().into()),
                sketch: None,
            };
            let field = format!("{}:{group}", row.set);
            let mut value: serde_json::Value = serde_json::from_str(&row.to_json()).unwrap();
            redis::cmd("HSET")
                .arg("hh:shop:v1:latest")
                .arg(&field)
                .arg(value.to_string())
                .exec(&mut client)
                .unwrap();
            let bytes = sketch.to_compact_bytes(100);
            value["sketch"] = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes).into();
            let key = format!("hh:shop:v1:w:60:{}:{field}", row.start / 1000);
            redis::cmd("SETEX")
                .arg(key)
                .arg(86_400)
                .arg(value.to_string())
                .exec(&mut client)
                .unwrap();
        }
    }
}

/// The answer; waits until the service answers at all.
fn get(url: &str, key: &str) -> String {
    let begun = Instant::now();
    loop {
        match ureq::get(url).header("Authorization", format!("Bearer {key}")).call() {
            Ok(mut response) => return response.body_mut().read_to_string().unwrap(),
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{url}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What wrk saw.
struct Wrk {
    requests: f64,
    /// Latencies in ms: half are below, 99 of 100 are below.
    half: f64,
    slow: f64,
    /// What wrk says of requests that failed, or nothing.
    failed: String,
}

fn wrk(url: &str, authorization: &str, connections: u64, seconds: u64, script: Option<&Path>) -> Wrk {
    let mut wrk = Command::new("wrk");
    wrk.args([
        "-t1",
        &format!("-c{connections}"),
        &format!("-d{seconds}s"),
        "--latency",
    ]);
    wrk.args(["-H", authorization]);
    if let Some(script) = script {
        wrk.arg("-s").arg(script);
    }
    let said = output(wrk.arg(url));
    let number = |begin: &str| said.lines().find_map(|line| line.trim().strip_prefix(begin));
    let millis = |percent: &str| {
        let text = number(percent)
            .unwrap_or_else(|| panic!("no {percent} in {said}"))
            .trim();
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let value: f64 = text[..text.len() - unit.len()].parse().unwrap();
        match unit {
            "us" => value / 1000.0,
            "ms" => value,
            "s" => value * 1000.0,
            _ => panic!("a time in {unit}"),
        }
    };
    let failures = |line: &&str| line.contains("Non-2xx or 3xx responses") || line.contains("Socket errors");
    let failed: Vec<&str> = said.lines().map(str::trim).filter(failures).collect();
    Wrk {
        requests: number("Requests/sec:").unwrap().trim().parse().unwrap(),
        half: millis("50%"),
        slow: millis("99%"),
        failed: failed.join("; "),
    }
}

/// GETs a second that redis-benchmark does, for about so long.
fn redis_gets(redis: &Redis, connections: u64, seconds: u64) -> f64 {
    let run = |requests: u64| {
        let mut command = Command::new("redis-benchmark");
        command.args(["-h", "127.0.0.1", "-p", &redis.port().to_string(), "--csv"]);
        command.args([
            "-c",
            &connections.to_string(),
            "-n",
            &requests.to_string(),
            "GET",
            "bench",
        ]);
        let said = output(&mut command);
        let line = said
            .lines()
            .find(|line| line.starts_with("\"GET bench\""))
            .unwrap_or_else(|| panic!("{said}"));
        line.split(',')
            .nth(1)
            .unwrap()
            .trim_matches('"')
            .parse::<f64>()
            .unwrap()
    };
    let rate = run(20_000);
    run((rate * seconds as f64) as u64)
}

fn output(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| {
        panic!(
            "{:?}: {error}; `make bench-service` installs wrk and redis-tools",
            command.get_program()
        )
    });
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    said
}
