//! The answers by SQL: psycopg in text and binary, psql, JDBC and SQLAlchemy with their own questions to the catalog, and those of dashboards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hitters_postgres::Server;
use hitters_results::{EmbeddedStore, Row, Store};
use hitters_service::{Access, KeyFile, Options, Service, ServiceError, Tls};
use hitters_sketch::{ItemKind, Measure, TopK};
use hitters_tests::services::{cached, certificate};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MINUTE: i64 = 60_000;
/// 2026-01-31T12:00:00Z.
const NOON: i64 = 1_769_860_800_000;

/// A service that runs.
struct Running {
    _runtime: tokio::runtime::Runtime,
    url: String,
    sql: SocketAddr,
}

impl Running {
    fn start(change: impl FnOnce(&mut Options)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut options = Options::new("127.0.0.1:0".parse().unwrap(), vec![embedded()]);
        change(&mut options);
        let service = runtime.block_on(Service::bind(options)).unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind(address, service.questions(), service.tls().cloned());
        let server = runtime.block_on(server).unwrap();
        let (url, sql) = (service.url(), server.address().unwrap());
        runtime.spawn(server.run());
        runtime.spawn(service.run(std::future::pending()));
        Self {
            _runtime: runtime,
            url,
            sql,
        }
    }

    /// What psql says, and whether all went well. `password`: in the environment, as people do.
    fn psql(&self, more: &str, password: &str, commands: &[&str]) -> (bool, String) {
        let mut psql = Command::new("psql");
        psql.env("PGPASSWORD", password)
            .env("PSQLRC", "/dev/null")
            .env("LC_ALL", "C.UTF-8");
        psql.arg(format!(
            "host=127.0.0.1 port={} user=me dbname=hitters connect_timeout=10 {more}",
            self.sql.port()
        ));
        psql.args([
            "-X",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=verbose",
            "-P",
            "pager=off",
        ]);
        for command in commands {
            psql.args(["-c", command]);
        }
        let done = psql.output().expect("psql is there; `make test` installs it");
        let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        (done.status.success(), text)
    }
}

/// Three minutes: in `region=eu` a leads b, then b overtakes; the second minute is empty. And another pipeline.
fn rows() -> Vec<Row> {
    let first: &[(&str, u64)] = &[("a", 10), ("b", 2)];
    let (us, last): (&[(&str, u64)], &[(&str, u64)]) = (&[("c", 4)], &[("a", 3), ("b", 9)]);
    let counts = [
        ("shop", 0, "region", "region=eu", first),
        ("shop", 0, "region", "region=us", us),
        ("shop", 2, "region", "region=eu", last),
        ("shop", 0, "category,region", "category=shoes|region=eu", first),
        ("shop", 0, "category,region", "category=hats|region=us", us),
        ("shop", 2, "category,region", "category=shoes|region=eu", last),
        ("shop", 0, "*", "*", &[("a", 10), ("b", 2), ("c", 4)]),
        ("shop", 2, "*", "*", last),
        ("cdn", 2, "*", "*", us),
    ];
    let row = |(pipeline, minute, set, group, items): (&str, i64, &str, &str, &[(&str, u64)])| {
        let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 100).unwrap();
        let add = |(item, count): &(&str, u64)| sketch.update(item.as_bytes(), *count);
        items.iter().for_each(add);
        Row {
            pipeline: pipeline.into(),
            version: 1,
            set: set.into(),
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

fn access(name: &str, pipeline: &str, region: Option<&str>, limit_per_second: Option<u32>) -> Access {
    Access {
        name: name.into(),
        pipelines: vec![pipeline.into()],
        groups: region
            .map(|region| ("region".to_owned(), vec![region.to_owned()]))
            .into_iter()
            .collect(),
        limit_per_second,
    }
}

/// A script of tests/postgres, in the environment that scripts/services.sh makes.
fn python(script: &str) -> Command {
    let environment = cached("HITTERS_POSTGRES_CHECK", "postgres-check", "bin/python3");
    let mut python = Command::new(environment.join("bin/python3"));
    python.arg(tests().join("postgres").join(script));
    python
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

/// A service with one key, for whom somebody runs a program.
fn with_a_key(run: impl FnOnce(&Running, &str) -> Command) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let key = KeyFile::new(&path).add(access("all", "*", None, Some(1_000_000)), None);
    let service = Running::start(|options| options.keys = Some(path));
    let done = run(&service, &key.unwrap()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn superset_grafana_and_metabase_find_what_they_ask_for() {
    with_a_key(|service, key| {
        let mut python = python("dashboards.py");
        python.arg(service.sql.port().to_string()).arg(key);
        python
    });
}

#[test]
fn a_driver_of_java_finds_what_it_asks_for() {
    with_a_key(|service, key| {
        let jars = cached("HITTERS_JDBC_LIB", "jdbc-42.7.13", "postgresql-42.7.13.jar");
        let mut java = Command::new("java");
        java.args(["-XX:TieredStopAtLevel=1", "-cp"]);
        java.arg(jars.join("postgresql-42.7.13.jar"))
            .arg(tests().join("jdbc/Check.java"));
        java.arg(service.sql.port().to_string()).arg(key);
        java
    });
}

#[test]
fn a_driver_finds_by_sql_what_rest_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let file = KeyFile::new(&path);
    let unlimited = Some(1_000_000);
    let keys = json!({
        "all": file.add(access("all", "*", None, unlimited), None).unwrap(),
        "eu": file.add(access("eu", "shop", Some("eu"), unlimited), None).unwrap(),
        "foreign": file.add(access("foreign", "cdn", None, unlimited), None).unwrap(),
        "slow": file.add(access("slow", "*", None, Some(1)), None).unwrap(),
        "revoked": file.add(access("revoked", "*", None, unlimited), None).unwrap(),
        "expired": file.add(access("expired", "*", None, None), Some(1)).unwrap(),
    });
    let service = Running::start(|options| options.keys = Some(path.clone()));
    let config = json!({ "url": service.url, "port": service.sql.port(), "keys": keys, "ca": null });
    let mut python = python("check.py");
    python.arg(config.to_string());
    python.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = python.spawn().unwrap();
    let mut answers = running.stdin.take().unwrap();
    for line in BufReader::new(running.stdout.take().unwrap()).lines() {
        assert_eq!(line.unwrap(), "revoke");
        assert_eq!(file.revoke("revoked").unwrap(), 1);
        answers.write_all(b"revoked\n").unwrap();
    }
    assert!(running.wait().unwrap().success());
}

#[test]
fn psql_finds_its_way() {
    let service = Running::start(|_| {});
    let (good, said) = service.psql("", "", &["\\dt", "\\d shop", "\\d", "\\l", "\\dn", "\\conninfo"]);
    assert!(good, "{said}");
    for found in [
        "public | pipelines",
        "public | shop",
        "window_end",
        "| bigint",
        "timestamp with time zone",
        "hitters",
    ] {
        assert!(said.contains(found), "{found}: {said}");
    }
    let query = "SELECT rank, item, count, window_end FROM top_k('shop', '3m') WHERE region = 'eu'";
    let (good, said) = service.psql("", "", &["\\pset format unaligned", "\\pset tuples_only on", query]);
    assert!(good, "{said}");
    assert!(said.contains("1|a|13|2026-01-31 12:03:00"), "{said}");
    let (good, said) = service.psql("", "", &["SELECT * FROM top_k('shop', k => 5000)"]);
    assert!(
        !good && said.contains("22023") && said.contains("HINT:") && said.contains("max 1000"),
        "{said}"
    );
}

#[test]
fn keys_and_data_go_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let keys = folder.path().join("keys.json");
    let password = KeyFile::new(&keys).add(access("a", "*", None, None), None).unwrap();
    let root = certificate.display().to_string();
    let service = Running::start(|options| {
        options.keys = Some(keys);
        options.tls = Some(Tls { certificate, key });
    });
    let more = format!("sslmode=verify-full sslrootcert={root}");
    let query = [
        "\\pset tuples_only on",
        "SELECT item FROM top_k('shop', k => 1)",
        "\\conninfo",
    ];
    let (good, said) = service.psql(&more, &password, &query);
    assert!(
        good && said.contains(" b\n") && said.contains("SSL connection"),
        "{said}"
    );
    let (good, said) = service.psql(&more, "hk_wrong", &query);
    assert!(!good && said.contains("no API key"), "{said}");
}

#[test]
fn without_keys_it_listens_on_the_loopback_only() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut options = Options::new("127.0.0.1:0".parse().unwrap(), vec![embedded()]);
    options.beside = vec!["0.0.0.0:0".parse().unwrap()];
    let bound = runtime.block_on(Service::bind(options));
    assert!(matches!(bound, Err(ServiceError::Open(address)) if address.ip().is_unspecified()));
}

#[test]
fn a_client_that_reads_nothing_loses_its_place_and_a_silent_one_is_asked_whether_it_is_there() {
    let service = Running::start(|options| {
        (options.timeout, options.unread) = (Duration::from_secs(2), Duration::from_secs(1));
    });
    let mut client = TcpStream::connect(service.sql).unwrap();
    let mut send = |kind: &[u8], body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        client
            .write_all(&[kind, &length, body].concat())
            .map(|()| client.try_clone().unwrap())
    };
    let mut client = send(b"", b"\x00\x03\x00\x00user\0me\0database\0hitters\0\0").unwrap();
    let (mut said, mut bytes) = (Vec::new(), [0; 4096]);
    while !said.ends_with(b"Z\0\0\0\x05I") {
        let count = client.read(&mut bytes).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&bytes[..count]);
    }
    // The timer of a connection that is idle: 02 is that of keep-alive.
    let ports = [service.sql.port(), client.local_addr().unwrap().port()].map(|port| format!(":{port:04X}"));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut own = fields.filter(|fields| fields[1].ends_with(&ports[0]) && fields[2].ends_with(&ports[1]));
    assert!(own.next().unwrap()[5].starts_with("02:"), "{table}");
    send(b"Q", b"SELECT repeat('x', 30000000)\0").unwrap();
    // What is sent now stays with the server, until it lets go of the connection.
    let begun = Instant::now();
    while send(b"S", b"").is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it keeps its place");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}
