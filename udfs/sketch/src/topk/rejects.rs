//! A Count-Min over the rejected rows: the other half of every upper bound.
//!
//! One hash names a line of 32 cells and in it one cell of each half; a row raises both to at least `min + w` (conservative
//! update, see [`crate::CountMin`] for why that is enough). One cache line a row, no branches.

use super::counter::Counter;
use super::project::sources;
use super::shape::CELLS;
use crate::hash::fold;

const HALF: usize = CELLS / 2;
/// What makes a second hash of the first.
pub(crate) const CELL: u64 = 0xA409_3822_299F_31D0;
pub(crate) const CELLS_OF: u64 = 0x243F_6A88_85A3_08D3;

#[derive(Debug, Clone)]
pub(crate) struct Rejects<C: Counter> {
    pub lines: Vec<[C; CELLS]>,
    /// No cell is larger.
    pub peak: u64,
}

impl<C: Counter> Rejects<C> {
    pub fn new(lines: usize) -> Self {
        Rejects {
            lines: vec![[C::default(); CELLS]; lines],
            peak: 0,
        }
    }

    /// Line and cells of a hash, of that many lines. The cells do not depend on the number of lines, so that lines can be folded.
    #[inline(always)]
    pub fn cells(lines: usize, hash: u64) -> (usize, usize, usize) {
        let g = fold(hash ^ CELL, CELLS_OF);
        let line = (((g >> 32) * lines as u64) >> 32) as usize;
        (line, g as usize & (HALF - 1), HALF + (g as usize >> 8 & (HALF - 1)))
    }

    /// Adds rows one after the other.
    #[inline(always)]
    pub fn adder(&mut self) -> Adder<'_, C> {
        Adder {
            peak: self.peak,
            lines: &mut self.lines,
            peak_after: &mut self.peak,
        }
    }

    #[inline(always)]
    pub fn add(&mut self, hash: u64, weight: u64) {
        self.adder().add(hash, weight);
    }

    /// An upper bound on the rejected weight of the item with this hash; `u64::MAX` when that is not known.
    pub fn get(&self, hash: u64) -> u64 {
        let (line, i, j) = Self::cells(self.lines.len(), hash);
        let cells = &self.lines[line];
        cells[i].get().min(cells[j].get())
    }

    /// An upper bound on [`get`](Self::get) of any hash.
    pub fn most(&self) -> u64 {
        let of = |cells: &[C]| cells.iter().map(|c| c.get()).max().unwrap_or(0);
        self.lines
            .iter()
            .map(|line| of(&line[..HALF]).min(of(&line[HALF..])))
            .max()
            .unwrap_or(0)
    }

    /// Adds another table of the same size; the sums must fit.
    pub fn absorb(&mut self, other: &Self) {
        for (mine, theirs) in self.lines.iter_mut().zip(&other.lines) {
            for (x, y) in mine.iter_mut().zip(theirs) {
                *x = x.plus(*y);
            }
        }
        self.peak = self.peak.saturating_add(other.peak);
    }

    /// The same in fewer lines: an item is in one of the old lines only, so that the larger cell is enough.
    pub fn fold(&self, lines: usize) -> Self {
        let mut new: Self = Rejects::new(lines);
        for (at, cells) in new.lines.iter_mut().enumerate() {
            for old in sources(at, lines, self.lines.len()) {
                for (cell, other) in cells.iter_mut().zip(&self.lines[old]) {
                    *cell = (*cell).max(*other);
                }
            }
        }
        new.peak = self.peak;
        new
    }

    pub fn size_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<[C; CELLS]>()
    }

    pub fn widen<D: Counter>(&self) -> Rejects<D> {
        Rejects {
            lines: self.lines.iter().map(|line| line.map(|c| D::new(c.get()))).collect(),
            peak: self.peak,
        }
    }
}

/// Adds rows, and notes the peak at last.
pub(crate) struct Adder<'a, C: Counter> {
    lines: &'a mut [[C; CELLS]],
    peak: u64,
    peak_after: &'a mut u64,
}

impl<C: Counter> Adder<'_, C> {
    #[inline(always)]
    pub fn add(&mut self, hash: u64, weight: u64) {
        let (line, i, j) = Rejects::<C>::cells(self.lines.len(), hash);
        self.raise(line * CELLS + i, line * CELLS + j, weight);
    }

    /// Adds a row whose two cells are known.
    #[inline(always)]
    pub fn raise(&mut self, i: usize, j: usize, weight: u64) {
        let cells = self.lines.as_flattened_mut();
        let (x, y) = (cells[i].get(), cells[j].get());
        let raised = x.min(y).saturating_add(weight);
        cells[i] = C::new(x.max(raised));
        cells[j] = C::new(y.max(raised));
        self.peak = self.peak.max(raised);
    }
}

impl<C: Counter> Drop for Adder<'_, C> {
    fn drop(&mut self) {
        *self.peak_after = self.peak;
    }
}
