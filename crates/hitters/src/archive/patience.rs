//! Waits until a store is back, with growing pauses, and says so.

use hitters_results::{AskError, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);
/// How often the signal to stop is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How to wait.
#[derive(Clone)]
pub struct Patience {
    stopped: Arc<AtomicBool>,
    quiet: bool,
    /// How long at most; `None`: for ever.
    most: Option<Duration>,
}

/// Why it was not done.
#[derive(Debug)]
pub enum Undone {
    /// It was told to stop.
    Stopped,
    /// What was written is gone, so that all of it has to be done again.
    Lost(String),
    /// Waiting does not help.
    Failed(String),
}

impl Patience {
    pub fn new(stopped: Arc<AtomicBool>, quiet: bool) -> Self {
        let most = None;
        Self { stopped, quiet, most }
    }

    /// The same, but for the start: what does not answer for so long is not there.
    pub fn at_most(&self, most: Duration) -> Self {
        Self {
            most: Some(most),
            ..self.clone()
        }
    }

    /// Tries until it is done.
    pub fn wait<T, E: Into<AskError>>(&self, mut ask: impl FnMut() -> Result<T, E>) -> Result<T, Undone> {
        let (begun, mut pause, mut said) = (Instant::now(), FIRST, Duration::ZERO);
        let mut away = "";
        loop {
            let error = match ask() {
                Ok(done) => {
                    if begun.elapsed() > said && !said.is_zero() {
                        self.say(&format!("{away} is back after {:.0} s", begun.elapsed().as_secs_f64()));
                    }
                    return Ok(done);
                }
                Err(error) => match error.into() {
                    AskError::Store(error @ StoreError::Away { store, .. }) => {
                        away = store;
                        error.to_string()
                    }
                    AskError::Store(error @ StoreError::Lost { .. }) => return Err(Undone::Lost(error.to_string())),
                    other => return Err(Undone::Failed(other.to_string())),
                },
            };
            if self.most.is_some_and(|most| begun.elapsed() >= most) {
                return Err(Undone::Failed(error));
            }
            // Not of each try, and not of one that the next one mends.
            if begun.elapsed() >= said * 2 && pause > FIRST {
                self.say(&format!("{error}; waiting for it"));
                said = begun.elapsed().max(Duration::from_secs(1));
            }
            let until = Instant::now() + pause;
            pause = (pause * 2).min(LONGEST);
            while Instant::now() < until {
                if self.stopped.load(Relaxed) {
                    return Err(Undone::Stopped);
                }
                std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
            }
        }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            // Standard error has gone away: there is nobody to tell.
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> AskError {
        AskError::Store(StoreError::Away {
            store: "cassandra",
            reason: "refused".into(),
        })
    }

    #[test]
    fn an_outage_is_waited_out_and_other_errors_are_not() {
        let stopped = Arc::new(AtomicBool::new(false));
        let patience = Patience::new(stopped.clone(), true);
        let mut tries = 0;
        let done = patience.wait(|| {
            tries += 1;
            if tries < 3 { Err(away()) } else { Ok(tries) }
        });
        assert!(matches!(done, Ok(3)));
        let failed = patience.wait(|| Err::<(), _>(AskError::NoSketches));
        assert!(matches!(failed, Err(Undone::Failed(_))));
        let short = patience.at_most(Duration::ZERO);
        assert!(matches!(short.wait(|| Err::<(), _>(away())), Err(Undone::Failed(_))));
        stopped.store(true, Relaxed);
        assert!(matches!(patience.wait(|| Err::<(), _>(away())), Err(Undone::Stopped)));
    }
}
