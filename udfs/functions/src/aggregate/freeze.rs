//! Copies of the state of many groups that cost next to nothing to take: a pointer for each group.
//!
//! `GroupsAccumulator::state` gives the state away, and merging it back costs as much as reading all of it: too long a pause
//! for a checkpoint of a running dataflow. A frozen copy shares the sketches; a sketch that changes afterwards is cloned
//! then. The bytes are made from the copy, on whatever thread.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewBuilder, BooleanArray};
use datafusion_common::Result;
use datafusion_expr::{EmitTo, GroupsAccumulator};

use super::{Cell, Summary};

/// The state of groups at the moment when it was frozen.
pub trait Frozen: Send {
    /// The columns that [`GroupsAccumulator::state`] of all groups would have given then.
    fn states(self: Box<Self>) -> Vec<ArrayRef>;
}

/// A copy of the state of an aggregate of this crate; `None` for an accumulator from elsewhere.
pub fn freeze(accumulator: &dyn GroupsAccumulator) -> Option<Box<dyn Frozen>> {
    let accumulator: &dyn Any = accumulator;
    accumulator
        .downcast_ref::<SketchGroups>()
        .map(|groups| groups.0.freeze())
}

/// A groups accumulator that can be frozen, whatever its sketches are.
pub(super) trait Freeze: GroupsAccumulator {
    fn freeze(&self) -> Box<dyn Frozen>;
}

/// What this crate gives to DataFusion: one type for all sketches, so that it can be told from other accumulators.
pub(super) struct SketchGroups(pub Box<dyn Freeze>);

impl GroupsAccumulator for SketchGroups {
    fn update_batch(
        &mut self,
        arguments: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.0
            .update_batch(arguments, group_indices, opt_filter, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.0.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit_to)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.0.merge_batch(states, group_indices, total_num_groups)
    }

    fn convert_to_state(&self, arguments: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.0.convert_to_state(arguments, opt_filter)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// Sketches of groups with what makes bytes of them.
pub(super) struct FrozenSketches<S: Summary> {
    pub summary: Arc<S>,
    pub cells: Vec<Cell<S::Sketch>>,
}

impl<S: Summary> Frozen for FrozenSketches<S> {
    fn states(self: Box<Self>) -> Vec<ArrayRef> {
        vec![states(&*self.summary, self.cells)]
    }
}

/// The state column of groups: the bytes of their sketches. Each sketch is let go of as soon as its bytes stand.
pub(super) fn states<S: Summary>(summary: &S, cells: Vec<Cell<S::Sketch>>) -> ArrayRef {
    let mut states = BinaryViewBuilder::with_capacity(cells.len());
    for cell in cells {
        states.append_option(cell.map(|sketch| summary.save(&sketch)));
    }
    Arc::new(states.finish())
}
