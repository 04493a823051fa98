//! Rows on their way to Redis, and the plain commands that write them.

use super::Target;
use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use redis::Cmd;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A row with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub key: String,
    /// Of a hash; else empty.
    pub field: String,
    pub value: Vec<u8>,
}

/// Rows that are not sent yet. Of several rows for one string or one field only the last is kept: it would overwrite the
/// others anyway.
#[derive(Default)]
pub(super) struct Waiting {
    rows: Vec<Row>,
    /// Place in `rows` of the last write to a key (and field).
    place: HashMap<(String, String), usize>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a row; `replaces` an earlier one of the same key and field.
    pub(super) fn add(&mut self, row: Row, replaces: bool) {
        self.bytes += row.key.len() + row.field.len() + row.value.len();
        if !replaces {
            self.rows.push(row);
            return;
        }
        match self.place.entry((row.key.clone(), row.field.clone())) {
            Entry::Occupied(place) => self.rows[*place.get()] = row,
            Entry::Vacant(place) => {
                place.insert(self.rows.len());
                self.rows.push(row);
            }
        }
    }

    /// The rows in the order in which they came.
    pub(super) fn take(&mut self) -> Vec<Row> {
        self.place.clear();
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }
}

/// The rows of a batch; `ends` are the ends of their values in `values`.
///
/// # Errors
///
/// A row whose key is NULL, or what `take` says.
pub(super) fn each_row(
    prefix: &str,
    (key, field): (Option<usize>, Option<usize>),
    batch: &RecordBatch,
    values: &[u8],
    ends: &[usize],
    mut take: impl FnMut(String, &str, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let text = |column: Option<usize>| column.and_then(|column| batch.column(column).as_string_view_opt());
    let (keys, fields) = (text(key), text(field));
    let mut begin = 0;
    for (row, &end) in ends.iter().enumerate() {
        let key = format!("{prefix}{}", part(keys, row)?);
        take(key, part(fields, row)?, &values[begin..end])?;
        begin = end;
    }
    Ok(())
}

/// The commands that write rows, those that cut lists to their length last.
pub(super) fn commands(target: &Target, rows: &[Row]) -> Vec<Cmd> {
    let command = |row: &Row| match target {
        Target::String { ttl: None } => redis::cmd("SET").arg(&row.key).arg(&row.value).clone(),
        Target::String { ttl: Some(ttl) } => redis::cmd("SETEX").arg(&row.key).arg(ttl.get()).arg(&row.value).clone(),
        Target::Hash { .. } => redis::cmd("HSET").arg(&row.key).arg(&row.field).arg(&row.value).clone(),
        Target::List { append, .. } => redis::cmd(push(*append)).arg(&row.key).arg(&row.value).clone(),
    };
    let mut commands: Vec<Cmd> = rows.iter().map(command).collect();
    if let Target::List {
        append,
        longest: Some(longest),
    } = target
    {
        let length = i64::try_from(longest.get()).unwrap_or(i64::MAX);
        let mut keys: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        let (first, last) = if *append { (-length, -1) } else { (0, length - 1) };
        commands.extend(
            keys.into_iter()
                .map(|key| redis::cmd("LTRIM").arg(key).arg(first).arg(last).clone()),
        );
    }
    commands
}

/// The command that puts an entry to the end or to the front of a list.
pub(super) fn push(append: bool) -> &'static str {
    if append { "RPUSH" } else { "LPUSH" }
}

/// The text of a row, empty without a column.
fn part(column: Option<&StringViewArray>, row: usize) -> Result<&str, String> {
    match column {
        None => Ok(""),
        Some(column) if column.is_null(row) => {
            Err("the key of a row is NULL, so it cannot be written; use coalesce() in the query".into())
        }
        Some(column) => Ok(column.value(row)),
    }
}
