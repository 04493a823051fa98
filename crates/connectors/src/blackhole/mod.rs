//! `blackhole`: a sink that throws its rows away, to measure everything before it.

use crate::format;
use arrow::array::RecordBatch;
use hitters_dataflow::sink::Sink;
use hitters_planner::connector::{Connector, Direction, Options, TableSpec};
use hitters_planner::error::Error;
use hitters_planner::table::Column;
use std::any::Any;
use std::sync::Arc;

/// The connector.
pub(crate) struct Blackhole;

/// A checked table, and its sink.
#[derive(Clone, Debug)]
pub(crate) struct BlackholeTable;

impl Connector for Blackhole {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn table(&self, _: &[Column], options: &mut Options) -> Result<Arc<dyn TableSpec>, Error> {
        format::only(options, Direction::Sink)?;
        // Taken for the sake of tables that are switched here from another connector.
        options.one_of("format", &[("json", ()), ("raw_string", ()), ("raw_bytes", ())])?;
        Ok(Arc::new(BlackholeTable))
    }
}

impl TableSpec for BlackholeTable {
    fn connector(&self) -> &'static str {
        "blackhole"
    }

    fn direction(&self) -> Direction {
        Direction::Sink
    }

    fn describe(&self) -> String {
        "nowhere".into()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Sink for BlackholeTable {
    fn write(&mut self, _: &RecordBatch) -> Result<(), hitters_dataflow::Error> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), hitters_dataflow::Error> {
        Ok(())
    }
}
