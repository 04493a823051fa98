//! Panes of a hop, merged by a fixed tree.
//!
//! A node at level `l` and index `i` is the merge of the panes `i * 2^l .. (i + 1) * 2^l`, counted from the epoch. A
//! window is the merge, from left to right, of the few largest nodes that cover it: for 60 panes at most ten, and of
//! those all but one or two are there from the window before. The tree is aligned to the epoch, so a window's merge order
//! depends on the window alone, not on when the pipeline began: with sketches, whose merges are not associative to the
//! bit, this keeps answers the same after a restart.

use crate::Error;
use crate::groups::{GroupTable, Grouping};
use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Merged panes of one hop window.
pub struct PaneTree {
    grouping: Arc<Grouping>,
    /// Level and index to the merged partial. Level 0 holds the panes themselves; empty ones are absent.
    nodes: BTreeMap<(u32, i64), RecordBatch>,
    bytes: usize,
}

impl PaneTree {
    /// Without panes.
    pub fn new(grouping: Arc<Grouping>) -> Self {
        Self {
            grouping,
            nodes: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Adds the complete pane with this index. Panes are added once, and before a window asks for them.
    pub fn insert(&mut self, index: i64, partial: RecordBatch) {
        self.keep((0, index), partial);
    }

    /// Index of the first pane.
    pub fn first(&self) -> Option<i64> {
        self.panes().next().map(|(index, _)| index)
    }

    /// The panes in their order.
    pub fn panes(&self) -> impl Iterator<Item = (i64, &RecordBatch)> {
        self.nodes
            .range((0, i64::MIN)..=(0, i64::MAX))
            .map(|((_, index), partial)| (*index, partial))
    }

    /// All groups of the panes `from..to`.
    pub fn window(&mut self, from: i64, to: i64) -> Result<GroupTable, Error> {
        let mut table = GroupTable::new(self.grouping.clone())?;
        let mut at = from;
        while at < to {
            let mut level = 0;
            while at & ((1 << (level + 1)) - 1) == 0 && at + (1 << (level + 1)) <= to {
                level += 1;
            }
            if let Some(partial) = self.node(level, at >> level)? {
                table.merge(&partial)?;
            }
            at += 1 << level;
        }
        Ok(table)
    }

    /// Forgets panes before this index and what was merged from them.
    pub fn forget(&mut self, before: i64) {
        let bytes = &mut self.bytes;
        self.nodes.retain(|(level, index), partial| {
            let kept = index << level >= before;
            if !kept {
                *bytes -= partial.get_array_memory_size();
            }
            kept
        });
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.bytes
    }

    fn node(&mut self, level: u32, index: i64) -> Result<Option<RecordBatch>, Error> {
        if let Some(partial) = self.nodes.get(&(level, index)) {
            return Ok(Some(partial.clone()));
        }
        if level == 0 {
            return Ok(None);
        }
        let merged = match (self.node(level - 1, index * 2)?, self.node(level - 1, index * 2 + 1)?) {
            (None, None) => return Ok(None),
            (Some(one), None) | (None, Some(one)) => one,
            (Some(left), Some(right)) => {
                let mut table = GroupTable::new(self.grouping.clone())?;
                table.merge(&left)?;
                table.merge(&right)?;
                table.take_partial()?
            }
        };
        self.keep((level, index), merged.clone());
        Ok(Some(merged))
    }

    fn keep(&mut self, place: (u32, i64), partial: RecordBatch) {
        self.bytes += partial.get_array_memory_size();
        if let Some(old) = self.nodes.insert(place, partial) {
            self.bytes -= old.get_array_memory_size();
        }
    }
}
