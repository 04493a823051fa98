//! `approx_top_k_accumulate(item, max_items)` and `approx_top_sum_accumulate(item, weight, max_items)`: the sketch of a
//! group, to be stored, combined and asked later.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{AggregateUDF, Documentation};
use hitters_sketch::{MAX_CAPACITY, Measure};

use super::summary::RowSummary;
use crate::aggregate::{Definition, Output, aggregate};
use crate::{argument, manual};

/// The function that counts rows, or the one that adds weights.
pub(super) fn function(measure: Measure) -> Arc<AggregateUDF> {
    aggregate(Accumulate { measure })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Accumulate {
    measure: Measure,
}

impl Definition for Accumulate {
    type Summary = RowSummary;

    fn name(&self) -> &'static str {
        match self.measure {
            Measure::Count => "approx_top_k_accumulate",
            Measure::Sum => "approx_top_sum_accumulate",
        }
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        match self.measure {
            Measure::Count => {
                argument::count(name, &["item", "max_items"], types)?;
                Ok(vec![
                    argument::item(name, &types[0])?,
                    argument::integer(name, "max_items", &types[1])?,
                ])
            }
            Measure::Sum => {
                argument::count(name, &["item", "weight", "max_items"], types)?;
                Ok(vec![
                    argument::item(name, &types[0])?,
                    argument::weight(name, &types[1])?,
                    argument::integer(name, "max_items", &types[2])?,
                ])
            }
        }
    }

    fn output(&self) -> Output {
        Output::Sketch
    }

    fn nullable(&self) -> bool {
        false
    }

    fn summary(&self, types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<RowSummary> {
        let capacity = literals.last().and_then(Option::as_ref);
        Ok(RowSummary {
            function: self.name(),
            kind: argument::item_kind(&types[0]),
            measure: self.measure,
            capacity: argument::positive(self.name(), "max_items", capacity, MAX_CAPACITY)?,
            k: None,
        })
    }

    fn documentation(&self) -> Documentation {
        let page = match self.measure {
            Measure::Count => manual::page(
                "Returns a sketch (BYTEA) of how often items occur, that tracks max_items of them. Sketches of any windows, \
                 shards and sizes combine with approx_top_k_combine, and answer through approx_top_k_estimate, \
                 approx_heavy_hitters and approx_count_estimate.",
                "approx_top_k_accumulate(item, max_items)",
            )
            .with_sql_example("SELECT region, approx_top_k_accumulate(page, 1024) AS sketch FROM hits GROUP BY region")
            .with_argument("item", manual::ITEM)
            .with_related_udf("approx_top_sum_accumulate"),
            Measure::Sum => manual::page(
                "Returns a sketch (BYTEA) of the sums of weights by item, that tracks max_items of them. Sketches combine \
                 with approx_top_k_combine, and answer through approx_top_k_estimate and its kin.",
                "approx_top_sum_accumulate(item, weight, max_items)",
            )
            .with_sql_example("SELECT approx_top_sum_accumulate(client, bytes_sent, 1024) AS sketch FROM requests")
            .with_argument("item", manual::ITEM)
            .with_argument("weight", manual::WEIGHT)
            .with_related_udf("approx_top_k_accumulate"),
        };
        page.with_argument("max_items", manual::MAX_ITEMS)
            .with_related_udf("approx_max_items")
            .with_related_udf("approx_top_k_combine")
            .with_related_udf("approx_top_k_estimate")
            .build()
    }
}
