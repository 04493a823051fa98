//! What an Arroyo cluster would refuse in a file, and what it would take and break on.
//!
//! The portable subset is planned by this crate first; here stands only what Arroyo adds: rules of its planner that the
//! subset can break, and traps that its planner lets through. One file a family of rules, each over trees: the statement as
//! parsed, or its logical plan with views left as names, so that a fault is found where it was written and nowhere else.
//! Errors are for what Arroyo refuses, gets wrong or stops at; warnings for what is merely dear or easily got wrong.
//!
//! Nothing here uses Arroyo's code. The rules follow its source of version 0.16 and runs of it; [`functions`] holds the
//! names that it registers.

mod columns;
mod event_time;
mod expressions;
mod fanout;
mod findings;
mod formats;
mod functions;
mod memory;
mod options;
mod queries;
mod ranking;
mod relation;
mod sinks;
mod sources;
mod tables;
mod windows;

use crate::catalog::Declared;
use crate::create_table::CreateTable;
use crate::error::{Error, Span};
use crate::functions::{Functions, Registry};
use crate::places::Places;
use crate::plan::Warning;
use crate::syntax::place;
use datafusion_expr::LogicalPlan;
use datafusion_sql::sqlparser::ast::{Ident, Query};
use fanout::Flow;
use findings::Findings;
use functions::Known;
use relation::Relation;
use std::collections::HashMap;
use tables::Facts;

/// The cluster that a file is checked for.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Parallelism of the pipeline: one number for all of its operators.
    pub parallelism: usize,
    /// The most partitions that a topic of the file has, if that is known.
    pub partitions: Option<usize>,
    /// Whether it may chain operators, as it does unless told otherwise. Who sees the graph that it makes need not be told.
    pub chaining: bool,
}

/// The check of one file, while it is read from top to bottom.
pub(crate) struct Check<'a> {
    cluster: &'a Cluster,
    known: Known,
    /// Tables with a connector, by their lower-case name.
    tables: HashMap<String, Facts>,
    /// Views and memory tables that were written.
    views: HashMap<String, Relation>,
    flow: Flow,
    found: Findings,
}

impl<'a> Check<'a> {
    pub(crate) fn new(cluster: &'a Cluster, functions: &Functions, registry: &Registry) -> Self {
        Self {
            cluster,
            known: Known::new(functions, registry),
            tables: HashMap::new(),
            views: HashMap::new(),
            flow: Flow::default(),
            found: Findings::default(),
        }
    }

    /// What was found, in the order of the text.
    pub(crate) fn finish(mut self) -> (Vec<Error>, Vec<Warning>) {
        if self.cluster.chaining {
            self.flow.check(&mut self.found);
        }
        self.found.finish()
    }

    /// `CREATE TABLE ... WITH`, as written.
    pub(crate) fn table(&mut self, statement: &CreateTable) {
        for expr in statement
            .columns
            .iter()
            .filter_map(|c| c.generated.as_ref().map(|(e, _)| e))
        {
            self.known.check(expr, &mut self.found);
        }
        for expr in statement.watermarks.iter().filter_map(|w| w.expr.as_ref()) {
            self.known.check(expr, &mut self.found);
        }
        // What an unknown connector would take is not known either; that it is unknown was said.
        let Some(facts) = Facts::of(statement).filter(|f| options::CONNECTORS.contains(&f.connector.as_str())) else {
            return;
        };
        let found = &mut self.found;
        tables::check(statement, found);
        columns::check(statement, &facts, found);
        options::check(statement, &facts, found);
        event_time::check(statement, found);
        formats::check(statement, &facts, found);
        sources::check(statement, &facts, self.cluster, found);
        sinks::check(&facts, found);
        self.flow.table(&facts.name, facts.at);
        self.tables.insert(statement.name.value.to_lowercase(), facts);
    }

    /// The same table, planned.
    pub(crate) fn declared(&mut self, statement: &CreateTable, declared: &Declared) {
        event_time::planned(statement, declared, &mut self.found);
    }

    /// A query as written.
    pub(crate) fn query(&mut self, query: &Query) {
        self.known.check(query, &mut self.found);
        queries::check(query, &mut self.found);
    }

    /// A view.
    pub(crate) fn view(&mut self, name: &Ident, plan: &LogicalPlan, places: &Places) {
        queries::names(plan, places, &mut self.found);
        let relation = self.relation(plan, places);
        self.flow.view(&name.value, place(name.span), plan);
        self.views.insert(name.value.to_lowercase(), relation);
    }

    /// `INSERT INTO` a table, or a bare SELECT. `nulls` tells which columns of the query may be NULL.
    pub(crate) fn output(&mut self, target: Option<&sinks::Written>, plan: &LogicalPlan, places: &Places) {
        let relation = self.relation(plan, places);
        let Some(written) = target else {
            self.flow.output(plan);
            return queries::names(plan, places, &mut self.found);
        };
        let key = written.table.to_lowercase();
        match self.tables.get_mut(&key) {
            Some(facts) => {
                self.flow.output(plan);
                sinks::written(facts, written, &relation, &mut self.found);
                sinks::inferred(facts, written, plan, places, &mut self.found);
            }
            // A memory table: read back as a view is.
            None => {
                self.flow.view(&written.table, written.at, plan);
                let written_before = self.views.insert(key, relation).is_some();
                if written_before {
                    self.found.error(
                        Error::new(format!("Arroyo lets memory table {} be written once", written.table))
                            .at(written.at)
                            .hint("join the queries with UNION ALL in one INSERT"),
                    );
                }
            }
        }
    }
}

pub(crate) use sinks::Written;

/// The place of what a message is about, by the name of a function; any other text gives the statement.
type At<'a> = dyn Fn(&str) -> Span + 'a;
