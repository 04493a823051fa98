//! The lock on a local folder: one run at a time.
//!
//! The lock is the operating system's (`flock`), so it goes with the process, however that ends: a stale file locks nobody
//! out. The process id in it is for people only.

use hitters_dataflow::checkpoint::StorageError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// The file in the root of a store.
pub const NAME: &str = "lock";

/// A folder that this process holds until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who has it, and that `setting` names the folder.
    pub fn take(root: &Path, setting: &str) -> Result<Self, StorageError> {
        let path = root.join(NAME);
        let failed = |what: &str, error: &std::io::Error| {
            StorageError::new(format!(
                "cannot {what} {}: {}",
                path.display(),
                crate::local::explain(error)
            ))
        };
        // Never truncated by opening: the id of its holder must stay readable.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed("open", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(root, &mut file, setting)),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &error)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(format!("{}\n", std::process::id()).as_bytes())
        };
        write(&mut file).map_err(|error| failed("write", &error))?;
        Ok(Self { _file: file })
    }
}

fn held(root: &Path, file: &mut File, setting: &str) -> StorageError {
    let mut text = String::new();
    // Between its lock and its first write a holder has no id there yet.
    let _ = file.read_to_string(&mut text);
    let who = match text.trim().parse::<u32>() {
        Ok(id) if id == std::process::id() => "this process".to_owned(),
        Ok(id) => format!("process {id}"),
        Err(_) => "another process".to_owned(),
    };
    StorageError::new(format!(
        "{} is in use: {who} runs on it. Stop that run first, or give this one a folder of its own ({setting} of the pipeline \
         file)",
        root.display()
    ))
}
