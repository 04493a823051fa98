//! The beginning of a run: finds the newest good checkpoint and takes the next number, which ends any run that still
//! writes to the same place.

use super::manifest::{FOLDER, Manifest};
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
    /// The objects of that, checked.
    pub(super) objects: HashMap<String, Vec<u8>>,
    notes: Vec<String>,
}

/// How often a number may be taken by another run that starts at the same time.
const TRIES: usize = 16;

impl Claim {
    /// Takes the place over. A manifest or object that is torn, changed or missing makes its checkpoint bad; the newest good
    /// one counts.
    pub fn take(storage: Arc<dyn Storage>) -> Result<Self, Error> {
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
                match read(&*storage, *number)? {
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
            let (found, objects) = match found {
                Some((manifest, objects)) => (Some(manifest), objects),
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
                    objects,
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

/// A manifest with its objects.
type Loaded = (Manifest, HashMap<String, Vec<u8>>);

/// Reads a checkpoint; the inner error says why it is bad.
fn read(storage: &dyn Storage, number: u64) -> Result<Result<Loaded, String>, Error> {
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
    let mut objects = HashMap::new();
    for object in manifest.all_objects() {
        match storage.get(&object.name).map_err(failed)? {
            Some(bytes) if object.matches(&bytes) => {
                objects.insert(object.name.clone(), bytes);
            }
            Some(_) => return Ok(Err(format!("'{}' has other bytes than were written", object.name))),
            None => return Ok(Err(format!("'{}' is missing", object.name))),
        }
    }
    Ok(Ok((manifest, objects)))
}

pub(super) fn failed(error: super::StorageError) -> Error {
    Error::Checkpoint(error.message)
}
