//! A folder of this machine.
//!
//! An object is written to a temporary file of its folder, synced, and then given its name in one step: `rename` for
//! [`Storage::put`], `hard_link` for [`Storage::put_new`], since that is the step of a file system that fails if the name is
//! taken. The folder is synced after it: what a call has returned survives a power cut.
//!
//! Invariant: under a name that [`name::check`] passes stands a whole object or nothing. Temporary files begin with a dot,
//! which no such name does; those that a killed run left are removed when the folder is opened, under its lock.

use crate::lock::Lock;
use crate::name;
use hitters_dataflow::checkpoint::{Storage, StorageError};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How the names of temporary files end.
const TEMPORARY: &str = ".tmp";

/// A store in a folder. One process holds it at a time.
#[derive(Debug)]
pub struct Local {
    root: PathBuf,
    /// Numbers temporary files: threads that write the same object must not share one.
    serial: AtomicU64,
    _lock: Lock,
}

impl Local {
    /// Opens a folder, makes it if need be, and holds it until this is dropped.
    ///
    /// # Errors
    /// The folder cannot be made or written, or another run holds it.
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        let failed = |error: &io::Error| {
            StorageError::new(format!(
                "cannot use {} to store checkpoints: {}",
                root.display(),
                explain(error)
            ))
        };
        let root = std::path::absolute(root).map_err(|error| failed(&error))?;
        make_folder(&root).map_err(|error| failed(&error))?;
        let lock = Lock::take(&root, "storage in [checkpoint]")?;
        let local = Self {
            root,
            serial: AtomicU64::new(0),
            _lock: lock,
        };
        local.remove_leftovers().map_err(|error| failed(&error))?;
        Ok(local)
    }

    /// Removes the temporary files of a run that was killed.
    fn remove_leftovers(&self) -> io::Result<()> {
        walk(&self.root, "", &mut |name, path| {
            let file = name.rsplit('/').next().unwrap_or(name);
            if file.starts_with('.') && file.ends_with(TEMPORARY) {
                fs::remove_file(path)?;
            }
            Ok(())
        })
    }

    /// Writes a temporary file beside the place of an object, and lets `publish` give it its name.
    fn write<T>(&self, target: &Path, bytes: &[u8], publish: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let folder = target.parent().unwrap_or(&self.root);
        make_folder(folder)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = folder.join(format!(".{name}.{}{TEMPORARY}", self.serial.fetch_add(1, Relaxed)));
        let fill = || {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        let published = fill().and_then(|()| publish(&temporary));
        // After a rename it is gone already. If it cannot be removed, the next run does that.
        let _ = fs::remove_file(&temporary);
        let published = published?;
        sync_folder(folder)?;
        Ok(published)
    }

    fn failed(&self, what: &str, name: &str, error: &io::Error) -> StorageError {
        StorageError::new(format!(
            "cannot {what} {}: {}",
            self.root.join(name).display(),
            explain(error)
        ))
    }
}

impl Storage for Local {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        name::check(name)?;
        let target = self.root.join(name);
        self.write(&target, bytes, |temporary| fs::rename(temporary, &target))
            .map_err(|error| self.failed("write", name, &error))
    }

    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<bool, StorageError> {
        name::check(name)?;
        let target = self.root.join(name);
        let link = |temporary: &Path| match fs::hard_link(temporary, &target) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        };
        self.write(&target, bytes, link)
            .map_err(|error| self.failed("write", name, &error))
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        name::check(name)?;
        match fs::read(self.root.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_nothing(&error) => Ok(None),
            Err(error) => Err(self.failed("read", name, &error)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        name::check_folder(folder)?;
        let (path, prefix) = match folder {
            "" => (self.root.clone(), String::new()),
            _ => (self.root.join(folder), format!("{folder}/")),
        };
        let mut found = Vec::new();
        let walked = walk(&path, &prefix, &mut |name, _| {
            // What is no name of ours is no object: temporary files, the lock, what others put here.
            if name::check(name).is_ok() {
                found.push(name.to_owned());
            }
            Ok(())
        });
        walked.map_err(|error| self.failed("list", folder, &error))?;
        found.sort_unstable();
        Ok(found)
    }

    /// Not synced: an object that comes back after a power cut is one that nobody asks for.
    fn delete(&self, name: &str) -> Result<(), StorageError> {
        name::check(name)?;
        match fs::remove_file(self.root.join(name)) {
            Ok(()) => Ok(()),
            Err(error) if is_nothing(&error) => Ok(()),
            Err(error) => Err(self.failed("delete", name, &error)),
        }
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }
}

/// Calls `visit` with the name and the path of every file below a folder. `prefix`: what the names begin with, with a `/` at its
/// end unless it is empty.
///
/// Links are followed, as they are by reads and writes: a folder of the store may lie on another disk. A circle of links ends
/// where the system has had enough of them.
fn walk(folder: &Path, prefix: &str, visit: &mut dyn FnMut(&str, &Path) -> io::Result<()>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_nothing(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let (name, path) = (format!("{prefix}{name}"), entry.path());
        let kind = match fs::metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            // Renamed or removed meanwhile.
            Err(error) if is_nothing(&error) => continue,
            // To nowhere, or too often round a circle.
            Err(_) if entry.file_type()?.is_symlink() => continue,
            Err(error) => return Err(error),
        };
        if kind.is_dir() && name::check(&name).is_ok() {
            walk(&path, &format!("{name}/"), visit)?;
        } else if kind.is_file() {
            visit(&name, &path)?;
        }
    }
    Ok(())
}

/// Makes a folder and those above it, each of them durable.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folder(parent)?;
        match fs::create_dir(folder) {
            Ok(()) => sync_folder(parent)?,
            // Another thread was quicker.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes the names in a folder durable. Only Unix opens folders as files.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

/// There is no such object: nothing of the name, or a file where the name has a folder.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// What a fault of a file system means and what to do about it.
pub fn explain(error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::StorageFull => "the disk is full; free some space, keep fewer checkpoints, or move the folder",
        ErrorKind::QuotaExceeded => {
            "the disk quota is used up; free some space, keep fewer checkpoints, or move the folder"
        }
        ErrorKind::FileTooLarge => "files may not grow so large here (see ulimit -f)",
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only; choose a folder that can be written",
        ErrorKind::PermissionDenied => {
            "this user may not; give it the right to read and write there, or choose another folder"
        }
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            "there is a file where a folder should be; choose another folder"
        }
        ErrorKind::IsADirectory => "there is a folder where a file should be; choose a folder that nothing else uses",
        ErrorKind::Unsupported => "the file system cannot do this (hard links, locks); choose another one",
        _ => return error.to_string(),
    };
    format!("{advice} ({error})")
}
