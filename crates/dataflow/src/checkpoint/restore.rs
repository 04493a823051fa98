//! From a manifest and its objects to the state of a plan that may have changed, over partitions that may have become more.
//!
//! State goes to the nodes that compute the same as before. A node without saved state would publish windows that lack the
//! rows before it: that is an error, never a wrong number. State that no node wants any more is let go, and said.
//!
//! Objects are read one after the other. What is too much for memory goes to the disk that state spills to, if there is one.

use super::claim::Claim;
use super::layout::Layout;
use super::manifest::Manifest;
use super::object::{self, Kind};
use super::snapshot::{Read, State};
use crate::Error;
use crate::frontier::START;
use crate::groups::Grouping;
use crate::merge::SavedPartial;
use crate::operator::Saved;
use crate::panes::PanePartial;
use crate::source::At;
use crate::spill::{Life, Partial, Spill, open};
use arrow::array::RecordBatch;
use std::collections::HashMap;
use std::sync::Arc;

/// What a run goes on from.
#[derive(Debug, Default)]
pub struct Restored {
    /// The state.
    pub state: State,
    /// Where to read each partition of the dataflow.
    pub starts: Vec<At>,
    /// What sinks held back: node, number of the checkpoint, bytes.
    pub held: Vec<(usize, u64, Vec<u8>)>,
    /// What people should know.
    pub notes: Vec<String>,
}

/// Fits the state that was found to a plan with these windows.
pub fn restore(
    claim: &mut Claim,
    layout: &Layout,
    windows: &[Arc<Grouping>],
    spill: Option<&Arc<Spill>>,
) -> Result<Restored, Error> {
    let mut restored = Restored {
        starts: vec![At::Options; layout.partitions.len()],
        ..Restored::default()
    };
    let state = &mut restored.state;
    state.windows = layout.windows.iter().map(|_| (Vec::new(), START)).collect();
    state.end.windows = layout.windows.iter().map(|_| (Vec::new(), START)).collect();
    let nodes = layout.identities.keys().chain(layout.sinks.keys()).max();
    let nodes = nodes.map_or(0, |last| last + 1);
    state.end.operators = (0..nodes).map(|_| Vec::new()).collect();
    let Some(manifest) = claim.found.clone() else {
        return Ok(restored);
    };
    if manifest.partitions.is_empty() && manifest.nodes.is_empty() {
        // A run began and ended before it had read where its partitions are.
        return Ok(restored);
    }
    let slots = partitions(&manifest, layout, &mut restored)?;
    let nodes = node_map(&manifest, layout, &mut restored.notes)?;
    let state = &mut restored.state;
    for node in &manifest.nodes {
        let window = nodes.get(&node.node).and_then(|node| layout.window_of(*node));
        if let Some(window) = window {
            state.windows[window].1 = node.closed_until.unwrap_or(START);
            state.end.windows[window].1 = node.published.unwrap_or(START);
        }
    }
    let mut room = Room { spill, held: 0 };
    for reference in &manifest.objects {
        for entry in object::read(&claim.object(reference)?)? {
            let Some(&node) = nodes.get(&entry.node) else { continue };
            let window = layout.window_of(node);
            let slot = |slot: i64, window: usize| {
                let known = usize::try_from(slot).ok().and_then(|slot| {
                    if windows.get(window).is_some_and(|grouping| grouping.is_commutative()) {
                        Some(slot)
                    } else {
                        slots.get(slot).copied().flatten()
                    }
                });
                known.ok_or_else(|| {
                    Error::Checkpoint(format!("state of a partition that no table has any more (slot {slot})"))
                })
            };
            match (entry.kind, window) {
                (Kind::Open, Some(window)) => {
                    let slot = slot(entry.tag.1, window)?;
                    state.windows[window].0.push(PanePartial {
                        pane: entry.tag.0,
                        slot,
                        partial: room.keep(entry.rows, windows.get(window), Life::Brief)?,
                    });
                }
                (Kind::Merge, Some(window)) => {
                    // Tags below zero are the window's own.
                    let second = if entry.tag.1 >= 0 {
                        slot(entry.tag.1, window)? as i64
                    } else {
                        entry.tag.1
                    };
                    state.end.windows[window].0.push(SavedPartial {
                        tag: (entry.tag.0, second),
                        partial: room.keep(entry.rows, windows.get(window), Life::Long)?,
                    });
                }
                (Kind::Operator, None) => state.end.operators[node].push(Saved {
                    tag: entry.tag,
                    rows: entry.rows,
                }),
                _ => return Err(Error::Checkpoint("state of a window for a step that is none".into())),
            }
        }
    }
    for sink in &manifest.sinks {
        let bytes = claim.object(&sink.object)?;
        let node = layout
            .sinks
            .iter()
            .find(|(_, (table, ordinal))| *table == sink.table && *ordinal == sink.ordinal);
        match node {
            Some((node, _)) => restored.held.push((*node, sink.number, bytes)),
            None if bytes.is_empty() => {}
            None => restored.notes.push(format!(
                "table {} is not written any more: {} bytes of rows that the checkpoint held back for it are dropped, if they \
                 had not been committed",
                sink.table,
                bytes.len()
            )),
        }
    }
    Ok(restored)
}

/// Memory for what is restored.
struct Room<'s> {
    spill: Option<&'s Arc<Spill>>,
    held: usize,
}

impl Room<'_> {
    /// Open panes have a brief life.
    fn keep(&mut self, rows: RecordBatch, grouping: Option<&Arc<Grouping>>, life: Life) -> Result<Partial, Error> {
        let mut partial = Partial::from(rows.clone());
        let bytes = partial.held();
        match (self.spill, grouping) {
            // Rows without groups say something by being there.
            (Some(spill), Some(grouping)) if rows.num_rows() > 0 && self.held + bytes > spill.shares.closed / 2 => {
                match life {
                    Life::Brief => partial = open::store(spill, grouping, &rows)?,
                    Life::Long => partial.store(spill, grouping, life)?,
                }
            }
            _ => self.held += bytes,
        }
        Ok(partial)
    }
}

/// Finds the partitions again; gives the new position of each old one.
fn partitions(manifest: &Manifest, layout: &Layout, restored: &mut Restored) -> Result<Vec<Option<usize>>, Error> {
    let mut slots = vec![None; manifest.partitions.len()];
    for (new, name) in layout.partitions.iter().enumerate() {
        let of_table = |old: &&super::manifest::Partition| old.table == name.table;
        let Some(any) = manifest.partitions.iter().find(of_table) else {
            continue;
        };
        if any.log != name.log {
            return Err(Error::Checkpoint(format!(
                "table {} reads {}, but the state was made from {}: positions and counts do not carry over. Give the pipeline \
                 a new version (it then begins with a state of its own), or read the old log again",
                name.table, name.log, any.log
            )));
        }
        restored.starts[new] = At::Beginning;
        let mut known = false;
        for (old, saved) in manifest.partitions.iter().enumerate() {
            if saved.table == name.table && saved.partition == name.number {
                known = true;
                slots[old] = Some(new);
                // Not known: it was added, or its source begins at its beginning anyway, and nothing of it was read.
                restored.starts[new] = saved.next.map_or(At::Beginning, At::Position);
                restored.state.read.push(Read {
                    partition: new,
                    next: saved.next,
                    watermark: saved.watermark,
                    latest: saved.latest,
                });
            }
        }
        if !known {
            restored.notes.push(format!(
                "partition {} of table {} is new: reading it from its beginning",
                name.number, name.table
            ));
        }
    }
    Ok(slots)
}

/// Finds the nodes again, by what they compute.
fn node_map(manifest: &Manifest, layout: &Layout, notes: &mut Vec<String>) -> Result<HashMap<u32, usize>, Error> {
    let mut found = HashMap::new();
    let mut gone = Vec::new();
    for node in &manifest.nodes {
        match layout.node_of(&node.identity) {
            Some(new) => {
                found.insert(node.node, new);
            }
            None => gone.push(node.identity.as_str()),
        }
    }
    let missing = layout
        .identities
        .iter()
        .find(|(node, _)| !found.values().any(|n| n == *node));
    if let Some((_, missing)) = missing {
        let before = match gone.as_slice() {
            [] => "nothing that is gone now".to_string(),
            gone => gone.join("\n    "),
        };
        return Err(Error::Checkpoint(format!(
            "the SQL has changed, and there is no saved state for\n    {missing}\n  what the state was made by:\n    {before}\n  \
             going on would publish windows that lack earlier rows. Give the pipeline a new version (`version = {{N+1}}`, or \
             `hitters replay`), which reads the log again, or run the old SQL to a clean stop first"
        )));
    }
    if !gone.is_empty() {
        notes.push(format!(
            "the SQL has changed: the state of {} steps is not needed any more",
            gone.len()
        ));
    }
    Ok(found)
}
