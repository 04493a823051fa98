//! What a store of answers can be asked.
//!
//! A store knows rows by (pipeline, version, set, group, width, start). It says of each set and width from where to where it
//! knows **every** window: a window in there without a row is empty, one outside is unknown. All that is answered over
//! ranges rests on this difference.

use crate::{Pane, Row, Unreadable};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// A version of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// Its name.
    pub pipeline: String,
    /// The version.
    pub version: u64,
}

/// The windows of one width that a store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// The dimension set.
    pub set: String,
    /// Length of a window in ms.
    pub width: i64,
    /// Start of the first known window, ms since the epoch, a multiple of the width.
    pub from: i64,
    /// End of the last known window.
    pub to: i64,
}

/// Windows of a group: all that start at a multiple of `width` from `from` on and end by `to`; or, if `to - from` is the
/// width, that one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The group.
    pub group: String,
    /// Length of a window in ms.
    pub width: i64,
    /// Start of the first window.
    pub from: i64,
    /// End of the last window.
    pub to: i64,
}

impl Span {
    /// The starts of its windows.
    pub fn starts(&self) -> impl Iterator<Item = i64> + use<> {
        let (from, to, width) = (self.from, self.to, self.width.max(1));
        (from..to).step_by(usize::try_from(width).unwrap_or(usize::MAX))
    }

    /// How many windows.
    pub fn windows(&self) -> usize {
        usize::try_from((self.to - self.from) / self.width.max(1)).unwrap_or(0)
    }
}

/// Why a store gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It does not answer; it may again.
    #[error("{store} is away: {reason}")]
    Away {
        /// Name of the store.
        store: &'static str,
        /// What it or its client says.
        reason: String,
    },
    /// It holds something that is no row.
    #[error("{store} holds something else under {key}: {reason}; was it written by another program or version?")]
    Row {
        /// Name of the store.
        store: &'static str,
        /// Where.
        key: String,
        /// What is wrong with it.
        reason: Unreadable,
    },
    /// It does not do what it is told, and will not do it the next time.
    #[error("{store} refuses: {reason}")]
    Refused {
        /// Name of the store.
        store: &'static str,
        /// What it says, and what to do.
        reason: String,
    },
    /// What was written is gone: it was restarted without its data, or emptied.
    #[error("{store} has lost {what}")]
    Lost {
        /// Name of the store.
        store: &'static str,
        /// What.
        what: String,
    },
    /// A newer writer has taken over.
    #[error("{what} has to end: {by} writes to {store} now; let one of them run at a time")]
    Fenced {
        /// Name of the store.
        store: &'static str,
        /// Who has to end.
        what: String,
        /// Who has taken over.
        by: String,
    },
}

/// A store of answers.
#[async_trait]
pub trait Store: Send + Sync + Debug {
    /// What people call it: `redis`, `cassandra`, `embedded`.
    fn name(&self) -> &'static str;

    /// The pipelines that it knows, each with the version that readers should look at.
    ///
    /// # Errors
    /// If the store is away.
    async fn pipelines(&self) -> Result<Vec<Scope>, StoreError>;

    /// The version of a pipeline that readers should look at; `None` if it does not know the pipeline.
    ///
    /// # Errors
    /// If the store is away.
    async fn active(&self, pipeline: &str) -> Result<Option<u64>, StoreError>;

    /// The newest window of every set and group, without sketches.
    ///
    /// # Errors
    /// If the store is away, or holds something else.
    async fn newest(&self, scope: &Scope) -> Result<Vec<Row>, StoreError>;

    /// The newest window of one group, without its sketch. Cheap: it is asked every second.
    ///
    /// # Errors
    /// If the store is away, or holds something else.
    async fn newest_of(&self, scope: &Scope, set: &str, group: &str) -> Result<Option<Row>, StoreError>;

    /// What it knows in full.
    ///
    /// # Errors
    /// If the store is away.
    async fn tiers(&self, scope: &Scope) -> Result<Vec<Tier>, StoreError>;

    /// The rows in some spans of a set, each with the place of its span: spans in order, in each the windows by time.
    ///
    /// # Errors
    /// If the store is away, or holds something else.
    async fn read(&self, scope: &Scope, set: &str, spans: &[Span]) -> Result<Vec<(usize, Pane)>, StoreError>;
}

/// A store that this project writes itself: the embedded one, Cassandra.
#[async_trait]
pub trait Archive: Store {
    /// Writes rows; a row replaces the one of the same window and group.
    ///
    /// # Errors
    /// If the store is away, or another writer has taken over.
    async fn write(&self, rows: &[Row]) -> Result<(), StoreError>;

    /// What was known of the windows of a set and width is not known any more: there is a hole between them and those that are
    /// written next.
    ///
    /// # Errors
    /// If the store is away.
    async fn forget(&self, scope: &Scope, set: &str, width: i64) -> Result<(), StoreError>;
}

/// Where `hitters archive` keeps the rows of a log: what was written, what of it is known in full, and up to where the log was read.
///
/// All of it is the same when it is done twice. Rows may come in any order of time. What was *seen* is what rows were written of; it
/// is *known*, so that a window without a row is an empty one, once [`History::freeze`], then a look at the log's end, then all up
/// to there, then [`History::settle`] were done.
#[async_trait]
pub trait History: Send + Sync + Debug {
    /// Where it is, for people; without passwords.
    fn place(&self) -> String;

    /// By partition, the offset from which on a log was not archived yet.
    ///
    /// # Errors
    /// If the store is away.
    async fn positions(&self, log: &str) -> Result<BTreeMap<i32, i64>, StoreError>;

    /// Takes over from a run before this one, and takes up what that one wrote from the same log and could not settle. Returns the
    /// scopes whose windows may have to be rolled up.
    ///
    /// # Errors
    /// If the store is away.
    async fn resume(&self, log: &str) -> Result<BTreeSet<Scope>, StoreError>;

    /// Writes rows. Windows that end by `partial_until` may lack rows, and are never said to be known.
    ///
    /// # Errors
    /// If the store is away, or another writer has taken over.
    async fn put(&self, rows: &[Row], partial_until: Option<i64>) -> Result<(), StoreError>;

    /// Looks whether this run may go on.
    ///
    /// # Errors
    /// If the store is away, or a newer run has taken over.
    async fn hold(&self) -> Result<(), StoreError>;

    /// Says that all before these offsets is written.
    ///
    /// # Errors
    /// If the store is away.
    async fn advance(&self, log: &str, positions: &BTreeMap<i32, i64>) -> Result<(), StoreError>;

    /// Remembers what was seen until now.
    async fn freeze(&self);

    /// What was seen when it was last frozen is known now. Says whether more is known than before.
    ///
    /// # Errors
    /// If the store is away; then the next call does it.
    async fn settle(&self) -> Result<bool, StoreError>;

    /// The same as rolling up needs it; `None` where windows are kept as they are published alone.
    fn archive(&self) -> Option<&dyn Archive>;
}

/// A newest row that may run ahead of what is known gives way to the last known window: its group has to be listed, and what lies
/// beside it may still be missing. `None` if no window is known.
pub(crate) fn given_way(mut row: Row, known: Option<(i64, i64)>) -> Option<Row> {
    let (_, to) = known?;
    let width = row.width();
    if row.end > to {
        (row.start, row.end, row.answer) = (to - width, to, None);
    }
    Some(row)
}
