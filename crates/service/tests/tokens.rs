//! JSON web tokens: the table of attempts, and keys that change while the service runs.
#![cfg(feature = "jwt")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hitters_service::{Access, KeyFile, KeySource, Options, Service, ServiceError, TokenOptions, Trust};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Running, embedded, key};

const ISSUER: &str = "https://id.example.com";
const EU: &str = "/v1/pipelines/shop/top?where=r=eu";

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(key(name)).unwrap()
}

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(&pem("rsa.pem")).unwrap()
}

fn ec(name: &str) -> EncodingKey {
    EncodingKey::from_ec_pem(&pem(name)).unwrap()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Claims of a token that sees Europe.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "hitters", "sub": "dashboard", "exp": now() + 60, "nbf": now() - 60, "iat": now(),
        "hitters": { "pipelines": ["shop"], "where": { "r": ["eu"] } },
    })
}

fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn header(algorithm: Algorithm, kid: Option<&str>) -> Header {
    Header {
        kid: kid.map(str::to_owned),
        ..Header::new(algorithm)
    }
}

fn token(algorithm: Algorithm, kid: Option<&str>, claims: &Value, key: &EncodingKey) -> String {
    encode(&header(algorithm, kid), claims, key).unwrap()
}

fn public(kid: Option<&str>, algorithm: Algorithm, key: &EncodingKey) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
    // Without a word on the algorithm a key is for all of its kind.
    jwk.as_object_mut()
        .unwrap()
        .retain(|name, value| name != "alg" && !value.is_null());
    if let Some(kid) = kid {
        jwk["kid"] = kid.into();
    }
    jwk
}

fn set() -> Value {
    let ed = EncodingKey::from_ed_pem(&pem("ed.pem")).unwrap();
    json!({ "keys": [
        public(Some("rsa"), Algorithm::RS256, &rsa()),
        public(Some("ec"), Algorithm::ES256, &ec("ec.pem")),
        public(Some("ed"), Algorithm::EdDSA, &ed),
        { "kty": "oct", "kid": "secret", "k": BASE64_URL_SAFE_NO_PAD.encode([7; 32]) },
        { "kty": "RSA", "kid": "weak", "n": BASE64_URL_SAFE_NO_PAD.encode([0xc5; 128]), "e": "AQAB" },
        { "kty": "of a time to come", "kid": "odd" },
    ]})
}

fn options(trust: Trust, algorithms: &[&str]) -> TokenOptions {
    TokenOptions {
        issuer: ISSUER.into(),
        audience: vec!["hitters".into(), "other name of ours".into()],
        algorithms: algorithms.iter().map(|name| (*name).to_owned()).collect(),
        trust,
        claim: "hitters".into(),
        leeway: Duration::from_secs(5),
    }
}

/// A set of keys in a file.
fn file(folder: &tempfile::TempDir, set: &Value) -> PathBuf {
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, set.to_string()).unwrap();
    path
}

fn serving(tokens: TokenOptions) -> Running {
    Running::start(vec![embedded()], |options| options.tokens = Some(tokens))
}

fn ask(service: &Running, path: &str, token: &str) -> (u16, String) {
    let (code, headers, body) = service.get(path, &[("Authorization", &format!("Bearer {token}"))]);
    if code != 200 {
        assert_eq!(headers["content-type"], "application/problem+json", "{body}");
        assert_eq!(headers.contains_key("www-authenticate"), code != 503, "{body}");
        assert!(!body.contains("items") && !body.contains("\"total\""), "{body}");
    }
    (code, body)
}

/// The parts of a token, changed and put together again.
fn altered(token: &str, change: impl FnOnce(&mut Vec<String>)) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    change(&mut parts);
    parts.join(".")
}

fn encoded(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn good_tokens_of_every_kind_of_key_are_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::Keys(KeySource::file(file(&folder, &set())));
    let service = serving(options(trust, &["RS256", "PS256", "ES256", "EdDSA"]));
    let ed = EncodingKey::from_ed_pem(&pem("ed.pem")).unwrap();
    for (algorithm, kid, key) in [
        (Algorithm::RS256, Some("rsa"), rsa()),
        (Algorithm::PS256, Some("rsa"), rsa()),
        (Algorithm::ES256, Some("ec"), ec("ec.pem")),
        (Algorithm::EdDSA, Some("ed"), ed),
        // Without a name: the set has one key for this algorithm.
        (Algorithm::ES256, None, ec("ec.pem")),
    ] {
        let good = token(algorithm, kid, &claims(), &key);
        assert_eq!(ask(&service, EU, &good).0, 200, "{algorithm:?}");
        assert_eq!(ask(&service, EU, &good).0, 200, "{algorithm:?}: the second time");
    }
    let many = with(json!({ "aud": ["x", "other name of ours"], "nbf": null }));
    let good = token(Algorithm::ES256, Some("ec"), &many, &ec("ec.pem"));
    assert_eq!(ask(&service, EU, &good).0, 200);
    let (_, _, me) = service.get("/v1/me", &[("Authorization", &format!("Bearer {good}"))]);
    let me: Value = serde_json::from_str(&me).unwrap();
    assert_eq!(
        (&me["name"], &me["where"]["r"][0]),
        (&"jwt:dashboard".into(), &"eu".into())
    );
}

#[test]
fn no_other_token_gets_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &set());
    let keys = folder.path().join("keys.json");
    let key_file = KeyFile::new(&keys);
    let revoked = key_file
        .add(
            Access {
                name: "revoked".into(),
                ..Access::all()
            },
            None,
        )
        .unwrap();
    key_file.revoke("revoked").unwrap();
    let trust = Trust::Keys(KeySource::file(path));
    let tokens = options(trust, &["RS256", "ES256"]);
    let service = Running::start(vec![embedded()], |options| {
        options.tokens = Some(tokens);
        options.keys = Some(keys);
    });
    let (es, rs) = (Algorithm::ES256, Algorithm::RS256);
    let good = token(es, Some("ec"), &claims(), &ec("ec.pem"));
    let of = |changes: Value| token(es, Some("ec"), &with(changes), &ec("ec.pem"));
    let public_key = EncodingKey::from_secret(&pem("rsa-public.pem")).unwrap();
    let modulus = EncodingKey::from_secret(set()["keys"][0]["n"].as_str().unwrap().as_bytes()).unwrap();
    let shared = EncodingKey::from_secret(&[7; 32]).unwrap();
    let foreign = ec("foreign.pem");
    let own_key = Header {
        jwk: Some(Jwk::from_encoding_key(&foreign, es).unwrap()),
        jku: Some("https://evil.example.com/jwks.json".into()),
        ..header(es, Some("ec"))
    };
    let unsigned = |algorithm: &str| {
        altered(&good, |parts| {
            parts[0] = encoded(&json!({ "alg": algorithm, "kid": "ec", "typ": "JWT" }))
        })
    };
    let attempts: Vec<(&str, String, u16)> = vec![
        ("no token", String::new(), 401),
        ("no shape", "a.b".into(), 401),
        ("dots", "...".into(), 401),
        (
            "another signature",
            altered(&good, |parts| {
                parts[2] = altered(&of(json!({ "sub": "x" })), |_| {})
                    .rsplit('.')
                    .next()
                    .unwrap()
                    .into()
            }),
            401,
        ),
        ("a stripped signature", altered(&good, |parts| parts[2].clear()), 401),
        ("a cut signature", altered(&good, |parts| parts[2].truncate(20)), 401),
        ("no third part", altered(&good, |parts| drop(parts.pop())), 401),
        ("a fourth part", format!("{good}.x"), 401),
        (
            "claims of one's own",
            altered(&good, |parts| {
                parts[1] = encoded(&with(json!({ "hitters": { "pipelines": ["*"] } })))
            }),
            401,
        ),
        ("alg: none", altered(&unsigned("none"), |parts| parts[2].clear()), 401),
        ("alg: None", unsigned("None"), 401),
        ("alg: nOnE", unsigned("nOnE"), 401),
        (
            "no alg",
            altered(&good, |parts| parts[0] = encoded(&json!({ "kid": "ec" }))),
            401,
        ),
        (
            "the public key as a secret",
            token(Algorithm::HS256, Some("rsa"), &claims(), &public_key),
            401,
        ),
        (
            "the modulus as a secret",
            token(Algorithm::HS256, Some("rsa"), &claims(), &modulus),
            401,
        ),
        (
            "a secret out of the set",
            token(Algorithm::HS256, Some("secret"), &claims(), &shared),
            401,
        ),
        (
            "an algorithm that is not pinned",
            token(Algorithm::PS256, Some("rsa"), &claims(), &rsa()),
            401,
        ),
        (
            "the key of another algorithm",
            altered(&token(rs, Some("ec"), &claims(), &rsa()), |_| {}),
            401,
        ),
        ("a weak key", token(rs, Some("weak"), &claims(), &rsa()), 401),
        (
            "a foreign key under our name",
            token(es, Some("ec"), &claims(), &foreign),
            401,
        ),
        (
            "a foreign key without a name",
            token(es, None, &claims(), &foreign),
            401,
        ),
        (
            "a key that the token brings",
            encode(&own_key, &claims(), &foreign).unwrap(),
            401,
        ),
        (
            "an unknown name",
            token(es, Some("unknown"), &claims(), &ec("ec.pem")),
            401,
        ),
        (
            "a name that is a path",
            token(es, Some("../../ec"), &claims(), &ec("ec.pem")),
            401,
        ),
        ("expired", of(json!({ "exp": now() - 60 })), 401),
        ("expired with the leeway", of(json!({ "exp": now() - 7 })), 401),
        ("no end", of(json!({ "exp": null })), 401),
        ("an end that is no number", of(json!({ "exp": "never" })), 401),
        ("not valid yet", of(json!({ "nbf": now() + 60 })), 401),
        (
            "another issuer",
            of(json!({ "iss": "https://id.example.com.evil.com" })),
            401,
        ),
        ("no issuer", of(json!({ "iss": null })), 401),
        ("another audience", of(json!({ "aud": "mail" })), 401),
        (
            "audiences without ours",
            of(json!({ "aud": ["mail", "hitters2"] })),
            401,
        ),
        ("no audience", of(json!({ "aud": null })), 401),
        ("no subject", of(json!({ "sub": null })), 401),
        ("longer than any", of(json!({ "filler": "x".repeat(10_000) })), 401),
        ("no scope", of(json!({ "hitters": null })), 403),
        ("a scope that is none", of(json!({ "hitters": "shop" })), 403),
        (
            "a scope without pipelines",
            of(json!({ "hitters": { "where": { "r": ["eu"] } } })),
            403,
        ),
        (
            "a restriction that is misspelled",
            of(json!({ "hitters": { "pipelines": ["shop"], "were": { "r": ["us"] } } })),
            403,
        ),
        (
            "a limit of nothing",
            of(json!({ "hitters": { "pipelines": ["shop"], "limit_per_second": 0 } })),
            403,
        ),
        ("no pipeline", of(json!({ "hitters": { "pipelines": [] } })), 403),
        (
            "another pipeline",
            of(json!({ "hitters": { "pipelines": ["cdn"] } })),
            403,
        ),
        (
            "another value",
            of(json!({ "hitters": { "pipelines": ["shop"], "where": { "r": ["us"] } } })),
            403,
        ),
        (
            "no value",
            of(json!({ "hitters": { "pipelines": ["shop"], "where": { "r": [] } } })),
            403,
        ),
        (
            "another dimension",
            of(json!({ "hitters": { "pipelines": ["shop"], "where": { "category": ["shoes"] } } })),
            403,
        ),
        ("a revoked key", revoked, 401),
        ("a token that says it is a key", format!("hk_{good}"), 401),
    ];
    for (what, attempt, status) in &attempts {
        let (code, body) = ask(&service, EU, attempt);
        assert_eq!(code, *status, "{what}: {body}");
    }
    assert_eq!(ask(&service, EU, &good).0, 200);
    for path in [
        "/v1/pipelines/shop/top",
        "/v1/pipelines/shop/top?where=r=us",
        "/v1/pipelines/shop/groups",
        "/v1/pipelines/shop/live",
    ] {
        assert_eq!(ask(&service, path, &good).0, 403, "{path}");
    }
    for path in [format!("{EU}&access_token={good}"), format!("{EU}&token={good}")] {
        assert_eq!(service.get(&path, &[]).0, 401);
    }
    assert_eq!(service.get(EU, &[("Cookie", &format!("access_token={good}"))]).0, 401);
    assert_eq!(service.get(EU, &[("Authorization", &good)]).0, 401);
    // What is not believed is not told back.
    let (_, body) = ask(&service, EU, &of(json!({ "iss": "<script>" })));
    assert!(!body.contains("script"), "{body}");
}

#[test]
fn a_key_that_is_for_one_algorithm_is_for_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut key = public(Some("rsa"), Algorithm::RS256, &rsa());
    key["alg"] = "RS256".into();
    let mut enciphers = public(Some("ec"), Algorithm::ES256, &ec("ec.pem"));
    enciphers["use"] = "enc".into();
    let set = json!({ "keys": [key, enciphers] });
    let trust = Trust::Keys(KeySource::file(file(&folder, &set)));
    let service = serving(options(trust, &["RS256", "PS256", "ES256"]));
    for (algorithm, kid, key, status) in [
        (Algorithm::RS256, "rsa", rsa(), 200),
        (Algorithm::PS256, "rsa", rsa(), 401),
        (Algorithm::ES256, "ec", ec("ec.pem"), 401),
    ] {
        let attempt = token(algorithm, Some(kid), &claims(), &key);
        assert_eq!(ask(&service, EU, &attempt).0, status, "{algorithm:?}");
    }
}

#[test]
fn a_secret_opens_for_its_own_algorithms_only() {
    let secret = [9; 32];
    let service = serving(options(Trust::Secret(secret.to_vec()), &["HS256"]));
    let key = EncodingKey::from_secret(&secret).unwrap();
    assert_eq!(
        ask(&service, EU, &token(Algorithm::HS256, None, &claims(), &key)).0,
        200
    );
    for (what, attempt) in [
        ("another algorithm", token(Algorithm::HS512, None, &claims(), &key)),
        (
            "another secret",
            token(
                Algorithm::HS256,
                None,
                &claims(),
                &EncodingKey::from_secret(&[8; 32]).unwrap(),
            ),
        ),
        ("a public key", token(Algorithm::ES256, None, &claims(), &ec("ec.pem"))),
    ] {
        assert_eq!(ask(&service, EU, &attempt).0, 401, "{what}");
    }
}

#[test]
fn options_that_would_let_others_in_are_refused() {
    let bind = |tokens: TokenOptions| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut options = Options::new("127.0.0.1:0".parse().unwrap(), vec![embedded()]);
        options.tokens = Some(tokens);
        match runtime.block_on(Service::bind(options)) {
            Err(ServiceError::Tokens(said)) => said,
            other => panic!("{:?}", other.map(|service| service.url())),
        }
    };
    let secret = || Trust::Secret(vec![1; 64]);
    let keys = || Trust::Keys(KeySource::file("jwks.json"));
    for (tokens, said) in [
        (options(secret(), &[]), "no algorithm"),
        (options(secret(), &["none"]), "'none' is no algorithm"),
        (options(secret(), &["hs256"]), "'hs256'"),
        (options(secret(), &["HS256", "RS256"]), "a secret goes with HS256"),
        (options(keys(), &["RS256", "HS256"]), "everybody could sign"),
        (options(Trust::Secret(vec![1; 31]), &["HS256"]), "needs 32"),
        (options(Trust::Secret(vec![1; 63]), &["HS256", "HS512"]), "needs 64"),
        (
            TokenOptions {
                issuer: String::new(),
                ..options(keys(), &["ES256"])
            },
            "an issuer and an audience",
        ),
        (
            TokenOptions {
                audience: Vec::new(),
                ..options(keys(), &["ES256"])
            },
            "an issuer and an audience",
        ),
    ] {
        let text = bind(tokens);
        assert!(text.contains(said), "{text}");
    }
    assert!(!format!("{:?}", options(Trust::Secret(b"abracadabra".to_vec()), &["HS256"])).contains("abra"));
}

#[test]
fn tokens_alone_let_a_service_listen_elsewhere_too() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::Keys(KeySource::file(file(&folder, &set())));
    let service = Running::start(vec![embedded()], |all| {
        all.tokens = Some(options(trust, &["ES256"]));
        all.listen = "0.0.0.0:0".parse().unwrap();
    });
    let port = service.address().rsplit(':').next().unwrap().to_owned();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let answer = agent.get(format!("http://127.0.0.1:{port}{EU}")).call().unwrap();
    assert_eq!(answer.status().as_u16(), 401);
}

/// A provider whose keys change, and that may be away.
#[derive(Default)]
struct Provider {
    said: Mutex<Option<String>>,
    asked: AtomicU32,
}

impl Provider {
    fn source(self: &Arc<Self>, fresh: Duration, pause: Duration) -> Trust {
        let provider = self.clone();
        let load = move || {
            provider.asked.fetch_add(1, Relaxed);
            let said = provider.said.lock().unwrap().clone();
            said.map(String::into_bytes)
                .ok_or_else(|| "connection refused".to_owned())
        };
        Trust::Keys(KeySource {
            fresh,
            pause,
            ..KeySource::remote("https://id.example.com/jwks.json", load)
        })
    }

    fn says(&self, said: Option<String>) {
        *self.said.lock().unwrap() = said;
    }
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_new_key_is_fetched_when_a_token_names_it_but_not_for_each_unknown_name() {
    let provider = Arc::new(Provider::default());
    provider.says(Some(
        json!({ "keys": [public(Some("old"), Algorithm::ES256, &ec("foreign.pem"))] }).to_string(),
    ));
    let service = serving(options(provider.source(LONG, Duration::from_millis(500)), &["ES256"]));
    assert_eq!(provider.asked.load(Relaxed), 1);
    let (old, new) = (
        token(Algorithm::ES256, Some("old"), &claims(), &ec("foreign.pem")),
        token(Algorithm::ES256, Some("new"), &claims(), &ec("ec.pem")),
    );
    assert_eq!(ask(&service, EU, &old).0, 200);
    assert_eq!(ask(&service, EU, &new).0, 401);
    provider.says(Some(
        json!({ "keys": [public(Some("new"), Algorithm::ES256, &ec("ec.pem"))] }).to_string(),
    ));
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(ask(&service, EU, &new).0, 200);
    // What the provider has taken away opens no more, also if it was good a moment ago.
    assert_eq!(ask(&service, EU, &old).0, 401);
    std::thread::sleep(Duration::from_millis(600));
    let before = provider.asked.load(Relaxed);
    let begun = std::time::Instant::now();
    for unknown in 0..100 {
        let attempt = token(Algorithm::ES256, Some(&format!("x{unknown}")), &claims(), &ec("ec.pem"));
        assert_eq!(ask(&service, EU, &attempt).0, 401);
    }
    let most = 1 + begun.elapsed().as_millis() / 500;
    assert!(u128::from(provider.asked.load(Relaxed) - before) <= most, "{most}");
}

#[test]
fn while_the_provider_is_away_its_last_keys_are_kept() {
    let provider = Arc::new(Provider::default());
    let short = Duration::from_millis(200);
    let service = serving(options(provider.source(short, short), &["ES256"]));
    let good = token(Algorithm::ES256, Some("ec"), &claims(), &ec("ec.pem"));
    let (code, body) = ask(&service, EU, &good);
    assert!(code == 503 && body.contains("keys-away"), "{code} {body}");
    provider.says(Some(set().to_string()));
    std::thread::sleep(short * 2);
    assert_eq!(ask(&service, EU, &good).0, 200);
    for said in [
        None,
        Some("<html>under construction</html>".to_owned()),
        Some(json!({ "keys": [] }).to_string()),
        Some(json!({ "keys": vec![set()["keys"][1].clone(); 101] }).to_string()),
        Some(format!("{{\"keys\": [], \"filler\": \"{}\"}}", "x".repeat(300_000))),
    ] {
        provider.says(said);
        let before = provider.asked.load(Relaxed);
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while provider.asked.load(Relaxed) == before {
            assert!(std::time::Instant::now() < until, "it is not asked again");
            assert_eq!(ask(&service, EU, &good).0, 200);
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(ask(&service, EU, &good).0, 200);
    }
}

#[test]
fn a_token_that_expires_ends_its_stream() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::Keys(KeySource::file(file(&folder, &set())));
    let tokens = TokenOptions {
        leeway: Duration::ZERO,
        ..options(trust, &["ES256"])
    };
    let service = serving(tokens);
    let short = token(
        Algorithm::ES256,
        Some("ec"),
        &with(json!({ "exp": now() + 3 })),
        &ec("ec.pem"),
    );
    let header = format!("Bearer {short}");
    let (status, mut live) = support::Live::open(
        &service,
        "/v1/pipelines/shop/live?where=r=eu",
        &[("Authorization", &header)],
    );
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(live.next().is_some());
    let begun = std::time::Instant::now();
    assert!(live.next().is_none());
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(ask(&service, EU, &short).0, 401);
}
