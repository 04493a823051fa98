//! Sketches of rows: the same ones, byte for byte, as the embedded engine makes of the same rows in the same order.

use std::collections::HashMap;

use arroyo_udf_plugin::arrow::array::Array;

use super::{Columns, Value};
use crate::sketch::{CountMin, ItemKind, Items, MAX_CAPACITY, Measure, Rows, TopK};

/// The items of a column of TEXT.
fn items(columns: &Columns, argument: usize) -> Items<'_> {
    let texts = columns.texts(argument);
    Items::Offsets {
        offsets: texts.value_offsets(),
        bytes: texts.value_data(),
    }
}

/// The weights of a column of BIGINT; those of NULL rows are not read.
fn weights(columns: &Columns, argument: Option<usize>) -> Option<&[i64]> {
    argument.map(|argument| -> &[i64] { columns.integers(argument).values() })
}

/// Whether a row has an item, and a weight where there are weights. A negative weight is skipped by the sketch itself.
fn counts(columns: &Columns, weight: Option<usize>, row: usize) -> bool {
    !columns.is_null(0, row) && weight.is_none_or(|weight| !columns.is_null(weight, row))
}

/// The rows that count, where not all of them do, and how many do not.
struct Counted {
    rows: Option<Vec<u32>>,
    all: usize,
    skipped: u64,
}

impl Counted {
    fn new(columns: &Columns, weight: Option<usize>) -> Self {
        let all = columns.rows();
        if columns.is_full(0) && weight.is_none_or(|weight| columns.is_full(weight)) {
            return Self {
                rows: None,
                all,
                skipped: 0,
            };
        }
        let rows: Vec<u32> = (0..all)
            .filter(|row| counts(columns, weight, *row))
            .map(|row| row as u32)
            .collect();
        Self {
            skipped: (all - rows.len()) as u64,
            rows: Some(rows),
            all,
        }
    }

    fn rows(&self) -> Rows<'_> {
        match &self.rows {
            Some(rows) => Rows::Indices(rows),
            None => Rows::All(0..self.all),
        }
    }
}

/// The sketch of the rows of a group: items in the first column, weights in the one given.
pub(crate) fn top_k(columns: &Columns, weight: Option<usize>, capacity: usize) -> Result<TopK, String> {
    let mut sketch = empty(weight, capacity)?;
    let counted = Counted::new(columns, weight);
    sketch.update_batch(items(columns, 0), counted.rows(), weights(columns, weight));
    sketch.skip(counted.skipped);
    Ok(sketch)
}

/// The Count-Min table of the rows of a group.
pub(crate) fn count_min(columns: &Columns, epsilon: f64, delta: f64) -> Result<CountMin, String> {
    let mut table = CountMin::new(ItemKind::Text, epsilon, delta).map_err(|error| error.to_string())?;
    let counted = Counted::new(columns, None);
    table.update_batch(items(columns, 0), counted.rows(), None);
    table.skip(counted.skipped);
    Ok(table)
}

fn empty(weight: Option<usize>, capacity: usize) -> Result<TopK, String> {
    let measure = if weight.is_some() { Measure::Sum } else { Measure::Count };
    TopK::new(ItemKind::Text, measure, capacity).map_err(|error| error.to_string())
}

/// One sketch for each bin of a record batch, at the bin's first row, NULL elsewhere. A NULL bin is one of its own: its rows
/// must not be lost. The columns are items, weights where there are any, bins, and the number of items to track.
pub(crate) fn batch_sketches(columns: &Columns, weight: Option<usize>) -> Result<Vec<Option<Value>>, String> {
    if columns.rows() == 0 {
        return Ok(Vec::new());
    }
    let bin = weight.map_or(1, |weight| weight + 1);
    let capacity = columns.literal(bin + 1, MAX_CAPACITY)?;
    let bins = Bins::new(columns, bin);

    // Rows that count, bin after bin and in order within each: positions by a running sum of the bins' sizes.
    let mut ends = vec![0_u32; bins.first_row.len() + 1];
    let mut skipped = vec![0_u64; bins.first_row.len()];
    for (row, number) in bins.of_row.iter().enumerate() {
        if counts(columns, weight, row) {
            ends[number + 1] += 1;
        } else {
            skipped[*number] += 1;
        }
    }
    for number in 0..bins.first_row.len() {
        ends[number + 1] += ends[number];
    }
    let mut next = ends.clone();
    let mut rows = vec![0_u32; ends.last().map_or(0, |end| *end as usize)];
    for (row, number) in bins.of_row.iter().enumerate() {
        if counts(columns, weight, row) {
            rows[next[*number] as usize] = row as u32;
            next[*number] += 1;
        }
    }

    let mut sketches: Vec<Option<Value>> = (0..columns.rows()).map(|_| None).collect();
    for (number, first_row) in bins.first_row.iter().enumerate() {
        let picked = &rows[ends[number] as usize..ends[number + 1] as usize];
        let mut sketch = empty(weight, capacity)?;
        sketch.update_batch(items(columns, 0), Rows::Indices(picked), weights(columns, weight));
        sketch.skip(skipped[number]);
        sketches[*first_row] = Some(Value::Bytes(sketch.to_bytes()));
    }
    Ok(sketches)
}

/// The bins of a batch, numbered by their first rows.
struct Bins {
    of_row: Vec<usize>,
    first_row: Vec<usize>,
}

impl Bins {
    fn new(columns: &Columns, bin: usize) -> Self {
        let mut bins = Self {
            of_row: Vec::with_capacity(columns.rows()),
            first_row: Vec::new(),
        };
        let mut numbers: HashMap<Option<&str>, usize> = HashMap::new();
        let mut last = None;
        for row in 0..columns.rows() {
            let name = columns.text(bin, row);
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
