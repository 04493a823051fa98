//! Pages of other origins: nothing is for them unless it was said so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_service::{KeyFile, Options, Service, ServiceError};
use support::{Running, embedded};

const DASH: &str = "https://dash.example.com";
const TOP: &str = "/v1/pipelines/shop/top";

fn preflight(service: &Running, origin: &str, headers: &str) -> (u16, ureq::http::HeaderMap) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let answer = agent
        .options(format!("{}{TOP}", service.url))
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", headers)
        .call()
        .unwrap();
    (answer.status().as_u16(), answer.headers().clone())
}

#[test]
fn without_a_word_no_other_origin_is_allowed() {
    let service = Running::start(vec![embedded()], |_| {});
    let (code, headers, _) = service.get(TOP, &[("Origin", DASH)]);
    assert_eq!(code, 200);
    assert!(!headers.contains_key("access-control-allow-origin"));
    let (code, headers) = preflight(&service, DASH, "authorization");
    assert_eq!(code, 405);
    assert!(!headers.contains_key("access-control-allow-origin"));
}

#[test]
fn the_origins_that_are_named_may_ask_with_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let key = KeyFile::new(&path).add(hitters_service::Access::all(), None).unwrap();
    let service = Running::start(vec![embedded()], |options| {
        options.cors = vec![DASH.into(), "http://localhost:3000".into()];
        options.keys = Some(path);
    });
    // A browser asks first, without the key.
    let (code, headers) = preflight(&service, DASH, "authorization");
    assert_eq!(
        (code, headers["access-control-allow-origin"].to_str().unwrap()),
        (200, DASH)
    );
    assert!(
        headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("authorization")
    );
    assert_eq!(headers["access-control-allow-methods"], "GET");
    assert!(!headers.contains_key("access-control-allow-credentials"));
    let bearer = format!("Bearer {key}");
    let (code, headers, _) = service.get(TOP, &[("Origin", DASH), ("Authorization", &bearer)]);
    assert_eq!(
        (code, headers["access-control-allow-origin"].to_str().unwrap()),
        (200, DASH)
    );
    assert!(
        headers["access-control-expose-headers"]
            .to_str()
            .unwrap()
            .contains("etag")
    );
    // An answer that was just given, too.
    let (code, headers, _) = service.get(TOP, &[("Origin", DASH), ("Authorization", &bearer)]);
    assert_eq!(
        (code, headers["access-control-allow-origin"].to_str().unwrap()),
        (200, DASH)
    );
    assert_eq!(headers["cache-status"], "hitters; hit");
    // A refusal can be read by the page, too.
    let (code, headers, _) = service.get(TOP, &[("Origin", DASH)]);
    assert_eq!(
        (code, headers["access-control-allow-origin"].to_str().unwrap()),
        (401, DASH)
    );
    for other in [
        "https://evil.example.com",
        "https://dash.example.com.evil.com",
        "http://dash.example.com",
        "null",
    ] {
        let (_, headers) = preflight(&service, other, "authorization");
        assert!(!headers.contains_key("access-control-allow-origin"), "{other}");
        let (_, headers, _) = service.get(TOP, &[("Origin", other), ("Authorization", &bearer)]);
        assert!(!headers.contains_key("access-control-allow-origin"), "{other}");
    }
}

#[test]
fn what_is_no_origin_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for wrong in [
        "*",
        "dash.example.com",
        "https://dash.example.com/",
        "https://dash.example.com/page",
        "ftp://x",
        "https://",
    ] {
        let mut options = Options::new("127.0.0.1:0".parse().unwrap(), vec![embedded()]);
        options.cors = vec![wrong.into()];
        assert!(
            matches!(runtime.block_on(Service::bind(options)), Err(ServiceError::Origin(_))),
            "{wrong}"
        );
    }
}
