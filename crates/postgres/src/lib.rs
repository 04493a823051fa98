//! The stored answers as tables over the PostgreSQL wire protocol: for `psql`, Grafana, Metabase, Superset and every driver.
//!
//! pgwire speaks the protocol, DataFusion plans and runs the SQL around the answers (filters, sorting, joins, limits), and
//! `datafusion-pg-catalog` shows what clients look for in `pg_catalog`. The answers themselves come from the same code as those of
//! REST: `calls` and `conditions` turn a statement into the parameters of a question, `functions` its JSON into rows. What clients ask the
//! catalog beyond that library is answered by `information`, `builtins`, `known`, `dialect` and `absent`.
//!
//! What is bounded: connections, bytes of a message, time of a statement, memory of all statements together, rows of a table,
//! calls and groups of a statement. Nothing is written to disk, and no statement writes.
//!
//! A crate of its own, since what DataFusion and pgwire make of their generics takes minutes to compile.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod absent;
mod builtins;
mod calls;
mod catalog;
mod conditions;
mod dialect;
mod faults;
mod functions;
mod handlers;
mod information;
mod known;
mod planner;
mod rows;
mod session;
mod settings;
mod table;

use catalog::{Callable, Tables};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::information_schema::INFORMATION_SCHEMA;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{ColumnarValue, TableType, Volatility, create_udf};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{
    PgCatalogSchemaProvider, PgCatalogStaticTables, setup_pg_catalog,
};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::pgwire;
use futures_util::StreamExt;
use handlers::{Connection, Shared};
use hitters_service::Questions;
use pgwire::api::cancel::DefaultCancelHandler;
use pgwire::api::{ClientInfo, ConnectionManager, NoopHandler, PgWireConnectionState, RandomPidSecretKeyGenerator};
use pgwire::error::PgWireError;
use pgwire::messages::PgWireFrontendMessage;
use pgwire::tokio::server::{negotiate_tls, process_error, process_message};
use planner::{Planner, Prepared};
use session::Session;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The name of the database, whatever name a client asks for.
const DATABASE: &str = "hitters";
/// Connections that are let in at the same time.
const MOST_CONNECTIONS: usize = 64;
/// Connections that are not let in yet.
const MOST_WAITING: usize = 128;
/// How long a connection may take until it is let in.
const STARTUP: Duration = Duration::from_secs(10);
/// Bytes of a message, before and after the connection is let in.
const MESSAGE: (usize, usize) = (16 << 10, 1 << 20);
/// Memory of all statements together.
const MEMORY: usize = 256 << 20;

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    template: Template,
    questions: Questions,
    shared: Arc<Shared>,
}

/// What connections are made from.
struct Template {
    state: SessionState,
    statics: Arc<PgCatalogStaticTables>,
    parser: Arc<PostgresCompatibilityParser>,
}

impl Server {
    /// Listens. Nothing is answered before [`Server::run`].
    ///
    /// # Errors
    /// If the address is taken.
    pub async fn bind(
        address: SocketAddr,
        questions: Questions,
        tls: Option<rustls::ServerConfig>,
    ) -> std::io::Result<Self> {
        let template = Template::new().map_err(std::io::Error::other)?;
        let acceptor = |mut config: rustls::ServerConfig| {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
            TlsAcceptor::from(Arc::new(config))
        };
        Ok(Self {
            listener: hitters_service::listen(address)?,
            tls: tls.map(acceptor),
            template,
            questions,
            shared: Arc::new(Shared {
                manager: Arc::new(ConnectionManager::new()),
                numbers: RandomPidSecretKeyGenerator::default(),
                places: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            }),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers for ever. Connections end when the future is dropped.
    pub async fn run(self) {
        let waiting = Arc::new(Semaphore::new(MOST_CONNECTIONS + MOST_WAITING));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors: wait until some are free.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(place) = waiting.clone().try_acquire_owned() else {
                continue;
            };
            let Ok(planner) = self.template.connection(self.questions.clone()) else {
                continue;
            };
            let (tls, shared) = (self.tls.clone(), self.shared.clone());
            let (answer, unread) = (self.questions.timeout(), self.questions.unread());
            connections.spawn(async move {
                // Whatever went wrong, the client is gone or was told.
                let _ = serve(stream, tls, planner, shared, (answer, unread)).await;
                drop(place);
            });
        }
    }
}

/// Serves one connection until it ends. An answer may take so long, and so long to be read.
async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    planner: Planner,
    shared: Arc<Shared>,
    (answer, unread): (Duration, Duration),
) -> std::io::Result<()> {
    let begun = tokio::time::Instant::now();
    let session = planner.session.clone();
    let negotiated = tokio::time::timeout_at(begun + STARTUP, negotiate_tls::<Prepared>(stream, tls)).await;
    let Some(mut socket) = negotiated.map_err(std::io::Error::other)?? else {
        return Ok(());
    };
    socket.set_state(PgWireConnectionState::AwaitingStartup);
    let cancel = Arc::new(DefaultCancelHandler::new(shared.manager.clone()));
    let connection = Arc::new(Connection::new(planner, shared));
    let copy = Arc::new(NoopHandler);
    loop {
        let most = if session.admitted() { MESSAGE.1 } else { MESSAGE.0 };
        let next = poll_fn(|context| match socket.poll_next_unpin(context) {
            // The rest of a message is awaited: it must not grow without end.
            Poll::Pending if socket.read_buffer().len() > most => Poll::Ready(None),
            other => other,
        });
        let message = if session.admitted() {
            next.await
        } else {
            tokio::time::timeout_at(begun + STARTUP, next)
                .await
                .map_err(std::io::Error::other)?
        };
        let Some(Ok(message)) = message else {
            return Ok(());
        };
        if matches!(message, PgWireFrontendMessage::Terminate(_)) {
            return Ok(());
        }
        let extended = message.is_extended_query();
        let (startup, simple, queries) = (connection.clone(), connection.clone(), connection.clone());
        let done = process_message(
            message,
            &mut socket,
            startup,
            simple,
            queries,
            copy.clone(),
            cancel.clone(),
        );
        // Statements end by themselves in time; a client that does not read the rows ends here, and leaves its place to others.
        if let Err(mut error) = unless_stuck(&session, answer + unread, done).await? {
            faults::translate(&mut error);
            // Before a connection is let in every error is its end.
            let end = !session.admitted() || matches!(&error, PgWireError::UserError(info) if info.is_fatal());
            unless_stuck(&session, unread, process_error(&mut socket, error, extended)).await??;
            if end {
                return Ok(());
            }
        }
    }
}

/// Waits for the end of something, as long as a row is taken now and then.
async fn unless_stuck<T>(session: &Session, most: Duration, work: impl Future<Output = T>) -> std::io::Result<T> {
    session.moves();
    tokio::pin!(work);
    loop {
        let left = most.saturating_sub(session.still());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        tokio::select! {
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(left) => {}
        }
    }
}

impl Template {
    fn new() -> Result<Self> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(MEMORY)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
            .build_arc()?;
        let mut config = SessionConfig::new()
            // It has one of its own (`information`).
            .with_information_schema(false)
            .with_default_catalog_and_schema(DATABASE, "public")
            // Answers are small, and rows keep their order.
            .with_target_partitions(1);
        config.options_mut().execution.time_zone = Some("UTC".into());
        let context = SessionContext::new_with_config_rt(config, runtime);
        setup_pg_catalog(&context, DATABASE, EmptyContextProvider).map_err(|error| *error)?;
        for (name, text) in [
            (
                "version",
                format!(
                    "PostgreSQL {} (Hitters {})",
                    settings::VERSION,
                    env!("CARGO_PKG_VERSION")
                ),
            ),
            ("current_user", DATABASE.to_owned()),
        ] {
            let said = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(ScalarValue::from(text.as_str())));
            context.register_udf(create_udf(
                name,
                vec![],
                DataType::Utf8,
                Volatility::Stable,
                Arc::new(said),
            ));
        }
        let recovery = |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(ScalarValue::from(false)));
        context.register_udf(create_udf(
            "pg_is_in_recovery",
            vec![],
            DataType::Boolean,
            Volatility::Stable,
            Arc::new(recovery),
        ));
        builtins::all().for_each(|function| context.register_udf(function));
        Ok(Self {
            state: context.state(),
            statics: Arc::new(PgCatalogStaticTables::try_new()?),
            parser: Arc::new(PostgresCompatibilityParser::new()),
        })
    }

    /// The planner of a connection: a catalog of its own, over what its key may see.
    fn connection(&self, questions: Questions) -> Result<Planner> {
        let session = Arc::new(Session::new(questions));
        let list: Arc<dyn CatalogProviderList> = Arc::new(MemoryCatalogProviderList::new());
        let catalog = Arc::new(MemoryCatalogProvider::new());
        catalog.register_schema("public", Arc::new(Tables::new(session.clone())))?;
        let information = information::Information::new(DATABASE, Arc::downgrade(&list));
        catalog.register_schema(INFORMATION_SCHEMA, Arc::new(information))?;
        let seen = Seen(Arc::downgrade(&list));
        let statics = PgCatalogSchemaProvider::try_new(seen, self.statics.clone(), EmptyContextProvider)?;
        catalog.register_schema("pg_catalog", Arc::new(statics))?;
        list.register_catalog(DATABASE.into(), catalog);
        let state = SessionStateBuilder::new_from_existing(self.state.clone())
            .with_catalog_list(list)
            .build();
        let context = SessionContext::new_with_state(state);
        for function in functions::all() {
            context.register_udtf(function.name, Arc::new(Callable::new(session.clone(), function)));
        }
        Ok(Planner::new(session, context, self.parser.clone()))
    }
}

/// The catalog as `pg_catalog` sees it, which is itself a part of it: held weakly, or a connection would never be forgotten.
#[derive(Clone, Debug)]
struct Seen(Weak<dyn CatalogProviderList>);

impl Seen {
    fn list(&self) -> Result<Arc<dyn CatalogProviderList>> {
        let gone = || DataFusionError::Internal("the connection has ended".into());
        self.0.upgrade().ok_or_else(gone)
    }
}

#[async_trait::async_trait]
impl CatalogInfo for Seen {
    async fn catalog_names(&self) -> Result<Vec<String>> {
        CatalogInfo::catalog_names(&self.list()?).await
    }

    async fn schema_names(&self, catalog: &str) -> Result<Option<Vec<String>>> {
        // What is a part of the catalog itself is no schema to look into.
        let names = self.list()?.schema_names(catalog).await?;
        Ok(names.map(|names| names.into_iter().filter(|name| name != INFORMATION_SCHEMA).collect()))
    }

    async fn table_names(&self, catalog: &str, schema: &str) -> Result<Option<Vec<String>>> {
        self.list()?.table_names(catalog, schema).await
    }

    async fn table_schema(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<SchemaRef>> {
        self.list()?.table_schema(catalog, schema, table).await
    }

    async fn table_type(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<TableType>> {
        self.list()?.table_type(catalog, schema, table).await
    }
}
