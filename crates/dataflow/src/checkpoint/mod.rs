//! Checkpoints: the whole state of a run at one point of its logs, so that a run that was killed goes on as if nothing had
//! happened.

pub mod storage;

pub use storage::{Storage, StorageError};
