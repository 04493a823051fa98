//! `hitters serve` and `hitters run --serve`: the query service on a thread of its own.

use crate::cli::{Listen, Serve};
use crate::failure::Failure;
use hitters_pipeline::Value;
use hitters_results::{EmbeddedStore, RedisStore, Store, StoreError};
use hitters_service::{Options, Service, ServiceError, Tls};
use std::io::{Write, stderr};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Runs `hitters serve`.
pub fn run(arguments: &Serve, quiet: bool) -> Result<(), Failure> {
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    if let Some(url) = &arguments.redis {
        // A password on the command line could be read by everybody on the machine.
        let url = Value::expand(url, &|name| std::env::var(name).ok())
            .map_err(|(fault, hint)| Failure::Usage(format!("--redis: {fault}; {hint}")))?;
        stores.push(Arc::new(
            RedisStore::new(&url.text).map_err(|error| Failure::Usage(error.to_string()))?,
        ));
    }
    if let Some(path) = &arguments.embedded {
        stores.push(Arc::new(EmbeddedStore::open(path).map_err(|error| away(&error))?));
    }
    let signalled = Arc::new(AtomicBool::new(false));
    let flag = signalled.clone();
    ctrlc::set_handler(move || flag.store(true, Relaxed))
        .map_err(|error| Failure::Run(format!("cannot watch for signals: {error}")))?;
    Serving::start(arguments.listen, &arguments.how, stores, signalled, quiet)?.join()
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
    pub fn start(
        listen: SocketAddr,
        how: &Listen,
        stores: Vec<Arc<dyn Store>>,
        ended: Arc<AtomicBool>,
        quiet: bool,
    ) -> Result<Self, Failure> {
        let mut options = Options::new(listen, stores);
        options.keys = how.keys.clone();
        let tls = how.tls_certificate.clone().zip(how.tls_key.clone());
        options.tls = tls.map(|(certificate, key)| Tls { certificate, key });
        options.cors = how.cors.clone();
        options.limit_per_second = how.limit_per_second;
        options.audit = how.audit;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("service")
            .build()
            .map_err(|error| Failure::Run(format!("cannot start the service: {error}")))?;
        let service = runtime.block_on(Service::bind(options)).map_err(|error| match error {
            ServiceError::Open(_) | ServiceError::Origin(_) => Failure::Usage(error.to_string()),
            error => Failure::Run(error.to_string()),
        })?;
        if !quiet {
            // The address is printed also for port 0, where nobody else can know it.
            let _ = writeln!(stderr(), "answering at {}", service.url());
        }
        let end = async move {
            while !ended.load(Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let thread = std::thread::Builder::new()
            .name("serve".into())
            .spawn(move || runtime.block_on(service.run(end)))
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
