//! Rows to Redis commands.

use super::Target;
use arrow::array::{AsArray, RecordBatch, StringViewArray};
use redis::Cmd;
use std::collections::HashMap;

/// Commands that are not sent yet. Of several rows for one string or one field only the last is kept: it would overwrite
/// the others anyway.
#[derive(Default)]
pub(super) struct Commands {
    list: Vec<Cmd>,
    /// Place in `list` of the last write to a key (and field).
    place: HashMap<(String, String), usize>,
    bytes: usize,
}

impl Commands {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the rows of a batch; `ends` are the ends of their values in `rows`.
    ///
    /// # Errors
    ///
    /// A row whose key is NULL.
    pub(super) fn add(
        &mut self,
        target: &Target,
        prefix: &str,
        (key, field): (Option<usize>, Option<usize>),
        batch: &RecordBatch,
        rows: &[u8],
        ends: &[usize],
    ) -> Result<(), String> {
        let text = |column: Option<usize>| column.and_then(|column| batch.column(column).as_string_view_opt());
        let (keys, fields) = (text(key), text(field));
        let mut begin = 0;
        for (row, &end) in ends.iter().enumerate() {
            let value = &rows[begin..end];
            begin = end;
            let key = format!("{prefix}{}", part(keys, row)?);
            let field = part(fields, row)?;
            self.bytes += key.len() + field.len() + value.len();
            match target {
                Target::String { ttl: None } => {
                    self.replace(key.clone(), String::new(), redis::cmd("SET").arg(key).arg(value))
                }
                Target::String { ttl: Some(ttl) } => {
                    self.replace(
                        key.clone(),
                        String::new(),
                        redis::cmd("SETEX").arg(key).arg(ttl.get()).arg(value),
                    );
                }
                Target::Hash { .. } => self.replace(
                    key.clone(),
                    field.to_string(),
                    redis::cmd("HSET").arg(key).arg(field).arg(value),
                ),
                Target::List { append, longest } => {
                    self.list.push(
                        redis::cmd(if *append { "RPUSH" } else { "LPUSH" })
                            .arg(&key)
                            .arg(value)
                            .clone(),
                    );
                    if longest.is_some() {
                        self.place.insert((key, String::new()), 0);
                    }
                }
            }
        }
        Ok(())
    }

    fn replace(&mut self, key: String, field: String, command: &mut Cmd) {
        match self.place.entry((key, field)) {
            std::collections::hash_map::Entry::Occupied(place) => self.list[*place.get()] = command.clone(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(self.list.len());
                self.list.push(command.clone());
            }
        }
    }

    /// The commands to send, those that cut lists to their length last.
    pub(super) fn finish(&mut self, target: &Target) -> Vec<Cmd> {
        if let Target::List {
            append,
            longest: Some(longest),
        } = target
        {
            let length = i64::try_from(longest.get()).unwrap_or(i64::MAX);
            for (key, _) in self.place.keys() {
                let (first, last) = if *append { (-length, -1) } else { (0, length - 1) };
                self.list
                    .push(redis::cmd("LTRIM").arg(key).arg(first).arg(last).clone());
            }
        }
        self.place.clear();
        self.bytes = 0;
        std::mem::take(&mut self.list)
    }
}

/// The text of a row, empty without a column.
fn part(column: Option<&StringViewArray>, row: usize) -> Result<&str, String> {
    use arrow::array::Array;
    match column {
        None => Ok(""),
        Some(column) if column.is_null(row) => {
            Err("the key of a row is NULL, so it cannot be written; use coalesce() in the query".into())
        }
        Some(column) => Ok(column.value(row)),
    }
}
