//! The answer as stores and readers know it.
//!
//! Engines write answers as JSON text (format 1, written by the `hitters-sketch` crate) and sketches, a row for each closed
//! window and group; this crate reads them back, whichever engine wrote the row and whichever store holds it.
//!
//! * [`Row`], [`Answer`], [`group`]: what a row says.
//! * [`Store`]: what stores can be asked; [`RedisStore`] reads what the Redis sinks of pipelines write, [`EmbeddedStore`] is a
//!   file, `CassandraStore` (feature `cassandra`) keeps history.
//! * [`History`]: what an archive is written to: [`RedisWriter`], the `Writer` of Cassandra.
//! * [`Answers`]: questions over several stores at once. It finds the fewest windows that make a range ([`cover`]) and merges
//!   their sketches, so that bounds stay proven.
//! * [`RollUp`]: minutes to hours, hours to days. [`size`]: what they weigh.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answer;
mod ask;
#[cfg(feature = "cassandra")]
pub mod cassandra;
mod certificates;
pub mod cover;
mod embedded;
pub mod group;
mod redis;
mod retention;
mod roll_up;
mod row;
pub mod size;
mod store;

pub use answer::{Answer, Bounds, Item, Unreadable, count};
pub use ask::{Answers, AskError, Asked, Edge, Merged, Newest, Source};
#[cfg(feature = "cassandra")]
pub use cassandra::CassandraStore;
pub use certificates::Certificates;
pub use embedded::EmbeddedStore;
pub use group::Filter;
pub use redis::{RedisAddress, RedisStore, RedisWriter};
pub use retention::retention;
pub use roll_up::RollUp;
pub use row::{Pane, Row};
pub use store::{Archive, History, Scope, Span, Store, StoreError, Tier};
