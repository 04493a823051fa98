//! The service over HTTP, with a real Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hitters_results::{EmbeddedStore, RedisStore, Row, Store};
use hitters_service::{Access, KeyFile, Options, Service, ServiceError};
use hitters_sketch::{ItemKind, Measure, TopK};
use hitters_tests::services::Redis;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MINUTE: i64 = 60_000;
/// 2026-01-31T12:00:00Z.
const NOON: i64 = 1_769_860_800_000;

/// A service that runs.
struct Running {
    _runtime: tokio::runtime::Runtime,
    url: String,
}

impl Running {
    fn start(stores: Vec<Arc<dyn Store>>, change: impl FnOnce(&mut Options)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut options = Options::new("127.0.0.1:0".parse().unwrap(), stores);
        change(&mut options);
        let service = runtime.block_on(Service::bind(options)).unwrap();
        let url = service.url();
        runtime.spawn(service.run(std::future::pending()));
        Self { _runtime: runtime, url }
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, ureq::http::HeaderMap, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = agent.get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.call().unwrap();
        let body = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), response.headers().clone(), body)
    }

    fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.get(path, &[]);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// Three minutes: in `r=eu` a leads b, then b overtakes; the second minute is empty.
fn rows() -> Vec<Row> {
    let counts: [(i64, &str, &[(&str, u64)]); 5] = [
        (0, "r=eu", &[("a", 10), ("b", 2)]),
        (0, "r=us", &[("c", 4)]),
        (2, "r=eu", &[("a", 3), ("b", 9)]),
        (0, "*", &[("a", 10), ("b", 2), ("c", 4)]),
        (2, "*", &[("a", 3), ("b", 9)]),
    ];
    let row = |(minute, group, items): (i64, &str, &[(&str, u64)])| {
        let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 100).unwrap();
        items
            .iter()
            .for_each(|(item, count)| sketch.update(item.as_bytes(), *count));
        Row {
            pipeline: "shop".into(),
            version: 1,
            set: if group == "*" { "*".into() } else { "r".into() },
            group: group.into(),
            start: NOON + minute * MINUTE,
            end: NOON + (minute + 1) * MINUTE,
            answer: Some(sketch.answer(5).unwrap().into()),
            sketch: Some(sketch.to_bytes()),
        }
    };
    counts.into_iter().map(row).collect()
}

fn embedded() -> Arc<dyn Store> {
    let store = EmbeddedStore::in_memory().unwrap();
    store.write_now(&rows()).unwrap();
    Arc::new(store)
}

fn to_redis(redis: &Redis, rows: &[Row]) {
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    for row in rows {
        let field = format!("{}:{}", row.set, row.group);
        redis::cmd("HSET")
            .arg("hh:shop:v1:latest")
            .arg(&field)
            .arg(row.to_json())
            .exec(&mut connection)
            .unwrap();
        let mut value: Value = serde_json::from_str(&row.to_json()).unwrap();
        value["sketch"] =
            base64::Engine::encode(&base64::prelude::BASE64_STANDARD, row.sketch.as_ref().unwrap()).into();
        let key = format!("hh:shop:v1:w:60:{}:{field}", row.start / 1000);
        redis::cmd("SETEX")
            .arg(key)
            .arg(3600)
            .arg(value.to_string())
            .exec(&mut connection)
            .unwrap();
    }
}

#[test]
fn questions_are_answered_as_the_contract_says() {
    let service = Running::start(vec![embedded()], |_| {});
    let top = service.json("/v1/pipelines/shop/top?k=2");
    assert_eq!(
        (&top["items"][0]["item"], &top["items"][0]["estimate"]),
        (&"b".into(), &9.into())
    );
    assert_eq!(
        (&top["exact"], &top["total"], &top["set"]),
        (&true.into(), &12.into(), &"*".into())
    );
    assert_eq!(top["freshness"]["complete_up_to"], "2026-01-31T12:03:00Z");

    let hour = service.json("/v1/pipelines/shop/top?k=1&last=3m&where=r=eu&tz=America/New_York");
    assert_eq!(hour["range"]["from"], "2026-01-31T07:00:00-05:00");
    assert_eq!(
        (
            &hour["items"][0]["item"],
            &hour["items"][0]["estimate"],
            &hour["other"]["estimate"]
        ),
        (&"a".into(), &13.into(), &11.into())
    );
    assert_eq!(
        (&hour["source"]["panes"], &hour["range"]["complete"]),
        (&2.into(), &true.into())
    );
    let rolled = service.json("/v1/pipelines/shop/top?set=r&last=3m");
    assert_eq!((&rolled["total"], &rolled["source"]["groups"]), (&28.into(), &2.into()));

    let series = service
        .json("/v1/pipelines/shop/series?k=2&from=2026-01-31T11:59:00Z&to=2026-01-31T12:03:00Z&step=1m&where=r=eu");
    assert_eq!(series["series"][0]["estimate"], serde_json::json!([null, 10, 0, 3]));
    assert_eq!(series["series"][1]["upper"], serde_json::json!([null, 2, 0, 9]));
    assert_eq!(series["other"]["estimate"], serde_json::json!([null, 0, 0, 0]));
    assert_eq!(series["range"]["gaps"][0]["to"], "2026-01-31T12:00:00Z");

    let estimate = service.json("/v1/pipelines/shop/estimate?item=zz&item=c&last=3m");
    assert_eq!(
        (&estimate["estimates"][0]["upper"], &estimate["estimates"][1]["lower"]),
        (&0.into(), &4.into())
    );
    let heavy = service.json("/v1/pipelines/shop/heavy-hitters?phi=0.5&last=3m");
    assert_eq!(
        (heavy["items"].as_array().unwrap().len(), &heavy["complete"]),
        (0, &true.into())
    );
    let compare = service.json("/v1/pipelines/shop/compare?from=1769860920000&against=2026-01-31T12:00:00Z&where=r=eu");
    assert_eq!(
        (
            &compare["items"][0]["item"],
            &compare["items"][0]["status"],
            &compare["items"][0]["change"]["estimate"]
        ),
        (&"a".into(), &"faller".into(), &(-7).into())
    );
    let trends = service.json("/v1/pipelines/shop/trends?last=3m&step=1m&where=r=eu");
    assert_eq!(
        (
            &trends["items"][1]["item"],
            &trends["items"][1]["direction"],
            &trends["items"][1]["slope"]
        ),
        (&"b".into(), &"up".into(), &3.5.into())
    );

    let page = service.json("/v1/pipelines/shop/groups?limit=1");
    assert_eq!(
        (&page["groups"][0]["group"]["r"], &page["groups"][0]["stale"]),
        (&"eu".into(), &false.into())
    );
    let next = service.json(&format!(
        "/v1/pipelines/shop/groups?limit=1&cursor={}",
        page["next"].as_str().unwrap().replace('=', "%3D")
    ));
    assert_eq!(
        (
            &next["groups"][0]["group"]["r"],
            &next["groups"][0]["stale"],
            &next["next"]
        ),
        (&"us".into(), &true.into(), &Value::Null)
    );
    assert_eq!(
        service.json("/v1/pipelines")["pipelines"][0]["sets"][1]["dimensions"],
        serde_json::json!(["r"])
    );

    let (_, headers, csv) = service.get("/v1/pipelines/shop/top", &[("Accept", "text/csv")]);
    assert_eq!(
        (headers["content-type"].to_str().unwrap(), csv.lines().count()),
        ("text/csv; charset=utf-8", 3)
    );
}

#[test]
fn what_is_wrong_is_a_problem_that_says_what_is_allowed() {
    let service = Running::start(vec![embedded()], |_| {});
    for (path, status, kind) in [
        ("/v1/pipelines/none/top", 404, "no-pipeline"),
        ("/v1/pipelines/shop/top?set=x", 404, "no-set"),
        ("/v1/pipelines/shop/top?where=x=1", 404, "no-set"),
        ("/v1/pipelines/shop/top?k=0", 400, "bad-parameter"),
        ("/v1/pipelines/shop/top?k=500&last=3m", 422, "k-too-large"),
        ("/v1/pipelines/shop/top?kk=1", 400, "unknown-parameter"),
        ("/v1/pipelines/shop/series?step=7s", 400, "bad-parameter"),
        ("/v1/pipelines/shop/estimate", 400, "bad-parameter"),
        ("/v1/nothing", 404, "no-path"),
    ] {
        let (code, headers, body) = service.get(path, &[]);
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (code, &problem["type"]),
            (status, &format!("/problems/{kind}").into()),
            "{path}: {body}"
        );
        assert_eq!(headers["content-type"], "application/problem+json");
        assert!(
            !problem["allowed"].is_null() && problem["detail"].as_str().is_some_and(|detail| detail.len() > 10),
            "{body}"
        );
    }
    assert_eq!(service.get("/v1/pipelines/shop/top", &[("Accept", "image/png")]).0, 406);
    let long = format!("/v1/pipelines/shop/top?where={}", "x".repeat(20_000));
    assert_eq!(service.get(&long, &[]).0, 414);
}

#[test]
fn nobody_gets_data_without_a_key_that_is_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let file = KeyFile::new(&path);
    let access = |pipeline: &str, region: Option<&str>| Access {
        name: format!("{pipeline} {region:?}"),
        pipelines: vec![pipeline.into()],
        groups: region
            .map(|region| ("r".to_owned(), vec![region.to_owned()]))
            .into_iter()
            .collect(),
        limit_per_second: None,
    };
    let good = file.add(access("shop", None), None).unwrap();
    let europe = file.add(access("shop", Some("eu")), None).unwrap();
    let foreign = file.add(access("cdn", None), None).unwrap();
    let expired = file.add(access("shop", None), Some(1)).unwrap();
    let other = KeyFile::new(folder.path().join("other.json"))
        .add(access("shop", None), None)
        .unwrap();
    let service = Running::start(vec![embedded()], |options| options.keys = Some(path));
    let bearer = |key: &str| format!("Bearer {key}");
    let eu = "/v1/pipelines/shop/top?where=r=eu";
    let everything = [
        "top",
        "estimate?item=a",
        "heavy-hitters",
        "series",
        "groups",
        "compare",
        "trends",
        "live",
    ];
    let attempts: Vec<(Option<String>, u16, &str)> = vec![
        (None, 401, eu),
        (Some(String::new()), 401, eu),
        (Some(good.clone()), 401, eu),
        (Some(format!("Basic {good}")), 401, eu),
        (Some(bearer("")), 401, eu),
        (Some(bearer(&good[..good.len() - 1])), 401, eu),
        (Some(bearer(&good[3..])), 401, eu),
        (Some(bearer(&expired)), 401, eu),
        (Some(bearer(&other)), 401, eu),
        (Some(bearer("eyJhbGciOiJub25lIn0.e30.")), 401, eu),
        (Some(bearer(&foreign)), 403, eu),
        (Some(bearer(&foreign)), 403, "/v1/pipelines/shop"),
        (Some(bearer(&foreign)), 403, "/v1/pipelines/none/top"),
        (Some(bearer(&europe)), 403, "/v1/pipelines/shop/top"),
        (Some(bearer(&europe)), 403, "/v1/pipelines/shop/top?where=r=us"),
        (Some(bearer(&europe)), 403, "/v1/pipelines/shop/top?where=r"),
        (Some(bearer(&europe)), 403, "/v1/pipelines/shop/top?set=*"),
        (Some(bearer(&europe)), 403, "/v1/pipelines/shop/groups"),
    ];
    for (header, status, path) in attempts {
        let headers: Vec<(&str, &str)> = header.iter().map(|header| ("Authorization", header.as_str())).collect();
        let (code, _, body) = service.get(path, &headers);
        assert_eq!(code, status, "{header:?} {path}: {body}");
        assert!(!body.contains("items") && !body.contains("total"), "{body}");
    }
    for what in everything {
        assert_eq!(service.get(&format!("/v1/pipelines/shop/{what}"), &[]).0, 401, "{what}");
    }
    assert_eq!(service.get(eu, &[("Authorization", &bearer(&europe))]).0, 200);
    assert_eq!(
        service
            .get("/v1/pipelines/shop/top", &[("Authorization", &bearer(&good))])
            .0,
        200
    );
    let (_, _, list) = service.get("/v1/pipelines", &[("Authorization", &bearer(&foreign))]);
    assert!(!list.contains("shop"), "{list}");
    assert_eq!(service.get("/v1/health", &[]).0, 200);
}

#[test]
fn without_keys_it_listens_on_the_loopback_only() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let options = Options::new("0.0.0.0:0".parse().unwrap(), vec![embedded()]);
    assert!(matches!(
        runtime.block_on(Service::bind(options)),
        Err(ServiceError::Open(_))
    ));
}

#[test]
fn a_key_may_ask_as_often_as_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let mut access = Access::all();
    access.limit_per_second = Some(1);
    let key = format!("Bearer {}", KeyFile::new(&path).add(access, None).unwrap());
    let service = Running::start(vec![embedded()], |options| options.keys = Some(path));
    let codes: Vec<(u16, bool)> = (0..12)
        .map(|_| {
            let (code, headers, _) = service.get("/v1/pipelines/shop/top", &[("Authorization", &key)]);
            (
                code,
                headers.contains_key("ratelimit") && (code == 200 || headers.contains_key("retry-after")),
            )
        })
        .collect();
    assert!(codes.iter().all(|(_, header)| *header), "{codes:?}");
    assert!(codes.iter().filter(|(code, _)| *code == 429).count() >= 4, "{codes:?}");
}

#[test]
fn closed_windows_are_kept_and_a_reader_that_has_them_gets_304() {
    let service = Running::start(vec![embedded()], |_| {});
    let path = "/v1/pipelines/shop/top?from=2026-01-31T12:00:00Z&to=2026-01-31T12:01:00Z";
    let (_, first, body) = service.get(path, &[]);
    let (_, second, again) = service.get(path, &[]);
    assert_eq!(
        (
            first["cache-status"].to_str().unwrap(),
            second["cache-status"].to_str().unwrap()
        ),
        ("hitters; fwd=miss", "hitters; hit")
    );
    let head = |body: &str| body.split(",\"freshness\"").next().unwrap().to_owned();
    assert_eq!(head(&body), head(&again));
    assert_eq!(first["cache-control"], "private, max-age=3600");
    let etag = first["etag"].to_str().unwrap();
    let (code, _, empty) = service.get(path, &[("If-None-Match", etag)]);
    assert_eq!((code, empty.as_str()), (304, ""));
}

#[test]
fn a_window_that_closes_is_told_to_listeners() {
    let store = EmbeddedStore::in_memory().unwrap();
    store.write_now(&rows()).unwrap();
    let service = Running::start(vec![Arc::new(store.clone())], |_| {});
    let mut stream = TcpStream::connect(service.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(b"GET /v1/pipelines/shop/live?k=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next = || {
        lines
            .find_map(|line| line.unwrap().strip_prefix("data: ").map(str::to_owned))
            .unwrap()
    };
    let first: Value = serde_json::from_str(&next()).unwrap();
    assert_eq!(first["items"][0]["item"], "b");
    let mut row = rows().pop().unwrap();
    let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 100).unwrap();
    sketch.update(b"new", 5);
    (row.start, row.end) = (row.end, row.end + MINUTE);
    (row.answer, row.sketch) = (Some(sketch.answer(5).unwrap().into()), Some(sketch.to_bytes()));
    store.write_now(&[row]).unwrap();
    let second: Value = serde_json::from_str(&next()).unwrap();
    assert_eq!(second["items"][0]["item"], "new");
}

#[test]
fn with_redis_gone_it_answers_what_it_knows_and_comes_back_by_itself() {
    let redis = Redis::start();
    to_redis(&redis, &rows());
    let service = Running::start(vec![Arc::new(RedisStore::new(&redis.url()).unwrap())], |_| {});
    let kept = "/v1/pipelines/shop/top?from=2026-01-31T12:00:00Z&to=2026-01-31T12:01:00Z";
    assert_eq!(service.json(kept)["total"], 16);
    redis.stop();
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(service.json(kept)["total"], 16);
    let other = service.json("/v1/pipelines/shop/top?last=3m");
    assert_eq!(
        (&other["range"]["complete"], &other["total"]),
        (&false.into(), &Value::Null),
        "{other}"
    );
    assert_eq!(other["source"]["missing_stores"], serde_json::json!(["redis"]));
    assert_eq!(service.get("/v1/health", &[]).0, 503);
    redis.start_again();
    to_redis(&redis, &rows());
    let begun = Instant::now();
    loop {
        let again = service.json("/v1/pipelines/shop/top?last=3m");
        if again["range"]["complete"] == true {
            assert_eq!(again["total"], 28);
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{again}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
