//! Counters of three widths, the lines of slots that they make, and the entries of kept items.
//!
//! A sketch starts with 16-bit counters and moves to 32 and 64 bits when a number might not fit. The width is no part
//! of the state: it changes what a sketch weighs, never what it says. 64-bit counters saturate.

use super::shape::SLOTS;

/// An unsigned counter.
pub(crate) trait Counter: Copy + Ord + Default + 'static + Send + Sync + std::fmt::Debug {
    /// The type that counts compared rows: these run ahead of all other counts.
    type Wide: Copy + 'static + Send + Sync + std::fmt::Debug;
    /// Aligns a line.
    type Align: Copy + 'static + Send + Sync + std::fmt::Debug;
    const MAX: u64;
    const WIDE_MAX: u64;

    fn get(self) -> u64;
    /// The low bits of a value that is known to fit.
    fn new(value: u64) -> Self;
    fn get_wide(wide: Self::Wide) -> u64;
    fn new_wide(value: u64) -> Self::Wide;

    fn fits(value: u64) -> bool {
        value <= Self::MAX
    }
}

/// The smallest of sixteen, in four steps that vector instructions can take.
#[inline(always)]
fn least<T: Copy + Ord>(mut all: [T; SLOTS]) -> T {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            all[i] = all[i].min(all[i + half]);
        }
    }
    all[0]
}

/// Forces 64 bytes: the line of 16-bit counters is exactly a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Align64;
/// Forces 32 bytes.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(crate) struct Align32;

macro_rules! counter {
    ($type:ty, $wide:ty, $align:ty) => {
        impl Counter for $type {
            type Wide = $wide;
            type Align = $align;
            const MAX: u64 = <$type>::MAX as u64;
            const WIDE_MAX: u64 = <$wide>::MAX as u64;

            #[inline(always)]
            fn get(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn new(value: u64) -> Self {
                value as Self
            }
            #[inline(always)]
            fn get_wide(wide: $wide) -> u64 {
                wide as u64
            }
            #[inline(always)]
            fn new_wide(value: u64) -> $wide {
                value as $wide
            }
        }
    };
}
counter!(u16, u32, Align64);
counter!(u32, u64, Align32);
counter!(u64, u64, Align32);

/// Sixteen slots. A print of 0 is a blank; bit 0 tells a kept slot, whose count is then the number of its entry.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Line<C: Counter> {
    _align: [C::Align; 0],
    pub prints: [u16; SLOTS],
    pub counts: [C; SLOTS],
}

impl<C: Counter> Line<C> {
    pub const BLANK: fn() -> Self = || Line {
        _align: [],
        prints: [0; SLOTS],
        counts: [C::default(); SLOTS],
    };

    #[inline(always)]
    pub fn kept(&self, slot: usize) -> bool {
        self.prints[slot] & 1 == 1
    }

    /// How many slots are kept.
    pub fn kept_slots(&self) -> usize {
        self.prints.iter().filter(|p| **p & 1 == 1).count()
    }

    /// The counts of the slots that are not kept, and the largest number for the others.
    #[inline(always)]
    fn open_counts(&self) -> [C; SLOTS] {
        let mut counts = self.counts;
        for (count, print) in counts.iter_mut().zip(&self.prints) {
            *count = if print & 1 == 1 { C::new(C::MAX) } else { *count };
        }
        counts
    }

    /// The floor: the smallest count of a slot that is not kept.
    #[inline]
    pub fn floor(&self) -> u64 {
        least(self.open_counts()).get()
    }

    /// The slot at the floor that an admission takes: of several the one with the smallest print, so that the order
    /// of slots in a line means nothing.
    #[inline]
    pub fn victim(&self) -> (usize, u64) {
        let counts = self.open_counts();
        let floor = least(counts);
        let mut prints = self.prints;
        for (print, count) in prints.iter_mut().zip(&counts) {
            *print = if *print & 1 == 0 && *count == floor {
                *print
            } else {
                u16::MAX
            };
        }
        let print = least(prints);
        let slot = prints.iter().position(|p| *p == print).unwrap_or(0);
        (slot, floor.get())
    }

    /// The slot that counts everything with this print that has no key of its own.
    pub fn class(&self, print: u16) -> Option<usize> {
        (0..SLOTS).find(|slot| self.prints[*slot] == print)
    }

    /// The slots that keep a key with this print.
    pub fn keepers(&self, print: u16) -> impl Iterator<Item = usize> + '_ {
        (0..SLOTS).filter(move |slot| self.prints[*slot] == print | 1)
    }

    pub fn widen<D: Counter>(&self) -> Line<D> {
        Line {
            _align: [],
            prints: self.prints,
            counts: self.counts.map(|c| D::new(c.get())),
        }
    }
}

/// A kept item. Its weight `f` obeys `seen <= f <= seen + guess + slack`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<K, C: Counter> {
    pub key: K,
    /// Weight of the rows whose key was compared with `key` in full and equal.
    pub seen: C::Wide,
    /// What the slot had counted before the key was kept: of this item, or of others with its print.
    pub guess: C,
    /// What else may have come before.
    pub slack: C,
}

impl<K: Copy, C: Counter> Entry<K, C> {
    pub fn new(key: K, seen: u64, guess: u64, slack: u64) -> Self {
        Entry {
            key,
            seen: C::new_wide(seen),
            guess: C::new(guess),
            slack: C::new(slack),
        }
    }

    #[inline(always)]
    pub fn seen(&self) -> u64 {
        C::get_wide(self.seen)
    }

    pub fn estimate(&self) -> u64 {
        self.seen().saturating_add(self.guess.get())
    }

    pub fn upper(&self) -> u64 {
        self.estimate().saturating_add(self.slack.get())
    }
}

/// The bits of a print. The crate's own tests leave five, so that much clashes and yet a line is too small for all.
const PRINTS: u16 = if cfg!(test) { 0b11_1110 } else { !1 };

/// Where an item goes: its line among `lines`, and its print (even, never 0).
#[inline(always)]
pub(crate) fn place(hash: u64, lines: usize) -> (usize, u16) {
    let line = (((hash >> 32) * lines as u64) >> 32) as usize;
    let print = hash as u16 & PRINTS;
    (line, print | u16::from(print == 0) << 1)
}
