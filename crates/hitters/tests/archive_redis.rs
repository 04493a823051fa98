//! `hitters archive` to a real Redis: what the sinks of a pipeline write, from its topic, killed, frozen, cut off, and every key compared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_connectors::generate::Generate;
use hitters_results::{RedisStore, Row, Scope, Store};
use hitters_tests::services::Redis;
use redis::Commands;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::minutes::{BEGIN, GROUPS, MINUTE, PARTITIONS, kill_again_and_again, rows, send};
use support::outside::Outside;
use support::running::Running;
use support::{command, ended, root, run};

/// So long that minutes of some years ago are kept.
const KEPT: &str = "10000d";
/// Windows live so much longer than readers are told.
const SLACK: i64 = 10 * MINUTE;

/// All that stands in a server: what kind a key is of, its fields (one without a name for a string), and when it expires.
type Keys = BTreeMap<String, (BTreeMap<String, String>, i64)>;

struct World {
    outside: Arc<Outside>,
    redis: Redis,
    topic: String,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new(name: &str, redis: Redis) -> Self {
        let world = Self {
            outside: Outside::shared(),
            redis,
            topic: format!("{name}.results"),
            runtime: tokio::runtime::Runtime::new().unwrap(),
        };
        world.outside.topic(&world.topic, PARTITIONS);
        world
    }

    fn arguments(&self, ttl: &str, more: &[&str]) -> Vec<String> {
        let (servers, url) = (self.outside.kafka.bootstrap_servers(), self.redis.url());
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
            "--ttl",
            ttl,
        ];
        own.iter().chain(more).map(|text| text.to_string()).collect()
    }

    fn once(&self, ttl: &str, more: &[&str]) -> Value {
        let ran = run(self.arguments(ttl, &[&["--once", "--json"], more].concat())).well();
        serde_json::from_str(&ran.stdout).unwrap()
    }

    fn connection(&self) -> redis::Connection {
        redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap()
    }

    fn keys(&self) -> Keys {
        keys(&mut self.connection())
    }

    /// Records of which the position is kept.
    fn kept(&self) -> i64 {
        let kept = || {
            let mut connection = redis::Client::open(self.redis.url()).ok()?.get_connection().ok()?;
            let fields: BTreeMap<String, String> =
                connection.hgetall(format!("hitters:archive:{}", self.topic)).ok()?;
            let positions = fields.iter().filter(|(part, _)| part.parse::<i32>().is_ok());
            Some(positions.map(|(_, next)| next.parse::<i64>().unwrap()).sum())
        };
        kept().unwrap_or(0)
    }

    fn records(&self) -> i64 {
        self.outside.records(&self.topic) as i64
    }

    fn tiers(&self) -> Vec<hitters_results::Tier> {
        let store = RedisStore::new(&self.redis.url()).unwrap();
        self.runtime.block_on(store.tiers(&scope())).unwrap_or_default()
    }

    /// Waits until minutes up to one are written and known.
    #[track_caller]
    fn catches_up(&self, run: &mut Running, to: i64) {
        let until = Instant::now() + Duration::from_secs(60);
        let known = |set: &str| {
            let all = self.tiers();
            all.iter().any(|tier| tier.set == set && tier.to == BEGIN + to * MINUTE)
        };
        while self.kept() < self.records() || !known("g") || !known("*") {
            assert!(
                Instant::now() < until,
                "not caught up with minute {to}\n{}",
                run.heard()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Fails unless there are all windows up to a minute, each as it was published, the newest of each group, and nothing else.
    #[track_caller]
    fn holds(&self, to: i64) {
        let mut found = self.keys();
        let all = rows(0, to);
        let kept = 10_000 * 24 * 60 * MINUTE;
        for row in &all {
            let name = format!("{}:{}:{}:{}", row.width() / 1000, row.start / 1000, row.set, row.group);
            let (fields, expires) = found.remove(&format!("hh:p:v2:w:{name}")).unwrap_or_default();
            let text = fields.get("").unwrap_or_else(|| panic!("there is no {name}"));
            assert_eq!(Row::parse(text.as_bytes()).as_ref(), Ok(row));
            assert_eq!(serde_json::from_str::<Value>(text).unwrap()["key"], *name);
            assert_eq!(expires, row.end + kept + SLACK, "{name}");
        }
        let (latest, _) = found.remove("hh:p:v2:latest").unwrap();
        assert_eq!(latest.len(), GROUPS.len());
        for (field, text) in latest {
            let group = field.split_once(':').unwrap().1.to_owned();
            let mut newest = all.iter().rfind(|row| row.group == group).unwrap().clone();
            newest.sketch = None;
            assert_eq!(Row::parse(text.as_bytes()), Ok(newest));
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["field"], *field);
        }
        assert_eq!(found.remove("hh:p:active").unwrap().0[""], "2");
        let own = ["hh:p:v2:archive".to_owned(), format!("hitters:archive:{}", self.topic)];
        assert_eq!(found.keys().cloned().collect::<Vec<_>>(), own);
        for tier in self.tiers() {
            let expected = (MINUTE, BEGIN, BEGIN + to * MINUTE);
            assert_eq!((tier.width, tier.from, tier.to), expected, "{tier:?}");
        }
        assert_eq!(self.tiers().len(), 2);
    }
}

fn keys(connection: &mut redis::Connection) -> Keys {
    let names: Vec<String> = connection.keys("*").unwrap();
    let mut all = Keys::new();
    for name in names {
        let kind: String = redis::cmd("TYPE").arg(&name).query(connection).unwrap();
        let fields = match kind.as_str() {
            "hash" => connection.hgetall(&name).unwrap(),
            "string" => BTreeMap::from([(String::new(), connection.get(&name).unwrap())]),
            other => panic!("{name} is a {other}"),
        };
        let expires: i64 = redis::cmd("PEXPIRETIME").arg(&name).query(connection).unwrap();
        all.insert(name, (fields, expires));
    }
    all
}

fn scope() -> Scope {
    Scope {
        pipeline: "p".into(),
        version: 2,
    }
}

#[test]
fn killed_at_any_time_it_loses_nothing_and_a_second_pass_changes_nothing() {
    let world = World::new("recent", Redis::start());
    let minutes = 1500;
    let all = rows(0, minutes);
    send(&world.outside, &world.topic, &all);
    let records = world.records();
    let pause = |kills| Duration::from_millis(10 + 40 * kills);
    kill_again_and_again(
        records,
        pause,
        || Running::start(world.arguments(KEPT, &[])),
        || world.kept(),
    );
    let summary = world.once(KEPT, &[]);
    assert_eq!(
        (&summary["behind"], &summary["skipped"]),
        (&0.into(), &0.into()),
        "{summary}"
    );
    world.holds(minutes);
    let without_the_run = || {
        let mut all = world.keys();
        let (fields, _) = all.get_mut(&format!("hitters:archive:{}", world.topic)).unwrap();
        assert!(fields.remove("run").is_some());
        all
    };
    let before = without_the_run();
    let summary = world.once(KEPT, &["--again"]);
    // A row that comes once more after its batch was written is written once more.
    assert!(summary["rows"].as_u64() >= Some(all.len() as u64), "{summary}");
    assert!(without_the_run() == before, "a second pass changes something");
    assert_eq!(world.once(KEPT, &[])["records"], 0, "the position is at the end");
    // And it can be asked for.
    let url = world.redis.url();
    let mut serving = Running::start(["serve", "--redis", &url, "--listen", "127.0.0.1:0"]);
    assert!(serving.says("answering at "), "{}", serving.said);
    let at = serving.said.split("answering at ").nth(1).unwrap().trim().to_owned();
    let ran = run(["query", "p", "--url", &at, "--where", "g=a", "--last", "20h", "--json"]).well();
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    let total: u128 = rows(minutes - 20 * 60, minutes)
        .iter()
        .filter(|row| row.group == "g=a")
        .map(|row| row.answer.as_ref().unwrap().total)
        .sum();
    assert_eq!(answer["total"].as_u64().map(u128::from), Some(total));
    assert_eq!(answer["range"]["complete"], true);
}

#[test]
fn an_older_run_that_wakes_up_ends_and_has_changed_nothing() {
    let world = World::new("woken", Redis::start());
    send(&world.outside, &world.topic, &rows(0, 60));
    let mut zombie = Running::start(world.arguments(KEPT, &[]));
    world.catches_up(&mut zombie, 60);
    zombie.signal("STOP");
    send(&world.outside, &world.topic, &rows(60, 90));
    world.once(KEPT, &[]);
    world.holds(90);
    zombie.signal("CONT");
    let said = zombie.end().code(1);
    let told = format!(
        "this run of the archive of topic '{}' has to end: a later run writes to redis now",
        world.topic
    );
    assert!(said.contains(&told), "{said}");
    world.holds(90);
}

#[test]
fn an_outage_is_waited_out_and_lost_data_are_written_again() {
    let kept = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let world = World::new("away", kept);
    send(&world.outside, &world.topic, &rows(0, 31));
    let mut run = Running::start(world.arguments(KEPT, &[]));
    world.catches_up(&mut run, 31);
    world.redis.stop();
    send(&world.outside, &world.topic, &rows(31, 60));
    assert!(run.says("waiting for it"), "{}", run.said);
    world.redis.start_again();
    world.catches_up(&mut run, 60);
    assert!(run.says("redis is back after"), "{}", run.said);
    world.holds(60);
    // All that it held is gone, and nothing new comes.
    redis::cmd("FLUSHALL").exec(&mut world.connection()).unwrap();
    assert!(run.says("redis has lost the archive of topic"), "{}", run.said);
    world.catches_up(&mut run, 60);
    run.signal("TERM");
    run.end().code(130);
    world.holds(60);
}

#[test]
fn it_writes_what_the_sinks_of_the_pipeline_write() {
    let (outside, sinks, archived) = (Outside::shared(), Redis::start(), Redis::start());
    let folder = tempfile::tempdir().unwrap();
    let sql = [
        "tables/messages.sql",
        "tables/results.sql",
        "tables/history.sql",
        "tables/panes.sql",
        "queries/panes/count_all.sql",
        "queries/panes/count_by_region.sql",
        "queries/panes/minutes.sql",
        "queries/panes/publish.sql",
    ];
    let sql = sql.map(|file| format!("'{}'", root().join("sql").join(file).display()));
    let text = format!(
        "name = 'kept'\nsql = [{}]\n[parameters]\nbootstrap_servers = '{}'\ntopic = 'kept'\nredis = '{}'\nk = 5\n",
        sql.join(", "),
        outside.kafka.bootstrap_servers(),
        sinks.url()
    );
    let file = folder.path().join("kept.toml");
    fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    outside.topic("kept", 3);
    let options = Generate {
        events: 20_000,
        rate: 80.0,
        items: 300,
        partitions: 3,
        ..Generate::default()
    };
    outside.generate("kept", &options);
    run(["topics", &file, "--create"]).well();
    run(["run", &file, "--bounded"]).well();
    let to = archived.url();
    run([
        "archive", &file, "--to", &to, "--once", "--settle", "200ms", "--ttl", KEPT,
    ])
    .well();
    let both = [&sinks, &archived].map(|redis| {
        let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
        let mut rows: BTreeMap<(String, String), Value> = BTreeMap::new();
        for (key, (fields, expires)) in keys(&mut connection) {
            let windows = key.starts_with("hh:kept:v1:w:");
            if !windows && key != "hh:kept:v1:latest" {
                continue;
            }
            assert_eq!(windows, expires > 0, "{key}");
            for (field, text) in fields {
                let mut row: Value = serde_json::from_str(&text).unwrap();
                row["answer"] = serde_json::from_str(row["answer"].as_str().unwrap()).unwrap();
                rows.insert((key.clone(), field), row);
            }
        }
        rows
    });
    let [sinks, archived] = both;
    assert!(sinks.len() > 20, "{} rows", sinks.len());
    assert_eq!(archived, sinks);
}

#[test]
fn windows_go_in_the_order_of_their_time_and_what_is_gone_is_unknown() {
    let world = World::new("expiring", Redis::start());
    // The same minutes, moved so that the last one ends now.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let shift = now / MINUTE * MINUTE - (BEGIN + 180 * MINUTE);
    let moved = |row: Row| Row {
        start: row.start + shift,
        end: row.end + shift,
        ..row
    };
    let all: Vec<Row> = rows(0, 180).into_iter().map(moved).collect();
    send(&world.outside, &world.topic, &all);
    world.once("1h", &[]);
    let found = world.keys();
    let windows: Vec<_> = found.iter().filter(|(key, _)| key.contains(":w:")).collect();
    let alive = all.iter().filter(|row| row.end + 60 * MINUTE + SLACK > now);
    // A minute may pass meanwhile.
    assert!(
        windows.len().abs_diff(alive.count()) <= GROUPS.len(),
        "{}",
        windows.len()
    );
    for (key, (fields, expires)) in windows {
        let row = Row::parse(fields[""].as_bytes()).unwrap();
        assert_eq!(*expires, row.end + 60 * MINUTE + SLACK, "{key}");
    }
    let begins = |tiers: Vec<hitters_results::Tier>| tiers.iter().map(|tier| (now - tier.from) / MINUTE).max();
    let hour = begins(world.tiers()).unwrap();
    assert!((59..=61).contains(&hour), "{hour}");
    // Windows that were written for an hour cannot be promised for two; read again they can.
    world.once("2h", &[]);
    assert_eq!(begins(world.tiers()), None);
    world.once("2h", &["--again"]);
    let hours = begins(world.tiers()).unwrap();
    assert!((119..=121).contains(&hours), "{hours}");
    // For less the rest is forgotten at once.
    world.once("30m", &[]);
    let half = begins(world.tiers()).unwrap();
    assert!((29..=31).contains(&half), "{half}");
}

#[test]
fn who_cannot_be_written_to_says_why() {
    let world = World::new("refused", Redis::start());
    send(&world.outside, &world.topic, &rows(0, 3));
    let mut connection = world.connection();
    let _: () = connection.hset("hh:p:v2:latest", "*:*", "{}").unwrap();
    let theirs = "redis refuses: the pipeline itself writes the answers of p v2 there; archive to another Redis";
    run(world.arguments(KEPT, &["--once"])).fails(1, &[theirs]);
    assert_eq!(world.keys().len(), 2, "{:?}", world.keys());
    // Another database of it is another place.
    let (servers, other) = (
        world.outside.kafka.bootstrap_servers(),
        format!("{}/1", world.redis.url()),
    );
    let archive = |topic: &str, to: &str, more: &[&str]| {
        let own = [
            "archive",
            "--topic",
            topic,
            "--bootstrap-servers",
            &servers,
            "--to",
            to,
            "--settle",
            "100ms",
        ];
        run(own.iter().chain(&["--once"]).chain(more))
    };
    archive(&world.topic, &other, &["--ttl", KEPT]).well();
    // Two topics would each say what is known.
    world.outside.topic("refused.too", PARTITIONS);
    send(&world.outside, "refused.too", &rows(0, 3));
    let both = format!("redis refuses: topic {} writes the answers of p v2 there", world.topic);
    archive("refused.too", &other, &[]).fails(1, &[&both]);
    // A run of the pipeline itself that comes later.
    redis::cmd("SELECT").arg(1).exec(&mut connection).unwrap();
    let _: () = connection.set("hh:p:v2:attempt", 1).unwrap();
    archive(&world.topic, &other, &[]).fails(1, &["the pipeline itself writes the answers of p v2 there"]);
    let locked = Redis::with(&["--requirepass", "right"]);
    archive(&world.topic, &locked.url(), &[]).fails(1, &["redis refuses", "check user and password"]);
    let right = locked.url().replace("//", "//:right@");
    let said = archive(&world.topic, &right, &["--ttl", KEPT]).well().stderr;
    assert!(
        said.contains("to redis at 127.0.0.1:") && !said.contains("right"),
        "{said}"
    );
    archive("t", "redis://", &["--no-roll-up"]).fails(2, &["--no-roll-up is about Cassandra"]);
    archive("t", "redis://127.0.0.1:x", &[]).fails(2, &["--to: "]);
    archive("t", "redis://:${env:HITTERS_NOT_SET}@h", &[]).fails(2, &["--to", "HITTERS_NOT_SET"]);
    archive("t", "cassandra://127.0.0.1", &["--ttl", "1h"]).fails(2, &["--ttl is about Redis"]);
}

#[test]
fn tls_is_spoken() {
    let world = World::new("encrypted", Redis::with_tls());
    send(&world.outside, &world.topic, &rows(0, 3));
    let mut archive = command(world.arguments(KEPT, &["--once"]));
    archive.env("SSL_CERT_FILE", world.redis.certificate());
    let done = ended(archive).well();
    assert!(done.stderr.contains("to redis at 127.0.0.1:"), "{}", done.stderr);
}
