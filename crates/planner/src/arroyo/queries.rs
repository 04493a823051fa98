//! Clauses of a query, and the names of what comes out.

use super::findings::Findings;
use crate::error::Error;
use crate::places::Places;
use crate::syntax::place_known;
use datafusion_expr::LogicalPlan;
use datafusion_sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, Join, JoinConstraint, JoinOperator, Query, Select, Spanned, TableFactor, Visit,
    Visitor,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

pub(crate) fn check(query: &Query, found: &mut Findings) {
    let _ = query.visit(&mut Clauses { found });
}

struct Clauses<'f> {
    found: &'f mut Findings,
}

impl Visitor for Clauses<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if let Some(qualify) = &select.qualify {
            self.found.error(
                Error::new("Arroyo has no QUALIFY")
                    .at(place_known(qualify.span()))
                    .hint("number the rows in a query below, and filter with WHERE around it"),
            );
        }
        for table in &select.from {
            self.from(&table.relation);
            for join in &table.joins {
                self.join(join);
            }
        }
        self.unnests(select);
        ControlFlow::Continue(())
    }
}

impl Clauses<'_> {
    fn from(&mut self, relation: &TableFactor) {
        if matches!(relation, TableFactor::UNNEST { .. }) {
            self.found.error(misplaced_unnest().at(place_known(relation.span())));
        }
    }

    fn join(&mut self, join: &Join) {
        self.from(&join.relation);
        let (JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)) = &join.join_operator
        else {
            return;
        };
        let what = match constraint {
            JoinConstraint::Using(_) => "USING",
            JoinConstraint::Natural => "NATURAL",
            JoinConstraint::On(_) | JoinConstraint::None => return,
        };
        self.found.error(
            Error::new(format!("Arroyo takes joins with ON, not {what}"))
                .at(place_known(join.span()))
                .hint("write ON a.column = b.column"),
        );
    }

    /// One, and only behind SELECT.
    fn unnests(&mut self, select: &Select) {
        let calls = |tree: &dyn Fn(&mut Unnests)| {
            let mut unnests = Unnests(Vec::new());
            tree(&mut unnests);
            unnests.0
        };
        let selected = calls(&|unnests| {
            let _ = select.projection.visit(unnests);
        });
        if let [_, second, ..] = selected.as_slice() {
            self.found.error(
                Error::new("Arroyo takes one unnest() in a SELECT")
                    .at(*second)
                    .hint("unnest in a query below, and use its column twice"),
            );
        }
        let elsewhere = calls(&|unnests| {
            let _ = select.selection.visit(unnests);
            let _ = select.having.visit(unnests);
            if let GroupByExpr::Expressions(exprs, _) = &select.group_by {
                let _ = exprs.visit(unnests);
            }
        });
        for at in elsewhere {
            self.found.error(misplaced_unnest().at(at));
        }
    }
}

fn misplaced_unnest() -> Error {
    Error::new("Arroyo takes unnest() behind SELECT only")
        .hint("unnest in a query below: FROM (SELECT unnest(...) AS element FROM ...)")
}

struct Unnests(Vec<Option<crate::error::Span>>);

impl Visitor for Unnests {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(Function { name, .. }) = expr
            && let Some(ident) = name.0.last().and_then(|part| part.as_ident())
            && ident.value.eq_ignore_ascii_case("unnest")
        {
            self.0.push(place_known(ident.span));
        }
        ControlFlow::Continue(())
    }

    // Subqueries have their own SELECT.
    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Columns of a view, a bare SELECT or a table without columns need names of their own.
pub(crate) fn names(plan: &LogicalPlan, places: &Places, found: &mut Findings) {
    let mut seen = HashSet::new();
    for field in plan.schema().fields() {
        if !seen.insert(field.name().as_str()) {
            found.error(
                Error::new(format!(
                    "two columns come out with the name {}, which Arroyo takes for one",
                    field.name()
                ))
                .at(places.statement())
                .hint("give one of them another name with AS"),
            );
        }
    }
}
