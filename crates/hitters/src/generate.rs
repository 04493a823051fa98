//! `hitters generate`: a synthetic stream to a file or a topic.

use crate::cli;
use crate::failure::Failure;
use crate::show::thousands;
use hitters_connectors::RunOptions;
use hitters_connectors::generate::{Generate, to_file, to_topic};
use hitters_connectors::topics::Topics;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

/// Runs the command.
pub fn run(arguments: &cli::Generate, quiet: bool) -> Result<(), Failure> {
    let millis = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let mut options = Generate {
        profile: arguments.profile,
        events: arguments.events,
        seed: arguments.seed,
        exponent: arguments.exponent,
        items: arguments.items,
        categories: arguments.categories,
        silences: arguments.silences.clone(),
        rate: arguments.rate,
        disorder_share: arguments.disorder_share,
        disorder: millis(arguments.disorder),
        drift_every: arguments.drift_every.map(millis),
        drift_ranks: arguments.drift_ranks,
        partitions: arguments.partitions.unwrap_or(1),
        ..Generate::default()
    };
    options.start = arguments.start.unwrap_or(options.start);
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = stopped.clone();
    ctrlc::set_handler(move || flag.store(true, Relaxed))
        .map_err(|error| Failure::Run(format!("cannot watch for signals: {error}")))?;
    let bar = bar(quiet, arguments.events);
    let mut progress = |written: u64| {
        bar.set_position(written);
        !stopped.load(Relaxed)
    };
    let started = Instant::now();
    let (written, place) = match (&arguments.output, &arguments.topic) {
        (Some(path), _) => (
            to_file(&options, path, arguments.paced, &mut progress),
            path.display().to_string(),
        ),
        (None, Some(topic)) => {
            let run = RunOptions::default();
            let servers = &arguments.bootstrap_servers;
            if arguments.partitions.is_none() {
                let topics = Topics::connect(servers, &arguments.client_configs, &run).map_err(Failure::Run)?;
                let found = topics.describe(topic).map_err(Failure::Run)?;
                let Some(found) = found else {
                    let message = format!(
                        "there is no topic '{topic}' at {servers}: `hitters topics PIPELINE --create` creates those of a pipeline"
                    );
                    return Err(Failure::Run(message));
                };
                options.partitions = u32::try_from(found.partitions).unwrap_or(1);
            }
            let sent = to_topic(
                &options,
                servers,
                topic,
                &arguments.client_configs,
                &run,
                arguments.paced,
                &mut progress,
            );
            (sent, format!("topic {topic} at {servers}"))
        }
        (None, None) => return Err(Failure::Usage("say where to: --output FILE or --topic TOPIC".into())),
    };
    bar.finish_and_clear();
    let written = written.map_err(Failure::Run)?;
    if !quiet {
        let seconds = started.elapsed().as_secs_f64();
        let rate = thousands((written as f64 / seconds.max(1e-6)) as u128);
        // Standard error has gone away: there is nobody to tell.
        let _ = writeln!(
            stderr(),
            "{} events to {place} in {seconds:.2} s, {rate} events/s",
            thousands(written.into())
        );
    }
    if stopped.load(Relaxed) {
        Err(Failure::Stopped)
    } else {
        Ok(())
    }
}

/// A bar on a terminal, nothing elsewhere.
fn bar(quiet: bool, events: u64) -> ProgressBar {
    let target = if quiet || !stderr().is_terminal() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let bar = ProgressBar::with_draw_target(Some(events), target);
    match ProgressStyle::with_template("{bar:30.cyan} {percent:>3}%  {human_pos} events, {per_sec}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
