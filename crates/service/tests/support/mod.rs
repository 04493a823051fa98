//! A service that runs, and what it answers from.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hitters_results::{EmbeddedStore, Row, Store};
use hitters_service::{Options, Service};
use hitters_sketch::{ItemKind, Measure, TopK};
use hitters_tests::services::Redis;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub const MINUTE: i64 = 60_000;
/// 2026-01-31T12:00:00Z.
pub const NOON: i64 = 1_769_860_800_000;

/// A service that runs.
pub struct Running {
    _runtime: tokio::runtime::Runtime,
    pub url: String,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<()>,
}

impl Running {
    pub fn start(stores: Vec<Arc<dyn Store>>, change: impl FnOnce(&mut Options)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut options = Options::new("127.0.0.1:0".parse().unwrap(), stores);
        change(&mut options);
        let service = runtime.block_on(Service::bind(options)).unwrap();
        let url = service.url();
        let (end, wanted) = tokio::sync::oneshot::channel();
        let ended = runtime.spawn(async move {
            let wanted = async {
                let _ = wanted.await;
            };
            service.run(wanted).await.unwrap();
        });
        Self {
            _runtime: runtime,
            url,
            end: Some(end),
            ended,
        }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.split("//").last().unwrap()
    }

    /// Asks it to end; [`Running::has_ended`] says when it has.
    pub fn end(&mut self) {
        let _ = self.end.take().unwrap().send(());
    }

    pub fn has_ended(&self) -> bool {
        self.ended.is_finished()
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, ureq::http::HeaderMap, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = agent.get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.call().unwrap();
        let body = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), response.headers().clone(), body)
    }

    pub fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.get(path, &[]);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// Three minutes: in `r=eu` a leads b, then b overtakes; the second minute is empty.
pub fn rows() -> Vec<Row> {
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

pub fn embedded() -> Arc<dyn Store> {
    let store = EmbeddedStore::in_memory().unwrap();
    store.write_now(&rows()).unwrap();
    Arc::new(store)
}

pub fn to_redis(redis: &Redis, rows: &[Row]) {
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

/// The row of a minute over all, with these items.
pub fn row(minute: i64, items: &[(&str, u64)]) -> Row {
    let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 100).unwrap();
    items
        .iter()
        .for_each(|(item, count)| sketch.update(item.as_bytes(), *count));
    Row {
        pipeline: "shop".into(),
        version: 1,
        set: "*".into(),
        group: "*".into(),
        start: NOON + minute * MINUTE,
        end: NOON + (minute + 1) * MINUTE,
        answer: Some(sketch.answer(5).unwrap().into()),
        sketch: Some(sketch.to_bytes()),
    }
}

/// A key or certificate of the tests.
pub fn key(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)
}

/// A stream of live updates.
pub struct Live(std::io::Lines<BufReader<TcpStream>>);

impl Live {
    /// Asks for it; the status line comes back with it.
    pub fn open(service: &Running, path: &str, headers: &[(&str, &str)]) -> (String, Self) {
        let mut stream = TcpStream::connect(service.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let more: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n").as_bytes())
            .unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().unwrap().unwrap();
        (status, Self(lines))
    }

    /// The next event: its name, its id, its data. `None` at the end of the stream.
    pub fn next(&mut self) -> Option<(String, Option<i64>, Value)> {
        let (mut name, mut id) = (String::new(), None);
        for line in self.0.by_ref() {
            let line = line.ok()?;
            if let Some(text) = line.strip_prefix("event: ") {
                name = text.to_owned();
            } else if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse().ok();
            } else if let Some(text) = line.strip_prefix("data: ") {
                return Some((name, id, serde_json::from_str(text).unwrap()));
            }
        }
        None
    }
}
