//! `count_min_combine(sketch)`: one Count-Min table of many.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_expr::{AggregateUDF, Documentation};
use hitters_sketch::{CountMin, Error};

use crate::combine::{self, Kind};
use crate::manual;

/// The function.
pub(super) fn function() -> Arc<AggregateUDF> {
    combine::function(CountMinKind)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CountMinKind;

impl Kind for CountMinKind {
    type Sketch = CountMin;
    const NAME: &'static str = "count_min_combine";

    fn documentation() -> Documentation {
        manual::page(
            "Adds Count-Min tables of count_min_accumulate into one. Tables of different precision meet at the coarser one. \
             NULL tables are ignored; without any table the result is NULL.",
            "count_min_combine(sketch)",
        )
        .with_sql_example("SELECT count_min_combine(counts) FROM minutes")
        .with_argument("sketch", "BYTEA: a table of count_min_accumulate. NULL adds nothing.")
        .with_related_udf("count_min_accumulate")
        .with_related_udf("count_min_estimate")
        .build()
    }

    fn read(bytes: &[u8]) -> Result<CountMin> {
        super::read(Self::NAME, bytes)
    }

    fn bytes(sketch: &CountMin) -> Vec<u8> {
        sketch.to_bytes()
    }

    fn merge(into: &mut CountMin, other: &CountMin) -> Result<(), Error> {
        into.merge(other)
    }

    fn heap(sketch: &CountMin) -> usize {
        sketch.size_bytes()
    }
}
