//! What stores behind a network have in common: a runtime for their client, patience, and names for their writes.

use crate::Report;
use crate::patience::{Fault, Patience};
use hitters_dataflow::checkpoint::StorageError;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::runtime::{Builder, Runtime};

/// Asks a store from threads that know no futures.
pub(crate) struct Caller {
    /// Where the client runs.
    pub(crate) runtime: Runtime,
    /// How long the store may not answer.
    pub(crate) patience: Patience,
    /// Who hears of it.
    pub(crate) report: Report,
    /// Tells the writes of this process from those of others.
    writer: u64,
    serial: AtomicU64,
}

impl Caller {
    /// With threads of this name.
    pub(crate) fn new(threads: &str, patience: Patience, report: Report) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(threads)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            patience,
            report,
            writer: RandomState::new().hash_one(std::process::id()),
            serial: AtomicU64::new(0),
        })
    }

    /// Asks until there is an answer. `object` is of which object, with the store before it.
    pub(crate) fn ask<T>(
        &self,
        verb: &str,
        object: &str,
        once: impl AsyncFnMut() -> Result<T, Fault>,
    ) -> Result<T, StorageError> {
        let what = format!("{verb} {object}");
        self.runtime
            .block_on(self.patience.ask(&self.report, what.trim_end_matches('/'), once))
    }

    /// A name for one call that writes.
    pub(crate) fn token(&self) -> String {
        format!("{:016x}-{}", self.writer, self.serial.fetch_add(1, Relaxed))
    }
}
