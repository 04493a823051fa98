//! The fence above a window: a logical node that changes nothing and lets no filter on the window pass.

use datafusion_common::{Column, DFSchemaRef, Result};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// Keeps filters on a window above the aggregate that makes it: below, the window does not exist.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    input: LogicalPlan,
    window: Column,
}

impl Fence {
    pub(crate) fn wrap(input: LogicalPlan, window: Column) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(Self { input, window }),
        })
    }
}

impl PartialOrd for Fence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for Fence {
    fn name(&self) -> &str {
        "Fence"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }
    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.window.clone())]
    }
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.window.name.clone(), self.window.flat_name()])
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Fence: {}", self.window)
    }
    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let window = match exprs.into_iter().next() {
            Some(Expr::Column(column)) => column,
            _ => self.window.clone(),
        };
        let input = inputs.into_iter().next().unwrap_or_else(|| self.input.clone());
        Ok(Self { input, window })
    }
    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut needed = output.to_vec();
        needed.extend(self.schema().maybe_index_of_column(&self.window));
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}
