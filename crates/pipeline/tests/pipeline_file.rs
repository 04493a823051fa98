//! What a pipeline file promises: everything wrong is said at once, nothing is ignored, secrets stay out of sight.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hitters_pipeline::{Backend, Broken, DeadLetter, Fault, Files, JwtTrust, Pipeline};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Writes files into a folder and loads `p.toml` from it.
fn load(files: &[(&str, &str)], overrides: &[(&str, &str)]) -> (Result<Pipeline, Broken>, Files, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let overrides: Vec<_> = overrides
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let environment = |name: &str| (name == "KAFKA_PASSWORD").then(|| "hush".to_string());
    let mut read = Files::default();
    let pipeline = Pipeline::load(&folder.path().join("p.toml"), &overrides, &environment, &mut read);
    (pipeline, read, folder)
}

/// `line: message` of each fault.
fn said(files: &[(&str, &str)], overrides: &[(&str, &str)]) -> Vec<String> {
    let (pipeline, read, _folder) = load(files, overrides);
    let line = |fault: &Fault| match &fault.place {
        Some(place) => {
            let name = Path::new(read.name(place.file))
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned();
            format!(
                "{name}:{}: {}",
                read.line_and_column(place.file, place.range.start).0,
                fault.message
            )
        }
        None => fault.message.clone(),
    };
    pipeline.expect_err("faults").faults.iter().map(line).collect()
}

#[test]
fn a_full_file_is_read() {
    let toml = r#"
        name = "shop-1"
        version = 3
        sql = "q.sql"
        parallelism = 2
        memory_limit = "512MiB"
        idle_timeout = "5s"
        idle_close = "1m"
        [parameters]
        k = 0x10
        password = "${env:KAFKA_PASSWORD}"
        [checkpoint]
        storage = "../state/${env:KAFKA_PASSWORD}"
        interval = "500ms"
        keep = 5
        [state]
        backend = "rocksdb"
        path = "scratch"
        [paths]
        out = "../out/x.json"
        [[show]]
        table = "t"
        windows = 2
    "#;
    let sql = "-- ${ignored}\nSELECT ${k}, '${password}', '${out}', '${pipeline}', ${version}, ${n:1}";
    let (pipeline, _, folder) = load(&[("p.toml", toml), ("q.sql", sql)], &[("n", "7")]);
    let pipeline = pipeline.unwrap();
    let out = folder.path().parent().unwrap().join("out/x.json");
    let expected = format!(
        "-- ${{ignored}}\nSELECT 16, 'hush', '{}', 'shop-1', 3, 7\n;\n",
        out.display()
    );
    assert_eq!(pipeline.script.text(), expected);
    assert_eq!(pipeline.script.masked(), expected.replace("hush", "****"));
    assert_eq!((pipeline.name.as_str(), pipeline.version), ("shop-1", 3));
    assert_eq!(pipeline.settings.memory_limit, Some(512 << 20));
    assert_eq!(pipeline.settings.parallelism, Some(2));
    assert_eq!(
        (pipeline.settings.idle_timeout, pipeline.settings.idle_close),
        (Some(Duration::from_secs(5)), Some(Duration::from_secs(60)))
    );
    let in_use = pipeline.settings.state.unwrap();
    let scratch = folder.path().join("scratch").display().to_string();
    assert_eq!((in_use.backend, in_use.path), (Backend::RocksDb, Some(scratch)));
    let checkpoint = pipeline.settings.checkpoint.unwrap();
    let state = folder.path().parent().unwrap().join("state/hush/v3");
    assert_eq!(checkpoint.storage, state.display().to_string());
    assert_eq!(
        (checkpoint.interval, checkpoint.keep),
        (Some(Duration::from_millis(500)), 5)
    );
    assert_eq!((pipeline.shows[0].table.as_str(), pipeline.shows[0].windows), ("t", 2));
}

#[test]
fn dead_letters_go_to_a_file_beside_the_pipeline_or_to_a_topic() {
    let target = |line: &str| {
        let (pipeline, _, folder) = load(
            &[("p.toml", &format!("sql = 'q.sql'\n{line}\n")), ("q.sql", "SELECT 1")],
            &[],
        );
        (pipeline.unwrap().settings.dead_letter, folder)
    };
    let (file, folder) = target("dead_letter = '../bad.ndjson'");
    assert_eq!(
        file,
        Some(DeadLetter::File(folder.path().parent().unwrap().join("bad.ndjson")))
    );
    let (topic, _) = target(
        "dead_letter = { topic = 'bad', bootstrap_servers = 'a:1,b:2', client_configs = 'sasl.password=${env:KAFKA_PASSWORD}' }",
    );
    let expected = DeadLetter::Topic {
        topic: "bad".into(),
        bootstrap_servers: "a:1,b:2".into(),
        client_configs: "sasl.password=hush".into(),
    };
    assert_eq!(topic, Some(expected));
    assert_eq!(target("").0, None);
    for (line, expected) in [
        (
            "dead_letter = 3",
            "p.toml:2: 'dead_letter' is neither a file nor a topic",
        ),
        (
            "dead_letter = { topic = 'x' }",
            "p.toml:2: 'dead_letter' has no 'bootstrap_servers'",
        ),
        (
            "dead_letter = { topic = 'x', bootstrap_servers = 'a:1', tpic = 'y' }",
            "p.toml:2: unknown key 'tpic'",
        ),
        ("state = 'rocksdb'", "p.toml:2: 'state' must be a table"),
        ("[state]", "p.toml:2: [state] names no backend"),
        ("state.backend = 'rocks'", "p.toml:2: there is no backend 'rocks'"),
        (
            "state = { backend = 'memory', path = 'x' }",
            "p.toml:2: state in memory has no path",
        ),
        (
            "state = { backend = 'rocksdb', path = 's3://x/y' }",
            "p.toml:2: 's3://x/y' is no folder",
        ),
        (
            "state = { backend = 'rocksdb', size = 1 }",
            "p.toml:2: unknown key 'size'",
        ),
        (
            "dead_letter = 'kafka://a:1/x'",
            "p.toml:2: a topic is not written as an address here",
        ),
    ] {
        let faults = said(
            &[("p.toml", &format!("sql = 'q.sql'\n{line}\n")), ("q.sql", "SELECT 1")],
            &[],
        );
        assert_eq!(faults, [expected]);
    }
}

#[test]
fn every_fault_is_said_at_once_with_its_line() {
    let toml = r#"nmae = "x"
sql = ["q.sql", "gone.sql"]
parallelism = 0
memory_limit = "lots"
idle_timeout = 10
checkpoint = "10s"
retention = "1d"
[parameters]
"bad-name" = 1
list = [1]
secret = "${env:NOT_SET}"
[[show]]
titel = "x"
"#;
    let faults = said(
        &[("p.toml", toml), ("q.sql", "SELECT ${a},\n ${b:1} ${c}")],
        &[("pipeline", "y")],
    );
    for expected in [
        "p.toml:1: unknown key 'nmae'",
        "p.toml:3: this is no number that can stand here",
        "p.toml:4: 'lots' is not a size",
        "p.toml:5: a text was expected here",
        "p.toml:6: 'checkpoint' must be a table",
        "p.toml:7: the key 'retention' has no effect yet",
        "p.toml:9: 'bad-name' cannot be the name of a parameter",
        "p.toml:10: the parameter 'list' has no value that can be filled in",
        "p.toml:11: the environment has no variable 'NOT_SET'",
        "p.toml:12: [[show]] names no table",
        "p.toml:13: unknown key 'titel'",
        "'pipeline' is a parameter of Hitters and cannot be set",
        "q.sql:1: the parameter 'a' has no value",
        "q.sql:2: the parameter 'c' has no value",
    ] {
        assert!(
            faults.iter().any(|fault| fault == expected),
            "{expected} is not in {faults:#?}"
        );
    }
    assert!(
        faults
            .iter()
            .any(|fault| fault.starts_with("p.toml:2: cannot read") && fault.contains("gone.sql")),
        "{faults:#?}"
    );
    assert_eq!(faults.len(), 15, "{faults:#?}");
}

#[test]
fn checkpoints_have_defaults_and_stay_with_the_pipeline_file() {
    let loaded = |toml: &str| {
        let (pipeline, _, folder) = load(&[("p.toml", toml), ("q.sql", "SELECT 1")], &[]);
        (pipeline.unwrap().settings.checkpoint, folder)
    };
    assert_eq!(loaded("sql = 'q.sql'").0, None);
    let (checkpoint, folder) = loaded("name = 'shop'\nversion = 2\nsql = 'q.sql'\n[checkpoint]");
    let checkpoint = checkpoint.unwrap();
    assert_eq!(
        checkpoint.storage,
        folder.path().join("state/shop/v2").display().to_string()
    );
    assert_eq!(
        (checkpoint.interval, checkpoint.keep),
        (Some(Duration::from_secs(10)), 3)
    );
    for (url, place) in [
        (
            "s3://bucket/shop?region=eu-central-1",
            "s3://bucket/shop/v1?region=eu-central-1",
        ),
        ("file:///var/shop/", "file:///var/shop/v1"),
        ("/var/shop", "/var/shop/v1"),
    ] {
        let toml = format!("sql = 'q.sql'\ncheckpoint = {{ storage = '{url}', interval = 'off' }}");
        let checkpoint = loaded(&toml).0.unwrap();
        assert_eq!((checkpoint.storage.as_str(), checkpoint.interval), (place, None));
    }
}

#[test]
fn what_is_wrong_with_checkpoints_is_said_at_once() {
    let toml = "sql = 'q.sql'\n[checkpoint]\nstorage = ''\ninterval = 'often'\nkeep = 0\nfolder = 'x'\n";
    assert_eq!(
        said(&[("p.toml", toml), ("q.sql", "SELECT 1")], &[]),
        [
            "p.toml:3: an empty text names no storage",
            "p.toml:4: 'often' is not a duration",
            "p.toml:5: this is no number that can stand here",
            "p.toml:6: unknown key 'folder'",
        ]
    );
    let short = "sql = 'q.sql'\n[checkpoint]\ninterval = '10ms'\n";
    assert_eq!(
        said(&[("p.toml", short), ("q.sql", "SELECT 1")], &[]),
        ["p.toml:3: '10ms' is too short between two checkpoints"]
    );
}

#[test]
fn a_parameter_that_nothing_uses_is_a_fault() {
    let faults = said(
        &[("p.toml", "sql = 'q.sql'\nparameters.k = 1\n"), ("q.sql", "SELECT 1")],
        &[("x", "2")],
    );
    assert_eq!(
        faults,
        [
            "no SQL file uses the parameter 'x'",
            "p.toml:2: no SQL file uses the parameter 'k'"
        ]
    );
}

#[test]
fn broken_toml_points_at_its_place() {
    let faults = said(&[("p.toml", "name = \"x\"\nsql = [\nparallelism = = 2\n")], &[]);
    assert!(faults[0].starts_with("p.toml:"), "{faults:?}");
}

#[test]
fn a_bare_text_has_a_name_and_defaults() {
    let mut files = Files::default();
    let overrides = [("k".to_string(), "3".to_string())];
    let pipeline = Pipeline::bare(
        "a/top words.sql",
        "SELECT ${k}, '${pipeline}'",
        &overrides,
        &|_| None,
        &mut files,
    )
    .unwrap();
    assert_eq!(pipeline.script.text(), "SELECT 3, 'top_words'\n;\n");
    let broken = Pipeline::bare("q.sql", "SELECT 1", &overrides, &|_| None, &mut files).unwrap_err();
    assert_eq!(broken.faults[0].message, "no SQL file uses the parameter 'k'");
    assert_eq!(
        broken.script.unwrap().text(),
        "SELECT 1\n;\n",
        "a planner can look for more"
    );
    assert!(
        Pipeline::bare("q.sql", "SELECT ${x}", &[], &|_| None, &mut files)
            .unwrap_err()
            .script
            .is_none()
    );
}

#[test]
fn a_cluster_is_read_and_its_key_is_missed_only_where_it_is_needed() {
    let cluster = |keys: &str| {
        let (pipeline, ..) = load(
            &[
                ("p.toml", &format!("sql = 'q.sql'\n[cluster]\n{keys}")),
                ("q.sql", "SELECT 1"),
            ],
            &[],
        );
        pipeline.unwrap().settings.cluster.unwrap()
    };
    let full =
        cluster("url = 'https://a:5115'\napi_key = '${env:KAFKA_PASSWORD}'\nca = '../ca.pem'\nparallelism = 8\n");
    assert_eq!((full.url.as_str(), full.parallelism), ("https://a:5115", Some(8)));
    assert!(full.ca.clone().unwrap().ends_with("ca.pem"));
    assert_eq!(full.api_key.as_ref().unwrap().as_ref().unwrap().reveal(), "hush");
    assert!(!format!("{full:?}").contains("hush"));
    let without = cluster("url = 'http://a:5115'\napi_key = '${env:NOT_SET}'\n");
    let fault = without.api_key.unwrap().unwrap_err();
    assert!(fault.message.contains("NOT_SET") && fault.place.is_some(), "{fault:?}");
    let wrong = "sql = 'q.sql'\n[cluster]\napi_key = 3\nparallelism = 0\nkey = 'x'\n";
    assert_eq!(
        said(&[("p.toml", wrong), ("q.sql", "SELECT 1")], &[]),
        [
            "p.toml:2: [cluster] has no 'url'",
            "p.toml:3: a text was expected here",
            "p.toml:4: this is no number that can stand here",
            "p.toml:5: unknown key 'key'",
        ]
    );
}

#[test]
fn how_answers_are_served_is_read_from_the_file() {
    let toml = r#"
        sql = "q.sql"
        [serve]
        listen = "0.0.0.0:8443"
        keys = "keys.json"
        tls = { certificate = "tls/chain.pem", key = "tls/key.pem" }
        cors = ["https://dash.example.com"]
        limit_per_second = 20
        listeners = 500
        listeners_per_key = 10
        timeout = "5s"
        cache = "16MiB"
        audit = true
        answers = "answers.redb"
        redis = "redis://:${env:KAFKA_PASSWORD}@localhost"
        postgres = "[::1]:5433"
        [serve.jwt]
        issuer = "https://id.example.com"
        audience = "hitters"
        algorithms = ["ES256", "RS256"]
        jwks = "https://id.example.com/jwks.json"
        claim = "https://example.com/hitters"
        leeway = "10s"
    "#;
    let (pipeline, _, folder) = load(&[("p.toml", toml), ("q.sql", "SELECT 1")], &[]);
    let serve = pipeline.unwrap().settings.serve.unwrap();
    assert_eq!(serve.listen, Some("0.0.0.0:8443".parse().unwrap()));
    assert_eq!(serve.postgres, Some("[::1]:5433".parse().unwrap()));
    assert_eq!(serve.keys, Some(folder.path().join("keys.json")));
    let tls = ["tls/chain.pem", "tls/key.pem"].map(|name| folder.path().join(name));
    assert_eq!(serve.tls.clone().map(<[_; 2]>::from), Some(tls));
    assert_eq!(
        (serve.limit_per_second, serve.listeners, serve.listeners_per_key),
        (Some(20), Some(500), Some(10))
    );
    assert_eq!(
        (serve.timeout, serve.cache, serve.audit),
        (Some(Duration::from_secs(5)), Some(16 << 20), Some(true))
    );
    assert_eq!(
        serve.redis.as_ref().unwrap().as_ref().unwrap().reveal(),
        "redis://:hush@localhost"
    );
    assert!(!format!("{serve:?}").contains("hush"));
    let jwt = serve.jwt.unwrap();
    assert_eq!(
        (jwt.audience, jwt.algorithms),
        (vec!["hitters".to_owned()], vec!["ES256".to_owned(), "RS256".to_owned()])
    );
    assert_eq!(jwt.trust, JwtTrust::Url("https://id.example.com/jwks.json".into()));
    assert_eq!(jwt.leeway, Some(Duration::from_secs(10)));
    // A variable is needed only by who connects.
    let toml = "sql = 'q.sql'\n[serve]\nredis = '${env:NOT_SET}'\n[serve.jwt]\nissuer='i'\naudience=['a']\nalgorithms=['HS256']\nsecret='${env:NOT_SET}'";
    let (pipeline, _, _folder) = load(&[("p.toml", toml), ("q.sql", "SELECT 1")], &[]);
    let serve = pipeline.unwrap().settings.serve.unwrap();
    assert!(serve.redis.unwrap().unwrap_err().message.contains("NOT_SET"));
    assert!(matches!(serve.jwt.unwrap().trust, JwtTrust::Secret(Err(_))));
}

#[test]
fn everything_wrong_with_how_answers_are_served_is_said_at_once() {
    let toml = r#"sql = "q.sql"
[serve]
listen = "localhost:8080"
port = 8080
tls = { certificate = "chain.pem" }
cors = ["dash.example.com", "https://x/page"]
limit_per_second = -1
listeners = 0
timeout = "1ms"
cache = "big"
audit = "yes"
redis = 6379
[serve.jwt]
issuer = 7
algorithms = ["RS256", "HS256", "none"]
jwks = "http://id.example.com/jwks.json"
jwsk = "x"
"#;
    let faults = said(&[("p.toml", toml), ("q.sql", "SELECT 1")], &[]);
    let expected = [
        "p.toml:3: 'localhost:8080' is no address to listen at",
        "p.toml:4: unknown key 'port'",
        "p.toml:5: 'tls' names one file of two",
        "p.toml:6: 'dash.example.com' is no origin",
        "p.toml:6: 'https://x/page' is no origin",
        "p.toml:7: this is no number that can stand here",
        "p.toml:8: this is no number that can stand here",
        "p.toml:9: this is too short",
        "p.toml:10: 'big' is not a size",
        "p.toml:11: true or false was expected here",
        "p.toml:12: a text was expected here",
        "p.toml:13: [serve.jwt] has no 'audience'",
        "p.toml:14: a text was expected here",
        "p.toml:15: the algorithm 'HS256' cannot stand here",
        "p.toml:15: the algorithm 'none' cannot stand here",
        "p.toml:16: 'http://id.example.com/jwks.json' is no place for keys",
        "p.toml:17: unknown key 'jwsk'",
    ];
    assert_eq!(faults, expected);
    let both =
        "sql = 'q.sql'\n[serve.jwt]\nissuer='i'\naudience='a'\nalgorithms=['ES256']\njwks='k.json'\nsecret='s'\n";
    let faults = said(&[("p.toml", both), ("q.sql", "SELECT 1")], &[]);
    let expected = [
        "p.toml:5: the algorithm 'ES256' cannot stand here",
        "p.toml:6: 'jwks' and 'secret' do not go together",
    ];
    assert_eq!(faults, expected);
}
