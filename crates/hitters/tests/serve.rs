//! `hitters serve`, `hitters keys` and `hitters query` as a person meets them, and what a pipeline file says of serving.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use support::serving::{Serving, flights};
use support::{command, run};

const TOP: &str = "/v1/pipelines/flights.destinations/top?where=origin=JFK&last=7d&k=5";

fn key(folder: &Path, more: &[&str]) -> String {
    let file = folder.join("keys.json").display().to_string();
    let arguments = ["keys", "add", "wall", "--keys", &file];
    let added = run(arguments.iter().chain(more)).well();
    assert!(added.stderr.contains("only time"), "{}", added.stderr);
    added.stdout.trim().to_owned()
}

#[test]
fn a_service_that_could_not_answer_or_would_answer_to_all_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let answers = folder.path().join("a.redb").display().to_string();
    run(["serve"]).fails(2, &["no store is named", "--redis", "--cassandra", "--embedded"]);
    run(["serve", "--embedded", &answers, "--listen", "0.0.0.0:0"])
        .fails(2, &["can be reached from other machines", "hitters keys add"]);
    run(["serve", "--embedded", &answers, "--listen", "[::]:0"]).fails(2, &["there are no keys"]);
    run(["serve", "--embedded", &answers, "--cors", "*"]).fails(2, &["'*' is no origin"]);
    run(["serve", "--redis", "no url"]).fails(2, &["redis"]);
    run(["serve", "--redis", "redis://:${env:HITTERS_NOT_SET}@h"]).fails(2, &["--redis", "HITTERS_NOT_SET"]);
    run(["serve", "--embedded", &answers, "--tls-key", "k.pem"]).fails(2, &["--tls-certificate"]);
    let missing = folder.path().join("no.pem").display().to_string();
    let arguments = ["serve", "--embedded", &answers, "--listen", "127.0.0.1:0"];
    let tls = ["--tls-key", &missing, "--tls-certificate", &missing];
    run(arguments.iter().chain(&tls)).fails(1, &["TLS", "no.pem"]);
    let wrong = folder.path().join("wrong.json");
    fs::write(&wrong, "{").unwrap();
    let keys = ["--keys", &wrong.display().to_string()].map(str::to_owned);
    run(arguments.map(str::to_owned).iter().chain(&keys)).fails(1, &["is no file of keys", "hitters keys add"]);
}

#[test]
fn keys_are_made_listed_revoked_and_kept_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/keys.json");
    let path = file.display().to_string();
    let of = |arguments: &[&str]| run(arguments.iter().chain(&["--keys", path.as_str()]));
    assert_eq!(of(&["keys", "list", "--json"]).well().stdout.trim(), "[]");
    let add = [
        "keys",
        "add",
        "wall",
        "--pipeline",
        "shop",
        "--where",
        "region=eu",
        "--limit-per-second",
        "5",
        "--expires",
        "90d",
    ];
    let key = of(&add).well().stdout.trim().to_owned();
    assert!(key.starts_with("hk_") && key.len() > 50, "{key}");
    of(&["keys", "add", "all"]).well();
    let listed: Value = serde_json::from_str(&of(&["keys", "list", "--json"]).well().stdout).unwrap();
    assert_eq!(
        (
            &listed[0]["name"],
            &listed[0]["where"]["region"],
            &listed[1]["pipelines"]
        ),
        (&"wall".into(), &json!(["eu"]), &json!(["*"]))
    );
    let table = of(&["keys", "list"]).well().stdout;
    assert!(
        table.contains("region=eu") && table.contains("in 90 d") && table.contains("never"),
        "{table}"
    );
    for text in [table, listed.to_string(), fs::read_to_string(&file).unwrap()] {
        assert!(!text.contains(&key[12..]), "{text}");
    }
    of(&["keys", "revoke", "nobody"]).fails(2, &["has no key 'nobody'"]);
    of(&["keys", "revoke", listed[0]["id"].as_str().unwrap()]).well();
    let left: Value = serde_json::from_str(&of(&["keys", "list", "--json"]).well().stdout).unwrap();
    assert_eq!(left.as_array().map(Vec::len), Some(1));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o620)).unwrap();
    of(&["keys", "list"]).fails(1, &["other users can write to it", "chmod 600"]);
    of(&["keys", "add", "more"]).fails(1, &["other users can write to it"]);
}

#[test]
fn questions_on_the_command_line_are_answered_as_tables_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let answers = flights(folder.path());
    let key = key(
        folder.path(),
        &["--pipeline", "flights.destinations", "--limit-per-second", "7"],
    );
    let keys = folder.path().join("keys.json").display().to_string();
    let arguments = [
        "serve",
        "--embedded",
        &answers,
        "--listen",
        "127.0.0.1:0",
        "--keys",
        &keys,
        "--audit",
    ];
    let service = Serving::spawn(command(arguments));
    let query = |arguments: &[&str], key: Option<&str>| {
        let mut command = command(["query"].iter().chain(arguments));
        command.env_remove("HITTERS_KEY").env("HITTERS_URL", &service.url);
        if let Some(key) = key {
            command.env("HITTERS_KEY", key);
        }
        support::ended(command)
    };
    let list = query(&[], Some(&key)).well().stdout;
    assert!(
        list.contains("flights.destinations") && !list.contains("aircraft"),
        "{list}"
    );
    let week = ["flights.destinations", "-w", "origin=JFK", "--last", "7d", "-k", "2"];
    let table = query(&week, Some(&key)).well();
    assert!(
        table.stdout.contains("LAX") && table.stdout.contains("204") && table.stdout.contains("(all others)"),
        "{}",
        table.stdout
    );
    assert!(table.stderr.contains("total 2,115, exact"), "{}", table.stderr);
    let json = query(
        &[
            "flights.destinations",
            "-w",
            "origin=JFK",
            "--item",
            "HNL",
            "--last",
            "7d",
            "--json",
        ],
        Some(&key),
    )
    .well();
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&json["estimates"][0]["item"], &json["range"]["complete"]),
        (&"HNL".into(), &true.into())
    );
    let above = query(
        &[
            "flights.destinations",
            "-w",
            "origin=JFK",
            "--phi",
            "0.09",
            "--last",
            "7d",
        ],
        Some(&key),
    )
    .well();
    assert!(
        above.stdout.contains("LAX") && !above.stdout.contains("SFO"),
        "{}",
        above.stdout
    );
    query(&week, None).fails(2, &["hitters keys add"]);
    query(&week, Some("hk_wrong_key")).fails(2, &["unknown, revoked or expired"]);
    query(&["flights.aircraft"], Some(&key)).fails(2, &["not for the pipeline"]);
    query(&["flights.destinations", "--last", "1y"], Some(&key)).fails(2, &["no duration"]);
    let (status, headers, _) = service.get(TOP, Some(&key));
    assert_eq!(
        (status, headers["ratelimit-policy"].to_str().unwrap()),
        (200, "\"key\";q=7;w=1")
    );
    // The log names who asked and what, and never the key.
    let line = |said: &str| {
        said.lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect::<Vec<Value>>()
    };
    service.running.signal("TERM");
    let over = service.running.end();
    let lines = line(&over.said);
    let told = lines.iter().find(|line| line["question"] == TOP).unwrap();
    assert_eq!((&told["key"], &told["status"]), (&"wall".into(), &200.into()));
    assert!(told["ms"].as_f64().unwrap() >= 0.0 && told["time"].as_str().unwrap().ends_with('Z'));
    assert!(
        lines.iter().any(|line| line["status"] == 401 && line["key"] == "-"),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|line| line["status"] == 403 && line["key"] == "wall"),
        "{lines:?}"
    );
    assert!(!over.said.contains(&key[12..]));
    run(["query", "--url", "http://127.0.0.1:9"])
        .fails(1, &["no service answers at http://127.0.0.1:9", "hitters serve"]);
}

#[test]
fn a_pipeline_file_says_how_it_is_served_and_flags_go_first() {
    let folder = tempfile::tempdir().unwrap();
    flights(folder.path());
    let key = key(folder.path(), &[]);
    let file = folder.path().join("served.toml");
    let text = "sql = 'q.sql'\n[serve]\nlisten = '127.0.0.1:0'\nkeys = 'keys.json'\nembedded = 'answers.redb'\n\
                limit_per_second = 3\ncors = ['https://dash.example.com']\naudit = true\n";
    fs::write(&file, text).unwrap();
    fs::write(folder.path().join("q.sql"), "SELECT 1;").unwrap();
    let path = file.display().to_string();
    let policy = |service: &Serving| {
        assert_eq!(service.get(TOP, None).0, 401);
        let (status, headers, _) = service.get(TOP, Some(&key));
        assert_eq!(status, 200);
        headers["ratelimit-policy"].to_str().unwrap().to_owned()
    };
    let mut service = Serving::spawn(command(["serve", &path]));
    assert_eq!(policy(&service), "\"key\";q=3;w=1");
    assert!(service.running.says("\"question\""));
    drop(service);
    let mut service = Serving::spawn(command(["serve", &path, "--limit-per-second", "9", "--audit=false"]));
    assert_eq!(policy(&service), "\"key\";q=9;w=1");
    assert!(!service.running.heard().contains("question"));
    drop(service);
    let text = text
        .replace("127.0.0.1:0", "nowhere")
        .replace("= 3", "= 'three'")
        .replace("https://", "");
    fs::write(&file, text).unwrap();
    run(["serve", &path]).fails(
        3,
        &[
            "no address to listen at",
            "no number that can stand here",
            "is no origin",
            "served.toml:3",
            "served.toml:6",
            "served.toml:7",
        ],
    );
    run(["check", &path]).fails(3, &["no address to listen at"]);
}

#[cfg(feature = "postgres")]
#[test]
fn a_pipeline_file_has_answers_served_by_sql_under_the_same_rules() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("served.toml");
    fs::write(folder.path().join("q.sql"), "SELECT 1;").unwrap();
    let write = |address: &str| {
        let text = "sql = 'q.sql'\n[serve]\nlisten = '127.0.0.1:0'\nembedded = 'answers.redb'\n";
        fs::write(&file, format!("{text}postgres = '{address}'\n")).unwrap();
    };
    let path = file.display().to_string();
    write("127.0.0.1:0");
    let mut service = Serving::spawn(command(["serve", &path]));
    assert!(service.running.says("answering SQL at postgresql://127.0.0.1:"));
    drop(service);
    write("0.0.0.0:0");
    run(["serve", &path]).fails(2, &["0.0.0.0:0 can be reached from other machines", "hitters keys add"]);
    let mut service = Serving::spawn(command(["serve", &path, "--postgres", "127.0.0.1:0"]));
    assert!(service.running.says("answering SQL at postgresql://127.0.0.1:"));
    drop(service);
    write("5433");
    run(["serve", &path]).fails(3, &["'5433' is no address to listen at", "served.toml:5"]);
}

#[cfg(feature = "jwt")]
mod tokens {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use std::process::{Command, Stdio};
    use std::time::{SystemTime, UNIX_EPOCH};

    const SECRET: &str = "a secret of thirty-two bytes or more";

    /// A token that OpenSSL has signed: by other code than that which checks it.
    fn token(scope: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({ "iss": "us", "aud": "hitters", "sub": "wall", "exp": now + 600, "hitters": scope });
        let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!(
            "{}.{}",
            encoded(&json!({ "alg": "HS256", "typ": "JWT" })),
            encoded(&claims)
        );
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-binary", "-hmac", SECRET])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        openssl.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
        let signature = openssl.wait_with_output().unwrap().stdout;
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// `hitters serve` that believes tokens of `us` for `hitters`, signed by this algorithm and whom `trust` names.
    fn believing(answers: &str, algorithm: &str, trust: [&str; 2]) -> Command {
        let serve = ["serve", "--embedded", answers, "--listen", "127.0.0.1:0"];
        let tokens = [
            "--jwt-issuer",
            "us",
            "--jwt-audience",
            "hitters",
            "--jwt-algorithm",
            algorithm,
        ];
        command(serve.into_iter().chain(tokens).chain(trust))
    }

    #[test]
    fn a_secret_from_the_environment_lets_tokens_in() {
        let folder = tempfile::tempdir().unwrap();
        let answers = flights(folder.path());
        let mut start = believing(&answers, "HS256", ["--jwt-secret", "${env:HITTERS_TEST_SECRET}"]);
        start.env("HITTERS_TEST_SECRET", SECRET);
        let service = Serving::spawn(start);
        let europe = token(json!({ "pipelines": ["flights.destinations"], "where": { "origin": ["JFK"] } }));
        assert_eq!(service.get(TOP, Some(&europe)).0, 200);
        assert_eq!(service.get(&TOP.replace("JFK", "LGA"), Some(&europe)).0, 403);
        assert_eq!(service.get(TOP, Some(&token(json!({ "pipelines": ["shop"] })))).0, 403);
        assert_eq!(service.get(TOP, Some(&europe[..europe.len() - 2])).0, 401);
        assert_eq!(service.get(TOP, None).0, 401);
    }

    #[test]
    fn what_does_not_fit_together_is_said_before_anything_listens() {
        let folder = tempfile::tempdir().unwrap();
        let answers = folder.path().join("a.redb").display().to_string();
        let serve = |more: &[&str]| {
            run(["serve", "--embedded", &answers, "--listen", "127.0.0.1:0"]
                .iter()
                .chain(more))
        };
        serve(&["--jwt-issuer", "us"]).fails(2, &["--jwt-jwks is missing"]);
        serve(&["--jwt-jwks", "keys.json"]).fails(2, &["--jwt-issuer is missing"]);
        serve(&["--jwt-jwks", "http://id.example.com/k"]).fails(2, &["--jwt-jwks", "https://"]);
        serve(&["--jwt-jwks", "k", "--jwt-secret", "s"]).fails(2, &["--jwt-secret"]);
        let known = [
            "--jwt-issuer",
            "us",
            "--jwt-audience",
            "a",
            "--jwt-jwks",
            "k.json",
            "--jwt-algorithm",
        ];
        let with = |name| known.into_iter().chain([name]).collect::<Vec<_>>();
        serve(&with("HS256")).fails(2, &["everybody could sign"]);
        serve(&with("none")).fails(2, &["'none' is no algorithm"]);
    }

    /// A provider that says this to whoever asks; at most so many times.
    fn provider(said: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut asked = [0; 1024];
                let _ = stream.read(&mut asked);
                let _ = stream.write_all(said.as_bytes());
            }
        });
        format!("http://{address}/jwks.json")
    }

    #[test]
    fn keys_of_a_provider_are_fetched_and_what_is_no_set_of_keys_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let answers = folder.path().join("a.redb").display().to_string();
        let start = |url: &str| Serving::spawn(believing(&answers, "EdDSA", ["--jwt-jwks", url]));
        // RFC 8037, appendix A.2.
        let good = "HTTP/1.0 200 OK\r\n\r\n{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
        let url = provider(good);
        let mut service = start(&url);
        assert_eq!(service.get("/v1/me", Some("a.b.c")).0, 401);
        assert!(
            !service.running.heard().contains("trusted keys"),
            "{}",
            service.running.said
        );
        drop(service);
        for (said, why) in [
            ("HTTP/1.0 500 Oh\r\n\r\n", "500"),
            (
                "HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:9/\r\n\r\n",
                "cannot be read",
            ),
            ("HTTP/1.0 200 OK\r\n\r\n<html>", "no set of keys"),
        ] {
            let mut service = start(&provider(said));
            assert!(
                service.running.heard().contains("cannot be read"),
                "{why}: {}",
                service.running.said
            );
            assert!(service.running.said.contains(why), "{why}: {}", service.running.said);
        }
    }
}
