//! Joins of two windowed inputs, window by window: a hash join of the rows of one window once both sides are complete.
//!
//! Rows come in the order of the left input, for each in the order of the right; unmatched rows of the right input last.
//! Keys that are NULL match nothing.

use crate::Error;
use crate::batch::{record_batch, take_rows};
use crate::expr::{evaluate_all, evaluate_predicate};
use crate::operator::{Bounds, Operator, Saved, WindowRows};
use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, filter};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion_common::JoinType;
use datafusion_physical_expr::PhysicalExpr;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Pairs of rows that are looked at together, at most: bounds the memory of a join without equal keys.
const PAIRS: usize = 1 << 16;

/// Joins two inputs.
pub struct Join {
    join_type: JoinType,
    left_keys: Vec<Arc<dyn PhysicalExpr>>,
    right_keys: Vec<Arc<dyn PhysicalExpr>>,
    condition: Option<Arc<dyn PhysicalExpr>>,
    inputs: [SchemaRef; 2],
    schema: SchemaRef,
    waiting: BTreeMap<Bounds, [Vec<RecordBatch>; 2]>,
}

/// Two expressions whose values must be equal: over the left and over the right rows.
type EqualKeys = (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>);

/// Pairs of positions in the left and right rows.
#[derive(Default)]
struct Pairs {
    left: Vec<u32>,
    right: Vec<u32>,
}

impl Join {
    /// `on` are equal keys over the left and the right schema, `condition` is over both side by side.
    pub fn new(
        join_type: JoinType,
        on: &[EqualKeys],
        condition: Option<Arc<dyn PhysicalExpr>>,
        inputs: [SchemaRef; 2],
        schema: SchemaRef,
    ) -> Result<Self, Error> {
        if !matches!(
            join_type,
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full
        ) {
            return Err(Error::State(format!(
                "a {join_type} join is not among inner, left, right and full"
            )));
        }
        let (left_keys, right_keys) = on.iter().cloned().unzip();
        Ok(Self {
            join_type,
            left_keys,
            right_keys,
            condition,
            inputs,
            schema,
            waiting: BTreeMap::new(),
        })
    }

    fn join(&self, left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch, Error> {
        let candidates = self.candidates(left, right)?;
        let (mut left_matched, mut right_matched) = (vec![false; left.num_rows()], vec![false; right.num_rows()]);
        let mut joined = Vec::new();
        for pairs in candidates {
            let pairs = self.check(left, right, pairs)?;
            pairs
                .left
                .values()
                .iter()
                .for_each(|row| left_matched[*row as usize] = true);
            pairs
                .right
                .values()
                .iter()
                .for_each(|row| right_matched[*row as usize] = true);
            joined.push((pairs.left, pairs.right));
        }
        let keep_left = matches!(self.join_type, JoinType::Left | JoinType::Full);
        let keep_right = matches!(self.join_type, JoinType::Right | JoinType::Full);
        let unmatched = |matched: Vec<bool>| -> UInt32Array {
            matched
                .iter()
                .enumerate()
                .filter(|(_, matched)| !**matched)
                .map(|(row, _)| row as u32)
                .collect()
        };
        let mut batches = Vec::new();
        for (left_rows, right_rows) in joined {
            batches.push(self.side_by_side(Some((left, &left_rows)), Some((right, &right_rows)), left_rows.len())?);
        }
        if keep_left {
            let rows = unmatched(left_matched);
            batches.push(self.side_by_side(Some((left, &rows)), None, rows.len())?);
        }
        if keep_right {
            let rows = unmatched(right_matched);
            batches.push(self.side_by_side(None, Some((right, &rows)), rows.len())?);
        }
        Ok(concat_batches(&self.schema, &batches)?)
    }

    /// Pairs with equal keys, in pieces.
    fn candidates(&self, left: &RecordBatch, right: &RecordBatch) -> Result<Vec<Pairs>, Error> {
        let left_keys = evaluate_all(&self.left_keys, left)?;
        let right_keys = evaluate_all(&self.right_keys, right)?;
        let all: Vec<u32> = (0..right.num_rows() as u32).collect();
        let mut pieces = vec![Pairs::default()];
        let mut add = |row: u32, matches: &[u32]| {
            let full = pieces
                .last()
                .is_none_or(|piece: &Pairs| piece.left.len() + matches.len() > PAIRS);
            if full {
                pieces.push(Pairs::default());
            }
            if let Some(piece) = pieces.last_mut() {
                piece.left.extend(std::iter::repeat_n(row, matches.len()));
                piece.right.extend(matches);
            }
        };
        if left_keys.is_empty() {
            (0..left.num_rows() as u32).for_each(|row| add(row, &all));
            return Ok(pieces);
        }
        let fields = left_keys
            .iter()
            .map(|key| SortField::new(key.data_type().clone()))
            .collect();
        let converter = RowConverter::new(fields)?;
        let (left_rows, right_rows) = (
            converter.convert_columns(&left_keys)?,
            converter.convert_columns(&right_keys)?,
        );
        let valid = |keys: &[ArrayRef], row: usize| keys.iter().all(|key| key.is_valid(row));
        let mut by_key: HashMap<&[u8], Vec<u32>> = HashMap::new();
        for row in 0..right.num_rows() {
            if valid(&right_keys, row) {
                by_key.entry(right_rows.row(row).data()).or_default().push(row as u32);
            }
        }
        for row in 0..left.num_rows() {
            if valid(&left_keys, row)
                && let Some(matches) = by_key.get(left_rows.row(row).data())
            {
                add(row as u32, matches);
            }
        }
        Ok(pieces)
    }

    /// The pairs that pass the further condition.
    fn check(&self, left: &RecordBatch, right: &RecordBatch, pairs: Pairs) -> Result<Checked, Error> {
        let (left_rows, right_rows) = (UInt32Array::from(pairs.left), UInt32Array::from(pairs.right));
        let Some(condition) = &self.condition else {
            return Ok(Checked {
                left: left_rows,
                right: right_rows,
            });
        };
        let side_by_side = self.side_by_side(Some((left, &left_rows)), Some((right, &right_rows)), left_rows.len())?;
        let keep = evaluate_predicate(condition, &side_by_side)?;
        let kept = |rows: &UInt32Array| Ok::<_, Error>(UInt32Array::from(filter(rows, &keep)?.to_data()));
        Ok(Checked {
            left: kept(&left_rows)?,
            right: kept(&right_rows)?,
        })
    }

    /// Columns of both sides; a missing side is NULL.
    fn side_by_side(
        &self,
        left: Option<(&RecordBatch, &UInt32Array)>,
        right: Option<(&RecordBatch, &UInt32Array)>,
        rows: usize,
    ) -> Result<RecordBatch, Error> {
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (side, schema) in [left, right].into_iter().zip(&self.inputs) {
            match side {
                Some((batch, positions)) => columns.extend(take_rows(batch, positions)?.columns().iter().cloned()),
                None => columns.extend(
                    schema
                        .fields()
                        .iter()
                        .map(|field| new_null_array(field.data_type(), rows)),
                ),
            }
        }
        // Conditions are checked before rows are known to match, so the columns may be NULL whatever the join says.
        let fields: Vec<_> = self
            .schema
            .fields()
            .iter()
            .map(|f| f.as_ref().clone().with_nullable(true))
            .collect();
        record_batch(Arc::new(Schema::new(fields)), columns, rows)
    }
}

struct Checked {
    left: UInt32Array,
    right: UInt32Array,
}

impl Operator for Join {
    fn rows(&mut self, input: usize, WindowRows { window, rows }: WindowRows) -> Result<Vec<WindowRows>, Error> {
        let window = window.ok_or_else(|| Error::State("a join got rows without a window".to_string()))?;
        self.waiting.entry(window).or_default()[input].push(rows);
        Ok(Vec::new())
    }

    fn watermark(&mut self, time: i64) -> Result<Vec<WindowRows>, Error> {
        let mut ready = Vec::new();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().end <= time) {
            let (window, [left, right]) = entry.remove_entry();
            let left = concat_batches(&self.inputs[0], &left)?;
            let right = concat_batches(&self.inputs[1], &right)?;
            let rows = self.join(&left, &right)?;
            if rows.num_rows() > 0 {
                ready.push(WindowRows {
                    window: Some(window),
                    rows,
                });
            }
        }
        Ok(ready)
    }

    fn save(&mut self) -> Result<Vec<Saved>, Error> {
        // The side is told by the order of the two batches of a window.
        let mut saved = Vec::new();
        for (window, sides) in &self.waiting {
            for (side, schema) in sides.iter().zip(&self.inputs) {
                saved.push(Saved {
                    tag: (window.start, window.end),
                    rows: concat_batches(schema, side)?,
                });
            }
        }
        Ok(saved)
    }

    fn load(&mut self, saved: Vec<Saved>) -> Result<(), Error> {
        for (
            position,
            Saved {
                tag: (start, end),
                rows,
            },
        ) in saved.into_iter().enumerate()
        {
            self.waiting.entry(Bounds { end, start }).or_default()[position % 2].push(rows);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.waiting
            .values()
            .flatten()
            .flatten()
            .map(RecordBatch::get_array_memory_size)
            .sum()
    }
}
