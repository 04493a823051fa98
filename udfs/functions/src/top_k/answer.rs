//! `approx_top_k(item, k)` and `approx_top_sum(item, weight, k)`: the leading items of a group, with bounds.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{AggregateUDF, Documentation};
use hitters_sketch::Measure;

use super::summary::RowSummary;
use super::{MAX_K, capacity_for};
use crate::aggregate::{Definition, Output, aggregate};
use crate::{argument, manual};

/// The function that counts rows, or the one that adds weights.
pub(super) fn function(measure: Measure) -> Arc<AggregateUDF> {
    aggregate(Answer { measure })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Answer {
    measure: Measure,
}

impl Definition for Answer {
    type Summary = RowSummary;

    fn name(&self) -> &'static str {
        match self.measure {
            Measure::Count => "approx_top_k",
            Measure::Sum => "approx_top_sum",
        }
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        match self.measure {
            Measure::Count => {
                argument::count(name, &["item", "k"], types)?;
                Ok(vec![
                    argument::item(name, &types[0])?,
                    argument::integer(name, "k", &types[1])?,
                ])
            }
            Measure::Sum => {
                argument::count(name, &["item", "weight", "k"], types)?;
                Ok(vec![
                    argument::item(name, &types[0])?,
                    argument::weight(name, &types[1])?,
                    argument::integer(name, "k", &types[2])?,
                ])
            }
        }
    }

    fn output(&self) -> Output {
        Output::Answer
    }

    fn nullable(&self) -> bool {
        false
    }

    fn summary(&self, types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<RowSummary> {
        let k = literals.last().and_then(Option::as_ref);
        let k = argument::positive(self.name(), "k", k, MAX_K)?;
        Ok(RowSummary {
            function: self.name(),
            kind: argument::item_kind(&types[0]),
            measure: self.measure,
            capacity: capacity_for(k),
            k: Some(k),
        })
    }

    fn documentation(&self) -> Documentation {
        match self.measure {
            Measure::Count => manual::page(
                "Returns the k items that occur most often, with proven bounds on every count, as an answer (JSON text). \
                 Tracks max(1024, 8k) items in memory that does not grow with the rows. Rows with a NULL item are not \
                 counted; the answer's `skipped` says how many. A group without rows gives an answer with total 0.",
                "approx_top_k(item, k)",
            )
            .with_sql_example("SELECT tumble(interval '10 seconds') AS w, approx_top_k(page, 10) FROM hits GROUP BY 1")
            .with_argument("item", manual::ITEM)
            .with_argument("k", "Literal whole number from 1 to 131072: how many items the answer lists.")
            .with_related_udf("approx_top_sum")
            .with_related_udf("approx_top_k_accumulate")
            .build(),
            Measure::Sum => manual::page(
                "Returns the k items with the largest sums of weights, with proven bounds on every sum, as an answer \
                 (JSON text) of kind `sum`. Tracks max(1024, 8k) items in memory that does not grow with the rows. Rows \
                 with a NULL item, or a NULL or negative weight, are not counted; the answer's `skipped` says how many.",
                "approx_top_sum(item, weight, k)",
            )
            .with_sql_example("SELECT approx_top_sum(client, bytes_sent, 10) FROM requests")
            .with_argument("item", manual::ITEM)
            .with_argument("weight", manual::WEIGHT)
            .with_argument("k", "Literal whole number from 1 to 131072: how many items the answer lists.")
            .with_related_udf("approx_top_k")
            .with_related_udf("approx_top_sum_accumulate")
            .build(),
        }
    }
}
