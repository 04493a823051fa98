//! How history is written: rows, what was seen, what is known, positions, by one run at a time.
//!
//! The order is what makes it safe to be killed anywhere: rows first, then what was seen (`seen_from`, `seen_to` of a piece), then
//! the position in the log. What was seen becomes known by [`History::freeze`] and [`History::settle`], with all that was written
//! beside it read in between. All of it is the same when it is written twice.
//!
//! Whoever begins takes the next number of the pipeline. What an older number writes loses against what a newer one wrote, and
//! [`History::hold`] tells the older run to end.

use super::connection::{Connection, NAME};
use super::pieces::{Pieces, Tiered};
use super::{CassandraStore, active, all_known, layout, now, number, tiers};
use crate::row::{Pane, Row};
use crate::store::{Archive, History, Scope, Span, Store, StoreError, Tier};
use async_trait::async_trait;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::value::MaybeUnset;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Writes at once.
const AT_ONCE: usize = 64;

/// Writes history.
#[derive(Debug)]
pub struct Writer {
    store: CassandraStore,
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of this run, by pipeline.
    attempts: HashMap<String, i64>,
    tiers: BTreeSet<Tiered>,
    pieces: Pieces,
    /// The log that the rows come from.
    log: Option<String>,
}

impl Writer {
    /// Writes to this store. `anew`: records between what was archived before and what comes now are lost, so that what was known
    /// before is not known any more.
    pub fn new(store: CassandraStore, anew: bool) -> Self {
        let state = State {
            pieces: Pieces::new(anew),
            ..State::default()
        };
        Self {
            store,
            state: tokio::sync::Mutex::new(state),
        }
    }
}

#[async_trait]
impl History for Writer {
    fn place(&self) -> String {
        format!("cassandra at {}", self.store.address())
    }

    async fn resume(&self, log: &str) -> Result<BTreeSet<Scope>, StoreError> {
        let connection = self.store.connection().await?;
        let mut state = self.state.lock().await;
        state.log = Some(log.to_owned());
        let done = resume(&connection, &mut state, log).await;
        self.store.heard(&connection, done)
    }

    async fn positions(&self, log: &str) -> Result<BTreeMap<i32, i64>, StoreError> {
        let connection = self.store.connection().await?;
        let rows = connection.ask(&connection.say.positions, &(log,)).await;
        let rows: Vec<(i32, Option<i64>)> = self.store.heard(&connection, rows)?;
        Ok(rows
            .into_iter()
            .filter_map(|(part, next)| Some((part, next?)))
            .collect())
    }

    async fn advance(&self, log: &str, positions: &BTreeMap<i32, i64>) -> Result<(), StoreError> {
        let connection = self.store.connection().await?;
        for (part, next) in positions {
            let told = connection.tell(&connection.say.put_position, (log, part, next)).await;
            self.store.heard(&connection, told)?;
        }
        Ok(())
    }

    async fn put(&self, rows: &[Row], partial_until: Option<i64>) -> Result<(), StoreError> {
        let connection = self.store.connection().await?;
        let mut state = self.state.lock().await;
        // From before the first write on.
        let begun = now();
        let done = async {
            write(&connection, &mut state, rows).await?;
            let whole = |row: &&Row| partial_until.is_none_or(|end| row.end > end);
            let whole: Vec<&Row> = rows.iter().filter(whole).collect();
            state.pieces.see(&connection, &whole, begun).await?;
            state.save(&connection).await
        };
        let done = done.await;
        self.store.heard(&connection, done)
    }

    async fn freeze(&self) {
        self.state.lock().await.pieces.freeze();
    }

    async fn settle(&self) -> Result<bool, StoreError> {
        let connection = self.store.connection().await?;
        let mut state = self.state.lock().await;
        let scopes = state.pieces.settle();
        let done = async {
            state.save(&connection).await?;
            for scope in &scopes {
                activate(&connection, scope).await?;
            }
            Ok(())
        };
        let done = done.await;
        self.store.heard(&connection, done)?;
        state.pieces.settled();
        Ok(!scopes.is_empty())
    }

    async fn hold(&self) -> Result<(), StoreError> {
        let connection = self.store.connection().await?;
        let attempts = self.state.lock().await.attempts.clone();
        for (pipeline, own) in attempts {
            let newest = self.store.heard(&connection, attempt(&connection, &pipeline).await)?;
            if let Some(newest) = newest.filter(|newest| *newest > own) {
                return Err(StoreError::Fenced {
                    store: NAME,
                    what: format!("run {own} of the archive of {pipeline}"),
                    by: format!("run {newest}"),
                });
            }
        }
        Ok(())
    }

    fn archive(&self) -> Option<&dyn Archive> {
        Some(self)
    }
}

impl State {
    /// Takes the next number of a pipeline, once.
    async fn begin(&mut self, connection: &Connection, pipeline: &str) -> Result<(), StoreError> {
        if self.attempts.contains_key(pipeline) {
            return Ok(());
        }
        if let Some(log) = &self.log {
            connection.tell(&connection.say.put_source, (log, pipeline)).await?;
        }
        let attempt = begin(connection, pipeline).await?;
        self.attempts.insert(pipeline.to_owned(), attempt);
        Ok(())
    }

    /// Writes the pieces that changed.
    async fn save(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.pieces.save(connection, &self.attempts).await
    }
}

async fn resume(connection: &Connection, state: &mut State, log: &str) -> Result<BTreeSet<Scope>, StoreError> {
    let say = &connection.say;
    let mut scopes = BTreeSet::new();
    let pipelines: Vec<(String,)> = connection.ask(&say.sources, &(log,)).await?;
    for (pipeline,) in pipelines {
        // What this run settles has to go before what an earlier one said.
        state.begin(connection, &pipeline).await?;
        let tiers: Vec<(i64, String, i64)> = connection.ask(&say.all_tiers, &(&pipeline,)).await?;
        for (version, set, width) in tiers {
            let scope = Scope {
                pipeline: pipeline.clone(),
                version: u64::try_from(version).unwrap_or_default(),
            };
            scopes.insert(scope.clone());
            state.pieces.resume(connection, (scope, set, width)).await?;
        }
    }
    Ok(scopes)
}

async fn attempt(connection: &Connection, pipeline: &str) -> Result<Option<i64>, StoreError> {
    let rows: Vec<(Option<i64>,)> = connection.ask(&connection.say.attempt, &(pipeline,)).await?;
    Ok(rows.first().and_then(|(attempt,)| *attempt))
}

/// Takes the next number of a pipeline.
async fn begin(connection: &Connection, pipeline: &str) -> Result<i64, StoreError> {
    let say = &connection.say;
    loop {
        match attempt(connection, pipeline).await? {
            None => {
                if connection.agree(&say.begin, (pipeline, 1_i64)).await? {
                    return Ok(1);
                }
            }
            Some(last) => {
                let next = last + 1;
                if connection.agree(&say.take, (next, pipeline, last)).await? {
                    return Ok(next);
                }
            }
        }
    }
}

/// Raises the version that readers look at, once a newer one is known as far as it.
async fn activate(connection: &Connection, scope: &Scope) -> Result<(), StoreError> {
    let say = &connection.say;
    loop {
        let shown = active(connection, &scope.pipeline).await?;
        let own = number(scope.version);
        if shown.is_some_and(|shown| shown >= own) {
            return Ok(());
        }
        if let Some(version) = shown.and_then(|shown| u64::try_from(shown).ok()) {
            let shown = Scope {
                pipeline: scope.pipeline.clone(),
                version,
            };
            if end(connection, scope).await? < end(connection, &shown).await? {
                return Ok(());
            }
        }
        if connection.agree(&say.activate, (own, &scope.pipeline, shown)).await? {
            return Ok(());
        }
    }
}

/// The end of the newest known window.
async fn end(connection: &Connection, scope: &Scope) -> Result<Option<i64>, StoreError> {
    let known = all_known(connection, scope).await?;
    Ok(known.iter().map(|(_, (_, to))| *to).max())
}

/// Windows and the newest of each group.
async fn write(connection: &Connection, state: &mut State, rows: &[Row]) -> Result<(), StoreError> {
    for row in rows {
        state.begin(connection, &row.pipeline).await?;
        let tier = (row.scope(), row.set.clone(), row.width());
        if !state.tiers.contains(&tier) {
            let (version, width) = (number(row.version), row.width());
            let key = (&row.pipeline, version, &row.set, width, crate::retention(width));
            connection.tell(&connection.say.add_tier, key).await?;
            state.tiers.insert(tier);
        }
    }
    let attempts = &state.attempts;
    let writes: Vec<_> = rows
        .iter()
        .map(|row| {
            window(
                connection,
                attempts.get(&row.pipeline).copied().unwrap_or_default(),
                row,
            )
        })
        .collect();
    stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
}

async fn window(connection: &Connection, attempt: i64, row: &Row) -> Result<(), StoreError> {
    let say = &connection.say;
    let (version, width) = (number(row.version), row.width());
    let (pipeline, set, group) = (&row.pipeline, &row.set, &row.group);
    let answer = row.answer.as_ref().map(|answer| answer.to_value().to_string());
    // A sketch says all that an answer does. What is not there does not take away what is.
    let sketch = row.sketch.as_ref().map_or(MaybeUnset::Unset, MaybeUnset::Set);
    let only = match &answer {
        Some(text) if row.sketch.is_none() => MaybeUnset::Set(text),
        _ => MaybeUnset::Unset,
    };
    let day = layout::day(width, row.start);
    let (ttl, time) = (layout::ttl(width), layout::written(row, attempt));
    let values = (
        pipeline, version, set, group, width, day, row.start, sketch, only, ttl, time,
    );
    connection.tell(&say.put[layout::table(width)], values).await?;
    // Rolled-up rows have no answer of their own, and are never the newest news.
    if answer.is_some() {
        let (ttl, time) = (layout::longest(), layout::newest(row));
        let sketched = row.sketch.is_some();
        let values = (
            pipeline, version, set, group, row.start, row.end, sketched, &answer, ttl, time,
        );
        connection.tell(&say.put_newest, values).await?;
    }
    Ok(())
}

/// What a writer is asked for is what rolling up needs: all that is there, whether readers would still see it or not.
#[async_trait]
impl Store for Writer {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn pipelines(&self) -> Result<Vec<Scope>, StoreError> {
        self.store.pipelines().await
    }

    async fn active(&self, pipeline: &str) -> Result<Option<u64>, StoreError> {
        self.store.active(pipeline).await
    }

    async fn newest(&self, scope: &Scope) -> Result<Vec<Row>, StoreError> {
        self.store.newest(scope).await
    }

    async fn newest_of(&self, scope: &Scope, set: &str, group: &str) -> Result<Option<Row>, StoreError> {
        self.store.newest_of(scope, set, group).await
    }

    async fn tiers(&self, scope: &Scope) -> Result<Vec<Tier>, StoreError> {
        let connection = self.store.connection().await?;
        let all = tiers(&connection, scope, Some(i64::MAX)).await;
        self.store.heard(&connection, all)
    }

    async fn read(&self, scope: &Scope, set: &str, spans: &[Span]) -> Result<Vec<(usize, Pane)>, StoreError> {
        self.store.read(scope, set, spans).await
    }
}

#[async_trait]
impl Archive for Writer {
    /// Rows that are known at once: rolled-up ones, or a whole history.
    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        let connection = self.store.connection().await?;
        let mut state = self.state.lock().await;
        let begun = now();
        let done = async {
            write(&connection, &mut state, rows).await?;
            let all: Vec<&Row> = rows.iter().collect();
            state.pieces.see(&connection, &all, begun).await?;
            state.pieces.know(&all);
            state.save(&connection).await?;
            let scopes: BTreeSet<Scope> = rows.iter().map(Row::scope).collect();
            for scope in &scopes {
                activate(&connection, scope).await?;
            }
            Ok(())
        };
        let done = done.await;
        self.store.heard(&connection, done)
    }

    async fn forget(&self, scope: &Scope, set: &str, width: i64) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        state.pieces.restart((scope.clone(), set.to_owned(), width));
        Ok(())
    }
}
