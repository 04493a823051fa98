//! The functions over [`TopK`] sketches: heavy hitters, by rows or by weights.

mod accumulate;
mod answer;
mod batch;
mod combine;
mod count_estimate;
mod estimate;
mod heavy_hitters;
mod max_items;
mod summary;

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_expr::{AggregateUDF, ScalarUDF};
use hitters_sketch::{MAX_CAPACITY, Measure, TopK};

use crate::argument::run_error;

/// All aggregates of this family.
pub(crate) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let mut all: Vec<_> = [Measure::Count, Measure::Sum]
        .into_iter()
        .flat_map(|measure| [answer::function(measure), accumulate::function(measure)])
        .collect();
    all.push(combine::function());
    all
}

/// All scalar functions of this family.
pub(crate) fn scalars() -> Vec<Arc<ScalarUDF>> {
    vec![
        batch::function(Measure::Count),
        batch::function(Measure::Sum),
        count_estimate::function(),
        estimate::function(),
        heavy_hitters::function(),
        max_items::function(),
    ]
}

/// How many items `approx_top_k(item, k)` tracks: enough that the leaders of skewed streams come out with tight bounds.
pub(crate) fn capacity_for(k: usize) -> usize {
    k.saturating_mul(8).clamp(1024, MAX_CAPACITY)
}

/// The largest `k` of `approx_top_k`: beyond it, the capacity could no longer be eight times `k`.
pub(crate) const MAX_K: usize = MAX_CAPACITY / 8;

/// The sketch of bytes that came out of a table.
fn read(function: &str, bytes: &[u8]) -> Result<TopK> {
    TopK::from_bytes(bytes).map_err(|error| run_error(function, format!("not a sketch: {error}")))
}
