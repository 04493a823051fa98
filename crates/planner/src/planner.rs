//! A file from its first statement to its last.

use crate::arroyo::{Check, Cluster, Written};
use crate::catalog::{BROKEN, Catalog, Entry};
use crate::connector::{Connectors, Direction};
use crate::convert::Builder;
use crate::ddl;
use crate::error::{Error, Span};
use crate::fault;
use crate::functions::{Functions, Registry};
use crate::insert::{self, Target};
use crate::nulls;
use crate::optimize;
use crate::places::Places;
use crate::plan::{Plan, Warning};
use crate::share::share;
use crate::syntax::{self, Parsed, Statement, place, simple_name};
use crate::table::Table;
use crate::windowing;
use datafusion_common::{Column, Result as DfResult};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::planner::SqlToRel;
use datafusion_sql::sqlparser::ast::{self, Ident, Query, TableObject};
use std::collections::HashMap;
use std::sync::Arc;

/// Stack of the planning thread: trees as deep as the syntax allows fit into it. Pages that are not touched cost nothing.
const STACK: usize = 1 << 29;

/// Operators of one query, views inlined: a view that reads another one twice doubles it, again with each further view.
const MAX_OPERATORS: usize = 5_000;

/// How to plan. All defaults are right for `hitters run`.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// A file without a query is fine (a file of tables that others include).
    pub tables_only: bool,
    /// Check the file for an Arroyo cluster, too: what it refuses or breaks on is an error, what is dear there a warning.
    pub arroyo: Option<Cluster>,
}

/// Plans SQL files against a set of connectors and functions. Holds no state between files.
#[derive(Clone, Copy)]
pub struct Planner<'a> {
    connectors: &'a Connectors,
    functions: &'a Functions,
    options: &'a PlanOptions,
}

/// Plans one file. On failure: every fault that can be found at once, in the order of the text.
pub fn plan(
    sql: &str,
    connectors: &Connectors,
    functions: &Functions,
    options: &PlanOptions,
) -> Result<Plan, Vec<Error>> {
    Planner::new(connectors, functions, options).plan(sql)
}

impl<'a> Planner<'a> {
    /// A planner.
    pub fn new(connectors: &'a Connectors, functions: &'a Functions, options: &'a PlanOptions) -> Self {
        Self {
            connectors,
            functions,
            options,
        }
    }

    /// Plans one file. See [`plan`].
    ///
    /// # Errors
    /// Every fault that can be found at once, in the order of the text.
    pub fn plan(&self, sql: &str) -> Result<Plan, Vec<Error>> {
        let work = || {
            let registry = Registry::new(self.functions).map_err(|e| fault::errors(&e))?;
            let mut file = File::new(*self, &registry);
            file.read(sql);
            file.finish()
        };
        // Planning recurses over trees whose depth the text decides.
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("planner".to_string())
                .stack_size(STACK)
                .spawn_scoped(scope, work);
            match thread.map(|t| t.join()) {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(e) => Err(vec![Error::new(format!("cannot start a thread for planning: {e}"))]),
            }
        })
    }
}

/// A query that gives rows to somebody.
struct Output {
    plan: LogicalPlan,
    places: Places,
    target: Option<Arc<Table>>,
}

/// One file while it is read.
struct File<'a> {
    planner: Planner<'a>,
    catalog: Catalog<'a>,
    declared_at: HashMap<String, Span>,
    outputs: Vec<Output>,
    statements: usize,
    arroyo: Option<Check<'a>>,
    warnings: Vec<Warning>,
    errors: Vec<Error>,
}

impl<'a> File<'a> {
    fn new(planner: Planner<'a>, registry: &'a Registry) -> Self {
        Self {
            planner,
            catalog: Catalog::new(registry),
            declared_at: HashMap::new(),
            outputs: Vec::new(),
            statements: 0,
            arroyo: planner
                .options
                .arroyo
                .as_ref()
                .map(|c| Check::new(c, planner.functions, registry)),
            warnings: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn read(&mut self, sql: &str) {
        let (statements, errors) = syntax::parse(sql);
        self.errors.extend(errors);
        for Parsed { kind, span } in statements {
            let places = match &kind {
                Statement::CreateTable(_) => None,
                Statement::CreateView { query, .. } | Statement::Query(query) => Some(Places::new(span, query)),
                Statement::Insert(insert) => insert.source.as_ref().map(|query| Places::new(span, query)),
            };
            self.warn(places.as_ref());
            self.as_written(&kind);
            if let Err(errors) = self.statement(kind, span) {
                let fresh = errors.into_iter().filter(|e| !e.message.contains(BROKEN));
                self.errors.extend(fresh.map(|e| {
                    let named = places.as_ref().and_then(|p| p.named_in(&e.message));
                    e.at(named).at(span)
                }));
            }
        }
    }

    /// Legal, but worth a word: what makes rows depend on when or how often they are computed.
    fn warn(&mut self, places: Option<&Places>) {
        for (name, span) in places.into_iter().flat_map(Places::functions) {
            let message = match name.as_str() {
                "now" | "current_timestamp" | "current_date" | "current_time" | "today" => {
                    format!("{name}() is taken once, when the pipeline is planned; use the event time of the rows")
                }
                "random" | "uuid" => format!("{name}() gives other rows in every run, also after a restart"),
                _ => continue,
            };
            self.warnings.push(Warning {
                message,
                span: Some(*span),
                hint: None,
            });
        }
    }

    fn statement(&mut self, kind: Statement, span: Span) -> Result<(), Vec<Error>> {
        match kind {
            Statement::CreateTable(statement) => {
                let entry = self.name_is_free(&statement.name).and_then(|()| {
                    ddl::create_table(&self.catalog, self.planner.connectors, &statement, &mut self.warnings)
                });
                if let (Some(check), Ok(Entry::Table(declared))) = (&mut self.arroyo, &entry) {
                    check.declared(&statement, declared);
                }
                self.declare(&statement.name, entry)
            }
            Statement::CreateView { name, columns, query } => {
                let entry = self
                    .name_is_free(&name)
                    .and_then(|()| self.view(&name, &columns, query, span));
                self.declare(&name, entry)
            }
            Statement::Insert(statement) => {
                self.statements += 1;
                self.insert(*statement, span)
            }
            Statement::Query(query) => {
                self.statements += 1;
                let places = Places::new(span, &query);
                let by_name = self.by_name(&query);
                let plan = self.resolve(*query)?;
                if let (Some(check), Some(plan)) = (&mut self.arroyo, &by_name) {
                    check.output(None, plan, &places);
                }
                let plan = insert::outgoing(self.analyse(plan)?).map_err(|e| fault::errors(&e))?;
                let plan = self.prepare(plan, &places)?;
                self.outputs.push(Output {
                    plan,
                    places,
                    target: None,
                });
                Ok(())
            }
        }
    }

    fn name_is_free(&self, name: &Ident) -> Result<(), Vec<Error>> {
        match self.declared_at.get(&name.value.to_lowercase()) {
            Some(first) => Err(vec![
                Error::new(format!("{} is declared twice", name.value))
                    .at(place(name.span))
                    .hint(format!("the first declaration is in line {}", first.line)),
            ]),
            None => Ok(()),
        }
    }

    /// Enters a declaration; a wrong one too, so that its uses are not reported as unknown.
    fn declare(&mut self, name: &Ident, entry: Result<Entry, Vec<Error>>) -> Result<(), Vec<Error>> {
        let (entry, errors) = match entry {
            Ok(entry) => (entry, Vec::new()),
            Err(errors) => (Entry::Broken, errors),
        };
        if self.declared_at.contains_key(&name.value.to_lowercase()) {
            return Err(errors);
        }
        self.declared_at.insert(name.value.to_lowercase(), place(name.span));
        self.catalog.insert(&name.value, entry);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Views are checked to the end even if nobody uses them.
    fn view(&mut self, name: &Ident, columns: &[Ident], query: Box<Query>, span: Span) -> Result<Entry, Vec<Error>> {
        let places = Places::new(span, &query);
        let by_name = self.by_name(&query);
        let mut plan = self.resolve(*query)?;
        if !columns.is_empty() {
            plan = renamed(plan, columns)?;
        }
        if let (Some(check), Some(by_name)) = (&mut self.arroyo, by_name) {
            let named = if columns.is_empty() {
                by_name
            } else {
                renamed(by_name, columns)?
            };
            check.view(name, &named, &places);
        }
        let checked = self.prepare(self.analyse(plan.clone())?, &places)?;
        Builder::check(&checked, &places).map_err(|e| vec![e])?;
        Ok(Entry::View(Arc::new(plan)))
    }

    fn insert(&mut self, statement: ast::Insert, span: Span) -> Result<(), Vec<Error>> {
        let one = |e: Error| vec![e];
        let TableObject::TableName(name) = &statement.table else {
            return Err(vec![Error::new("INSERT INTO takes the name of a table")]);
        };
        let name = simple_name(name).map_err(one)?;
        if statement.overwrite || statement.replace_into || statement.on.is_some() || statement.returning.is_some() {
            return Err(vec![Error::new(
                "INSERT takes no OVERWRITE, REPLACE, ON CONFLICT or RETURNING",
            )]);
        }
        let Some(query) = statement.source else {
            return Err(vec![
                Error::new("INSERT INTO needs a query").hint("write INSERT INTO table SELECT ..."),
            ]);
        };
        let named = statement
            .columns
            .iter()
            .map(simple_name)
            .collect::<Result<Vec<_>, _>>()
            .map_err(one)?;
        let at = place(name.span);
        let places = Places::new(span, &query);
        let Some(entry) = self.catalog.get(&name.value).cloned() else {
            let hint = match fault::nearest(&name.value, self.catalog.names()) {
                Some(near) => format!("did you mean {near}?"),
                None => "declare it with CREATE TABLE".to_string(),
            };
            let unknown = Error::new(format!("there is no table {}", name.value))
                .at(at)
                .hint(hint);
            // The query may have faults of its own.
            let mut errors = vec![unknown];
            errors.extend(self.resolve(*query).err().unwrap_or_default());
            return Err(errors);
        };
        let selected = insert::selected(&query);
        let by_name = self.by_name(&query);
        let plan = self.analyse(self.resolve(*query)?)?;
        if let (Some(check), Some(by_name)) = (&mut self.arroyo, by_name) {
            let written = Written {
                table: name.value.clone(),
                at,
                named: named.iter().map(|ident| ident.value.clone()).collect(),
                nulls: nulls::of(&plan),
                selected: selected.clone(),
            };
            check.output(Some(&written), &by_name, &places);
        }
        let target = Target {
            table: &name.value,
            fields: &[],
            named: &named,
            at,
            selected,
        };
        match entry {
            Entry::Broken => Ok(()),
            Entry::View(_) => Err(vec![
                Error::new(format!("{} is a view and cannot be written", name.value)).at(at),
            ]),
            Entry::Memory(memory) => {
                if self.catalog.read.borrow().contains(&name.value.to_lowercase()) {
                    return Err(vec![
                        Error::new(format!("memory table {} is written after it was read", name.value))
                            .at(at)
                            .hint("put all INSERTs before the first query that reads it"),
                    ]);
                }
                let target = Target {
                    fields: &memory.fields,
                    ..target
                };
                let plan = insert::matched(plan, &target, &mut self.warnings).map_err(one)?;
                let checked = self.prepare(plan.clone(), &places)?;
                Builder::check(&checked, &places).map_err(|e| vec![e])?;
                if let Some(Entry::Memory(memory)) = self.catalog.get_mut(&name.value) {
                    memory.written.push(plan);
                }
                Ok(())
            }
            Entry::Table(declared) => {
                let table = declared.table.clone();
                if table.spec.direction() != Direction::Sink {
                    return Err(vec![
                        Error::new(format!(
                            "attempted to insert into table '{}', but it is a source",
                            table.name
                        ))
                        .at(at)
                        .hint("give it type = 'sink', or write another table"),
                    ]);
                }
                let fields: Vec<_> = table.columns.iter().map(|c| c.field.clone()).collect();
                let target = Target {
                    table: &table.name,
                    fields: &fields,
                    ..target
                };
                let plan = insert::matched(plan, &target, &mut self.warnings).map_err(one)?;
                let plan = self.prepare(plan, &places)?;
                self.outputs.push(Output {
                    plan,
                    places,
                    target: Some(table),
                });
                Ok(())
            }
            Entry::Unshaped(unshaped) => {
                let plan = insert::outgoing(plan).map_err(|e| fault::errors(&e))?;
                let columns = insert::columns_of(&plan);
                let spans = HashMap::new();
                let table = ddl::connect(
                    self.planner.connectors,
                    &unshaped.connector,
                    &unshaped.name,
                    unshaped.span,
                    columns,
                    unshaped.options.clone(),
                    &spans,
                )?;
                let plan = self.prepare(plan, &places)?;
                let declared = crate::catalog::Declared {
                    table: table.clone(),
                    generated: HashMap::new(),
                    event_time: None,
                    watermark: None,
                };
                self.catalog.insert(&name.value, Entry::Table(Arc::new(declared)));
                self.outputs.push(Output {
                    plan,
                    places,
                    target: Some(table),
                });
                Ok(())
            }
        }
    }

    /// A statement as Arroyo would see its text.
    fn as_written(&mut self, kind: &Statement) {
        let Some(check) = &mut self.arroyo else { return };
        match kind {
            Statement::CreateTable(statement) => check.table(statement),
            Statement::CreateView { query, .. } | Statement::Query(query) => check.query(query),
            Statement::Insert(insert) => {
                if let Some(query) = &insert.source {
                    check.query(query);
                }
            }
        }
    }

    /// The query over views as names, for a check; faults in it are reported where it is resolved.
    fn by_name(&self, query: &Query) -> Option<LogicalPlan> {
        self.arroyo.as_ref()?;
        self.catalog.by_name.set(true);
        let plan = self.resolve(query.clone()).ok();
        self.catalog.by_name.set(false);
        plan
    }

    /// Names and types of a query.
    fn resolve(&self, query: Query) -> Result<LogicalPlan, Vec<Error>> {
        let planner = SqlToRel::new_with_options(&self.catalog, ddl::parser_options());
        let plan = planner
            .sql_statement_to_plan(ast::Statement::Query(Box::new(query)))
            .map_err(|e| fault::errors(&e))?;
        let mut left = MAX_OPERATORS;
        if fits(&plan, &mut left) {
            return Ok(plan);
        }
        let fault = Error::new(format!(
            "the query has more than {MAX_OPERATORS} operators, counting those of its views each time they are read"
        ));
        Err(vec![fault.hint(
            "write intermediate results to a topic with INSERT INTO and read them back",
        )])
    }

    fn analyse(&self, plan: LogicalPlan) -> Result<LogicalPlan, Vec<Error>> {
        optimize::analyse(plan, self.catalog.registry).map_err(|e| fault::errors(&e))
    }

    /// Windows, then the optimiser.
    fn prepare(&self, plan: LogicalPlan, places: &Places) -> Result<LogicalPlan, Vec<Error>> {
        let (plan, _) = windowing::rewrite(plan, places).map_err(|e| vec![e])?;
        optimize::optimize(plan).map_err(|e| fault::errors(&e))
    }

    fn finish(mut self) -> Result<Plan, Vec<Error>> {
        if self.statements == 0 && self.errors.is_empty() && !self.planner.options.tables_only {
            self.errors
                .push(Error::new("the text has no query").hint("add SELECT ... or INSERT INTO ... SELECT ..."));
        }
        let mut builder = Builder::new(self.outputs.iter().map(|o| &o.plan));
        let mut sinks: Vec<(Option<Arc<Table>>, Vec<usize>, Span)> = Vec::new();
        for output in &self.outputs {
            let span = output.places.statement();
            match builder.convert(&output.plan, &output.places) {
                Err(e) => {
                    let named = output.places.named_in(&e.message);
                    self.errors.push(e.at(named).at(span));
                }
                Ok(rows) => {
                    let same = sinks.iter_mut().find(|(t, ..)| match (t, &output.target) {
                        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                        _ => false,
                    });
                    match same {
                        Some((_, inputs, _)) => inputs.push(rows.node),
                        None => sinks.push((output.target.clone(), vec![rows.node], span)),
                    }
                }
            }
        }
        if let Some((errors, warnings)) = self.arroyo.take().map(Check::finish) {
            self.errors.extend(errors);
            self.warnings.extend(warnings);
        }
        if !self.errors.is_empty() {
            self.errors.sort_by_key(|e| e.span);
            self.errors.dedup();
            return Err(self.errors);
        }
        for (table, inputs, span) in sinks {
            builder.sink(inputs, table, span);
        }
        let tables = self.catalog.declared.iter().map(|d| d.table.clone()).collect();
        Ok(Plan {
            nodes: share(builder.nodes),
            warnings: self.warnings,
            tables,
        })
    }
}

/// Counts operators down, and stops at zero.
fn fits(plan: &LogicalPlan, left: &mut usize) -> bool {
    match left.checked_sub(1) {
        None => false,
        Some(rest) => {
            *left = rest;
            plan.inputs().into_iter().all(|input| fits(input, left))
        }
    }
}

/// `CREATE VIEW name (a, b) AS ...`.
fn renamed(plan: LogicalPlan, columns: &[Ident]) -> Result<LogicalPlan, Vec<Error>> {
    let given = plan.schema().fields().len();
    if given != columns.len() {
        let at = place(columns[0].span);
        return Err(vec![
            Error::new(format!(
                "the view names {} columns, but its query gives {given}",
                columns.len()
            ))
            .at(at),
        ]);
    }
    let exprs: Vec<Expr> = columns
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let name = match name.quote_style {
                Some(_) => name.value.clone(),
                None => name.value.to_lowercase(),
            };
            Expr::Column(Column::from(plan.schema().qualified_field(i))).alias(name)
        })
        .collect();
    let build = || -> DfResult<LogicalPlan> { LogicalPlanBuilder::from(plan).project(exprs)?.build() };
    build().map_err(|e| fault::errors(&e))
}
