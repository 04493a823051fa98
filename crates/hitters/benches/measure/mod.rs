//! Running the binary for a measurement, and what the kernel says of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A number of the environment, so that a run can be made longer or shorter.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

/// Runs a command that prepares a measurement.
pub fn hitters(arguments: &[&str]) {
    let ran = Process::start(arguments).end();
    assert!(ran.status.success(), "hitters {arguments:?}: {}", ran.stderr);
}

/// Creates the topics of a SQL file.
pub fn topics(file: &Path, partitions: i32) {
    let partitions = partitions.to_string();
    let file = file.to_str().unwrap();
    hitters(&["topics", "--create", "--partitions", &partitions, "--quiet", file]);
}

/// The binary at work.
pub struct Process {
    child: Child,
    started: Instant,
    processor_before: f64,
    peak_bytes: u64,
    said: tempfile::NamedTempFile,
}

/// What it took.
pub struct Ended {
    pub status: ExitStatus,
    /// From the start of the process to its end.
    pub seconds: f64,
    pub processor_seconds: f64,
    /// Resident memory at its highest.
    pub peak_bytes: u64,
    pub stderr: String,
}

impl Process {
    pub fn start(arguments: &[&str]) -> Self {
        let said = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hitters"));
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.reopen().unwrap());
        Self {
            processor_before: processor_seconds_of_children(),
            started: Instant::now(),
            child: command.spawn().unwrap(),
            peak_bytes: 0,
            said,
        }
    }

    /// Looks at its memory; true while it runs.
    pub fn runs(&mut self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| {
            let kilobytes = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
            kilobytes.parse::<u64>().ok()
        });
        self.peak_bytes = self.peak_bytes.max(peak.unwrap_or(0) * 1024);
        self.child.try_wait().unwrap().is_none()
    }

    /// Resident memory now.
    pub fn resident(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        while self.runs() {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.ended()
    }

    /// Ends it.
    pub fn kill(mut self) -> Ended {
        self.runs();
        self.child.kill().unwrap();
        self.ended()
    }

    fn ended(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        Ended {
            status,
            seconds: self.started.elapsed().as_secs_f64(),
            processor_seconds: processor_seconds_of_children() - self.processor_before,
            peak_bytes: self.peak_bytes,
            stderr: std::fs::read_to_string(self.said.path()).unwrap(),
        }
    }
}

/// A measurement that fails leaves nothing behind.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The summary of `hitters run --json --quiet` over a SELECT, whose rows have standard output for themselves.
    pub fn summary(&self) -> Value {
        let line = self.stderr.lines().rfind(|line| line.starts_with('{'));
        let line = line.unwrap_or_else(|| panic!("there is no summary in {}", self.stderr));
        serde_json::from_str(line).unwrap()
    }
}

/// Processor seconds of children that have ended: fields 16 and 17 of /proc/self/stat, in hundredths.
fn processor_seconds_of_children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let ticks = |field: usize| after_name.split(' ').nth(field - 3).unwrap().parse::<f64>().unwrap();
    (ticks(16) + ticks(17)) / 100.0
}
