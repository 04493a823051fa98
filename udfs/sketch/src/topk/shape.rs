//! How many lines, cells and kept items a dense sketch has.
//!
//! The rule from capacity to shape doubles with the capacity, so that of any two sketches made by [`Shape::of_capacity`]
//! the lines of the finer one fall whole into the lines of the coarser one; other shapes merge too, at a small loss
//! ([`super::project`]).

use crate::{Error, MAX_CAPACITY};

/// Slots in a line.
pub(crate) const SLOTS: usize = 16;
/// At least one slot of a line keeps no key, so that the line always has an explicit floor.
pub(crate) const MAX_KEPT: usize = SLOTS - 1;
/// Cells in a line of the table of rejects.
pub(crate) const CELLS: usize = 32;
/// The least number of lines.
pub(crate) const MIN_LINES: u32 = 4;
/// The largest number of lines.
const MAX_LINES: usize = 1 << 22;

/// The share of a budget, less what is kept, that goes to the rejects: measured, see the README.
const REJECTS: [usize; 2] = [2, 7];
/// The least share of a budget that goes to kept items, inverted: their rows are counted exactly, and fastest.
const KEPT: usize = 3;
/// Bytes for what usually waits in an open block, and for the table itself.
const WAITING: usize = 2304;

/// The sizes of a dense sketch. Merging takes the smaller of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Items that an answer can list.
    pub capacity: u32,
    /// Lines of [`SLOTS`] slots.
    pub lines: u32,
    /// Lines of [`CELLS`] cells.
    pub cells: u32,
}

impl Shape {
    /// The smallest shape.
    pub const LEAST: Shape = Shape {
        capacity: 1,
        lines: MIN_LINES,
        cells: 1,
    };

    pub fn of_capacity(capacity: usize) -> Result<Self, Error> {
        if capacity == 0 || capacity > MAX_CAPACITY {
            return Err(Error::Capacity {
                capacity,
                max: MAX_CAPACITY,
            });
        }
        let lines = (capacity as u32).div_ceil(2).next_power_of_two().max(MIN_LINES);
        Ok(Shape {
            capacity: capacity as u32,
            lines,
            cells: (lines / 4).max(1),
        })
    }

    /// The best shape within `bytes` for at least `capacity` items with keys of `key` bytes and counters of `width` bytes.
    pub fn of_memory(capacity: usize, bytes: usize, key: usize, width: usize) -> Result<Self, Error> {
        let entry = key + entry_counters(width);
        let capacity = capacity.max((bytes / KEPT / entry).min(MAX_CAPACITY));
        let mut shape = Self::of_capacity(capacity)?;
        // Entries, and what waits in an open block; then the least number of lines that can keep that many items.
        let entries =
            shape.bytes(key, width) - shape.lines as usize * line_bytes(width) - shape.cells as usize * CELLS * width;
        (shape.lines, shape.cells) = ((shape.room().div_ceil(MAX_KEPT / 2) as u32).max(MIN_LINES), 1);
        let (line, cell) = (line_bytes(width), CELLS * width);
        let fixed = entries + WAITING;
        let least = fixed + shape.lines as usize * line + cell;
        let Some(left) = bytes.checked_sub(fixed).filter(|_| bytes >= least) else {
            return Err(Error::Memory { bytes, least });
        };
        let cells = (left * REJECTS[0] / REJECTS[1] / cell).clamp(1, shape.most_lines());
        let lines = ((left - cells * cell) / line).clamp(shape.lines as usize, shape.most_lines());
        (shape.lines, shape.cells) = (lines as u32, cells as u32);
        Ok(shape)
    }

    /// Items kept after a compaction: some more than the capacity, so that the last of an answer are not yet contested.
    pub fn keep(self) -> usize {
        let capacity = self.capacity as usize;
        (capacity + capacity / 16 + 4).min(self.most())
    }

    /// Items kept before the next compaction.
    pub fn room(self) -> usize {
        (self.keep() + self.keep() / 16 + 4).min(self.most())
    }

    /// The largest number of lines for the capacity: what a sketch may allocate stays in proportion to what it tracks.
    pub fn most_lines(self) -> usize {
        (self.capacity as usize * 256).min(MAX_LINES)
    }

    /// What the lines can hold with one slot in each left to the others.
    fn most(self) -> usize {
        self.lines as usize * MAX_KEPT
    }

    /// The most items of a sparse sketch.
    pub fn sparse_items(self) -> usize {
        2 * self.room()
    }

    /// Heap bytes of the dense form, with keys of `key` bytes and counters of `width`.
    pub fn bytes(self, key: usize, width: usize) -> usize {
        let entry = (key + entry_counters(width)).next_multiple_of(8);
        self.lines as usize * line_bytes(width)
            + self.cells as usize * CELLS * width
            + (self.room() + 1) * entry
            + self.room().div_ceil(64) * 8
    }

    /// The shape of the compact form for an answer of `k`: the best `2 k` items, an eighth of what would be made for eight times as many.
    pub fn compact(self, k: usize) -> Self {
        let k = k.clamp(1, self.capacity as usize);
        let lines = (k as u32).next_power_of_two().max(MIN_LINES);
        let compact = Shape {
            capacity: (2 * k as u32).min(self.capacity),
            lines,
            cells: (lines / 2).max(1),
        };
        self.meet(compact)
    }

    /// The smaller of each size.
    pub fn meet(self, other: Shape) -> Shape {
        Shape {
            capacity: self.capacity.min(other.capacity),
            lines: self.lines.min(other.lines),
            cells: self.cells.min(other.cells),
        }
    }
}

fn line_bytes(width: usize) -> usize {
    SLOTS * (2 + width)
}

fn entry_counters(width: usize) -> usize {
    2 * width + if width == 2 { 4 } else { 8 }
}
