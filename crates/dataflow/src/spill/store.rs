//! What spilled state needs of the place where it goes: numbered blocks that are written once, read a few times, and deleted
//! run by run.

use std::fmt;

/// Names the blocks of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunId {
    /// No two runs of a store have the same.
    pub number: u64,
    /// How soon it will be deleted. A store does well to keep runs of one kind together: what dies together leaves no holes.
    pub life: Life,
}

/// How long a run stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// As long as a pane is open, or on its way to the final tier.
    Brief,
    /// As long as a pane is part of a window.
    Long,
}

/// A scratch store of blocks. It is empty when it is opened, belongs to one process, and need not survive it. Called from the
/// threads that process rows and from the one that stores checkpoints.
pub trait StateStore: Send + Sync {
    /// Stores a block of a run. No block is stored twice.
    fn put(&self, run: RunId, block: u32, bytes: &[u8]) -> Result<(), StoreError>;
    /// Reads a block that was stored.
    fn get(&self, run: RunId, block: u32) -> Result<Vec<u8>, StoreError>;
    /// Deletes a run, which has so many blocks. Nobody reads it any more.
    fn delete(&self, run: RunId, blocks: u32) -> Result<(), StoreError>;
    /// Bytes of memory that it holds: buffers, caches.
    fn memory(&self) -> usize;
    /// Bytes on disk.
    fn disk(&self) -> u64;
    /// For people: `RocksDB in /var/lib/hitters/flights/spill`.
    fn describe(&self) -> String;
}

/// What a store could not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What was asked, where, why it failed, and what to do.
    pub message: String,
}

impl StoreError {
    /// With this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}
