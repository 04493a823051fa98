//! The last answers of a table, kept while a pipeline runs, to be shown when it is done.
//!
//! Memory is bounded by windows times groups, whatever the number of rows.

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, TimeUnit, TimestampNanosecondType};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::collections::BTreeMap;

/// Columns of a row that say nothing about its group.
const NO_GROUP: [&str; 4] = ["pipeline", "version", "set", "sketch"];

/// Where the parts of an answer's row stand.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    answer: usize,
    window: Option<WindowColumns>,
    /// The columns that name the group, with their names; none of them for the one column `group_key`.
    group: Vec<(usize, Option<String>)>,
}

#[derive(Debug, PartialEq, Eq)]
enum WindowColumns {
    /// `window_start` and `window_end`: timestamps or milliseconds.
    Two(usize, usize),
    /// A struct of `start` and `end`.
    Struct(usize),
}

impl Shape {
    /// Finds a text column `answer`, the window, and what names the group. `None` if these are no rows of answers.
    pub fn of(schema: &Schema) -> Option<Self> {
        let text = |index: &usize| matches!(schema.field(*index).data_type(), DataType::Utf8View | DataType::Utf8);
        let answer = schema.index_of("answer").ok().filter(text)?;
        let start_and_end = |index: &usize| match schema.field(*index).data_type() {
            DataType::Struct(fields) => ["start", "end"].iter().all(|name| fields.find(name).is_some()),
            _ => false,
        };
        let mut taken = vec![answer];
        let window = match (schema.index_of("window_start"), schema.index_of("window_end")) {
            (Ok(start), Ok(end)) => Some(WindowColumns::Two(start, end)),
            _ => (0..schema.fields().len())
                .find(start_and_end)
                .map(WindowColumns::Struct),
        };
        match &window {
            Some(WindowColumns::Two(start, end)) => taken.extend([*start, *end]),
            Some(WindowColumns::Struct(index)) => taken.push(*index),
            None => {}
        }
        let group = match schema.index_of("group_key") {
            Ok(index) => vec![(index, None)],
            Err(_) => {
                let others = schema.fields().iter().enumerate();
                let others = others
                    .filter(|(index, field)| !taken.contains(index) && !NO_GROUP.contains(&field.name().as_str()));
                others
                    .map(|(index, field)| (index, Some(field.name().clone())))
                    .collect()
            }
        };
        Some(Self { answer, window, group })
    }
}

/// Start and end of a window in milliseconds since the epoch.
pub type Window = (i64, i64);

/// The answers of one window.
#[derive(Debug, Default)]
pub struct Groups {
    /// Answer (JSON text) by group, the first ones by key.
    pub answers: BTreeMap<String, String>,
    /// How many rows came, kept or not.
    pub rows: usize,
}

/// The last windows of one table.
#[derive(Debug)]
pub struct Recent {
    shape: Shape,
    windows: usize,
    groups: usize,
    /// By end, then start, so that the last ones are the latest.
    kept: BTreeMap<(i64, i64), Groups>,
}

impl Recent {
    /// Keeps so many windows and in each so many groups.
    pub fn new(shape: Shape, windows: usize, groups: usize) -> Self {
        Self {
            shape,
            windows: windows.max(1),
            groups: groups.max(1),
            kept: BTreeMap::new(),
        }
    }

    /// Takes rows.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let columns = batch.columns();
        let options = FormatOptions::default();
        let answers = cast(&columns[self.shape.answer], &DataType::Utf8View)?;
        let answers = answers.as_string_view();
        let (starts, ends) = match self.shape.window {
            Some(WindowColumns::Two(start, end)) => (Some(millis(&columns[start])?), Some(millis(&columns[end])?)),
            Some(WindowColumns::Struct(index)) => {
                let window: &StructArray = columns[index].as_struct();
                let bound = |name| window.column_by_name(name).map(|column| millis(column)).transpose();
                (bound("start")?, bound("end")?)
            }
            None => (None, None),
        };
        let group: Vec<_> = self
            .shape
            .group
            .iter()
            .map(|(index, name)| Ok((name, ArrayFormatter::try_new(&columns[*index], &options)?)))
            .collect::<Result<_, ArrowError>>()?;
        for row in 0..batch.num_rows() {
            let bound = |times: &Option<arrow::array::Int64Array>| times.as_ref().map_or(0, |times| times.value(row));
            let key = (bound(&ends), bound(&starts));
            if self.kept.len() >= self.windows && !self.kept.contains_key(&key) {
                match self.kept.first_key_value() {
                    Some((oldest, _)) if *oldest < key => self.kept.pop_first(),
                    _ => continue,
                };
            }
            let label: Vec<String> = group
                .iter()
                .map(|(name, value)| match name {
                    Some(name) => format!("{name}={}", value.value(row)),
                    None => value.value(row).to_string(),
                })
                .collect();
            let groups = self.kept.entry(key).or_default();
            groups.rows += 1;
            let answer = if answers.is_null(row) {
                String::new()
            } else {
                answers.value(row).to_owned()
            };
            groups.answers.insert(label.join(", "), answer);
            if groups.answers.len() > self.groups {
                groups.answers.pop_last();
            }
        }
        Ok(())
    }

    /// The windows that were kept, the earliest first.
    pub fn windows(&self) -> impl Iterator<Item = (Window, &Groups)> {
        self.kept.iter().map(|((end, start), groups)| ((*start, *end), groups))
    }

    /// False if the rows have no window.
    pub fn has_windows(&self) -> bool {
        self.shape.window.is_some()
    }
}

/// Milliseconds since the epoch, of timestamps or of numbers that are such milliseconds.
fn millis(column: &dyn Array) -> Result<arrow::array::Int64Array, ArrowError> {
    if let DataType::Timestamp(_, _) = column.data_type() {
        let nanos = cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, None))?;
        return Ok(nanos
            .as_primitive::<TimestampNanosecondType>()
            .unary(|nanos| nanos.div_euclid(1_000_000)));
    }
    Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringViewArray};
    use std::sync::Arc;

    fn batch(rows: &[(i64, &str, &str)]) -> RecordBatch {
        let starts: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
        let ends: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0 + 10)));
        let groups: ArrayRef = Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| row.1)));
        let answers: ArrayRef = Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| row.2)));
        RecordBatch::try_from_iter([
            ("window_start", starts),
            ("window_end", ends),
            ("origin", groups),
            ("answer", answers),
        ])
        .unwrap()
    }

    #[test]
    fn only_the_last_windows_and_the_first_groups_are_kept() {
        let rows = batch(&[
            (0, "a", "1"),
            (20, "b", "2"),
            (10, "c", "3"),
            (20, "a", "4"),
            (20, "c", "5"),
            (0, "z", "6"),
        ]);
        let mut recent = Recent::new(Shape::of(&rows.schema()).unwrap(), 2, 2);
        recent.take(&rows).unwrap();
        let seen: Vec<_> = recent
            .windows()
            .map(|(window, groups)| (window, groups.rows, groups.answers.clone()))
            .collect();
        let of = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(group, answer)| (group.to_string(), answer.to_string()))
                .collect()
        };
        assert_eq!(
            seen,
            [
                ((10, 20), 1, of(&[("origin=c", "3")])),
                ((20, 30), 3, of(&[("origin=a", "4"), ("origin=b", "2")]))
            ]
        );
    }

    #[test]
    fn rows_without_an_answer_have_no_shape() {
        let rows = batch(&[(0, "a", "1")]);
        assert_eq!(Shape::of(&rows.project(&[0, 1, 2]).unwrap().schema()), None);
        assert!(Shape::of(&rows.project(&[3]).unwrap().schema()).is_some_and(|shape| shape.window.is_none()));
    }
}
