//! Tables and views that feed several queries.
//!
//! Arroyo makes one operator of each, however often it is read, and joins operators that follow one another to chains. When the last of
//! a chain feeds several others, it goes on using numbers of edges that a removal has changed (0.15 and 0.16), so that one of them may
//! get nothing. Whether that happens depends on the order of all edges of the graph, which only the cluster knows.

use super::findings::Findings;
use crate::catalog::{Named, Scan};
use crate::error::{Error, Span};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::LogicalPlan;
use std::any::Any;
use std::collections::HashMap;

/// Who reads whom, in the order of the text.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    steps: Vec<Step>,
}

/// A table, a view, or a query that gives rows to somebody.
#[derive(Debug)]
struct Step {
    /// None: nobody reads it.
    name: Option<String>,
    at: Option<Span>,
    /// The names that it reads, one as often as it is read.
    reads: Vec<String>,
    /// Its operator has several inputs, and no chain takes it.
    united: bool,
}

impl Flow {
    /// A table with a connector.
    pub(crate) fn table(&mut self, name: &str, at: Span) {
        self.steps.push(Step {
            name: Some(name.to_string()),
            at: Some(at),
            reads: Vec::new(),
            united: false,
        });
    }

    /// A view, or a memory table where it is written.
    pub(crate) fn view(&mut self, name: &str, at: Span, plan: &LogicalPlan) {
        self.steps.push(Step {
            name: Some(name.to_string()),
            at: Some(at),
            reads: reads(plan),
            united: is_union(plan),
        });
    }

    /// A query with rows for a sink.
    pub(crate) fn output(&mut self, plan: &LogicalPlan) {
        self.steps.push(Step {
            name: None,
            at: None,
            reads: reads(plan),
            united: false,
        });
    }

    /// How often each name is read by what leads to a sink.
    fn readers(&self) -> HashMap<String, usize> {
        let mut readers: HashMap<String, usize> = HashMap::new();
        let outputs = self.steps.iter().filter(|step| step.name.is_none());
        let mut open: Vec<&Step> = outputs.collect();
        while let Some(step) = open.pop() {
            for name in &step.reads {
                let count = readers.entry(name.to_lowercase()).or_default();
                *count += 1;
                if *count == 1 {
                    open.extend(self.steps.iter().filter(|other| is_called(other, name)));
                }
            }
        }
        readers
    }

    /// One word for all of them, at the first.
    pub(crate) fn check(&self, found: &mut Findings) {
        let readers = self.readers();
        let feeds_several = |step: &&Step| {
            let name = step.name.as_ref().filter(|_| !step.united);
            name.is_some_and(|name| readers.get(&name.to_lowercase()).is_some_and(|count| *count > 1))
        };
        let feeders: Vec<&Step> = self.steps.iter().filter(feeds_several).collect();
        let Some(first) = feeders.first() else { return };
        let names: Vec<&str> = feeders.iter().filter_map(|step| step.name.as_deref()).collect();
        let who = match names.as_slice() {
            [only] => format!("{only} feeds several queries"),
            [others @ .., last] => format!("{} and {last} feed several queries each", others.join(", ")),
            [] => return,
        };
        found.warning(
            Error::new(format!(
                "{who}: chaining operators, which Arroyo does unless it is told otherwise, can cut one of them off without a word"
            ))
            .at(first.at)
            .hint(
                "set pipeline.chaining.enabled = false on the cluster (ARROYO__PIPELINE__CHAINING__ENABLED=false); `hitters deploy` \
                 looks at the graph that the cluster makes, and refuses one that is cut",
            ),
        );
    }
}

fn is_called(step: &Step, name: &str) -> bool {
    step.name.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name))
}

/// The tables and views that a plan scans, one as often as it stands there.
fn reads(plan: &LogicalPlan) -> Vec<String> {
    let mut names = Vec::new();
    let _ = plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let source: &dyn Any = scan.source.as_ref();
            let named = source.downcast_ref::<Named>().map(|named| named.name.clone());
            let table = || {
                source
                    .downcast_ref::<Scan>()
                    .map(|scan| scan.declared.table.name.clone())
            };
            names.extend(named.or_else(table));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    names
}

/// Whether its rows come from a union without another operator in between.
fn is_union(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Union(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => {
            plan.inputs().into_iter().any(is_union)
        }
        _ => false,
    }
}
