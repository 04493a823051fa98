//! Events to a file or to a topic, at full speed or at that of their event time.

use super::{Events, Generate};
use crate::kafka::{Delivery, Servers};
use crate::run::RunOptions;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Hears the number of events written so far, every few thousand; false ends the stream early.
pub type Progress<'a> = &'a mut dyn FnMut(u64) -> bool;

/// Events between two looks at the clock.
const STRIDE: u64 = 4096;

/// Writes the events as lines, compressed if the name ends in `.gz`. Returns their number.
///
/// # Errors
///
/// If the options make no sense or the file cannot be written.
pub fn to_file(options: &Generate, path: &Path, paced: bool, progress: Progress<'_>) -> Result<u64, String> {
    let failed = |error: std::io::Error| format!("writing '{}': {error}", path.display());
    let file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut gzip = GzEncoder::new(file, Compression::default());
        let written =
            to_writer(options, &mut gzip, paced, progress).map_err(|what| format!("'{}': {what}", path.display()))?;
        gzip.finish().and_then(|mut file| file.flush()).map_err(failed)?;
        Ok(written)
    } else {
        let mut file = file;
        let written =
            to_writer(options, &mut file, paced, progress).map_err(|what| format!("'{}': {what}", path.display()))?;
        file.flush().map_err(failed)?;
        Ok(written)
    }
}

fn to_writer(options: &Generate, out: &mut impl Write, paced: bool, progress: Progress<'_>) -> Result<u64, String> {
    let mut events = Events::new(options)?;
    let mut pace = Pace::new(options, paced);
    while let Some(event) = events.next_event() {
        out.write_all(event.json)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(|error| error.to_string())?;
        if !pace.next(progress, || out.flush().map_err(|error| error.to_string()))? {
            break;
        }
    }
    progress(pace.written);
    Ok(pace.written)
}

/// Sends the events to the partitions of a topic that is there, their event time as the time of the record. Returns their
/// number when all are acknowledged.
///
/// # Errors
///
/// If the options make no sense, the topic has fewer partitions than asked for, or the brokers do not take an event.
pub fn to_topic(
    options: &Generate,
    bootstrap_servers: &str,
    topic: &str,
    client_configs: &[(String, String)],
    run: &RunOptions,
    paced: bool,
    progress: Progress<'_>,
) -> Result<u64, String> {
    let mut events = Events::new(options)?;
    let mut settings = vec![("linger.ms".to_string(), if paced { "2" } else { "5" }.to_string())];
    settings.extend(client_configs.iter().cloned());
    let servers = Servers {
        bootstrap: bootstrap_servers.to_string(),
        settings,
    };
    let mut delivery = Delivery::open(&servers, topic, run)?;
    if delivery.partitions() < options.partitions as usize {
        return Err(format!(
            "topic '{topic}' has {} partitions, {} are asked for",
            delivery.partitions(),
            options.partitions
        ));
    }
    let mut pace = Pace::new(options, paced);
    while let Some(event) = events.next_event() {
        let partition = i32::try_from(event.partition).unwrap_or(0);
        delivery.send_to(Some(partition), None, event.json, Some(event.ts))?;
        if !pace.next(progress, || Ok(()))? {
            break;
        }
    }
    delivery.flush()?;
    progress(pace.written);
    Ok(pace.written)
}

/// Counts events, and holds them back to the rate of their event time if asked to.
struct Pace {
    written: u64,
    begun: Instant,
    rate: Option<f64>,
    stride: u64,
}

impl Pace {
    fn new(options: &Generate, paced: bool) -> Self {
        // A paced stream looks at the clock a hundred times a second.
        let stride = if paced {
            ((options.rate / 100.0) as u64).clamp(1, STRIDE)
        } else {
            STRIDE
        };
        Self {
            written: 0,
            begun: Instant::now(),
            rate: paced.then_some(options.rate),
            stride,
        }
    }

    /// After an event: false ends the stream.
    fn next(
        &mut self,
        progress: Progress<'_>,
        mut before_sleep: impl FnMut() -> Result<(), String>,
    ) -> Result<bool, String> {
        self.written += 1;
        if !self.written.is_multiple_of(self.stride) {
            return Ok(true);
        }
        if let Some(rate) = self.rate {
            let due = Duration::from_secs_f64(self.written as f64 / rate);
            let ahead = due.saturating_sub(self.begun.elapsed());
            if !ahead.is_zero() {
                before_sleep()?;
                std::thread::sleep(ahead);
            }
        }
        Ok(progress(self.written))
    }
}
