//! How an archive writes recent windows: the rows that the sinks of a pipeline write, from its results topic.
//!
//! The order is what makes it safe to be killed anywhere: windows first, then the newest rows, then what was seen, then the position
//! in the log; all of it is the same when it is written twice. What was seen becomes known as in Cassandra, by
//! [`History::freeze`] and [`History::settle`].
//!
//! A window expires so long after its *end*, whenever it is written: rows of a topic come in no order of time, and windows have to go
//! in that order, or one that is gone would pass for empty. What has expired already is left out.
//!
//! Bounded: what is remembered is a few numbers for each set and width.

use super::archived::{self, Archived, Range, Said, joined};
use super::link::Link;
use super::scripts::Scripts;
use super::{NAME, base};
use crate::row::Row;
use crate::store::{Archive, History, Scope, StoreError};
use ::redis::{Cmd, ErrorKind, FromRedisValue, RedisError};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Rows and bytes of one script: Redis does nothing else while it runs.
const ROWS: usize = 250;
const BYTES: usize = 1 << 20;
/// A hundred years, in ms: Redis takes no time far beyond.
const LONGEST: i64 = 100 * 365 * 86_400_000;
/// What the fields of a topic's hash begin with that remember the versions of pipelines that it is about.
const OF: &str = "of:";

/// Writes recent windows to a Redis that is not a cluster.
pub struct RedisWriter {
    link: Link,
    /// How long windows are kept after their end, in ms.
    kept: i64,
    /// Records between what was archived before and what comes now are lost: what was known is not known any more.
    anew: bool,
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    scripts: Scripts,
    scopes: BTreeMap<Scope, Tiers>,
}

/// By set and width.
type Tiers = BTreeMap<(String, i64), Tiered>;

/// What a run knows of the windows of a set and width.
#[derive(Clone, Copy, Debug)]
struct Tiered {
    said: Said,
    /// What was seen when the log was last looked at.
    frozen: Range,
    dirty: bool,
}

impl Tiered {
    fn new(said: Said) -> Self {
        Self {
            said,
            frozen: None,
            dirty: false,
        }
    }
}

impl std::fmt::Debug for RedisWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisWriter({})", self.link.place())
    }
}

impl RedisWriter {
    /// Writes to [an address of Redis](super::RedisAddress). `anew`: records between what was archived before and what comes now are lost, so that what
    /// was known before is not known any more.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(url: &str, kept: Duration, anew: bool) -> Result<Self, StoreError> {
        let link = Link::new(url)?;
        Ok(Self {
            link,
            kept: i64::try_from(kept.as_millis()).unwrap_or(LONGEST).min(LONGEST),
            anew,
            state: tokio::sync::Mutex::default(),
        })
    }

    async fn ask<T: FromRedisValue>(&self, scripts: &Scripts, command: &Cmd) -> Result<T, StoreError> {
        let answer = self.link.ask(command).await;
        answer.map_err(|error| explained(&error, &scripts.log, &self.link.place()))
    }

    async fn tell(&self, scripts: &Scripts, command: &Cmd) -> Result<(), StoreError> {
        self.ask::<::redis::Value>(scripts, command).await.map(drop)
    }

    /// Takes up a version of a pipeline, once.
    async fn begin(&self, state: &mut State, scope: &Scope) -> Result<(), StoreError> {
        if state.scopes.contains_key(scope) {
            return Ok(());
        }
        let (scripts, key) = (&state.scripts, archived::key(scope));
        let remembered = format!("{OF}{}:v{}", scope.pipeline, scope.version);
        let begun = self.link.ask(&scripts.begin(&base(scope), &remembered)).await;
        let fields: BTreeMap<String, String> = begun.map_err(|error| match error.code() {
            Some("OTHERS") => others(&error, scope),
            _ => explained(&error, &scripts.log, &self.link.place()),
        })?;
        let archived = Archived::read(&key, &fields)?.unwrap_or_default();
        let mut changes = vec![("kept".to_owned(), self.kept.to_string())];
        let mut tiers = Tiers::new();
        // Windows that were to be kept for a shorter time are gone when readers still look for them.
        let forgotten = self.anew || archived.kept < self.kept;
        for ((set, width), said) in archived.tiers {
            if forgotten {
                changes.push((archived::field(&set, width), String::new()));
            } else {
                tiers.insert((set, width), Tiered::new(said));
            }
        }
        self.tell(scripts, &scripts.fields(key, &changes)).await?;
        state.scopes.insert(scope.clone(), tiers);
        Ok(())
    }

    /// Says what changed.
    async fn save(&self, state: &mut State) -> Result<(), StoreError> {
        for (scope, tiers) in &mut state.scopes {
            let mut changes = Vec::new();
            for ((set, width), tiered) in tiers.iter().filter(|(_, tiered)| tiered.dirty) {
                let text = serde_json::to_string(&tiered.said).unwrap_or_default();
                changes.push((archived::field(set, *width), text));
            }
            if changes.is_empty() {
                continue;
            }
            let command = state.scripts.fields(archived::key(scope), &changes);
            self.tell(&state.scripts, &command).await?;
            tiers.values_mut().for_each(|tiered| tiered.dirty = false);
        }
        Ok(())
    }

    /// Raises the version that readers look at, once a newer one is known as far as it.
    async fn activate(&self, state: &State, scope: &Scope) -> Result<(), StoreError> {
        let scripts = &state.scripts;
        let key = format!("hh:{}:active", scope.pipeline);
        let shown: Option<u64> = self.ask(scripts, ::redis::cmd("GET").arg(&key)).await?;
        if shown.is_some_and(|shown| shown >= scope.version) {
            return Ok(());
        }
        if let Some(version) = shown {
            let key = archived::key(&Scope {
                version,
                ..scope.clone()
            });
            let fields = self.ask(scripts, ::redis::cmd("HGETALL").arg(&key)).await?;
            let end = Archived::read(&key, &fields)?.and_then(|shown| shown.end());
            let tiers = state.scopes.get(scope).into_iter().flatten();
            let own = tiers.filter_map(|(_, tiered)| Some(tiered.said.known?.1)).max();
            if own < end {
                return Ok(());
            }
        }
        self.tell(scripts, &scripts.activate(key, shown, scope.version)).await
    }
}

#[async_trait]
impl History for RedisWriter {
    fn place(&self) -> String {
        let kept = Duration::from_millis(self.kept.unsigned_abs());
        format!("redis at {}, windows of the last {kept:?}", self.link.place())
    }

    async fn positions(&self, log: &str) -> Result<BTreeMap<i32, i64>, StoreError> {
        let scripts = Scripts {
            log: log.to_owned(),
            ..Scripts::default()
        };
        let hash = Scripts::topic(log);
        let fields: BTreeMap<String, String> = self.ask(&scripts, ::redis::cmd("HGETALL").arg(hash)).await?;
        let position = |(part, next): (String, String)| Some((part.parse().ok()?, next.parse().ok()?));
        Ok(fields.into_iter().filter_map(position).collect())
    }

    async fn resume(&self, log: &str) -> Result<BTreeSet<Scope>, StoreError> {
        let mut state = self.state.lock().await;
        state.scripts = Scripts {
            run: token(),
            log: log.to_owned(),
        };
        let fields: BTreeMap<String, String> = self.ask(&state.scripts, &state.scripts.take()).await?;
        for field in fields.keys() {
            let named = field.strip_prefix(OF).and_then(|of| of.rsplit_once(":v"));
            if let Some((pipeline, version)) = named
                && let Ok(version) = version.parse()
            {
                let pipeline = pipeline.to_owned();
                self.begin(&mut state, &Scope { pipeline, version }).await?;
            }
        }
        // Nothing is rolled up here.
        Ok(BTreeSet::new())
    }

    async fn put(&self, rows: &[Row], partial_until: Option<i64>) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        for row in rows {
            fits(row)?;
            self.begin(&mut state, &row.scope()).await?;
        }
        let state = &mut *state;
        let all: Vec<&Row> = rows.iter().collect();
        for piece in pieces(&all) {
            if let Some(command) = state.scripts.windows(piece, self.kept) {
                self.tell(&state.scripts, &command).await?;
            }
        }
        for (scope, rows) in newest(rows) {
            for piece in pieces(&rows) {
                let command = state.scripts.latest(&base(&scope), piece);
                self.tell(&state.scripts, &command).await?;
            }
        }
        for row in rows {
            let tiers = state.scopes.entry(row.scope()).or_default();
            let tiered = tiers.entry((row.set.clone(), row.width())).or_insert_with(|| {
                Tiered::new(Said {
                    known: None,
                    seen: None,
                    sketched: true,
                })
            });
            let mut said = tiered.said;
            said.sketched &= row.sketch.is_some();
            if partial_until.is_none_or(|end| row.end > end) {
                said.seen = joined(said.seen, Some((row.start, row.end)));
            }
            tiered.dirty |= said != tiered.said;
            tiered.said = said;
        }
        self.save(state).await
    }

    async fn hold(&self) -> Result<(), StoreError> {
        // Each script looks by itself.
        Ok(())
    }

    async fn advance(&self, log: &str, positions: &BTreeMap<i32, i64>) -> Result<(), StoreError> {
        let state = self.state.lock().await;
        let fields: Vec<(String, String)> = positions
            .iter()
            .map(|(part, next)| (part.to_string(), next.to_string()))
            .collect();
        let command = state.scripts.fields(Scripts::topic(log), &fields);
        self.tell(&state.scripts, &command).await
    }

    async fn freeze(&self) {
        let mut state = self.state.lock().await;
        let tiers = state.scopes.values_mut().flat_map(BTreeMap::values_mut);
        tiers.for_each(|tiered| tiered.frozen = tiered.said.seen);
    }

    async fn settle(&self) -> Result<bool, StoreError> {
        let mut state = self.state.lock().await;
        let mut changed = BTreeSet::new();
        for (scope, tiers) in &mut state.scopes {
            for tiered in tiers.values_mut().filter(|tiered| tiered.frozen.is_some()) {
                let more = joined(tiered.said.known, tiered.frozen);
                tiered.dirty |= more != tiered.said.known;
                tiered.said.known = more;
            }
            // Also what a call before said, and could not write.
            if tiers.values().any(|tiered| tiered.dirty) {
                changed.insert(scope.clone());
            }
        }
        if changed.is_empty() {
            // Whether this run may go on, and all of it is still there, is looked at also while nothing comes.
            self.tell(&state.scripts, &state.scripts.check()).await?;
        }
        self.save(&mut state).await?;
        for scope in &changed {
            self.activate(&state, scope).await?;
        }
        let tiers = state.scopes.values_mut().flat_map(BTreeMap::values_mut);
        tiers.for_each(|tiered| tiered.frozen = None);
        Ok(!changed.is_empty())
    }

    fn archive(&self) -> Option<&dyn Archive> {
        None
    }
}

/// Names this run, as no other one.
fn token() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", since.as_nanos(), std::process::id())
}

/// Whether a row has a key of its own.
fn fits(row: &Row) -> Result<(), StoreError> {
    if row.start.rem_euclid(1000) == 0 && row.end.rem_euclid(1000) == 0 {
        return Ok(());
    }
    Err(StoreError::Refused {
        store: NAME,
        reason: format!(
            "a window of {} is from {} to {}: keys there count whole seconds, so that others would have the same one",
            row.pipeline, row.start, row.end
        ),
    })
}

/// The newest row of each group, by version. Rolled-up rows have no answer of their own, and are no news.
fn newest(rows: &[Row]) -> BTreeMap<Scope, Vec<&Row>> {
    let mut newest: BTreeMap<(Scope, &str, &str), &Row> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.answer.is_some()) {
        let held = newest
            .entry((row.scope(), row.set.as_str(), row.group.as_str()))
            .or_insert(row);
        if (-row.width(), row.end) >= (-held.width(), held.end) {
            *held = row;
        }
    }
    let mut by_scope: BTreeMap<Scope, Vec<&Row>> = BTreeMap::new();
    for ((scope, ..), row) in newest {
        by_scope.entry(scope).or_default().push(row);
    }
    by_scope
}

/// Rows in pieces that are written at once.
fn pieces<'a, 'r>(rows: &'a [&'r Row]) -> Vec<&'a [&'r Row]> {
    let (mut pieces, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (place, row) in rows.iter().enumerate() {
        let own = row.sketch.as_ref().map_or(0, |sketch| sketch.len() / 3 * 4) + 1024;
        if place > begin && (place - begin >= ROWS || bytes + own > BYTES) {
            pieces.push(&rows[begin..place]);
            (begin, bytes) = (place, 0);
        }
        bytes += own;
    }
    if begin < rows.len() {
        pieces.push(&rows[begin..]);
    }
    pieces
}

/// What an error means, and whether waiting helps.
fn explained(error: &RedisError, log: &str, place: &str) -> StoreError {
    const NEVER: [&str; 8] = [
        "ERR",
        "WRONGTYPE",
        "NOAUTH",
        "WRONGPASS",
        "NOPERM",
        "MOVED",
        "CROSSSLOT",
        "ASK",
    ];
    let code = error.code().unwrap_or_default();
    let kind = error.kind();
    match code {
        "FENCED" => StoreError::Fenced {
            store: NAME,
            what: format!("this run of the archive of topic '{log}'"),
            by: "a later run".into(),
        },
        "LOST" => StoreError::Lost {
            store: NAME,
            what: format!("the archive of topic '{log}'"),
        },
        _ if NEVER.contains(&code)
            || matches!(kind, ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig) =>
        {
            let advice = match code {
                "MOVED" | "CROSSSLOT" | "ASK" => "; it is a cluster, and an archive needs a single server",
                "NOAUTH" | "WRONGPASS" | "NOPERM" => "; check user and password",
                _ if kind == ErrorKind::AuthenticationFailed => "; check user and password",
                _ => "",
            };
            StoreError::Refused {
                store: NAME,
                reason: format!(
                    "{place}: {}{advice}",
                    error.detail().map_or_else(|| error.to_string(), str::to_owned)
                ),
            }
        }
        _ => StoreError::Away {
            store: NAME,
            reason: format!("{place}: {error}"),
        },
    }
}

/// Somebody else fills the keys of this version.
fn others(error: &RedisError, scope: &Scope) -> StoreError {
    StoreError::Refused {
        store: NAME,
        reason: format!(
            "{} writes the answers of {} v{} there; archive to another Redis, or to another database of it (redis://host:port/1)",
            error.detail().unwrap_or("somebody else"),
            scope.pipeline,
            scope.version
        ),
    }
}
