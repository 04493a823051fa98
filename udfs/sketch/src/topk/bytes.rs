//! The bytes of a sketch, format version 1.
//!
//! ```text
//! "HhT" 0x01 | form u8 | kind u8 | measure u8 | seed id u32
//! capacity, lines, cells, total, skipped, rows: varints
//!
//! form 0, sparse:   n varint | n items, by their bytes: key, weight varint
//! form 1, dense:    tau, gate, since, debt: varints
//!                   n varint | n waiting rows, by position: at u8, key, weight varint
//!                   n varint | n kept items, by their bytes: key, seen varint, guess varint, 2 slack + clashed varint
//!                   bits: every line of slots, then every line of cells
//!
//! key, text or bytes:  bytes shared with the key before (at most 255) u8 | length of the rest varint | the rest
//! key, int64:          the difference to the key before, as unsigned integers, varint
//!                      (a waiting row's key: the difference to 0, and nothing shared)
//!
//! a line of slots:  its slots without keys, by their prints; how many follows from the kept items:
//!                   differences of prints / 2, Rice 10 | k of 6 bits | floor less gate, Rice 4 | counts less floor, Rice k
//! a line of cells:  k of 6 bits | the smallest, Rice 8 | the others less the smallest, Rice k
//! ```
//!
//! Where an item stands follows from its hash, and the order inside of a line means nothing, so that neither is written and
//! equal sketches give equal bytes. The compact form is the lossless form of a coarser sketch: a reader needs no other code.

use super::bits::{BitReader, BitWriter, parameter};
use super::counter::{Counter, Entry, place};
use super::form::{Dense, table};
use super::key::Key;
use super::shape::{MAX_KEPT, MIN_LINES, SLOTS, Shape};
use super::sparse::Sparse;
use super::table::{BLOCK, Pending, Table};
use super::update::Form;
use crate::hash::Seed;
use crate::wire::{Reader, Writer};
use crate::{Error, ItemKind, MAX_CAPACITY};

/// Bits of a print's difference that are not coded in ones.
const PRINT_K: u32 = 10;
/// The same of a floor.
const FLOOR_K: u32 = 4;
/// The same of a line's smallest cell.
const CELL_K: u32 = 8;

/// Writes and reads keys in rising order.
struct Keys {
    kind: ItemKind,
    last: Vec<u8>,
    first: bool,
}

impl Keys {
    fn new(kind: ItemKind) -> Self {
        Keys {
            kind,
            last: Vec::new(),
            first: true,
        }
    }

    /// The order in which keys are written: integers as unsigned numbers, others by their bytes.
    fn order(kind: ItemKind, a: &[u8], b: &[u8]) -> std::cmp::Ordering {
        if kind == ItemKind::Int64 {
            number(a).cmp(&number(b))
        } else {
            a.cmp(b)
        }
    }

    fn write(&mut self, w: &mut Writer, key: &[u8]) {
        let mut shared = 0;
        if self.kind == ItemKind::Int64 {
            let last = if self.first { 0 } else { number(&self.last) };
            w.varint(number(key).wrapping_sub(last).into());
        } else {
            shared = self.last.iter().zip(key).take(255).take_while(|(a, b)| a == b).count();
            w.u8(shared as u8);
            w.slice(&key[shared..]);
        }
        self.first = false;
        self.last.truncate(shared);
        self.last.extend_from_slice(&key[shared..]);
    }

    /// The next key, which must be larger than the one before.
    fn read(&mut self, r: &mut Reader<'_>) -> Result<&[u8], Error> {
        if self.kind == ItemKind::Int64 {
            let last = if self.first { 0 } else { number(&self.last) };
            let step = r.varint()?;
            let Some(value) = last.checked_add(step) else {
                return Err(Error::Corrupt("a key is too large"));
            };
            if !self.first && step == 0 {
                return Err(Error::Corrupt("keys are out of order"));
            }
            self.last.clear();
            self.last.extend_from_slice(&value.to_le_bytes());
        } else {
            let shared = usize::from(r.u8()?);
            let rest = r.slice()?;
            let Some(instead) = self.last.get(shared..) else {
                return Err(Error::Corrupt("a key shares more than there is"));
            };
            if shared < 255 && instead.first().is_some_and(|b| rest.first() == Some(b)) {
                return Err(Error::Corrupt("a key is not in its shortest form"));
            }
            if !self.first && rest <= instead {
                return Err(Error::Corrupt("keys are out of order"));
            }
            self.last.truncate(shared);
            self.last.extend_from_slice(rest);
        }
        self.first = false;
        Ok(&self.last)
    }
}

fn number(key: &[u8]) -> u64 {
    key.try_into().map_or(0, u64::from_le_bytes)
}

/// The key bytes of a list, in the order in which they are written.
fn sorted<T>(kind: ItemKind, all: impl Iterator<Item = (Vec<u8>, T)>) -> Vec<(Vec<u8>, T)> {
    let mut all: Vec<_> = all.collect();
    all.sort_unstable_by(|a, b| Keys::order(kind, &a.0, &b.0));
    all
}

impl<K: Key> Form<K> {
    /// Writes everything behind the seed's id.
    pub fn write(&self, w: &mut Writer, head: &super::Head) {
        let rows = match self {
            Form::Sparse(sparse) => sparse.rows,
            Form::Dense(dense) => table!(&**dense, table => table.rows),
        };
        for value in [head.shape.capacity, head.shape.lines, head.shape.cells] {
            w.varint(value.into());
        }
        for value in [head.total, head.skipped.into(), rows.into()] {
            w.varint(value);
        }
        match self {
            Form::Sparse(sparse) => {
                w.varint(sparse.items.len() as u128);
                let (mut keys, mut bytes) = (Keys::new(head.kind), Vec::new());
                sparse.in_order(|key, weight| {
                    bytes.clear();
                    key.append_to(&sparse.tails, &mut bytes);
                    keys.write(w, &bytes);
                    w.varint(weight.into());
                });
            }
            Form::Dense(dense) => table!(&**dense, table => table.write(w, head.kind)),
        }
    }

    /// Reads what [`write`](Self::write) wrote; also the shape, total and skipped rows.
    pub fn read(
        r: &mut Reader<'_>,
        dense: bool,
        kind: ItemKind,
        seed: Seed,
    ) -> Result<(Self, Shape, u128, u64), Error> {
        let mut small = || Ok::<_, Error>(u32::try_from(r.varint()?).unwrap_or(u32::MAX));
        let (capacity, lines, cells) = (small()?, small()?, small()?);
        let shape = Shape { capacity, lines, cells };
        if capacity == 0 || capacity as usize > MAX_CAPACITY {
            return Err(Error::Corrupt("its capacity is out of range"));
        }
        if lines < MIN_LINES || cells == 0 || lines.max(cells) as usize > shape.most_lines() {
            return Err(Error::Corrupt("its shape is out of range"));
        }
        let (total, skipped, rows) = (r.varint128()?, r.varint()?, r.varint()?);
        if dense {
            return Ok((
                Form::Dense(Box::new(Dense::read(r, shape, kind, seed, rows)?)),
                shape,
                total,
                skipped,
            ));
        }
        let n = r.count(2)?;
        let mut sparse = Sparse::with_capacity(n);
        let mut keys = Keys::new(kind);
        for _ in 0..n {
            let key = keys.read(r)?;
            let weight = r.varint()?;
            if weight == 0 {
                return Err(Error::Corrupt("an item weighs nothing"));
            }
            sparse.push(K::incoming(seed, key), weight);
        }
        sparse.rows = rows;
        Ok((Form::Sparse(sparse), shape, total, skipped))
    }
}

impl<K: Key, C: Counter> Table<K, C> {
    fn write(&self, w: &mut Writer, kind: ItemKind) {
        for value in [self.tau, self.gate, self.since, self.debt] {
            w.varint(value.into());
        }
        let mut pending: Vec<&Pending<K>> = self.pending.iter().collect();
        pending.sort_unstable_by_key(|p| p.at);
        w.varint(pending.len() as u128);
        for p in pending {
            w.u8(p.at);
            let key = if p.words.is_long() {
                p.bytes.to_vec()
            } else {
                p.words.bytes(&[])
            };
            Keys::new(kind).write(w, &key);
            w.varint(p.weight.into());
        }
        w.varint(self.entries.len() as u128);
        let mut keys = Keys::new(kind);
        let entries = self
            .entries
            .iter()
            .enumerate()
            .map(|(number, entry)| (entry.key.bytes(&self.tails), number));
        for (key, number) in sorted(kind, entries) {
            let entry = &self.entries[number];
            keys.write(w, &key);
            w.varint(entry.seen().into());
            w.varint(entry.guess.get().into());
            w.varint(u128::from(entry.slack.get()) << 1 | u128::from(self.is_clashed(number)));
        }
        let mut bits = BitWriter::default();
        for line in &self.lines {
            let mut slots = [(0u16, 0u64); SLOTS];
            let mut n = 0;
            for slot in (0..SLOTS).filter(|slot| !line.kept(*slot)) {
                slots[n] = (line.prints[slot], line.counts[slot].get());
                n += 1;
            }
            let slots = &mut slots[..n];
            slots.sort_unstable();
            let floor = line.floor();
            let mut last = 0;
            for (print, _) in slots.iter() {
                bits.rice(u64::from((print - last) >> 1), PRINT_K);
                last = *print;
            }
            let k = parameter(slots.iter().map(|(_, c)| u128::from(c - floor)).sum(), n);
            bits.bits(k.into(), 6);
            bits.rice(floor.saturating_sub(self.gate), FLOOR_K);
            for (_, count) in slots.iter() {
                bits.rice(count - floor, k);
            }
        }
        for cells in &self.rejects.lines {
            let least = cells.iter().map(|c| c.get()).min().unwrap_or(0);
            let k = parameter(cells.iter().map(|c| u128::from(c.get() - least)).sum(), cells.len());
            bits.bits(k.into(), 6);
            bits.rice(least, CELL_K);
            for cell in cells {
                bits.rice(cell.get() - least, k);
            }
        }
        w.bytes.extend_from_slice(&bits.finish());
    }
}

impl<K: Key> Dense<K> {
    fn read(r: &mut Reader<'_>, shape: Shape, kind: ItemKind, seed: Seed, rows: u64) -> Result<Self, Error> {
        // The least bits of a line of slots and of one of cells: they are allocated only if they can be there.
        const LINE: usize = 11 + 6 + 5 + 1;
        const CELL_LINE: usize = 6 + 9 + 32;
        let room = r.rest().len().saturating_mul(8);
        if shape.lines as usize * LINE + shape.cells as usize * CELL_LINE > room {
            return Err(Error::Corrupt("it is too short for its shape"));
        }
        let mut table: Table<K, u64> = Table::empty(shape, seed);
        table.rows = rows;
        (table.tau, table.gate, table.since, table.debt) = (r.varint()?, r.varint()?, r.varint()?, r.varint()?);
        table.read_pending(r, kind)?;
        let n = r.count(5)?;
        if n > shape.room() {
            return Err(Error::Corrupt("it keeps more items than it may"));
        }
        let mut keys = Keys::new(kind);
        for number in 0..n {
            let key = K::incoming(seed, keys.read(r)?);
            let (seen, guess, slack) = (r.varint()?, r.varint()?, r.varint128()?);
            let (slack, clashed) = ((slack >> 1).try_into(), slack & 1 == 1);
            let slack = slack.map_err(|_| Error::Corrupt("a number is too large"))?;
            let (at, print) = place(key.hash, table.lines.len());
            let line = &mut table.lines[at];
            let kept = line.kept_slots();
            if kept == MAX_KEPT {
                return Err(Error::Corrupt("a line keeps too many items"));
            }
            line.prints[kept] = print | 1;
            line.counts[kept] = number as u64;
            table.entries.push(Entry::new(
                K::store(key.words, key.bytes, &mut table.tails),
                seen,
                guess,
                slack,
            ));
            table.mark(number, clashed);
        }
        let mut bits = BitReader::new(r.take(r.rest().len())?);
        for at in 0..table.lines.len() {
            let kept = table.lines[at].kept_slots();
            let mut last = 0u64;
            for slot in kept..SLOTS {
                let step = bits.rice(PRINT_K)?;
                let print = last.saturating_add(step);
                if print >= 1 << 15 || step == 0 && print > 0 {
                    return Err(Error::Corrupt("prints are out of order"));
                }
                table.lines[at].prints[slot] = (print as u16) << 1;
                last = print;
            }
            let k = bits.bits(6)? as u32;
            let floor = table
                .gate
                .checked_add(bits.rice(FLOOR_K)?)
                .ok_or(Error::Corrupt("a number is too large"))?;
            let (mut sum, mut least) = (0u128, u64::MAX);
            for slot in kept..SLOTS {
                let above = bits.rice(k)?;
                sum += u128::from(above);
                least = least.min(above);
                let count = floor
                    .checked_add(above)
                    .ok_or(Error::Corrupt("a number is too large"))?;
                table.lines[at].counts[slot] = count;
                let blanks = slot > kept && table.lines[at].prints[slot] == 0;
                if blanks && table.lines[at].counts[slot - 1] > count {
                    return Err(Error::Corrupt("blanks are out of order"));
                }
                table.peak = table.peak.max(count);
            }
            if least != 0 || k != parameter(sum, SLOTS - kept) {
                return Err(Error::Corrupt("a line of slots is not in its shortest form"));
            }
        }
        for at in 0..table.rejects.lines.len() {
            let k = bits.bits(6)? as u32;
            let least = bits.rice(CELL_K)?;
            let cells = &mut table.rejects.lines[at];
            let (mut sum, mut smallest) = (0u128, u64::MAX);
            for cell in cells.iter_mut() {
                let above = bits.rice(k)?;
                sum += u128::from(above);
                smallest = smallest.min(above);
                *cell = least
                    .checked_add(above)
                    .ok_or(Error::Corrupt("a number is too large"))?;
                table.rejects.peak = table.rejects.peak.max(*cell);
            }
            if smallest != 0 || k != parameter(sum, cells.len()) {
                return Err(Error::Corrupt("a line of cells is not in its shortest form"));
            }
        }
        bits.finish()?;
        Ok(Dense::narrow(table))
    }

    /// The narrowest table that holds the same numbers.
    fn narrow(table: Table<K, u64>) -> Self {
        let most = table.peak.max(table.tau).max(table.rejects.peak);
        let entries = |of: fn(&Entry<K, u64>) -> u64| table.entries.iter().map(of).max().unwrap_or(0);
        let most = most
            .max(entries(|e| e.guess))
            .max(entries(|e| e.slack))
            .max(table.shape.room() as u64 + 1);
        let seen = entries(|e| e.seen);
        if most <= u16::MAX.into() && seen <= u32::MAX.into() {
            Dense::W16(table.resize())
        } else if most <= u32::MAX.into() {
            Dense::W32(table.resize())
        } else {
            Dense::W64(table)
        }
    }
}

impl<K: Key> Table<K, u64> {
    fn read_pending(&mut self, r: &mut Reader<'_>, kind: ItemKind) -> Result<(), Error> {
        let n = r.count(3)?;
        let open = self.rows % BLOCK as u64;
        for _ in 0..n {
            let at = r.u8()?;
            if u64::from(at) >= open || self.pending.last().is_some_and(|last| last.at >= at) {
                return Err(Error::Corrupt("waiting rows are out of order"));
            }
            let mut keys = Keys::new(kind);
            let key = keys.read(r)?.to_vec();
            let weight = r.varint()?;
            self.pend(at, weight, K::incoming(self.seed, &key));
        }
        Ok(())
    }
}
