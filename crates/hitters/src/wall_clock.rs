//! The clock on the wall, watched for being set back.
//!
//! Nothing of the engine goes by it: windows go by event time, silence by a clock that only counts. But the threads of
//! librdkafka wait for moments of the wall clock, so that when it is set back, waits that are under way last as much longer:
//! hours, if it was hours. No call mends that from outside. So a run that keeps state does what a supervisor would do after a
//! crash: it begins anew in the same process, and goes on from its last checkpoint.

use crate::failure::Failure;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Set back by less than this, waits last longer than they should, and nobody needs to do anything.
const NOTABLE: Duration = Duration::from_secs(10);

/// How far the wall clock is ahead of one that only counts.
pub struct WallClock {
    begun: Instant,
    ahead: Duration,
}

impl WallClock {
    /// As it is now.
    pub fn new() -> Self {
        let begun = Instant::now();
        Self {
            begun,
            ahead: ahead(begun),
        }
    }

    /// By how much it was set back since the last call, if that is much.
    pub fn set_back(&mut self) -> Option<Duration> {
        let before = std::mem::replace(&mut self.ahead, ahead(self.begun));
        before.checked_sub(self.ahead).filter(|by| *by >= NOTABLE)
    }
}

fn ahead(begun: Instant) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(begun.elapsed())
}

/// Begins this command anew in this process; returns only if that cannot be.
#[cfg(unix)]
pub fn begin_anew() -> Failure {
    use std::os::unix::process::CommandExt;
    let error = match std::env::current_exe() {
        Ok(program) => Command::new(program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    };
    Failure::Run(format!("the run cannot begin anew by itself: {error}; start it again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_was_set_back_far_is_notable() {
        let mut clock = WallClock::new();
        assert_eq!(clock.set_back(), None);
        clock.ahead += Duration::from_secs(5);
        assert_eq!(clock.set_back(), None);
        clock.ahead += Duration::from_secs(3600);
        let by = clock.set_back().unwrap();
        assert!(
            by > Duration::from_secs(3590) && by < Duration::from_secs(3610),
            "{by:?}"
        );
        clock.ahead -= Duration::from_secs(3600);
        assert_eq!(clock.set_back(), None, "set forward");
    }
}
