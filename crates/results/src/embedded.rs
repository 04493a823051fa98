//! Answers in one file beside the engine: no server is needed.
//!
//! Tables of the file (redb), with keys that sort as they are read; texts are written with their length before them:
//!
//! ```text
//! rows     pipeline, version, set, group, width, start -> sketch (empty: the row has none)
//! newest   pipeline, version, set, group               -> the newest row as JSON, without its sketch
//! windows  pipeline, version, set, width, start        -> nothing: some group has a row there
//! ```
//!
//! One process has the file open, so writers need no fence: a second one is refused by the file's lock. Windows past
//! [`retention`](crate::retention()) are deleted as newer ones are written, counted from the newest window's end and not from
//! the clock, so that a log of last year can be read again.

use crate::retention::retention;
use crate::row::{Pane, Row};
use crate::store::{Archive, Scope, Span, Store, StoreError, Tier};
use async_trait::async_trait;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const NAME: &str = "embedded";
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const NEWEST: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("newest");
const WINDOWS: TableDefinition<'_, &[u8], ()> = TableDefinition::new("windows");

/// Answers in a file.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    database: Arc<Database>,
}

impl EmbeddedStore {
    /// Opens a file, or makes it.
    ///
    /// # Errors
    /// If another process has it open, or it is no such file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::builder()
            .set_cache_size(64 << 20)
            .create(path)
            .map_err(away)?;
        Ok(Self {
            database: Arc::new(database),
        })
    }

    /// In memory: gone with the process.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        let backend = redb::backends::InMemoryBackend::new();
        let database = Database::builder().create_with_backend(backend).map_err(away)?;
        Ok(Self {
            database: Arc::new(database),
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.database.clone();
        let done = tokio::task::spawn_blocking(move || work(&database)).await;
        done.unwrap_or_else(|error| Err(away(error)))
    }

    /// Writes rows at once: for callers without a runtime.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_now(&self, rows: &[Row]) -> Result<(), StoreError> {
        write(&self.database, rows)
    }
}

fn away(error: impl std::fmt::Display) -> StoreError {
    StoreError::Away {
        store: NAME,
        reason: error.to_string(),
    }
}

/// A key, part by part.
#[derive(Clone, Default)]
struct Key(Vec<u8>);

impl Key {
    fn of(scope: &Scope) -> Self {
        Self::default().text(&scope.pipeline).number(scope.version)
    }

    fn text(mut self, text: &str) -> Self {
        // Names are short; what is longer shares a prefix and stays distinct by the bytes.
        self.0
            .extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Sorts before 0 what lies before 1970.
    fn time(self, time: i64) -> Self {
        self.number((time as u64) ^ (1 << 63))
    }

    /// The first key behind all that begin with this one.
    fn end(&self) -> Vec<u8> {
        let mut end = self.0.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                break;
            }
        }
        end
    }
}

/// Reads a key, part by part.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn number(&mut self) -> Option<u64> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*head))
    }

    fn text(&mut self) -> Option<&'a str> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn time(&mut self) -> Option<i64> {
        Some((self.number()? ^ (1 << 63)) as i64)
    }
}

/// The rows of a table; `None` if nothing was ever written.
macro_rules! table {
    ($transaction:expr, $table:expr) => {
        match $transaction.open_table($table) {
            Ok(table) => Some(table),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(away(error)),
        }
    };
}

fn write(database: &Database, rows: &[Row]) -> Result<(), StoreError> {
    let mut transaction = database.begin_write().map_err(away)?;
    // Rows can be computed again; a crash must not break the file, and does not.
    transaction.set_durability(Durability::None).map_err(away)?;
    {
        let mut all = transaction.open_table(ROWS).map_err(away)?;
        let mut newest = transaction.open_table(NEWEST).map_err(away)?;
        let mut windows = transaction.open_table(WINDOWS).map_err(away)?;
        let mut latest: BTreeMap<(Scope, String, i64), i64> = BTreeMap::new();
        for row in rows {
            let scope = Scope {
                pipeline: row.pipeline.clone(),
                version: row.version,
            };
            let group = Key::of(&scope).text(&row.set).text(&row.group);
            let newer = match newest.get(group.0.as_slice()).map_err(away)? {
                Some(old) => parse(old.value())?.end <= row.end,
                None => true,
            };
            // Rolled-up rows have no answer of their own, and are never the newest news.
            if newer && row.answer.is_some() {
                newest
                    .insert(group.0.as_slice(), row.to_json().as_bytes())
                    .map_err(away)?;
            }
            let key = group.time(row.width()).time(row.start);
            // A table without sketches must not take those away that another table of the pipeline wrote.
            if row.sketch.is_some() || all.get(key.0.as_slice()).map_err(away)?.is_none() {
                all.insert(key.0.as_slice(), row.sketch.as_deref().unwrap_or_default())
                    .map_err(away)?;
            }
            let window = Key::of(&scope).text(&row.set).time(row.width()).time(row.start);
            windows.insert(window.0.as_slice(), ()).map_err(away)?;
            let end = latest.entry((scope, row.set.clone(), row.width())).or_insert(row.end);
            *end = row.end.max(*end);
        }
        for ((scope, set, width), end) in latest {
            let limit = end.saturating_sub(retention(width));
            let tier = Key::of(&scope).text(&set).time(width);
            let old: Vec<Vec<u8>> = {
                let bound = tier.clone().time(limit);
                let range = windows.range(tier.0.as_slice()..bound.0.as_slice()).map_err(away)?;
                range
                    .filter_map(|entry| entry.ok().map(|(key, _)| key.value().to_vec()))
                    .collect()
            };
            if old.is_empty() {
                continue;
            }
            for key in old {
                windows.remove(key.as_slice()).map_err(away)?;
            }
            let set_key = Key::of(&scope).text(&set);
            let groups: Vec<Vec<u8>> = {
                let range = newest
                    .range(set_key.0.as_slice()..set_key.end().as_slice())
                    .map_err(away)?;
                range
                    .filter_map(|entry| entry.ok().map(|(key, _)| key.value().to_vec()))
                    .collect()
            };
            for group in groups {
                let tier = Key(group).time(width);
                let bound = tier.clone().time(limit);
                all.retain_in(tier.0.as_slice()..bound.0.as_slice(), |_, _| false)
                    .map_err(away)?;
            }
        }
    }
    transaction.commit().map_err(away)
}

fn parse(text: &[u8]) -> Result<Row, StoreError> {
    Row::parse(text).map_err(|reason| StoreError::Row {
        store: NAME,
        key: "newest".into(),
        reason,
    })
}

fn scopes(transaction: &ReadTransaction) -> Result<BTreeSet<Scope>, StoreError> {
    let mut scopes = BTreeSet::new();
    let Some(table) = table!(transaction, NEWEST) else {
        return Ok(scopes);
    };
    // From one scope to the next, not row by row.
    let mut from: Vec<u8> = Vec::new();
    while let Some(entry) = table.range(from.as_slice()..).map_err(away)?.next() {
        let (key, _) = entry.map_err(away)?;
        let mut parts = Parts(key.value());
        let (Some(pipeline), Some(version)) = (parts.text(), parts.number()) else {
            break;
        };
        let scope = Scope {
            pipeline: pipeline.to_owned(),
            version,
        };
        from = Key::of(&scope).end();
        scopes.insert(scope);
    }
    Ok(scopes)
}

fn newest(transaction: &ReadTransaction, scope: &Scope) -> Result<Vec<Row>, StoreError> {
    let Some(table) = table!(transaction, NEWEST) else {
        return Ok(Vec::new());
    };
    let key = Key::of(scope);
    let mut rows = Vec::new();
    for entry in table.range(key.0.as_slice()..key.end().as_slice()).map_err(away)? {
        let (_, text) = entry.map_err(away)?;
        rows.push(parse(text.value())?);
    }
    rows.sort_by(|a, b| (&a.set, &a.group).cmp(&(&b.set, &b.group)));
    Ok(rows)
}

/// The version that is complete up to the latest time; of equal ones the higher.
fn active(transaction: &ReadTransaction, versions: impl Iterator<Item = Scope>) -> Result<Option<Scope>, StoreError> {
    let mut best: Option<(i64, Scope)> = None;
    for scope in versions {
        let end = newest(transaction, &scope)?
            .iter()
            .map(|row| row.end)
            .max()
            .unwrap_or(i64::MIN);
        if best
            .as_ref()
            .is_none_or(|best| (best.0, best.1.version) <= (end, scope.version))
        {
            best = Some((end, scope));
        }
    }
    Ok(best.map(|(_, scope)| scope))
}

#[async_trait]
impl Store for EmbeddedStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn pipelines(&self) -> Result<Vec<Scope>, StoreError> {
        self.blocking(|database| {
            let transaction = database.begin_read().map_err(away)?;
            let all = scopes(&transaction)?;
            let names: BTreeSet<&String> = all.iter().map(|scope| &scope.pipeline).collect();
            let of = |name: &String| {
                active(
                    &transaction,
                    all.iter().filter(|scope| scope.pipeline == *name).cloned(),
                )
            };
            let found: Result<Vec<_>, _> = names.into_iter().map(of).collect();
            Ok(found?.into_iter().flatten().collect())
        })
        .await
    }

    async fn active(&self, pipeline: &str) -> Result<Option<u64>, StoreError> {
        let pipeline = pipeline.to_owned();
        self.blocking(move |database| {
            let transaction = database.begin_read().map_err(away)?;
            let versions = scopes(&transaction)?
                .into_iter()
                .filter(|scope| scope.pipeline == pipeline);
            Ok(active(&transaction, versions)?.map(|scope| scope.version))
        })
        .await
    }

    async fn newest(&self, scope: &Scope) -> Result<Vec<Row>, StoreError> {
        let scope = scope.clone();
        self.blocking(move |database| newest(&database.begin_read().map_err(away)?, &scope))
            .await
    }

    async fn newest_of(&self, scope: &Scope, set: &str, group: &str) -> Result<Option<Row>, StoreError> {
        let key = Key::of(scope).text(set).text(group);
        self.blocking(move |database| {
            let transaction = database.begin_read().map_err(away)?;
            let Some(table) = table!(transaction, NEWEST) else {
                return Ok(None);
            };
            let row = table.get(key.0.as_slice()).map_err(away)?;
            row.map(|row| parse(row.value())).transpose()
        })
        .await
    }

    async fn tiers(&self, scope: &Scope) -> Result<Vec<Tier>, StoreError> {
        let scope = scope.clone();
        self.blocking(move |database| {
            let transaction = database.begin_read().map_err(away)?;
            let Some(table) = table!(transaction, WINDOWS) else {
                return Ok(Vec::new());
            };
            let all = Key::of(&scope);
            let mut tiers = Vec::new();
            let (mut from, end) = (all.0.clone(), all.end());
            loop {
                let mut range = table.range(from.as_slice()..end.as_slice()).map_err(away)?;
                // Windows of a hop overlap: those at multiples of their width make up ranges.
                let aligned = range.find_map(|entry| {
                    let (key, _) = entry.ok()?;
                    let mut parts = Parts(key.value());
                    let (_, _) = (parts.text()?, parts.number()?);
                    let (set, width, start) = (parts.text()?, parts.time()?, parts.time()?);
                    (width > 0 && start.rem_euclid(width) == 0).then(|| (set.to_owned(), width, start))
                });
                let Some((set, width, first)) = aligned else {
                    return Ok(tiers);
                };
                let tier = Key::of(&scope).text(&set).time(width);
                let range = table.range(tier.0.as_slice()..tier.end().as_slice()).map_err(away)?;
                let last = range
                    .rev()
                    .find_map(|entry| Parts(&entry.ok()?.0.value()[tier.0.len()..]).time());
                let last = last.unwrap_or(first).div_euclid(width) * width;
                from = tier.end();
                tiers.push(Tier {
                    set,
                    width,
                    from: first,
                    to: last + width,
                });
            }
        })
        .await
    }

    async fn read(&self, scope: &Scope, set: &str, spans: &[Span]) -> Result<Vec<(usize, Pane)>, StoreError> {
        let (set, spans) = (Key::of(scope).text(set), spans.to_vec());
        self.blocking(move |database| {
            let transaction = database.begin_read().map_err(away)?;
            let mut panes = Vec::new();
            let Some(table) = table!(transaction, ROWS) else {
                return Ok(panes);
            };
            for (place, span) in spans.iter().enumerate() {
                let tier = set.clone().text(&span.group).time(span.width);
                let (from, to) = (tier.clone().time(span.from), tier.clone().time(span.to));
                for entry in table.range(from.0.as_slice()..to.0.as_slice()).map_err(away)? {
                    let (key, sketch) = entry.map_err(away)?;
                    let Some(start) = Parts(&key.value()[tier.0.len()..]).time() else {
                        continue;
                    };
                    if (start - span.from).rem_euclid(span.width) == 0 {
                        let sketch = sketch.value();
                        let pane = Pane {
                            start,
                            end: start + span.width,
                            sketch: (!sketch.is_empty()).then(|| sketch.to_vec()),
                        };
                        panes.push((place, pane));
                    }
                }
            }
            Ok(panes)
        })
        .await
    }
}

#[async_trait]
impl Archive for EmbeddedStore {
    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        let rows = rows.to_vec();
        self.blocking(move |database| write(database, &rows)).await
    }

    async fn forget(&self, scope: &Scope, set: &str, width: i64) -> Result<(), StoreError> {
        let tier = Key::of(scope).text(set).time(width);
        self.blocking(move |database| {
            let transaction = database.begin_write().map_err(away)?;
            {
                let mut windows = transaction.open_table(WINDOWS).map_err(away)?;
                let gone = windows.retain_in(tier.0.as_slice()..tier.end().as_slice(), |_, ()| false);
                gone.map_err(away)?;
            }
            transaction.commit().map_err(away)
        })
        .await
    }
}
