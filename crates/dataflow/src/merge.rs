//! The final half of a window: panes of all workers into published windows.
//!
//! Partials of one pane wait until every worker has closed it, and merge in the order of their slots (partitions). A
//! window is published once, when its end is reached, and windows are published in the order of their ends.

use crate::Error;
use crate::frontier::START;
use crate::groups::{GroupTable, Grouping};
use crate::operator::{Bounds, Saved, WindowRows};
use crate::panes::{PanePartial, pane_width};
use crate::publish::Publisher;
use crate::session::Sessions;
use crate::tree::PaneTree;
use arrow::array::RecordBatch;
use hitters_planner::window::Window;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Merges the panes of one window node.
pub struct Merge {
    grouping: Arc<Grouping>,
    width: i64,
    /// Partials that wait for their pane to close, by pane and slot.
    waiting: BTreeMap<(i64, usize), Vec<RecordBatch>>,
    waiting_bytes: usize,
    shape: Shape,
    publisher: Publisher,
}

enum Shape {
    Tumble,
    Hop {
        panes_in_window: i64,
        tree: PaneTree,
        published_until: i64,
    },
    Session(Sessions),
}

/// Tag of saved rows that are a complete pane of a hop (which never changes), not a waiting partial; without rows: the time
/// up to which windows are published.
pub const COMPLETE: i64 = -1;
/// Tag of the saved rows of open sessions.
const SESSIONS: i64 = -2;

impl Merge {
    /// For a window node.
    pub fn new(window: Window, grouping: Arc<Grouping>, publisher: Publisher) -> Self {
        let shape = match window {
            Window::Tumble { .. } => Shape::Tumble,
            Window::Hop { slide, width } => Shape::Hop {
                panes_in_window: width / slide,
                tree: PaneTree::new(grouping.clone()),
                published_until: START,
            },
            Window::Session { gap } => Shape::Session(Sessions::new(gap, grouping.clone())),
        };
        let width = pane_width(&window);
        Self {
            grouping,
            width,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            shape,
            publisher,
        }
    }

    /// Takes a pane that a worker closed.
    pub fn add(&mut self, pane: PanePartial) {
        self.waiting_bytes += pane.partial.get_array_memory_size();
        self.waiting
            .entry((pane.pane, pane.slot))
            .or_default()
            .push(pane.partial);
    }

    /// Every worker has closed its panes up to `time`: publishes what is complete by then.
    pub fn watermark(&mut self, time: i64) -> Result<Vec<WindowRows>, Error> {
        let mut published = Vec::new();
        while let Some((pane, mut table)) = self.next_complete(time)? {
            let end = pane.saturating_add(self.width);
            match &mut self.shape {
                Shape::Tumble => published.push(self.publisher.publish(&mut table, Bounds { end, start: pane })?),
                Shape::Hop { tree, .. } => {
                    // Windows before this pane must not wait for it, and it must not outrun them in memory.
                    tree.insert(pane.div_euclid(self.width), table.take_partial()?);
                    self.publish_hops(pane, &mut published)?;
                }
                Shape::Session(sessions) => {
                    published.extend(sessions.publish(pane, &self.publisher)?);
                    sessions.add(table.take_partial()?)?;
                }
            }
        }
        match &mut self.shape {
            Shape::Tumble => {}
            Shape::Hop { .. } => self.publish_hops(time, &mut published)?,
            Shape::Session(sessions) => published.extend(sessions.publish(time, &self.publisher)?),
        }
        Ok(published)
    }

    /// A copy of the state.
    pub fn save(&mut self) -> Result<Vec<Saved>, Error> {
        let mut saved: Vec<Saved> = self
            .waiting
            .iter()
            .flat_map(|((pane, slot), partials)| {
                partials.iter().map(|rows| Saved {
                    tag: (*pane, *slot as i64),
                    rows: rows.clone(),
                })
            })
            .collect();
        match &mut self.shape {
            Shape::Tumble => {}
            Shape::Hop {
                tree, published_until, ..
            } => {
                saved.extend(tree.panes().map(|(index, rows)| Saved {
                    tag: (index, COMPLETE),
                    rows: rows.clone(),
                }));
                let nothing = RecordBatch::new_empty(self.grouping.partial_schema().clone());
                saved.push(Saved {
                    tag: (*published_until, COMPLETE),
                    rows: nothing,
                });
            }
            Shape::Session(sessions) => {
                saved.extend(sessions.save()?.into_iter().map(|rows| Saved {
                    tag: (0, SESSIONS),
                    rows,
                }));
            }
        }
        Ok(saved)
    }

    /// Takes saved state into a fresh merge.
    pub fn load(&mut self, saved: Vec<Saved>) -> Result<(), Error> {
        for Saved {
            tag: (first, second),
            rows,
        } in saved
        {
            match (&mut self.shape, second) {
                (Shape::Hop { published_until, .. }, COMPLETE) if rows.num_rows() == 0 => *published_until = first,
                (Shape::Hop { tree, .. }, COMPLETE) => tree.insert(first, rows),
                (Shape::Session(sessions), SESSIONS) => sessions.add(rows)?,
                (_, slot) if slot >= 0 => self.add(PanePartial {
                    pane: first,
                    slot: slot as usize,
                    partial: rows,
                }),
                _ => return Err(Error::State("saved panes of another kind of window".to_string())),
            }
        }
        Ok(())
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.waiting_bytes
            + match &self.shape {
                Shape::Tumble => 0,
                Shape::Hop { tree, .. } => tree.size(),
                Shape::Session(sessions) => sessions.size(),
            }
    }

    /// The earliest waiting pane, merged in the order of slots, if it ends at or before `time`.
    fn next_complete(&mut self, time: i64) -> Result<Option<(i64, GroupTable)>, Error> {
        let Some((&(pane, _), _)) = self.waiting.first_key_value() else {
            return Ok(None);
        };
        if pane.saturating_add(self.width) > time {
            return Ok(None);
        }
        let mut table = GroupTable::new(self.grouping.clone())?;
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 == pane) {
            for partial in entry.remove() {
                self.waiting_bytes -= partial.get_array_memory_size();
                table.merge(&partial)?;
            }
        }
        Ok(Some((pane, table)))
    }

    /// Publishes hop windows that end at or before `time`.
    fn publish_hops(&mut self, time: i64, published: &mut Vec<WindowRows>) -> Result<(), Error> {
        let Shape::Hop {
            panes_in_window,
            tree,
            published_until,
        } = &mut self.shape
        else {
            return Ok(());
        };
        while let Some(first) = tree.first() {
            let first_end = first.saturating_add(1).saturating_mul(self.width);
            let end = first_end.max(published_until.saturating_add(self.width));
            if end > time {
                break;
            }
            let last = end.div_euclid(self.width);
            let window = Bounds {
                end,
                start: (last - *panes_in_window).saturating_mul(self.width),
            };
            let mut table = tree.window(last - *panes_in_window, last)?;
            if !table.is_empty() {
                published.push(self.publisher.publish(&mut table, window)?);
            }
            *published_until = end;
            tree.forget(last + 1 - *panes_in_window);
        }
        Ok(())
    }
}
