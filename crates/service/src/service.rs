//! The service as its owner sees it: options, a listener, an end.

use crate::app::App;
use crate::connections::serve;
use crate::front::Front;
use crate::gate::Gate;
use crate::http::router;
use crate::keys::{KeyFileError, Keys};
use crate::listeners::Listeners;
use crate::metrics::Measured;
use crate::open::Engine;
use crate::questions::Questions;
use crate::tls::{self, TlsListener};
use crate::tokens::{TokenOptions, Tokens};
use crate::unread::{Patiently, listen};
use ::http::{HeaderValue, Method, header};
use axum::Router;
use axum::serve::{Listener, ListenerExt};
use hitters_results::{Answers, Store};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::cors::CorsLayer;

/// How long requests that have begun may take when the service ends.
const HURRY: Duration = Duration::from_secs(2);

/// What the service is made of.
#[derive(Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where answers come from, the preferred first.
    pub stores: Vec<Arc<dyn Store>>,
    /// The file of API keys. Without it and without `tokens` everybody may ask, on the loopback only.
    pub keys: Option<PathBuf>,
    /// JSON web tokens that are accepted beside keys.
    pub tokens: Option<TokenOptions>,
    /// Encrypt.
    pub tls: Option<Tls>,
    /// Origins of pages that may ask from a browser: `https://dash.example.com`. Empty: only the service's own page.
    pub cors: Vec<String>,
    /// Questions a second of a key that says nothing else; 0 is no limit.
    pub limit_per_second: u32,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Where others will listen whom [`Service::questions`] lets in: not for other machines without keys, either.
    pub beside: Vec<SocketAddr>,
    /// Bytes of answers that are kept.
    pub cache_bytes: u64,
    /// Streams of live updates that may be open at once.
    pub listeners: usize,
    /// Of these, how many of one key.
    pub listeners_per_key: usize,
    /// How long a stream of live updates lasts at most; clients come back by themselves.
    pub stream: Duration,
    /// How long a client may take nothing of what it is sent, before its connection ends.
    pub unread: Duration,
    /// How long a connection may be without a whole request, before it ends.
    pub idle: Duration,
    /// What computes answers in this process: it knows the windows that are still open.
    pub engine: Option<Arc<dyn Engine>>,
    /// What `/metrics` tells of, beside the service and the engine.
    pub measured: Option<Arc<dyn Measured>>,
    /// One line on standard error for each question.
    pub audit: bool,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM, the chain.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// Why the service does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Others could reach it, and nobody would be asked for a key.
    #[error(
        "{0} can be reached from other machines, and there are no keys: make one with `hitters keys add` and give --keys, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// The address is taken, or is none of this machine.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The file of keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// What is said of tokens does not fit together.
    #[error("tokens: {0}")]
    Tokens(String),
    /// The certificate.
    #[error("TLS: {0}")]
    Tls(String),
    /// An origin that is none.
    #[error("'{0}' is no origin; write https://host or https://host:port")]
    Origin(String),
    /// The server ended by itself.
    #[error("the server ended: {0}")]
    Ended(std::io::Error),
}

impl Options {
    /// On the loopback, for everybody there.
    pub fn new(listen: SocketAddr, stores: Vec<Arc<dyn Store>>) -> Self {
        Self {
            listen,
            stores,
            keys: None,
            tokens: None,
            tls: None,
            cors: Vec::new(),
            limit_per_second: 100,
            timeout: Duration::from_secs(10),
            beside: Vec::new(),
            cache_bytes: 64 << 20,
            listeners: 1000,
            listeners_per_key: 100,
            stream: Duration::from_secs(3600),
            unread: Duration::from_secs(60),
            idle: Duration::from_secs(75),
            engine: None,
            measured: None,
            audit: false,
        }
    }
}

/// A service that listens.
pub struct Service {
    listener: TcpListener,
    inner: Inner,
    tls: Option<rustls::ServerConfig>,
    address: SocketAddr,
}

impl Service {
    /// Checks the options and listens. Nothing is answered before [`Service::run`].
    ///
    /// # Errors
    /// If it would be open to other machines without keys, the address is taken, or a file is wrong.
    pub async fn bind(options: Options) -> Result<Self, ServiceError> {
        let closed = options.keys.is_some() || options.tokens.is_some();
        let mut addresses = std::iter::once(&options.listen).chain(&options.beside);
        if let Some(open) = addresses.find(|address| !closed && !address.ip().is_loopback()) {
            return Err(ServiceError::Open(*open));
        }
        let keys = options.keys.as_deref().map(Keys::open).transpose()?;
        let tls = options.tls.as_ref().map(|tls| tls::config(&tls.certificate, &tls.key));
        let tls = tls.transpose().map_err(ServiceError::Tls)?;
        let tokens = options.tokens.as_ref().map(Tokens::new).transpose();
        let tokens = tokens.map_err(ServiceError::Tokens)?;
        if let Some(tokens) = &tokens {
            // A provider that is away now may come back; that it is, has been said.
            let _ = tokens.begin().await;
        }
        let gate = Gate { keys, tokens };
        let mut app = App::new(Answers::new(options.stores), gate, options.cache_bytes);
        // Without keys there is nobody to tell from others, and the loopback is the owner's.
        app.limit_per_second = if closed { options.limit_per_second } else { 0 };
        app.timeout = options.timeout;
        app.audit = options.audit;
        app.engine = options.engine;
        app.measured = options.measured;
        (app.stream, app.unread) = (options.stream, options.unread);
        app.listeners = Arc::new(Listeners::new(options.listeners, options.listeners_per_key));
        let app = Arc::new(app);
        let front = Front {
            router: router(app.clone()),
            app,
        };
        let cors = (!options.cors.is_empty()).then(|| cors(&options.cors)).transpose()?;
        let taken = |error| ServiceError::Listen {
            address: options.listen,
            error,
        };
        let listener = listen(options.listen).map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        Ok(Self {
            listener,
            inner: Inner {
                front,
                cors,
                idle: options.idle,
            },
            tls,
            address,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For whoever speaks another protocol.
    pub fn questions(&self) -> Questions {
        Questions::new(self.inner.front.app.clone())
    }

    /// What it encrypts with.
    pub fn tls(&self) -> Option<&rustls::ServerConfig> {
        self.tls.as_ref()
    }

    /// `http://127.0.0.1:8080`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Answers until `shutdown` is done; requests that have begun get some seconds to end.
    ///
    /// # Errors
    /// If the server ends by itself.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), ServiceError> {
        let app = self.inner.front.app.clone();
        let (most, ending) = (app.unread, app.ending());
        let serving = async {
            match self.tls {
                None => {
                    let listener = self.listener.tap_io(|stream| {
                        // Answers are small: to wait for more to send would only delay them.
                        let _ = stream.set_nodelay(true);
                    });
                    self.inner.serve(Patiently { listener, most }, ending).await;
                }
                Some(config) => {
                    let listener = TlsListener::new(self.listener, config)?;
                    self.inner.serve(Patiently { listener, most }, ending).await;
                }
            }
            Ok(())
        };
        // Who does not read what it asked for is not waited for.
        let hurry = async {
            shutdown.await;
            app.end();
            tokio::time::sleep(HURRY).await;
        };
        tokio::select! {
            done = serving => done.map_err(ServiceError::Ended),
            () = hurry => Ok(()),
        }
    }
}

/// What connections lead to.
struct Inner {
    front: Front,
    cors: Option<CorsLayer>,
    idle: Duration,
}

impl Inner {
    async fn serve<L: Listener>(self, listener: L, ending: watch::Receiver<bool>) {
        let Self { front, cors, idle } = self;
        match cors {
            None => serve(listener, front, idle, ending).await,
            // Before the front: pages of other origins are told what they may with each answer.
            Some(cors) => {
                let router = Router::new().fallback_service(front).layer(cors);
                serve(listener, router, idle, ending).await;
            }
        }
    }
}

fn cors(origins: &[String]) -> Result<CorsLayer, ServiceError> {
    let origin = |origin: &String| {
        let host = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        let looks = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']));
        let value = HeaderValue::from_str(origin).ok().filter(|_| looks);
        value.ok_or_else(|| ServiceError::Origin(origin.clone()))
    };
    let origins: Result<Vec<_>, _> = origins.iter().map(origin).collect();
    Ok(CorsLayer::new()
        .allow_origin(origins?)
        .allow_methods([Method::GET])
        .allow_headers([header::AUTHORIZATION, header::IF_NONE_MATCH])
        .expose_headers([
            header::ETAG,
            ::http::HeaderName::from_static("cache-status"),
            ::http::HeaderName::from_static("ratelimit"),
        ]))
}
