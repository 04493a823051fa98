//! What the engine needs of a sink.

use crate::Error;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hitters_planner::table::Table;
use std::sync::Arc;

/// Takes the rows that come out of a plan. Runs on one thread.
///
/// With checkpoints, a sink that can hold rows back makes each row visible exactly once: [`prepare`](Sink::prepare) gives
/// what it holds, the engine stores it in the checkpoint, and only when that is durable [`commit`](Sink::commit) makes
/// it visible. After a crash [`recover`](Sink::recover) makes up for a commit that did not happen. Rows of a sink that does
/// not hold back are visible at once, and come again after a crash: the same rows, since they are a function of the log.
pub trait Sink: Send {
    /// Takes rows. May block while the other side is slow (that slows the sources), waits out outages, and returns an
    /// error only when waiting cannot help.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error>;
    /// Called after the rows of each closed window, and at least every 100 ms while rows come: everything taken so far
    /// becomes visible to readers before this returns.
    fn flush(&mut self) -> Result<(), Error>;
    /// A barrier: all rows taken so far belong to the next checkpoint. Gives the rows (in the sink's own encoding) that
    /// are held back and not committed yet, those of earlier checkpoints that failed included; `None` if it holds
    /// nothing back. Rows that come later belong to the checkpoint after. It is known by then what became of the checkpoint
    /// before: it was committed, or never will be.
    fn prepare(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.flush()?;
        Ok(None)
    }
    /// The checkpoint is durable: what the last [`prepare`](Sink::prepare) gave becomes visible, together with the number
    /// of the checkpoint (and positions where the other side can hold them).
    fn commit(&mut self, _checkpoint: &Checkpoint<'_>) -> Result<(), Error> {
        Ok(())
    }
    /// Called before any row when a run goes on from a checkpoint in which this sink's state is `held`: makes sure that it is
    /// visible exactly once.
    fn recover(&mut self, _checkpoint: &Checkpoint<'_>, _held: &[u8]) -> Result<(), Error> {
        Ok(())
    }
    /// Bytes of rows that are held back in memory: counted with the state of the run.
    fn size(&self) -> usize {
        0
    }
    /// Called once after the last flush (and commit) of a run that ended or was stopped; not of one that failed, whose results
    /// are not whole.
    fn close(&mut self) -> Result<(), Error> {
        self.flush()
    }
}

/// A durable checkpoint, as sinks see it.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    /// Its number; it grows over restarts.
    pub number: u64,
    /// Where reading goes on after it.
    pub positions: &'a [Position],
}

/// Where reading of a partition goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The source table.
    pub table: String,
    /// Number of the partition within it.
    pub partition: i32,
    /// What to read next, as in [`Rows::next`](crate::source::Rows::next).
    pub next: i64,
}

/// Opens sinks for the nodes of a plan.
pub trait SinkFactory: Send + Sync {
    /// A sink for this table; `None` prints (a bare `SELECT`).
    fn open(&self, table: Option<&Arc<Table>>, schema: SchemaRef) -> Result<Box<dyn Sink>, Error>;
}
