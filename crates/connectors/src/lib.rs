//! Sources and sinks: Kafka, Redis, files and small ones for trying things out; one folder a connector.
//!
//! A connector first checks the options of a table for the planner ([`connectors`]), long before anything is opened; then
//! the [`Factory`] of a run opens what a plan reads and writes. Option names, defaults and formats are Arroyo's, so that
//! one SQL file runs on both engines.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod bad;
mod blackhole;
pub mod dead_letter;
mod factory;
mod format;
pub mod generate;
mod held;
mod impulse;
mod json;
mod kafka;
#[cfg(test)]
mod options_tests;
pub mod print;
mod redis;
mod rows;
mod run;
mod single_file;
mod stdout;
#[cfg(test)]
mod testing;
pub mod topics;

pub use dead_letter::DeadLetter;
pub use factory::Factory;
pub use kafka::{Begin, CONSUMER_SETTINGS, Record, Tail};
pub use print::{Print, PrintFormat};
pub use redis::Active;
pub use run::{Attempt, Bound, MissingOffsets, Reporter, RunOptions, StartTimeout};

use hitters_planner::connector::Connectors;

/// Every connector, for the planner.
pub fn connectors() -> Connectors {
    let mut all = Connectors::default();
    all.register(blackhole::Blackhole);
    all.register(impulse::Impulse);
    all.register(kafka::Kafka);
    all.register(redis::Redis);
    all.register(single_file::SingleFile);
    all.register(stdout::Stdout);
    all
}
