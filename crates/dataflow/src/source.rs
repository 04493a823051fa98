//! What the engine needs of a source: partitions with positions, and readers that hand out decoded rows.

use crate::Error;
use arrow::array::RecordBatch;
use arrow::buffer::ScalarBuffer;
use hitters_planner::plan::SourceNode;
use std::time::Duration;

/// A table being read. Opened once for each source node of a plan.
pub trait Source: Send {
    /// The partitions in ascending order of their numbers, asked once at the start. Files have one.
    fn partitions(&mut self) -> Result<Vec<Partition>, Error>;
    /// A reader for some of the partitions, from the given positions. Each worker has one.
    fn reader(&mut self, partitions: &[Start]) -> Result<Box<dyn Reader>, Error>;
    /// A checkpoint with these positions (partition and position to read next) is durable: a source that publishes its
    /// progress does so now. It is for others to look at; recovery goes by the checkpoint.
    fn commit(&mut self, _positions: &[(i32, i64)]) -> Result<(), Error> {
        Ok(())
    }
}

/// A partition of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Number within the source.
    pub number: i32,
    /// Where it is read from if nothing was saved, if that is known before it is read.
    pub start: Option<i64>,
    /// Rows that will come if it is read from its start to its present end, if known: for progress.
    pub rows: Option<u64>,
}

/// Where a reader starts in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Number within the source.
    pub number: i32,
    /// Where to read first.
    pub at: At,
}

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// As the table's options say: a first run.
    Options,
    /// The oldest record: a partition that was added after the state was saved.
    Beginning,
    /// The position that a batch reported in [`Rows::next`].
    Position(i64),
}

impl At {
    /// The position, if there is one; for sources that begin at their beginning anyway.
    pub fn position(self) -> Option<i64> {
        match self {
            Self::Position(position) => Some(position),
            Self::Options | Self::Beginning => None,
        }
    }
}

/// Reads partitions on one thread. Decodes only the stored columns that the node names, in that order.
pub trait Reader: Send {
    /// The next thing that happened, waiting at most `wait` for it.
    fn poll(&mut self, wait: Duration) -> Result<Poll, Error>;
    /// Looks again at the end of a partition of which [`Poll::CaughtUp`] was said: if nothing stands behind what was read, that
    /// is said once more; if the log is out of reach, nothing is. False: there is no need to look, since what was said holds
    /// until rows come.
    fn look(&mut self, _partition: i32) -> Result<bool, Error> {
        Ok(false)
    }
    /// Rows of the batch that [`Reader::poll`] gave last which the engine cannot take: an expression of a generated column,
    /// the event time or the watermark failed on them, or their event time is NULL. `rows` are positions in that batch,
    /// ascending, each with its reason. Treated like rows that do not decode: with `bad_data = 'drop'` they are counted by
    /// the engine and go to the dead letters here; with `'fail'` this returns the error that stops the run.
    fn reject(&mut self, rows: &[(usize, String)]) -> Result<(), Error>;
}

/// What a reader has to say.
#[derive(Debug)]
pub enum Poll {
    /// Rows of one partition.
    Rows(Rows),
    /// The partition is read up to the present end of its log. Said again after further rows, and after [`Reader::look`].
    CaughtUp(i32),
    /// The partition ends here for good (end of file, end of the asked range).
    End(i32),
    /// Nothing within the time to wait.
    Idle,
}

/// Decoded rows of one partition, in the order of the log.
#[derive(Debug)]
pub struct Rows {
    /// Number within the source.
    pub partition: i32,
    /// The needed stored columns (zero columns with a row count if none is needed).
    pub batch: RecordBatch,
    /// Time of each record in nanoseconds since the epoch, if the node has no event time expression; else empty.
    pub times: ScalarBuffer<i64>,
    /// Position of the first record of the log after these rows (Kafka: offset; files: bytes or lines): where a reader
    /// starts to go on exactly here.
    pub next: i64,
    /// Records that were read to produce these rows, bad ones included.
    pub records: u64,
    /// Bytes of these records before decoding.
    pub bytes: u64,
    /// Records that were dropped as bad (`bad_data = 'drop'`); with `'fail'` the reader returns an error instead.
    pub bad: u64,
}

/// Opens sources for the nodes of a plan. Implemented by the crate of the connectors.
pub trait SourceFactory: Send + Sync {
    /// A source for this node.
    fn open(&self, node: &SourceNode) -> Result<Box<dyn Source>, Error>;
}
