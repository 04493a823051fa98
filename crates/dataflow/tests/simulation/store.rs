//! A store in memory whose calls fail at random: before they did anything, after they did it (the answer is lost), or with the
//! death of the caller, which may leave a torn manifest.

use super::Random;
use hitters_dataflow::checkpoint::{Storage, StorageError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

/// Named objects.
#[derive(Default)]
pub struct Memory {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    trouble: Mutex<Option<(Random, u64)>>,
    died: AtomicBool,
    torn: AtomicBool,
}

enum Fate {
    Works,
    FailsBefore,
    FailsAfter,
    DiesBefore,
    DiesAfter,
}

impl Memory {
    /// About one call in `every` fails from now on.
    pub fn trouble(&self, seed: u64, every: u64) {
        *self.trouble.lock().unwrap() = Some((Random(seed), every));
    }

    /// The caller died in the last call.
    pub fn died(&self) -> bool {
        self.died.swap(false, Relaxed)
    }

    /// How many manifests there are, to see what is left behind.
    pub fn names(&self) -> Vec<String> {
        self.objects().keys().cloned().collect()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.objects.lock().unwrap()
    }

    fn fate(&self) -> Fate {
        let mut trouble = self.trouble.lock().unwrap();
        let Some((random, every)) = &mut *trouble else {
            return Fate::Works;
        };
        if random.below(*every) > 0 {
            return Fate::Works;
        }
        match random.below(4) {
            0 => Fate::FailsBefore,
            1 => Fate::FailsAfter,
            2 => Fate::DiesBefore,
            _ => Fate::DiesAfter,
        }
    }

    /// Does something that may fail.
    fn call<T>(
        &self,
        what: &str,
        name: &str,
        act: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T,
    ) -> Result<T, StorageError> {
        let fate = self.fate();
        if matches!(fate, Fate::DiesBefore | Fate::DiesAfter) {
            self.died.store(true, Relaxed);
        }
        let done = match fate {
            Fate::FailsBefore | Fate::DiesBefore => None,
            Fate::Works | Fate::FailsAfter | Fate::DiesAfter => Some(act(&mut self.objects())),
        };
        match (fate, done) {
            (Fate::Works, Some(done)) => Ok(done),
            _ => Err(StorageError::new(format!("cannot {what} {name}: a fault of the test"))),
        }
    }
}

impl Storage for Memory {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.call("write", name, |objects| {
            let before = objects.insert(name.to_string(), bytes.to_vec());
            assert!(before.is_none_or(|before| before == bytes), "object {name} was changed");
        })
    }

    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<bool, StorageError> {
        let put = self.call("write", name, |objects| {
            let new = !objects.contains_key(name);
            if new {
                objects.insert(name.to_string(), bytes.to_vec());
            }
            new
        });
        if put.is_err() && self.died.load(Relaxed) {
            // The first manifest has to be whole: without any there is nothing to go back to.
            let mut objects = self.objects();
            let older = objects
                .keys()
                .any(|other| other.starts_with("manifests/") && *other < name.to_string());
            if older && !self.torn.swap(true, Relaxed) {
                let torn = bytes[..bytes.len() / 2].to_vec();
                objects.entry(name.to_string()).or_insert(torn);
            } else {
                self.torn.store(false, Relaxed);
            }
        }
        put
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.call("read", name, |objects| objects.get(name).cloned())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        let prefix = format!("{folder}/");
        self.call("list", folder, |objects| {
            objects
                .keys()
                .filter(|name| name.starts_with(&prefix))
                .cloned()
                .collect()
        })
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.call("delete", name, |objects| {
            objects.remove(name);
        })
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}
