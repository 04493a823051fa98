//! Carrying out a plan.
//!
//! Functions first, since the pipeline's text is planned against them. A pipeline that is replaced is stopped, but is deleted only
//! when its successor runs: if that does not come up, the old one goes on where it was.

use crate::answers::{CheckedFunction, Collection, GlobalFunction, Pipeline};
use crate::client::{Call, Cluster, Limit};
use crate::deployed::Deployed;
use crate::error::Error;
use crate::plan::{Change, Function, FunctionChange, OURS, Plan};
use crate::wait::{Event, Patience};
use serde_json::{Value, json};
use std::time::Instant;

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Done {
    /// The pipeline as it is now.
    pub deployed: Deployed,
}

impl Cluster {
    /// Carries out a plan, and waits until the pipeline runs.
    ///
    /// # Errors
    ///
    /// [`Error::Function`] with what the compiler says; [`Error::Job`] with what the job says; [`Error::Late`] if the pipeline does
    /// not run in time; a cluster that does not answer or refuses.
    pub fn apply(&self, plan: &Plan, patience: &Patience, tell: &mut dyn FnMut(Event)) -> Result<Done, Error> {
        for (function, change) in &plan.functions {
            if *change != FunctionChange::Leave {
                self.build(plan, function, tell)?;
            }
        }
        if !plan.checked {
            self.check(plan.wanted.text(), &[])?;
        }
        let deployed = match (&plan.change, &plan.current) {
            (Change::Create, _) | (_, None) => {
                let deployed = self.create(plan, tell)?;
                self.wait_until_up(&deployed, 0, patience, tell)?;
                deployed
            }
            (Change::Leave, Some(current)) => current.clone(),
            (Change::Replace, Some(current)) => self.replace(plan, current, patience, tell)?,
            (
                Change::Alter {
                    parallelism,
                    interval,
                    start,
                },
                Some(current),
            ) => {
                let mut values = json!({});
                if let Some((_, to)) = parallelism {
                    values["parallelism"] = (*to).into();
                    tell(Event::Scaling(plan.pipeline.clone(), *to));
                }
                if let Some((_, to)) = interval {
                    values["checkpoint_interval_micros"] = micros(*to);
                }
                if start.is_some() {
                    // It may still be on its way down, and can be started again only from there.
                    self.wait_until_down(current, patience, tell)?;
                }
                if values != json!({}) {
                    let what = format!("change the pipeline {}", plan.pipeline);
                    let _: Pipeline = self.patch(format!("/pipelines/{}", current.id()), &values, &what)?;
                }
                if start.is_some() {
                    self.start(current, patience, tell)?;
                } else if parallelism.is_some() {
                    self.wait_until_up(current, current.job.run_id, patience, tell)?;
                }
                current.clone()
            }
        };
        Ok(Done {
            deployed: self.refresh(&deployed)?,
        })
    }

    /// Builds a function, in the place of another source of its name if there is one.
    fn build(&self, plan: &Plan, function: &Function, tell: &mut dyn FnMut(Event)) -> Result<(), Error> {
        let begun = Instant::now();
        tell(Event::Building(function.name.clone()));
        let what = format!("build the function {}", function.name);
        let there = plan.functions_there.iter().find(|(name, _)| *name == function.name);
        if let Some((_, id)) = there {
            // The name can be given once only, so the old one has to go first. It goes only if the new one compiles.
            self.compiles(function)?;
            self.delete(format!("/udfs/{id}"), &what)?;
        }
        let call = Call {
            method: "POST",
            path: "/udfs".into(),
            what: &what,
            limit: Limit::Build,
        };
        let description = format!("{OURS} {}, by `hitters deploy`", env!("CARGO_PKG_VERSION"));
        let body =
            json!({ "prefix": "", "language": "rust", "definition": function.source, "description": description });
        match self.post::<GlobalFunction>(&call, &body) {
            Ok(_) => {}
            Err(error) => {
                // The answer may have been lost, or another deployment was faster.
                if !self.has(function)? {
                    if matches!(error, Error::Refused { status: 400, .. }) {
                        // It says only that the function is invalid.
                        self.compiles(function)?;
                    }
                    return Err(error);
                }
            }
        }
        tell(Event::Built(function.name.clone(), begun.elapsed()));
        Ok(())
    }

    /// Asks the compiler what is wrong with a function.
    fn compiles(&self, function: &Function) -> Result<(), Error> {
        let what = format!("compile the function {}", function.name);
        let call = Call {
            method: "POST",
            path: "/udfs/validate".into(),
            what: &what,
            limit: Limit::Build,
        };
        let checked: CheckedFunction =
            self.post(&call, &json!({ "definition": function.source, "language": "rust" }))?;
        match checked.errors.is_empty() {
            true => Ok(()),
            false => Err(Error::Function {
                name: function.name.clone(),
                errors: checked.errors,
            }),
        }
    }

    fn has(&self, function: &Function) -> Result<bool, Error> {
        let there: Collection<GlobalFunction> = self.get("/udfs".into(), "list its functions")?;
        Ok(there
            .data
            .iter()
            .any(|one| one.name == function.name && one.definition == function.source))
    }

    /// Creates the pipeline. It starts by itself.
    fn create(&self, plan: &Plan, tell: &mut dyn FnMut(Event)) -> Result<Deployed, Error> {
        let wanted = &plan.wanted;
        let what = format!("create the pipeline {}", plan.pipeline);
        let mut body = json!({
            "name": plan.pipeline,
            "query": plan.mark.sign(wanted.text()),
            "parallelism": wanted.parallelism,
            // Versions that know no tags leave them out. The mark in the text is what counts.
            "tags": { "deployed-by": "hitters", "pipeline": wanted.name, "version": wanted.version.to_string() },
        });
        if let Some(interval) = wanted.interval() {
            body["checkpoint_interval_micros"] = micros(interval);
        }
        let call = Call {
            method: "POST",
            path: "/pipelines".into(),
            what: &what,
            limit: Limit::Build,
        };
        let created = match self.post::<Pipeline>(&call, &body) {
            Ok(pipeline) => self.with_job(pipeline, wanted.version)?,
            // The answer is lost, but perhaps not the pipeline.
            Err(error @ (Error::Slow { .. } | Error::Unreachable { .. })) => {
                let old = plan.current.as_ref().map(Deployed::id);
                let versions = self.versions(&wanted.name)?.into_iter();
                let found = versions
                    .filter(|one| one.version() == wanted.version && Some(one.id()) != old)
                    .find(|one| one.mark().is_some_and(|mark| *mark == plan.mark));
                found.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        tell(Event::Created(plan.pipeline.clone()));
        Ok(created)
    }

    fn replace(
        &self,
        plan: &Plan,
        old: &Deployed,
        patience: &Patience,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Deployed, Error> {
        let was_live = old.is_live();
        self.stop(old, patience, tell)?;
        let mut created = None;
        let mut up = || {
            let new = self.create(plan, tell)?;
            created = Some(new.clone());
            self.wait_until_up(&new, 0, patience, tell)?;
            Ok(new)
        };
        match up() {
            Ok(new) => {
                self.remove(old, tell)?;
                Ok(new)
            }
            Err(error) => {
                // Whatever cannot be put back is seen by the next deployment; the user has to hear of the first error.
                let mut put_back = || -> Result<(), Error> {
                    if let Some(new) = &created {
                        self.stop(new, patience, tell)?;
                        self.remove(new, tell)?;
                    }
                    if was_live {
                        self.start(&self.refresh(old)?, patience, tell)?;
                        tell(Event::PutBack(old.name().to_owned()));
                    }
                    Ok(())
                };
                let _ = put_back();
                Err(error)
            }
        }
    }
}

fn micros(duration: std::time::Duration) -> Value {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).into()
}
