//! Errors of a running dataflow.

use datafusion_common::error::DataFusionError;

/// What stopped a dataflow.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A source cannot go on. The text says which one, where (partition, offset, line) and what to do.
    #[error("source {table}: {message}")]
    Source {
        /// The table.
        table: String,
        /// What happened and what to do.
        message: String,
    },
    /// A sink cannot go on.
    #[error("sink {table}: {message}")]
    Sink {
        /// The table.
        table: String,
        /// What happened and what to do.
        message: String,
    },
    /// State grew over the configured limit.
    #[error("{0}")]
    Memory(String),
    /// State on disk cannot be written or read: scratch, so nothing is lost that a checkpoint holds.
    #[error("{0}")]
    Spill(String),
    /// An expression failed on the rows that it met.
    #[error("{0}")]
    Expression(#[from] DataFusionError),
    /// A batch could not be built.
    #[error("{0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A checkpoint cannot be written, read or found.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// Another run has taken over what this one writes to.
    #[error("{0}")]
    Superseded(String),
    /// Saved state that does not fit the dataflow.
    #[error("state: {0}")]
    State(String),
}
