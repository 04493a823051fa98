//! The dense form: lines of slots, entries of kept items, and the rejects.
//!
//! # How it works
//!
//! An item's hash names a line and a *print* of 15 bits. A slot of the line counts a print: its *class*, every item of the line
//! with that print that has no key of its own. The slot of an important item *keeps its key* in an entry, whose rows are
//! compared in full. A row with weight `w`
//!
//! 1. whose key is kept adds to its entry's `seen`;
//! 2. else whose class has a slot adds to the slot's count; above the threshold `tau` the row's key gets kept;
//! 3. else takes over the slot at the line's floor `m`, its smallest count without a key, with probability `w / (m + w)`, and the slot
//!    counts `m + w` (randomised admission: Ben Basat et al., *Randomized admission policy for efficient top-k and frequency
//!    estimation*, INFOCOM 2017);
//! 4. else is rejected and goes into a Count-Min of the rejects.
//!
//! When the entries are full, a compaction raises `tau` to the estimate of the last of the best [`Shape::keep`] and gives up the keys below.
//!
//! # Bounds
//!
//! Split the true weight of an item into its rejected rows `r` and the others, `a`. `r <= rejects(item)` (Count-Min). For `a`, let `F` be
//! the line's floor, `S` the count of the item's class or `F` if it has no slot, `E` the kept entries with the item's print, and `G`
//! the table's `debt`, 0 until merges. Invariant, for every item, kept or not:
//!
//! > **(A)** not kept: `a <= S + sum of guess over E + G`.
//! > **(B)** kept in `e`: `seen <= f <= seen + guess + slack`.
//!
//! (B) stands on its own: `seen` adds rows of equal keys only; at the moment of keeping, all that came before is at most
//! `S + sum over E + G + rejects`, of which `guess = S` and the rest is `slack`; and from then on no row of the item goes elsewhere.
//!
//! (A) by cases. *Hit*: `S` grows by `w`. *Admission*: the class had no slot, so `S` was `F`, and becomes `F + w`; the class that lost
//! its slot had `S = F` and now has the new floor, which is no smaller. *Keeping*: the slot leaves the class, whose `S` falls
//! to the floor, but `guess` joins the sum. *Giving up a key*: the slot returns to the class with count `D`. If the entry is
//! *clashed*, that is, a row of another key with its print came while it was kept, or another entry with its print was there,
//! `D = seen + guess + S`. Else nobody's (A) has moved since the keeping, so that `a <= max(guess, S)` for all others of the
//! class, and `D = max(seen + guess, S)` does; a class that has a slot takes the sum. Since `D >= F`, the floor never falls. ∎
//!
//! (The case of the owner itself after a clash: it may lean on entries of its print; when they went back to the class, `S`
//! took in their `D >= guess`, and if that slot was taken over, `F` is no smaller. So `S + sum over E` never falls below what
//! they held, and `seen + guess + S` covers the owner.)
//!
//! # Order
//!
//! Structure changes only between blocks of 256 rows, counted by position in the row sequence. Inside a block
//! rows hit what was there when it began; keys to keep and rows that may be admitted wait in `pending` and are replayed
//! at its end. So all additions inside a block commute, however its rows are cut into batches, and the open block is part of
//! the state. Random draws are hashes of the item and the row's position. Ties are broken by content, never by order in memory.

use super::counter::{Counter, Entry, Line, place};
use super::key::{Incoming, Key};
use super::probe;
use super::rejects::Rejects;
use super::shape::{SLOTS, Shape};
use crate::hash::{Seed, fold};

/// Rows of a block.
pub(crate) const BLOCK: usize = 256;
/// What a row's position, and then its hash with that, is multiplied by for its random number.
pub(crate) const ROW: u64 = 0x9E37_79B9_7F4A_7C15;
pub(crate) const DRAW: u64 = 0xA409_3822_299F_31D1;
/// The most bytes of tails that are kept: offsets are of 32 bits.
pub(crate) const MAX_TAILS: usize = 1 << 31;

/// The counters are too narrow for what comes next; nothing has changed.
#[derive(Debug)]
pub(crate) struct TooNarrow;

/// A row that waits for the end of its block.
#[derive(Debug, Clone)]
pub(crate) struct Pending<K> {
    /// Position in the block.
    pub at: u8,
    /// 0 for a row that is already counted in its class and only offers its key.
    pub weight: u64,
    pub hash: u64,
    pub words: K,
    /// All bytes of a long key.
    pub bytes: Box<[u8]>,
}

#[derive(Debug, Clone)]
pub(crate) struct Table<K, C: Counter> {
    pub shape: Shape,
    pub seed: Seed,
    pub lines: Vec<Line<C>>,
    pub rejects: Rejects<C>,
    pub entries: Vec<Entry<K, C>>,
    pub tails: Vec<u8>,
    /// One bit an entry.
    pub clashed: Vec<u64>,
    /// A class whose count exceeds this offers its key.
    pub tau: u64,
    /// No line's floor is smaller; a shortcut for rejecting.
    pub gate: u64,
    /// Rows replayed since the gate was set.
    pub since: u64,
    /// Rows seen.
    pub rows: u64,
    /// `G`: what absence from one side of a merge may hide.
    pub debt: u64,
    pub pending: Vec<Pending<K>>,
    /// Bytes of their long keys.
    pub pending_bytes: usize,
    /// No count of a class is larger.
    pub peak: u64,
}

impl<K: Key, C: Counter> Table<K, C> {
    pub fn empty(shape: Shape, seed: Seed) -> Self {
        Table {
            shape,
            seed,
            lines: vec![(Line::BLANK)(); shape.lines as usize],
            rejects: Rejects::new(shape.cells as usize),
            entries: Vec::new(),
            tails: Vec::new(),
            clashed: Vec::new(),
            tau: 0,
            gate: 0,
            since: 0,
            rows: 0,
            debt: 0,
            pending: Vec::new(),
            pending_bytes: 0,
            peak: 0,
        }
    }

    /// Whether rows of that weight together can be added without overflow.
    #[inline]
    pub fn takes(&self, weight: u64, total: u128) -> bool {
        let most = C::MAX.checked_sub(weight);
        C::MAX == u64::MAX
            || most.is_some_and(|most| self.tau.max(self.peak) <= most && self.rejects.peak <= most)
                && total <= u128::from(C::WIDE_MAX)
    }

    /// The largest random number with which a row of weight 1 may still be admitted somewhere.
    #[inline(always)]
    pub fn quick(&self) -> u32 {
        (u64::from(u32::MAX) / self.gate.saturating_add(1)) as u32
    }

    /// The random number of the row at a position.
    #[inline(always)]
    pub fn draw(hash: u64, row: u64) -> u32 {
        (fold(hash ^ row.wrapping_mul(ROW), DRAW) >> 16) as u32
    }

    /// Whether the draw admits weight `w` against floor `m`: with probability `w / (m + w)`.
    #[inline(always)]
    pub fn admits(draw: u32, weight: u64, floor: u64) -> bool {
        u128::from(draw) * (u128::from(floor) + u128::from(weight)) < u128::from(weight) << 32
    }

    /// Adds one row. The caller has checked [`takes`](Self::takes) and calls [`flush`](Self::flush) when a block is full.
    pub fn row(&mut self, key: Incoming<'_, K>, weight: u64) {
        let (at, print) = place(key.hash, self.lines.len());
        let line = &mut self.lines[at];
        let mask = probe::find(&line.prints, print);
        let slot = mask.trailing_zeros() as usize % SLOTS;
        let at = self.rows as u8;
        if mask == 0 {
            if Self::admits(Self::draw(key.hash, self.rows), weight, self.gate) {
                self.pend(at, weight, key);
            } else {
                self.rejects.add(key.hash, weight);
            }
        } else if mask & (mask - 1) == 0 && !line.kept(slot) {
            let count = line.counts[slot].get().saturating_add(weight);
            line.counts[slot] = C::new(count);
            if count > self.tau {
                self.peak = self.peak.max(count);
                self.pend(at, 0, key);
            }
        } else if !self.hit_kept(key, weight) {
            self.pend(at, weight, key);
        }
        self.rows = self.rows.wrapping_add(1);
    }

    /// Adds to the entry that keeps this key, if there is one.
    pub fn hit_kept(&mut self, key: Incoming<'_, K>, weight: u64) -> bool {
        let (at, print) = place(key.hash, self.lines.len());
        let line = &self.lines[at];
        for slot in line.keepers(print) {
            let entry = &mut self.entries[line.counts[slot].get() as usize];
            if entry.key.is(&self.tails, key.words, || key.bytes) {
                entry.seen = C::new_wide(entry.seen().saturating_add(weight));
                return true;
            }
        }
        false
    }

    pub fn pend(&mut self, at: u8, weight: u64, key: Incoming<'_, K>) {
        self.pending_bytes += key.bytes.len();
        self.pending.push(Pending {
            at,
            weight,
            hash: key.hash,
            words: key.words,
            bytes: key.bytes.into(),
        });
    }

    /// Whether the open block is complete.
    #[inline]
    pub fn is_block_full(&self) -> bool {
        self.rows.is_multiple_of(BLOCK as u64)
    }

    /// Replays what waits, in the order of rows. On error the rest still waits: widen and call again.
    pub fn flush(&mut self) -> Result<(), TooNarrow> {
        self.settle()?;
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_unstable_by_key(|p| p.at);
        let start = self.rows.wrapping_sub(1) & !(BLOCK as u64 - 1);
        for done in 0..pending.len() {
            let p = &pending[done];
            let key = Incoming {
                hash: p.hash,
                words: p.words,
                bytes: &p.bytes,
            };
            if self
                .settle()
                .and_then(|()| self.replay(key, p.weight, start + u64::from(p.at)))
                .is_err()
            {
                self.pending_bytes -= pending.drain(..done).map(|p| p.bytes.len()).sum::<usize>();
                self.pending = pending;
                return Err(TooNarrow);
            }
            self.since += u64::from(p.weight > 0);
        }
        pending.clear();
        self.pending_bytes = 0;
        if pending.capacity() > 32 {
            pending.shrink_to(16);
        }
        self.pending = pending;
        if self.since > self.lines.len() as u64 {
            self.set_gate();
        }
        self.settle()
    }

    /// Compacts the entries when there are too many.
    pub fn settle(&mut self) -> Result<(), TooNarrow> {
        if self.entries.len() > self.shape.room() {
            self.give_up(self.shape.keep())
        } else {
            Ok(())
        }
    }

    pub fn set_gate(&mut self) {
        self.gate = self.lines.iter().map(Line::floor).min().unwrap_or(0);
        self.since = 0;
    }

    /// One row against the table as it is now; weight 0 only offers a key that its class has counted.
    pub fn replay(&mut self, key: Incoming<'_, K>, weight: u64, row: u64) -> Result<(), TooNarrow> {
        if !C::fits(self.peak.max(self.tau).max(self.rejects.peak).saturating_add(weight)) {
            return Err(TooNarrow);
        }
        let (at, print) = place(key.hash, self.lines.len());
        let line = &self.lines[at];
        let (mut mask, mut class, mut keepers) = (probe::find(&line.prints, print), None, 0u32);
        while mask != 0 {
            let slot = mask.trailing_zeros() as usize % SLOTS;
            mask &= mask - 1;
            if !line.kept(slot) {
                class = Some(slot);
                continue;
            }
            let entry = &mut self.entries[line.counts[slot].get() as usize];
            if entry.key.is(&self.tails, key.words, || key.bytes) {
                let seen = entry.seen().saturating_add(weight);
                if seen > C::WIDE_MAX {
                    return Err(TooNarrow);
                }
                entry.seen = C::new_wide(seen);
                return Ok(());
            }
            keepers |= 1 << slot;
        }
        if weight > 0 && keepers != 0 {
            for slot in (0..SLOTS).filter(|slot| keepers >> slot & 1 == 1) {
                let number = line.counts[slot].get() as usize;
                self.clashed[number / 64] |= 1 << (number % 64);
            }
        }
        if let Some(slot) = class {
            let before = line.counts[slot].get();
            let count = before.saturating_add(weight);
            if count > self.tau && self.make_place(at, print, count)? {
                return self.keep(at, slot, key, before, weight);
            }
            self.peak = self.peak.max(count);
            self.lines[at].counts[slot] = C::new(count);
            return Ok(());
        }
        if weight == 0 {
            // Its class lost the slot earlier in this replay.
            return Ok(());
        }
        let (victim, floor) = line.victim();
        if !Self::admits(Self::draw(key.hash, row), weight, floor) {
            self.rejects.add(key.hash, weight);
            return Ok(());
        }
        let count = floor.saturating_add(weight);
        if count > self.tau && self.make_place(at, print, count)? {
            return self.keep(at, victim, key, floor, weight);
        }
        self.peak = self.peak.max(count);
        self.lines[at].prints[victim] = print;
        self.lines[at].counts[victim] = C::new(count);
        Ok(())
    }

    /// Makes sure that the entries grow once, to what they will need.
    pub fn reserve(&mut self) {
        if self.entries.len() == self.entries.capacity() {
            let room = self.shape.room() + 1;
            self.entries
                .reserve_exact(room.saturating_sub(self.entries.len()).max(1));
        }
    }

    /// Gives a slot's print a key: the slot held `guess` before, and `seen` more came with the key.
    fn keep(&mut self, at: usize, slot: usize, key: Incoming<'_, K>, guess: u64, seen: u64) -> Result<(), TooNarrow> {
        let (_, print) = place(key.hash, self.lines.len());
        let line = &self.lines[at];
        let others: u64 = line
            .keepers(print)
            .map(|s| self.entries[line.counts[s].get() as usize].guess.get())
            .fold(0, u64::saturating_add);
        let clashes = line.keepers(print).next().is_some();
        let slack = self
            .rejects
            .get(key.hash)
            .saturating_add(others)
            .saturating_add(self.debt);
        if !C::fits(slack) || !C::fits(guess) || seen > C::WIDE_MAX {
            return Err(TooNarrow);
        }
        if key.words.is_long() && self.tails.len() + key.bytes.len() > MAX_TAILS {
            // Without a key the slot goes on counting its class.
            let count = guess.saturating_add(seen);
            if !C::fits(count) {
                return Err(TooNarrow);
            }
            self.peak = self.peak.max(count);
            self.lines[at].prints[slot] = print;
            self.lines[at].counts[slot] = C::new(count);
            return Ok(());
        }
        let number = self.entries.len();
        self.reserve();
        self.entries.push(Entry::new(
            K::store(key.words, key.bytes, &mut self.tails),
            seen,
            guess,
            slack,
        ));
        self.mark(number, clashes);
        self.lines[at].prints[slot] = print | 1;
        self.lines[at].counts[slot] = C::new(number as u64);
        Ok(())
    }
}

impl<K: Key, C: Counter> Table<K, C> {
    /// Lets every item weigh that much more: kept items in their slack, the others by the debt. False if it does not fit.
    pub fn owe(&mut self, more: u64) -> bool {
        if self
            .entries
            .iter()
            .any(|e| !C::fits(e.slack.get().saturating_add(more)))
        {
            return false;
        }
        for entry in &mut self.entries {
            entry.slack = C::new(entry.slack.get().saturating_add(more));
        }
        self.debt = self.debt.saturating_add(more);
        true
    }

    /// The same table with counters of another width, which its numbers must fit.
    pub fn resize<D: Counter>(&self) -> Table<K, D> {
        let mut entries = Vec::with_capacity(self.entries.capacity());
        entries.extend(
            self.entries
                .iter()
                .map(|e| Entry::new(e.key, e.seen(), e.guess.get(), e.slack.get())),
        );
        Table {
            shape: self.shape,
            seed: self.seed,
            lines: self.lines.iter().map(Line::widen).collect(),
            rejects: self.rejects.widen(),
            entries,
            tails: self.tails.clone(),
            clashed: self.clashed.clone(),
            tau: self.tau,
            gate: self.gate,
            since: self.since,
            rows: self.rows,
            debt: self.debt,
            pending: self.pending.clone(),
            pending_bytes: self.pending_bytes,
            peak: self.peak,
        }
    }

    /// Heap bytes held: a few additions, since an engine asks after every batch.
    pub fn size_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line<C>>()
            + self.rejects.size_bytes()
            + self.entries.capacity() * size_of::<Entry<K, C>>()
            + self.tails.capacity()
            + self.clashed.capacity() * 8
            + self.pending.capacity() * size_of::<Pending<K>>()
            + self.pending_bytes
    }
}
