//! How far event time has come: one watermark a partition, shared by all workers.
//!
//! Invariant: a partition's watermark never goes back, and every row after it that lies before it is late. The watermark
//! of a group of partitions is the minimum over those that are active; a silent partition is left out of it only after
//! everything in its log has been read, so that catching up over an uneven backlog makes no row late.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Before any row.
pub const START: i64 = i64::MIN;
/// After every row.
pub const END: i64 = i64::MAX;

const ACTIVE: u8 = 0;
const IDLE: u8 = 1;
const ENDED: u8 = 2;

/// The watermarks of all partitions of a dataflow.
///
/// Relaxed atomics are enough: each cell is written by one worker only, a reader that sees an old value closes a window a
/// moment later, and rows travel between threads through channels that order them.
pub struct Frontier {
    partitions: Vec<Cell>,
}

struct Cell {
    watermark: AtomicI64,
    latest: AtomicI64,
    status: AtomicU8,
    /// Rows came last, or silence began to count.
    since: AtomicU64,
    /// The end of the log was last seen, of a silent partition.
    seen: AtomicU64,
}

/// What the partitions of a group allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Windows that end at or before this time are complete.
    Until(i64),
    /// Every partition is silent since `quiet`: windows up to the latest event time may be closed after `idle_close`.
    Silent {
        /// Latest event time over all partitions.
        latest: i64,
        /// The moment of the last row, by the clock.
        since: Duration,
        /// The ends of all their logs have been seen where reading stands at this moment or later.
        seen: Duration,
    },
}

impl Frontier {
    /// For so many partitions, none of which has had a row.
    pub fn new(partitions: usize) -> Self {
        let cell = || Cell {
            watermark: AtomicI64::new(START),
            latest: AtomicI64::new(START),
            status: AtomicU8::new(ACTIVE),
            since: AtomicU64::new(0),
            seen: AtomicU64::new(0),
        };
        Self {
            partitions: (0..partitions).map(|_| cell()).collect(),
        }
    }

    /// Rows came: the partition is active, with this watermark after them.
    pub fn rows(&self, partition: usize, watermark: i64, latest: i64, now: Duration) {
        let cell = &self.partitions[partition];
        cell.watermark.fetch_max(watermark, Relaxed);
        cell.latest.fetch_max(latest, Relaxed);
        cell.since.store(now.as_nanos() as u64, Relaxed);
        cell.status.store(ACTIVE, Relaxed);
    }

    /// Nobody knows what stands in the log of the partition: it holds the others up until that is known.
    pub fn out_of_reach(&self, partition: usize, now: Duration) {
        let cell = &self.partitions[partition];
        cell.since.store(now.as_nanos() as u64, Relaxed);
        cell.status.store(ACTIVE, Relaxed);
    }

    /// The partition goes on from a saved state.
    pub fn restore(&self, partition: usize, watermark: i64, latest: i64) {
        let cell = &self.partitions[partition];
        cell.watermark.store(watermark, Relaxed);
        cell.latest.store(latest, Relaxed);
    }

    /// The partition is silent since a moment, and the end of its log was seen at a later one.
    pub fn idle(&self, partition: usize, since: Duration, seen: Duration) {
        let cell = &self.partitions[partition];
        cell.since.store(since.as_nanos() as u64, Relaxed);
        cell.seen.store(seen.as_nanos() as u64, Relaxed);
        cell.status.store(IDLE, Relaxed);
    }

    /// The partition has no more rows.
    pub fn end(&self, partition: usize) {
        self.partitions[partition].status.store(ENDED, Relaxed);
    }

    /// One partition's watermark.
    pub fn watermark(&self, partition: usize) -> i64 {
        self.partitions[partition].watermark.load(Relaxed)
    }

    /// One partition's latest event time.
    pub fn latest(&self, partition: usize) -> i64 {
        self.partitions[partition].latest.load(Relaxed)
    }

    /// What a group of partitions allows to close.
    pub fn progress(&self, partitions: &[usize]) -> Progress {
        let mut until = END;
        let mut silent = false;
        let mut active = false;
        let (mut latest, mut since, mut seen) = (START, 0, u64::MAX);
        for cell in partitions.iter().map(|p| &self.partitions[*p]) {
            match cell.status.load(Relaxed) {
                ACTIVE => {
                    active = true;
                    until = until.min(cell.watermark.load(Relaxed));
                }
                IDLE => {
                    silent = true;
                    seen = seen.min(cell.seen.load(Relaxed));
                }
                _ => {}
            }
            latest = latest.max(cell.latest.load(Relaxed));
            since = since.max(cell.since.load(Relaxed));
        }
        if silent && !active {
            Progress::Silent {
                latest,
                since: Duration::from_nanos(since),
                seen: Duration::from_nanos(seen),
            }
        } else {
            Progress::Until(until)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_active_partition_holds_the_watermark() {
        let frontier = Frontier::new(3);
        frontier.rows(0, 50, 60, Duration::ZERO);
        assert_eq!(frontier.progress(&[0, 1]), Progress::Until(START));
        frontier.rows(1, 20, 30, Duration::ZERO);
        assert_eq!(frontier.progress(&[0, 1]), Progress::Until(20));
        let second = Duration::from_secs(1);
        frontier.idle(1, Duration::ZERO, second);
        assert_eq!(frontier.progress(&[0, 1]), Progress::Until(50));
        frontier.out_of_reach(1, second);
        assert_eq!(frontier.progress(&[0, 1]), Progress::Until(20));
        frontier.idle(1, second, 2 * second);
        assert_eq!(frontier.progress(&[0, 1]), Progress::Until(50));
        frontier.rows(1, 10, 15, Duration::ZERO);
        assert_eq!(
            frontier.progress(&[0, 1]),
            Progress::Until(20),
            "a watermark never goes back"
        );
    }

    #[test]
    fn all_silent_is_told_apart_from_all_ended() {
        let frontier = Frontier::new(2);
        let second = Duration::from_secs(1);
        frontier.rows(0, 5, 7, second);
        frontier.idle(0, second, 3 * second);
        frontier.end(1);
        assert_eq!(
            frontier.progress(&[0, 1]),
            Progress::Silent {
                latest: 7,
                since: second,
                seen: 3 * second,
            }
        );
        frontier.end(0);
        assert_eq!(frontier.progress(&[0, 1]), Progress::Until(END));
    }
}
