//! Where state goes while it is in use and too large for memory: RocksDB in a folder of its own.
//!
//! The folder is scratch. It is emptied when it is opened and when it is closed: what has to survive a run is in its
//! checkpoints. One process holds it at a time.

#[cfg(feature = "rocksdb")]
mod rocks;

use hitters_dataflow::spill::{StateStore, StoreError};
use std::path::Path;

/// Opens RocksDB in a folder, which is made if it is not there. It keeps to about `memory` bytes: memtables, caches, tables.
///
/// # Errors
/// A folder that cannot be made or emptied, or that another run holds; a build without RocksDB.
#[cfg(feature = "rocksdb")]
pub fn open(folder: &Path, memory: usize) -> Result<Box<dyn StateStore>, StoreError> {
    Ok(Box::new(rocks::Rocks::open(folder, memory)?))
}

/// Opens RocksDB in a folder: this build has none.
///
/// # Errors
/// Always.
#[cfg(not(feature = "rocksdb"))]
pub fn open(_folder: &Path, _memory: usize) -> Result<Box<dyn StateStore>, StoreError> {
    check().and_then(|()| Err(StoreError::new("this build of Hitters has no RocksDB")))
}

/// Checks that this build can [`open`] one.
///
/// # Errors
/// It cannot, and how to make one that can.
pub fn check() -> Result<(), StoreError> {
    #[cfg(feature = "rocksdb")]
    return Ok(());
    #[cfg(not(feature = "rocksdb"))]
    Err(StoreError::new(crate::left_out("RocksDB", "rocksdb").message))
}
