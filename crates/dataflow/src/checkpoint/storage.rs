//! What checkpoints need of the place where they are stored: named objects that are written once.
//!
//! Names are paths with `/`. An object is never changed after it was written, so a cache may keep it for ever. Calls wait
//! out passing faults (a full second of refusals, a time-out) by themselves, with growing pauses, up to a limit of their own.

use std::fmt;

/// A store of named objects: a local folder, S3, HDFS. Called from the threads of the engine that write checkpoints, never
/// from those that process rows.
pub trait Storage: Send + Sync {
    /// Writes an object, in place of one of the same name (which holds the same bytes). When this returns, the whole object is
    /// durable; before, it does not exist under its name.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError>;
    /// Writes an object unless there is one of the name: `false` if there is. Of several writers at once, one gets `true`.
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<bool, StorageError>;
    /// Reads an object; `None` if there is none.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError>;
    /// Full names of all objects below a folder (`manifests` finds `manifests/1`), in ascending order.
    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError>;
    /// Deletes an object; nothing happens if there is none.
    fn delete(&self, name: &str) -> Result<(), StorageError>;
    /// For people: `/var/lib/hitters/flights`, `s3://bucket/prefix`.
    fn describe(&self) -> String;
}

/// What a store could not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError {
    /// What was asked, of which object, why it failed, and what to do.
    pub message: String,
}

impl StorageError {
    /// With this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StorageError {}
