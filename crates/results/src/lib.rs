//! The answer as stores and readers know it.
//!
//! Engines write answers as JSON text (format 1, written by the `hitters-sketch` crate); this crate reads them back, from a
//! nested object or from a string that holds one, so that a reader need not know which engine wrote the row.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answer;

pub use answer::{Answer, Bounds, Item, Unreadable};
