//! `hitters archive`: from a real topic to a real Cassandra, killed, frozen, cut off from either, and every row compared.
#![cfg(feature = "cassandra")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_results::cassandra::{Address, Writer};
use hitters_results::{CassandraStore, History, RedisWriter, Row, Scope, Span, Store, StoreError};
use hitters_sketch::TopK;
use hitters_tests::services::{Cassandra, Redis};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::minutes::{BEGIN, GROUPS, MINUTE, PARTITIONS, Windows, kill_again_and_again, rows, send, set};
use support::outside::Outside;
use support::running::Running;
use support::serving::Serving;
use support::{command, run};

const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What minutes make of longer windows, merged by time.
fn rolled_up(short: &Windows, width: i64, length: i64, until: i64) -> Windows {
    let mut long: BTreeMap<(String, i64, i64), TopK> = BTreeMap::new();
    for ((group, of, start), sketch) in short {
        let start = start.div_euclid(length) * length;
        if *of != width || start + length > until {
            continue;
        }
        let sketch = TopK::from_bytes(sketch).unwrap();
        match long.get_mut(&(group.clone(), length, start)) {
            Some(all) => all.merge(&sketch).unwrap(),
            None => drop(long.insert((group.clone(), length, start), sketch)),
        }
    }
    long.into_iter().map(|(key, sketch)| (key, sketch.to_bytes())).collect()
}

/// What has to stand in Cassandra after the minutes up to one.
fn expected(to: i64) -> Windows {
    let key = |row: Row| ((row.group.clone(), row.width(), row.start), row.sketch.unwrap());
    let minutes: Windows = rows(0, to).into_iter().map(key).collect();
    let until = BEGIN + to * MINUTE;
    let hours = rolled_up(&minutes, MINUTE, HOUR, until);
    let days = rolled_up(&hours, HOUR, DAY, until);
    minutes.into_iter().chain(hours).chain(days).collect()
}

struct World {
    outside: std::sync::Arc<Outside>,
    node: std::sync::Arc<Cassandra>,
    keyspace: &'static str,
    topic: String,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new(name: &'static str, node: std::sync::Arc<Cassandra>) -> Self {
        let world = Self {
            outside: Outside::shared(),
            node,
            keyspace: name,
            topic: format!("{name}.results"),
            runtime: tokio::runtime::Runtime::new().unwrap(),
        };
        world.outside.topic(&world.topic, PARTITIONS);
        world
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let url = self.node.url(self.keyspace);
        let servers = self.outside.kafka.bootstrap_servers();
        let own = [
            "archive",
            "--topic",
            &self.topic,
            "--bootstrap-servers",
            &servers,
            "--to",
            &url,
            "--settle",
            "200ms",
        ];
        own.iter().chain(more).map(|text| text.to_string()).collect()
    }

    fn once(&self, more: &[&str]) -> Value {
        let ran = run(self.arguments(&[&["--once", "--json"], more].concat())).well();
        serde_json::from_str(&ran.stdout).unwrap()
    }

    fn store(&self) -> CassandraStore {
        CassandraStore::new(Address::parse(&self.node.url(self.keyspace)).unwrap())
    }

    /// Records of which the position is kept.
    fn kept(&self) -> i64 {
        let positions = self
            .runtime
            .block_on(Writer::new(self.store(), false).positions(&self.topic));
        positions.map_or(0, |positions| positions.values().sum())
    }

    fn windows(&self, to: i64) -> Windows {
        let (store, scope) = (self.store(), scope());
        let mut windows = Windows::new();
        for group in GROUPS {
            for width in [MINUTE, HOUR, DAY] {
                let (from, to) = (BEGIN, BEGIN + to * MINUTE);
                let to = BEGIN + (to - BEGIN + DAY - 1) / DAY * DAY;
                let group = group.to_owned();
                let span = Span {
                    group: group.clone(),
                    width,
                    from,
                    to,
                };
                let panes = self.runtime.block_on(store.read(&scope, set(&group), &[span])).unwrap();
                windows.extend(
                    panes
                        .into_iter()
                        .map(|(_, pane)| ((group.clone(), width, pane.start), pane.sketch.unwrap())),
                );
            }
        }
        windows
    }

    /// Fails unless all that should be there is, and nothing else.
    #[track_caller]
    fn holds(&self, to: i64) {
        let (found, wanted) = (self.windows(to), expected(to));
        let differing: Vec<_> = wanted
            .keys()
            .chain(found.keys())
            .filter(|key| found.get(*key) != wanted.get(*key))
            .collect();
        assert!(
            differing.is_empty(),
            "{} of {} windows differ: {:?}",
            differing.len(),
            wanted.len(),
            &differing[..differing.len().min(5)]
        );
        let tiers = self.runtime.block_on(self.store().tiers(&scope())).unwrap();
        for (set, width) in [("*", MINUTE), ("g", MINUTE), ("*", HOUR), ("g", HOUR)] {
            let end = (BEGIN + to * MINUTE).div_euclid(width) * width;
            let tier = tiers
                .iter()
                .find(|tier| (tier.set.as_str(), tier.width) == (set, width))
                .unwrap();
            assert!(tier.to == end && tier.from < end, "{tier:?} to {end}");
        }
    }
}

fn scope() -> Scope {
    Scope {
        pipeline: "p".into(),
        version: 2,
    }
}

#[test]
fn killed_at_any_time_it_loses_nothing_and_writes_nothing_twice() {
    let world = World::new("kills", Cassandra::shared());
    let minutes = 1510;
    let all = rows(0, minutes);
    send(&world.outside, &world.topic, &all);
    let records = world.outside.records(&world.topic) as i64;
    let pause = |kills| Duration::from_millis(50 + 90 * kills);
    kill_again_and_again(records, pause, || Running::start(world.arguments(&[])), || world.kept());
    let summary = world.once(&[]);
    assert_eq!(
        (&summary["behind"], &summary["skipped"]),
        (&0.into(), &0.into()),
        "{summary}"
    );
    world.holds(minutes);
    // Again from the beginning: every row is written again, and nothing changes.
    let tiers = |world: &World| world.runtime.block_on(world.store().tiers(&scope())).unwrap();
    let newest = |world: &World| world.runtime.block_on(world.store().newest(&scope())).unwrap();
    let before = (tiers(&world), newest(&world));
    let summary = world.once(&["--again"]);
    let counted = |name: &str| summary[name].as_i64().unwrap();
    // A row that comes once more after its batch was written is written once more.
    assert!(
        counted("rows") >= all.len() as i64 && counted("repeated") > 0,
        "{summary}"
    );
    assert_eq!(counted("rows") + counted("repeated"), records, "{summary}");
    world.holds(minutes);
    assert_eq!((tiers(&world), newest(&world)), before);
    assert_eq!(before.1.len(), GROUPS.len());
    assert_eq!(world.once(&[])["records"], 0, "the position is at the end");
    // And it can be asked for.
    let url = world.node.url(world.keyspace);
    let mut serving = Running::start(["serve", "--cassandra", &url, "--listen", "127.0.0.1:0"]);
    assert!(serving.says("answering at "), "{}", serving.said);
    let at = serving.said.split("answering at ").nth(1).unwrap().trim().to_owned();
    let ran = run(["query", "p", "--url", &at, "--where", "g=a", "--last", "25h", "--json"]).well();
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    let day: u128 = rows(minutes - 25 * 60, minutes)
        .iter()
        .filter(|row| row.group == "g=a")
        .map(|row| row.answer.as_ref().unwrap().total)
        .sum();
    let total = answer["total"].as_u64().map(u128::from);
    assert!(
        total > Some(day * 9 / 10) && answer["source"]["stores"] == serde_json::json!(["cassandra"]),
        "{answer}"
    );
}

#[test]
fn an_older_run_that_wakes_up_ends_and_has_changed_nothing() {
    let world = World::new("zombies", Cassandra::shared());
    send(&world.outside, &world.topic, &rows(0, 60));
    let mut zombie = Running::start(world.arguments(&[]));
    assert!(zombie.says("records to read"), "{}", zombie.said);
    let all = world.outside.records(&world.topic) as i64;
    let until = Instant::now() + Duration::from_secs(60);
    while world.kept() < all {
        assert!(Instant::now() < until, "{}", zombie.said);
        std::thread::sleep(Duration::from_millis(50));
    }
    zombie.signal("STOP");
    send(&world.outside, &world.topic, &rows(60, 90));
    world.once(&[]);
    world.holds(90);
    zombie.signal("CONT");
    let said = zombie.end().code(1);
    assert!(
        said.contains("run 1 of the archive of p has to end: run 2 writes to cassandra now"),
        "{said}"
    );
    world.holds(90);
}

/// Recent minutes in Redis, all of them in Cassandra, and a service over both.
struct Both {
    redis: Redis,
    serving: Serving,
    runtime: tokio::runtime::Runtime,
}

/// What Redis holds.
const RECENT: (i64, i64) = (20, 31);

impl Both {
    fn new(history: &str) -> Self {
        let redis = Redis::start();
        let arguments = [
            "serve",
            "--redis",
            &redis.url(),
            "--cassandra",
            history,
            "--listen",
            "127.0.0.1:0",
        ];
        let both = Self {
            serving: Serving::spawn(command(arguments)),
            redis,
            runtime: tokio::runtime::Runtime::new().unwrap(),
        };
        both.fill();
        both
    }

    fn fill(&self) {
        let kept = Duration::from_secs(10_000 * 86_400);
        let writer = RedisWriter::new(&self.redis.url(), kept, false).unwrap();
        let fill = async {
            writer.resume("recent").await?;
            writer.put(&rows(RECENT.0, RECENT.1), None).await?;
            writer.freeze().await;
            writer.settle().await
        };
        assert!(self.runtime.block_on(fill).unwrap());
    }

    /// Asks for some minutes until the answer is this: total, `complete`, the stores that it came from, those that are away. An answer that
    /// is kept would say nothing about stores, so each question is another one.
    #[track_caller]
    fn says(&self, (from, to): (i64, i64), k: u64, expected: (Option<u128>, bool, &[&str], &[&str])) -> Value {
        let (begin, end) = (BEGIN + from * MINUTE, BEGIN + to * MINUTE);
        let path = format!("/v1/pipelines/p/top?set=g&k={k}&from={begin}&to={end}");
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let (status, _, body) = self.serving.get(&path, None);
            let answer: Value = serde_json::from_str(&body).unwrap();
            let names = |key: &str| -> Vec<String> {
                let names = answer["source"][key].as_array().into_iter().flatten();
                names.map(|name| name.as_str().unwrap().to_owned()).collect()
            };
            let total = answer["total"].as_u64().map(u128::from);
            let said = (
                total,
                answer["range"]["complete"] == true,
                names("stores"),
                names("missing_stores"),
            );
            let (total, complete, stores, missing) = expected;
            if status == 200 && said == (total, complete, owned(stores), owned(missing)) {
                return answer;
            }
            assert!(Instant::now() < until, "{path}: {status} {answer:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn health(&self) -> (u16, Value) {
        let (status, _, body) = self.serving.get("/v1/health", None);
        (status, serde_json::from_str(&body).unwrap())
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What was counted in some minutes.
fn truth(from: i64, to: i64) -> Option<u128> {
    let rows = rows(from, to);
    let of_set = rows.iter().filter(|row| row.set == "g");
    Some(of_set.map(|row| row.answer.as_ref().unwrap().total).sum())
}

#[test]
fn outages_are_waited_out_and_told_and_meanwhile_answers_say_what_they_lack() {
    let node = std::sync::Arc::new(Cassandra::start());
    let world = World::new("outages", node);
    send(&world.outside, &world.topic, &rows(0, 31));
    let mut run = Running::start(world.arguments(&[]));
    assert!(run.says("records to read"), "{}", run.said);
    let until = Instant::now() + Duration::from_secs(100);
    let caught_up = |world: &World, to: i64| {
        let all = world.outside.records(&world.topic) as i64;
        let known = || {
            let tiers = world
                .runtime
                .block_on(world.store().tiers(&scope()))
                .unwrap_or_default();
            tiers
                .iter()
                .any(|tier| tier.set == "g" && tier.to == BEGIN + to * MINUTE)
        };
        while world.kept() < all || !known() {
            assert!(Instant::now() < until, "not caught up with minute {to}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    caught_up(&world, 31);
    let both = Both::new(&world.node.url(world.keyspace));
    let (all, old, recent) = ((0, 31), (0, 10), (22, 31));
    let known = truth(RECENT.0, RECENT.1);
    both.says(all, 1, (truth(0, 31), true, &["cassandra", "redis"], &[]));
    let (status, health) = both.health();
    assert!(status == 200 && health["status"] == "ok", "{health}");
    world.node.stop();
    send(&world.outside, &world.topic, &rows(31, 60));
    both.says(recent, 2, (truth(22, 31), true, &["redis"], &["cassandra"]));
    let part = both.says(all, 3, (known, false, &["redis"], &["cassandra"]));
    let gap = &part["range"]["gaps"][0];
    assert_eq!(gap["from"], part["range"]["from"], "{part}");
    both.says(old, 4, (None, false, &[], &["cassandra"]));
    let (status, health) = both.health();
    assert!(status == 200 && health["status"] == "degraded", "{health}");
    both.redis.stop();
    both.says(all, 5, (None, false, &[], &["cassandra", "redis"]));
    assert_eq!(both.health().0, 503);
    assert!(run.says("waiting for it"), "{}", run.said);
    world.node.start_again();
    both.says(all, 6, (truth(0, 31), true, &["cassandra"], &["redis"]));
    both.redis.start_again();
    both.fill();
    both.says(all, 7, (truth(0, 31), true, &["cassandra", "redis"], &[]));
    let (status, health) = both.health();
    assert!(status == 200 && health["status"] == "ok", "{health}");
    caught_up(&world, 60);
    assert!(run.says("cassandra is back after"), "{}", run.said);
    run.signal("TERM");
    run.end().code(130);
    world.holds(60);
}

#[test]
fn what_cannot_be_archived_says_where_and_what_to_do() {
    let world = World::new("errors", Cassandra::shared());
    world.outside.send(&world.topic, 1, [Some(&b"{\"no\":1}"[..])]);
    let wrong = [
        "offset 0 of partition 1 of topic 'errors.results' is no row of answers",
        "--bad-rows skip",
    ];
    run(world.arguments(&["--once"])).fails(1, &wrong);
    assert_eq!(world.once(&["--bad-rows", "skip"])["skipped"], 1);
    run(["archive", "flights"]).fails(2, &["writes no topic 'flights.results'", "sql/tables/history.sql"]);
    let nobody = ["archive", "--topic", "t", "--to", "cassandra://127.0.0.1:1/k?dc="];
    run(nobody).fails(2, &["--to: there is no option 'dc='"]);
    let error = world
        .runtime
        .block_on(CassandraStore::new(Address::parse("cassandra://127.0.0.1:1").unwrap()).active("p"));
    assert!(matches!(error, Err(StoreError::Away { .. })), "{error:?}");
}
