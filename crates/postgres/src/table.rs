//! Tables whose rows are answers: what a statement says about them becomes a question of REST.

use crate::conditions::{self, Condition, Wanted};
use crate::faults::Refused;
use crate::functions::Function;
use crate::rows::{self, Cell, Kind, Row, count, float, text, time, truth};
use crate::session::Session;
use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{Session as Planner, TableProvider};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures_util::stream;
use hitters_results::{Filter, group};
use hitters_service::{Access, Pairs, Problem};
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of one table in one statement.
const MOST_ROWS: usize = 200_000;
/// Rows of a batch that is handed on.
const BATCH: usize = 8192;
/// Groups of one page.
const PAGE: usize = 1000;

/// What the rows are about.
#[derive(Debug)]
pub enum Subject {
    /// The answer to a call.
    Call {
        /// Which function.
        function: &'static Function,
        /// `None`: a parameter without a value yet.
        pipeline: Option<String>,
        /// Its other arguments, as REST takes them.
        pairs: Pairs,
        /// What `group_key` says.
        group: Filter,
    },
    /// The newest window of all groups of a pipeline: its own table.
    Newest {
        /// The function with the same columns.
        groups: &'static Function,
        /// The pipeline.
        pipeline: String,
    },
    /// The pipelines and their sets.
    Pipelines,
}

/// The columns of the table of pipelines.
const PIPELINES: [(&str, Kind); 11] = [
    ("pipeline", Kind::Text),
    ("version", Kind::Int),
    ("set", Kind::Text),
    ("dimensions", Kind::Text),
    ("groups", Kind::Int),
    ("window_seconds", Kind::Float),
    ("k", Kind::Int),
    ("ranges", Kind::Bool),
    ("kept_from", Kind::Time),
    ("complete_up_to", Kind::Time),
    ("lag_seconds", Kind::Float),
];

/// A table.
#[derive(Debug)]
pub struct Table {
    session: Arc<Session>,
    subject: Subject,
    /// The columns of dimensions, and which dimension each is.
    dimensions: Vec<(String, String)>,
    schema: SchemaRef,
}

impl Table {
    /// Over these dimensions.
    pub fn new(session: Arc<Session>, subject: Subject, dimensions: Vec<String>) -> Self {
        let columns = match &subject {
            Subject::Call { function, .. } | Subject::Newest { groups: function, .. } => function.columns(),
            Subject::Pipelines => PIPELINES.to_vec(),
        };
        // A dimension with the name of a column gets another one: neither may hide the other.
        let named = |dimension: String| match columns.iter().any(|(name, _)| *name == dimension) {
            true => (format!("dimension_{dimension}"), dimension),
            false => (dimension.clone(), dimension),
        };
        let dimensions: Vec<(String, String)> = dimensions.into_iter().map(named).collect();
        let of_dimensions = dimensions.iter().map(|(column, _)| (column.as_str(), Kind::Text));
        let schema = rows::schema(columns.into_iter().chain(of_dimensions));
        Self {
            session,
            subject,
            dimensions,
            schema,
        }
    }

    fn dimension(&self, column: &str) -> Option<&str> {
        let mut all = self.dimensions.iter();
        all.find(|(name, _)| name == column)
            .map(|(_, dimension)| dimension.as_str())
    }

    /// Whether the rows themselves have values of dimensions, so that any condition on them is only a filter.
    fn of_groups(&self) -> bool {
        match &self.subject {
            Subject::Call { function, .. } => function.is_groups(),
            Subject::Newest { .. } | Subject::Pipelines => true,
        }
    }

    fn takes(&self, column: &str) -> bool {
        let other = match &self.subject {
            Subject::Call { function, .. } => function.what == "series" && column == "time",
            Subject::Newest { .. } => column == "set",
            Subject::Pipelines => false,
        };
        other || self.dimension(column).is_some()
    }

    /// Whether a condition becomes part of the question. One that cannot, on a dimension that has no value of its own, would
    /// silently find nothing: it is refused.
    fn pushed(&self, filter: &Expr) -> Result<TableProviderFilterPushDown, Refused> {
        let understood = conditions::read(filter).is_some_and(|all| {
            let column = |condition: &Condition| match condition {
                Condition::OneOf(name, _) => name != "time" && self.takes(name),
                Condition::From(name, _) | Condition::To(name, _) => name == "time" && self.takes(name),
            };
            all.iter().all(column)
        });
        if understood {
            return Ok(TableProviderFilterPushDown::Inexact);
        }
        let null = matches!(filter, Expr::IsNull(_) | Expr::IsNotNull(_));
        let columns = filter.column_refs();
        let named = columns.iter().find(|column| self.dimension(&column.name).is_some());
        match named {
            Some(column) if !null && !self.of_groups() => {
                let detail = format!(
                    "the condition {filter} is not to be had: a dimension is chosen by {} = 'value' or IN ('a', 'b')",
                    column.name
                );
                let problem = Problem::new(
                    StatusCode::BAD_REQUEST,
                    "not-constant",
                    "a condition is not to be had",
                    detail,
                );
                Err(problem.into())
            }
            _ => Ok(TableProviderFilterPushDown::Unsupported),
        }
    }

    async fn rows(&self, filters: &[Expr]) -> Result<Vec<Row>, Refused> {
        let access = self.session.access().await?;
        let (mut wanted, mut sets, mut from, mut to) = (Wanted::new(), None, None::<i64>, None::<i64>);
        for condition in filters.iter().filter_map(conditions::read).flatten() {
            match condition {
                Condition::OneOf(column, values) => {
                    let slot = match self.dimension(&column) {
                        Some(dimension) => wanted.entry(dimension.to_owned()).or_insert_with(|| values.clone()),
                        None => sets.get_or_insert_with(|| values.clone()),
                    };
                    // Several conditions on one column: all of them hold.
                    *slot = &*slot & &values;
                }
                Condition::From(_, at) => from = Some(from.map_or(at, |other| other.max(at))),
                Condition::To(_, at) => to = Some(to.map_or(at, |other| other.min(at))),
            }
        }
        let (function, pipeline) = match &self.subject {
            Subject::Pipelines => return self.pipelines(&access).await,
            Subject::Call { function, pipeline, .. } => (*function, pipeline.as_deref()),
            Subject::Newest { groups, pipeline } => (*groups, Some(pipeline.as_str())),
        };
        let pipeline = pipeline.ok_or_else(|| {
            let detail = format!("which pipeline? {} begins with its name", function.signature());
            Problem::parameter("pipeline", detail, json!(self.session.names().unwrap_or_default()))
        })?;
        let mut rows = Vec::new();
        for group in conditions::combinations(&wanted)? {
            let mut filter = match &self.subject {
                Subject::Call { group, .. } => group.clone(),
                _ => Filter::default(),
            };
            filter
                .0
                .extend(group.into_iter().map(|(name, value)| (name, Some(value))));
            let mut pairs: Pairs = filter
                .0
                .iter()
                .map(|(name, value)| {
                    let value = value
                        .as_ref()
                        .map_or_else(|| name.clone(), |value| format!("{name}={value}"));
                    ("where".to_owned(), value)
                })
                .collect();
            match &self.subject {
                Subject::Call { pairs: given, .. } => pairs.extend(given.iter().cloned()),
                _ => pairs.push(("top".into(), "100".into())),
            }
            if !pairs
                .iter()
                .any(|(name, _)| matches!(name.as_str(), "last" | "from" | "to"))
            {
                pairs.extend(from.map(|at| ("from".to_owned(), at.to_string())));
                pairs.extend(to.map(|at| ("to".to_owned(), at.to_string())));
            }
            match &self.subject {
                Subject::Newest { .. } => {
                    access.allows(pipeline, &filter)?;
                    for set in self.session.questions.edge(pipeline).await?.sets() {
                        if filter.fits(set) && sets.as_ref().is_none_or(|sets| sets.contains(set)) {
                            let mut of_set = pairs.clone();
                            of_set.push(("set".into(), set.to_owned()));
                            self.groups(&access, function, pipeline, of_set, &mut rows).await?;
                        }
                    }
                }
                _ if function.is_groups() => self.groups(&access, function, pipeline, pairs, &mut rows).await?,
                _ => rows.extend(self.asked(&access, function, pipeline, pairs, &filter).await?),
            }
            if rows.len() > MOST_ROWS {
                return Err(too_many());
            }
        }
        Ok(rows)
    }

    async fn asked(
        &self,
        access: &Access,
        function: &Function,
        pipeline: &str,
        pairs: Pairs,
        filter: &Filter,
    ) -> Result<Vec<Row>, Refused> {
        let (questions, text) = (&self.session.questions, question_text(function, pipeline, &pairs));
        let answered = questions.answer(access, pipeline, function.what, pairs, text).await;
        let (answer, set) = answered.map_err(Refused)?;
        let named = group::dimensions(&set)
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), filter.0.get(name)?.clone())))
            .collect::<Vec<_>>();
        let mut rows = function.rows(&answer, &group::key(&named))?;
        let values: BTreeMap<String, Option<String>> = named.into_iter().collect();
        self.add_dimensions(&mut rows, |_| values.clone());
        Ok(rows)
    }

    /// The pages of groups, one after the other.
    async fn groups(
        &self,
        access: &Access,
        function: &Function,
        pipeline: &str,
        mut pairs: Pairs,
        rows: &mut Vec<Row>,
    ) -> Result<(), Refused> {
        pairs.push(("limit".into(), PAGE.to_string()));
        let mut cursor: Option<String> = None;
        loop {
            let mut of_page = pairs.clone();
            of_page.extend(cursor.map(|cursor| ("cursor".to_owned(), cursor)));
            let text = question_text(function, pipeline, &of_page);
            let page = self.session.questions.groups(access, pipeline, of_page, text).await;
            let page = page.map_err(Refused)?;
            let mut found = function.rows(&page, "")?;
            self.add_dimensions(&mut found, |row| match row.last() {
                Some(Cell::Text(key)) => group::values(key).into_iter().collect(),
                _ => BTreeMap::new(),
            });
            rows.append(&mut found);
            if rows.len() > MOST_ROWS {
                return Err(too_many());
            }
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    fn add_dimensions(&self, rows: &mut [Row], values: impl Fn(&Row) -> BTreeMap<String, Option<String>>) {
        for row in rows {
            let values = values(row);
            row.extend(self.dimensions.iter().map(|(_, dimension)| {
                let value = values.get(dimension).and_then(Option::as_deref);
                value.map_or(Cell::Null, |value| Cell::Text(value.into()))
            }));
        }
    }

    /// A row for each set of each pipeline.
    async fn pipelines(&self, access: &Access) -> Result<Vec<Row>, Refused> {
        let mut rows = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut pairs: Pairs = vec![("limit".into(), "1000".into())];
            pairs.extend(cursor.map(|cursor| ("cursor".to_owned(), cursor)));
            let page = self.session.questions.list(access, pairs, "sql pipelines".into()).await;
            let page = page.map_err(Refused)?;
            for pipeline in page["pipelines"].as_array().into_iter().flatten() {
                for set in pipeline["sets"].as_array().into_iter().flatten() {
                    let names = set["dimensions"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str);
                    let windows = set["windows"].as_array().into_iter().flatten();
                    let oldest = windows.map(|window| time(&window["from"])).min_by_key(|at| match at {
                        Cell::Time(at) => *at,
                        _ => i64::MAX,
                    });
                    rows.push(vec![
                        text(&pipeline["pipeline"]),
                        count(&pipeline["version"])?,
                        text(&set["set"]),
                        Cell::Text(names.collect::<Vec<_>>().join(",").into()),
                        count(&set["groups"])?,
                        float(&pipeline["window_seconds"]),
                        count(&pipeline["k"])?,
                        truth(&pipeline["ranges"]),
                        oldest.unwrap_or(Cell::Null),
                        time(&pipeline["freshness"]["complete_up_to"]),
                        float(&pipeline["freshness"]["lag_seconds"]),
                    ]);
                }
            }
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }
}

/// The question for the audit log.
fn question_text(function: &Function, pipeline: &str, pairs: &Pairs) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("sql {}({pipeline}) {}", function.name, pairs.join("&"))
}

fn too_many() -> Refused {
    let detail = format!("the table has more than {MOST_ROWS} rows; name a set or a value of a dimension in WHERE");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too-many", "too many rows", detail).into()
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        filters.iter().map(|filter| Ok(self.pushed(filter)?)).collect()
    }

    async fn scan(
        &self,
        state: &dyn Planner,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.rows(filters).await?;
        let batch = rows::batch(&self.schema, &rows)?;
        let memory = MemoryConsumer::new("answers").register(&state.runtime_env().memory_pool);
        memory.try_grow(batch.get_array_memory_size())?;
        let partition: Arc<dyn PartitionStream> = Arc::new(Held {
            schema: self.schema.clone(),
            batch,
            _memory: memory,
        });
        let plan = StreamingTableExec::try_new(self.schema.clone(), vec![partition], projection, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// Rows of an answer, and the memory that is counted for them.
#[derive(Debug)]
struct Held {
    schema: SchemaRef,
    batch: RecordBatch,
    _memory: MemoryReservation,
}

impl PartitionStream for Held {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batch = self.batch.clone();
        let begins = (0..batch.num_rows()).step_by(BATCH);
        let parts: Vec<_> = begins
            .map(|begin| Ok(batch.slice(begin, BATCH.min(batch.num_rows() - begin))))
            .collect();
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream::iter(parts)))
    }
}
