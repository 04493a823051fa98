//! Count-Min: a count for any item from a small table, never too low.
//!
//! # How it works
//!
//! `depth` rows of `width` cells. An item has one cell in each row, by independent hashes. Its estimate is the smallest
//! of its cells. Adding `w` raises each of them to at least `estimate + w` and no further (*conservative update*).
//!
//! # Bounds
//!
//! With `f` the true weight of an item and `N` the total:
//!
//! * `f <= upper`, always: by induction every cell of the item stays at or above `f`, since an update raises the item's cells to
//!   at least `min + w >= f + w`, and no update lowers a cell.
//! * `f >= upper - epsilon N` with probability at least `1 - delta`: without the conservative rule a cell holds `f` and the
//!   weight of the items that share it, `N / width` in the mean, so that it exceeds `f + e N / width` with probability
//!   below `1 / e` (Markov), and all rows do with probability below `e^-depth`. The rule only lowers cells.
//!   This is a statement about the draw of the seed, not a proof about an item: hence `likely_lower` and `confidence` beside `lower = 0`.
//!
//! *Size.* `width` is the power of two at or above `e / epsilon`, `depth = ceil(ln(1 / delta))`.
//!
//! *Merge.* Cells add; `f1 + f2 <= cell1 + cell2`. Tables of different sizes meet at the smaller width and depth: a row of twice
//! the width is folded by taking the larger of two neighbours, which a single row of the smaller width would have reached too.
//! Cells saturate, and a saturated cell reads as the total.
//!
//! Sources: Cormode, Muthukrishnan, *An improved data stream summary*, 2005; Estan, Varghese, *New directions in traffic
//! measurement*, 2002 (conservative update).

use crate::answer::number;
use crate::hash::{Seed, mix};
use crate::wire::{Reader, Writer};
use crate::{Error, Estimate, ItemKind, Items, Rows};

/// First bytes of the format, and its version.
const MAGIC: [u8; 4] = *b"HhC\x01";
/// The largest table: 2^26 cells are 512 MB.
const MAX_CELLS: usize = 1 << 26;

/// A count that is never too low. See the [module](self) for its bounds.
///
/// # Examples
///
/// ```
/// use hitters_sketch::{CountMin, ItemKind};
///
/// let mut counts = CountMin::new(ItemKind::Text, 0.001, 0.01)?;
/// counts.update(b"/index.html", 5);
/// let e = counts.estimate(b"/index.html");
/// assert!(e.upper >= 5 && e.likely_lower <= 5);
/// # Ok::<(), hitters_sketch::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountMin {
    kind: ItemKind,
    /// The width is `1 << log_width`.
    log_width: u32,
    depth: usize,
    total: u128,
    skipped: u64,
    /// Row after row.
    cells: Vec<u64>,
    seed: Seed,
}

/// What a Count-Min knows about an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CountMinEstimate {
    /// The smallest cell: the estimate, and a proven upper bound. `u64::MAX` is "this or more".
    pub upper: u64,
    /// The proven lower bound: always 0.
    pub lower: u64,
    /// The lower bound that holds with probability `confidence`.
    pub likely_lower: u64,
    /// `1 - delta`, of the table as it is.
    pub confidence: f64,
}

impl CountMinEstimate {
    /// As JSON: `{"estimate":5,"lower":0,"upper":5,"likely_lower":5,"confidence":0.99}`; integers above 2^53 are strings.
    pub fn to_json(&self) -> String {
        let mut out = Estimate {
            estimate: self.upper,
            lower: self.lower,
            upper: self.upper,
        }
        .to_json();
        out.pop();
        out.push_str(",\"likely_lower\":");
        number(&mut out, self.likely_lower.into());
        out.push_str(&format!(",\"confidence\":{}}}", self.confidence));
        out
    }
}

impl CountMin {
    /// A table whose overestimate stays below `epsilon` of the total with probability `1 - delta`.
    ///
    /// # Errors
    ///
    /// When `epsilon` or `delta` is not between 0 and 1, or so small that the table would exceed 2^26 cells.
    pub fn new(kind: ItemKind, epsilon: f64, delta: f64) -> Result<Self, Error> {
        Self::with_seed(kind, epsilon, delta, 0)
    }

    /// The same under a seed of one's own, against chosen items.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_seed(kind: ItemKind, epsilon: f64, delta: f64, seed: u64) -> Result<Self, Error> {
        if !(epsilon > 0.0 && epsilon < 1.0) {
            return Err(Error::Share {
                name: "epsilon",
                value: epsilon,
            });
        }
        if !(delta > 0.0 && delta < 1.0) {
            return Err(Error::Share {
                name: "delta",
                value: delta,
            });
        }
        let width = (std::f64::consts::E / epsilon).ceil();
        let depth = (1.0 / delta).ln().ceil().max(1.0) as usize;
        if width * depth as f64 > MAX_CELLS as f64 / 2.0 {
            return Err(Error::Share {
                name: "epsilon",
                value: epsilon,
            });
        }
        let log_width = (width as usize).next_power_of_two().trailing_zeros();
        Ok(Self::empty(kind, log_width, depth, Seed::new(seed)))
    }

    fn empty(kind: ItemKind, log_width: u32, depth: usize, seed: Seed) -> Self {
        CountMin {
            kind,
            log_width,
            depth,
            total: 0,
            skipped: 0,
            cells: vec![0; depth << log_width],
            seed,
        }
    }

    /// Adds a row of text or bytes.
    pub fn update(&mut self, item: &[u8], weight: u64) {
        self.add(self.seed.bytes(item), weight);
    }

    /// Adds a row of an integer.
    pub fn update_i64(&mut self, item: i64, weight: u64) {
        self.add(self.seed.integer(item as u64), weight);
    }

    /// Adds rows of a column in order: a negative weight, a row outside of the column, or a column of the
    /// wrong kind counts as skipped.
    pub fn update_batch(&mut self, items: Items<'_>, rows: Rows<'_>, weights: Option<&[i64]>) {
        for i in 0..rows.len() {
            let row = rows.at(i);
            let weight = match weights {
                None => Some(1),
                Some(weights) => weights.get(row).and_then(|w| u64::try_from(*w).ok()),
            };
            match (items, items.bytes(row), weight) {
                (Items::Int64(values), _, Some(weight)) if self.kind == ItemKind::Int64 && row < values.len() => {
                    self.update_i64(values[row], weight);
                }
                (_, Some(bytes), Some(weight)) if self.kind != ItemKind::Int64 => self.update(bytes, weight),
                _ => self.skip(1),
            }
        }
    }

    /// Notes rows that are not counted.
    pub fn skip(&mut self, rows: u64) {
        self.skipped = self.skipped.saturating_add(rows);
    }

    /// The count of any text or byte string.
    pub fn estimate(&self, item: &[u8]) -> CountMinEstimate {
        self.read(self.seed.bytes(item))
    }

    /// The count of any integer.
    pub fn estimate_i64(&self, item: i64) -> CountMinEstimate {
        self.read(self.seed.integer(item as u64))
    }

    /// The cell of row `row`: the leading bits of a hash of the hash, so that halving the width halves the number.
    fn cell(&self, hash: u64, row: usize) -> usize {
        let bits = mix(hash ^ (row as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93));
        (row << self.log_width) + (u128::from(bits) << self.log_width >> 64) as usize
    }

    fn add(&mut self, hash: u64, weight: u64) {
        self.total = self.total.saturating_add(weight.into());
        let smallest = (0..self.depth)
            .map(|row| self.cells[self.cell(hash, row)])
            .min()
            .unwrap_or(0);
        let raised = smallest.saturating_add(weight);
        for row in 0..self.depth {
            let cell = self.cell(hash, row);
            self.cells[cell] = self.cells[cell].max(raised);
        }
    }

    fn read(&self, hash: u64) -> CountMinEstimate {
        let upper = (0..self.depth)
            .map(|row| self.cells[self.cell(hash, row)])
            .min()
            .unwrap_or(u64::MAX);
        // Rounded up, so that rounding cannot make the claim stronger than it is.
        let error = (self.epsilon() * self.total as f64 * (1.0 + 1e-15)).ceil();
        let likely_lower = if upper == u64::MAX {
            0
        } else {
            upper.saturating_sub(error as u64)
        };
        CountMinEstimate {
            upper,
            lower: 0,
            likely_lower,
            confidence: 1.0 - (-(self.depth as f64)).exp(),
        }
    }

    /// The share of the total by which an estimate exceeds the truth at most, with probability `1 - delta`: `e / width`.
    pub fn epsilon(&self) -> f64 {
        std::f64::consts::E / (1u64 << self.log_width) as f64
    }

    /// Adds another table; the smaller width and depth win.
    ///
    /// # Errors
    ///
    /// When the kinds of items or the seeds differ; nothing has changed then.
    pub fn merge(&mut self, other: &CountMin) -> Result<(), Error> {
        if self.kind != other.kind {
            return Err(Error::MixedKinds(self.kind, other.kind));
        }
        if self.seed != other.seed {
            return Err(Error::MixedSeeds);
        }
        let (log_width, depth) = (self.log_width.min(other.log_width), self.depth.min(other.depth));
        self.fold(log_width, depth);
        let shift = other.log_width - log_width;
        for row in 0..depth {
            let theirs = &other.cells[row << other.log_width..(row + 1) << other.log_width];
            let ours = &mut self.cells[row << log_width..(row + 1) << log_width];
            for (cell, group) in ours.iter_mut().zip(theirs.chunks(1 << shift)) {
                *cell = cell.saturating_add(group.iter().copied().max().unwrap_or(0));
            }
        }
        self.total = self.total.saturating_add(other.total);
        self.skipped = self.skipped.saturating_add(other.skipped);
        Ok(())
    }

    fn fold(&mut self, log_width: u32, depth: usize) {
        if (log_width, depth) == (self.log_width, self.depth) {
            return;
        }
        let shift = self.log_width - log_width;
        self.cells.truncate(depth << self.log_width);
        self.cells = self
            .cells
            .chunks(1 << shift)
            .map(|group| group.iter().copied().max().unwrap_or(0))
            .collect();
        (self.log_width, self.depth) = (log_width, depth);
    }

    /// The table's bytes: equal tables give equal bytes.
    ///
    /// ```text
    /// "HhC" 0x01 | kind u8 | log2 width u8 | depth u8 | seed id u32 | total, skipped: varints | cells: varints, row by row
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.bytes.extend_from_slice(&MAGIC);
        w.u8(self.kind.tag());
        w.u8(self.log_width as u8);
        w.u8(self.depth as u8);
        w.u32(self.seed.id());
        w.varint(self.total);
        w.varint(self.skipped.into());
        for cell in &self.cells {
            w.varint((*cell).into());
        }
        w.bytes
    }

    /// Reads a table of seed 0.
    ///
    /// # Errors
    ///
    /// When the bytes are no table, or of another seed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_bytes_with_seed(bytes, 0)
    }

    /// Reads a table of a seed of one's own: bytes carry a seed's id, never the seed.
    ///
    /// # Errors
    ///
    /// When the bytes are no table, or of another seed.
    pub fn from_bytes_with_seed(bytes: &[u8], seed: u64) -> Result<Self, Error> {
        let mut r = Reader::new(bytes);
        let magic = r.take(4)?;
        if magic[..3] != MAGIC[..3] {
            return Err(Error::Corrupt("it does not start like a Count-Min table"));
        }
        if magic[3] != MAGIC[3] {
            return Err(Error::Version(magic[3]));
        }
        let kind = ItemKind::from_tag(r.u8()?).ok_or(Error::Corrupt("its kind of items is unknown"))?;
        let (log_width, depth) = (u32::from(r.u8()?), usize::from(r.u8()?));
        let seed = Seed::new(seed);
        if r.u32()? != seed.id() {
            return Err(Error::WrongSeed);
        }
        let (total, skipped) = (r.varint128()?, r.varint()?);
        if log_width > 26 || depth == 0 || r.rest().len() < depth << log_width {
            return Err(Error::Corrupt("a length exceeds the bytes"));
        }
        let mut table = CountMin {
            total,
            skipped,
            ..Self::empty(kind, log_width, depth, seed)
        };
        for cell in &mut table.cells {
            *cell = r.varint()?;
        }
        r.finish()?;
        Ok(table)
    }

    /// The kind of items.
    pub fn kind(&self) -> ItemKind {
        self.kind
    }

    /// The weight of all rows counted.
    pub fn total(&self) -> u128 {
        self.total
    }

    /// Rows that were not counted.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether no row was ever seen.
    pub fn is_empty(&self) -> bool {
        self.total == 0 && self.skipped == 0
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<u64>()
    }
}
