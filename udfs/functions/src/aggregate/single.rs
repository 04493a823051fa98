//! The state of one group: for places without GROUP BY.

use std::mem::size_of_val;

use arrow::array::{Array, ArrayRef};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::Accumulator;
use hitters_sketch::Rows;

use super::rows::Fate;
use super::{Cell, Columns, Summary};

/// One sketch.
#[derive(Debug)]
pub(super) struct Single<S: Summary> {
    summary: S,
    cell: Cell<S::Sketch>,
}

impl<S: Summary> Single<S> {
    pub fn new(summary: S) -> Self {
        Self { summary, cell: None }
    }
}

/// Adds the rows of a batch to one cell: the whole batch in one call where no NULL and no filter stands in the way.
pub(super) fn update<S: Summary>(
    summary: &S,
    cell: &mut Cell<S::Sketch>,
    columns: &Columns,
    fate: &Fate,
) -> Result<()> {
    let buffers = columns.buffers();
    let batch = columns.batch(&buffers)?;
    match &fate.counted {
        None if columns.len() > 0 => summary.update(cell, &batch, Rows::All(0..columns.len()))?,
        Some(counted) if counted.count_set_bits() > 0 => {
            let rows: Vec<u32> = counted.set_indices().map(|row| row as u32).collect();
            summary.update(cell, &batch, Rows::Indices(&rows))?;
        }
        _ => {}
    }
    let skipped = fate.skipped.as_ref().map_or(0, |skipped| skipped.count_set_bits());
    if skipped > 0 {
        summary.skip(cell, skipped as u64)?;
    }
    Ok(())
}

impl<S: Summary> Accumulator for Single<S> {
    fn update_batch(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        let columns = self.summary.columns(arguments)?;
        let fate = Fate::new(columns.nulls(), None);
        update(&self.summary, &mut self.cell, &columns, &fate)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.summary.output().scalar(self.summary.finish(&self.cell)?))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.cell.as_ref().map_or(0, |sketch| self.summary.size(sketch))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::BinaryView(
            self.cell.as_ref().map(|sketch| self.summary.save(sketch)),
        )])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [states] = states else {
            return internal_err!("{} has one state column, not {}", self.summary.function(), states.len());
        };
        let columns = Columns::new(self.summary.function(), states, None)?;
        let buffers = columns.buffers();
        let batch = columns.batch(&buffers)?;
        for row in (0..states.len()).filter(|row| states.is_valid(*row)) {
            self.summary
                .merge_bytes(&mut self.cell, batch.items.bytes(row).unwrap_or_default())?;
        }
        Ok(())
    }
}
