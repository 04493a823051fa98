//! `stdout`: a sink that prints its rows as lines, where the rows of a bare SELECT go too.

use crate::format::{self, Format};
use hitters_planner::connector::{Connector, Direction, Options, TableSpec};
use hitters_planner::error::Error;
use hitters_planner::table::Column;
use std::any::Any;
use std::sync::Arc;

/// The connector.
pub(crate) struct Stdout;

/// A checked table.
#[derive(Clone, Debug)]
pub(crate) struct StdoutTable {
    pub format: Format,
}

impl Connector for Stdout {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn table(&self, columns: &[Column], options: &mut Options) -> Result<Arc<dyn TableSpec>, Error> {
        format::only(options, Direction::Sink)?;
        Ok(Arc::new(StdoutTable {
            format: format::encoding(columns, options)?,
        }))
    }
}

impl TableSpec for StdoutTable {
    fn connector(&self) -> &'static str {
        "stdout"
    }

    fn direction(&self) -> Direction {
        Direction::Sink
    }

    fn describe(&self) -> String {
        format!("standard output ({})", self.format.name())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
