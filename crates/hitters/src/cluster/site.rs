//! A pipeline and the cluster that it is on.

use super::faults;
use crate::cli::OnCluster;
use crate::failure::Failure;
use hitters_arroyo::{Cluster, Deployed, Error, Event, Options, Patience};
use hitters_pipeline::Pipeline;
use std::io::{Write, stderr};
use std::time::Duration;

/// A pipeline on its cluster.
pub struct Site {
    pub cluster: Cluster,
    pub pipeline: Pipeline,
    pub patience: Patience,
}

/// The cluster that the command line names, or else the pipeline file; `None` if neither does.
pub fn open(on: &OnCluster, pipeline: &Pipeline) -> Result<Option<Cluster>, Failure> {
    let settings = pipeline.settings.cluster.as_ref();
    let Some(url) = on.to.as_ref().or(settings.map(|settings| &settings.url)) else {
        let given = [
            ("--api-key-env", on.api_key_env.is_some()),
            ("--ca", on.ca.is_some()),
            ("--identity", on.identity.is_some()),
        ];
        return match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(Failure::Usage(format!(
                "{option} is for a cluster: say which with --to"
            ))),
            None => Ok(None),
        };
    };
    let mut options = Options::new(url);
    options.timeout = on.timeout;
    options.build_timeout = options.build_timeout.max(on.timeout);
    // What the file says of its cluster is not said to another one.
    let settings = settings.filter(|settings| settings.url == *url);
    options.ca = on.ca.clone().or(settings.and_then(|settings| settings.ca.clone()));
    let own = settings.and_then(|settings| settings.identity.clone());
    options.identity = on.identity.clone().or(own);
    options.api_key = match (&on.api_key_env, settings.and_then(|settings| settings.api_key.as_ref())) {
        (Some(name), _) => Some(std::env::var(name).map_err(|_| {
            Failure::Usage(format!(
                "--api-key-env names {name}, and the environment has no such variable"
            ))
        })?),
        (None, Some(Ok(key))) => Some(key.reveal().to_owned()),
        (None, Some(Err(fault))) => return Err(fault.clone().into()),
        (None, None) => None,
    };
    let cluster = Cluster::new(options).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Some(cluster))
}

impl Site {
    /// A pipeline on its cluster, where states are waited for as long as this.
    pub fn new(cluster: Cluster, pipeline: Pipeline, patience: Duration) -> Self {
        Self {
            cluster,
            pipeline,
            patience: Patience {
                state: patience,
                ..Patience::default()
            },
        }
    }

    /// The version that runs, of those that the cluster has: the pipeline file's, or the highest.
    pub fn deployed(&self) -> Result<Deployed, Failure> {
        let versions = self
            .cluster
            .versions(&self.pipeline.name)
            .map_err(|error| self.failure(error))?;
        let own = versions.iter().position(|one| one.version() == self.pipeline.version);
        let Some(found) = own.or((!versions.is_empty()).then_some(0)) else {
            return Err(Failure::Run(format!(
                "the cluster at {} has no {}-v{}: `hitters deploy` brings it there",
                self.cluster.url(),
                self.pipeline.name,
                self.pipeline.version
            )));
        };
        let found = versions.into_iter().nth(found);
        found.ok_or_else(|| Failure::Run("the cluster's list of pipelines has changed: try again".into()))
    }

    /// An error of the cluster, with its place in the user's files where it has one, and without secrets.
    pub fn failure(&self, error: Error) -> Failure {
        faults::failure(&self.pipeline, error)
    }

    /// Says what happens, on standard error.
    pub fn teller(&self, quiet: bool) -> impl FnMut(Event) {
        let mask = |event: &Event| faults::told(event).map(|line| self.pipeline.script.mask(&line));
        move |event| {
            if let Some(line) = mask(&event).filter(|_| !quiet) {
                // Nobody is there to be told if standard error is closed.
                let _ = writeln!(stderr(), "  {line}");
            }
        }
    }
}
