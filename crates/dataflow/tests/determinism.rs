//! The same log gives the same bytes, whatever the parallelism, the cuts of batches, the order of events between threads,
//! and the points where the run is saved and restored.

mod simulation;

use hitters_planner::window::Window;
use simulation::{Query, Random, Schedule, Troubles, log, run, run_over};

const SECOND: i64 = 1_000_000_000;

const WINDOWS: [Window; 3] = [
    Window::Tumble { width: 10 * SECOND },
    Window::Hop {
        slide: 5 * SECOND,
        width: 35 * SECOND,
    },
    Window::Session { gap: 2 * SECOND },
];

/// Checkpoints and restarts, and nothing else that goes wrong.
const RESTARTS: Troubles = Troubles {
    checkpoint_every: 20,
    crash_every: 2000,
    stop_every: 0,
    store_fault_every: 0,
    keep: 2,
};

fn compare(query: Query, seeds: std::ops::Range<u64>, troubles: Option<Troubles>) {
    for seed in seeds {
        let mut random = Random(seed);
        let partitions = 1 + random.below(8) as usize;
        let disorder = [1, SECOND as u64 / 2, 3 * SECOND as u64][random.below(3) as usize];
        let log = log(&mut random, partitions, 3000, 200, disorder, SECOND / 20);
        for window in WINDOWS {
            let plain = Schedule {
                workers: 1,
                seed: 0,
                longest: 1000,
                troubles: None,
            };
            let expected = run(window, query, &log, plain);
            for workers in [1, 2, 8] {
                let schedule = Schedule {
                    workers,
                    seed: seed ^ 0xABCD,
                    longest: 1 + random.below(300),
                    troubles,
                };
                let outcome = run(window, query, &log, schedule);
                assert_eq!(
                    outcome.late, expected.late,
                    "late rows of seed {seed}, {window}, {schedule:?}"
                );
                assert_eq!(
                    outcome.rows, expected.rows,
                    "rows of seed {seed}, {window}, {schedule:?}"
                );
            }
        }
    }
}

#[test]
fn exact_counts_do_not_depend_on_the_schedule() {
    compare(Query::CountByItem, 0..6, None);
}

#[test]
fn sketches_that_evict_do_not_depend_on_the_schedule() {
    compare(Query::Sketch, 10..16, None);
}

#[test]
fn small_sketches_by_group_do_not_depend_on_the_schedule() {
    compare(Query::SketchByItem, 20..24, None);
}

#[test]
fn saved_and_restored_in_mid_stream_equals_undisturbed() {
    compare(Query::CountByItem, 30..34, Some(RESTARTS));
    compare(Query::Sketch, 40..44, Some(RESTARTS));
    compare(Query::SketchByItem, 50..52, Some(RESTARTS));
}

#[test]
fn counts_equal_an_independent_count() {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int64Type, TimestampNanosecondType};
    use std::collections::BTreeMap;
    let mut random = Random(7);
    let log = log(&mut random, 4, 5000, 50, 1, SECOND / 20);
    for window in [WINDOWS[0], WINDOWS[1]] {
        let (slide, width) = match window {
            Window::Tumble { width } => (width, width),
            Window::Hop { slide, width } => (slide, width),
            Window::Session { gap } => (gap, gap),
        };
        let mut expected: BTreeMap<(i64, String), i64> = BTreeMap::new();
        for (time, item, _) in log.iter().flatten() {
            let mut start = time.div_euclid(slide) * slide;
            while start + width > *time {
                *expected.entry((start, item.clone())).or_default() += 1;
                start -= slide;
            }
        }
        let rows = run(
            window,
            Query::CountByItem,
            &log,
            Schedule {
                workers: 2,
                seed: 3,
                longest: 64,
                troubles: None,
            },
        )
        .rows;
        let items = rows.column(0).as_string_view();
        let starts = rows
            .column(1)
            .as_struct()
            .column(0)
            .as_primitive::<TimestampNanosecondType>()
            .clone();
        let counts = rows.column(2).as_primitive::<Int64Type>();
        let got: BTreeMap<(i64, String), i64> = (0..rows.num_rows())
            .map(|r| ((starts.value(r), items.value(r).to_string()), counts.value(r)))
            .collect();
        assert_eq!(got.len(), items.len(), "one row for each window and item");
        assert_eq!(got, expected, "{window}");
    }
}

#[test]
fn sessions_equal_an_independent_stitching() {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampNanosecondType};
    use std::collections::BTreeMap;
    let gap = 2 * SECOND;
    let mut random = Random(11);
    let log = log(&mut random, 3, 4000, 60, 1, SECOND / 10);
    let mut by_item: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    log.iter()
        .flatten()
        .for_each(|(time, item, _)| by_item.entry(item).or_default().push(*time));
    let mut expected = Vec::new();
    for (item, mut times) in by_item {
        times.sort_unstable();
        let mut at = 0;
        while at < times.len() {
            let start = at;
            while at + 1 < times.len() && times[at + 1] < times[at] + gap {
                at += 1;
            }
            expected.push((times[start], times[at] + gap, item.to_string(), (at - start + 1) as i64));
            at += 1;
        }
    }
    expected.sort();
    let rows = run(
        Window::Session { gap },
        Query::CountByItem,
        &log,
        Schedule {
            workers: 2,
            seed: 5,
            longest: 50,
            troubles: Some(RESTARTS),
        },
    )
    .rows;
    let window = rows.column(1).as_struct();
    let starts = window.column(0).as_primitive::<TimestampNanosecondType>();
    let ends = window.column(1).as_primitive::<TimestampNanosecondType>();
    let counts = rows.column(2).as_primitive::<Int64Type>();
    let mut got: Vec<_> = (0..rows.num_rows())
        .map(|r| {
            (
                starts.value(r),
                ends.value(r),
                rows.column(0).as_string_view().value(r).to_string(),
                counts.value(r),
            )
        })
        .collect();
    got.sort();
    assert_eq!(got, expected);
}

#[test]
fn a_log_that_has_grown_since_a_bounded_run_is_read_on() {
    // A pause of a minute: no window has rows of both parts.
    let mut random = Random(13);
    let first = log(&mut random, 3, 800, 60, 1, SECOND / 10);
    let mut second = log(&mut random, 3, 800, 60, 1, SECOND / 10);
    second.iter_mut().flatten().for_each(|row| row.0 += 140 * SECOND);
    let both: Vec<_> = first
        .iter()
        .zip(&second)
        .map(|(a, b)| [a.clone(), b.clone()].concat())
        .collect();
    for window in WINDOWS {
        for query in [Query::CountByItem, Query::Sketch] {
            let schedule = |troubles| Schedule {
                workers: 2,
                seed: 17,
                longest: 50,
                troubles,
            };
            let expected = run(window, query, &both, schedule(None));
            let grown = run_over(window, query, &[first.clone(), both.clone()], schedule(Some(RESTARTS)));
            assert_eq!(grown.late, 0);
            assert_eq!(grown.rows, expected.rows, "{window}, {query:?}");
        }
    }
}

#[test]
fn state_does_not_grow_with_rows() {
    let window = Window::Tumble {
        width: 1_000_000 * SECOND,
    };
    for query in [Query::CountByItem, Query::Sketch] {
        let schedule = Schedule {
            workers: 1,
            seed: 1,
            longest: 4096,
            troubles: None,
        };
        let state = |rows: usize| {
            // The same hundred items over and over.
            let rows = (0..rows)
                .map(|row| (row as i64, format!("item-{}", row % 100), 1))
                .collect();
            run(window, query, &vec![rows], schedule).largest_state
        };
        let (small, large) = (state(100_000), state(1_000_000));
        assert_eq!(
            small, large,
            "{query:?}: bytes of state after a hundred thousand and a million rows"
        );
    }
}
