//! `hitters serve` and `hitters run --serve`: the query service on a thread of its own.

use crate::cli::{OnCluster, Serve, Target};
use crate::cluster::{self, Watched};
use crate::failure::Failure;
use crate::listen::{self, Listening};
use crate::load;
use crate::postgres::{self, Sql};
use hitters_pipeline::{Files, Pipeline};
use hitters_results::{EmbeddedStore, RedisStore, Store, StoreError};
use hitters_service::{Measured, Service, ServiceError};
use std::io::{Write, stderr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Runs `hitters serve`.
pub fn run(arguments: &Serve, quiet: bool, files: &mut Files) -> Result<(), Failure> {
    let pipeline = match &arguments.pipeline {
        Some(name) => {
            let target = Target {
                target: name.clone(),
                params: Vec::new(),
                udfs: Vec::new(),
            };
            Some(load::load(&target, files)?)
        }
        None => None,
    };
    let file = pipeline.as_ref().and_then(|pipeline| pipeline.settings.serve.as_ref());
    let stores = stores(arguments, file)?;
    let mut listening = listen::options(arguments.listen, &arguments.how, file, stores)?;
    listening.service.measured = measured(&arguments.cluster, pipeline)?;
    let signalled = Arc::new(AtomicBool::new(false));
    let flag = signalled.clone();
    ctrlc::set_handler(move || flag.store(true, Relaxed))
        .map_err(|error| Failure::Run(format!("cannot watch for signals: {error}")))?;
    Serving::start(listening, signalled, quiet)?.join()
}

/// The pipeline on its cluster, if it has one.
fn measured(on: &OnCluster, pipeline: Option<Pipeline>) -> Result<Option<Arc<dyn Measured>>, Failure> {
    let Some(pipeline) = pipeline else {
        return match &on.to {
            Some(_) => Err(Failure::Usage(
                "--to is for measuring a pipeline on its cluster: name the pipeline".into(),
            )),
            None => Ok(None),
        };
    };
    let Some(cluster) = cluster::open(on, &pipeline)? else {
        return Ok(None);
    };
    Ok(Some(Arc::new(Watched::start(cluster, pipeline)?)))
}

/// The stores that flags or the pipeline file name, the recent ones first.
fn stores(arguments: &Serve, file: Option<&hitters_pipeline::Serve>) -> Result<Vec<Arc<dyn Store>>, Failure> {
    let redis = match (&arguments.redis, file.and_then(|file| file.redis.clone())) {
        (Some(url), _) => Some(listen::expand("--redis", url)?),
        (None, Some(url)) => Some(url?.reveal().to_owned()),
        (None, None) => None,
    };
    let embedded = arguments.embedded.as_ref();
    let embedded = embedded.or_else(|| file?.embedded.as_ref());
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    if let Some(url) = redis {
        let store = RedisStore::new(&url).map_err(|error| Failure::Usage(error.to_string()))?;
        stores.push(Arc::new(store));
    }
    if let Some(url) = &arguments.cassandra {
        stores.push(history(url)?);
    }
    if let Some(path) = embedded {
        stores.push(Arc::new(EmbeddedStore::open(path).map_err(|error| away(&error))?));
    }
    if stores.is_empty() {
        return Err(Failure::Usage(
            "no store is named: give --redis, --cassandra or --embedded, or a pipeline whose [serve] has redis or embedded".into(),
        ));
    }
    Ok(stores)
}

#[cfg(feature = "cassandra")]
fn history(url: &str) -> Result<Arc<dyn Store>, Failure> {
    let address = cassandra(url, "--cassandra")?;
    Ok(Arc::new(hitters_results::CassandraStore::new(address)))
}

#[cfg(not(feature = "cassandra"))]
fn history(_: &str) -> Result<Arc<dyn Store>, Failure> {
    Err(no_cassandra())
}

/// The address that an option gives.
#[cfg(feature = "cassandra")]
pub fn cassandra(url: &str, option: &str) -> Result<hitters_results::cassandra::Address, Failure> {
    let url = crate::listen::expand(option, url)?;
    hitters_results::cassandra::Address::parse(&url).map_err(|error| Failure::Usage(format!("{option}: {error}")))
}

/// What a build without the client says.
#[cfg(not(feature = "cassandra"))]
pub fn no_cassandra() -> Failure {
    Failure::Usage("this build of hitters has no client of Cassandra: build it with --features cassandra".into())
}

/// Where the answers of a run go.
pub fn store(path: Option<&Path>) -> Result<EmbeddedStore, Failure> {
    let store = path.map_or_else(EmbeddedStore::in_memory, EmbeddedStore::open);
    store.map_err(|error| away(&error))
}

fn away(error: &StoreError) -> Failure {
    Failure::Run(error.to_string())
}

/// A service that runs.
pub struct Serving {
    thread: JoinHandle<Result<(), ServiceError>>,
}

impl Serving {
    /// Listens, says where, and answers until `ended`.
    pub fn start(listening: Listening, ended: Arc<AtomicBool>, quiet: bool) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("service")
            .build()
            .map_err(|error| Failure::Run(format!("cannot start the service: {error}")))?;
        let service = runtime
            .block_on(Service::bind(listening.service))
            .map_err(|error| match error {
                ServiceError::Open(_) | ServiceError::Origin(_) | ServiceError::Tokens(_) => {
                    Failure::Usage(error.to_string())
                }
                error => Failure::Run(error.to_string()),
            })?;
        let sql = listening
            .postgres
            .map(|address| postgres::bind(&runtime, address, &service));
        let sql = sql.transpose()?;
        if !quiet {
            // The address is printed also for port 0, where nobody else can know it.
            let _ = writeln!(stderr(), "answering at {}", service.url());
            if let Some(sql) = &sql {
                let _ = writeln!(stderr(), "answering SQL at postgresql://{}/hitters", sql.address());
            }
        }
        let end = async move {
            while !ended.load(Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let thread = std::thread::Builder::new()
            .name("serve".into())
            .spawn(move || {
                let run = async {
                    // Its connections end with the service.
                    let _sql = sql.map(Sql::run);
                    service.run(end).await
                };
                runtime.block_on(run)
            })
            .map_err(|error| Failure::Run(format!("cannot start a thread: {error}")))?;
        Ok(Self { thread })
    }

    /// Waits for its end.
    pub fn join(self) -> Result<(), Failure> {
        match self.thread.join() {
            Ok(done) => done.map_err(|error| Failure::Run(error.to_string())),
            Err(_) => Err(Failure::Run(
                "the service has ended with a fault of its own; please report it".into(),
            )),
        }
    }
}
