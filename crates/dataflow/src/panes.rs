//! The worker's half of a window: rows into panes.
//!
//! A pane is the smallest piece of event time that windows are put together from (a tumble's width, a hop's slide). A row
//! is aggregated once, into its pane, and never looked at again. Aggregates whose result depends on the order of rows keep
//! one state for each partition and pane, which later merge in the order of the partitions; the others keep one for the
//! worker. So the result does not depend on how partitions are spread over workers.
//!
//! Bound: state grows with open panes and groups, not with rows. Where there is a disk to spill to, the largest panes go there
//! when those of a worker outgrow its share of the memory.

use crate::Error;
use crate::batch::Batch;
use crate::frontier::START;
use crate::groups::{FrozenPartial, GroupTable, Grouping, Inputs};
use crate::spill::{Life, Partial, Spill, open};
use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use hitters_planner::window::Window;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// Start of the pane that a time is in. Panes are aligned to the epoch.
pub fn pane_start(time: i64, pane: i64) -> i64 {
    time.div_euclid(pane).saturating_mul(pane)
}

/// Width of the panes of a window, in nanoseconds.
///
/// Rows of one pane must always be in one session, so a session's panes must not be wider than its gap; an eighth of it
/// lets a session be published soon after its end.
pub fn pane_width(window: &Window) -> i64 {
    match *window {
        Window::Tumble { width } => width,
        Window::Hop { slide, .. } => slide,
        Window::Session { gap } => (gap / 8).max(1),
    }
}

/// The watermark at which every window with a row at `latest` is complete.
pub fn completion(window: &Window, latest: i64) -> i64 {
    if latest == START {
        return START;
    }
    let pane = pane_width(window);
    match *window {
        Window::Tumble { width } | Window::Hop { width, .. } => pane_start(latest, pane).saturating_add(width),
        Window::Session { gap } => pane_start(latest.saturating_add(gap), pane).saturating_add(pane),
    }
}

/// Rows that came too late, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// Late by the watermark of their own partition.
    pub late: u64,
    /// In time for their partition, but it had been silent, and the window was published without it.
    pub late_idle: u64,
}

/// The state of one pane as it leaves a worker, or is saved.
#[derive(Debug)]
pub struct PanePartial {
    /// Start of the pane.
    pub pane: i64,
    /// Place in the order in which partials of one pane merge.
    pub slot: usize,
    /// Groups and their states.
    pub partial: Partial,
}

/// A copy of the state of one open pane.
pub struct FrozenPane {
    /// Start of the pane.
    pub pane: i64,
    /// Place in the order in which partials of one pane merge.
    pub slot: usize,
    /// Groups and their states.
    pub groups: FrozenGroups,
}

/// A copy of groups, in memory or on disk.
pub enum FrozenGroups {
    /// In memory.
    Table(FrozenPartial),
    /// On disk.
    Spilled(open::FrozenPane),
}

impl FrozenGroups {
    /// The states of all groups, some at a time.
    pub fn each(self, mut each: impl FnMut(RecordBatch) -> Result<(), Error>) -> Result<(), Error> {
        match self {
            Self::Table(table) => each(table.into_partial()?),
            Self::Spilled(pane) => pane.each(each),
        }
    }
}

/// The groups of an open pane.
enum Groups {
    Table(GroupTable),
    Spilled(open::SpilledPane),
}

impl Groups {
    fn size(&self) -> usize {
        match self {
            Self::Table(table) => table.size(),
            Self::Spilled(pane) => pane.size(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Table(table) => table.len(),
            Self::Spilled(pane) => pane.groups(),
        }
    }
}

/// The open panes of one window node on one worker.
pub struct Panes {
    grouping: Arc<Grouping>,
    window: Window,
    width: i64,
    /// The one slot of commutative aggregates; otherwise the partition is the slot.
    worker_slot: Option<usize>,
    open: BTreeMap<(i64, usize), Groups>,
    closed_until: i64,
    spill: Option<Arc<Spill>>,
}

impl Panes {
    /// For worker number `worker`.
    pub fn new(window: Window, grouping: Arc<Grouping>, worker: usize) -> Self {
        let worker_slot = grouping.is_commutative().then_some(worker);
        let width = pane_width(&window);
        Self {
            grouping,
            window,
            width,
            worker_slot,
            open: BTreeMap::new(),
            closed_until: START,
            spill: None,
        }
    }

    /// From now on, panes can go there.
    pub fn spill_to(&mut self, spill: Arc<Spill>) {
        self.spill = Some(spill);
    }

    /// Writes the largest pane that is in memory to disk; false if there is none, or no disk.
    pub fn relieve(&mut self) -> Result<bool, Error> {
        let Some(spill) = &self.spill else { return Ok(false) };
        let tables = self.open.values_mut().filter_map(|groups| match groups {
            Groups::Table(table) if table.len() > 1 => Some((table.size(), groups)),
            _ => None,
        });
        let Some((_, largest)) = tables.max_by_key(|(size, _)| *size) else {
            return Ok(false);
        };
        if let Groups::Table(table) = largest {
            *largest = Groups::Spilled(open::SpilledPane::new(spill, &self.grouping, table)?);
        }
        Ok(true)
    }

    /// Bytes of the largest pane in memory that can be written to disk.
    pub fn largest(&self) -> usize {
        let tables = self.open.values().filter_map(|groups| match groups {
            Groups::Table(table) if table.len() > 1 => Some(table.size()),
            _ => None,
        });
        tables.max().unwrap_or(0)
    }

    /// The window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Adds rows of a partition; tells how many were too late.
    pub fn add(&mut self, batch: &Batch) -> Result<Late, Error> {
        let (late, kept) = self.drop_late(batch)?;
        let batch = kept.as_ref().unwrap_or(batch);
        if batch.times.is_empty() {
            return Ok(late);
        }
        let inputs = self.grouping.inputs(&batch.rows, Some(&batch.times))?;
        let times = batch.times.values();
        let slot = self.worker_slot.unwrap_or(batch.partition);
        let first = pane_start(times[0], self.width);
        let end = first.saturating_add(self.width);
        if times.iter().all(|time| (first..end).contains(time)) {
            self.add_to_pane(first, slot, &inputs)?;
        } else {
            let mut by_pane: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
            for (row, time) in times.iter().enumerate() {
                by_pane
                    .entry(pane_start(*time, self.width))
                    .or_default()
                    .push(row as u32);
            }
            for (pane, rows) in by_pane {
                self.add_to_pane(pane, slot, &inputs.take(&UInt32Array::from(rows))?)?;
            }
        }
        Ok(late)
    }

    /// Takes out every pane that ends at or before `until`. Rows for them count as late from now on.
    pub fn close(&mut self, until: i64) -> Result<Vec<PanePartial>, Error> {
        self.closed_until = self.closed_until.max(until);
        let mut closed = Vec::new();
        while let Some(entry) = self.open.first_entry() {
            let (pane, slot) = *entry.key();
            if pane.saturating_add(self.width) > until {
                break;
            }
            let partial = match entry.remove() {
                Groups::Spilled(pane) => pane.close()?,
                Groups::Table(mut table) => {
                    let size = table.size();
                    let mut partial = Partial::from(table.take_partial()?);
                    // Large ones do not wait for the final tier in memory.
                    if let Some(spill) = self.spill.as_ref().filter(|spill| size > spill.shares.closed / 8) {
                        partial.store(spill, &self.grouping, Life::Brief)?;
                    }
                    partial
                }
            };
            closed.push(PanePartial { pane, slot, partial });
        }
        Ok(closed)
    }

    /// A copy of the state.
    pub fn freeze(&mut self) -> Result<Vec<FrozenPane>, Error> {
        let freeze = |((pane, slot), groups): (&(i64, usize), &mut Groups)| {
            Ok(FrozenPane {
                pane: *pane,
                slot: *slot,
                groups: match groups {
                    Groups::Table(table) => FrozenGroups::Table(table.freeze()?),
                    Groups::Spilled(pane) => FrozenGroups::Spilled(pane.freeze()),
                },
            })
        };
        self.open.iter_mut().map(freeze).collect()
    }

    /// The same to look at: `None` if it is not all in memory, or has more groups than this.
    pub fn look(&mut self, most: usize) -> Result<Option<Vec<FrozenPane>>, Error> {
        let spilled = self.open.values().any(|groups| matches!(groups, Groups::Spilled(_)));
        if spilled || self.groups().1 > most {
            return Ok(None);
        }
        self.freeze().map(Some)
    }

    /// Adds a saved pane. One that is on disk stays there, unless another one had groups of the same pane.
    pub fn load(&mut self, saved: &PanePartial) -> Result<(), Error> {
        let slot = self.worker_slot.unwrap_or(saved.slot);
        if let (Some(spill), Some(runs)) = (&self.spill, saved.partial.runs()) {
            let stays = match self.open.entry((saved.pane, slot)) {
                Entry::Vacant(place) => {
                    place.insert(Groups::Spilled(open::SpilledPane::of(spill, &self.grouping, runs)));
                    true
                }
                Entry::Occupied(mut place) => match place.get_mut() {
                    Groups::Spilled(pane) => pane.append(runs),
                    Groups::Table(_) => false,
                },
            };
            if stays {
                return Ok(());
            }
        }
        for rows in saved.partial.batches() {
            match self.groups_of(saved.pane, slot)? {
                Groups::Table(table) => table.merge(&rows?)?,
                Groups::Spilled(pane) => pane.merge(&rows?)?,
            }
        }
        Ok(())
    }

    /// Panes up to this time were closed when the state was saved.
    pub fn load_closed(&mut self, until: i64) {
        self.closed_until = self.closed_until.max(until);
    }

    /// The time up to which panes are closed.
    pub fn closed_until(&self) -> i64 {
        self.closed_until
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.open.values().map(Groups::size).sum()
    }

    /// Open panes and groups in them, as far as they are known.
    pub fn groups(&self) -> (usize, usize) {
        (self.open.len(), self.open.values().map(Groups::len).sum())
    }

    fn groups_of(&mut self, pane: i64, slot: usize) -> Result<&mut Groups, Error> {
        Ok(match self.open.entry((pane, slot)) {
            Entry::Occupied(table) => table.into_mut(),
            Entry::Vacant(place) => place.insert(Groups::Table(GroupTable::new(self.grouping.clone())?)),
        })
    }

    fn add_to_pane(&mut self, pane: i64, slot: usize, inputs: &Inputs) -> Result<(), Error> {
        match self.groups_of(pane, slot)? {
            Groups::Table(table) => table.update(inputs),
            Groups::Spilled(pane) => pane.add(inputs),
        }
    }

    /// Counts late rows, and gives the others if there are late ones.
    ///
    /// A row is late when its pane had ended by its partition's watermark before it; a row for sessions, which have no
    /// fixed ends, when it lies before that watermark.
    fn drop_late(&self, batch: &Batch) -> Result<(Late, Option<Batch>), Error> {
        let times = batch.times.values();
        let after_closed = |time: &i64| pane_start(*time, self.width) >= self.closed_until;
        if batch.watermarks.is_none() && times.iter().all(after_closed) {
            return Ok((Late::default(), None));
        }
        let mut late = Late::default();
        let is_session = matches!(self.window, Window::Session { .. });
        let keep: BooleanArray = times
            .iter()
            .enumerate()
            .map(|(row, time)| {
                let end = pane_start(*time, self.width).saturating_add(self.width);
                let watermark = batch.watermarks.as_ref().map_or(START, |w| w.value(row));
                if end <= watermark || (is_session && *time < watermark) {
                    late.late += 1;
                } else if end <= self.closed_until {
                    late.late_idle += 1;
                } else {
                    return Some(true);
                }
                Some(false)
            })
            .collect();
        if late == Late::default() {
            Ok((late, None))
        } else {
            Ok((late, Some(batch.filter(&keep)?)))
        }
    }
}
