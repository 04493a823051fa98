//! From the text of a statement to a plan: what kind of statement it is, and what it reads.

use crate::absent;
use crate::calls::{self, Calls};
use crate::dialect;
use crate::faults::{self, error};
use crate::known;
use crate::session::Session;
use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as Planned;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::pgwire;
use pgwire::api::portal::Format;
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::api::stmt::QueryParser;
use pgwire::api::{ClientInfo, Type};
use pgwire::error::PgWireResult;
use std::sync::Arc;

/// Statements of one message: all are planned before the first row is sent.
const MOST_STATEMENTS: usize = 32;
/// Parameters of one statement.
const MOST_PARAMETERS: usize = 1000;

/// What kind a statement is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has rows.
    Query,
    /// `SET`.
    Set,
    /// `SHOW`.
    Show,
    /// `BEGIN` and its like.
    Begin,
    /// `COMMIT`.
    Commit,
    /// `ROLLBACK`.
    Rollback,
    /// Nothing is to be done: its tag.
    Nothing(&'static str),
}

/// A prepared statement.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The statement as it was parsed.
    pub statement: Arc<Statement>,
    /// Its kind.
    pub kind: Kind,
    /// The plan of a query. Parameters inside of calls have no value in it.
    pub plan: Option<Arc<LogicalPlan>>,
    /// The types of its parameters as the client is told.
    pub types: Vec<Type>,
    /// The types of its parameters as the plan wants them.
    pub wanted: Vec<Option<DataType>>,
    /// It has parameters inside of calls.
    pub bound: bool,
}

/// Plans the statements of a connection.
pub struct Planner {
    /// Whose.
    pub session: Arc<Session>,
    /// Where names are found.
    pub context: SessionContext,
    parser: Arc<PostgresCompatibilityParser>,
}

impl Planner {
    /// Of a connection.
    pub fn new(session: Arc<Session>, context: SessionContext, parser: Arc<PostgresCompatibilityParser>) -> Self {
        Self {
            session,
            context,
            parser,
        }
    }

    /// The statements of a text.
    ///
    /// # Errors
    /// If it is no SQL, or too much of it.
    pub fn parse(&self, sql: &str) -> PgWireResult<Vec<Statement>> {
        let parsed = self.parser.parse(&known::said(sql));
        let mut parsed = parsed.map_err(|fault| error("42601", fault.to_string(), ""))?;
        for statement in &mut parsed {
            dialect::rewrite(statement);
            absent::rewrite(statement);
        }
        if parsed.len() > MOST_STATEMENTS {
            let said = format!(
                "{} statements in one message; at most {MOST_STATEMENTS} are taken",
                parsed.len()
            );
            return Err(error("54000", said, "Send them one by one."));
        }
        Ok(parsed)
    }

    /// Plans a query. `values`: those of its parameters as texts, for parameters inside of calls.
    ///
    /// # Errors
    /// If names or types are wrong, or it would write.
    pub async fn plan(
        &self,
        statement: &Statement,
        values: Option<&[Option<String>]>,
    ) -> PgWireResult<(LogicalPlan, Calls)> {
        let mut statement = statement.clone();
        let calls = calls::rewrite(&mut statement, values)?;
        self.session.look(&calls).await?;
        let planned = self
            .context
            .state()
            .statement_to_plan(Planned::Statement(Box::new(statement)))
            .await;
        let plan = planned.map_err(faults::planning)?;
        let options = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        options.verify_plan(&plan).map_err(|_| read_only("the statement"))?;
        Ok((plan, calls))
    }

    /// Prepares a statement.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub async fn prepare(&self, statement: Statement) -> PgWireResult<Prepared> {
        let kind = kind(&statement)?;
        let mut prepared = Prepared {
            statement: Arc::new(statement),
            kind,
            plan: None,
            types: Vec::new(),
            wanted: Vec::new(),
            bound: false,
        };
        if kind != Kind::Query {
            return Ok(prepared);
        }
        let (plan, calls) = self.plan(&prepared.statement, None).await?;
        if calls.highest > MOST_PARAMETERS {
            let said = format!(
                "${} is above the {MOST_PARAMETERS} parameters that a statement may have",
                calls.highest
            );
            return Err(error("54000", said, ""));
        }
        let inferred = plan.get_parameter_types().map_err(faults::planning)?;
        for number in 1..=calls.highest {
            let wanted = inferred.get(&format!("${number}")).cloned().flatten();
            let kind = match calls.parameters.get(&number) {
                Some(kind) => kind.clone(),
                None => match &wanted {
                    Some(wanted) => datafusion_postgres::arrow_pg::datatypes::into_pg_type(wanted)?,
                    None => Type::TEXT,
                },
            };
            prepared.types.push(kind);
            prepared.wanted.push(wanted);
        }
        prepared.bound = !calls.parameters.is_empty();
        prepared.plan = Some(Arc::new(plan));
        Ok(prepared)
    }
}

/// 25006: something that would write.
fn read_only(what: &str) -> pgwire::error::PgWireError {
    let hint = "Answers can only be read: SELECT, EXPLAIN, SHOW and SET are to be had.";
    error(
        "25006",
        format!("{what} cannot be executed: the service is read-only"),
        hint,
    )
}

/// The kind of a statement.
///
/// # Errors
/// If it is none that is to be had.
pub fn kind(statement: &Statement) -> PgWireResult<Kind> {
    Ok(match statement {
        Statement::Query(_)
        | Statement::Explain { .. }
        | Statement::ExplainTable { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. } => Kind::Query,
        Statement::Set(_) => Kind::Set,
        Statement::ShowVariable { .. } => Kind::Show,
        Statement::StartTransaction { .. } => Kind::Begin,
        Statement::Commit { .. } => Kind::Commit,
        Statement::Rollback { .. } => Kind::Rollback,
        Statement::Savepoint { .. } => Kind::Nothing("SAVEPOINT"),
        Statement::ReleaseSavepoint { .. } => Kind::Nothing("RELEASE"),
        Statement::Reset(_) => Kind::Nothing("RESET"),
        Statement::Discard { .. } => Kind::Nothing("DISCARD ALL"),
        Statement::Deallocate { .. } => Kind::Nothing("DEALLOCATE"),
        Statement::UNLISTEN { .. } => Kind::Nothing("UNLISTEN"),
        Statement::Declare { .. } | Statement::Fetch { .. } | Statement::Close { .. } => {
            let hint =
                "Rows are sent in parts by the extended protocol: set the fetch size of the driver, or use LIMIT.";
            return Err(error("0A000", "cursors are not to be had", hint));
        }
        other => {
            let text = other.to_string();
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            let words = match words.first() {
                Some(first)
                    if matches!(
                        first.to_uppercase().as_str(),
                        "INSERT" | "UPDATE" | "DELETE" | "COPY" | "MERGE"
                    ) =>
                {
                    (*first).to_owned()
                }
                _ => words.join(" "),
            };
            return Err(read_only(&words));
        }
    })
}

#[async_trait]
impl QueryParser for Planner {
    type Statement = Prepared;

    async fn parse_sql<C>(&self, _: &C, sql: &str, _: &[Option<Type>]) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        self.session.access().await?;
        let mut statements = self.parse(sql)?;
        match (statements.pop(), statements.is_empty()) {
            (None, _) => Ok(None),
            (Some(statement), true) => {
                let late = |_| timed_out(&self.session);
                let prepared = tokio::time::timeout(self.session.timeout(), self.prepare(statement)).await;
                Ok(Some(prepared.map_err(late)??))
            }
            (Some(_), false) => Err(error(
                "42601",
                "cannot insert multiple commands into a prepared statement",
                "",
            )),
        }
    }

    fn get_parameter_types(&self, prepared: &Prepared) -> PgWireResult<Vec<Type>> {
        Ok(prepared.types.clone())
    }

    fn get_result_schema(&self, prepared: &Prepared, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        match (&prepared.plan, prepared.kind) {
            (Some(plan), _) => {
                let format = format.unwrap_or(&Format::UnifiedText);
                arrow_schema_to_pg_fields(plan.schema().as_arrow(), format, None)
            }
            (None, Kind::Show) => Ok(vec![shown("setting")]),
            _ => Ok(Vec::new()),
        }
    }
}

/// The column of a `SHOW`.
pub fn shown(name: &str) -> FieldInfo {
    FieldInfo::new(name.into(), None, None, Type::VARCHAR, FieldFormat::Text)
}

/// 57014: the statement took too long.
pub fn timed_out(session: &Session) -> pgwire::error::PgWireError {
    let said = format!(
        "canceling statement due to statement timeout: it took more than {} ms",
        session.timeout().as_millis()
    );
    error("57014", said, "Ask for a shorter range, fewer groups, or fewer rows.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reads_is_taken() {
        let parser = PostgresCompatibilityParser::new();
        let kind = |sql: &str| kind(&parser.parse(sql).unwrap().remove(0));
        for sql in [
            "SELECT 1",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "EXPLAIN SELECT 1",
            "VALUES (1)",
        ] {
            assert!(matches!(kind(sql), Ok(Kind::Query)), "{sql}");
        }
        assert!(matches!(kind("BEGIN"), Ok(Kind::Begin)));
        assert!(matches!(kind("DISCARD ALL"), Ok(Kind::Nothing("DISCARD ALL"))));
        for sql in [
            "INSERT INTO a VALUES (1)",
            "UPDATE a SET b = 1",
            "DELETE FROM a",
            "CREATE TABLE a (b INT)",
            "CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '/etc/passwd'",
            "DROP TABLE a",
            "COPY a TO '/tmp/x'",
            "COPY a FROM STDIN",
            "TRUNCATE a",
            "GRANT ALL ON a TO b",
        ] {
            let Ok(statements) = parser.parse(sql) else { continue };
            let refused = super::kind(&statements[0]).unwrap_err().to_string();
            assert!(refused.contains("25006"), "{sql}: {refused}");
        }
    }
}
