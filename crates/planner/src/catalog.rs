//! The tables and views of one file.

use crate::connector::Direction;
use crate::fault;
use crate::functions::{Registry, config};
use crate::table::{ColumnKind, Table};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, TableReference, plan_datafusion_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a name stands for.
#[derive(Clone)]
pub(crate) enum Entry {
    /// A table of a connector.
    Table(Arc<Declared>),
    /// A sink without columns, which takes those of the first query that writes it.
    Unshaped(Arc<crate::ddl::Unshaped>),
    /// A table without WITH: what was inserted is read back, as from a view.
    Memory(Memory),
    /// A view.
    View(Arc<LogicalPlan>),
    /// Its declaration is wrong, which was reported; uses of it are not reported again.
    Broken,
}

/// A memory table.
#[derive(Clone)]
pub(crate) struct Memory {
    pub fields: Vec<FieldRef>,
    pub written: Vec<LogicalPlan>,
}

/// A connector's table with the expressions over its stored columns.
#[derive(Debug)]
pub(crate) struct Declared {
    pub table: Arc<Table>,
    /// For each generated column (by its position in [`Table::columns`]) its expression.
    pub generated: HashMap<usize, Expr>,
    pub event_time: Option<Expr>,
    pub watermark: Option<Expr>,
}

impl Declared {
    /// Positions of the stored columns among all columns.
    pub(crate) fn stored(&self) -> Vec<usize> {
        let columns = self.table.columns.iter().enumerate();
        columns
            .filter(|(_, c)| c.kind != ColumnKind::Generated)
            .map(|(i, _)| i)
            .collect()
    }
}

/// The names of one file while it is read from top to bottom.
pub(crate) struct Catalog<'a> {
    pub registry: &'a Registry,
    pub options: ConfigOptions,
    entries: BTreeMap<String, (String, Entry)>,
    /// Tables in the order of their declaration.
    pub declared: Vec<Arc<Declared>>,
    /// Views and memory tables are handed out as names, not as their queries: for checks of what one statement says.
    pub by_name: std::cell::Cell<bool>,
    /// Memory tables that were read: what is inserted later would be lost to that reader.
    pub read: std::cell::RefCell<std::collections::BTreeSet<String>>,
}

impl<'a> Catalog<'a> {
    pub(crate) fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            options: config(),
            entries: BTreeMap::new(),
            declared: Vec::new(),
            by_name: Default::default(),
            read: Default::default(),
        }
    }

    /// Names differ by more than their letter case.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(&name.to_lowercase()).map(|(_, entry)| entry)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.get_mut(&name.to_lowercase()).map(|(_, entry)| entry)
    }

    pub(crate) fn insert(&mut self, name: &str, entry: Entry) {
        if let Entry::Table(table) = &entry {
            self.declared.push(table.clone());
        }
        self.entries.insert(name.to_lowercase(), (name.to_string(), entry));
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.values().map(|(name, _)| name.as_str())
    }
}

/// Marks errors that come from a declaration which was reported already.
pub(crate) const BROKEN: &str = "\u{0}broken";

impl ContextProvider for Catalog<'_> {
    fn get_table_source(&self, reference: TableReference) -> Result<Arc<dyn TableSource>> {
        let name = reference.table();
        match self.get(name) {
            Some(Entry::Table(declared)) if declared.table.spec.direction() == Direction::Sink => {
                Err(plan_datafusion_err!(
                    "attempted to read from table '{name}', but it is a sink\ngive it type = 'source', or declare a source of the same data beside it"
                ))
            }
            Some(Entry::Table(declared)) => Ok(Arc::new(Scan::new(declared.clone()))),
            Some(Entry::View(plan)) if self.by_name.get() => Ok(Arc::new(Named::new(name, plan.schema().as_arrow()))),
            Some(Entry::Memory(memory)) if self.by_name.get() => {
                Ok(Arc::new(Named::new(name, &Schema::new(memory.fields.clone()))))
            }
            Some(Entry::View(plan)) => Ok(Arc::new(Inlined::new(plan.as_ref().clone()))),
            Some(Entry::Memory(memory)) => {
                self.read.borrow_mut().insert(name.to_lowercase());
                match crate::insert::union(&memory.written)? {
                    Some(plan) => Ok(Arc::new(Inlined::new(plan))),
                    None => Err(plan_datafusion_err!(
                        "memory table {name} is read before anything is inserted into it\nput INSERT INTO {name} before this query, or give the table a connector with WITH"
                    )),
                }
            }
            Some(Entry::Unshaped(_)) => Err(plan_datafusion_err!(
                "table {name} has no columns and cannot be read\ndeclare its columns"
            )),
            Some(Entry::Broken) => Err(plan_datafusion_err!("{BROKEN}")),
            None => {
                let hint = match fault::nearest(name, self.names()) {
                    Some(near) => format!("did you mean {near}?"),
                    None if self.entries.is_empty() => "declare it with CREATE TABLE".to_string(),
                    None => format!("tables: {}", fault::list(self.names())),
                };
                Err(plan_datafusion_err!("there is no table {name}\n{hint}"))
            }
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.registry.planners
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.registry.scalars.get(name).cloned()
    }
    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }
    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.registry.aggregates.get(name).cloned()
    }
    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.registry.windows.get(name).cloned()
    }
    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        &self.options
    }
    fn udf_names(&self) -> Vec<String> {
        self.registry.scalars.keys().cloned().collect()
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udaf_names(&self) -> Vec<String> {
        self.registry.aggregates.keys().cloned().collect()
    }
    fn udwf_names(&self) -> Vec<String> {
        self.registry.windows.keys().cloned().collect()
    }
}

/// A table as DataFusion's planner sees it. Takes no filters: the engine filters right above the source anyway.
pub(crate) struct Scan {
    pub declared: Arc<Declared>,
    schema: SchemaRef,
}

impl Scan {
    pub(crate) fn new(declared: Arc<Declared>) -> Self {
        let schema = declared.table.schema();
        Self { declared, schema }
    }
}

impl TableSource for Scan {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// Columns alone, for expressions over a table that is being declared.
pub(crate) struct Shape(pub SchemaRef);

impl TableSource for Shape {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }
}

/// A view or memory table that is left as its name.
pub(crate) struct Named {
    pub name: String,
    schema: SchemaRef,
}

impl Named {
    fn new(name: &str, schema: &Schema) -> Self {
        Self {
            name: name.to_string(),
            schema: Arc::new(schema.clone()),
        }
    }
}

impl TableSource for Named {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// A view or memory table: DataFusion puts its plan in the place of the scan.
struct Inlined {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl Inlined {
    fn new(plan: LogicalPlan) -> Self {
        let schema = Arc::new(Schema::clone(plan.schema().as_arrow()));
        Self { plan, schema }
    }
}

impl TableSource for Inlined {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}
