//! The loop: reads, writes, keeps the position; from time to time says what is known, and rolls up.
//!
//! A window is known when the topic was read to an end that was looked at after its first rows had come and had had time to have
//! company: rows of one window lie in several partitions, and become visible there one after the other.

use super::batch::Batch;
use super::patience::{Patience, Undone};
use super::target::Target;
use super::{Archive, Log};
use crate::cli::Missing;
use crate::failure::Failure;
use crate::show::thousands;
use hitters_connectors::{MissingOffsets, Reporter, Tail};
use hitters_results::{History, RollUp};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Write, stderr, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long services may take to answer at the start.
const START: Duration = Duration::from_secs(30);
/// How long to wait for records.
const WAIT: Duration = Duration::from_millis(100);
/// How often to say how far it is.
const REPORT: Duration = Duration::from_secs(10);

/// Runs until it is stopped, or the topic is read.
pub fn run(arguments: &Archive, target: &Target, log: &Log, quiet: bool) -> Result<(), Failure> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = stopped.clone();
    ctrlc::set_handler(move || flag.store(true, Relaxed))
        .map_err(|error| Failure::Run(format!("cannot watch for signals: {error}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_name("archive")
        .build()
        .map_err(|error| Failure::Run(format!("cannot start: {error}")))?;
    let patience = Patience::new(stopped.clone(), quiet);
    let prepare = || runtime.block_on(target.prepare());
    patience.at_most(START).wait(prepare).map_err(failed)?;
    let reporter = if quiet {
        Reporter::new(|_| ())
    } else {
        Reporter::default()
    };
    loop {
        let tail = Tail::open(&log.servers, &log.settings, &log.topic, START, &reporter).map_err(Failure::Run)?;
        let mut work = Work {
            arguments,
            target,
            log,
            quiet,
            stopped: stopped.clone(),
            runtime: &runtime,
            patience: patience.clone(),
            writer: writer(target, false).map_err(failed)?,
            tail,
            batch: Batch::new(arguments.compact.map(usize::from)),
            rolled: RollUp::default(),
            kept: BTreeMap::new(),
            ends: BTreeMap::new(),
            round: Round::Waiting(Instant::now()),
            done: Done::default(),
            begun: Instant::now(),
        };
        let (begun, ended) = match work.begin() {
            Ok(()) => (true, work.follow()),
            failed => (false, failed),
        };
        if let Err(Undone::Lost(message)) = ended {
            work.say(&format!("{message}: beginning anew"));
            continue;
        }
        if begun {
            work.summary()?;
        }
        return ended.map_err(failed);
    }
}

fn writer(target: &Target, anew: bool) -> Result<Box<dyn History>, Undone> {
    target.writer(anew).map_err(|error| Undone::Failed(error.to_string()))
}

fn failed(undone: Undone) -> Failure {
    match undone {
        Undone::Stopped => Failure::Stopped,
        Undone::Failed(message) | Undone::Lost(message) => Failure::Run(message),
    }
}

/// Where the way from seen to known is.
enum Round {
    /// What was seen by then is frozen; others of its windows may still come.
    Waiting(Instant),
    /// The topic has to be read up to here.
    Reading(BTreeMap<i32, i64>),
}

/// What was done.
#[derive(Default)]
struct Done {
    records: u64,
    rows: u64,
    rolled_up: u64,
}

struct Work<'a> {
    arguments: &'a Archive,
    target: &'a Target,
    log: &'a Log,
    quiet: bool,
    stopped: Arc<AtomicBool>,
    runtime: &'a Runtime,
    patience: Patience,
    writer: Box<dyn History>,
    tail: Tail,
    batch: Batch,
    rolled: RollUp,
    /// The positions that are kept.
    kept: BTreeMap<i32, i64>,
    /// Where the topic ended when it was looked at last.
    ends: BTreeMap<i32, i64>,
    round: Round,
    done: Done,
    begun: Instant,
}

impl Work<'_> {
    /// Goes to where the last run was.
    fn begin(&mut self) -> Result<(), Undone> {
        let topic = &self.log.topic;
        let at_start = self.patience.at_most(START);
        let ask = || self.runtime.block_on(self.writer.positions(topic));
        self.kept = at_start.wait(ask)?;
        let positions = if self.arguments.again {
            BTreeMap::new()
        } else {
            self.kept.clone()
        };
        let missing = match self.arguments.missing_offsets {
            Missing::Fail => MissingOffsets::Fail,
            Missing::Earliest => MissingOffsets::Earliest,
        };
        let begin = self.tail.begin(&positions, missing).map_err(Undone::Failed)?;
        if !begin.lost.is_empty() {
            self.say(&format!(
                "records of partitions {:?} of topic '{topic}' were deleted before they were archived: what was known before is \
                 unknown from now on",
                begin.lost
            ));
            self.writer = writer(self.target, true)?;
        }
        self.batch.cut(begin.cut.into_iter().chain(begin.lost));
        // What a run before this one could not finish.
        let ask = || self.runtime.block_on(self.writer.resume(topic));
        for scope in at_start.wait(ask)? {
            self.rolled.resume(scope);
        }
        self.ends = self.tail.ends().map_err(Undone::Failed)?;
        let left = self.behind();
        self.say(&format!(
            "archiving {topic} at {} to {}: {} records to read",
            self.log.servers,
            self.writer.place(),
            thousands(left.into())
        ));
        Ok(())
    }

    fn follow(&mut self) -> Result<(), Undone> {
        let target = self.ends.clone();
        let (mut closing, mut reported) = (false, Instant::now());
        loop {
            if self.stopped.load(Relaxed) {
                self.flush()?;
                self.say("stopped: what was read is written");
                return Err(Undone::Stopped);
            }
            let (batch, topic, bad) = (&mut self.batch, &self.log.topic, self.arguments.bad_rows);
            let records = self.tail.poll(WAIT, |record| batch.take(record, topic, bad));
            let records = records.map_err(Undone::Failed)?;
            self.done.records += records as u64;
            if self.batch.waits() && self.tail.has_reached(&target) {
                self.batch.wait_no_more();
            }
            // Where the cut partitions begin has to be known first, if it can be had.
            let ready = self.batch.is_full() || records == 0 && !self.batch.waits();
            if ready {
                self.flush()?;
            }
            if self.arguments.once && !closing && self.batch.is_empty() && self.tail.has_reached(&target) {
                closing = true;
                self.freeze();
            }
            let settled = self.look()?;
            if settled && closing {
                return Ok(());
            }
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                self.progress();
            }
        }
    }

    /// Writes what was read, then keeps the position behind it.
    fn flush(&mut self) -> Result<(), Undone> {
        let rows = self.batch.rows();
        if !rows.is_empty() {
            let partial = self.batch.partial_until();
            let write = || self.runtime.block_on(self.writer.put(rows, partial));
            self.patience.wait(write)?;
            if self.writer.archive().is_some() {
                self.rolled.wrote(rows);
            }
            self.done.rows += rows.len() as u64;
            self.batch.clear();
            // Rows that came late for hours that are made: before their position is kept, or a crash would forget them.
            self.roll_up()?;
        }
        let positions = self.tail.positions();
        if positions != self.kept {
            self.patience.wait(|| self.runtime.block_on(self.writer.hold()))?;
            let keep = || self.runtime.block_on(self.writer.advance(&self.log.topic, &positions));
            self.patience.wait(keep)?;
            self.kept = positions;
        }
        Ok(())
    }

    fn freeze(&mut self) {
        self.runtime.block_on(self.writer.freeze());
        self.round = Round::Waiting(Instant::now());
    }

    /// Goes on from seen to known; says whether that was done.
    fn look(&mut self) -> Result<bool, Undone> {
        match &self.round {
            Round::Waiting(since) if since.elapsed() < self.arguments.settle => Ok(false),
            Round::Waiting(_) => {
                // While the brokers are away there is nothing to wait for; the client speaks of it.
                if let Ok(ends) = self.tail.ends() {
                    self.ends = ends.clone();
                    self.round = Round::Reading(ends);
                }
                Ok(false)
            }
            Round::Reading(ends) if !self.batch.is_empty() || !self.tail.has_reached(ends) => Ok(false),
            Round::Reading(_) => {
                self.flush()?;
                self.patience.wait(|| self.runtime.block_on(self.writer.settle()))?;
                self.roll_up()?;
                self.freeze();
                Ok(true)
            }
        }
    }

    fn roll_up(&mut self) -> Result<(), Undone> {
        let Some(archive) = self.writer.archive().filter(|_| !self.arguments.no_roll_up) else {
            return Ok(());
        };
        let (runtime, rolled) = (self.runtime, &mut self.rolled);
        let rows = self.patience.wait(|| runtime.block_on(rolled.run(archive)))?;
        self.done.rolled_up += rows as u64;
        Ok(())
    }

    /// Records that are not read yet, as far as is known.
    fn behind(&self) -> u64 {
        let positions = self.tail.positions();
        let left = |(partition, end): (&i32, &i64)| {
            let next = positions.get(partition).copied().unwrap_or_default();
            u64::try_from(end - next).unwrap_or(0)
        };
        self.ends.iter().map(left).sum()
    }

    fn progress(&self) {
        let rate = self.done.rows as f64 / self.begun.elapsed().as_secs_f64().max(1e-3);
        self.say(&format!(
            "{}: {} rows archived ({}/s), {} rolled up, {} records behind",
            self.log.topic,
            thousands(self.done.rows.into()),
            thousands(rate as u128),
            thousands(self.done.rolled_up.into()),
            thousands(self.behind().into())
        ));
    }

    fn summary(&self) -> Result<(), Failure> {
        self.progress();
        if self.arguments.json {
            let summary = json!({
                "topic": self.log.topic, "records": self.done.records, "rows": self.done.rows,
                "repeated": self.batch.repeated, "skipped": self.batch.skipped, "rolled_up": self.done.rolled_up,
                "behind": self.behind(), "positions": self.kept, "seconds": self.begun.elapsed().as_secs_f64(),
            });
            writeln!(stdout(), "{summary}")?;
        }
        Ok(())
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            // Standard error has gone away: there is nobody to tell.
            let _ = writeln!(stderr(), "{line}");
        }
    }
}
