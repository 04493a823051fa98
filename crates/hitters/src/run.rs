//! `hitters run`: plans, starts, watches, and says how it went.

use crate::beside::Beside;
use crate::cli::{Format, Missing, Run};
use crate::control::{Control, Do, Order, Shown};
use crate::engine;
use crate::failure::Failure;
use crate::heap::Heap;
use crate::output::Output;
use crate::progress::Progress;
use crate::replay::{self, Switch};
use crate::serve::{self, Serving};
use crate::show::{self, thousands};
use crate::spill;
use crate::state::State;
use crate::wall_clock::{self, WallClock};
use crate::watch::{Watch, Watched};
use crate::{listen, load};
use hitters_connectors::{DeadLetter, Factory, MissingOffsets, Print, PrintFormat, Reporter, RunOptions};
use hitters_dataflow::{Job, JobOptions, Metrics, Summary};
use hitters_pipeline::{Files, Pipeline};
use hitters_planner::plan::Plan;
use hitters_results::EmbeddedStore;
use serde_json::{Value, json};
use std::io::{Write, stderr};
use std::path::PathBuf;
use std::process::exit;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Runs the command: once, or again and again with other workers if it is asked to scale.
pub fn run(arguments: &Run, quiet: bool, files: &mut Files) -> Result<(), Failure> {
    let pipeline = load::load(&arguments.target, files)?;
    let plan = engine::plan(&pipeline)?;
    if !quiet {
        engine::warn(&pipeline, &plan, files);
    }
    if arguments.limit.is_some() && !engine::prints(&plan) {
        return Err(Failure::Usage(
            "--limit bounds the rows that a SELECT prints, and there is none; --records bounds what is read".into(),
        ));
    }
    let mut session = Session::new(arguments, &pipeline, quiet, None)?;
    let Some(address) = arguments.serve else {
        return rounds(session, plan);
    };
    let file = pipeline.settings.serve.as_ref();
    let answers = arguments.answers.as_ref().or_else(|| file?.answers.as_ref());
    let store = serve::store(answers.map(PathBuf::as_path))?;
    let beside = Arc::new(Beside::new(&pipeline.name, pipeline.version));
    let mut listening = listen::options(address, &arguments.how, file, vec![Arc::new(store.clone())])?;
    listening.service.engine = Some(beside.clone());
    let serving = Serving::start(listening, session.signalled.clone(), quiet)?;
    session.served = Some((store, beside));
    let signalled = session.signalled.clone();
    let done = rounds(session, plan);
    if done.is_ok() && !signalled.load(Relaxed) && !quiet {
        let _ = writeln!(
            stderr(),
            "{}: the input has ended; answering until you stop it",
            pipeline.name
        );
    }
    if done.is_err() {
        // What has failed is not hidden behind a service that goes on.
        signalled.store(true, Relaxed);
    }
    let served = serving.join();
    done.and(served)
}

/// Runs a plan; again and again, each time from a checkpoint, if other workers or further partitions want it.
pub fn rounds(mut session: Session<'_>, plan: Plan) -> Result<(), Failure> {
    let mut plan = Some(plan);
    loop {
        let plan = plan.take().map_or_else(|| engine::plan(session.pipeline), Ok)?;
        if !session.round(plan)? {
            return if session.signalled.load(Relaxed) {
                Err(Failure::Stopped)
            } else {
                Ok(())
            };
        }
        session.again = true;
    }
}

/// What stays the same over all rounds of a run.
pub struct Session<'a> {
    arguments: &'a Run,
    pipeline: &'a Pipeline,
    quiet: bool,
    output: Output,
    options: JobOptions,
    signalled: Arc<AtomicBool>,
    /// For runs that keep state.
    control: Option<Control>,
    /// True for rounds after the first.
    again: bool,
    /// The order that began this round.
    scaled: Option<Order>,
    /// For a replay.
    switch: Option<Switch>,
    /// Where answers go that are served while it runs, and what else the service is told.
    served: Option<(EmbeddedStore, Arc<Beside>)>,
}

impl<'a> Session<'a> {
    /// For one run of a command.
    pub fn new(
        arguments: &'a Run,
        pipeline: &'a Pipeline,
        quiet: bool,
        switch: Option<Switch>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            arguments,
            pipeline,
            quiet,
            output: Output::default(),
            options: job_options(arguments, pipeline),
            signalled: on_signal()?,
            control: None,
            again: false,
            scaled: None,
            switch,
            served: None,
        })
    }

    fn failed(&self, error: &hitters_dataflow::Error) -> Failure {
        Failure::Run(self.pipeline.script.mask(&error.to_string()))
    }

    fn hide(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Run(text) => Failure::Run(self.pipeline.script.mask(&text)),
            other => other,
        }
    }

    /// Runs until the input ends or somebody stops it, and reports. True: another round is to follow.
    fn round(&mut self, plan: Plan) -> Result<bool, Failure> {
        let (arguments, pipeline) = (self.arguments, self.pipeline);
        let prints = engine::prints(&plan);
        let mut run = run_options(arguments, pipeline, &plan, &self.output)?;
        let state = State::take(arguments, pipeline)?;
        if self.switch.is_none() && !self.again {
            replay::begin(pipeline, &plan, self.quiet)?;
        }
        let grown = run.grown.clone();
        run.attempt = state.as_ref().map(|state| state.attempt.clone());
        let place = state.as_ref().map(|state| state.place.clone());
        let shown = state.as_ref().map(|state| state.shown.clone());
        if let Some(found) = state.as_ref().and_then(State::found).filter(|_| !self.quiet) {
            let place = shown.as_deref().unwrap_or_default();
            let _ = writeln!(
                stderr(),
                "{}: going on from checkpoint {found} in {place}",
                pipeline.name
            );
        }
        if self.options.spill.is_none() {
            self.options.spill = spill::open(arguments, pipeline, &plan, &mut self.options.memory_limit)?;
        }
        let factory = Arc::new(Factory::new(run).map_err(|error| self.failed(&error))?);
        let checkpoints = state.map(|state| state.checkpoints(&factory)).transpose()?;
        let watch = Watch::new(
            &factory,
            &pipeline.shows,
            arguments.format,
            self.output.clone(),
            arguments.limit,
        )
        .served(
            &pipeline.name,
            pipeline.version,
            self.served.as_ref().map(|(store, _)| store.clone()),
        );
        let taps = match &self.served {
            Some((_, beside)) => beside.taps(&plan),
            None => Vec::new(),
        };
        self.options.looks = taps.iter().map(|(node, _)| *node).collect();
        let job = Job::start(plan, &*factory, &watch, self.options.clone(), checkpoints);
        let job = job.map_err(|error| self.failed(&error))?;
        let metrics = job.metrics().clone();
        if let Some((_, beside)) = &self.served {
            beside.begin(&job, taps);
        }
        if let Some(place) = &place {
            self.serve(place, shown.as_deref().unwrap_or_default(), &metrics)?;
        }
        let goes_on = || place.is_some() && grown.load(Relaxed);
        let order = self.watch(&job, &watch, goes_on)?;
        let summary = job.join();
        if let Some((_, beside)) = &self.served {
            beside.end();
        }
        let letters = factory.flush_dead_letters();
        let summary = summary.and_then(|summary| letters.map(|()| summary));
        let summary = summary.map_err(|error| self.failed(&error))?;
        match order {
            Some(Order {
                what: Do::Scale(workers),
                ..
            }) => {
                self.options.parallelism = workers;
                self.scaled = order;
                return Ok(true);
            }
            None if goes_on() && !self.signalled.load(Relaxed) => return Ok(true),
            _ => {}
        }
        if let Some(switch) = self.switch.as_mut().filter(|_| !summary.stopped) {
            switch.switch()?;
        }
        let report = Report {
            pipeline,
            metrics: &metrics,
            summary: &summary,
            tables: watch.tables(),
            stopped: summary.stopped && (order.is_some() || self.signalled.load(Relaxed)),
            place: shown,
        };
        report.write(arguments.json, prints, self.quiet, &self.output)?;
        if let Some(order) = order {
            order.done(json!({ "stopped": true, "checkpoint": metrics.checkpoint.load(Relaxed) }));
        }
        Ok(false)
    }

    /// Opens the control socket, or shows the new round at the one that is open.
    fn serve(&mut self, place: &str, shown: &str, metrics: &Arc<Metrics>) -> Result<(), Failure> {
        let control = match self.control.take() {
            Some(control) => control,
            None => Control::serve(place).map_err(|error| self.hide(error))?,
        };
        let workers = metrics.workers();
        control.show(Shown {
            pipeline: self.pipeline.name.clone(),
            version: self.pipeline.version,
            place: shown.to_string(),
            parallelism: workers,
            metrics: metrics.clone(),
        });
        if let Some(order) = self.scaled.take() {
            order.done(json!({ "parallelism": workers }));
        }
        self.control = Some(control);
        Ok(())
    }

    /// Shows progress until the job has ended; gives the order that ended it.
    fn watch(&mut self, job: &Job, watch: &Watch<'_>, goes_on: impl Fn() -> bool) -> Result<Option<Order>, Failure> {
        let stopper = job.stopper();
        let mut progress = Progress::new(&self.pipeline.name, self.quiet);
        let (mut order, mut failed) = (None, None);
        let (mut wall_clock, mut heap) = (WallClock::new(), Heap::new(self.options.memory_limit));
        while !job.is_finished() {
            if order.is_none() {
                order = self.control.as_ref().and_then(Control::order);
            }
            let asked = order.is_some() || self.signalled.load(Relaxed);
            if asked || watch.limit_reached() || self.output.is_closed() || goes_on() {
                stopper.stop();
            }
            if let Some(Err(error)) = self.switch.as_mut().map(|switch| switch.look(job.metrics())) {
                failed.get_or_insert(error);
                stopper.stop();
            }
            // What came from standard input cannot be read again, and what is in no checkpoint would be lost.
            if let Some(by) = wall_clock.set_back()
                && self.control.is_some()
                && self.arguments.target.target != "-"
            {
                let _ = writeln!(
                    stderr(),
                    "{}: the wall clock was set back by {} s, and clients that wait by it would not wake up in time: the run begins anew, \
                     from its last checkpoint",
                    self.pipeline.name,
                    by.as_secs()
                );
                return Err(wall_clock::begin_anew());
            }
            heap.look();
            progress.show(job.metrics());
            std::thread::sleep(LOOK);
        }
        progress.clear();
        failed.map_or(Ok(order), Err)
    }
}

/// What the connectors have to know.
fn run_options(arguments: &Run, pipeline: &Pipeline, plan: &Plan, output: &Output) -> Result<RunOptions, Failure> {
    let format = match arguments.format {
        Format::Table => PrintFormat::Table,
        Format::Json | Format::Csv => PrintFormat::Json,
    };
    let kafka = engine::sources(plan).any(|table| table.spec.connector() == "kafka");
    if (arguments.from.is_some() || arguments.to.is_some()) && !kafka {
        return Err(Failure::Usage(
            "--from and --to bound Kafka tables, and the SQL reads none; use WHERE on the event time".into(),
        ));
    }
    Ok(RunOptions {
        bounded: arguments.bounded,
        from: arguments.from,
        to: arguments.to,
        limit: arguments.records,
        dead_letter: dead_letter(arguments, pipeline)?,
        missing: match arguments.missing_offsets {
            Missing::Fail => MissingOffsets::Fail,
            Missing::Earliest => MissingOffsets::Earliest,
        },
        print: Print::new(format, output.clone()),
        reporter: Reporter::new(|line| {
            let _ = writeln!(stderr(), "{line}");
        }),
        ..RunOptions::default()
    })
}

/// Where bad rows go: the command line goes before the pipeline file.
fn dead_letter(arguments: &Run, pipeline: &Pipeline) -> Result<Option<DeadLetter>, Failure> {
    if arguments.dead_letter.is_some() {
        return Ok(arguments.dead_letter.clone());
    }
    Ok(match &pipeline.settings.dead_letter {
        None => None,
        Some(hitters_pipeline::DeadLetter::File(path)) => Some(DeadLetter::File(path.clone())),
        Some(hitters_pipeline::DeadLetter::Topic {
            topic,
            bootstrap_servers,
            client_configs,
        }) => Some(DeadLetter::topic(bootstrap_servers, topic, client_configs).map_err(Failure::Usage)?),
    })
}

/// What the engine has to know: the command line goes before the pipeline file.
fn job_options(arguments: &Run, pipeline: &Pipeline) -> JobOptions {
    let defaults = JobOptions::default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let settings = &pipeline.settings;
    JobOptions {
        parallelism: arguments
            .parallelism
            .map(usize::from)
            .or(settings.parallelism)
            .unwrap_or(processors),
        memory_limit: arguments
            .memory_limit
            .or(settings.memory_limit)
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        idle_timeout: settings.idle_timeout.unwrap_or(defaults.idle_timeout),
        idle_close: settings.idle_close.or(defaults.idle_close),
        spill: None,
        looks: Vec::new(),
    }
}

/// The first signal asks for an orderly end, a second one ends at once.
fn on_signal() -> Result<Arc<AtomicBool>, Failure> {
    let signalled = Arc::new(AtomicBool::new(false));
    let count = AtomicU32::new(0);
    let flag = signalled.clone();
    ctrlc::set_handler(move || {
        flag.store(true, Relaxed);
        if count.fetch_add(1, Relaxed) > 0 {
            exit(130);
        }
        let _ = writeln!(stderr(), "\nstopping: writing what was read; once more to stop at once");
    })
    .map_err(|error| Failure::Run(format!("cannot watch for signals: {error}")))?;
    Ok(signalled)
}

/// How long the closing of windows took, in milliseconds.
pub fn closing(metrics: &Metrics) -> Value {
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    metrics.closings().map_or(
        Value::Null,
        |(median, longest)| json!({ "median": millis(median), "longest": millis(longest) }),
    )
}

/// How a run went.
struct Report<'a> {
    pipeline: &'a Pipeline,
    metrics: &'a Metrics,
    summary: &'a Summary,
    tables: Vec<Arc<Watched>>,
    /// Somebody stopped it.
    stopped: bool,
    /// Where state is kept.
    place: Option<String>,
}

impl Report<'_> {
    /// Rows have standard output for themselves: talk goes to standard error, and so does JSON beside them.
    fn write(&self, as_json: bool, prints: bool, quiet: bool, output: &Output) -> Result<(), Failure> {
        if as_json {
            let text = format!("{}\n", self.json());
            if prints {
                let _ = stderr().write_all(text.as_bytes());
            } else {
                output.clone().write_all(text.as_bytes())?;
            }
            return Ok(());
        }
        output.clone().write_all(self.tables().as_bytes())?;
        if !quiet {
            // Standard error has gone away: there is nobody to tell.
            let _ = stderr().write_all(self.talk().as_bytes());
        }
        Ok(())
    }

    /// The last answers, as tables: those of `[[show]]` in that order, or all that are written; then those of SELECTs.
    fn tables(&self) -> String {
        let mut out = String::new();
        let mut put = |title: &str, table: &Watched| {
            if let Some(recent) = &table.recent {
                out.push_str(&show::recent(
                    title,
                    &recent.lock().unwrap_or_else(PoisonError::into_inner),
                ));
            }
        };
        let shows = &self.pipeline.shows;
        for show in shows {
            let title = show.title.as_ref().unwrap_or(&show.table);
            let of_show = |table: &&Arc<Watched>| table.table.as_ref() == Some(&show.table);
            self.tables.iter().filter(of_show).for_each(|table| put(title, table));
        }
        for table in &self.tables {
            match &table.table {
                Some(name) if shows.is_empty() => put(name, table),
                Some(_) => {}
                None => put(&self.pipeline.name, table),
            }
        }
        out
    }

    fn rate(&self) -> f64 {
        self.metrics.records.load(Relaxed) as f64 / self.summary.elapsed.as_secs_f64().max(1e-6)
    }

    /// What was read, what was written, what was dropped.
    fn talk(&self) -> String {
        let number = |value: u64| thousands(value.into());
        let metrics = self.metrics;
        let mut out = format!(
            "\n{}: {} events ({}) in {:.2} s, {} events/s; {} windows closed, at most {} of state{}\n",
            self.pipeline.name,
            number(metrics.records.load(Relaxed)),
            show::size(metrics.bytes.load(Relaxed)),
            self.summary.elapsed.as_secs_f64(),
            number(self.rate() as u64),
            number(metrics.windows.load(Relaxed)),
            show::size(metrics.peak_state.load(Relaxed) as u64),
            match metrics.peak_disk.load(Relaxed) {
                0 => String::new(),
                bytes => format!(" in memory and {} on disk", show::size(bytes)),
            },
        );
        for table in self.tables.iter().filter(|table| table.table.is_some()) {
            let name = table.table.as_deref().unwrap_or_default();
            out.push_str(&format!(
                "  {name}: {} rows to {}\n",
                number(table.rows.load(Relaxed)),
                table.describe
            ));
        }
        for (count, what) in [
            (
                metrics.bad.load(Relaxed),
                "could not be decoded and were dropped (bad_data = 'drop')",
            ),
            (
                metrics.late.load(Relaxed),
                "came after the watermark of their partition and were dropped",
            ),
            (
                metrics.late_idle.load(Relaxed),
                "came after their window was closed while their partition was silent, and were dropped",
            ),
        ] {
            if count > 0 {
                out.push_str(&format!("  {} events {what}\n", number(count)));
            }
        }
        if let Some(place) = &self.place {
            let stored = metrics.checkpoints.load(Relaxed);
            out.push_str(&format!(
                "  {} checkpoint{} in {place}, held rows up for at most {:.1} ms\n",
                number(stored),
                if stored == 1 { "" } else { "s" },
                metrics.longest_pause.load(Relaxed) as f64 / 1000.0
            ));
        }
        if self.stopped {
            out.push_str(match &self.place {
                Some(_) => "  stopped: the next run goes on from here\n",
                None => "  stopped: windows that were open are not in the results\n",
            });
        }
        out
    }

    fn json(&self) -> Value {
        let metrics = self.metrics;
        let tables: Vec<Value> = self
            .tables
            .iter()
            .map(|table| {
                let mut value = json!({ "table": table.table, "rows": table.rows.load(Relaxed) });
                if let Some(recent) = &table.recent {
                    let recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
                    let answers = recent.windows().flat_map(|((start, end), groups)| {
                        groups.answers.iter().map(move |(group, answer)| {
                            json!({
                                "window_start": start,
                                "window_end": end,
                                "group": group,
                                "answer": serde_json::from_str(answer).unwrap_or(Value::Null),
                            })
                        })
                    });
                    value["last_answers"] = answers.collect();
                }
                value
            })
            .collect();
        json!({
            "pipeline": self.pipeline.name,
            "events": metrics.records.load(Relaxed),
            "bytes": metrics.bytes.load(Relaxed),
            "seconds": self.summary.elapsed.as_secs_f64(),
            "events_per_second": self.rate(),
            "windows": metrics.windows.load(Relaxed),
            "bad": metrics.bad.load(Relaxed),
            "late": metrics.late.load(Relaxed),
            "late_idle": metrics.late_idle.load(Relaxed),
            "peak_state_bytes": metrics.peak_state.load(Relaxed),
            "peak_disk_bytes": metrics.peak_disk.load(Relaxed),
            "closing_ms": closing(metrics),
            "stopped": self.summary.stopped,
            "total": metrics.counts(),
            "checkpoint": self.place.as_ref().map(|place| json!({
                "place": place,
                "last": metrics.checkpoint.load(Relaxed),
                "stored": metrics.checkpoints.load(Relaxed),
                "failed": metrics.checkpoints_failed.load(Relaxed),
                "bytes": metrics.checkpoint_bytes.load(Relaxed),
                "longest_pause_ms": metrics.longest_pause.load(Relaxed) as f64 / 1000.0,
            })),
            "tables": tables,
        })
    }
}
