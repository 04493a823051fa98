//! History in Cassandra: tables as in `sql/cassandra/tables.cql`, which says what stands where.
//!
//! A question reads the partitions that hold its windows and no others, some dozens at once. What is known in full is said by
//! the pieces of the table `known`; rows and pieces expire, and a piece counts only while all of its rows are there. The newest
//! windows may run ahead of what is known while they are being written: then the last known window stands in for them.
//!
//! [`CassandraStore`] reads; [`Writer`] is what `hitters archive` writes with.

mod address;
mod connection;
mod layout;
mod pieces;
mod schema;
mod tls;
mod writer;

pub use address::Address;
pub use tls::{Check, Tls};
pub use writer::Writer;

use crate::answer::Answer;
use crate::row::{Pane, Row};
use crate::store::{Scope, Span, Store, StoreError, Tier, given_way};
use async_trait::async_trait;
use connection::{Connection, NAME};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Calls at once of one question.
const AT_ONCE: usize = 64;

/// Answers in Cassandra.
#[derive(Clone)]
pub struct CassandraStore {
    address: Arc<Address>,
    connection: Arc<Mutex<Option<Arc<Connection>>>>,
    /// One connects at a time.
    connecting: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for CassandraStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CassandraStore({})", self.address)
    }
}

/// A set and width that has windows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    set: String,
    width: i64,
    /// How long windows are kept, in ms.
    kept: i64,
}

/// A row of `known`.
type Piece = (
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<bool>,
);
/// A row of `newest`.
type Newest = (String, Option<i64>, Option<i64>, Option<bool>, Option<String>);

impl CassandraStore {
    /// A store at this address. It connects when it is asked, and again after it was away.
    pub fn new(address: Address) -> Self {
        Self {
            address: Arc::new(address),
            connection: Arc::default(),
            connecting: Arc::default(),
        }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Makes the keyspace, unless it is there, and tables that are missing.
    ///
    /// `replication` is what stands behind `WITH replication =`; a number is that of copies on a cluster of one data centre.
    ///
    /// # Errors
    /// If it is away, or does not let this user.
    pub async fn create(&self, replication: &str) -> Result<(), StoreError> {
        schema::create(&self.address, replication).await
    }

    async fn connection(&self) -> Result<Arc<Connection>, StoreError> {
        let there = || self.slot().clone();
        if let Some(connection) = there() {
            return Ok(connection);
        }
        let _one = self.connecting.lock().await;
        if let Some(connection) = there() {
            return Ok(connection);
        }
        let connection = Arc::new(Connection::open(&self.address).await?);
        *self.slot() = Some(connection.clone());
        Ok(connection)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Connection>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens to what became of a call. A connection that failed is let go of, so that the next question connects at once instead of
    /// waiting for the pauses of the driver to pass.
    fn heard<T>(&self, connection: &Arc<Connection>, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Away { .. }) = &done {
            let mut slot = self.slot();
            if slot.as_ref().is_some_and(|held| Arc::ptr_eq(held, connection)) {
                *slot = None;
            }
        }
        done
    }
}

/// Milliseconds since the epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

async fn kinds(connection: &Connection, scope: &Scope) -> Result<Vec<Kind>, StoreError> {
    let key = (&scope.pipeline, number(scope.version));
    let rows: Vec<(String, i64, Option<i64>)> = connection.ask(&connection.say.tiers, &key).await?;
    let kind = |(set, width, kept): (String, i64, Option<i64>)| Kind {
        set,
        width,
        kept: kept.unwrap_or_else(|| crate::retention(width)),
    };
    Ok(rows.into_iter().map(kind).filter(|kind| kind.width > 0).collect())
}

/// From where to where every window of a set and width is known, whether it is still kept or not.
async fn known(
    connection: &Connection,
    scope: &Scope,
    set: &str,
    width: i64,
) -> Result<Option<(i64, i64)>, StoreError> {
    let key = (&scope.pipeline, number(scope.version), set, width, layout::PIECES);
    let pieces: Vec<Piece> = connection.ask(&connection.say.known, &key).await?;
    let (now, mut range) = (now(), None);
    for (_, from, to, _, _, alive, anew) in pieces {
        let is_alive = alive.is_some_and(|until| until > now);
        match (from.zip(to), range) {
            (Some((from, to)), None) if is_alive => range = Some((from, to)),
            (Some((from, to)), Some((first, last))) if is_alive => range = Some((from.min(first), to.max(last))),
            // Only seen yet: what lies before it may be known.
            (None, None) => {}
            _ => break,
        }
        if anew == Some(true) && range.is_some() {
            break;
        }
    }
    Ok(range)
}

/// Known ranges by set and width.
async fn all_known(connection: &Connection, scope: &Scope) -> Result<Vec<(Kind, (i64, i64))>, StoreError> {
    let kinds = kinds(connection, scope).await?;
    let range = |kind: Kind| async move {
        let range = known(connection, scope, &kind.set, kind.width).await?;
        Ok::<_, StoreError>(range.map(|range| (kind, range)))
    };
    let ranges: Vec<_> = kinds.into_iter().map(range).collect();
    let found: Vec<_> = stream::iter(ranges).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// The windows of a range that begin at a multiple of their width: those of a hop overlap, and only these make up ranges.
fn tier(kind: &Kind, (from, to): (i64, i64), kept: i64) -> Option<Tier> {
    let width = kind.width;
    let to = to.div_euclid(width) * width;
    let from = -(-from.max(to.saturating_sub(kept))).div_euclid(width) * width;
    (from < to).then(|| Tier {
        set: kind.set.clone(),
        width,
        from,
        to,
    })
}

/// The newest row of a group, or what stands in for it.
fn newest_row(
    scope: &Scope,
    set: &str,
    newest: Newest,
    known: &BTreeMap<i64, (i64, i64)>,
) -> Result<Option<Row>, StoreError> {
    let (group, Some(start), Some(end), sketched, answer) = newest else {
        return Ok(None);
    };
    let answer = answer.map(|text| Answer::parse(&text)).transpose();
    let answer = answer.map_err(|reason| StoreError::Row {
        store: NAME,
        key: format!(
            "newest of {} v{}, set {set}, group {group}",
            scope.pipeline, scope.version
        ),
        reason,
    })?;
    let row = Row {
        pipeline: scope.pipeline.clone(),
        version: scope.version,
        set: set.to_owned(),
        group,
        start,
        end,
        answer,
        sketch: None,
    };
    Ok(match sketched {
        Some(true) => given_way(row, known.get(&(end - start)).copied()),
        _ => Some(row),
    })
}

/// Known ranges of a set by width.
fn of_set(known: &[(Kind, (i64, i64))], set: &str) -> BTreeMap<i64, (i64, i64)> {
    let of_set = known.iter().filter(|(kind, _)| kind.set == set);
    of_set.map(|(kind, range)| (kind.width, *range)).collect()
}

async fn pipelines(connection: &Connection) -> Result<Vec<Scope>, StoreError> {
    let rows: Vec<(String, Option<i64>)> = connection.ask(&connection.say.pipelines, &()).await?;
    let scope = |(pipeline, active): (String, Option<i64>)| {
        let version = u64::try_from(active?).ok()?;
        Some(Scope { pipeline, version })
    };
    let mut scopes: Vec<Scope> = rows.into_iter().filter_map(scope).collect();
    scopes.sort();
    Ok(scopes)
}

async fn active(connection: &Connection, pipeline: &str) -> Result<Option<i64>, StoreError> {
    let rows: Vec<(Option<i64>,)> = connection.ask(&connection.say.active, &(pipeline,)).await?;
    Ok(rows.first().and_then(|(active,)| *active))
}

async fn newest(connection: &Connection, scope: &Scope) -> Result<Vec<Row>, StoreError> {
    let known = all_known(connection, scope).await?;
    let mut sets: Vec<&str> = known.iter().map(|(kind, _)| kind.set.as_str()).collect();
    sets.dedup();
    let mut rows = Vec::new();
    for set in sets {
        let of_set = of_set(&known, set);
        let key = (&scope.pipeline, number(scope.version), set);
        let found: Vec<Newest> = connection.ask(&connection.say.newest, &key).await?;
        for newest in found {
            rows.extend(newest_row(scope, set, newest, &of_set)?);
        }
    }
    rows.sort_by(|a, b| (&a.set, &a.group).cmp(&(&b.set, &b.group)));
    Ok(rows)
}

async fn newest_of(connection: &Connection, scope: &Scope, set: &str, group: &str) -> Result<Option<Row>, StoreError> {
    let key = (&scope.pipeline, number(scope.version), set, group);
    let found: Vec<Newest> = connection.ask(&connection.say.newest_of, &key).await?;
    let Some(newest) = found.into_iter().next() else {
        return Ok(None);
    };
    let (Some(start), Some(end)) = (newest.1, newest.2) else {
        return Ok(None);
    };
    let range = known(connection, scope, set, end - start).await?;
    let known = range.map(|range| (end - start, range)).into_iter().collect();
    newest_row(scope, set, newest, &known)
}

/// What is known in full, of the last `kept` of each tier (`None`: as long as the tier says).
async fn tiers(connection: &Connection, scope: &Scope, kept: Option<i64>) -> Result<Vec<Tier>, StoreError> {
    let known = all_known(connection, scope).await?;
    let tier = |(kind, range): &(Kind, (i64, i64))| tier(kind, *range, kept.unwrap_or(kind.kept));
    Ok(known.iter().filter_map(tier).collect())
}

async fn read(
    connection: &Connection,
    scope: &Scope,
    set: &str,
    spans: &[Span],
) -> Result<Vec<(usize, Pane)>, StoreError> {
    let version = number(scope.version);
    let part = |place: usize, span: Span, (day, from, to): (i64, i64, i64)| async move {
        let statement = &connection.say.read[layout::table(span.width)];
        let key = (&scope.pipeline, version, set, &span.group, span.width, day, from, to);
        let rows: Vec<(i64, Option<Vec<u8>>)> = connection.ask(statement, &key).await?;
        let rows = rows
            .into_iter()
            .filter(|(start, _)| (start - span.from).rem_euclid(span.width) == 0);
        let pane = |(start, sketch)| {
            let end = start + span.width;
            (place, Pane { start, end, sketch })
        };
        Ok::<Vec<_>, StoreError>(rows.map(pane).collect())
    };
    let mut parts = Vec::new();
    for (place, span) in spans.iter().enumerate() {
        for cut in layout::days(span.width, span.from, span.to) {
            parts.push(part(place, span.clone(), cut));
        }
    }
    let found: Vec<Vec<(usize, Pane)>> = stream::iter(parts).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

#[async_trait]
impl Store for CassandraStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn pipelines(&self) -> Result<Vec<Scope>, StoreError> {
        let connection = self.connection().await?;
        self.heard(&connection, pipelines(&connection).await)
    }

    async fn active(&self, pipeline: &str) -> Result<Option<u64>, StoreError> {
        // Cassandra refuses empty keys, which says nothing about whether it is there.
        if pipeline.is_empty() {
            return Ok(None);
        }
        let connection = self.connection().await?;
        let active = self.heard(&connection, active(&connection, pipeline).await)?;
        Ok(active.and_then(|version| u64::try_from(version).ok()))
    }

    async fn newest(&self, scope: &Scope) -> Result<Vec<Row>, StoreError> {
        let connection = self.connection().await?;
        self.heard(&connection, newest(&connection, scope).await)
    }

    async fn newest_of(&self, scope: &Scope, set: &str, group: &str) -> Result<Option<Row>, StoreError> {
        let connection = self.connection().await?;
        self.heard(&connection, newest_of(&connection, scope, set, group).await)
    }

    async fn tiers(&self, scope: &Scope) -> Result<Vec<Tier>, StoreError> {
        let connection = self.connection().await?;
        self.heard(&connection, tiers(&connection, scope, None).await)
    }

    async fn read(&self, scope: &Scope, set: &str, spans: &[Span]) -> Result<Vec<(usize, Pane)>, StoreError> {
        let connection = self.connection().await?;
        self.heard(&connection, read(&connection, scope, set, spans).await)
    }
}
