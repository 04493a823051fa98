//! `approx_top_k_batch(item, bin, max_items)` and `approx_top_sum_batch(item, weight, bin, max_items)`: sketches of one record
//! batch, before any shuffle.
//!
//! A scalar function that breaks the rule of scalar functions on purpose: it looks at the whole batch, makes one sketch for
//! each bin and puts it into the bin's first row. A filter on `IS NOT NULL` and a combine by window follow, and only sketches
//! travel. Where an engine cuts its batches changes the sketches, but not what they count.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryViewBuilder};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{Documentation, ScalarUDF, Volatility};
use hitters_sketch::{MAX_CAPACITY, Measure, Rows};

use super::summary::RowSummary;
use crate::aggregate::{Cell, Columns, Grouping, Summary};
use crate::argument::{self, plan_error};
use crate::manual;
use crate::scalar::{Arguments, Function, scalar};

/// The function that counts rows, or the one that adds weights.
pub(super) fn function(measure: Measure) -> Arc<ScalarUDF> {
    scalar(Batch { measure })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Batch {
    measure: Measure,
}

impl Batch {
    fn names(&self) -> &'static [&'static str] {
        match self.measure {
            Measure::Count => &["item", "bin", "max_items"],
            Measure::Sum => &["item", "weight", "bin", "max_items"],
        }
    }
}

/// The bins of a batch, numbered by their first rows. A NULL bin is one of its own: its rows must not be lost.
struct Bins {
    /// The bin of each row.
    of_row: Vec<usize>,
    /// The first row of each bin.
    first_row: Vec<usize>,
}

impl Bins {
    fn new(arguments: &Arguments, bin: usize) -> Self {
        let mut bins = Self {
            of_row: Vec::with_capacity(arguments.rows()),
            first_row: Vec::new(),
        };
        let mut numbers: HashMap<Option<&[u8]>, usize> = HashMap::new();
        let mut last = None;
        for row in 0..arguments.rows() {
            let name = (!arguments.is_null(bin, row)).then(|| arguments.bytes(bin, row));
            // Neighbours mostly share a bin: comparing them is cheaper than hashing.
            let number = match last {
                Some((last_name, number)) if last_name == name => number,
                _ => *numbers.entry(name).or_insert_with(|| {
                    bins.first_row.push(row);
                    bins.first_row.len() - 1
                }),
            };
            last = Some((name, number));
            bins.of_row.push(number);
        }
        bins
    }
}

impl Function for Batch {
    fn name(&self) -> &'static str {
        match self.measure {
            Measure::Count => "approx_top_k_batch",
            Measure::Sum => "approx_top_sum_batch",
        }
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        argument::count(name, self.names(), types)?;
        let mut coerced = vec![argument::item(name, &types[0])?];
        if self.measure == Measure::Sum {
            coerced.push(argument::weight(name, &types[1])?);
        }
        let bin = coerced.len();
        coerced.push(argument::text(name, "bin", &types[bin])?);
        coerced.push(argument::integer(name, "max_items", &types[bin + 1])?);
        Ok(coerced)
    }

    fn returns(&self) -> DataType {
        DataType::BinaryView
    }

    fn nullable(&self) -> bool {
        true
    }

    fn volatility(&self) -> Volatility {
        // Neither folded nor pushed through filters: a row's result depends on its batch.
        Volatility::Volatile
    }

    fn check(&self, literals: &[Option<&ScalarValue>]) -> Result<()> {
        if let Some(Some(max_items)) = literals.last() {
            argument::positive(self.name(), "max_items", Some(max_items), MAX_CAPACITY)?;
        }
        Ok(())
    }

    fn evaluate(&self, arguments: &Arguments) -> Result<ArrayRef> {
        let name = self.name();
        let bin = self.names().len() - 2;
        let Some(max_items) = arguments.literal(bin + 1) else {
            return Err(plan_error(name, "max_items must be a literal, not a column"));
        };
        let max_items = ScalarValue::try_from_array(max_items, 0)?;
        let summary = RowSummary {
            function: name,
            kind: argument::item_kind(arguments.data_type(0)),
            measure: self.measure,
            capacity: argument::positive(name, "max_items", Some(&max_items), MAX_CAPACITY)?,
            k: None,
        };
        let weights = (self.measure == Measure::Sum)
            .then(|| arguments.column(1))
            .transpose()?;
        let columns = Columns::new(name, &arguments.column(0)?, weights.as_ref())?;
        let bins = Bins::new(arguments, bin);
        let mut cells: Vec<Cell<_>> = bins.first_row.iter().map(|_| None).collect();
        let buffers = columns.buffers();
        let batch = columns.batch(&buffers)?;
        let nulls = columns.nulls();
        let valid = nulls.as_ref().map(|nulls| nulls.inner());
        Grouping::default().visit(&bins.of_row, cells.len(), valid, |bin, rows| {
            summary.update(&mut cells[bin], &batch, Rows::Indices(rows))
        })?;
        for row in (0..arguments.rows()).filter(|row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(*row))) {
            summary.skip(&mut cells[bins.of_row[row]], 1)?;
        }
        let mut sketches = BinaryViewBuilder::with_capacity(arguments.rows());
        let mut next = bins.first_row.iter().zip(&cells).peekable();
        for row in 0..arguments.rows() {
            let sketch = next
                .next_if(|(first, _)| **first == row)
                .and_then(|(_, cell)| cell.as_ref());
            sketches.append_option(sketch.map(|sketch| summary.save(sketch)));
        }
        let sketches = sketches.finish();
        debug_assert_eq!(sketches.len() - sketches.null_count(), cells.len());
        Ok(Arc::new(sketches))
    }

    fn documentation(&self) -> Documentation {
        let page = match self.measure {
            Measure::Count => manual::page(
                "Makes one sketch (BYTEA) for each bin of a record batch and puts it into the bin's first row; other rows are \
                 NULL. With approx_top_k_combine over the rows that are not NULL it replaces approx_top_k_accumulate where an \
                 engine shuffles rows before it aggregates.",
                "approx_top_k_batch(item, bin, max_items)",
            )
            .with_sql_example("SELECT approx_top_k_batch(page, CAST(minute AS TEXT), 1024) AS sketch FROM hits")
            .with_argument("item", manual::ITEM),
            Measure::Sum => manual::page(
                "The same as approx_top_k_batch for sums of weights.",
                "approx_top_sum_batch(item, weight, bin, max_items)",
            )
            .with_sql_example("SELECT approx_top_sum_batch(client, bytes_sent, minute, 1024) AS sketch FROM requests")
            .with_argument("item", manual::ITEM)
            .with_argument("weight", manual::WEIGHT),
        };
        page.with_argument(
            "bin",
            "TEXT: the pane and the group of the row in full, so that no sketch straddles two windows.",
        )
        .with_argument("max_items", manual::MAX_ITEMS)
        .with_related_udf("approx_top_k_combine")
        .build()
    }
}
