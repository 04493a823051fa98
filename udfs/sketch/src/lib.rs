//! Heavy hitters over streams: which items come most often, how often, and how sure that is.
//!
//! * [`TopK`], the hybrid: small, fast, mergeable, with a lower and an upper bound for every item.
//! * [`SpaceSaving`], the classic stream summary.
//! * [`CountMin`], a count for any item, never too low.
//!
//! All of them are functions of the row sequence only, take rows one at a time or as slices of a column, merge across sizes,
//! and read only bytes that they wrote. No I/O, no threads, no clock, no dependencies.

#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(target_endian = "big")]
compile_error!("hitters-sketch reads columns in place and knows little-endian machines only");

mod answer;
mod count_min;
mod datasketches;
mod error;
mod hash;
mod index;
mod item;
mod sizing;
mod space_saving;
mod topk;
mod wire;

pub use answer::{Answer, AnswerItem, Estimate, Item, Other, Share};
pub use count_min::{CountMin, CountMinEstimate};
pub use error::Error;
pub use item::{ItemKind, Items, Measure, Rows};
pub use sizing::{MAX_CAPACITY, bound_share, max_items, memory_bytes};
pub use space_saving::SpaceSaving;
pub use topk::TopK;

// The promises once more, with prints of five bits instead of fifteen: clashes are common there.
#[cfg(test)]
extern crate self as hitters_sketch;
#[cfg(test)]
#[path = "../tests/promises.rs"]
mod clashes;
