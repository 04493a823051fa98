//! Where in a statement a fault of the planned tree stands.
//!
//! DataFusion's tree keeps places of columns only. For everything else the statement is searched for what the fault names: a
//! function, a clause. The first match wins, which is right wherever there is one; the statement itself is the last resort.

use crate::error::Span;
use crate::fault::FIELD_OF_CALL;
use crate::syntax::place_known;
use datafusion_expr::Expr as LogicalExpr;
use datafusion_sql::sqlparser::ast::{
    self, Expr, GroupByExpr, ObjectName, Query, Select, SetExpr, SetOperator, SetQuantifier, Spanned, Visit, Visitor,
};
use std::ops::ControlFlow;

/// The calls and clauses of one statement with their places, in the order of the text.
#[derive(Debug)]
pub(crate) struct Places {
    statement: Span,
    functions: Vec<(String, Span)>,
    group_by: Vec<Span>,
    order_by: Option<Span>,
    limit: Option<Span>,
    distinct: Option<Span>,
    joins: Vec<Span>,
    subqueries: Vec<Span>,
    set_operation: Option<(&'static str, Span)>,
    union: Option<Span>,
    field_of_call: Option<Span>,
    relations: Vec<(String, Span)>,
}

impl Places {
    pub(crate) fn new(statement: Span, query: &Query) -> Self {
        let mut places = Self {
            statement,
            functions: Vec::new(),
            group_by: Vec::new(),
            order_by: None,
            limit: None,
            distinct: None,
            joins: Vec::new(),
            subqueries: Vec::new(),
            set_operation: None,
            union: None,
            field_of_call: None,
            relations: Vec::new(),
        };
        let _ = query.visit(&mut places);
        places
    }

    pub(crate) fn statement(&self) -> Span {
        self.statement
    }

    /// The first call of a function.
    pub(crate) fn function(&self, name: &str) -> Span {
        self.functions
            .iter()
            .find(|(n, _)| n == name)
            .map_or(self.statement, |(_, span)| *span)
    }

    /// The only `GROUP BY`, or the first column that the expressions name, or the first call of an aggregate among them.
    pub(crate) fn grouping(&self, exprs: &[LogicalExpr]) -> Span {
        let column = exprs.iter().find_map(|e| {
            e.column_refs()
                .iter()
                .find_map(|c| c.spans.first().and_then(crate::fault::span))
        });
        if let ([only], _) | (_, Some(only)) = (self.group_by.as_slice(), &column) {
            return *only;
        }
        let call = exprs.iter().find_map(|e| match e {
            LogicalExpr::AggregateFunction(f) => Some(self.function(f.func.name())),
            _ => None,
        });
        call.unwrap_or(self.statement)
    }

    /// The call of an aggregate.
    pub(crate) fn aggregate(&self, expr: &LogicalExpr) -> Option<Span> {
        match expr {
            LogicalExpr::Alias(alias) => self.aggregate(&alias.expr),
            LogicalExpr::AggregateFunction(call) => self
                .functions
                .iter()
                .find(|(name, _)| name == call.func.name())
                .map(|(_, span)| *span),
            _ => None,
        }
    }

    /// The first window call, if there is one.
    pub(crate) fn window_call(&self) -> Option<&str> {
        let names = self.functions.iter().map(|(name, _)| name.as_str());
        names
            .into_iter()
            .find(|name| matches!(*name, "tumble" | "hop" | "session"))
    }

    /// The first set operation that is not `UNION ALL`.
    pub(crate) fn set_operation(&self) -> Option<(&'static str, Span)> {
        self.set_operation
    }

    /// The first `UNION ALL`.
    pub(crate) fn union(&self) -> Option<Span> {
        self.union
    }

    /// All calls, for warnings.
    pub(crate) fn functions(&self) -> &[(String, Span)] {
        &self.functions
    }

    /// The function or table that a message names.
    pub(crate) fn named_in(&self, message: &str) -> Option<Span> {
        if message == FIELD_OF_CALL {
            return self.field_of_call;
        }
        let called = |name: &str| {
            let forms = [
                format!("'{name}'"),
                format!("'{name}("),
                format!(" {name}("),
                format!("{name}("),
                format!("{name}: "),
            ];
            forms[..3].iter().any(|form| message.contains(form.as_str()))
                || forms[3..].iter().any(|form| message.starts_with(form.as_str()))
        };
        let read =
            |name: &str| message.contains(&format!("table {name}")) || message.contains(&format!("table '{name}'"));
        let function = self.functions.iter().find(|(name, _)| called(name));
        function
            .or_else(|| self.relations.iter().find(|(name, _)| read(name)))
            .map(|(_, span)| *span)
    }

    pub(crate) fn order_by(&self) -> Span {
        self.order_by.unwrap_or(self.statement)
    }
    pub(crate) fn limit(&self) -> Span {
        self.limit.unwrap_or(self.statement)
    }
    pub(crate) fn distinct(&self) -> Span {
        self.distinct.unwrap_or(self.statement)
    }
    pub(crate) fn join(&self) -> Span {
        self.joins.first().copied().unwrap_or(self.statement)
    }
    pub(crate) fn subquery(&self) -> Span {
        self.subqueries.first().copied().unwrap_or(self.statement)
    }

    fn select(&mut self, select: &Select) {
        if let GroupByExpr::Expressions(exprs, _) = &select.group_by
            && let (Some(first), Some(last)) = (exprs.first(), exprs.last())
            && let (Some(mut span), Some(end)) = (place_known(first.span()), place_known(last.span()))
        {
            (span.end_line, span.end_column) = (end.end_line, end.end_column);
            self.group_by.push(span);
        }
        if select.distinct.is_some() && self.distinct.is_none() {
            self.distinct = select.projection.first().and_then(|item| place_known(item.span()));
        }
        for table in &select.from {
            for join in &table.joins {
                self.joins.extend(place_known(join.span()));
            }
        }
        if select.from.len() > 1 {
            self.joins.extend(place_known(select.from[1].span()));
        }
    }
}

impl Visitor for Places {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(order) = &query.order_by {
            self.order_by = self.order_by.or_else(|| place_known(order.span()));
        }
        if let Some(limit) = &query.limit_clause {
            self.limit = self.limit.or_else(|| place_known(limit.span()));
        }
        if let SetExpr::SetOperation { op, set_quantifier, .. } = query.body.as_ref() {
            let name = match (op, set_quantifier) {
                (SetOperator::Union, SetQuantifier::All | SetQuantifier::AllByName) => None,
                (SetOperator::Union, _) => Some("UNION without ALL"),
                (SetOperator::Intersect, _) => Some("INTERSECT"),
                (SetOperator::Except | SetOperator::Minus, _) => Some("EXCEPT"),
            };
            let at = place_known(query.body.span());
            match name {
                Some(_) => self.set_operation = self.set_operation.or(name.zip(at)),
                None => self.union = self.union.or(at),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if let (Some(span), Some(ident)) = (
            place_known(relation.span()),
            relation.0.last().and_then(|part| part.as_ident()),
        ) {
            self.relations.push((ident.value.to_lowercase(), span));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.select(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(ast::Function { name, .. }) => {
                if let (Some(span), Some(ident)) =
                    (place_known(name.span()), name.0.last().and_then(|part| part.as_ident()))
                {
                    self.functions.push((ident.value.to_lowercase(), span));
                }
            }
            Expr::CompoundFieldAccess { root, .. } if matches!(root.as_ref(), Expr::Function(_)) => {
                self.field_of_call = self.field_of_call.or_else(|| place_known(expr.span()));
            }
            Expr::Subquery(query) | Expr::Exists { subquery: query, .. } | Expr::InSubquery { subquery: query, .. } => {
                self.subqueries.extend(place_known(query.span()));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
