//! Whether a partition is silent: its log was read to the end, and nothing comes.
//!
//! To have heard nothing for a while is not enough. While a broker is away, a leader moves, a sink holds everything up or the
//! process sleeps, rows may wait in the log, and windows that close without them lose them. So the end of a log that nothing
//! comes from is looked at again and again ([`Reader::look`](crate::source::Reader::look)).
//!
//! Invariant: a partition is called silent only if its end was seen where reading stands after `idle_timeout` without rows, and
//! was never out of reach in between. Who could not be heard has not been silent: silence counts anew from the first sight of
//! the end after that, since producers could not write either.

use std::time::Duration;

/// How long an answer to a look may take. Kafka's brokers hold a question for half a second while they have nothing to say,
/// and it may wait behind another one.
const ANSWER: Duration = Duration::from_secs(2);
/// The least and the most time from one look to the next.
const OFTEN: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_secs(5);

/// What is known of one partition. Times are those of the engine's clock.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// The log was read to its end, and no row has come since.
    at_end: bool,
    /// Nothing has come since then, and the log was within reach.
    since: Duration,
    /// The end was last seen then.
    seen: Duration,
    /// A look is under way since then.
    asked: Option<Duration>,
}

impl Silence {
    /// Of a partition of which nothing is known.
    pub fn new(now: Duration) -> Self {
        Self {
            at_end: false,
            since: now,
            seen: now,
            asked: None,
        }
    }

    /// Rows came.
    pub fn rows(&mut self, now: Duration) {
        *self = Self::new(now);
    }

    /// The end of the log was seen where reading stands. `timeout` is the `idle_timeout`, here and below.
    pub fn end(&mut self, now: Duration, timeout: Duration) {
        if !self.at_end || self.is_out_of_reach(now, timeout) {
            self.since = now;
        }
        self.at_end = true;
        self.seen = now;
        self.asked = None;
    }

    /// Whether it is time to look at the end of the log; true means that somebody does so now.
    pub fn look(&mut self, now: Duration, timeout: Duration) -> bool {
        let due = self.at_end
            && now.saturating_sub(self.seen) >= every(timeout)
            && self.asked.is_none_or(|asked| now.saturating_sub(asked) >= ANSWER);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// The end was read to, and has not been seen for so long that nobody knows what stands behind it by now.
    pub fn is_out_of_reach(&self, now: Duration, timeout: Duration) -> bool {
        self.at_end && now.saturating_sub(self.seen) > every(timeout) + ANSWER
    }

    /// Since when it has been silent and when its end was last seen, if that is long enough apart.
    pub fn silent(&self, timeout: Duration) -> Option<(Duration, Duration)> {
        (self.at_end && self.seen.saturating_sub(self.since) >= timeout).then_some((self.since, self.seen))
    }
}

/// From one look to the next.
fn every(timeout: Duration) -> Duration {
    (timeout / 4).clamp(OFTEN, SELDOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(4);

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_partition_is_silent_when_its_end_was_seen_after_the_timeout() {
        let mut silence = Silence::new(at(0.0));
        silence.rows(at(10.0));
        assert!(!silence.look(at(20.0), TIMEOUT), "rows may wait: the end is not known");
        silence.end(at(20.0), TIMEOUT);
        for second in [21.0, 22.0, 23.0] {
            assert!(silence.look(at(second), TIMEOUT));
            assert!(!silence.look(at(second), TIMEOUT), "one at a time");
            silence.end(at(second), TIMEOUT);
            assert_eq!(silence.silent(TIMEOUT), None);
        }
        silence.end(at(24.5), TIMEOUT);
        assert_eq!(silence.silent(TIMEOUT), Some((at(20.0), at(24.5))));
        silence.rows(at(25.0));
        assert_eq!(silence.silent(TIMEOUT), None);
    }

    #[test]
    fn who_could_not_be_heard_was_not_silent() {
        let mut silence = Silence::new(at(0.0));
        silence.end(at(0.0), TIMEOUT);
        silence.end(at(2.0), TIMEOUT);
        // The broker goes away, a sink holds everything up, or the process sleeps.
        assert!(silence.look(at(3.0), TIMEOUT));
        assert!(!silence.is_out_of_reach(at(4.0), TIMEOUT));
        assert!(silence.is_out_of_reach(at(90.0), TIMEOUT));
        assert_eq!(silence.silent(TIMEOUT), None);
        assert!(
            silence.look(at(90.0), TIMEOUT),
            "a look that was never answered is made again"
        );
        silence.end(at(90.1), TIMEOUT);
        assert_eq!(silence.silent(TIMEOUT), None);
        silence.end(at(92.0), TIMEOUT);
        assert_eq!(silence.silent(TIMEOUT), None, "silence counts anew");
        silence.end(at(94.2), TIMEOUT);
        assert_eq!(silence.silent(TIMEOUT), Some((at(90.1), at(94.2))));
    }

    #[test]
    fn without_a_timeout_nothing_is_ever_silent() {
        let mut silence = Silence::new(at(0.0));
        silence.end(at(0.0), Duration::MAX);
        silence.end(at(1e9), Duration::MAX);
        assert_eq!(silence.silent(Duration::MAX), None);
    }
}
