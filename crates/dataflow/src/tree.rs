//! Panes of a hop, merged by a fixed tree.
//!
//! A node at level `l` and index `i` is the merge of the panes `i * 2^l .. (i + 1) * 2^l`, counted from the epoch. A
//! window is the merge, from left to right, of the few largest nodes that cover it: for 60 panes at most ten, and of
//! those all but one or two are there from the window before. The tree is aligned to the epoch, so a window's merge order
//! depends on the window alone, not on when the pipeline began: with sketches, whose merges are not associative to the
//! bit, this keeps answers the same after a restart.
//!
//! Windows move to the right, so the left one of two nodes is not asked for again once their parent is there: it is let go,
//! unless it is a pane, which checkpoints need. Bound: the panes of a window and half as many nodes above them; in memory,
//! its share of it where there is a disk to spill to.

use crate::Error;
use crate::groups::Grouping;
use crate::spill::merge::merged;
use crate::spill::{Life, Partial, Spill};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Merged panes of one hop window.
pub struct PaneTree {
    grouping: Arc<Grouping>,
    /// Level and index to the merged partial. Level 0 holds the panes themselves; empty ones are absent.
    nodes: BTreeMap<(u32, i64), Partial>,
    bytes: usize,
    spill: Option<Arc<Spill>>,
}

impl PaneTree {
    /// Without panes.
    pub fn new(grouping: Arc<Grouping>) -> Self {
        Self {
            grouping,
            nodes: BTreeMap::new(),
            bytes: 0,
            spill: None,
        }
    }

    /// From now on, panes that are too many for memory go there.
    pub fn spill_to(&mut self, spill: Arc<Spill>) {
        self.spill = Some(spill);
    }

    /// Adds the complete pane with this index, or a further part of it that has other groups. Panes are whole before a window
    /// asks for them.
    pub fn insert(&mut self, index: i64, partial: Partial) -> Result<(), Error> {
        let mut pane = self.remove((0, index)).unwrap_or_default();
        pane.append(partial);
        self.keep((0, index), pane)
    }

    /// Index of the first pane.
    pub fn first(&self) -> Option<i64> {
        self.panes().next().map(|(index, _)| index)
    }

    /// The panes in their order.
    pub fn panes(&self) -> impl Iterator<Item = (i64, &Partial)> {
        self.nodes
            .range((0, i64::MIN)..=(0, i64::MAX))
            .map(|((_, index), partial)| (*index, partial))
    }

    /// What all groups of the panes `from..to` merge from, in order.
    pub fn window(&mut self, from: i64, to: i64) -> Result<Vec<Partial>, Error> {
        let mut cover = Vec::new();
        let mut at = from;
        while at < to {
            let mut level = 0;
            while at & ((1 << (level + 1)) - 1) == 0 && at + (1 << (level + 1)) <= to {
                level += 1;
            }
            cover.extend(self.node(level, at >> level)?);
            at += 1 << level;
        }
        Ok(cover)
    }

    /// The same of what is there already: nothing is merged for it, so there may be more parts.
    pub fn there(&self, from: i64, to: i64) -> Vec<Partial> {
        let mut found = Vec::new();
        let mut at = from;
        while at < to {
            let mut level = 0;
            while at & ((1 << (level + 1)) - 1) == 0 && at + (1 << (level + 1)) <= to {
                level += 1;
            }
            self.find(level, at >> level, &mut found);
            at += 1 << level;
        }
        found
    }

    fn find(&self, level: u32, index: i64, found: &mut Vec<Partial>) {
        match self.nodes.get(&(level, index)) {
            Some(partial) => found.push(partial.clone()),
            None if level == 0 => {}
            None => {
                self.find(level - 1, index * 2, found);
                self.find(level - 1, index * 2 + 1, found);
            }
        }
    }

    /// Forgets panes before this index and what was merged from them.
    pub fn forget(&mut self, before: i64) {
        let bytes = &mut self.bytes;
        self.nodes.retain(|(level, index), partial| {
            let kept = index << level >= before;
            if !kept {
                *bytes -= partial.held();
            }
            kept
        });
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.bytes
    }

    fn node(&mut self, level: u32, index: i64) -> Result<Option<Partial>, Error> {
        if let Some(partial) = self.nodes.get(&(level, index)) {
            return Ok(Some(partial.clone()));
        }
        if level == 0 {
            return Ok(None);
        }
        let (left, right) = (index * 2, index * 2 + 1);
        let merged = match (self.node(level - 1, left)?, self.node(level - 1, right)?) {
            (None, None) => return Ok(None),
            (Some(one), None) | (None, Some(one)) => one,
            (Some(left), Some(right)) => merged(self.spill.as_ref(), &self.grouping, &[left, right])?,
        };
        if level > 1 {
            self.remove((level - 1, left));
        }
        self.keep((level, index), merged.clone())?;
        Ok(Some(merged))
    }

    fn remove(&mut self, place: (u32, i64)) -> Option<Partial> {
        let removed = self.nodes.remove(&place);
        self.bytes -= removed.as_ref().map_or(0, Partial::held);
        removed
    }

    fn keep(&mut self, place: (u32, i64), partial: Partial) -> Result<(), Error> {
        self.bytes += partial.held();
        if let Some(old) = self.nodes.insert(place, partial) {
            self.bytes -= old.held();
        }
        match self.spill.clone() {
            Some(spill) if self.bytes > spill.shares.closed => self.store(&spill),
            _ => Ok(()),
        }
    }

    /// Writes nodes to disk until half of the share is free.
    fn store(&mut self, spill: &Arc<Spill>) -> Result<(), Error> {
        for partial in self.nodes.values_mut() {
            if self.bytes <= spill.shares.closed / 2 {
                break;
            }
            self.bytes -= partial.held();
            partial.store(spill, &self.grouping, Life::Long)?;
            self.bytes += partial.held();
        }
        Ok(())
    }
}
