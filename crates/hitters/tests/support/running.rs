//! The binary while it runs: what it says, line by line, and signals to it.

use super::command;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long anything may take: a run that hangs fails its test.
const LONGEST: Duration = Duration::from_secs(120);

/// A process that is killed with its owner.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    /// What it has said so far on standard error.
    pub said: String,
}

/// How it ended.
#[derive(Debug)]
pub struct Over {
    pub status: ExitStatus,
    pub said: String,
}

impl Over {
    /// Whether it was killed, rather than ending by itself.
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }

    /// Whether an order to stop came before it watched for signals, and so just ended it.
    pub fn was_too_young_to_stop(&self) -> bool {
        self.status.signal() == Some(15)
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> String {
        assert_eq!(self.status.code(), Some(code), "{}", self.said);
        assert!(!self.said.contains("panicked"), "{}", self.said);
        self.said
    }
}

impl Running {
    /// Starts `hitters` with these arguments.
    pub fn start<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Self {
        Self::spawn(command(arguments))
    }

    /// Starts a prepared command.
    pub fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        // Where state may spill it does, though there is little of it.
        command.env("HITTERS_SPILL_SHARE", "200000");
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            lines,
            said: String::new(),
        }
    }

    /// Waits until it says this; false if it ended without.
    pub fn says(&mut self, what: &str) -> bool {
        let until = Instant::now() + LONGEST;
        if self.said.contains(what) {
            return true;
        }
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.said.push_str(&line);
                    self.said.push('\n');
                    if line.contains(what) {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("it has not said '{what}', but\n{}", self.said),
            }
        }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([format!("-{signal}"), self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success(), "cannot send {signal}\n{}", self.said);
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has said so far, without waiting for more.
    pub fn heard(&mut self) -> &str {
        for line in self.lines.try_iter() {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        &self.said
    }

    /// Kills it, if it has not ended.
    pub fn kill(mut self) -> Over {
        self.child.kill().unwrap();
        self.over()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Over {
        let until = Instant::now() + LONGEST;
        while self.runs() {
            assert!(Instant::now() < until, "it does not end\n{}", self.said);
            std::thread::sleep(Duration::from_millis(2));
        }
        self.over()
    }

    fn over(&mut self) -> Over {
        let status = self.child.wait().unwrap();
        for line in self.lines.iter() {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        Over {
            status,
            said: std::mem::take(&mut self.said),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
