//! The functions over [`CountMin`] tables: a count for any item, never too low.

mod accumulate;
mod combine;
mod estimate;

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_expr::{AggregateUDF, ScalarUDF};
use hitters_sketch::CountMin;

use crate::argument::run_error;

/// All aggregates of this family.
pub(crate) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    vec![accumulate::function(), combine::function()]
}

/// All scalar functions of this family.
pub(crate) fn scalars() -> Vec<Arc<ScalarUDF>> {
    vec![estimate::function()]
}

/// The table of bytes that came out of a table of rows.
fn read(function: &str, bytes: &[u8]) -> Result<CountMin> {
    CountMin::from_bytes(bytes).map_err(|error| run_error(function, format!("not a Count-Min table: {error}")))
}
