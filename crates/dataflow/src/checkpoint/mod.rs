//! Checkpoints: the whole state of a run at one point of its logs, so that a run that was killed goes on as if nothing had
//! happened.
//!
//! A barrier travels with the messages of every worker. Before it passes it on, a worker freezes its state; when the barrier
//! of all workers has come, the final tier does the same, and asks the sinks what they hold back. All of that is one
//! consistent cut: what was read before the barrier is in the state or in the sinks, what comes after is in neither. A thread of
//! its own turns the copies into objects and stores them, the manifest last; then sinks commit. Rows flow all the while.
//!
//! | file | what it owns |
//! |---|---|
//! | `snapshot` | the state between a barrier and its bytes |
//! | `align` | barriers in front of the final tier |
//! | `layout` | names of state that outlive a plan |
//! | `object`, `manifest` | the format, versions 1 and 2 |
//! | `storage` | what is needed of a store |
//! | `claim`, `restore` | the beginning: the newest good checkpoint, fitted to the plan |
//! | `writer`, `thread` | checkpoints one after the other; old ones are let go |
//! | `fault` | points at which tests interrupt |

pub mod align;
pub mod claim;
pub mod fault;
pub mod layout;
pub mod manifest;
pub mod object;
pub mod restore;
pub mod snapshot;
pub mod storage;
pub mod thread;
pub mod writer;

pub use claim::Claim;
pub use fault::{Faults, NoFaults, Point};
pub use storage::{Storage, StorageError};

use crate::Error;
use std::sync::Arc;
use std::time::Duration;

/// How a run keeps checkpoints.
pub struct Checkpoints {
    /// The place, taken over by this run.
    pub claim: Claim,
    /// From the barrier of one checkpoint to that of the next, unless storing takes longer; `None`: only when the run ends or is stopped.
    pub interval: Option<Duration>,
    /// How many are kept.
    pub keep: usize,
    /// For tests.
    pub faults: Arc<dyn Faults>,
    /// Called before a checkpoint counts: what does not go through sinks (dead letters) must have arrived.
    pub before: Box<dyn Fn() -> Result<(), Error> + Send>,
    /// Called with what people should know: a checkpoint that failed, state that was let go.
    pub report: Box<dyn Fn(&str) + Send>,
}
