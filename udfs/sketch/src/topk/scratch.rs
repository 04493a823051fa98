//! What the passes over a block write down: lists of rows, and hints at the entries of hot items.
//!
//! Nothing here is state. A hint is the number of the entry that was last hit by a hash with the same first bits, in whatever sketch this thread
//! updated; the key is compared before anything is added. Kept by the thread, 29 KB for all of its sketches, hints stay warm from batch to
//! batch, and no batch pays for cleaning.

use std::cell::RefCell;

use super::table::BLOCK;

/// Cuts an index to a block's.
pub(crate) const IN: usize = BLOCK - 1;
/// Number of hints: some for each entry of a sketch of 64 KB (4096 lose 3 % on Zipf 1.1, and 2048 another 6 %).
const HINTS: usize = 8192;

/// What decides over rows that find no slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    /// The position of the segment's first row.
    pub start: u64,
    /// The largest draw that may be admitted.
    pub quick: u32,
    /// Lines of the table of rejects.
    pub lines: usize,
}

/// How long the lists of sorted rows are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sorted {
    pub classes: usize,
    pub keyed: usize,
    pub rejected: usize,
    pub waiting: usize,
}

/// Room for the rows of a segment, and what was learned about hot items.
pub(crate) struct Scratch {
    /// By hash: the number of the entry that was hit there last.
    pub hints: [u16; HINTS],
    /// All hints are below.
    bound: usize,
    /// The rows that no hint led to an entry, by their number in the segment.
    pub rest: [u8; BLOCK],
    pub hashes: [u64; BLOCK],
    pub weights: [u64; BLOCK],
    /// How many rows that count are before each of them.
    pub places: [u8; BLOCK],
    /// The slots that have its print.
    pub masks: [u16; BLOCK],
    /// Those of them that have such slots, and those that have none.
    pub hits: [u8; BLOCK],
    pub missed: [u8; BLOCK],
    /// Rows that offer their keys.
    pub offers: [u8; BLOCK],
    /// Those of the rest whose keys are not short or not read at once, by their number in it.
    pub unseen: [u8; BLOCK],
    /// Those of the rest that are done with after all; false between segments.
    pub done: [bool; BLOCK],
    /// The rows of the segment that do not count.
    pub idle: [u8; BLOCK],
    /// For the passes of `wide`: where the rows' hints stand, and 1 for those whose hint is wrong.
    pub hinted: [u16; BLOCK],
    pub unlike: [u8; BLOCK],
    /// Of the rest: the lines, the prints, and the slots with them that keep no key, or one (shifted by 16).
    pub at: [u32; BLOCK],
    pub prints: [u16; BLOCK],
    pub slots: [u32; BLOCK],
    /// Its rows by what they found, and the two cells of those that are rejected.
    pub classes: [u8; BLOCK],
    pub keyed: [u8; BLOCK],
    pub waiting: [u8; BLOCK],
    pub cells: [u64; BLOCK],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

impl Scratch {
    /// A hash shifted right by that says where its hint stands.
    pub const HINT_SHIFT: u32 = u64::BITS - HINTS.trailing_zeros();

    pub const fn new() -> Self {
        Scratch {
            hints: [0; HINTS],
            bound: 1,
            rest: [0; BLOCK],
            hashes: [0; BLOCK],
            weights: [0; BLOCK],
            places: [0; BLOCK],
            masks: [0; BLOCK],
            hits: [0; BLOCK],
            missed: [0; BLOCK],
            offers: [0; BLOCK],
            unseen: [0; BLOCK],
            done: [false; BLOCK],
            idle: [0; BLOCK],
            hinted: [0; BLOCK],
            unlike: [0; BLOCK],
            at: [0; BLOCK],
            prints: [0; BLOCK],
            slots: [0; BLOCK],
            classes: [0; BLOCK],
            keyed: [0; BLOCK],
            waiting: [0; BLOCK],
            cells: [0; BLOCK],
        }
    }

    /// Lends this thread's scratch.
    pub fn with<R>(then: impl FnOnce(&mut Scratch) -> R) -> R {
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => then(&mut scratch),
            Err(_) => then(&mut Scratch::new()),
        })
    }

    /// The entry that the hint for a hash names: below the number that [`trust`](Self::trust) was told.
    #[inline(always)]
    pub fn hinted(&self, hash: u64) -> usize {
        self.hints[Self::hint(hash)].into()
    }

    /// Where the hint for a hash stands.
    #[inline(always)]
    fn hint(hash: u64) -> usize {
        (hash >> Self::HINT_SHIFT) as usize
    }

    /// Drops the hints at entries from `len` on, left by a table that had more. Afterwards all hints are below `len`, which is not 0.
    #[inline(always)]
    pub fn trust(&mut self, len: usize) {
        if self.bound > len {
            for hint in &mut self.hints {
                *hint = if usize::from(*hint) < len { *hint } else { 0 };
            }
            self.bound = len;
        }
    }

    /// Notes which entry was hit. Of large sketches the first 65,536 entries have hints.
    #[inline(always)]
    pub fn learn(&mut self, hash: u64, number: usize) {
        if let Ok(hint) = u16::try_from(number) {
            self.hints[Self::hint(hash)] = hint;
            self.bound = self.bound.max(number + 1);
        }
    }

    /// Notes that the `j`th of the rest does not count, as the `idle`th such row.
    pub fn set_idle(&mut self, idle: usize, j: usize) {
        self.idle[idle & IN] = self.rest[j & IN];
        self.done[j & IN] = true;
    }

    /// The places of the `rest`, from their numbers and those of the `idle` rows.
    pub fn set_places(&mut self, rest: usize, idle: usize) {
        self.places = self.rest;
        if idle > 0 {
            let mut before = 0;
            for place in &mut self.places[..rest] {
                while before < idle && self.idle[before] < *place {
                    before += 1;
                }
                *place -= before as u8;
            }
        }
    }
}
