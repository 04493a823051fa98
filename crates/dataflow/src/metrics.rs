//! What a running dataflow counts, for people and for tests.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Closings of windows that are remembered.
const CLOSINGS: usize = 1024;

/// What a dataflow, or a part of it, has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records read, bad ones included.
    pub records: u64,
    /// Their bytes before decoding.
    pub bytes: u64,
    /// Records dropped as bad.
    pub bad: u64,
    /// Rows dropped as late by their partition's own watermark.
    pub late: u64,
    /// Rows that came after their window was published because their partition had been silent.
    pub late_idle: u64,
    /// Rows given to sinks.
    pub rows_out: u64,
    /// Windows published.
    pub windows: u64,
}

impl Counts {
    /// The sum.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
            bad: self.bad + other.bad,
            late: self.late + other.late,
            late_idle: self.late_idle + other.late_idle,
            rows_out: self.rows_out + other.rows_out,
            windows: self.windows + other.windows,
        }
    }
}

/// Counters of a dataflow since the start of the run, written by its threads, read by anyone.
#[derive(Debug)]
pub struct Metrics {
    /// Records read, bad ones included.
    pub records: AtomicU64,
    /// Their bytes before decoding.
    pub bytes: AtomicU64,
    /// Records dropped as bad.
    pub bad: AtomicU64,
    /// Rows that a window dropped as late by their partition's own watermark.
    pub late: AtomicU64,
    /// Rows that came after their window was published because their partition had been silent.
    pub late_idle: AtomicU64,
    /// Rows given to sinks.
    pub rows_out: AtomicU64,
    /// Windows published.
    pub windows: AtomicU64,
    /// Event time up to which the last published window is complete, nanoseconds; `i64::MIN` before the first.
    pub complete_until: AtomicI64,
    /// Bytes of state: one cell a worker, the last one for the final tier.
    pub(crate) state: Vec<AtomicUsize>,
    /// The most bytes of state seen at once.
    pub peak_state: AtomicUsize,
    /// Bytes of state on disk, where state can spill.
    pub disk: AtomicU64,
    /// The most bytes on disk seen at once.
    pub peak_disk: AtomicU64,
    /// How long the last closings of windows took that published some, in microseconds: merging, steps behind, sinks.
    closings: Mutex<VecDeque<u32>>,
    /// Progress by partition.
    pub partitions: Vec<PartitionMetrics>,
    /// Panes and groups open at the last look, by worker.
    pub(crate) open: Vec<Mutex<(usize, usize)>>,
    /// What earlier runs counted up to the checkpoint that this one goes on from.
    pub before: Counts,
    /// The last durable checkpoint: its number; 0 before the first.
    pub checkpoint: AtomicU64,
    /// When it was stored, in seconds since the epoch; 0 before the first of this run.
    pub checkpoint_stored: AtomicU64,
    /// Durable checkpoints of this run.
    pub checkpoints: AtomicU64,
    /// Checkpoints of this run that could not be stored.
    pub checkpoints_failed: AtomicU64,
    /// Longest time that a checkpoint held up a worker or the final tier, in microseconds.
    pub longest_pause: AtomicU64,
    /// Bytes that the last checkpoint uploaded.
    pub checkpoint_bytes: AtomicU64,
}

/// Progress of one partition of a source.
#[derive(Debug)]
pub struct PartitionMetrics {
    /// Name of the table.
    pub table: String,
    /// Number within the source.
    pub number: i32,
    /// Records that were there at the start, if known.
    pub expected: Option<u64>,
    /// Records read.
    pub records: AtomicU64,
    /// Where reading goes on; -1 before the first row.
    pub position: AtomicI64,
    /// Latest event time, nanoseconds.
    pub latest: AtomicI64,
    /// True while it is read up to the end of its log.
    pub caught_up: AtomicBool,
}

impl PartitionMetrics {
    /// Of a partition that has not been read yet.
    pub fn new(table: String, number: i32, expected: Option<u64>) -> Self {
        let (records, position, latest) = (AtomicU64::new(0), AtomicI64::new(-1), AtomicI64::new(i64::MIN));
        Self {
            table,
            number,
            expected,
            records,
            position,
            latest,
            caught_up: AtomicBool::new(false),
        }
    }
}

impl Metrics {
    /// For so many workers.
    pub fn new(workers: usize, partitions: Vec<PartitionMetrics>) -> Self {
        Self {
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            late: AtomicU64::new(0),
            late_idle: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            windows: AtomicU64::new(0),
            complete_until: AtomicI64::new(i64::MIN),
            state: (0..=workers).map(|_| AtomicUsize::new(0)).collect(),
            peak_state: AtomicUsize::new(0),
            disk: AtomicU64::new(0),
            peak_disk: AtomicU64::new(0),
            closings: Mutex::new(VecDeque::new()),
            partitions,
            open: (0..workers).map(|_| Mutex::new((0, 0))).collect(),
            before: Counts::default(),
            checkpoint: AtomicU64::new(0),
            checkpoint_stored: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
            checkpoints_failed: AtomicU64::new(0),
            longest_pause: AtomicU64::new(0),
            checkpoint_bytes: AtomicU64::new(0),
        }
    }

    /// Whether every partition is read up to the end of its log.
    pub fn caught_up(&self) -> bool {
        self.partitions
            .iter()
            .all(|partition| partition.caught_up.load(Relaxed))
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.open.len()
    }

    /// What was counted since the state began: earlier runs up to their checkpoint, and this one.
    pub fn counts(&self) -> Counts {
        self.before.plus(&Counts {
            records: self.records.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            bad: self.bad.load(Relaxed),
            late: self.late.load(Relaxed),
            late_idle: self.late_idle.load(Relaxed),
            rows_out: self.rows_out.load(Relaxed),
            windows: self.windows.load(Relaxed),
        })
    }

    /// Bytes of state held now.
    pub fn state_bytes(&self) -> usize {
        self.state.iter().map(|cell| cell.load(Relaxed)).sum()
    }

    /// Share of the expected records that were read, if all partitions know theirs.
    pub fn progress(&self) -> Option<f64> {
        let expected: u64 = self.partitions.iter().map(|p| p.expected).sum::<Option<u64>>()?;
        let records: u64 = self.partitions.iter().map(|p| p.records.load(Relaxed)).sum();
        (expected > 0).then(|| (records as f64 / expected as f64).min(1.0))
    }

    /// The median and the longest of the last closings of windows that published some; `None` before the first.
    pub fn closings(&self) -> Option<(Duration, Duration)> {
        let mut all: Vec<u32> = self.closings.lock().ok()?.iter().copied().collect();
        all.sort_unstable();
        let time = |micros: &u32| Duration::from_micros(u64::from(*micros));
        Some((all.get(all.len() / 2).map(time)?, all.last().map(time)?))
    }

    /// Notes that a closing took so long.
    pub(crate) fn note_closing(&self, took: Duration) {
        if let Ok(mut closings) = self.closings.lock() {
            if closings.len() >= CLOSINGS {
                closings.pop_front();
            }
            closings.push_back(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// Notes the bytes that are on disk.
    pub(crate) fn note_disk(&self, bytes: u64) {
        self.disk.store(bytes, Relaxed);
        self.peak_disk.fetch_max(bytes, Relaxed);
    }

    /// Notes the state of one cell and gives the bytes of all.
    pub(crate) fn note_state(&self, cell: usize, bytes: usize) -> usize {
        self.state[cell].store(bytes, Relaxed);
        let all = self.state_bytes();
        self.peak_state.fetch_max(all, Relaxed);
        all
    }
}
