//! State beyond memory: closed panes and the groups of open ones, on a disk when they outgrow their share of the memory limit.
//!
//! What goes out is a [`Run`]: rows of a partial in the order of their keys, cut into blocks, written once and never changed.
//! Whoever holds a run can read it, and the last one to let go deletes it, so a checkpoint keeps what it still has to store
//! by holding on to it: no copy, no pause.
//!
//! * A closed pane, a merged pane of a hop's tree, a partial on its way to the final tier: a run each. Windows are merged from
//!   runs by a pass over all of them in step ([`merge`](merge::merge)), some thousand groups at a time.
//! * An open pane ([`open`]) is cut into ranges of keys. Rows for it are kept, not applied, until the pane closes or they are
//!   many; then the state of one range after the other is read back and goes on with its rows, in their order.
//!
//! Both do what the memory does: a group's states merge in the same order, and its rows are applied in the same order to the
//! state as it was. So results are byte for byte those of a run that never spilled.
//!
//! The store is scratch: it belongs to one process and need not survive it, since what has to survive is in checkpoints.
//!
//! Bound: the [`Shares`] of the memory limit. What does not spill are sessions after their panes closed, and steps behind
//! windows (joins, second aggregations, numbering); for them the limit is an error, as it is without a store.

mod keys;
mod memory;
pub mod merge;
pub mod open;
pub mod partial;
pub mod run;
mod store;

pub use memory::MemoryStore;
pub use partial::Partial;
pub use run::Run;
pub use store::{Life, RunId, StateStore, StoreError};

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How the memory limit is divided, and how large pieces on disk are. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Open panes in memory, over all workers.
    pub open: usize,
    /// Closed panes in memory, for each window.
    pub closed: usize,
    /// A block of a run.
    pub block: usize,
    /// The state of one range of the keys of an open pane.
    pub range: usize,
}

/// A range of keys has to be read and written as a whole.
const RANGE: usize = 4 << 20;
/// One block of every run of a window is in memory while it is merged.
const BLOCK: usize = 256 << 10;

impl Shares {
    /// Of a memory limit, of which `store` bytes are the store's own, over so many windows. About a third of the rest is left
    /// for what is in motion: batches, blocks that are being merged, objects of a checkpoint.
    pub fn of(limit: usize, store: usize, windows: usize) -> Self {
        let rest = limit.saturating_sub(store);
        let (open, closed) = (rest / 5 * 2, rest / 4);
        Self {
            open,
            closed: closed / windows.max(1),
            block: BLOCK.min(rest / 256).max(1 << 10),
            range: RANGE.min(rest / 64).max(4 << 10),
        }
    }
}

/// Where state goes that is too large for memory. Shared by the threads of a run.
pub struct Spill {
    store: Box<dyn StateStore>,
    /// The number of the next run.
    next: AtomicU64,
    /// How memory is divided.
    pub shares: Shares,
}

impl Spill {
    /// Over an empty store.
    pub fn new(store: Box<dyn StateStore>, shares: Shares) -> Arc<Self> {
        Arc::new(Self {
            store,
            next: AtomicU64::new(0),
            shares,
        })
    }

    /// The store.
    pub fn store(&self) -> &dyn StateStore {
        &*self.store
    }

    fn run(&self, life: Life) -> RunId {
        RunId {
            number: self.next.fetch_add(1, Relaxed),
            life,
        }
    }
}

impl fmt::Debug for Spill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spill({}, {:?})", self.store.describe(), self.shares)
    }
}
