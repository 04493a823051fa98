//! Which table and partition a window lies in, how long it is kept, and the time that it is written with.

use crate::retention::retention;
use crate::row::Row;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The tables of windows, shortest first.
pub(super) const TABLES: [&str; 4] = ["seconds", "minutes", "hours", "days"];

/// Clocks of machines differ by less.
const SKEW: i64 = 10 * MINUTE;

/// Place of the table for windows of a width.
pub(super) fn table(width: i64) -> usize {
    [MINUTE, HOUR, DAY].iter().filter(|bound| width >= **bound).count()
}

/// Length of a partition: bounds it to some hundred windows of the usual widths.
fn partition(width: i64) -> i64 {
    match table(width) {
        0 | 1 => DAY,
        2 => 8 * DAY,
        _ => 256 * DAY,
    }
}

/// The partition that a window lies in.
pub(super) fn day(width: i64, start: i64) -> i64 {
    let length = partition(width);
    start.div_euclid(length) * length
}

/// The partitions of a range, each with its part of the range.
pub(super) fn days(width: i64, from: i64, to: i64) -> impl Iterator<Item = (i64, i64, i64)> {
    let length = partition(width);
    let mut at = day(width, from);
    std::iter::from_fn(move || {
        let begin = at;
        at = at.saturating_add(length);
        (begin < to).then(|| (begin, begin.max(from), begin.saturating_add(length).min(to)))
    })
}

/// Length of the pieces in which known ranges are kept.
fn piece_length(width: i64) -> i64 {
    retention(width) / 8
}

/// The piece that a window belongs to.
pub(super) fn piece(width: i64, start: i64) -> i64 {
    let length = piece_length(width);
    start.div_euclid(length) * length
}

/// So many pieces make up what is kept.
pub(super) const PIECES: i32 = 12;

/// How long rows of a piece are there for sure, from before the first of them was written on, in ms.
pub(super) fn alive(width: i64) -> i64 {
    retention(width) + piece_length(width)
}

/// The time to live of a row, in seconds.
pub(super) fn ttl(width: i64) -> i32 {
    i32::try_from((alive(width) + SKEW) / SECOND).unwrap_or(i32::MAX)
}

/// The time to live of what is said about windows: the longest.
pub(super) fn longest() -> i32 {
    ttl(i64::MAX)
}

/// The time that a window's row is written with, in microseconds: the hour of its end, so that files of one time lie together, and
/// within it who wrote. The row of a pipeline goes before one that was rolled up here, a newer run's before an older one's.
pub(super) fn written(row: &Row, attempt: i64) -> i64 {
    let rank = if row.answer.is_some() { 2 } else { 1 };
    row.end.div_euclid(HOUR) * HOUR * 1000 + (rank << 30) + attempt.min((1 << 30) - 1)
}

/// The time that the newest window of a group is written with: the later end wins, of equal ones the shorter window.
pub(super) fn newest(row: &Row) -> i64 {
    let bits = i64::from(64 - row.width().leading_zeros());
    row.end * 1000 + 999 - bits
}

/// The time of something that one run alone writes: a newer run goes before all of an older one.
pub(super) fn in_turn(attempt: i64, turn: i64) -> i64 {
    (attempt.min((1 << 29) - 1) << 33) + turn.min((1 << 33) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(start: i64, width: i64, answer: bool) -> Row {
        Row {
            pipeline: "p".into(),
            version: 1,
            set: "*".into(),
            group: "*".into(),
            start,
            end: start + width,
            answer: answer.then(|| crate::Answer::empty(hitters_sketch::Measure::Count, 1, 1)),
            sketch: None,
        }
    }

    #[test]
    fn newer_runs_win_and_rows_of_pipelines_go_before_rolled_up_ones() {
        let of = |answer, attempt| written(&row(7 * HOUR, HOUR, answer), attempt);
        assert!(of(true, 2) > of(true, 1) && of(true, 1) > of(false, 1_000_000));
        assert!(of(true, i64::MAX) < written(&row(8 * HOUR, HOUR, false), 1));
        assert!(of(false, 1) / 3_600_000_000 == 8, "in the hour of its end");
        assert!(written(&row(-2 * HOUR, HOUR, true), 1) < 0);
        assert!(newest(&row(59 * MINUTE, MINUTE, true)) > newest(&row(0, HOUR, true)));
        assert!(newest(&row(HOUR, MINUTE, true)) > newest(&row(59 * MINUTE, MINUTE, true)));
        assert!(in_turn(2, 0) > in_turn(1, 1 << 40));
    }

    #[test]
    fn a_range_is_cut_at_partitions() {
        let cut: Vec<_> = days(HOUR, 7 * DAY, 17 * DAY).collect();
        assert_eq!(
            cut,
            [
                (0, 7 * DAY, 8 * DAY),
                (8 * DAY, 8 * DAY, 16 * DAY),
                (16 * DAY, 16 * DAY, 17 * DAY)
            ]
        );
        assert_eq!(days(MINUTE, -MINUTE, 0).collect::<Vec<_>>(), [(-DAY, -MINUTE, 0)]);
    }

    #[test]
    fn rows_outlive_what_is_said_of_them() {
        for width in [SECOND, MINUTE, HOUR, DAY, 28 * DAY] {
            assert!(i64::from(ttl(width)) * SECOND > alive(width));
            assert!(piece_length(width) * i64::from(PIECES - 2) >= alive(width));
        }
    }
}
