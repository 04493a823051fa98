//! Thousands of ways to go wrong, and one answer: crashes at any step, orderly stops, calls of the store that fail or whose answer
//! is lost, torn manifests, and dead runs that move again. Every row is published exactly once, what was seen before a crash
//! comes again in the same bytes, and a run that was taken over stores and shows nothing.
//!
//! Half of the schedules have runs that spill state to a store and others that do not, one after the other on the same
//! checkpoints.
//!
//! SCHEDULES sets their number (`make test-simulation`: thousands), SCHEDULE_SEED the first of their seeds: with SCHEDULES=1 it
//! replays a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod simulation;

use hitters_dataflow::spill::{MemoryStore, Shares, Spill};
use hitters_planner::window::Window;
use simulation::{Query, Random, Schedule, Spilling, Troubles, log, run, run_spilling};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

const SECOND: i64 = 1_000_000_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

/// Runs of which every second spills, with so little memory that all that can go does.
fn spilling(stores: &Arc<Mutex<Vec<MemoryStore>>>) -> Spilling {
    let stores = stores.clone();
    Arc::new(move |random: &mut Random| {
        if random.below(2) == 0 {
            return None;
        }
        let store = MemoryStore::default();
        let size = |random: &mut Random, most: u64| random.below(most) as usize;
        let shares = Shares {
            open: size(random, 20_000),
            closed: size(random, 20_000),
            block: 1 + size(random, 2_000),
            range: 1 + size(random, 4_000),
        };
        stores.lock().unwrap().push(store.clone());
        Some(Spill::new(Box::new(store), shares))
    })
}

#[test]
fn every_schedule_gives_the_same_rows_exactly_once() {
    let (first, count) = (setting("SCHEDULE_SEED", 1000), setting("SCHEDULES", 250));
    let (mut runs, mut stops, mut zombies, mut stored, mut failed, mut rows) = (0, 0, 0, 0, 0, 0);
    let blocks = AtomicU64::new(0);
    for seed in first..first + count {
        let mut random = Random(seed);
        let window = match random.below(3) {
            0 => Window::Tumble { width: 5 * SECOND },
            1 => Window::Hop {
                slide: 2 * SECOND,
                width: 14 * SECOND,
            },
            _ => Window::Session { gap: 2 * SECOND },
        };
        let query = [Query::CountByItem, Query::Sketch, Query::SketchByItem][random.below(3) as usize];
        let partitions = 1 + random.below(5) as usize;
        let length = 100 + random.below(500) as usize;
        let disorder = [1, SECOND as u64, 3 * SECOND as u64][random.below(3) as usize];
        let log = log(&mut random, partitions, length, 60, disorder, SECOND / 10);
        let plain = Schedule {
            workers: 1,
            seed,
            longest: 1000,
            troubles: None,
        };
        let expected = run(window, query, &log, plain);
        let one_of = |random: &mut Random, choices: &[u64]| choices[random.below(choices.len() as u64) as usize];
        let schedule = Schedule {
            workers: 1 + random.below(4) as usize,
            seed,
            longest: 1 + one_of(&mut random, &[3, 20, 60]),
            troubles: Some(Troubles {
                checkpoint_every: one_of(&mut random, &[5, 20, 60]),
                crash_every: one_of(&mut random, &[0, 60, 150, 400]),
                stop_every: one_of(&mut random, &[0, 200, 600]),
                store_fault_every: one_of(&mut random, &[0, 15, 40, 100]),
                keep: 1 + random.below(3) as usize,
            }),
        };
        let outcome = if seed.is_multiple_of(2) {
            run(window, query, &log, schedule)
        } else {
            let stores = Arc::default();
            let outcome = run_spilling(
                window,
                query,
                std::slice::from_ref(&log),
                schedule,
                Some(spilling(&stores)),
            );
            for store in stores.lock().unwrap().iter() {
                assert_eq!(store.blocks(), 0, "blocks that nobody deleted, seed {seed}");
                blocks.fetch_add(store.puts(), Relaxed);
            }
            outcome
        };
        assert_eq!(
            outcome.late, expected.late,
            "late rows of seed {seed}: {window}, {query:?}, {schedule:?}"
        );
        assert_eq!(
            outcome.rows, expected.rows,
            "rows of seed {seed}: {window}, {query:?}, {schedule:?}"
        );
        runs += outcome.runs;
        stops += outcome.stops;
        zombies += outcome.zombies;
        stored += outcome.checkpoints.0;
        failed += outcome.checkpoints.1;
        rows += outcome.rows.num_rows();
    }
    println!(
        "{count} schedules from seed {first}: {runs} runs, {stops} stopped in order, {stored} checkpoints and {failed} that failed, \
         {zombies} steps of runs that were taken over; {} blocks of state spilled; {rows} rows compared",
        blocks.load(Relaxed)
    );
    if count >= 100 {
        // The troubles happen: a test without them would hold nothing.
        assert!(runs > 2 * count && stops > count / 10 && zombies > count && stored > count && failed > count / 10);
        assert!(blocks.load(Relaxed) > 10 * count);
    }
}
