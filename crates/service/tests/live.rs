//! Live updates: what listeners are told, how many may listen, and how they end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_results::{EmbeddedStore, Row};
use hitters_service::{Access, Engine, Exposition, KeyFile};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Live, MINUTE, NOON, Running, embedded, row, rows};

fn store() -> EmbeddedStore {
    let store = EmbeddedStore::in_memory().unwrap();
    store.write_now(&rows()).unwrap();
    store
}

#[test]
fn a_window_that_closes_is_told_to_listeners() {
    let store = store();
    let service = Running::start(vec![Arc::new(store.clone())], |_| {});
    let (status, mut live) = Live::open(&service, "/v1/pipelines/shop/live?k=1", &[]);
    assert_eq!(status, "HTTP/1.1 200 OK");
    let (name, id, first) = live.next().unwrap();
    assert_eq!((name.as_str(), id), ("top", Some(NOON + 3 * MINUTE)));
    assert_eq!(first["items"][0]["item"], "b");
    store.write_now(&[row(3, &[("new", 5)])]).unwrap();
    let (_, id, second) = live.next().unwrap();
    assert_eq!(
        (id, &second["items"][0]["item"]),
        (Some(NOON + 4 * MINUTE), &"new".into())
    );
}

#[test]
fn who_comes_back_is_not_told_again_what_it_knows() {
    let store = store();
    let service = Running::start(vec![Arc::new(store.clone())], |_| {});
    let known = (NOON + 3 * MINUTE).to_string();
    let (_, mut live) = Live::open(&service, "/v1/pipelines/shop/live?k=1", &[("Last-Event-ID", &known)]);
    std::thread::sleep(Duration::from_millis(1200));
    store.write_now(&[row(3, &[("new", 5)])]).unwrap();
    let (_, id, event) = live.next().unwrap();
    assert_eq!(
        (id, &event["items"][0]["item"]),
        (Some(NOON + 4 * MINUTE), &"new".into())
    );
    let (_, mut behind) = Live::open(&service, "/v1/pipelines/shop/live?k=1", &[("Last-Event-ID", &known)]);
    assert_eq!(behind.next().unwrap().1, Some(NOON + 4 * MINUTE));
    let (_, mut odd) = Live::open(
        &service,
        "/v1/pipelines/shop/live?k=1",
        &[("Last-Event-ID", "no number")],
    );
    assert_eq!(odd.next().unwrap().1, Some(NOON + 4 * MINUTE));
}

#[test]
fn seats_are_counted_by_key_and_in_all_and_are_free_again_when_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let file = KeyFile::new(&path);
    let key = |name: &str| {
        let access = Access {
            name: name.into(),
            ..Access::all()
        };
        format!("Bearer {}", file.add(access, None).unwrap())
    };
    let (first, second) = (key("first"), key("second"));
    let service = Running::start(vec![embedded()], |options| {
        options.keys = Some(path.clone());
        options.listeners = 3;
        options.listeners_per_key = 2;
    });
    let open = |key: &str| Live::open(&service, "/v1/pipelines/shop/live?k=1", &[("Authorization", key)]);
    let status = |key: &str| open(key).0;
    let held = [&first, &first].map(|key| open(key));
    assert!(held.iter().all(|(status, _)| status == "HTTP/1.1 200 OK"));
    assert_eq!(status(&first), "HTTP/1.1 429 Too Many Requests");
    let third = open(&second);
    assert_eq!(third.0, "HTTP/1.1 200 OK");
    assert_eq!(status(&second), "HTTP/1.1 503 Service Unavailable");
    drop((held, third));
    let until = Instant::now() + Duration::from_secs(20);
    while status(&first) != "HTTP/1.1 200 OK" {
        assert!(Instant::now() < until, "seats that were left stay taken");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_listener_that_reads_nothing_loses_its_seat() {
    let (store, engine) = (store(), Arc::new(Counting::default()));
    let given = engine.clone();
    let service = Running::start(vec![Arc::new(store.clone())], move |options| {
        (options.listeners, options.unread) = (1, Duration::from_secs(1));
        options.engine = Some(given);
    });
    // Events of two megabytes: more than the buffers on the way take.
    let long = |number: usize| format!("{number:04}{}", "x".repeat(20_000));
    let items: Vec<String> = (0..100).map(long).collect();
    let seat = Live::open(&service, "/v1/pipelines/shop/live?k=100&open=true", &[]);
    assert_eq!(seat.0, "HTTP/1.1 200 OK");
    let full = || Live::open(&service, "/v1/pipelines/shop/live?k=1", &[]).0;
    assert_eq!(full(), "HTTP/1.1 503 Service Unavailable");
    let until = Instant::now() + Duration::from_secs(30);
    let mut count = 1;
    while full() != "HTTP/1.1 200 OK" {
        assert!(Instant::now() < until, "the seat stays taken");
        let counted: Vec<(&str, u64)> = items.iter().map(|item| (item.as_str(), count)).collect();
        *engine.rows.lock().unwrap() = Some(vec![row(3, &counted)]);
        count += 1;
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("its seat was free after {} changes", count - 1);
    drop(seat);
}

#[test]
fn a_stream_ends_after_its_time_and_its_client_goes_on_where_it_was() {
    let store = store();
    let service = Running::start(vec![Arc::new(store.clone())], |options| {
        options.stream = Duration::from_millis(1500)
    });
    let begun = Instant::now();
    let (_, mut live) = Live::open(&service, "/v1/pipelines/shop/live?k=1", &[]);
    let (_, id, _) = live.next().unwrap();
    assert!(live.next().is_none());
    assert!(begun.elapsed() >= Duration::from_millis(1500) && begun.elapsed() < Duration::from_secs(6));
    store.write_now(&[row(3, &[("new", 5)])]).unwrap();
    let known = id.unwrap().to_string();
    let (_, mut live) = Live::open(&service, "/v1/pipelines/shop/live?k=1", &[("Last-Event-ID", &known)]);
    assert_eq!(live.next().unwrap().1, Some(NOON + 4 * MINUTE));
}

#[test]
fn a_key_that_is_revoked_and_a_service_that_ends_end_streams() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let file = KeyFile::new(&path);
    let names = ["kept", "revoked"];
    let keys = names.map(|name| {
        let access = Access {
            name: name.into(),
            ..Access::all()
        };
        format!("Bearer {}", file.add(access, None).unwrap())
    });
    let mut service = Running::start(vec![embedded()], |options| options.keys = Some(path.clone()));
    let [mut kept, mut revoked] = keys.map(|key| {
        let (_, mut live) = Live::open(&service, "/v1/pipelines/shop/live?k=1", &[("Authorization", &key)]);
        assert!(live.next().is_some());
        live
    });
    file.revoke("revoked").unwrap();
    assert!(revoked.next().is_none());
    let begun = Instant::now();
    service.end();
    assert!(kept.next().is_none());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    while !service.has_ended() {
        assert!(begun.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Rows that are counted while a test looks.
#[derive(Debug, Default)]
struct Counting {
    rows: Mutex<Option<Vec<Row>>>,
    looks: Mutex<u32>,
}

impl Engine for Counting {
    fn runs(&self, pipeline: &str) -> bool {
        pipeline == "shop"
    }

    fn open(&self) -> Option<Vec<Row>> {
        *self.looks.lock().unwrap() += 1;
        self.rows.lock().unwrap().clone()
    }

    fn measure(&self, text: &mut Exposition) {
        text.one(
            "hitters_run_events_total",
            hitters_service::Kind::Counter,
            "Events.",
            &[],
            7,
        );
    }
}

#[test]
fn the_open_window_is_answered_as_what_it_is() {
    let engine = Arc::new(Counting::default());
    let given = engine.clone();
    let service = Running::start(vec![embedded()], move |options| options.engine = Some(given));
    let path = "/v1/pipelines/shop/top?k=1&open=true";
    let (code, _, body) = service.get(path, &[]);
    assert!(code == 404 && body.contains("no-open-window"), "{code} {body}");
    let mut europe = row(3, &[("a", 4), ("z", 1)]);
    (europe.set, europe.group) = ("r".into(), "r=eu".into());
    *engine.rows.lock().unwrap() = Some(vec![row(3, &[("a", 4), ("z", 6)]), europe]);
    std::thread::sleep(Duration::from_millis(1100));
    let top = service.json(path);
    assert_eq!((&top["items"][0]["item"], &top["total"]), (&"z".into(), &10.into()));
    assert_eq!(
        (&top["range"]["open"], &top["range"]["complete"]),
        (&true.into(), &false.into())
    );
    assert_eq!(top["range"]["to"], "2026-01-31T12:04:00Z");
    assert_eq!(top["freshness"]["complete_up_to"], "2026-01-31T12:03:00Z");
    let europe = service.json("/v1/pipelines/shop/estimate?item=z&item=q&where=r=eu&open=true");
    assert_eq!(
        (&europe["estimates"][0]["upper"], &europe["estimates"][1]["upper"]),
        (&1.into(), &0.into())
    );
    let nowhere = service.json("/v1/pipelines/shop/top?where=r=mars&open=true");
    assert_eq!(
        (&nowhere["total"], &nowhere["range"]["open"]),
        (&0.into(), &true.into())
    );
    let closed = service.json("/v1/pipelines/shop/top?k=1");
    assert_eq!(
        (&closed["range"]["open"], &closed["items"][0]["item"]),
        (&false.into(), &"b".into())
    );
    assert_eq!(service.json("/v1/pipelines/shop")["open"], true);
    for (path, status) in [
        ("/v1/pipelines/shop/series?open=true", 400),
        ("/v1/pipelines/shop/top?open=true&last=1h", 400),
        ("/v1/pipelines/shop/top?open=true&set=x", 404),
        ("/v1/pipelines/cdn/top?open=true", 404),
    ] {
        assert_eq!(service.get(path, &[]).0, status, "{path}");
    }
    // However many ask, the engine is looked at once a second.
    let before = *engine.looks.lock().unwrap();
    let begun = Instant::now();
    (0..50).for_each(|_| drop(service.json(path)));
    let looks = *engine.looks.lock().unwrap() - before;
    assert!(
        u64::from(looks) <= begun.elapsed().as_secs() + 1,
        "{looks} in {:?}",
        begun.elapsed()
    );
    let (_, _, text) = service.get("/metrics", &[]);
    assert!(text.contains("\nhitters_run_events_total 7\n"), "{text}");
}

#[test]
fn listeners_are_told_of_the_open_window_as_it_grows_and_then_of_the_closed_one() {
    let (store, engine) = (store(), Arc::new(Counting::default()));
    let given = engine.clone();
    let service = Running::start(vec![Arc::new(store.clone())], move |options| {
        options.engine = Some(given)
    });
    let (_, mut live) = Live::open(&service, "/v1/pipelines/shop/live?k=1&open=true", &[]);
    assert_eq!(live.next().unwrap().0, "top");
    let count = |count: u64| *engine.rows.lock().unwrap() = Some(vec![row(3, &[("n", count)])]);
    count(1);
    let (name, id, event) = live.next().unwrap();
    assert_eq!((name.as_str(), id, &event["total"]), ("open", None, &1.into()));
    count(5);
    assert_eq!(live.next().unwrap().2["total"], 5);
    *engine.rows.lock().unwrap() = None;
    store.write_now(&[row(3, &[("n", 6)])]).unwrap();
    let (name, id, event) = live.next().unwrap();
    assert_eq!(
        (name.as_str(), id, &event["total"]),
        ("top", Some(NOON + 4 * MINUTE), &6.into())
    );
    // Nobody listens: nobody is asked.
    drop(live);
    std::thread::sleep(Duration::from_secs(3));
    let looks = *engine.looks.lock().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(*engine.looks.lock().unwrap(), looks);
}

#[test]
fn before_the_first_window_has_closed_there_is_the_open_one() {
    let engine = Arc::new(Counting::default());
    *engine.rows.lock().unwrap() = Some(vec![row(3, &[("n", 2)])]);
    let given = engine.clone();
    let empty = EmbeddedStore::in_memory().unwrap();
    let service = Running::start(vec![Arc::new(empty)], move |options| options.engine = Some(given));
    assert_eq!(service.get("/v1/pipelines/shop/top", &[]).0, 404);
    assert_eq!(service.json("/v1/pipelines/shop/top?open=true&k=1")["total"], 2);
    let (status, mut live) = Live::open(&service, "/v1/pipelines/shop/live?k=1&open=true", &[]);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(live.next().unwrap().0, "open");
}
