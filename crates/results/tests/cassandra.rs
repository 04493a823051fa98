//! History in a real Cassandra: what is known, who may write, what happens while it is away.
#![cfg(feature = "cassandra")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hitters_results::cassandra::{Address, Writer};
use hitters_results::{
    Answers, Archive, CassandraStore, Filter, History, RedisStore, RollUp, Row, Scope, Store, StoreError, Tier,
};
use hitters_sketch::{ItemKind, Measure, TopK};
use hitters_tests::proxy::{Fault, Proxy};
use hitters_tests::services::{Cassandra, Redis};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::Row as Line;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const BEGIN: i64 = 1_700_006_400_000 / HOUR * HOUR;
const TABLES: [&str; 10] = [
    "pipelines",
    "tiers",
    "known",
    "newest",
    "seconds",
    "minutes",
    "hours",
    "days",
    "positions",
    "sources",
];

fn scope(version: u64) -> Scope {
    Scope {
        pipeline: "p".into(),
        version,
    }
}

/// A minute in which an item came so often.
fn row(version: u64, group: &str, minute: i64, count: u64) -> Row {
    let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 8).unwrap();
    sketch.update(b"item", count);
    let start = BEGIN + minute * MINUTE;
    Row {
        pipeline: "p".into(),
        version,
        set: if group == "*" { "*" } else { "g" }.into(),
        group: group.into(),
        start,
        end: start + MINUTE,
        answer: Some(sketch.answer(1).unwrap().into()),
        sketch: Some(sketch.to_bytes()),
    }
}

const LOGIN: &str = "cassandra:cassandra@";

/// The node that all of these tests share: it wants a login. It stops with the last of them.
fn node() -> Arc<Cassandra> {
    static SHARED: Mutex<Weak<Cassandra>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Cassandra::with_login());
        *shared = Arc::downgrade(&started);
        started
    })
}

fn store(login: &str, port: u16, keyspace: &str) -> CassandraStore {
    let url = format!("cassandra://{login}127.0.0.1:{port}/{keyspace}");
    CassandraStore::new(Address::parse(&url).unwrap())
}

async fn open(node: &Cassandra, keyspace: &str) -> CassandraStore {
    let store = store(LOGIN, node.port(), keyspace);
    // The first user is made a moment after the start.
    let until = Instant::now() + Duration::from_secs(30);
    while let Err(error) = store.create("1").await {
        assert!(Instant::now() < until, "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    store
}

async fn session(node: &Cassandra, keyspace: &str) -> Session {
    let builder = SessionBuilder::new().known_node(format!("127.0.0.1:{}", node.port()));
    let builder = builder.user("cassandra", "cassandra");
    let session = builder.fetch_schema_metadata(false).build().await.unwrap();
    session.use_keyspace(keyspace, false).await.unwrap();
    session
}

/// Everything that a keyspace holds.
async fn all(session: &Session) -> Vec<String> {
    let mut lines = Vec::new();
    for table in TABLES {
        let found = session
            .query_unpaged(format!("SELECT * FROM {table}"), &())
            .await
            .unwrap();
        let found = found.into_rows_result().unwrap();
        lines.extend(
            found
                .rows::<Line>()
                .unwrap()
                .map(|line| format!("{table} {:?}", line.unwrap())),
        );
    }
    lines.sort();
    lines
}

/// The total of a range, and what is unknown of it.
async fn total(store: &CassandraStore, set: &str, from: i64, to: i64) -> (u128, Vec<(i64, i64)>) {
    let answers = Answers::new(vec![Arc::new(store.clone())]);
    let edge = answers.edge("p").await.unwrap().unwrap();
    let groups: Vec<String> = edge
        .groups(set, &Filter::default())
        .iter()
        .map(|newest| newest.row.group.clone())
        .collect();
    let merged = answers
        .merge(&edge, set, &groups, &[(from, to)])
        .await
        .unwrap()
        .remove(0);
    (merged.sketch.map_or(0, |sketch| sketch.total()), merged.gaps)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_is_known_once_it_is_settled() {
    let node = node();
    let store = open(&node, "settled").await;
    let writer = Writer::new(store.clone(), false);
    assert!(writer.resume("log").await.unwrap().is_empty());
    let (from, to) = (BEGIN, BEGIN + 2 * MINUTE);
    writer
        .put(&[row(1, "g=a", 0, 5), row(1, "g=b", 0, 1)], None)
        .await
        .unwrap();
    assert_eq!(store.active("p").await.unwrap(), None, "nothing is known yet");
    assert_eq!(store.tiers(&scope(1)).await.unwrap(), []);
    assert_eq!(store.newest(&scope(1)).await.unwrap(), []);
    writer.freeze().await;
    // Comes after the look at the log: it waits for the next one.
    writer.put(&[row(1, "g=a", 1, 7)], None).await.unwrap();
    assert!(writer.settle().await.unwrap());
    assert_eq!(store.active("p").await.unwrap(), Some(1));
    let tier = |to| Tier {
        set: "g".into(),
        width: MINUTE,
        from,
        to,
    };
    assert_eq!(store.tiers(&scope(1)).await.unwrap(), [tier(BEGIN + MINUTE)]);
    assert_eq!(total(&store, "g", from, to).await, (6, vec![(BEGIN + MINUTE, to)]));
    // The group whose newest row runs ahead is listed by the last known window, without an answer that others lack.
    let newest = store.newest(&scope(1)).await.unwrap();
    let ends: Vec<_> = newest
        .iter()
        .map(|row| (row.group.as_str(), row.end, row.answer.is_some()))
        .collect();
    assert_eq!(ends, [("g=a", BEGIN + MINUTE, false), ("g=b", BEGIN + MINUTE, true)]);
    assert_eq!(
        store.newest_of(&scope(1), "g", "g=a").await.unwrap().as_ref(),
        Some(&newest[0])
    );
    // Another run goes on from what this one had seen, whether rows come or not.
    drop(writer);
    let writer = Writer::new(store.clone(), false);
    assert_eq!(writer.resume("log").await.unwrap(), [scope(1)].into());
    writer.freeze().await;
    assert!(writer.settle().await.unwrap());
    assert_eq!(total(&store, "g", from, to).await, (13, vec![]));
    assert!(
        Writer::new(store.clone(), false)
            .resume("other")
            .await
            .unwrap()
            .is_empty()
    );
    writer.hold().await.unwrap();
    writer.put(&[row(1, "g=b", 1, 2)], None).await.unwrap();
    assert_eq!(total(&store, "g", from, to).await, (15, vec![]));
    assert_eq!(
        store.newest(&scope(1)).await.unwrap()[0].answer,
        row(1, "g=a", 1, 7).answer
    );
    assert!(!writer.settle().await.unwrap(), "there is nothing more to know");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_changes_nothing_and_is_told_to_end() {
    let node = node();
    let store = open(&node, "zombie").await;
    let (old, new) = (Writer::new(store.clone(), false), Writer::new(store.clone(), false));
    old.write(&[row(1, "*", 0, 1), row(1, "*", 1, 1)]).await.unwrap();
    old.hold().await.unwrap();
    new.write(&[row(1, "*", 0, 100), row(1, "*", 2, 100)]).await.unwrap();
    let session = session(&node, "zombie").await;
    let before = all(&session).await;
    // What it wrote before stays, what the newer run wrote is not touched, and what is known does not shrink.
    old.put(&[row(1, "*", 0, 1), row(1, "*", 1, 1)], None).await.unwrap();
    old.freeze().await;
    old.settle().await.unwrap();
    assert_eq!(all(&session).await, before);
    assert_eq!(total(&store, "*", BEGIN, BEGIN + 3 * MINUTE).await, (201, vec![]));
    let error = old.hold().await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("run 1 of the archive of p has to end: run 2 writes"),
        "{error}"
    );
    new.hold().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_rows_again_change_nothing() {
    let node = node();
    let store = open(&node, "again").await;
    let rows: Vec<Row> = (0..130)
        .map(|minute| row(1, "*", minute, minute.unsigned_abs() + 1))
        .collect();
    let mut roll_up = RollUp::default();
    for attempt in 1..=3 {
        let writer = Writer::new(store.clone(), false);
        for chunk in rows.chunks(50) {
            writer.put(chunk, None).await.unwrap();
            roll_up.wrote(chunk);
        }
        writer.freeze().await;
        writer.settle().await.unwrap();
        roll_up.run(&writer).await.unwrap();
        let session = session(&node, "again").await;
        let lines: Vec<String> = all(&session)
            .await
            .into_iter()
            .filter(|line| !line.starts_with("pipelines"))
            .collect();
        static FIRST: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
        assert_eq!(&lines, FIRST.get_or_init(|| lines.clone()), "attempt {attempt}");
    }
    let whole: u128 = (1..=120).sum();
    assert_eq!(total(&store, "*", BEGIN, BEGIN + 2 * HOUR).await, (whole, vec![]));
    let hours = store
        .tiers(&scope(1))
        .await
        .unwrap()
        .into_iter()
        .find(|tier| tier.width == HOUR);
    assert_eq!(hours.map(|tier| (tier.from, tier.to)), Some((BEGIN, BEGIN + 2 * HOUR)));
    // A row of the pipeline itself goes before one that was made here, whoever writes it.
    let writer = Writer::new(store.clone(), false);
    let own = Row {
        end: BEGIN + HOUR,
        ..row(1, "*", 0, 1_000_000)
    };
    writer.write(std::slice::from_ref(&own)).await.unwrap();
    let rolled = Row {
        answer: None,
        sketch: row(1, "*", 0, 3).sketch,
        ..own.clone()
    };
    Writer::new(store.clone(), false).write(&[rolled]).await.unwrap();
    assert_eq!(total(&store, "*", BEGIN, BEGIN + HOUR).await, (1_000_000, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_look_at_a_new_version_once_it_has_caught_up() {
    let node = node();
    let store = open(&node, "versions").await;
    let writer = Writer::new(store.clone(), false);
    writer.write(&[row(1, "*", 0, 1), row(1, "*", 1, 1)]).await.unwrap();
    writer.write(&[row(2, "*", 0, 2)]).await.unwrap();
    assert_eq!(
        store.active("p").await.unwrap(),
        Some(1),
        "version 2 is a minute behind"
    );
    writer.write(&[row(2, "*", 1, 2)]).await.unwrap();
    assert_eq!(store.active("p").await.unwrap(), Some(2));
    // The older version goes on for a while, and takes nothing back.
    writer.write(&[row(1, "*", 2, 1)]).await.unwrap();
    assert_eq!(store.active("p").await.unwrap(), Some(2));
    assert_eq!(total(&store, "*", BEGIN, BEGIN + 2 * MINUTE).await, (4, vec![]));
    assert_eq!(store.pipelines().await.unwrap(), [scope(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expired_or_lies_behind_a_hole_is_unknown_and_never_empty() {
    let node = node();
    let store = open(&node, "holes").await;
    let rows: Vec<Row> = (0..240).map(|minute| row(1, "*", minute, 1)).collect();
    Writer::new(store.clone(), false).write(&rows).await.unwrap();
    let known = async || {
        store
            .tiers(&scope(1))
            .await
            .unwrap()
            .first()
            .map(|tier| (tier.from, tier.to))
    };
    assert_eq!(known().await, Some((BEGIN, BEGIN + 240 * MINUTE)));
    // Pieces of minutes are three hours long. The first one's rows may have ended.
    let session = session(&node, "holes").await;
    let piece = BEGIN.div_euclid(3 * HOUR) * 3 * HOUR;
    let past = "UPDATE known USING TIMESTAMP 9223372036854775800 SET alive_until = 1 WHERE pipeline = 'p' AND version = 1 AND dims = '*' AND width = 60000 AND piece = ";
    session.query_unpaged(format!("{past}{piece}"), &()).await.unwrap();
    let begin = piece + 3 * HOUR;
    assert_eq!(known().await, Some((begin, BEGIN + 240 * MINUTE)));
    let (_, gaps) = total(&store, "*", BEGIN, BEGIN + 240 * MINUTE).await;
    assert_eq!(gaps, [(BEGIN, begin)]);
    // Records were lost before the next run: what comes now is all that is known.
    let later = row(1, "*", 300, 1);
    Writer::new(store.clone(), true)
        .write(std::slice::from_ref(&later))
        .await
        .unwrap();
    assert_eq!(known().await, Some((later.start, later.end)));
    // Rows of a window that was cut are written, and not said to be known.
    let writer = Writer::new(store.clone(), false);
    let cut = [row(1, "g=a", 301, 1), row(1, "g=a", 302, 1)];
    writer.put(&cut, Some(cut[0].end)).await.unwrap();
    writer.freeze().await;
    writer.settle().await.unwrap();
    let tiers = store.tiers(&scope(1)).await.unwrap();
    let of_groups = tiers
        .iter()
        .find(|tier| tier.set == "g")
        .map(|tier| (tier.from, tier.to));
    assert_eq!(of_groups, Some((cut[1].start, cut[1].end)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_is_away_answers_lack_what_only_it_knows_and_then_they_are_whole_again() {
    let node = node();
    open(&node, "away").await;
    // The way to it breaks; crates/hitters/tests/archive.rs kills a node.
    let way = Proxy::start(node.port());
    let store = store(LOGIN, way.port(), "away");
    let writer = Writer::new(store.clone(), false);
    writer
        .write(&(0..10).map(|minute| row(1, "*", minute, 1)).collect::<Vec<_>>())
        .await
        .unwrap();
    let redis = Redis::start();
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    for minute in 5..10 {
        let row = row(1, "*", minute, 1);
        let mut value: serde_json::Value = serde_json::from_str(&row.to_json()).unwrap();
        let latest = value.to_string();
        redis::cmd("HSET")
            .arg("hh:p:v1:latest")
            .arg("*:*")
            .arg(latest)
            .exec(&mut connection)
            .unwrap();
        use base64::Engine;
        value["sketch"] = base64::prelude::BASE64_STANDARD.encode(row.sketch.unwrap()).into();
        let key = format!("hh:p:v1:w:60:{}:*:*", row.start / 1000);
        redis::cmd("SET")
            .arg(key)
            .arg(value.to_string())
            .exec(&mut connection)
            .unwrap();
    }
    redis::cmd("SET")
        .arg("hh:p:active")
        .arg(1)
        .exec(&mut connection)
        .unwrap();
    let recent = RedisStore::new(&redis.url()).unwrap();
    let both = Answers::new(vec![Arc::new(recent), Arc::new(store.clone())]);
    let ask = async || {
        let edge = both.edge("p").await.unwrap().unwrap();
        let parts = [(BEGIN, BEGIN + 10 * MINUTE)];
        let merged = both
            .merge(&edge, "*", &["*".to_owned()], &parts)
            .await
            .unwrap()
            .remove(0);
        let missing: Vec<&str> = merged.source.missing.iter().copied().collect();
        (
            merged.sketch.map_or(0, |sketch| sketch.total()),
            merged.gaps,
            missing.join(","),
        )
    };
    assert_eq!(ask().await, (10, vec![], String::new()));
    way.break_all(Fault::Refuse);
    way.cut_all();
    let asked = Instant::now();
    let gone = (5, vec![(BEGIN, BEGIN + 5 * MINUTE)], "cassandra".to_owned());
    assert_eq!(ask().await, gone);
    assert_eq!(ask().await, gone);
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    let error = store.active("p").await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("127.0.0.1:{}/away", way.port())) && error.contains("check host and port"),
        "{error}"
    );
    assert!(writer.hold().await.is_err());
    way.mend();
    let back = Instant::now();
    while ask().await != (10, vec![], String::new()) {
        assert!(
            back.elapsed() < Duration::from_secs(60),
            "{:?}",
            store.active("p").await
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Neither does the writer have to be made anew.
    writer.write(&[row(1, "*", 10, 1)]).await.unwrap();
    assert_eq!(total(&store, "*", BEGIN, BEGIN + 11 * MINUTE).await, (11, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_needed_where_one_is_asked_for_and_missing_tables_say_what_to_do() {
    let node = node();
    let own = open(&node, "mine").await;
    own.create("1").await.unwrap();
    Writer::new(own, false).write(&[row(1, "*", 0, 1)]).await.unwrap();
    for login in ["", "cassandra:wrong@"] {
        let error = store(login, node.port(), "mine");
        let error = error.active("p").await.unwrap_err().to_string();
        assert!(
            error.contains("user and password") && !error.contains("wrong"),
            "{error}"
        );
    }
    let error = store(LOGIN, node.port(), "others")
        .active("p")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`hitters archive` creates keyspace and tables"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_and_certificates_are_checked_on_both_sides() {
    let node = node();
    let plain = open(&node, "encrypted").await;
    let file = |name: &str| node.file(name).display().to_string();
    let ca = format!("ca={}", file("authority.crt"));
    let own = format!("cert={}&key={}", file("client.crt"), file("client.key"));
    let ask = async |host: &str, options: &str| {
        let url = format!("cassandra://{LOGIN}{host}:{}/encrypted?{options}", node.port());
        let store = CassandraStore::new(Address::parse(&url).unwrap());
        let active = store.active("p").await;
        active.map(|active| (active, store))
    };
    // The node's certificate names localhost, and not the address by which the driver finds the node.
    let by_name = ask("localhost", &format!("tls=true&{ca}&{own}")).await.unwrap();
    let by_authority = ask("127.0.0.1", &format!("tls=ca&{ca}&{own}")).await.unwrap();
    assert_eq!((by_name.0, by_authority.0), (None, None));
    let clients = session(&node, "encrypted").await;
    let clients = clients
        .query_unpaged("SELECT ssl_enabled FROM system_views.clients", &())
        .await
        .unwrap();
    let clients = clients.into_rows_result().unwrap();
    let encrypted = clients.rows::<(bool,)>().unwrap().filter(|row| row.as_ref().unwrap().0);
    assert!(encrypted.count() >= 2, "two stores hold encrypted connections");
    drop((by_name, by_authority));

    let other = tempfile::tempdir().unwrap();
    hitters_tests::services::certificate(other.path());
    let other = format!("ca={}", other.path().join("tls.crt").display());
    for (host, options, says) in [
        (
            "127.0.0.1",
            format!("{ca}&{own}"),
            &["IP address mismatch", "tls=ca"][..],
        ),
        ("localhost", format!("tls=true&{own}"), &["local issuer", "ca=FILE"]),
        ("localhost", format!("tls=ca&{other}&{own}"), &["ca=FILE"]),
        ("localhost", ca.clone(), &["cert=FILE&key=FILE"]),
    ] {
        let error = ask(host, &options).await.map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Away { .. }), "{options}: {error:?}");
        let error = error.to_string();
        assert!(says.iter().all(|says| error.contains(says)), "{options}: {error}");
        assert!(!error.contains("cassandra:cassandra"), "{error}");
    }
    // It went on being asked without.
    assert_eq!(plain.active("p").await.unwrap(), None);
}
