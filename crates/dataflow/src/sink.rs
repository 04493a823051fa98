//! What the engine needs of a sink.

use crate::Error;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hitters_planner::table::Table;
use std::sync::Arc;

/// Takes the rows that come out of a plan. Runs on one thread.
pub trait Sink: Send {
    /// Takes rows. May block while the other side is slow (that slows the sources), waits out outages, and returns an
    /// error only when waiting cannot help.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error>;
    /// Called after the rows of each closed window, and at least every 100 ms while rows come: everything taken so far
    /// becomes visible to readers before this returns.
    fn flush(&mut self) -> Result<(), Error>;
    /// Called once after the last flush of a bounded run.
    fn close(&mut self) -> Result<(), Error> {
        self.flush()
    }
}

/// Opens sinks for the nodes of a plan.
pub trait SinkFactory: Send + Sync {
    /// A sink for this table; `None` prints (a bare `SELECT`).
    fn open(&self, table: Option<&Arc<Table>>, schema: SchemaRef) -> Result<Box<dyn Sink>, Error>;
}
