//! `approx_top_k_combine(sketch)`: one sketch of many.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_expr::{AggregateUDF, Documentation};
use hitters_sketch::{Error, TopK};

use crate::combine::{self, Kind};
use crate::manual;

/// The function.
pub(super) fn function() -> Arc<AggregateUDF> {
    combine::function(TopKKind)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TopKKind;

impl Kind for TopKKind {
    type Sketch = TopK;
    const NAME: &'static str = "approx_top_k_combine";

    fn documentation() -> Documentation {
        manual::page(
            "Merges sketches of approx_top_k_accumulate, approx_top_sum_accumulate and their _batch kin into one, whatever \
             windows, shards and capacities they come from; the smallest capacity wins, and all bounds hold. NULL sketches \
             are ignored; without any sketch the result is NULL. Bytes that are no sketch, and sketches of different item \
             types or of rows and weights mixed, are an error.",
            "approx_top_k_combine(sketch)",
        )
        .with_sql_example("SELECT approx_top_k_estimate(approx_top_k_combine(sketch), 10) FROM minutes")
        .with_argument("sketch", manual::SKETCH)
        .with_related_udf("approx_top_k_accumulate")
        .with_related_udf("approx_top_k_estimate")
        .build()
    }

    fn read(bytes: &[u8]) -> Result<TopK> {
        super::read(Self::NAME, bytes)
    }

    fn bytes(sketch: &TopK) -> Vec<u8> {
        sketch.to_bytes()
    }

    fn merge(into: &mut TopK, other: &TopK) -> Result<(), Error> {
        into.merge(other)
    }

    fn heap(sketch: &TopK) -> usize {
        sketch.size_bytes()
    }
}
