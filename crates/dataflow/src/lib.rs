//! The embedded dataflow engine.
//!
//! Operators are step functions: they own no thread, clock, socket or file. Sources, sinks and the clock come in as
//! traits, so that threads can drive them in production ([`Job`]) and a simulation in tests.
//!
//! | file | what it owns |
//! |---|---|
//! | `source`, `sink`, `clock` | what the engine needs of the world, as traits |
//! | `batch`, `expr`, `unnest`, `stateless` | rows, and steps that look at each row alone |
//! | `event_time`, `frontier`, `silence` | event time of rows, watermarks of partitions, and which of them are silent |
//! | `keys`, `groups`, `panes`, `tree`, `session`, `merge`, `publish` | windows: from rows to published windows |
//! | `spill` | state on a disk when it outgrows memory |
//! | `operator`, `regroup`, `row_number`, `join` | steps after a window |
//! | `graph`, `worker`, `finisher` | the two tiers as step functions |
//! | `look` | the windows that are still open, for who asks while the run goes on |
//! | `checkpoint` | the state on its way to a store and back |
//! | `job`, `threads`, `metrics` | threads, and what they count |

pub mod batch;
pub mod checkpoint;
pub mod clock;
mod durations;
pub mod error;
pub mod event_time;
pub mod expr;
pub mod finisher;
pub mod frontier;
pub mod graph;
pub mod groups;
pub mod job;
pub mod join;
pub mod keys;
pub mod look;
pub mod merge;
pub mod metrics;
pub mod operator;
pub mod panes;
pub mod publish;
pub mod regroup;
pub mod row_number;
pub mod session;
pub mod silence;
pub mod sink;
pub mod source;
pub mod spill;
pub mod stateless;
mod threads;
pub mod tree;
pub mod unnest;
pub mod worker;

pub use error::Error;
pub use job::{Job, JobOptions, Stopper, Summary};
pub use look::Looker;
pub use metrics::Metrics;
