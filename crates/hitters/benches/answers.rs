//! `make bench-answers`: how long answers take over the tiers of each store, and what history weighs in Cassandra.
//!
//! One set of 50 groups: minutes of a day, hours of eight days, days of three weeks, each window with a compact sketch for answers
//! of a hundred items, made of twenty thousand rows that follow Zipf's law. Asked are a day from 00:17 to 00:17 and a week, of one group
//! and of all, each at another time and group, as the service asks: the newest state is known, the windows are not. Times are of one
//! question after the other.
//!
//! Then Cassandra is started again, which writes its files anew, and the bytes of each table are held against what
//! `hitters explain` says.
//!
//! HITTERS_BENCH_GROUPS (50) and HITTERS_BENCH_QUESTIONS (200) ask for other numbers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measure;

use base64::Engine;
use hitters_results::cassandra::{Address, Writer};
use hitters_results::{Answers, Archive, CassandraStore, Edge, EmbeddedStore, RedisStore, Row, Store, cover, size};
use hitters_sketch::{ItemKind, Measure, TopK};
use hitters_tests::services::{Cassandra, Redis};
use measure::setting;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Midnight after the newest window's day.
const END: i64 = 1_700_006_400_000 / DAY * DAY + 40 * MINUTE;
const K: usize = 100;
/// Different sketches; windows take them in turn.
const POOL: usize = 500;
/// How far the measured bytes may be from what `explain` says.
const MARGIN: f64 = 0.25;

fn main() {
    let groups = setting("HITTERS_BENCH_GROUPS", 50) as usize;
    let questions = setting("HITTERS_BENCH_QUESTIONS", 200) as usize;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let pool = pool();
    let bytes: usize = pool.iter().map(Vec::len).sum::<usize>() / pool.len();
    println!("compact sketches of k = {K}: {bytes} bytes on average");
    let folder = tempfile::tempdir().unwrap();
    let (redis, node) = (Redis::start(), Cassandra::start());
    let embedded = EmbeddedStore::open(&folder.path().join("answers.redb")).unwrap();
    let history = CassandraStore::new(Address::parse(&node.url("bench")).unwrap());
    runtime.block_on(history.create("1")).unwrap();
    let writer = Writer::new(history.clone(), false);
    let mut client = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let begun = Instant::now();
    let mut written = 0;
    for (width, windows) in [(DAY, 21), (HOUR, 192), (MINUTE, 1440)] {
        let end = END.div_euclid(width) * width;
        for window in 0..windows {
            let start = end - (windows - window) * width;
            let rows: Vec<Row> = (0..groups).map(|group| row(&pool, group, start, width)).collect();
            written += rows.len();
            embedded.write_now(&rows).unwrap();
            runtime.block_on(writer.write(&rows)).unwrap();
            rows.iter().for_each(|row| to_redis(&mut client, row));
        }
    }
    println!(
        "{written} windows of {groups} groups written to three stores in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    println!(
        "\n{:<10} {:<22} {:>7} {:>11} {:>9} {:>9} {:>9}",
        "store", "question", "windows", "bytes", "p50 ms", "p99 ms", "worst ms"
    );
    let stores: [Arc<dyn Store>; 3] = [
        Arc::new(embedded),
        Arc::new(RedisStore::new(&redis.url()).unwrap()),
        Arc::new(history.clone()),
    ];
    let mut slow = Vec::new();
    for store in stores {
        let name = store.name();
        let answers = Answers::new(vec![store]);
        let edge = runtime.block_on(answers.edge("bench")).unwrap().unwrap();
        for (length, of_all, least, limit) in [
            (1, false, questions, 100),
            (1, true, questions / 10, 1000),
            (7, false, questions, 1000),
            (7, true, questions / 10, 1000),
        ] {
            let mut times = Vec::new();
            let mut source = (0, 0);
            for question in 0..least.max(10) {
                let asked: Vec<String> = if of_all {
                    (0..groups).map(group).collect()
                } else {
                    vec![group(question * 7 % groups)]
                };
                // 00:17 to 00:17, and a few minutes beside it.
                let to = END - 23 * MINUTE + (question % 20) as i64 * MINUTE;
                let begun = Instant::now();
                source = runtime.block_on(ask(&answers, &edge, &asked, to - length * DAY, to));
                times.push(begun.elapsed());
            }
            times.sort_unstable();
            let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
            let what = format!(
                "{} of {}",
                if length == 1 { "a day" } else { "a week" },
                if of_all { "all groups" } else { "one group" }
            );
            let millis = |time: Duration| time.as_secs_f64() * 1e3;
            println!(
                "{name:<10} {what:<22} {:>7} {:>11} {:>9.1} {:>9.1} {:>9.1}",
                source.0,
                source.1,
                millis(at(0.5)),
                millis(at(0.99)),
                millis(at(1.0))
            );
            if at(0.99) > Duration::from_millis(limit) {
                slow.push(format!(
                    "{name}: {what}: p99 {:.1} ms, to hold {limit} ms",
                    millis(at(0.99))
                ));
            }
        }
    }
    let said = size::sketch_bytes(1024, Some(K)).unwrap();
    println!("\n`hitters explain` takes a compact sketch for {said} bytes, these have {bytes}");
    assert!((bytes as f64 / said as f64 - 1.0).abs() < MARGIN);
    weigh(&node, groups, bytes);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("\nload {}", load.trim());
    slow.iter().for_each(|slow| println!("TOO SLOW {slow}"));
    assert!(slow.is_empty());
}

fn group(number: usize) -> String {
    format!("g={number}")
}

fn row(pool: &[Vec<u8>], number: usize, start: i64, width: i64) -> Row {
    let place = (start.div_euclid(width) as usize)
        .wrapping_mul(31)
        .wrapping_add(number * 17)
        % pool.len();
    // The newest minute has an answer, as sinks give it: that is what the newest state is made of.
    let answer = (width == MINUTE).then(|| TopK::from_bytes(&pool[place]).unwrap().answer(10).unwrap().into());
    Row {
        pipeline: "bench".into(),
        version: 1,
        set: "g".into(),
        group: group(number),
        start,
        end: start + width,
        answer,
        sketch: Some(pool[place].clone()),
    }
}

fn pool() -> Vec<Vec<u8>> {
    let mut state = 7_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1_u64 << 24) as f64
    };
    let mut one = |_| {
        let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 1024).unwrap();
        for _ in 0..20_000 {
            // Zipf's law with an exponent of 1: ranks are even in their logarithm.
            let item = 100_000_f64.powf(random()) as u64;
            sketch.update(format!("/shop/{item:05}").as_bytes(), 1);
        }
        sketch.to_compact_bytes(K)
    };
    (0..POOL).map(&mut one).collect()
}

fn to_redis(client: &mut redis::Connection, row: &Row) {
    let mut value: serde_json::Value = serde_json::from_str(&row.to_json()).unwrap();
    let field = format!("{}:{}", row.set, row.group);
    let mut pipeline = redis::pipe();
    if row.answer.is_some() {
        pipeline
            .cmd("HSET")
            .arg("hh:bench:v1:latest")
            .arg(&field)
            .arg(value.to_string())
            .ignore();
    }
    value["sketch"] = base64::prelude::BASE64_STANDARD
        .encode(row.sketch.as_ref().unwrap())
        .into();
    let key = format!("hh:bench:v1:w:{}:{}:{field}", row.width() / 1000, row.start / 1000);
    pipeline.cmd("SET").arg(key).arg(value.to_string()).ignore();
    pipeline.exec(client).unwrap();
}

async fn ask(answers: &Answers, edge: &Edge, groups: &[String], from: i64, to: i64) -> (usize, usize) {
    let (from, to) = cover::widen(&edge.tiers_of("g"), from, to);
    let merged = answers.merge(edge, "g", groups, &[(from, to)]).await.unwrap().remove(0);
    assert!(merged.gaps.is_empty(), "{:?}", merged.gaps);
    assert_eq!(merged.sketch.unwrap().answer(K).unwrap().items.len(), K);
    (merged.source.panes, merged.source.bytes)
}

/// Bytes of each table on disk, beside what is said.
fn weigh(node: &Cassandra, groups: usize, sketch: usize) {
    // The log of commits is read and written out as files.
    node.stop();
    node.start_again();
    let said = size::tiers(MINUTE, sketch);
    println!(
        "\n{:<8} {:>8} {:>16} {:>16} {:>14} {:>14} {:>6}",
        "tier", "windows", "bytes a window", "explain says", "MB a day", "MB kept", "ratio"
    );
    let mut kept = 0.0;
    for (table, windows, tier) in [
        ("minutes", 1440, &said[0]),
        ("hours", 192, &said[1]),
        ("days", 21, &said[2]),
    ] {
        let bytes = folders(&node.data("bench"), table);
        let one = bytes as f64 / (windows * groups) as f64;
        let ratio = one / tier.bytes as f64;
        let of_all = one * (tier.kept / tier.width) as f64 * groups as f64 / 1e6;
        kept += of_all;
        println!(
            "{table:<8} {:>8} {one:>16.0} {:>16} {:>14.1} {of_all:>14.1} {ratio:>6.2}",
            windows * groups,
            tier.bytes,
            one * tier.windows as f64 * groups as f64 / 1e6
        );
        assert!(
            (ratio - 1.0).abs() < MARGIN,
            "{table}: measured {one:.0}, said {}",
            tier.bytes
        );
    }
    let week = said[1].bytes as f64 * 168.0;
    println!(
        "all that is kept of {groups} groups: {kept:.0} MB; seven days of hourly windows within 10 GB: {:.0} groups",
        10e9 / week
    );
}

/// Bytes of a table's data files.
fn folders(keyspace: &Path, table: &str) -> u64 {
    let named = |name: &str| name.rsplit_once('-').is_some_and(|(name, _)| name == table);
    let entries = |path: &Path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let tables = entries(keyspace).filter(|entry| named(&entry.file_name().to_string_lossy()));
    let files = tables.flat_map(|entry| entries(&entry.path()).collect::<Vec<_>>());
    files
        .filter_map(|file| file.metadata().ok())
        .filter(|data| data.is_file())
        .map(|data| data.len())
        .sum()
}
