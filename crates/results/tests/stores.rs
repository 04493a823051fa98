//! The stores give equal answers, and these hold the exact counts.
#![cfg(feature = "cassandra")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use base64::Engine;
use hitters_results::cassandra::{Address, Writer};
use hitters_results::{
    Answers, Archive, CassandraStore, Edge, EmbeddedStore, Filter, History, Merged, RedisStore, RedisWriter, RollUp,
    Row, Store, cover,
};
use hitters_sketch::{ItemKind, Measure, TopK};
use hitters_tests::services::{Cassandra, Redis};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: i64 = 60_000;
const BEGIN: i64 = 1_700_006_400_000 / 86_400_000 * 86_400_000 + 23 * 3_600_000;
const MINUTES: i64 = 150;

/// What was counted: by minute, group and item.
type Truth = BTreeMap<(i64, String), BTreeMap<String, u64>>;

/// Windows of two sets; in some of them a group has nothing, in some nobody has. Sketches are small, so that most evict.
fn stream(random: &mut StdRng) -> (Vec<Row>, Truth) {
    let (mut rows, mut truth) = (Vec::new(), Truth::new());
    for minute in 0..MINUTES {
        let start = BEGIN + minute * MINUTE;
        if minute % 17 == 5 {
            continue;
        }
        let mut all = TopK::new(ItemKind::Text, Measure::Count, 16).unwrap();
        for group in ["r=eu|c=a", "r=eu|c=%00", "r=us|c=a"] {
            if random.random_bool(0.2) {
                continue;
            }
            let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 16).unwrap();
            for _ in 0..random.random_range(1..400) {
                let item = format!("i{}", (random.random::<f64>().powi(3) * 200.0) as u64);
                sketch.update(item.as_bytes(), 1);
                all.update(item.as_bytes(), 1);
                for group in [group, "*"] {
                    let counts = truth.entry((start, group.to_owned())).or_default();
                    *counts.entry(item.clone()).or_default() += 1;
                }
            }
            rows.push(row(start, "r,c", group, &sketch));
        }
        if all.total() > 0 {
            rows.push(row(start, "*", "*", &all));
        }
    }
    (rows, truth)
}

fn row(start: i64, set: &str, group: &str, sketch: &TopK) -> Row {
    Row {
        pipeline: "p".into(),
        version: 3,
        set: set.into(),
        group: group.into(),
        start,
        end: start + MINUTE,
        answer: Some(sketch.answer(5).unwrap().into()),
        sketch: Some(sketch.to_bytes()),
    }
}

/// Writes rows as the Redis sinks do: `quoted` as on Arroyo.
fn to_redis(url: &str, rows: &[Row], quoted: bool) {
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    for row in rows {
        let mut latest: serde_json::Value = serde_json::from_str(&row.to_json()).unwrap();
        if quoted {
            latest["answer"] = latest["answer"].to_string().into();
        }
        let base = format!("hh:{}:v{}", row.pipeline, row.version);
        let field = format!("{}:{}", row.set, row.group);
        redis::cmd("HSET")
            .arg(format!("{base}:latest"))
            .arg(&field)
            .arg(latest.to_string())
            .exec(&mut connection)
            .unwrap();
        latest["sketch"] = base64::prelude::BASE64_STANDARD
            .encode(row.sketch.as_ref().unwrap())
            .into();
        let key = format!("{base}:w:60:{}:{field}", row.start / 1000);
        redis::cmd("SETEX")
            .arg(key)
            .arg(3600)
            .arg(latest.to_string())
            .exec(&mut connection)
            .unwrap();
    }
    redis::cmd("SET")
        .arg("hh:p:active")
        .arg(3)
        .exec(&mut connection)
        .unwrap();
}

async fn edge(answers: &Answers) -> Edge {
    answers.edge("p").await.unwrap().unwrap()
}

/// Some question: a set, a filter, parts of a range.
fn question(random: &mut StdRng) -> (&'static str, Filter, Vec<(i64, i64)>) {
    let named = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    let (set, filter) = match random.random_range(0..5) {
        0 => ("*", vec![]),
        1 => ("r,c", vec![]),
        2 => ("r,c", vec![named("r", Some("eu"))]),
        3 => ("r,c", vec![named("c", None)]),
        _ => ("r,c", vec![named("r", Some("us")), named("c", Some("a"))]),
    };
    let from = BEGIN + random.random_range(-10 * MINUTE..MINUTES * MINUTE);
    let to = from + random.random_range(1..90 * MINUTE);
    let middle = random.random_range(from..to);
    let parts = if middle > from {
        vec![(from, middle), (middle, to)]
    } else {
        vec![(from, to)]
    };
    (set, Filter(filter.into_iter().collect()), parts)
}

async fn ask(
    answers: &Answers,
    edge: &Edge,
    set: &str,
    filter: &Filter,
    parts: &[(i64, i64)],
) -> (Vec<(i64, i64)>, Vec<Merged>) {
    let groups: Vec<String> = edge
        .groups(set, filter)
        .iter()
        .map(|newest| newest.row.group.clone())
        .collect();
    let tiers = edge.tiers_of(set);
    let mut at = i64::MIN;
    let mut whole = Vec::new();
    for (from, to) in parts {
        let (from, to) = cover::widen(&tiers, *from, *to);
        whole.push((from.max(at), to));
        at = to;
    }
    whole.retain(|(from, to)| from < to);
    let merged = answers.merge(edge, set, &groups, &whole).await.unwrap();
    (whole, merged)
}

fn described(merged: &[Merged]) -> Vec<(Option<Vec<u8>>, Vec<(i64, i64)>)> {
    merged
        .iter()
        .map(|merged| (merged.sketch.as_ref().map(TopK::to_bytes), merged.gaps.clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_give_equal_answers_that_hold_the_exact_counts() {
    let seed = std::env::var("HITTERS_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("HITTERS_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (rows, truth) = stream(&mut random);
    let (nested, quoted) = (Redis::start(), Redis::start());
    to_redis(&nested.url(), &rows, false);
    to_redis(&quoted.url(), &rows, true);
    let folder = tempfile::tempdir().unwrap();
    let embedded = EmbeddedStore::open(&folder.path().join("answers.redb")).unwrap();
    let node = Cassandra::shared();
    let cassandra = CassandraStore::new(Address::parse(&node.url("answers")).unwrap());
    cassandra.create("1").await.unwrap();
    let history = Writer::new(cassandra.clone(), false);
    // Twice and in pieces: rows replace themselves.
    for chunk in rows.chunks(7).chain(rows.chunks(50)) {
        embedded.write(chunk).await.unwrap();
        history.write(chunk).await.unwrap();
    }
    // As an archive does, in no order of time: from several partitions of a topic, some of it twice.
    let recent = Redis::start();
    let archive = RedisWriter::new(&recent.url(), Duration::from_secs(10_000 * 86_400), false).unwrap();
    archive.resume("p.results").await.unwrap();
    let mut shuffled = rows.clone();
    shuffled.shuffle(&mut random);
    for chunk in shuffled.chunks(40).chain(shuffled.chunks(90)) {
        archive.put(chunk, None).await.unwrap();
    }
    archive.freeze().await;
    assert!(archive.settle().await.unwrap());
    let one = |store: Arc<dyn Store>| Answers::new(vec![store]);
    let stores = [
        one(Arc::new(embedded.clone())),
        one(Arc::new(RedisStore::new(&nested.url()).unwrap())),
        one(Arc::new(RedisStore::new(&quoted.url()).unwrap())),
        one(Arc::new(RedisStore::new(&recent.url()).unwrap())),
        one(Arc::new(cassandra)),
    ];
    let mut edges = Vec::new();
    for store in &stores {
        edges.push(edge(store).await);
    }
    let mut unknown = 0;
    for number in 0..1000 {
        let (set, filter, parts) = question(&mut random);
        let (whole, merged) = ask(&stores[0], &edges[0], set, &filter, &parts).await;
        for (store, edge) in stores.iter().zip(&edges).skip(1) {
            let (other, same) = ask(store, edge, set, &filter, &parts).await;
            assert_eq!(
                (&other, described(&same)),
                (&whole, described(&merged)),
                "question {number}: {set} {filter:?} {parts:?}"
            );
        }
        for ((from, to), merged) in whole.iter().zip(&merged) {
            if !merged.gaps.is_empty() {
                unknown += 1;
            }
            let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
            let known = |at: i64| !merged.gaps.iter().any(|(from, to)| (*from..*to).contains(&at));
            for ((start, group), items) in &truth {
                let of_set = (set == "*") == (group == "*");
                if of_set && (*from..*to).contains(start) && known(*start) && filter.takes(group) {
                    items
                        .iter()
                        .for_each(|(item, count)| *counts.entry(item).or_default() += count);
                }
            }
            let total: u64 = counts.values().sum();
            assert_eq!(
                merged.sketch.as_ref().map_or(0, TopK::total),
                u128::from(total),
                "question {number}"
            );
            for item in (0..200).map(|item| format!("i{item}")) {
                let count = counts.get(item.as_str()).copied().unwrap_or(0);
                let bounds = merged
                    .sketch
                    .as_ref()
                    .map(|sketch| sketch.estimate(item.as_bytes()))
                    .unwrap_or_default();
                assert!(
                    bounds.lower <= count && count <= bounds.upper,
                    "question {number}: {item} {count} {bounds:?}"
                );
            }
        }
    }
    assert!(unknown > 10, "questions beyond what is kept: {unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolled_up_hours_answer_as_their_minutes_do() {
    let mut random = StdRng::seed_from_u64(7);
    let (rows, truth) = stream(&mut random);
    let store = EmbeddedStore::in_memory().unwrap();
    let mut roll_up = RollUp::default();
    for chunk in rows.chunks(20) {
        store.write(chunk).await.unwrap();
        roll_up.wrote(chunk);
        roll_up.run(&store).await.unwrap();
    }
    // The same hours again: nothing changes.
    let before = store
        .tiers(&edge(&Answers::new(vec![Arc::new(store.clone())])).await.scope)
        .await
        .unwrap();
    roll_up.wrote(&rows);
    roll_up.run(&store).await.unwrap();
    let answers = Answers::new(vec![Arc::new(store.clone())]);
    let edge = edge(&answers).await;
    assert_eq!(store.tiers(&edge.scope).await.unwrap(), before);
    let hours = before.iter().filter(|tier| tier.width == 60 * MINUTE).count();
    assert_eq!(hours, 2, "{before:?}");
    let (from, to) = (BEGIN, BEGIN + 121 * MINUTE);
    let (_, merged) = ask(&answers, &edge, "*", &Filter::default(), &[(from, to)]).await;
    let total: u64 = truth
        .iter()
        .filter(|((start, group), _)| group == "*" && (from..to).contains(start))
        .flat_map(|(_, items)| items.values())
        .sum();
    assert_eq!(merged[0].sketch.as_ref().unwrap().total(), u128::from(total));
    assert_eq!(merged[0].source.panes, 3, "two hours and a minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_expired_are_unknown_and_never_empty() {
    let mut random = StdRng::seed_from_u64(11);
    let (rows, _) = stream(&mut random);
    let redis = Redis::start();
    to_redis(&redis.url(), &rows, false);
    let answers = Answers::new(vec![Arc::new(RedisStore::new(&redis.url()).unwrap())]);
    let first = edge(&answers).await;
    let (from, to) = (BEGIN, BEGIN + 30 * MINUTE);
    let known = |merged: &[Merged]| merged[0].gaps.clone();
    let (_, merged) = ask(&answers, &first, "*", &Filter::default(), &[(from, to)]).await;
    assert_eq!(known(&merged), []);
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    for row in rows.iter().filter(|row| row.start < BEGIN + 10 * MINUTE) {
        let key = format!("hh:p:v3:w:60:{}:{}:{}", row.start / 1000, row.set, row.group);
        redis::cmd("DEL").arg(key).exec(&mut connection).unwrap();
    }
    let later = edge(&answers).await;
    let (_, merged) = ask(&answers, &later, "*", &Filter::default(), &[(from, to)]).await;
    assert_eq!(known(&merged), [(from, BEGIN + 10 * MINUTE)]);
}
