//! The session, its prepared statements, and what errors mean to people.

use super::address::Address;
use super::layout::TABLES;
use super::tls::Refused;
use crate::store::StoreError;
use futures_util::future::try_join_all;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{DbError, ExecutionError, NewSessionError, PrepareError, RequestAttemptError};
use scylla::response::PagingState;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::Statement;
use scylla::statement::prepared::PreparedStatement;
use std::ops::ControlFlow;
use std::time::Duration;

pub(super) const NAME: &str = "cassandra";
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How often nodes are asked whether they agree on the tables.
const AGREEMENT: Duration = Duration::from_millis(50);
/// How long a call may take, with all its tries.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Rows of one page: a megabyte or a few.
const PAGE: i32 = 256;

/// A session with everything prepared.
pub(super) struct Connection {
    session: Session,
    address: Address,
    pub(super) say: Statements,
}

/// All that is ever said, but for the schema.
pub(super) struct Statements {
    pub active: PreparedStatement,
    pub pipelines: PreparedStatement,
    pub attempt: PreparedStatement,
    pub begin: PreparedStatement,
    pub take: PreparedStatement,
    pub activate: PreparedStatement,
    pub tiers: PreparedStatement,
    pub all_tiers: PreparedStatement,
    pub add_tier: PreparedStatement,
    pub known: PreparedStatement,
    pub piece: PreparedStatement,
    pub put_piece: PreparedStatement,
    pub newest: PreparedStatement,
    pub newest_of: PreparedStatement,
    pub put_newest: PreparedStatement,
    pub sources: PreparedStatement,
    pub put_source: PreparedStatement,
    pub positions: PreparedStatement,
    pub put_position: PreparedStatement,
    /// By table.
    pub read: Vec<PreparedStatement>,
    pub put: Vec<PreparedStatement>,
}

/// A session without a keyspace: for making one.
pub(super) async fn session(address: &Address) -> Result<Session, StoreError> {
    let profile = ExecutionProfile::builder()
        .consistency(address.consistency)
        .request_timeout(Some(TIMEOUT))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&address.nodes)
        .connection_timeout(CONNECT)
        .hostname_resolution_timeout(Some(CONNECT))
        .metadata_request_clientside_timeout(TIMEOUT)
        // Tables are made one after the other: all that is waited for is that the nodes agree on each.
        .schema_agreement_interval(AGREEMENT)
        .refresh_metadata_on_auto_schema_agreement(false)
        // By it the client knows which nodes have a partition; it need not know of others' keyspaces.
        .keyspaces_to_fetch([&address.keyspace])
        .default_execution_profile_handle(profile.into_handle());
    if let Some((user, password)) = &address.login {
        builder = builder.user(user, password);
    }
    if let Some(name) = &address.data_centre {
        builder = builder.prefer_datacenter(name.clone());
    }
    let refused = Refused::default();
    if let Some(tls) = &address.tls {
        let connector = tls.connector(&address.nodes, &refused);
        let connector = connector.map_err(|reason| away(address, &reason))?;
        builder = builder.tls_context(Some(connector));
    }
    let built = builder.build().await;
    built.map_err(|error| unreachable(address, &error, &refused))
}

fn unreachable(address: &Address, error: &NewSessionError, refused: &Refused) -> StoreError {
    let way = match (refused.reason(), &address.tls) {
        (Some(reason), _) => reason,
        (None, Some(_)) => {
            "check host and port, that it runs and speaks TLS there, user and password, and whether it asks for a certificate (cert=FILE&key=FILE)".into()
        }
        (None, None) => {
            "check host and port, that it runs, user and password, and whether it wants TLS (tls=true)".into()
        }
    };
    away(address, &format!("{error}; {way}"))
}

/// It does not answer, or not so.
pub(super) fn away(address: &Address, reason: &str) -> StoreError {
    StoreError::Away {
        store: NAME,
        reason: format!("{address}: {reason}"),
    }
}

impl Connection {
    /// Connects and prepares. The keyspace and its tables have to be there.
    pub(super) async fn open(address: &Address) -> Result<Self, StoreError> {
        let session = session(address).await?;
        let say = Statements::prepare(&session, &address.keyspace).await;
        Ok(Self {
            say: say.map_err(|error| refused(address, &error))?,
            session,
            address: address.clone(),
        })
    }

    /// Says something that has no rows for an answer.
    pub(super) async fn tell(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), StoreError> {
        self.call(statement, values).await.map(drop)
    }

    async fn call(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<QueryResult, StoreError> {
        let called = self.session.execute_unpaged(statement, values).await;
        called.map_err(|error| self.failed(&error))
    }

    /// Whether a lightweight transaction was carried out.
    pub(super) async fn agree(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<bool, StoreError> {
        use scylla::value::{CqlValue, Row};
        let result = self.call(statement, values).await?;
        let rows = result.into_rows_result().map_err(|error| self.strange(&error))?;
        let row: Row = rows.first_row().map_err(|error| self.strange(&error))?;
        Ok(matches!(row.columns.first(), Some(Some(CqlValue::Boolean(true)))))
    }

    /// All rows, page by page.
    pub(super) async fn ask<T>(
        &self,
        statement: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'f> DeserializeRow<'f, 'f> + Send,
    {
        let (mut all, mut state) = (Vec::new(), PagingState::start());
        loop {
            let asked = self.session.execute_single_page(statement, values, state).await;
            let (result, next) = asked.map_err(|error| self.failed(&error))?;
            let rows = result.into_rows_result().map_err(|error| self.strange(&error))?;
            for row in rows.rows::<T>().map_err(|error| self.strange(&error))? {
                all.push(row.map_err(|error| self.strange(&error))?);
            }
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok(all),
                ControlFlow::Continue(next) => state = next,
            }
        }
    }

    fn failed(&self, error: &ExecutionError) -> StoreError {
        away(&self.address, &error.to_string())
    }

    fn strange(&self, error: &dyn std::error::Error) -> StoreError {
        away(
            &self.address,
            &format!("it answers in another shape ({error}); were its tables made by another version?"),
        )
    }
}

/// What to do when the tables are not there.
fn refused(address: &Address, error: &PrepareError) -> StoreError {
    let missing = match error {
        PrepareError::AllAttemptsFailed {
            first_attempt: RequestAttemptError::DbError(DbError::Invalid | DbError::Unauthorized, reason),
        } => Some(reason),
        _ => None,
    };
    match missing {
        Some(reason) => away(
            address,
            &format!(
                "{reason}; `hitters archive` creates keyspace and tables, and sql/cassandra has them to be run by hand"
            ),
        ),
        None => away(address, &error.to_string()),
    }
}

impl Statements {
    async fn prepare(session: &Session, keyspace: &str) -> Result<Self, PrepareError> {
        let prepare = |text: String| async move {
            let mut statement = Statement::new(text.replace("{ks}", keyspace));
            statement.set_page_size(PAGE);
            // Every one of them leaves the same when it is said twice, but for the lightweight transactions.
            statement.set_is_idempotent(!text.contains(" IF "));
            session.prepare(statement).await
        };
        let on = |text: &str| prepare(text.to_owned());
        const WINDOW: &str = "pipeline = ? AND version = ? AND dims = ? AND group_key = ? AND width = ? AND day = ?";
        let read = TABLES.map(|table| {
            prepare(format!(
                "SELECT window_start, sketch FROM {{ks}}.{table} WHERE {WINDOW} AND window_start >= ? AND window_start < ?"
            ))
        });
        let put = TABLES.map(|table| {
            prepare(format!(
                "INSERT INTO {{ks}}.{table} (pipeline, version, dims, group_key, width, day, window_start, sketch, answer) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?"
            ))
        });
        const PIECE: &str = "piece, known_from, known_to, seen_from, seen_to, alive_until, anew";
        const OF_TIER: &str = "WHERE pipeline = ? AND version = ? AND dims = ? AND width = ?";
        Ok(Self {
            active: on("SELECT active FROM {ks}.pipelines WHERE pipeline = ?").await?,
            pipelines: on("SELECT pipeline, active FROM {ks}.pipelines").await?,
            attempt: on("SELECT attempt FROM {ks}.pipelines WHERE pipeline = ?").await?,
            begin: on("INSERT INTO {ks}.pipelines (pipeline, attempt) VALUES (?, ?) IF NOT EXISTS").await?,
            take: on("UPDATE {ks}.pipelines SET attempt = ? WHERE pipeline = ? IF attempt = ?").await?,
            activate: on("UPDATE {ks}.pipelines SET active = ? WHERE pipeline = ? IF active = ?").await?,
            tiers: on("SELECT dims, width, kept FROM {ks}.tiers WHERE pipeline = ? AND version = ?").await?,
            all_tiers: on("SELECT version, dims, width FROM {ks}.tiers WHERE pipeline = ?").await?,
            add_tier: on("INSERT INTO {ks}.tiers (pipeline, version, dims, width, kept) VALUES (?, ?, ?, ?, ?)").await?,
            known: prepare(format!("SELECT {PIECE} FROM {{ks}}.known {OF_TIER} LIMIT ?")).await?,
            piece: prepare(format!("SELECT {PIECE} FROM {{ks}}.known {OF_TIER} AND piece = ?")).await?,
            put_piece: prepare(format!(
                "INSERT INTO {{ks}}.known (pipeline, version, dims, width, {PIECE}) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?"
            ))
            .await?,
            newest: on(
                "SELECT group_key, window_start, window_end, sketched, answer FROM {ks}.newest \
                 WHERE pipeline = ? AND version = ? AND dims = ?",
            )
            .await?,
            newest_of: on(
                "SELECT group_key, window_start, window_end, sketched, answer FROM {ks}.newest \
                 WHERE pipeline = ? AND version = ? AND dims = ? AND group_key = ?",
            )
            .await?,
            put_newest: on(
                "INSERT INTO {ks}.newest (pipeline, version, dims, group_key, window_start, window_end, sketched, answer) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?",
            )
            .await?,
            sources: on("SELECT pipeline FROM {ks}.sources WHERE log = ?").await?,
            put_source: on("INSERT INTO {ks}.sources (log, pipeline) VALUES (?, ?)").await?,
            positions: on("SELECT part, next_offset FROM {ks}.positions WHERE log = ?").await?,
            put_position: on("INSERT INTO {ks}.positions (log, part, next_offset) VALUES (?, ?, ?)").await?,
            read: try_join_all(read).await?,
            put: try_join_all(put).await?,
        })
    }
}
