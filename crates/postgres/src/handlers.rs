//! The messages of a connection: who lets it in, and what its statements answer.

use crate::faults::{error, fatal};
use crate::planner::{Kind, Planner, Prepared, shown, timed_out};
use crate::session::Session;
use crate::settings;
use async_trait::async_trait;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::arrow_pg::datatypes::df;
use datafusion_postgres::pgwire;
use futures_util::{Sink, SinkExt, StreamExt, stream};
use pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{DataRowEncoder, QueryResponse, Response, Tag};
use pgwire::api::store::PortalStore;
use pgwire::api::{
    ClientInfo, ClientPortalStore, ConnectionHandle, ConnectionManager, PgWireConnectionState, PidSecretKeyGenerator,
    RandomPidSecretKeyGenerator,
};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::response::TransactionStatus;
use pgwire::messages::startup::Authentication;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::types::format::FormatOptions;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// What all connections share.
pub struct Shared {
    /// Cancels statements by the numbers that clients were given.
    pub manager: Arc<ConnectionManager>,
    /// Makes these numbers.
    pub numbers: RandomPidSecretKeyGenerator,
    /// Connections that may be let in.
    pub places: Arc<Semaphore>,
}

/// One connection.
pub struct Connection {
    planner: Arc<Planner>,
    shared: Arc<Shared>,
}

impl Connection {
    /// A connection that is not let in yet.
    pub fn new(planner: Planner, shared: Arc<Shared>) -> Self {
        Self {
            planner: Arc::new(planner),
            shared,
        }
    }

    fn session(&self) -> &Arc<Session> {
        &self.planner.session
    }

    /// Takes a place, and tells the client that it is let in.
    async fn admit<C>(&self, client: &mut C, password: Option<&str>) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let place = self.shared.places.clone().try_acquire_owned();
        let place = place.map_err(|_| fatal("53300", "there are too many connections; close some, or ask again"))?;
        let admitted = self.session().admit(password, place).await;
        admitted.map_err(|problem| fatal("28P01", format!("the password is no API key: {}", problem.detail)))?;
        let (number, secret) = self.shared.numbers.generate(client);
        client.set_pid_and_secret_key(number, secret.clone());
        let (handle, guard) = self.shared.manager.register(number, secret);
        client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
        client.session_extensions().insert(guard);
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.server_version = format!("{} (Hitters {})", settings::VERSION, env!("CARGO_PKG_VERSION"));
        parameters.is_superuser = false;
        parameters.default_transaction_read_only = true;
        parameters.time_zone = "UTC".into();
        finish_authentication(client, &parameters).await
    }

    /// Answers a statement that has no plan.
    fn command<C: ClientInfo>(&self, client: &mut C, kind: Kind, statement: &Statement) -> PgWireResult<Response> {
        let failed = client.transaction_status() == TransactionStatus::Error;
        if failed && !matches!(kind, Kind::Commit | Kind::Rollback) {
            return Err(aborted());
        }
        let tag = |text: &str| Response::Execution(Tag::new(text));
        Ok(match kind {
            Kind::Begin => Response::TransactionStart(Tag::new("BEGIN")),
            Kind::Commit if failed => Response::TransactionEnd(Tag::new("ROLLBACK")),
            Kind::Commit => Response::TransactionEnd(Tag::new("COMMIT")),
            Kind::Rollback => Response::TransactionEnd(Tag::new("ROLLBACK")),
            Kind::Set => {
                if let Statement::Set(set) = statement {
                    settings::set(self.session(), client, set)?;
                }
                tag("SET")
            }
            Kind::Show => {
                let (name, value) = settings::show(self.session(), client, statement)?;
                let fields = Arc::new(vec![shown(&name)]);
                let mut encoder = DataRowEncoder::new(fields.clone());
                encoder.encode_field(&Some(value))?;
                let row = encoder.take_row();
                Response::Query(QueryResponse::new(fields, stream::iter([Ok(row)])))
            }
            Kind::Nothing(text) => tag(text),
            Kind::Query => return Err(error("XX000", "a query without a plan; please report it", "")),
        })
    }

    /// Begins to run a plan. Time counts while rows are computed, not while the client takes its time to read them.
    async fn run(&self, plan: LogicalPlan, format: &Format, options: FormatOptions) -> PgWireResult<Response> {
        let session = self.session().clone();
        let (begun, mut left) = (Instant::now(), session.timeout());
        let frame = DataFrame::new(self.planner.context.state(), plan);
        let response = df::encode_dataframe(frame, format, Some(Arc::new(options)));
        let response = tokio::time::timeout(left, response).await;
        let response = response.map_err(|_| timed_out(&session))??;
        let (fields, mut rows) = (response.row_schema(), response.data_rows);
        left = left.saturating_sub(begun.elapsed());
        // Up to the first row a client can cancel the statement; sums and sorts do their work before it.
        let begun = Instant::now();
        let first = tokio::time::timeout(left, rows.next()).await;
        let first = first.map_err(|_| timed_out(&session))?.transpose()?;
        left = left.saturating_sub(begun.elapsed());
        let rest = stream::unfold(Some((rows, left)), move |state| {
            let session = session.clone();
            async move {
                let (mut rows, left) = state?;
                session.moves();
                let begun = Instant::now();
                match tokio::time::timeout(left, rows.next()).await {
                    Ok(row) => Some((row?, Some((rows, left.saturating_sub(begun.elapsed()))))),
                    Err(_) => Some((Err(timed_out(&session)), None)),
                }
            }
        });
        let rows = stream::iter(first.map(Ok)).chain(rest);
        Ok(Response::Query(QueryResponse::new(fields, rows)))
    }
}

/// 25P02: a statement failed before in this transaction.
fn aborted() -> PgWireError {
    error(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
        "",
    )
}

#[async_trait]
impl StartupHandler for Connection {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                if self.session().questions.is_open() {
                    return self.admit(client, None).await;
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let ask = PgWireBackendMessage::Authentication(Authentication::CleartextPassword);
                client.send(ask).await?;
                Ok(())
            }
            PgWireFrontendMessage::PasswordMessageFamily(message) => {
                let password = message
                    .into_password()
                    .map_err(|fault| fatal("28P01", fault.to_string()))?;
                self.admit(client, Some(&password.password)).await
            }
            _ => Err(fatal(
                "08P01",
                "the connection is not let in yet: a password is expected",
            )),
        }
    }
}

#[async_trait]
impl SimpleQueryHandler for Connection {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.session().access().await?;
        let statements = self.planner.parse(query)?;
        if statements.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let mut responses = Vec::with_capacity(statements.len());
        for statement in statements {
            let kind = crate::planner::kind(&statement)?;
            if kind != Kind::Query {
                responses.push(self.command(client, kind, &statement)?);
                continue;
            }
            if client.transaction_status() == TransactionStatus::Error {
                return Err(aborted());
            }
            let plan = tokio::time::timeout(self.session().timeout(), self.planner.plan(&statement, None)).await;
            let (plan, calls) = plan.map_err(|_| timed_out(self.session()))??;
            if calls.highest > 0 {
                return Err(error(
                    "42P02",
                    "there is no parameter $1",
                    "Parameters go with prepared statements.",
                ));
            }
            let options = FormatOptions::from_client_metadata(client.metadata());
            responses.push(self.run(plan, &Format::UnifiedText, options).await?);
        }
        Ok(responses)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Connection {
    type Statement = Prepared;
    type QueryParser = Planner;

    fn query_parser(&self) -> Arc<Planner> {
        self.planner.clone()
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<Prepared>, _: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.session().access().await?;
        let prepared = &portal.statement.statement;
        let Some(plan) = &prepared.plan else {
            return self.command(client, prepared.kind, &prepared.statement);
        };
        if client.transaction_status() == TransactionStatus::Error {
            return Err(aborted());
        }
        if portal.parameter_len() < prepared.types.len() {
            let said = format!(
                "bind message supplies {} parameters, but the statement requires {}",
                portal.parameter_len(),
                prepared.types.len()
            );
            return Err(error("08P01", said, ""));
        }
        let wanted: Vec<_> = prepared.wanted.iter().map(Option::as_ref).collect();
        let types: Vec<_> = prepared.types.iter().map(Some).collect();
        let values = df::deserialize_parameters_with_server_types(portal, &wanted, &types)?;
        let plan = if prepared.bound {
            let texts = texts(&values);
            let planned = tokio::time::timeout(
                self.session().timeout(),
                self.planner.plan(&prepared.statement, Some(&texts)),
            );
            planned.await.map_err(|_| timed_out(self.session()))??.0
        } else {
            (**plan).clone()
        };
        let plan = plan
            .replace_params_with_values(&values)
            .map_err(crate::faults::planning)?;
        let options = FormatOptions::from_client_metadata(client.metadata());
        self.run(plan, &portal.result_column_format, options).await
    }
}

/// The values of parameters as calls take them.
fn texts(values: &ParamValues) -> Vec<Option<String>> {
    let text = |value: &ScalarValue| {
        if value.is_null() {
            return None;
        }
        let at = crate::conditions::millis(value).and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        Some(at.map_or_else(|| value.to_string(), |at| at.to_string()))
    };
    match values {
        ParamValues::List(values) => values.iter().map(|value| text(&value.value)).collect(),
        ParamValues::Map(_) => Vec::new(),
    }
}
