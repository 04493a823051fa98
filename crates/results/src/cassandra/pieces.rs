//! What a writer knows of the pieces of known ranges: what was seen, what of it is known, what of that has to be written.
//!
//! Bounded: pieces that have nothing left to say are let go of, and read again when rows for them come.

use super::connection::Connection;
use super::{Piece, layout, number};
use crate::row::Row;
use crate::store::{Scope, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Pieces that are kept in memory beyond those that are not settled.
const MOST: usize = 4096;

/// Windows of one width in a set.
pub(super) type Tiered = (Scope, String, i64);

/// From the start of the first window to the end of the last one.
type Range = Option<(i64, i64)>;

/// The pieces of a run.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    all: BTreeMap<(Tiered, i64), Known>,
    /// Grows with each write, so that a later one goes before an earlier one.
    turn: i64,
    /// What was known before this run is not known any more: the first piece of each tier begins anew.
    anew: bool,
    touched: BTreeSet<Tiered>,
    restarts: BTreeSet<Tiered>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    known: Range,
    seen: Range,
    /// What was seen when the log was last looked at.
    frozen: Range,
    /// Until when all of its rows are there, ms since the epoch.
    alive: i64,
    anew: bool,
    dirty: bool,
}

fn joined(a: Range, b: Range) -> Range {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (one, other) => one.or(other),
    }
}

impl Known {
    fn of(piece: &Piece) -> Self {
        let (_, from, to, seen_from, seen_to, alive, anew) = *piece;
        Self {
            known: from.zip(to),
            seen: seen_from.zip(seen_to),
            alive: alive.unwrap_or(i64::MIN),
            anew: anew == Some(true),
            ..Self::default()
        }
    }

    /// All that was seen is known, and stands in the table.
    fn is_settled(&self) -> bool {
        !self.dirty && self.frozen.is_none() && joined(self.known, self.seen) == self.known
    }
}

impl Pieces {
    pub(super) fn new(anew: bool) -> Self {
        Self {
            anew,
            ..Self::default()
        }
    }

    /// The next piece of these windows begins anew.
    pub(super) fn restart(&mut self, tiered: Tiered) {
        self.restarts.insert(tiered);
    }

    /// Takes up what a run before this one saw of these windows and could not settle.
    pub(super) async fn resume(&mut self, connection: &Connection, tiered: Tiered) -> Result<(), StoreError> {
        let (scope, set, width) = &tiered;
        let key = (&scope.pipeline, number(scope.version), set, width, i32::MAX);
        let pieces: Vec<Piece> = connection.ask(&connection.say.known, &key).await?;
        let open = pieces.iter().map(|piece| (piece.0, Known::of(piece)));
        for (piece, known) in open.filter(|(_, known)| !known.is_settled()) {
            self.all.entry((tiered.clone(), piece)).or_insert(known);
        }
        Ok(())
    }

    /// Extends what was seen by rows that were written from `begun` on.
    pub(super) async fn see(&mut self, connection: &Connection, rows: &[&Row], begun: i64) -> Result<(), StoreError> {
        for (key, range) in ranges(rows) {
            let (tiered, piece) = &key;
            let fresh = Known {
                alive: begun.saturating_add(layout::alive(tiered.2)),
                ..Known::default()
            };
            let first = self.anew && !self.touched.contains(tiered) || self.restarts.contains(tiered);
            if first {
                self.all.insert(key.clone(), Known { anew: true, ..fresh });
                self.restarts.remove(tiered);
            } else if !self.all.contains_key(&key) {
                let (scope, set, width) = tiered;
                let values = (&scope.pipeline, number(scope.version), set, width, piece);
                let found: Vec<Piece> = connection.ask(&connection.say.piece, &values).await?;
                let loaded = found.first().map_or(fresh, Known::of);
                self.all.insert(key.clone(), loaded);
            }
            self.touched.insert(tiered.clone());
            let known = self.all.entry(key).or_insert(fresh);
            // Its first rows may be gone: only what comes now is there.
            if known.alive <= begun {
                *known = fresh;
            }
            let more = joined(known.seen, Some(range));
            known.dirty |= more != known.seen;
            known.seen = more;
        }
        Ok(())
    }

    /// These rows are known at once.
    pub(super) fn know(&mut self, rows: &[&Row]) {
        for (key, range) in ranges(rows) {
            if let Some(known) = self.all.get_mut(&key) {
                let more = joined(known.known, Some(range));
                known.dirty |= more != known.known;
                known.known = more;
            }
        }
    }

    pub(super) fn freeze(&mut self) {
        self.all.values_mut().for_each(|known| known.frozen = known.seen);
    }

    /// What is frozen is known. Returns the scopes of which more is known, also if that was said by a call before and is not
    /// written yet.
    pub(super) fn settle(&mut self) -> BTreeSet<Scope> {
        for known in self.all.values_mut().filter(|known| known.frozen.is_some()) {
            let more = joined(known.known, known.frozen);
            known.dirty |= more != known.known;
            known.known = more;
        }
        let changed = self.all.iter().filter(|(_, known)| known.dirty);
        changed.map(|(((scope, ..), _), _)| scope.clone()).collect()
    }

    /// What was settled is written.
    pub(super) fn settled(&mut self) {
        self.all.values_mut().for_each(|known| known.frozen = None);
        while self.all.len() > MOST {
            let settled = self.all.iter().filter(|(_, known)| known.is_settled());
            let Some(key) = settled.min_by_key(|((_, piece), _)| *piece).map(|(key, _)| key.clone()) else {
                return;
            };
            self.all.remove(&key);
        }
    }

    /// Writes what changed, by runs with these numbers.
    pub(super) async fn save(
        &mut self,
        connection: &Connection,
        attempts: &HashMap<String, i64>,
    ) -> Result<(), StoreError> {
        for (((scope, set, width), piece), known) in self.all.iter_mut().filter(|(_, known)| known.dirty) {
            self.turn += 1;
            let attempt = attempts.get(&scope.pipeline).copied().unwrap_or_default();
            let values = (
                &scope.pipeline,
                number(scope.version),
                set,
                width,
                piece,
                known.known.map(|(from, _)| from),
                known.known.map(|(_, to)| to),
                known.seen.map(|(from, _)| from),
                known.seen.map(|(_, to)| to),
                known.alive,
                known.anew,
                layout::longest(),
                layout::in_turn(attempt, self.turn),
            );
            connection.tell(&connection.say.put_piece, values).await?;
            known.dirty = false;
        }
        Ok(())
    }
}

/// From where to where rows are, by piece.
fn ranges(rows: &[&Row]) -> BTreeMap<(Tiered, i64), (i64, i64)> {
    let mut ranges: BTreeMap<(Tiered, i64), (i64, i64)> = BTreeMap::new();
    for row in rows {
        let width = row.width();
        let key = ((row.scope(), row.set.clone(), width), layout::piece(width, row.start));
        let range = ranges.entry(key).or_insert((row.start, row.end));
        *range = (range.0.min(row.start), range.1.max(row.end));
    }
    ranges
}
