//! The final half of a window: panes of all workers into published windows.
//!
//! Partials of one pane wait until every worker has closed it, and merge in the order of their slots (partitions). A
//! window is published once, when its end is reached, and windows are published in the order of their ends. Its rows come at
//! once if all of its state is in memory; otherwise some groups at a time, in the order of their keys.

use crate::Error;
use crate::frontier::START;
use crate::groups::Grouping;
use crate::operator::{Bounds, WindowRows};
use crate::panes::{PanePartial, pane_width};
use crate::publish::Publisher;
use crate::session::Sessions;
use crate::spill::merge::{merge, merged};
use crate::spill::{Life, Partial, Spill};
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
    waiting: BTreeMap<(i64, usize), Partial>,
    waiting_bytes: usize,
    shape: Shape,
    publisher: Publisher,
    spill: Option<Arc<Spill>>,
}

/// A part of a saved window.
#[derive(Clone, Debug)]
pub struct SavedPartial {
    /// Pane and slot of a partial that waits; for others, the tags of this file.
    pub tag: (i64, i64),
    /// The states.
    pub partial: Partial,
}

/// Windows that were published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// How many.
    pub windows: u64,
    /// The end of the last one.
    pub until: Option<i64>,
}

impl Published {
    fn add(&mut self, end: i64) {
        self.windows += 1;
        self.until = self.until.max(Some(end));
    }
}

/// The window that closes next, and what it would be merged from now, in order.
#[derive(Clone, Debug)]
pub struct NextWindow {
    /// The window.
    pub bounds: Bounds,
    /// Its parts.
    pub parts: Vec<NextPart>,
}

/// A part of a window that is still open.
#[derive(Clone, Debug)]
pub enum NextPart {
    /// Closed panes of the final tier.
    Closed(Partial),
    /// An open pane of a worker, by its place in the list that was given.
    Open(usize),
}

/// Takes rows of windows as they are published.
pub type Output<'o> = &'o mut dyn FnMut(WindowRows) -> Result<(), Error>;

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
            spill: None,
        }
    }

    /// From now on, closed panes that are too many for memory go there.
    pub fn spill_to(&mut self, spill: &Arc<Spill>) {
        if let Shape::Hop { tree, .. } = &mut self.shape {
            tree.spill_to(spill.clone());
        }
        self.spill = Some(spill.clone());
    }

    /// Takes a pane that a worker closed.
    pub fn add(&mut self, mut pane: PanePartial) -> Result<(), Error> {
        if let Some(spill) = &self.spill
            && self.waiting_bytes + pane.partial.held() > spill.shares.closed / 2
        {
            pane.partial.store(spill, &self.grouping, Life::Brief)?;
        }
        self.waiting_bytes += pane.partial.held();
        self.waiting
            .entry((pane.pane, pane.slot))
            .or_default()
            .append(pane.partial);
        Ok(())
    }

    /// Every worker has closed its panes up to `time`: publishes what is complete by then.
    pub fn watermark(&mut self, time: i64, output: Output<'_>) -> Result<Published, Error> {
        let mut published = Published::default();
        while let Some((pane, parts)) = self.next_complete(time) {
            let end = pane.saturating_add(self.width);
            match &mut self.shape {
                Shape::Tumble => {
                    let window = Bounds { end, start: pane };
                    let publisher = &self.publisher;
                    merge(&self.grouping, &parts, |table| {
                        output(publisher.publish(table, window)?)
                    })?;
                    published.add(end);
                }
                Shape::Hop { tree, .. } => {
                    // Windows before this pane must not wait for it, and it must not outrun them in memory.
                    let complete = merged(self.spill.as_ref(), &self.grouping, &parts)?;
                    tree.insert(pane.div_euclid(self.width), complete)?;
                    self.publish_hops(pane, &mut published, output)?;
                }
                Shape::Session(sessions) => {
                    publish_sessions(sessions, pane, &self.publisher, &mut published, output)?;
                    merge(&self.grouping, &parts, |table| sessions.add(table.take_partial()?))?;
                }
            }
        }
        match &mut self.shape {
            Shape::Tumble => {}
            Shape::Hop { .. } => self.publish_hops(time, &mut published, output)?,
            Shape::Session(sessions) => {
                publish_sessions(sessions, time, &self.publisher, &mut published, output)?;
            }
        }
        Ok(published)
    }

    /// The end up to which [`Merge::watermark`] has something to do next, going by what has come; `None` if nothing has, and for sessions,
    /// whose ends depend on what comes.
    pub fn next_end(&self) -> Option<i64> {
        let waiting = self.waiting.first_key_value();
        let waiting = waiting.map(|((pane, _), _)| pane.saturating_add(self.width));
        match &self.shape {
            Shape::Tumble => waiting,
            Shape::Hop {
                tree, published_until, ..
            } => {
                let first_end = |first: i64| first.saturating_add(1).saturating_mul(self.width);
                let next = |first| first_end(first).max(published_until.saturating_add(self.width));
                tree.first().map(next).into_iter().chain(waiting).min()
            }
            Shape::Session(_) => None,
        }
    }

    /// The window that closes next, if it has rows; `open` are the panes of workers, by start and slot, and windows that end
    /// at or before `published` were published. `None` for sessions, whose ends nobody knows.
    pub fn next_window(&self, published: i64, open: &[(i64, usize)]) -> Option<NextWindow> {
        let mut panes: BTreeMap<(i64, usize), NextPart> = BTreeMap::new();
        for (place, pane) in open.iter().enumerate() {
            // One that was published since it was looked at.
            if pane.0.saturating_add(self.width) > published {
                panes.insert(*pane, NextPart::Open(place));
            }
        }
        // What a worker has closed since has all of its rows here.
        let waiting = self.waiting.iter();
        panes.extend(waiting.map(|(pane, partial)| (*pane, NextPart::Closed(partial.clone()))));
        let first = panes.first_key_value().map(|((pane, _), _)| *pane);
        let (bounds, mut parts) = match &self.shape {
            Shape::Tumble => {
                let start = first?;
                let end = start.saturating_add(self.width);
                (Bounds { end, start }, Vec::new())
            }
            Shape::Hop {
                panes_in_window,
                tree,
                published_until,
            } => {
                let first = tree.first().map(|index| index.saturating_mul(self.width)).or(first)?;
                let end = first.max(*published_until).saturating_add(self.width);
                let last = end.div_euclid(self.width);
                let from = last - *panes_in_window;
                let start = from.saturating_mul(self.width);
                let closed = tree.there(from, last).into_iter().map(NextPart::Closed);
                (Bounds { end, start }, closed.collect())
            }
            Shape::Session(_) => return None,
        };
        let inside = panes
            .into_iter()
            .filter(|((pane, _), _)| (bounds.start..bounds.end).contains(pane));
        parts.extend(inside.map(|(_, part)| part));
        (!parts.is_empty()).then_some(NextWindow { bounds, parts })
    }

    /// The rows of a window, merged from these parts, without touching what is held here.
    pub fn preview(&self, bounds: Bounds, parts: &[Partial], output: Output<'_>) -> Result<(), Error> {
        merge(&self.grouping, parts, |table| {
            output(self.publisher.publish(table, bounds)?)
        })
    }

    /// A copy of the state.
    pub fn save(&mut self) -> Result<Vec<SavedPartial>, Error> {
        let waiting = self.waiting.iter().map(|((pane, slot), partial)| SavedPartial {
            tag: (*pane, *slot as i64),
            partial: partial.clone(),
        });
        let mut saved: Vec<SavedPartial> = waiting.collect();
        match &mut self.shape {
            Shape::Tumble => {}
            Shape::Hop {
                tree, published_until, ..
            } => {
                saved.extend(tree.panes().map(|(index, partial)| SavedPartial {
                    tag: (index, COMPLETE),
                    partial: partial.clone(),
                }));
                let nothing = RecordBatch::new_empty(self.grouping.partial_schema().clone());
                saved.push(SavedPartial {
                    tag: (*published_until, COMPLETE),
                    partial: nothing.into(),
                });
            }
            Shape::Session(sessions) => {
                saved.extend(sessions.save()?.into_iter().map(|rows| SavedPartial {
                    tag: (0, SESSIONS),
                    partial: rows.into(),
                }));
            }
        }
        Ok(saved)
    }

    /// Takes saved state into a fresh merge.
    pub fn load(&mut self, saved: Vec<SavedPartial>) -> Result<(), Error> {
        for SavedPartial {
            tag: (first, second),
            partial,
        } in saved
        {
            match (&mut self.shape, second) {
                (Shape::Hop { published_until, .. }, COMPLETE) if partial.rows() == 0 => *published_until = first,
                (Shape::Hop { tree, .. }, COMPLETE) => tree.insert(first, partial)?,
                (Shape::Session(sessions), SESSIONS) => {
                    partial.batches().try_for_each(|rows| sessions.add(rows?))?;
                }
                (_, slot) if slot >= 0 => self.add(PanePartial {
                    pane: first,
                    slot: slot as usize,
                    partial,
                })?,
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

    /// The earliest waiting pane, in the order of slots, if it ends at or before `time`.
    fn next_complete(&mut self, time: i64) -> Option<(i64, Vec<Partial>)> {
        let (&(pane, _), _) = self.waiting.first_key_value()?;
        if pane.saturating_add(self.width) > time {
            return None;
        }
        let mut parts = Vec::new();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 == pane) {
            let partial = entry.remove();
            self.waiting_bytes -= partial.held();
            parts.push(partial);
        }
        Some((pane, parts))
    }

    /// Publishes hop windows that end at or before `time`.
    fn publish_hops(&mut self, time: i64, published: &mut Published, output: Output<'_>) -> Result<(), Error> {
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
            let parts = tree.window(last - *panes_in_window, last)?;
            let (publisher, mut empty) = (&self.publisher, true);
            merge(&self.grouping, &parts, |table| {
                empty = false;
                output(publisher.publish(table, window)?)
            })?;
            if !empty {
                published.add(end);
            }
            *published_until = end;
            tree.forget(last + 1 - *panes_in_window);
        }
        Ok(())
    }
}

/// Publishes the sessions that end at or before `time`.
fn publish_sessions(
    sessions: &mut Sessions,
    time: i64,
    publisher: &Publisher,
    published: &mut Published,
    output: Output<'_>,
) -> Result<(), Error> {
    let Some(rows) = sessions.publish(time, publisher)? else {
        return Ok(());
    };
    if let Some(window) = rows.window {
        published.add(window.end);
    }
    output(rows)
}
