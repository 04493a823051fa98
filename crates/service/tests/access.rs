//! Who gets an answer: keys, limits, and where a service listens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_service::{Access, KeyFile, KeyFileError, Options, Service, ServiceError};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::{Running, embedded};

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
fn a_refusal_says_what_a_client_has_to_show() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let mut access = Access::all();
    access.pipelines = vec!["cdn".into()];
    let key = KeyFile::new(&path).add(access, None).unwrap();
    let service = Running::start(vec![embedded()], |options| options.keys = Some(path));
    let top = "/v1/pipelines/shop/top";
    for (header, status, challenge) in [
        (None, 401, "Bearer realm=\"hitters\""),
        (
            Some("Bearer hk_x_y"),
            401,
            "Bearer realm=\"hitters\", error=\"invalid_token\"",
        ),
        (
            Some(&*format!("Bearer {key}")),
            403,
            "Bearer realm=\"hitters\", error=\"insufficient_scope\"",
        ),
    ] {
        let headers: Vec<(&str, &str)> = header.iter().map(|header| ("Authorization", *header)).collect();
        let (code, headers, body) = service.get(top, &headers);
        assert_eq!(
            (code, headers["www-authenticate"].to_str().unwrap()),
            (status, challenge),
            "{body}"
        );
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["cache-control"], "no-store");
    }
    // Where addresses are written down: in logs, in histories.
    for path in [
        format!("{top}?key={key}"),
        format!("{top}?access_token={key}"),
        format!("{top}?authorization=Bearer%20{key}"),
    ] {
        assert_eq!(service.get(&path, &[]).0, 401, "{path}");
    }
}

#[test]
fn a_key_that_is_revoked_opens_nothing_within_two_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let file = KeyFile::new(&path);
    let (kept, revoked) = (
        Access {
            name: "kept".into(),
            ..Access::all()
        },
        Access {
            name: "revoked".into(),
            ..Access::all()
        },
    );
    let (kept, revoked) = (file.add(kept, None).unwrap(), file.add(revoked, None).unwrap());
    let service = Running::start(vec![embedded()], |options| options.keys = Some(path));
    let code = |key: &str| {
        service
            .get("/v1/pipelines/shop/top", &[("Authorization", &format!("Bearer {key}"))])
            .0
    };
    assert_eq!((code(&kept), code(&revoked)), (200, 200));
    assert_eq!(file.revoke("revoked").unwrap(), 1);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!((code(&kept), code(&revoked)), (200, 401));
}

#[cfg(unix)]
#[test]
fn a_file_of_keys_that_others_can_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let file = KeyFile::new(&path);
    file.add(Access::all(), None).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = file.read().unwrap_err();
    assert!(
        matches!(error, KeyFileError::Rights { .. }) && error.to_string().contains("chmod 600"),
        "{error}"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut options = Options::new("127.0.0.1:0".parse().unwrap(), vec![embedded()]);
    options.keys = Some(path.clone());
    assert!(matches!(
        runtime.block_on(Service::bind(options)),
        Err(ServiceError::Keys(_))
    ));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(file.read().unwrap().len(), 1);
}

#[test]
fn limits_on_k_on_ranges_and_on_what_is_sent_hold() {
    let service = Running::start(vec![embedded()], |_| {});
    let items: String = (0..101).map(|item| format!("&item={item}")).collect();
    for (path, status) in [
        ("/v1/pipelines/shop/top?k=1000&last=3m".to_owned(), 422),
        ("/v1/pipelines/shop/top?k=1001".to_owned(), 400),
        ("/v1/pipelines/shop/top?k=18446744073709551616".to_owned(), 400),
        ("/v1/pipelines/shop/top?last=4001d".to_owned(), 400),
        (
            "/v1/pipelines/shop/series?from=1970-01-01&to=2026-02-01&step=1m".to_owned(),
            400,
        ),
        (format!("/v1/pipelines/shop/estimate?last=3m{items}"), 400),
        ("/v1/pipelines/shop/groups?limit=1001".to_owned(), 400),
        ("/v1/pipelines/shop/groups?top=101".to_owned(), 400),
    ] {
        let (code, headers, body) = service.get(&path, &[]);
        assert_eq!(code, status, "{path}: {body}");
        assert_eq!(headers["content-type"], "application/problem+json", "{path}");
    }
    // A body has no meaning here: it is not read, however long it says it is.
    let mut stream = TcpStream::connect(service.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
        .write_all(b"POST /v1/pipelines/shop/top HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 405");
    // Neither are headers without end.
    let mut stream = TcpStream::connect(service.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)).as_bytes());
    let mut answer = [0; 12];
    if stream.read_exact(&mut answer).is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
}

#[test]
fn connections_that_ask_nothing_end_and_those_that_listen_stay() {
    let idle = Duration::from_millis(500);
    let service = Running::start(vec![embedded()], |options| options.idle = idle);
    let connect = |said: &[u8]| {
        let mut stream = TcpStream::connect(service.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(said).unwrap();
        stream
    };
    let mut listens = connect(b"GET /v1/pipelines/shop/live HTTP/1.1\r\nHost: x\r\n\r\n");
    let begun = Instant::now();
    // One says nothing, one only begins to, one is silent after an answer.
    for (said, answered) in [
        (&b""[..], ""),
        (b"GET /v1/health HTTP/1.1\r\nHo", ""),
        (b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"),
    ] {
        let mut all = String::new();
        connect(said).read_to_string(&mut all).unwrap();
        assert!(
            all.starts_with(answered) && all.is_empty() == answered.is_empty(),
            "{all}"
        );
    }
    assert!(begun.elapsed() >= 3 * idle && begun.elapsed() < Duration::from_secs(9));
    let mut some = [0; 1000];
    assert_ne!(listens.read(&mut some).unwrap(), 0);
    listens.set_read_timeout(Some(2 * idle)).unwrap();
    loop {
        match listens.read(&mut some) {
            Ok(length) => assert_ne!(length, 0, "the stream has ended"),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
}
