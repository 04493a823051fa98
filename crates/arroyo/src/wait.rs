//! Waiting for a job to get where it was told to go.
//!
//! The state alone does not say whether an order has been seen: a job that is to be scheduled again is still `Running` for a moment,
//! and after a restart of the cluster its state is an old one. So a wait for a start asks for a run of a higher number, and
//! that the run stays up for a moment: a type that cannot be read fails at the first row, not before.

use crate::answers::Job;
use crate::client::Cluster;
use crate::deployed::Deployed;
use crate::error::{Error, Trouble};
use std::time::{Duration, Instant};

/// A job that starts so often without staying up will not stay up.
const RESTARTS: u64 = 3;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a state.
    pub state: Duration,
    /// A run that stays up for so long is one that runs.
    pub settled: Duration,
    /// Between two looks.
    pub look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            state: Duration::from_secs(300),
            settled: Duration::from_secs(2),
            look: Duration::from_millis(200),
        }
    }
}

/// What happens while a plan is carried out.
#[derive(Clone, Debug)]
pub enum Event {
    /// A function is being compiled: minutes for the first on a new cluster, a second or two for others.
    Building(String),
    /// It is there.
    Built(String, Duration),
    /// A pipeline was created.
    Created(String),
    /// It was told to stop, with a last checkpoint.
    Stopping(String),
    /// It was told to start from its last checkpoint.
    Starting(String),
    /// It was told to go on with so many subtasks.
    Scaling(String, u64),
    /// It was taken away.
    Deleted(String),
    /// What was taken out of the way was put back.
    PutBack(String),
    /// The job of a pipeline is in another state.
    State(String, String),
    /// The job has a new error; it may recover.
    Trouble(Trouble),
}

impl Cluster {
    /// Waits until a run with a number above `run` is up and stays so.
    pub(crate) fn wait_until_up(
        &self,
        deployed: &Deployed,
        run: u64,
        patience: &Patience,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Job, Error> {
        let begun = Instant::now();
        // Errors that were logged before are not news.
        let mut known = self.newest_trouble(deployed.id(), &deployed.job)?;
        let (mut state, mut up): (String, Option<(u64, Instant)>) = (String::new(), None);
        // A job that had failed is `Failed` until the cluster has seen that it is to start.
        let mut failure_is_old = deployed.state() == "Failed";
        loop {
            let job = self.job(deployed.id(), deployed.name())?;
            failure_is_old &= job.state == "Failed" && job.run_id <= run;
            if job.state != state {
                state.clone_from(&job.state);
                tell(Event::State(deployed.name().to_owned(), state.clone()));
            }
            let newest = self.newest_trouble(deployed.id(), &job)?;
            let fails = newest != known;
            if fails {
                known = newest;
                if let Some(trouble) = self
                    .troubles(deployed, &job)?
                    .into_iter()
                    .find(|one| one.time.is_some())
                {
                    tell(Event::Trouble(trouble));
                }
            }
            match state.as_str() {
                "Running" if job.run_id > run && !fails => match up {
                    Some((number, since)) if number == job.run_id => {
                        if since.elapsed() >= patience.settled {
                            return Ok(job);
                        }
                    }
                    _ => up = Some((job.run_id, Instant::now())),
                },
                // Its input has ended.
                "Finished" if job.run_id > run => return Ok(job),
                "Failed" if !failure_is_old => return Err(self.job_error(deployed, &job, "has failed")),
                _ => up = None,
            }
            if job.run_id > run + RESTARTS {
                return Err(self.job_error(deployed, &job, "fails again and again"));
            }
            if begun.elapsed() >= patience.state {
                return Err(late(deployed, &job, "running", begun));
            }
            std::thread::sleep(patience.look);
        }
    }

    /// Waits until the job computes no more.
    pub(crate) fn wait_until_down(
        &self,
        deployed: &Deployed,
        patience: &Patience,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Job, Error> {
        let begun = Instant::now();
        let mut state = String::new();
        loop {
            let job = self.job(deployed.id(), deployed.name())?;
            if job.state != state {
                state.clone_from(&job.state);
                tell(Event::State(deployed.name().to_owned(), state.clone()));
            }
            if matches!(state.as_str(), "Stopped" | "Finished" | "Failed") {
                return Ok(job);
            }
            if begun.elapsed() >= patience.state {
                return Err(late(deployed, &job, "stopped", begun));
            }
            std::thread::sleep(patience.look);
        }
    }

    pub(crate) fn job_error(&self, deployed: &Deployed, job: &Job, what: &str) -> Error {
        // Why it failed is asked for last: an error of that question must not hide that it failed.
        let troubles = self.troubles(deployed, job).unwrap_or_else(|error| {
            vec![Trouble {
                time: None,
                operator: None,
                table: None,
                message: error.to_string(),
                domain: None,
            }]
        });
        Error::Job {
            pipeline: deployed.name().to_owned(),
            what: what.to_owned(),
            troubles,
        }
    }
}

fn late(deployed: &Deployed, job: &Job, wanted: &str, begun: Instant) -> Error {
    Error::Late {
        pipeline: deployed.name().to_owned(),
        state: job.state.clone(),
        wanted: wanted.to_owned(),
        seconds: begun.elapsed().as_secs(),
    }
}
