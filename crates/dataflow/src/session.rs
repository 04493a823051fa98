//! Session windows: panes of one group stitched together where less than the gap lies between their rows.
//!
//! Panes are no wider than the gap, so all rows of a group in a pane are in one session, and a session is a run of panes.
//! Panes come complete and in the order of time, so a session only ever grows at its end, and its parts merge in the order
//! of time. It is published once, when all panes that could still extend it have come.
//!
//! Bound: at most [`SLACK`] rows of state are held for each session that is open.

use crate::Error;
use crate::groups::{GroupTable, Grouping};
use crate::operator::{Bounds, WindowRows};
use crate::publish::{Publisher, window_column};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat, interleave_record_batch, take};
use arrow::datatypes::Int64Type;
use arrow::row::{RowConverter, SortField};
use std::collections::HashMap;
use std::sync::Arc;

/// Parts are merged when more rows than this times the sessions are held (and more than a few thousand).
const SLACK: usize = 4;

/// The sessions of one window node that are not published yet.
pub struct Sessions {
    gap: i64,
    grouping: Arc<Grouping>,
    /// The session of each group that a row may still extend.
    open: HashMap<Key, Session>,
    /// Sessions that no row can extend, but whose end has not been reached.
    ended: Vec<(Key, Session)>,
    held_rows: usize,
    held_bytes: usize,
}

/// A group's keys in comparable form.
type Key = Box<[u8]>;

struct Session {
    start: i64,
    last: i64,
    parts: Vec<Part>,
}

/// A row of a partial.
#[derive(Clone)]
struct Part {
    partial: Arc<RecordBatch>,
    row: usize,
}

impl Sessions {
    /// Sessions that end after `gap` nanoseconds without rows. The grouping keeps first and last times.
    pub fn new(gap: i64, grouping: Arc<Grouping>) -> Self {
        Self {
            gap,
            grouping,
            open: HashMap::new(),
            ended: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
        }
    }

    /// Adds a complete pane, later than all before.
    pub fn add(&mut self, pane: RecordBatch) -> Result<(), Error> {
        let keys = self.keys(&pane)?;
        let at = self.grouping.key_count();
        let first: &Int64Array = pane.column(at).as_primitive::<Int64Type>();
        let last: &Int64Array = pane.column(at + 1).as_primitive::<Int64Type>();
        let partial = Arc::new(pane.clone());
        for (row, key) in keys.into_iter().enumerate() {
            let (first, last) = (first.value(row), last.value(row));
            let part = Part {
                partial: partial.clone(),
                row,
            };
            match self.open.get_mut(&key) {
                Some(session) if first < session.last.saturating_add(self.gap) => {
                    session.last = session.last.max(last);
                    session.parts.push(part);
                }
                _ => {
                    let session = Session {
                        start: first,
                        last,
                        parts: vec![part],
                    };
                    if let Some(before) = self.open.insert(key.clone(), session) {
                        self.ended.push((key, before));
                    }
                }
            }
        }
        self.held_rows += pane.num_rows();
        self.held_bytes += pane.get_array_memory_size();
        if self.held_rows > SLACK * (self.open.len() + self.ended.len()).max(1024) {
            self.compact()?;
        }
        Ok(())
    }

    /// Publishes the sessions that end at or before `time`, in the order of their ends, starts and keys. Panes of rows
    /// before `time` must have been added.
    pub fn publish(&mut self, time: i64, publisher: &Publisher) -> Result<Option<WindowRows>, Error> {
        let gap = self.gap;
        let over = |session: &Session| session.last.saturating_add(gap) <= time;
        let mut ending: Vec<(Key, Session)> = self.open.extract_if(|_, session| over(session)).collect();
        ending.extend(self.ended.extract_if(.., |(_, session)| over(session)));
        if ending.is_empty() {
            return Ok(None);
        }
        let bounds = |session: &Session| Bounds {
            end: session.last.saturating_add(gap),
            start: session.start,
        };
        ending.sort_unstable_by(|(a_key, a), (b_key, b)| (bounds(a), a_key).cmp(&(bounds(b), b_key)));
        let windows: Vec<Bounds> = ending.iter().map(|(_, session)| bounds(session)).collect();
        let (keys, results) = self.results(ending)?;
        let rows = publisher.rows(keys, window_column(&windows), results, windows.len())?;
        let until = windows.last().map_or(time, |window| window.end);
        Ok(Some(WindowRows {
            window: Some(Bounds {
                end: until,
                start: i64::MIN,
            }),
            rows,
        }))
    }

    /// A copy of the state: partials to be added again in this order. Parts stay apart, since merging them would take as long
    /// as the state is large; a part follows those of its group that are earlier.
    pub fn save(&self) -> Result<Vec<RecordBatch>, Error> {
        let mut by_key: HashMap<&Key, Vec<&Part>> = HashMap::with_capacity(self.open.len());
        let ended = self.ended.iter().map(|(key, session)| (key, session));
        for (key, session) in ended.chain(&self.open) {
            by_key.entry(key).or_default().extend(&session.parts);
        }
        let mut groups: Vec<(&Key, Vec<&Part>)> = by_key.into_iter().collect();
        // By key, so that saved state is the same in every process.
        groups.sort_unstable_by_key(|(key, _)| *key);
        let mut saved = Vec::new();
        loop {
            let round: Vec<&Part> = groups
                .iter()
                .filter_map(|(_, parts)| parts.get(saved.len()).copied())
                .collect();
            if round.is_empty() {
                return Ok(saved);
            }
            saved.push(gather(&round)?);
        }
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.held_bytes + (self.open.len() + self.ended.len()) * (size_of::<(Key, Session)>() + size_of::<Part>())
    }

    /// Keys and results of sessions, in their order.
    fn results(&self, sessions: Vec<(Key, Session)>) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>), Error> {
        // One table finds sessions by their group, so sessions of the same group go through separate tables.
        let mut seen: HashMap<&Key, usize> = HashMap::new();
        let mut rounds: Vec<Vec<usize>> = Vec::new();
        for (position, (key, _)) in sessions.iter().enumerate() {
            let round = seen.entry(key).and_modify(|round| *round += 1).or_insert(0);
            if rounds.len() == *round {
                rounds.push(Vec::new());
            }
            rounds[*round].push(position);
        }
        let (mut keys, mut results, mut order) = (Vec::new(), Vec::new(), vec![0; sessions.len()]);
        let mut at = 0;
        for round in rounds {
            for position in &round {
                order[*position] = at;
                at += 1;
            }
            let mut table = self.merge(round.iter().map(|position| &sessions[*position].1))?;
            let (round_keys, round_results) = table.take_results()?;
            keys.push(round_keys);
            results.push(round_results);
        }
        let order = UInt32Array::from(order);
        let reorder = |columns: Vec<Vec<ArrayRef>>| -> Result<Vec<ArrayRef>, Error> {
            (0..columns[0].len())
                .map(|column| {
                    let parts: Vec<_> = columns.iter().map(|round| round[column].as_ref()).collect();
                    Ok(take(&concat(&parts)?, &order, None)?)
                })
                .collect()
        };
        Ok((reorder(keys)?, reorder(results)?))
    }

    /// A table with the sessions as its groups, in their order; each of another group.
    fn merge<'a>(&self, sessions: impl Iterator<Item = &'a Session>) -> Result<GroupTable, Error> {
        let sessions: Vec<_> = sessions.collect();
        let mut table = GroupTable::new(self.grouping.clone())?;
        let mut round = 0;
        loop {
            let parts: Vec<&Part> = sessions.iter().filter_map(|session| session.parts.get(round)).collect();
            if parts.is_empty() {
                return Ok(table);
            }
            table.merge(&gather(&parts)?)?;
            round += 1;
        }
    }

    /// Merges the parts of each session into one row, and lets go of rows that were published.
    fn compact(&mut self) -> Result<(), Error> {
        let mut open: Vec<(Key, Session)> = self.open.drain().collect();
        // By key, so that saved state is the same in every process.
        open.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let merged = Arc::new(self.merge(open.iter().map(|(_, session)| session))?.take_partial()?);
        (self.held_rows, self.held_bytes) = (merged.num_rows(), merged.get_array_memory_size());
        for (row, (key, mut session)) in open.into_iter().enumerate() {
            session.parts = vec![Part {
                partial: merged.clone(),
                row,
            }];
            self.open.insert(key, session);
        }
        for position in 0..self.ended.len() {
            let session = &self.ended[position].1;
            let merged = Arc::new(self.merge(std::iter::once(session))?.take_partial()?);
            self.held_rows += 1;
            self.held_bytes += merged.get_array_memory_size();
            self.ended[position].1.parts = vec![Part {
                partial: merged,
                row: 0,
            }];
        }
        Ok(())
    }

    fn keys(&self, pane: &RecordBatch) -> Result<Vec<Key>, Error> {
        let columns = &pane.columns()[..self.grouping.key_count()];
        if columns.is_empty() {
            return Ok(vec![Key::default(); pane.num_rows()]);
        }
        let fields = columns
            .iter()
            .map(|column| SortField::new(column.data_type().clone()))
            .collect();
        let rows = RowConverter::new(fields)?.convert_columns(columns)?;
        Ok(rows.iter().map(|row| Key::from(row.as_ref())).collect())
    }
}

/// Rows of several partials as one batch.
fn gather(parts: &[&Part]) -> Result<RecordBatch, Error> {
    let mut partials: Vec<&RecordBatch> = Vec::new();
    let mut places: HashMap<*const RecordBatch, usize> = HashMap::new();
    let positions: Vec<(usize, usize)> = parts
        .iter()
        .map(|part| {
            let place = *places.entry(Arc::as_ptr(&part.partial)).or_insert_with(|| {
                partials.push(&part.partial);
                partials.len() - 1
            });
            (place, part.row)
        })
        .collect();
    Ok(interleave_record_batch(&partials, &positions)?)
}
