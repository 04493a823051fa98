//! Recent answers: what the Redis sinks of pipelines write, on either engine.
//!
//! ```text
//! hh:<pipeline>:active                                      the version to look at
//! hh:<pipeline>:v<N>:latest                                 hash: <set>:<group> -> the newest row, without its sketch
//! hh:<pipeline>:v<N>:w:<width s>:<start s>:<set>:<group>    the row with its sketch, until its time to live has passed
//! ```
//!
//! A window that has no row was empty, or has expired. To know which, the store remembers the starts of the windows that it
//! found by a scan, each with one key. Windows are written in order with one time to live for a table, so they expire in
//! order: as long as the key of a window is there, all later ones of its set and width are too. So one EXISTS says from
//! where on everything is known; a scan is repeated once a minute at most, to find new tiers.
//!
//! Where `hitters archive` writes the rows ([`RedisWriter`]), it does so in the order of a topic, which is none of time. Then it
//! also says what is known, and that is looked at instead:
//!
//! ```text
//! hh:<pipeline>:v<N>:archive                                hash: how long windows are kept, <width s>:<set> -> what is known
//! ```

mod address;
mod archived;
mod link;
mod scripts;
mod writer;

pub use address::RedisAddress;
pub use writer::RedisWriter;

use crate::row::{Pane, Row};
use crate::store::{Scope, Span, Store, StoreError, Tier};
use ::redis::{Cmd, FromRedisValue, Pipeline};
use archived::Archived;
use async_trait::async_trait;
use link::{Link, away};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const NAME: &str = "redis";
/// How often new tiers are looked for.
const RESCAN: Duration = Duration::from_secs(60);
/// Keys of one MGET: a megabyte or ten of answer.
const MGET: usize = 256;
/// Keys that one step of a scan looks at.
const SCAN: usize = 2000;

/// Answers in Redis.
pub struct RedisStore {
    link: Link,
    found: Mutex<HashMap<Scope, Found>>,
    /// One scan at a time.
    scanning: tokio::sync::Mutex<()>,
}

/// What a scan found.
#[derive(Clone, Default)]
struct Found {
    at: Option<Instant>,
    /// By set and width in seconds: the starts in seconds, and a key of each.
    windows: BTreeMap<(String, i64), BTreeMap<i64, String>>,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisStore")
    }
}

impl RedisStore {
    /// A store at [an address of Redis](RedisAddress). It connects when it is asked, and again after it was away.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Ok(Self {
            link: Link::new(url)?,
            found: Mutex::default(),
            scanning: tokio::sync::Mutex::default(),
        })
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.link.ask(command).await.map_err(|error| away(&error))
    }

    async fn ask_all<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, StoreError> {
        self.link.ask_all(pipeline).await.map_err(|error| away(&error))
    }

    /// What an archive says of its windows; `None` if the sinks of a pipeline write them.
    async fn archived(&self, scope: &Scope) -> Result<Option<Archived>, StoreError> {
        let key = archived::key(scope);
        let fields: BTreeMap<String, String> = self.ask(::redis::cmd("HGETALL").arg(&key)).await?;
        Archived::read(&key, &fields)
    }

    /// The keys of a pattern.
    async fn scan(&self, pattern: &str, kind: &str, mut take: impl FnMut(String)) -> Result<(), StoreError> {
        let mut cursor = 0_u64;
        loop {
            let mut command = ::redis::cmd("SCAN");
            command
                .arg(cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(SCAN)
                .arg("TYPE")
                .arg(kind);
            let (next, keys): (u64, Vec<String>) = self.ask(&command).await?;
            keys.into_iter().for_each(&mut take);
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn rescan(&self, scope: &Scope) -> Result<Found, StoreError> {
        let _one = self.scanning.lock().await;
        let fresh = self.known(scope).filter(Found::is_fresh);
        if let Some(found) = fresh {
            return Ok(found);
        }
        let base = format!("{}:w:", base(scope));
        let mut found = Found {
            at: Some(Instant::now()),
            windows: BTreeMap::new(),
        };
        self.scan(&format!("{base}*"), "string", |key| {
            let mut parts = key[base.len()..].splitn(4, ':');
            let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok());
            let (Some(width), Some(start)) = (number(), number()) else {
                return;
            };
            // Windows of a hop overlap: those at multiples of their width make up ranges.
            if let Some(set) = parts.next().filter(|_| width > 0 && start.rem_euclid(width) == 0) {
                let starts = found.windows.entry((set.to_owned(), width)).or_default();
                starts.entry(start).or_insert(key);
            }
        })
        .await?;
        self.remember(scope, found.clone());
        Ok(found)
    }

    fn known(&self, scope: &Scope) -> Option<Found> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.get(scope).cloned()
    }

    fn remember(&self, scope: &Scope, found: Found) {
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(scope.clone(), found);
    }

    /// The first of the windows that has not expired.
    async fn first_alive(&self, starts: &BTreeMap<i64, String>) -> Result<Option<i64>, StoreError> {
        let starts: Vec<_> = starts.iter().collect();
        let (mut low, mut high) = (0, starts.len());
        // The usual case is that the first one is.
        let mut middle = 0;
        while low < high {
            let alive: bool = self.ask(::redis::cmd("EXISTS").arg(starts[middle].1)).await?;
            if alive {
                high = middle;
            } else {
                low = middle + 1;
            }
            middle = usize::midpoint(low, high);
        }
        Ok(starts.get(low).map(|(start, _)| **start))
    }
}

impl Found {
    fn is_fresh(&self) -> bool {
        self.at.is_some_and(|at| at.elapsed() < RESCAN)
    }
}

/// Milliseconds since the epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn base(scope: &Scope) -> String {
    format!("hh:{}:v{}", scope.pipeline, scope.version)
}

fn row(key: &str, text: &[u8]) -> Result<Row, StoreError> {
    Row::parse(text).map_err(|reason| StoreError::Row {
        store: NAME,
        key: key.to_owned(),
        reason,
    })
}

#[async_trait]
impl Store for RedisStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn pipelines(&self) -> Result<Vec<Scope>, StoreError> {
        let mut names = BTreeSet::new();
        self.scan("hh:*:latest", "hash", |key| {
            let middle = key.strip_prefix("hh:").and_then(|rest| rest.strip_suffix(":latest"));
            if let Some((name, version)) = middle.and_then(|middle| middle.rsplit_once(":v"))
                && version.parse::<u64>().is_ok()
            {
                names.insert(name.to_owned());
            }
        })
        .await?;
        let mut scopes = Vec::new();
        for pipeline in names {
            if let Some(version) = self.active(&pipeline).await? {
                scopes.push(Scope { pipeline, version });
            }
        }
        Ok(scopes)
    }

    async fn active(&self, pipeline: &str) -> Result<Option<u64>, StoreError> {
        let said: Option<u64> = self
            .ask(::redis::cmd("GET").arg(format!("hh:{pipeline}:active")))
            .await?;
        if said.is_some() {
            return Ok(said);
        }
        // Nobody has said one (an engine that does not): the highest version that has answers.
        let mut highest = None;
        // A name with a wildcard in it is none of a pipeline.
        let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        if !pipeline.is_empty() && pipeline.chars().all(named) {
            self.scan(&format!("hh:{pipeline}:v*:latest"), "hash", |key| {
                let version = key.strip_suffix(":latest").and_then(|key| key.rsplit_once(":v"));
                highest = highest.max(version.and_then(|(_, version)| version.parse().ok()));
            })
            .await?;
        }
        Ok(highest)
    }

    async fn newest(&self, scope: &Scope) -> Result<Vec<Row>, StoreError> {
        let key = format!("{}:latest", base(scope));
        let fields: HashMap<String, Vec<u8>> = self.ask(::redis::cmd("HGETALL").arg(&key)).await?;
        let mut rows = Vec::with_capacity(fields.len());
        for (field, text) in fields {
            rows.push(row(&format!("{key} {field}"), &text)?);
        }
        if let Some(archived) = self.archived(scope).await? {
            rows = rows.into_iter().filter_map(|row| archived.given_way(row)).collect();
        }
        rows.sort_by(|a, b| (&a.set, &a.group).cmp(&(&b.set, &b.group)));
        Ok(rows)
    }

    async fn newest_of(&self, scope: &Scope, set: &str, group: &str) -> Result<Option<Row>, StoreError> {
        let (key, field) = (format!("{}:latest", base(scope)), format!("{set}:{group}"));
        let text: Option<Vec<u8>> = self.ask(::redis::cmd("HGET").arg(&key).arg(&field)).await?;
        let row = text.map(|text| row(&format!("{key} {field}"), &text)).transpose()?;
        let Some(row) = row else { return Ok(None) };
        Ok(match self.archived(scope).await? {
            Some(archived) => archived.given_way(row),
            None => Some(row),
        })
    }

    async fn tiers(&self, scope: &Scope) -> Result<Vec<Tier>, StoreError> {
        if let Some(archived) = self.archived(scope).await? {
            return Ok(archived.tiers(now()));
        }
        let mut found = match self.known(scope).filter(Found::is_fresh) {
            Some(found) => found,
            None => self.rescan(scope).await?,
        };
        let mut tiers = Vec::new();
        for ((set, width), starts) in &mut found.windows {
            let Some(first) = self.first_alive(starts).await? else {
                starts.clear();
                continue;
            };
            *starts = starts.split_off(&first);
            let last = starts.last_key_value().map_or(first, |(start, _)| *start);
            tiers.push(Tier {
                set: set.clone(),
                width: width.saturating_mul(1000),
                from: first.saturating_mul(1000),
                to: last.saturating_add(*width).saturating_mul(1000),
            });
        }
        self.remember(scope, found);
        Ok(tiers)
    }

    async fn read(&self, scope: &Scope, set: &str, spans: &[Span]) -> Result<Vec<(usize, Pane)>, StoreError> {
        let base = format!("{}:w:", base(scope));
        let mut wanted: Vec<(usize, String)> = Vec::new();
        for (place, span) in spans.iter().enumerate() {
            let key = |start: i64| {
                let (width, start) = (span.width / 1000, start.div_euclid(1000));
                (place, format!("{base}{width}:{start}:{set}:{}", span.group))
            };
            wanted.extend(span.starts().map(key));
        }
        let mut panes = Vec::new();
        for chunk in wanted.chunks(MGET) {
            let mut pipeline = Pipeline::new();
            let keys: Vec<&str> = chunk.iter().map(|(_, key)| key.as_str()).collect();
            pipeline.cmd("MGET").arg(keys);
            let (texts,): (Vec<Option<Vec<u8>>>,) = self.ask_all(&pipeline).await?;
            for ((place, key), text) in chunk.iter().zip(texts) {
                let Some(text) = text else { continue };
                let pane = Pane::parse(&text).map_err(|reason| StoreError::Row {
                    store: NAME,
                    key: key.clone(),
                    reason,
                })?;
                panes.push((*place, pane));
            }
        }
        Ok(panes)
    }
}
