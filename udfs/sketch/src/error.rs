//! What can go wrong, in words that name the way out.

use std::fmt;

use crate::{ItemKind, Measure};

/// An error of this crate.
///
/// Every text says what was wrong and what to do about it; nothing here needs a backtrace.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A capacity of zero, or above the largest that a sketch takes.
    Capacity {
        /// What was asked for.
        capacity: usize,
        /// The largest capacity.
        max: usize,
    },
    /// More items were asked for than the sketch tracks, or none.
    K {
        /// What was asked for.
        k: usize,
        /// How many items the sketch tracks.
        capacity: usize,
    },
    /// A parameter that must lie strictly between 0 and 1, or is too small to be served.
    Share {
        /// The parameter's name.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A memory budget that does not hold a sketch for the wanted number of items.
    Memory {
        /// The budget.
        bytes: usize,
        /// The least that would do.
        least: usize,
    },
    /// Two sketches over different kinds of items.
    MixedKinds(ItemKind, ItemKind),
    /// Two sketches of which one counts rows and the other adds weights.
    MixedMeasures(Measure, Measure),
    /// Two sketches with different seeds: their hashes say nothing about each other.
    MixedSeeds,
    /// The bytes were written under another seed than the one given.
    WrongSeed,
    /// The bytes are not a sketch of this kind, are cut short, or were changed.
    Corrupt(&'static str),
    /// The bytes are a sketch, of a version that this build does not read.
    Version(u8),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Capacity { capacity, max } => {
                write!(
                    f,
                    "a capacity of {capacity} items is outside of 1 to {max}; choose one inside"
                )
            }
            Error::K { k: 0, .. } => write!(f, "k is 0; ask for at least 1 item"),
            Error::K { k, capacity } => write!(
                f,
                "k = {k} is above the capacity of {capacity} items; ask for at most {capacity}, \
                 or build the sketch with max_items of at least {k}"
            ),
            Error::Share { name, value } => {
                write!(
                    f,
                    "{name} = {value} is outside of its range; choose a number between 0 and 1, not too close to 0"
                )
            }
            Error::Memory { bytes, least } => {
                write!(
                    f,
                    "{bytes} bytes are too few for that many items; give at least {least}, or ask for fewer items"
                )
            }
            Error::MixedKinds(a, b) => {
                write!(
                    f,
                    "a sketch of {a} items does not merge with one of {b} items; cast the items to one type"
                )
            }
            Error::MixedMeasures(a, b) => {
                write!(
                    f,
                    "a sketch of a {a} does not merge with one of a {b}; combine only sketches of one function"
                )
            }
            Error::MixedSeeds => {
                write!(
                    f,
                    "sketches with different seeds do not merge; build all that meet with one seed"
                )
            }
            Error::WrongSeed => {
                write!(
                    f,
                    "the sketch was written under another seed; read it with the seed that it was built with"
                )
            }
            Error::Corrupt(what) => write!(f, "not a readable sketch: {what}"),
            Error::Version(v) => {
                write!(
                    f,
                    "the sketch has format version {v}, which this build does not read; upgrade the reader"
                )
            }
        }
    }
}

impl std::error::Error for Error {}
