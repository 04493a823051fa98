//! How long a store that does not answer is asked again.
//!
//! Bound: a call returns within [`Patience::limit`] and one more [`Patience::answer`]. What cannot get better by waiting
//! fails at once.

use crate::Report;
use hitters_dataflow::checkpoint::StorageError;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// How long to wait, and how often to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A call that has failed for so long fails for good.
    pub limit: Duration,
    /// The pause before the second try; each further one is twice as long, and a random part shorter, so that many runs
    /// do not come back at once.
    pub pause: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// One request must be answered within this.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            limit: Duration::from_secs(300),
            pause: Duration::from_millis(100),
            longest: Duration::from_secs(10),
            answer: Duration::from_secs(30),
        }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another try may succeed.
    Passing(String),
    /// Nobody has to wait for this: it says what to do.
    Lasting(String),
}

impl Patience {
    /// Asks until there is an answer. `what` is what is done and to which object: `write s3://bucket/a`.
    pub async fn ask<T>(
        &self,
        report: &Report,
        what: &str,
        mut once: impl AsyncFnMut() -> Result<T, Fault>,
    ) -> Result<T, StorageError> {
        let began = Instant::now();
        let (mut pause, mut tries) = (self.pause, 0_u64);
        loop {
            tries += 1;
            let fault = match once().await {
                Ok(answer) => {
                    if tries > 1 {
                        report(&format!(
                            "could {what} after {tries} tries in {:.1} s",
                            began.elapsed().as_secs_f64()
                        ));
                    }
                    return Ok(answer);
                }
                Err(Fault::Lasting(fault)) => return Err(StorageError::new(format!("cannot {what}: {fault}"))),
                Err(Fault::Passing(fault)) => fault,
            };
            let wait = shortened(pause);
            if began.elapsed() + wait > self.limit {
                return Err(StorageError::new(format!(
                    "cannot {what}: {fault}; given up after {tries} tries in {:.1} s",
                    began.elapsed().as_secs_f64()
                )));
            }
            report(&format!(
                "cannot {what}: {fault}; trying again in {:.1} s",
                wait.as_secs_f64()
            ));
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(self.longest);
        }
    }
}

/// Between half of a pause and all of it.
fn shortened(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) >> 40;
    pause.mul_f64(0.5 + random as f64 / f64::from(1 << 25))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn ask(patience: &Patience, answers: Vec<Result<u8, Fault>>) -> (Result<u8, StorageError>, Vec<String>, usize) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let report: Report = {
            let said = said.clone();
            Arc::new(move |line: &str| said.lock().unwrap().push(line.to_owned()))
        };
        let (mut left, asked) = (answers.into_iter(), Mutex::new(0));
        let busy = || Err(Fault::Passing("busy".into()));
        let asking = patience.ask(&report, "read x", async || {
            *asked.lock().unwrap() += 1;
            left.next().unwrap_or_else(busy)
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let answer = runtime.block_on(asking);
        let said = said.lock().unwrap().clone();
        (answer, said, *asked.lock().unwrap())
    }

    fn quick() -> Patience {
        Patience {
            limit: Duration::from_millis(300),
            pause: Duration::from_millis(10),
            longest: Duration::from_millis(40),
            ..Patience::default()
        }
    }

    #[test]
    fn what_passes_is_waited_out_and_told() {
        let busy = Err(Fault::Passing("busy".into()));
        let (answer, said, asked) = ask(&quick(), vec![busy.clone(), busy, Ok(7)]);
        assert_eq!((answer, asked), (Ok(7), 3));
        assert!(said[0].starts_with("cannot read x: busy; trying again in"), "{said:?}");
        assert!(said[2].starts_with("could read x after 3 tries"), "{said:?}");
    }

    #[test]
    fn the_limit_ends_it() {
        let (answer, said, asked) = ask(&quick(), Vec::new());
        let error = answer.unwrap_err().message;
        assert!(
            error.starts_with(&format!("cannot read x: busy; given up after {asked} tries")),
            "{error}"
        );
        assert!(
            (7..=25).contains(&asked) && said.len() == asked - 1,
            "{asked}: {said:?}"
        );
    }

    #[test]
    fn what_lasts_is_not_asked_again() {
        let (answer, said, asked) = ask(&quick(), vec![Err(Fault::Lasting("no".into()))]);
        assert_eq!(answer, Err(StorageError::new("cannot read x: no")));
        assert_eq!((said.len(), asked), (0, 1));
    }

    #[test]
    fn pauses_are_shortened_at_random_by_half_at_most() {
        let pauses: Vec<_> = (0..100)
            .map(|_| shortened(Duration::from_secs(1)).as_secs_f64())
            .collect();
        assert!(pauses.iter().all(|pause| (0.5..=1.0).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause < 0.7) && pauses.iter().any(|pause| *pause > 0.8));
    }
}
