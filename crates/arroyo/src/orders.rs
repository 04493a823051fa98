//! What a deployed pipeline can be told: stop, start, scale, go.

use crate::answers::{Job, Pipeline};
use crate::client::{Call, Cluster, Limit};
use crate::deployed::Deployed;
use crate::error::Error;
use crate::wait::{Event, Patience};
use serde_json::json;

impl Cluster {
    /// Stops a pipeline with a last checkpoint, from which it goes on when it is started. Returns the number of that.
    ///
    /// # Errors
    ///
    /// [`Error::Late`] if it does not stop in time; a cluster that does not answer.
    pub fn stop(
        &self,
        deployed: &Deployed,
        patience: &Patience,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Option<u64>, Error> {
        let job = self.job(deployed.id(), deployed.name())?;
        if !matches!(job.state.as_str(), "Stopped" | "Failed" | "Finished") {
            tell(Event::Stopping(deployed.name().to_owned()));
            self.want(deployed, "checkpoint", "stop")?;
            self.wait_until_down(deployed, patience, tell)?;
        }
        Ok(self.last_checkpoint(deployed, &job)?.map(|last| last.epoch))
    }

    /// Starts a pipeline from its last checkpoint, and waits until it runs.
    ///
    /// # Errors
    ///
    /// [`Error::Job`] if it fails again; [`Error::Late`]; a cluster that does not answer.
    pub fn start(&self, deployed: &Deployed, patience: &Patience, tell: &mut dyn FnMut(Event)) -> Result<(), Error> {
        let job: Job = self.job(deployed.id(), deployed.name())?;
        tell(Event::Starting(deployed.name().to_owned()));
        self.want(deployed, "none", "start")?;
        if job.state == "Failed" {
            let what = format!("start the pipeline {}", deployed.name());
            let call = Call {
                method: "POST",
                path: format!("/pipelines/{}/restart", deployed.id()),
                what: &what,
                limit: Limit::Answer,
            };
            let _: Pipeline = self.post(&call, &json!({ "force": false }))?;
        }
        self.wait_until_up(deployed, job.run_id, patience, tell)?;
        Ok(())
    }

    /// Lets a pipeline go on with so many subtasks of each operator, and waits until it does. One that does not run will begin with
    /// them.
    ///
    /// # Errors
    ///
    /// [`Error::Job`] if it does not come up; [`Error::Late`]; a cluster that does not answer.
    pub fn scale(
        &self,
        deployed: &Deployed,
        parallelism: u64,
        patience: &Patience,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(), Error> {
        let job = self.job(deployed.id(), deployed.name())?;
        if deployed.parallelism() == parallelism {
            return Ok(());
        }
        tell(Event::Scaling(deployed.name().to_owned(), parallelism));
        let what = format!("scale the pipeline {}", deployed.name());
        let path = format!("/pipelines/{}", deployed.id());
        let _: Pipeline = self.patch(path, &json!({ "parallelism": parallelism }), &what)?;
        if deployed.is_live() {
            self.wait_until_up(deployed, job.run_id, patience, tell)?;
        }
        Ok(())
    }

    /// Takes a pipeline that has stopped away, with its state.
    ///
    /// # Errors
    ///
    /// A pipeline that still runs; a cluster that does not answer.
    pub fn remove(&self, deployed: &Deployed, tell: &mut dyn FnMut(Event)) -> Result<(), Error> {
        let what = format!("delete the pipeline {}", deployed.name());
        self.delete(format!("/pipelines/{}", deployed.id()), &what)?;
        tell(Event::Deleted(deployed.name().to_owned()));
        Ok(())
    }

    /// `checkpoint` to stop, `none` to run.
    fn want(&self, deployed: &Deployed, stop: &str, verb: &str) -> Result<(), Error> {
        let what = format!("{verb} the pipeline {}", deployed.name());
        let path = format!("/pipelines/{}", deployed.id());
        let _: Pipeline = self.patch(path, &json!({ "stop": stop }), &what)?;
        Ok(())
    }
}
