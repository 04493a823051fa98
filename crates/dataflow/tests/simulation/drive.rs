//! Runs one after the other until the log is read.

use super::life::{Did, Life, Spilling, World};
use super::outside::Outside;
use super::store::Memory;
use super::{Log, Query, Random, plan};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use hitters_dataflow::Error;
use hitters_planner::window::Window;
use std::sync::Arc;

/// How a log is read.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub workers: usize,
    pub seed: u64,
    /// Rows of a batch, at most.
    pub longest: u64,
    /// What goes wrong; without, there are no checkpoints either.
    pub troubles: Option<Troubles>,
}

/// What goes wrong, each about once in so many steps (or calls of the store); 0: never.
#[derive(Clone, Copy, Debug)]
pub struct Troubles {
    pub checkpoint_every: u64,
    pub crash_every: u64,
    pub stop_every: u64,
    pub store_fault_every: u64,
    pub keep: usize,
}

/// What came out.
pub struct Outcome {
    /// What was published exactly once.
    pub rows: RecordBatch,
    /// Late rows, over all runs.
    pub late: u64,
    pub largest_state: usize,
    /// Runs that it took, and among them those that ended in good order.
    pub runs: u64,
    pub stops: u64,
    /// Checkpoints that were stored, and that failed.
    pub checkpoints: (u64, u64),
    /// Dead runs that were seen moving.
    pub zombies: u64,
}

/// Says which schedule failed, however it did.
struct Telling<'t>(&'t str);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed: {}", self.0);
        }
    }
}

/// Reads a log to its end.
pub fn run(window: Window, query: Query, log: &Log, schedule: Schedule) -> Outcome {
    run_over(window, query, std::slice::from_ref(log), schedule)
}

/// Reads a log that has grown each time it was read to its end; each is the one before, and more.
pub fn run_over(window: Window, query: Query, logs: &[Log], schedule: Schedule) -> Outcome {
    run_spilling(window, query, logs, schedule, None)
}

/// The same by runs that spill, each to a store of its own.
pub fn run_spilling(
    window: Window,
    query: Query,
    logs: &[Log],
    schedule: Schedule,
    spill: Option<Spilling>,
) -> Outcome {
    let what = format!("{window}, {query:?}, {schedule:?}");
    let _telling = Telling(&what);
    let (outside, store) = (Outside::default(), Arc::<Memory>::default());
    let mut drive = Drive {
        random: Random(schedule.seed),
        schedule,
        outcome: Outcome {
            rows: RecordBatch::new_empty(plan(window, query).nodes[2].schema.clone()),
            late: 0,
            largest_state: 0,
            runs: 0,
            stops: 0,
            checkpoints: (0, 0),
            zombies: 0,
        },
        zombies: Vec::new(),
    };
    if let Some(every) = schedule
        .troubles
        .map(|t| t.store_fault_every)
        .filter(|every| *every > 0)
    {
        store.trouble(schedule.seed ^ 0x5EED, every);
    }
    for log in logs {
        let world = World {
            window,
            query,
            log: Arc::new(log.clone()),
            longest: schedule.longest,
            outside: outside.clone(),
            store: store.clone(),
            spill: spill.clone(),
        };
        while !drive.live(&world) {}
        drive.zombies.clear();
    }
    let mut outcome = drive.outcome;
    let seen = outside.seen();
    let schema = outcome.rows.schema();
    outcome.rows = concat_batches(&schema, seen.published.iter()).unwrap();
    // What was seen at once is the same rows in the same order, also what was seen before a crash.
    let shown = concat_batches(&schema, seen.shown.iter()).unwrap();
    assert_eq!(shown, outcome.rows, "rows that were seen at once");
    for (place, row) in &seen.again {
        assert_eq!(
            *row,
            outcome.rows.slice(*place, 1),
            "row {place}, before and after a crash"
        );
    }
    outcome
}

struct Drive {
    random: Random,
    schedule: Schedule,
    outcome: Outcome,
    /// Runs that were given up, but may move.
    zombies: Vec<Life>,
}

impl Drive {
    fn happens(&mut self, every: u64) -> bool {
        every > 0 && self.random.below(every) == 0
    }

    /// One run; true if it read the log to its end.
    fn live(&mut self, world: &World) -> bool {
        let partitions = world.log.len();
        let workers = match self.outcome.runs {
            0 => self.schedule.workers.min(partitions),
            _ => 1 + self.random.below(partitions as u64) as usize,
        };
        self.outcome.runs += 1;
        assert!(self.outcome.runs < 100_000, "it does not come to an end");
        let troubles = self.schedule.troubles;
        let keep = troubles.map(|troubles| troubles.keep);
        let (zombies, moves) = (&mut self.zombies, &mut self.outcome.zombies);
        let started = world.start(&mut self.random, workers, keep, |random| {
            // The store does not tell whose call died: then the start did, which it may at any time.
            for _ in 0..random.below(6) {
                haunt(zombies, random);
                *moves += 1;
            }
        });
        let dead = world.store.died();
        let mut life = match started {
            Ok(life) if !dead => life,
            Ok(_) | Err(Error::Checkpoint(_)) => return false,
            Err(error) => panic!("a run does not start: {error}"),
        };
        loop {
            let did = life.step(&mut self.random);
            self.outcome.largest_state = self.outcome.largest_state.max(life.largest);
            if world.store.died() {
                // A process that died does not move again.
                return self.over(&life, false);
            }
            match did {
                Ok(Did::All) => {
                    self.outcome.late = life.late();
                    return self.over(&life, !life.stopping);
                }
                Ok(Did::Something | Did::Stored) => {}
                // The last checkpoint could not be stored.
                Err(Error::Checkpoint(_)) => return self.over(&life, false),
                Err(error) => panic!("a run fails: {error}"),
            }
            let Some(troubles) = troubles else { continue };
            if self.happens(troubles.checkpoint_every) {
                life.ask();
            }
            if self.happens(troubles.stop_every) && !life.stopping {
                life.stopping = true;
                self.outcome.stops += 1;
            }
            if self.happens(troubles.crash_every) {
                self.over(&life, false);
                if self.random.below(2) == 0 {
                    self.zombies.push(life);
                }
                return false;
            }
            if !self.zombies.is_empty() && self.random.below(4) == 0 {
                haunt(&mut self.zombies, &mut self.random);
                self.outcome.zombies += 1;
                if world.store.died() {
                    // Which of them it was does not matter.
                    self.zombies.pop();
                }
            }
        }
    }

    fn over(&mut self, life: &Life, whole: bool) -> bool {
        let (stored, failed) = life.checkpoints();
        self.outcome.checkpoints.0 += stored;
        self.outcome.checkpoints.1 += failed;
        whole
    }
}

/// A run that was taken over moves: it must neither store anything nor show anything.
fn haunt(zombies: &mut Vec<Life>, random: &mut Random) {
    if zombies.is_empty() {
        return;
    }
    let which = random.below(zombies.len() as u64) as usize;
    zombies[which].ask();
    match zombies[which].step(random) {
        Ok(Did::Something) => {}
        Ok(Did::Stored) => panic!("a run that was taken over stored a checkpoint"),
        Ok(Did::All) => panic!("a run that was taken over came to a good end"),
        Err(_) => {
            zombies.swap_remove(which);
        }
    }
}
