//! The service over HTTP, with a real Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_results::RedisStore;
use hitters_tests::services::Redis;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Running, embedded, rows, to_redis};

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
    let names = |headers: &ureq::http::HeaderMap| headers.keys().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(names(&first), names(&second));
    for _ in 0..2 {
        let (_, fields, text) = service.get(path, &[("Accept", "text/csv")]);
        assert_eq!(fields["content-type"], "text/csv; charset=utf-8", "{text}");
        assert_eq!(service.get(path, &[]).1["content-type"], "application/json");
    }
    assert_eq!(first["cache-control"], "private, max-age=3600");
    let etag = first["etag"].to_str().unwrap();
    let (code, _, empty) = service.get(path, &[("If-None-Match", etag)]);
    assert_eq!((code, empty.as_str()), (304, ""));
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

#[test]
fn ten_thousand_groups_are_paged_through_once_each() {
    let store = hitters_results::EmbeddedStore::in_memory().unwrap();
    let groups: Vec<hitters_results::Row> = (0..10_000)
        .map(|number| {
            let mut row = support::row(0, &[("a", number % 7 + 1), ("b", 1)]);
            (row.set, row.group) = ("city".into(), format!("city=c{number:05}"));
            row
        })
        .collect();
    store.write_now(&groups).unwrap();
    store.write_now(&[support::row(0, &[("a", 5)])]).unwrap();
    let service = Running::start(vec![Arc::new(store)], |_| {});
    let (mut seen, mut cursor, mut longest) = (Vec::new(), String::new(), Duration::ZERO);
    loop {
        let begun = Instant::now();
        let page = service.json(&format!("/v1/pipelines/shop/groups?set=city&limit=1000{cursor}"));
        longest = longest.max(begun.elapsed());
        let groups = page["groups"].as_array().unwrap();
        assert!(groups.len() <= 1000);
        seen.extend(
            groups
                .iter()
                .map(|group| group["group_key"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", next.replace('=', "%3D")),
            None => break,
        }
    }
    let expected: Vec<String> = (0..10_000).map(|number| format!("city=c{number:05}")).collect();
    assert_eq!(seen, expected);
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    let rolled = service.json("/v1/pipelines/shop/top?set=city&last=1m&k=2");
    let total: u64 = (0..10_000).map(|number: u64| number % 7 + 2).sum();
    assert_eq!(
        (&rolled["total"], &rolled["source"]["groups"]),
        (&total.into(), &10_000.into())
    );
}

#[test]
fn what_one_store_lacks_another_answers_and_the_one_that_is_away_is_named() {
    let redis = Redis::start();
    to_redis(&redis, &rows());
    let stores: Vec<Arc<dyn hitters_results::Store>> =
        vec![Arc::new(RedisStore::new(&redis.url()).unwrap()), embedded()];
    let service = Running::start(stores, |_| {});
    let whole = service.json("/v1/pipelines/shop/top?last=3m");
    assert_eq!(whole["source"]["stores"], serde_json::json!(["redis"]));
    redis.stop();
    std::thread::sleep(Duration::from_millis(1200));
    let rest = service.json("/v1/pipelines/shop/top?last=3m&k=3");
    assert_eq!((&rest["total"], &rest["range"]["complete"]), (&28.into(), &true.into()));
    assert_eq!(rest["source"]["stores"], serde_json::json!(["embedded"]));
    assert_eq!(rest["source"]["missing_stores"], serde_json::json!(["redis"]));
    let (code, _, health) = service.get("/v1/health", &[]);
    assert!(code == 200 && health.contains("degraded"), "{code} {health}");
}

#[test]
fn a_kept_answer_counts_once_compressed_or_not() {
    let service = Running::start(vec![embedded()], |_| {});
    // Long enough to be worth the work.
    let path = "/v1/pipelines/shop/series?k=3&from=2026-01-31T11:00:00Z&to=2026-01-31T12:03:00Z&step=1m";
    let ask = |encoding: &str| {
        let mut stream = TcpStream::connect(service.address()).unwrap();
        let asked =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: {encoding}\r\n\r\n");
        stream.write_all(asked.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(text.starts_with("http/1.1 200"), "{text}");
        assert_eq!(text.contains("content-encoding: gzip"), encoding == "gzip", "{text}");
        answer.len()
    };
    let counted = || {
        let (_, _, text) = service.get("/metrics", &[]);
        ["kept", "computed"].map(|from| {
            let line = text.lines().find(|line| line.contains(&format!("from=\"{from}\"")));
            line.unwrap().rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
        })
    };
    let before = counted();
    let first = ask("gzip");
    assert_eq!(counted(), [before[0], before[1] + 1]);
    for (asked, encoding) in (1..).zip(["gzip", "gzip", "identity", "identity", "gzip"]) {
        let length = ask(encoding);
        assert!(if encoding == "gzip" {
            length < 2 * first
        } else {
            length > first
        });
        assert_eq!(counted(), [before[0] + asked, before[1] + 1], "{asked} {encoding}");
    }
}
