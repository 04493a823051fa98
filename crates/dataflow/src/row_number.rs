//! `row_number() OVER (PARTITION BY window, ... ORDER BY ...)`, as a bounded top N where only low numbers are wanted.
//!
//! Ties are broken by all columns of the row in their order, ascending, so numbers do not depend on the order in which
//! rows come. Bound: with a limit, at most `limit` rows of each partition are kept between batches.

use crate::Error;
use crate::batch::{assemble, take_rows};
use crate::expr::evaluate;
use crate::operator::{Bounds, Operator, Saved, WindowRows};
use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion_physical_expr::{PhysicalExpr, PhysicalSortExpr};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Numbers the rows of each partition of a window.
pub struct RowNumber {
    partition_by: Vec<Arc<dyn PhysicalExpr>>,
    order_by: Vec<PhysicalSortExpr>,
    limit: Option<usize>,
    schema: SchemaRef,
    waiting: BTreeMap<Bounds, RecordBatch>,
}

impl RowNumber {
    /// `schema` is that of the input with the number appended.
    pub fn new(
        partition_by: Vec<Arc<dyn PhysicalExpr>>,
        order_by: Vec<PhysicalSortExpr>,
        limit: Option<usize>,
        schema: SchemaRef,
    ) -> Self {
        Self {
            partition_by,
            order_by,
            limit,
            schema,
            waiting: BTreeMap::new(),
        }
    }

    /// Positions of the wanted rows, by partition and number, and their numbers.
    fn rank(&self, rows: &RecordBatch) -> Result<(UInt32Array, UInt64Array), Error> {
        let order = self.order(rows)?;
        let compare = |a: &u32, b: &u32| order.row(*a as usize).cmp(&order.row(*b as usize));
        let (mut positions, mut numbers) = (Vec::new(), Vec::new());
        for mut partition in self.partitions(rows)? {
            if let Some(limit) = self.limit.filter(|limit| *limit < partition.len()) {
                if limit > 0 {
                    partition.select_nth_unstable_by(limit - 1, compare);
                }
                partition.truncate(limit);
            }
            partition.sort_unstable_by(compare);
            numbers.extend(1..=partition.len() as u64);
            positions.extend(partition);
        }
        Ok((UInt32Array::from(positions), UInt64Array::from(numbers)))
    }

    /// Comparable form of the rows: ORDER BY first, then all columns.
    fn order(&self, rows: &RecordBatch) -> Result<Rows, Error> {
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for sort in &self.order_by {
            let column = evaluate(&sort.expr, rows)?;
            fields.push(SortField::new_with_options(column.data_type().clone(), sort.options));
            columns.push(column);
        }
        for column in rows.columns() {
            fields.push(SortField::new(column.data_type().clone()));
            columns.push(column.clone());
        }
        Ok(RowConverter::new(fields)?.convert_columns(&columns)?)
    }

    /// Row positions by partition, partitions in the order of their keys.
    fn partitions(&self, rows: &RecordBatch) -> Result<Vec<Vec<u32>>, Error> {
        let keys: Vec<ArrayRef> = self
            .partition_by
            .iter()
            .map(|e| evaluate(e, rows))
            .collect::<Result<_, _>>()?;
        let all = || vec![(0..rows.num_rows() as u32).collect()];
        if keys.is_empty() {
            return Ok(all());
        }
        let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        let keys = RowConverter::new(fields)?.convert_columns(&keys)?;
        if (1..keys.num_rows()).all(|row| keys.row(row) == keys.row(0)) {
            return Ok(all());
        }
        let mut partitions: HashMap<&[u8], Vec<u32>> = HashMap::new();
        for row in 0..keys.num_rows() {
            partitions.entry(keys.row(row).data()).or_default().push(row as u32);
        }
        let mut partitions: Vec<_> = partitions.into_iter().collect();
        partitions.sort_unstable_by_key(|(key, _)| *key);
        Ok(partitions.into_iter().map(|(_, rows)| rows).collect())
    }
}

impl Operator for RowNumber {
    fn rows(&mut self, _input: usize, WindowRows { window, rows }: WindowRows) -> Result<Vec<WindowRows>, Error> {
        let window = window.ok_or_else(|| Error::State("row_number got rows without a window".to_string()))?;
        let mut kept = match self.waiting.remove(&window) {
            Some(before) => concat_batches(&rows.schema(), [&before, &rows])?,
            None => rows,
        };
        if self.limit.is_some() {
            kept = take_rows(&kept, &self.rank(&kept)?.0)?;
        }
        self.waiting.insert(window, kept);
        Ok(Vec::new())
    }

    fn watermark(&mut self, time: i64) -> Result<Vec<WindowRows>, Error> {
        let mut ready = Vec::new();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().end <= time) {
            let (window, rows) = entry.remove_entry();
            let (positions, numbers) = self.rank(&rows)?;
            let mut columns = take_rows(&rows, &positions)?.columns().to_vec();
            columns.push(Arc::new(numbers));
            ready.push(WindowRows {
                window: Some(window),
                rows: assemble(&self.schema, columns, positions.len())?,
            });
        }
        Ok(ready)
    }

    fn save(&mut self) -> Result<Vec<Saved>, Error> {
        let save = |(window, rows): (&Bounds, &RecordBatch)| Saved {
            tag: (window.start, window.end),
            rows: rows.clone(),
        };
        Ok(self.waiting.iter().map(save).collect())
    }

    fn load(&mut self, saved: Vec<Saved>) -> Result<(), Error> {
        for Saved {
            tag: (start, end),
            rows,
        } in saved
        {
            self.rows(
                0,
                WindowRows {
                    window: Some(Bounds { end, start }),
                    rows,
                },
            )?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.waiting.values().map(RecordBatch::get_array_memory_size).sum()
    }
}
