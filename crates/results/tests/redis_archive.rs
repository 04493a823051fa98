//! Recent windows that an archive has written to a real Redis: what is known of them, what stands in for the others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hitters_results::{Answers, Filter, History, RedisStore, RedisWriter, Row, Scope, Store, StoreError};
use hitters_sketch::{ItemKind, Measure, TopK};
use hitters_tests::services::Redis;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: i64 = 60_000;
const BEGIN: i64 = 1_700_006_400_000 / MINUTE * MINUTE;
const KEPT: Duration = Duration::from_secs(10_000 * 86_400);

fn row(version: u64, group: &str, minute: i64, width: i64, count: u64) -> Row {
    let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 16).unwrap();
    sketch.update(b"a", count);
    Row {
        pipeline: "p".into(),
        version,
        set: if group == "*" { "*" } else { "g" }.into(),
        group: group.into(),
        start: BEGIN + minute * MINUTE,
        end: BEGIN + (minute + width) * MINUTE,
        answer: Some(sketch.answer(1).unwrap().into()),
        sketch: Some(sketch.to_bytes()),
    }
}

async fn writer(redis: &Redis, anew: bool) -> RedisWriter {
    let writer = RedisWriter::new(&redis.url(), KEPT, anew).unwrap();
    writer.resume("log").await.unwrap();
    writer
}

async fn settle(writer: &RedisWriter) {
    writer.freeze().await;
    writer.settle().await.unwrap();
}

/// Total and gaps of some minutes of a set.
async fn total(redis: &Redis, set: &str, from: i64, to: i64) -> Option<(u128, Vec<(i64, i64)>)> {
    let answers = Answers::new(vec![Arc::new(RedisStore::new(&redis.url()).unwrap())]);
    let edge = answers.edge("p").await.unwrap()?;
    let groups = edge.groups(set, &Filter::default());
    let groups: Vec<String> = groups.iter().map(|newest| newest.row.group.clone()).collect();
    let range = (BEGIN + from * MINUTE, BEGIN + to * MINUTE);
    let merged = answers.merge(&edge, set, &groups, &[range]).await.unwrap();
    let gaps = merged[0].gaps.iter();
    let gaps = gaps.map(|(from, to)| ((from - BEGIN) / MINUTE, (to - BEGIN) / MINUTE));
    Some((merged[0].sketch.as_ref().map_or(0, TopK::total), gaps.collect()))
}

#[tokio::test]
async fn what_was_seen_is_known_once_it_is_settled_also_by_the_next_run() {
    let redis = Redis::start();
    let first = writer(&redis, false).await;
    first
        .put(&[row(1, "g=a", 0, 1, 5), row(1, "g=a", 2, 1, 5)], None)
        .await
        .unwrap();
    // Other groups of these windows may lie in a partition that was not read yet.
    assert_eq!(total(&redis, "g", 0, 3).await, None);
    settle(&first).await;
    assert_eq!(total(&redis, "g", 0, 4).await, Some((10, vec![(3, 4)])));
    first.put(&[row(1, "g=a", 4, 1, 7)], None).await.unwrap();
    first.advance("log", &[(0, 9), (3, 4)].into()).await.unwrap();
    assert_eq!(total(&redis, "g", 0, 5).await, Some((10, vec![(3, 5)])));
    // It dies there; its successor need not read those rows again.
    let second = writer(&redis, false).await;
    assert_eq!(second.positions("log").await.unwrap(), [(0, 9), (3, 4)].into());
    settle(&second).await;
    assert_eq!(total(&redis, "g", 0, 5).await, Some((17, vec![])));
    let error = first.put(&[row(1, "g=a", 0, 1, 99)], None).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    assert!(matches!(first.settle().await, Err(StoreError::Fenced { .. })));
    assert!(matches!(
        first.advance("log", &[(0, 1)].into()).await,
        Err(StoreError::Fenced { .. })
    ));
    assert_eq!(total(&redis, "g", 0, 5).await, Some((17, vec![])));
}

#[tokio::test]
async fn behind_a_hole_nothing_is_known_and_windows_without_all_rows_never_are() {
    let redis = Redis::start();
    let first = writer(&redis, false).await;
    first
        .put(&[row(1, "*", 0, 1, 5), row(1, "*", 1, 1, 5)], None)
        .await
        .unwrap();
    settle(&first).await;
    let second = writer(&redis, true).await;
    let rows = [row(1, "*", 5, 1, 1), row(1, "*", 6, 1, 2)];
    second.put(&rows, Some(rows[0].end)).await.unwrap();
    settle(&second).await;
    assert_eq!(total(&redis, "*", 0, 7).await, Some((2, vec![(0, 6)])));
}

#[tokio::test]
async fn the_newest_row_is_that_of_the_shortest_windows_in_whatever_order_they_come() {
    let rows = [
        row(1, "*", 0, 1, 1),
        row(1, "*", 59, 1, 2),
        row(1, "*", 0, 60, 3),
        row(1, "*", 30, 1, 4),
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 1, 3, 0], [1, 0, 3, 2]] {
        let redis = Redis::start();
        let writer = writer(&redis, false).await;
        for place in order {
            writer.put(&rows[place..=place], None).await.unwrap();
        }
        settle(&writer).await;
        let scope = Scope {
            pipeline: "p".into(),
            version: 1,
        };
        let store = RedisStore::new(&redis.url()).unwrap();
        let mut newest = rows[1].clone();
        newest.sketch = None;
        assert_eq!(store.newest(&scope).await.unwrap(), [newest.clone()], "{order:?}");
        assert_eq!(store.newest_of(&scope, "*", "*").await.unwrap(), Some(newest));
        let widths: Vec<i64> = store
            .tiers(&scope)
            .await
            .unwrap()
            .iter()
            .map(|tier| tier.width)
            .collect();
        assert_eq!(widths, [MINUTE, 60 * MINUTE]);
    }
}

#[tokio::test]
async fn readers_look_at_a_new_version_once_it_has_caught_up() {
    let redis = Redis::start();
    let writer = writer(&redis, false).await;
    let store = RedisStore::new(&redis.url()).unwrap();
    writer
        .put(&[row(1, "*", 0, 1, 1), row(1, "*", 1, 1, 1)], None)
        .await
        .unwrap();
    settle(&writer).await;
    assert_eq!(store.active("p").await.unwrap(), Some(1));
    writer.put(&[row(2, "*", 0, 1, 2)], None).await.unwrap();
    settle(&writer).await;
    assert_eq!(store.active("p").await.unwrap(), Some(1));
    writer.put(&[row(2, "*", 1, 1, 2)], None).await.unwrap();
    settle(&writer).await;
    assert_eq!(store.active("p").await.unwrap(), Some(2));
    writer.put(&[row(1, "*", 2, 1, 1)], None).await.unwrap();
    settle(&writer).await;
    assert_eq!(store.active("p").await.unwrap(), Some(2));
}

#[tokio::test]
async fn rows_without_sketches_are_answered_as_they_are() {
    let redis = Redis::start();
    let writer = writer(&redis, false).await;
    let mut bare = row(1, "*", 0, 1, 5);
    bare.sketch = None;
    writer.put(std::slice::from_ref(&bare), None).await.unwrap();
    let store = RedisStore::new(&redis.url()).unwrap();
    let scope = bare.scope();
    assert_eq!(
        store.newest(&scope).await.unwrap(),
        [bare.clone()],
        "before it is settled"
    );
    settle(&writer).await;
    assert_eq!(store.newest(&scope).await.unwrap(), [bare]);
    let mut odd = row(1, "*", 1, 1, 5);
    odd.end -= 1;
    let error = writer.put(&[odd], None).await.unwrap_err().to_string();
    assert!(error.contains("keys there count whole seconds"), "{error}");
}

#[tokio::test]
async fn tls_is_spoken_and_certificates_are_checked_on_both_sides() {
    let redis = Redis::with_tls_of_both();
    let file = |name: &str| redis.file(name).display().to_string();
    let ca = format!("ca={}", file("tls.crt"));
    let own = format!("cert={}&key={}", file("client.crt"), file("client.key"));
    let url = |options: &str| format!("{}/0?{options}", redis.url());
    let both = url(&format!("{ca}&{own}"));
    let writer = RedisWriter::new(&both, KEPT, false).unwrap();
    writer.resume("log").await.unwrap();
    writer.put(&[row(1, "*", 0, 1, 5)], None).await.unwrap();
    settle(&writer).await;
    let store = RedisStore::new(&both).unwrap();
    let scope = Scope {
        pipeline: "p".into(),
        version: 1,
    };
    assert_eq!(store.newest(&scope).await.unwrap().len(), 1);

    let other = tempfile::tempdir().unwrap();
    hitters_tests::services::certificate(other.path());
    let other = format!("ca={}", other.path().join("tls.crt").display());
    for (options, says) in [
        (own.clone(), "ca=FILE"),
        (format!("{other}&{own}"), "ca=FILE"),
        (ca.clone(), "cert=FILE&key=FILE"),
    ] {
        let error = RedisStore::new(&url(&options)).unwrap().active("p").await.unwrap_err();
        assert!(matches!(error, StoreError::Away { .. }), "{options}: {error:?}");
        assert!(error.to_string().contains(says), "{options}: {error}");
    }
}
