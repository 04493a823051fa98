//! The state of many groups: one sketch each, made at its first row.
//!
//! Rows of a batch are sorted by group first ([`Grouping`]), so that each sketch is called once a batch with all its rows,
//! and a batch of one group goes to its sketch as it is. Memory is counted as it changes: `size` costs nothing, however many
//! groups there are.

use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryViewBuilder, BooleanArray};
use datafusion_common::{Result, internal_err};
use datafusion_expr::{EmitTo, GroupsAccumulator};
use hitters_sketch::Rows;

use super::freeze::{Freeze, Frozen, FrozenSketches, states};
use super::rows::Fate;
use super::{Cell, Columns, Grouping, Summary, single};

/// One sketch for each group.
#[derive(Debug)]
pub(super) struct Groups<S: Summary> {
    summary: Arc<S>,
    /// By group number.
    cells: Vec<Cell<S::Sketch>>,
    /// Bytes of all sketches.
    bytes: usize,
    grouping: Grouping,
}

impl<S: Summary> Groups<S> {
    pub fn new(summary: S) -> Self {
        Self {
            summary: Arc::new(summary),
            cells: Vec::new(),
            bytes: 0,
            grouping: Grouping::default(),
        }
    }

    fn cell_size(summary: &S, cell: &Cell<S::Sketch>) -> usize {
        cell.as_ref().map_or(0, |sketch| summary.size(sketch))
    }

    /// Calls `change` on the cell of a group and keeps the sum of bytes up to date.
    fn change(
        (summary, cells, bytes): (&S, &mut [Cell<S::Sketch>], &mut usize),
        group: usize,
        change: impl FnOnce(&mut Cell<S::Sketch>) -> Result<()>,
    ) -> Result<()> {
        let Some(cell) = cells.get_mut(group) else {
            return internal_err!("{}: a row of group {group} of {}", summary.function(), cells.len());
        };
        let before = Self::cell_size(summary, cell);
        let result = change(cell);
        *bytes = *bytes + Self::cell_size(summary, cell) - before;
        result
    }

    /// Takes the first groups, or all, out of the state.
    fn take(&mut self, emit_to: EmitTo) -> Vec<Cell<S::Sketch>> {
        let taken = emit_to.take_needed(&mut self.cells);
        self.bytes = match emit_to {
            EmitTo::All => 0,
            EmitTo::First(_) => {
                self.bytes
                    - taken
                        .iter()
                        .map(|cell| Self::cell_size(&self.summary, cell))
                        .sum::<usize>()
            }
        };
        taken
    }
}

/// The group of all rows, if they have one only. The first row that differs ends the look.
fn only_group(groups: &[usize], total: usize) -> Option<usize> {
    let first = *groups.first()?;
    (total == 1 || groups.iter().all(|group| *group == first)).then_some(first)
}

impl<S: Summary> Freeze for Groups<S> {
    fn freeze(&self) -> Box<dyn Frozen> {
        Box::new(FrozenSketches {
            summary: self.summary.clone(),
            cells: self.cells.clone(),
        })
    }
}

impl<S: Summary> GroupsAccumulator for Groups<S> {
    fn update_batch(
        &mut self,
        arguments: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let Self {
            summary,
            cells,
            bytes,
            grouping,
        } = self;
        let summary = &**summary;
        if cells.len() < total_num_groups {
            cells.resize_with(total_num_groups, || None);
        }
        let columns = summary.columns(arguments)?;
        let fate = Fate::new(columns.nulls(), opt_filter);
        if let Some(group) = only_group(group_indices, total_num_groups) {
            return Self::change((summary, cells, bytes), group, |cell| {
                single::update(summary, cell, &columns, &fate)
            });
        }
        let buffers = columns.buffers();
        let batch = columns.batch(&buffers)?;
        grouping.visit(group_indices, total_num_groups, fate.counted.as_ref(), |group, rows| {
            Self::change((summary, cells, bytes), group, |cell| {
                summary.update(cell, &batch, Rows::Indices(rows))
            })
        })?;
        for row in fate.skipped.iter().flat_map(|skipped| skipped.set_indices()) {
            Self::change((summary, cells, bytes), group_indices[row], |cell| {
                summary.skip(cell, 1)
            })?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let cells = self.take(emit_to);
        // Each sketch is dropped as soon as its result stands.
        self.summary
            .output()
            .array(cells.into_iter().map(|cell| self.summary.finish(&cell)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let cells = self.take(emit_to);
        Ok(vec![states(&*self.summary, cells)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        let Self {
            summary, cells, bytes, ..
        } = self;
        let summary = &**summary;
        let [states] = states else {
            return internal_err!("{} has one state column, not {}", summary.function(), states.len());
        };
        if cells.len() < total_num_groups {
            cells.resize_with(total_num_groups, || None);
        }
        let columns = Columns::new(summary.function(), states, None)?;
        let buffers = columns.buffers();
        let batch = columns.batch(&buffers)?;
        for (row, group) in group_indices
            .iter()
            .enumerate()
            .filter(|(row, _)| states.is_valid(*row))
        {
            Self::change((summary, cells, bytes), *group, |cell| {
                summary.merge_bytes(cell, batch.items.bytes(row).unwrap_or_default())
            })?;
        }
        Ok(())
    }

    fn convert_to_state(&self, arguments: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let columns = self.summary.columns(arguments)?;
        let fate = Fate::new(columns.nulls(), opt_filter);
        let buffers = columns.buffers();
        let batch = columns.batch(&buffers)?;
        let mut states = BinaryViewBuilder::with_capacity(columns.len());
        for row in 0..columns.len() {
            let mut cell = None;
            if fate.counted.as_ref().is_none_or(|counted| counted.value(row)) {
                self.summary.update(&mut cell, &batch, Rows::All(row..row + 1))?;
            } else if fate.skipped.as_ref().is_some_and(|skipped| skipped.value(row)) {
                self.summary.skip(&mut cell, 1)?;
            }
            states.append_option(cell.map(|sketch| self.summary.save(&sketch)));
        }
        Ok(vec![Arc::new(states.finish())])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes + self.cells.capacity() * size_of::<Cell<S::Sketch>>() + self.grouping.size()
    }
}
