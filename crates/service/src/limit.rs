//! How often a key may ask: the generic cell rate algorithm, one number for each key.
//!
//! A key has a theoretical arrival time. A question moves it on by the time that one question is worth; it may lie ahead of
//! the clock by a second's worth at most. So a burst of one second's questions passes at once and the long-run rate is exact.

use crate::problem::Problem;
use http::StatusCode;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keys that are remembered; above that, those that are idle are forgotten.
const MOST: usize = 10_000;

/// The limits of all keys.
#[derive(Debug, Default)]
pub struct Limits {
    arrivals: Mutex<HashMap<String, Instant>>,
}

/// What is left to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Questions that would pass now.
    pub remaining: u32,
    /// Until all of them pass again.
    pub reset: Duration,
}

impl Limits {
    /// Counts one question of a key.
    ///
    /// # Errors
    /// If it is one too many: for how long to wait.
    pub fn take(&self, key: &str, per_second: u32, now: Instant) -> Result<Left, Duration> {
        let per_second = per_second.max(1);
        // More than a question each nanosecond is no limit.
        let burst = Duration::from_secs(1);
        let one = (burst / per_second).max(Duration::from_nanos(1));
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if arrivals.len() >= MOST && !arrivals.contains_key(key) {
            arrivals.retain(|_, arrival| *arrival > now);
        }
        let arrival = match arrivals.get_mut(key) {
            Some(arrival) => arrival,
            None => arrivals.entry(key.to_owned()).or_insert(now),
        };
        let next = (*arrival).max(now) + one;
        let ahead = next - now;
        if ahead > burst {
            return Err(ahead - burst);
        }
        *arrival = next;
        let remaining = u32::try_from((burst - ahead).as_nanos() / one.as_nanos()).unwrap_or(u32::MAX);
        Ok(Left {
            remaining,
            reset: ahead,
        })
    }
}

/// 429: one question too many of a key with this limit, which passes after `wait`.
pub fn too_many(limit: u32, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    let detail = format!("the key may ask {limit} questions a second; ask again in {seconds} s");
    let title = "too many questions";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limit", title, detail).retry(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rate_holds() {
        let (limits, start) = (Limits::default(), Instant::now());
        let passed = |at: u64| {
            (0..100)
                .filter(|_| limits.take("a", 10, start + Duration::from_millis(at)).is_ok())
                .count()
        };
        assert_eq!((passed(0), passed(50), passed(100), passed(1100)), (10, 0, 1, 10));
        assert_eq!(limits.take("b", 10, start).map(|left| left.remaining), Ok(9));
        assert_eq!(
            limits.take("c", u32::MAX, start).map(|left| left.remaining),
            Ok(999_999_999)
        );
        let wait = limits.take("a", 10, start + Duration::from_millis(1100)).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
    }
}
