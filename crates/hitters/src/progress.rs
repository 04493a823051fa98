//! Progress of a run on standard error: one line that moves on a terminal, plain lines elsewhere, nothing for short runs.

use crate::show::thousands;
use arrow::temporal_conversions::timestamp_ns_to_datetime;
use hitters_dataflow::Metrics;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Distance of plain lines.
const PLAIN: Duration = Duration::from_secs(5);
/// Distance of changes on a terminal.
const MOVING: Duration = Duration::from_millis(100);

/// Shows progress.
pub struct Progress {
    form: Form,
    name: String,
    started: Instant,
    last: Instant,
    /// For the rate since the last plain line.
    records: u64,
}

enum Form {
    Quiet,
    Plain,
    Moving(ProgressBar),
}

impl Progress {
    /// For a pipeline of this name.
    pub fn new(name: &str, quiet: bool) -> Self {
        let form = if quiet {
            Form::Quiet
        } else if stderr().is_terminal() {
            Form::Moving(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()))
        } else {
            Form::Plain
        };
        let now = Instant::now();
        Self {
            form,
            name: name.to_owned(),
            started: now,
            last: now,
            records: 0,
        }
    }

    /// Shows where the run is, if it is time to.
    pub fn show(&mut self, metrics: &Metrics) {
        let (due, records) = (self.last.elapsed(), metrics.records.load(Relaxed));
        match &self.form {
            Form::Plain if due >= PLAIN => {
                let rate = (records - self.records) as f64 / due.as_secs_f64();
                // Standard error has gone away: there is nobody to tell.
                let _ = writeln!(stderr(), "{}: {}", self.name, line(metrics, records, rate));
            }
            Form::Moving(bar) if due >= MOVING => {
                let rate = records as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
                if let (Some(done), None) = (metrics.progress(), bar.length()) {
                    bar.set_length(1000);
                    if let Ok(style) = ProgressStyle::with_template("{bar:30.cyan} {percent:>3}%  {msg}") {
                        bar.set_style(style);
                    }
                    bar.set_position((done * 1000.0) as u64);
                } else if let Some(done) = metrics.progress() {
                    bar.set_position((done * 1000.0) as u64);
                }
                bar.set_message(line(metrics, records, rate));
                bar.tick();
            }
            _ => return,
        }
        self.last = Instant::now();
        self.records = records;
    }

    /// Takes the moving line away.
    pub fn clear(&self) {
        if let Form::Moving(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}

/// `1,234,567 events, 400,000 events/s, complete up to 2013-05-01 00:00`.
fn line(metrics: &Metrics, records: u64, rate: f64) -> String {
    let mut out = format!(
        "{} events, {} events/s",
        thousands(records.into()),
        thousands(rate as u128)
    );
    let until = metrics.complete_until.load(Relaxed);
    if let Some(time) = Some(until)
        .filter(|until| *until != i64::MIN && *until != i64::MAX)
        .and_then(timestamp_ns_to_datetime)
    {
        out.push_str(&format!(", complete up to {}", time.format("%Y-%m-%d %H:%M:%S")));
    }
    for (count, what) in [
        (metrics.bad.load(Relaxed), "bad"),
        (metrics.late.load(Relaxed) + metrics.late_idle.load(Relaxed), "late"),
    ] {
        if count > 0 {
            out.push_str(&format!(", {} {what}", thousands(count.into())));
        }
    }
    out
}
