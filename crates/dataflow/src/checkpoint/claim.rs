//! The beginning of a run: finds the newest good checkpoint and takes the next number, which ends any run that still
//! writes to the same place.

use super::manifest::{FOLDER, Manifest, ObjectRef};
use super::storage::Storage;
use crate::Error;
use std::collections::HashMap;
use std::sync::Arc;

/// A place of checkpoints that belongs to this run.
pub struct Claim {
    pub(super) storage: Arc<dyn Storage>,
    /// The number of this run: greater than those of all runs before it.
    pub(super) attempt: u64,
    /// What the run goes on from, as it was found.
    pub(super) found: Option<Manifest>,
    /// Those objects of it that were kept in memory when they were checked.
    held: HashMap<String, Vec<u8>>,
    notes: Vec<String>,
}

/// Bytes of objects that are kept in memory from when they are checked until they are restored. More of them are read twice:
/// state may be larger than memory.
const HOLD: usize = 128 << 20;

/// How often a number may be taken by another run that starts at the same time.
const TRIES: usize = 16;

impl Claim {
    /// Takes the place over. A manifest or object that is torn, changed or missing makes its checkpoint bad; the newest good
    /// one counts.
    pub fn take(storage: Arc<dyn Storage>) -> Result<Self, Error> {
        Self::take_holding(storage, HOLD)
    }

    /// The same, with so many bytes of objects kept in memory.
    pub fn take_holding(storage: Arc<dyn Storage>, hold: usize) -> Result<Self, Error> {
        for _ in 0..TRIES {
            let mut notes = Vec::new();
            let mut numbers: Vec<u64> = storage
                .list(FOLDER)
                .map_err(failed)?
                .iter()
                .filter_map(|name| Manifest::number_of(name))
                .collect();
            numbers.sort_unstable();
            let mut found = None;
            for number in numbers.iter().rev() {
                match read(&*storage, *number, hold)? {
                    Ok(good) => {
                        found = Some(good);
                        break;
                    }
                    Err(why) => notes.push(format!(
                        "checkpoint {number} in {} cannot be used: {why}; going on from the one before. Rows that sinks showed \
                         since may be written again",
                        storage.describe()
                    )),
                }
            }
            let attempt = numbers.last().map_or(1, |last| last + 1);
            let (found, held) = match found {
                Some((manifest, held)) => (Some(manifest), held),
                None => (None, HashMap::new()),
            };
            if found.is_none() && !numbers.is_empty() {
                return Err(Error::Checkpoint(format!(
                    "none of the {} checkpoints in {} can be used: {}. To begin anew without their state, move them away",
                    numbers.len(),
                    storage.describe(),
                    notes.join("; ")
                )));
            }
            let mine = Manifest {
                number: attempt,
                attempt,
                ..found.clone().unwrap_or_else(|| Manifest::empty(attempt))
            };
            let name = Manifest::name(attempt);
            if storage.put_new(&name, &mine.to_bytes()?).map_err(failed)? {
                if newest(&*storage)? > attempt {
                    // Another run has stored more since the list was made, and let go of this number already.
                    storage.delete(&name).map_err(failed)?;
                    continue;
                }
                return Ok(Self {
                    storage,
                    attempt,
                    found,
                    held,
                    notes,
                });
            }
        }
        Err(Error::Checkpoint(format!(
            "other runs keep taking {} over: stop them, or give this pipeline a place of its own",
            storage.describe()
        )))
    }

    /// The number of this run.
    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    /// The checkpoint that the run goes on from, if there was one.
    pub fn found(&self) -> Option<u64> {
        self.found.as_ref().map(|manifest| manifest.number)
    }

    /// The bytes of an object of the checkpoint that was found. Each is asked for once.
    pub(super) fn object(&mut self, object: &ObjectRef) -> Result<Vec<u8>, Error> {
        if let Some(bytes) = self.held.remove(&object.name) {
            return Ok(bytes);
        }
        match self.storage.get(&object.name).map_err(failed)? {
            Some(bytes) if object.matches(&bytes) => Ok(bytes),
            _ => Err(Error::Checkpoint(format!(
                "'{}' was whole in {} a moment ago, and is gone or has other bytes now: does another run use this place?",
                object.name,
                self.storage.describe()
            ))),
        }
    }

    /// What people should know of the search.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The greatest number of a manifest.
pub(super) fn newest(storage: &dyn Storage) -> Result<u64, Error> {
    let names = storage.list(FOLDER).map_err(failed)?;
    Ok(names
        .iter()
        .filter_map(|name| Manifest::number_of(name))
        .max()
        .unwrap_or(0))
}

/// A manifest with those of its objects that are kept in memory.
type Loaded = (Manifest, HashMap<String, Vec<u8>>);

/// Reads a checkpoint; the inner error says why it is bad.
fn read(storage: &dyn Storage, number: u64, hold: usize) -> Result<Result<Loaded, String>, Error> {
    let Some(bytes) = storage.get(&Manifest::name(number)).map_err(failed)? else {
        return Ok(Err("its manifest is gone".into()));
    };
    let manifest = match Manifest::from_bytes(&bytes) {
        Ok(manifest) => manifest,
        Err(unreadable) if unreadable.newer => {
            // Going on from an older one would throw away what the newer program did.
            return Err(Error::Checkpoint(format!(
                "checkpoint {number} in {} cannot be read: {unreadable}",
                storage.describe()
            )));
        }
        Err(unreadable) => return Ok(Err(format!("its manifest is bad: {unreadable}"))),
    };
    let (mut held, mut left) = (HashMap::new(), hold);
    for object in manifest.all_objects() {
        match storage.get(&object.name).map_err(failed)? {
            Some(bytes) if object.matches(&bytes) => {
                if let Some(less) = left.checked_sub(bytes.len()) {
                    left = less;
                    held.insert(object.name.clone(), bytes);
                }
            }
            Some(_) => return Ok(Err(format!("'{}' has other bytes than were written", object.name))),
            None => return Ok(Err(format!("'{}' is missing", object.name))),
        }
    }
    Ok(Ok((manifest, held)))
}

pub(super) fn failed(error: super::StorageError) -> Error {
    Error::Checkpoint(error.message)
}
