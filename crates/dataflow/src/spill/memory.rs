//! A store in memory, for tests and simulations: it has no way to fail and no way to help.

use super::store::{RunId, StateStore, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Blocks in memory; clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Blocks>>);

#[derive(Debug, Default)]
struct Blocks {
    blocks: HashMap<(RunId, u32), Vec<u8>>,
    puts: u64,
}

impl MemoryStore {
    /// Blocks that were ever stored.
    pub fn puts(&self) -> u64 {
        self.lock().puts
    }

    /// Blocks that nobody has deleted.
    pub fn blocks(&self) -> usize {
        self.lock().blocks.len()
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for MemoryStore {
    fn put(&self, run: RunId, block: u32, bytes: &[u8]) -> Result<(), StoreError> {
        let mut blocks = self.lock();
        blocks.puts += 1;
        match blocks.blocks.insert((run, block), bytes.to_vec()) {
            None => Ok(()),
            Some(_) => Err(StoreError::new(format!("block {block} of {run:?} is stored twice"))),
        }
    }

    fn get(&self, run: RunId, block: u32) -> Result<Vec<u8>, StoreError> {
        let found = self.lock().blocks.get(&(run, block)).cloned();
        found.ok_or_else(|| StoreError::new(format!("block {block} of {run:?} is not there")))
    }

    fn delete(&self, run: RunId, blocks: u32) -> Result<(), StoreError> {
        let mut there = self.lock();
        (0..blocks).for_each(|block| {
            there.blocks.remove(&(run, block));
        });
        Ok(())
    }

    fn memory(&self) -> usize {
        0
    }

    fn disk(&self) -> u64 {
        self.lock().blocks.values().map(|bytes| bytes.len() as u64).sum()
    }

    fn describe(&self) -> String {
        "memory".to_string()
    }
}
