//! What the catalog does not have: keys, constraints, indexes, sequences, enumerations. A client that asks for them joins tables that are empty
//! here, by functions and types that cannot be planned. Such a SELECT has no rows, whatever else it says: one without a table stands for it. And a
//! look-up by a key inside of an expression has one row at most, which is the smallest one of them.

use crate::dialect::{self, expression};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, GroupByExpr, Ident, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr,
    Statement, TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::ops::ControlFlow;

/// Tables of the catalog that have no rows about anything here.
const EMPTY: [&str; 16] = [
    "pg_attrdef",
    "pg_constraint",
    "pg_enum",
    "pg_event_trigger",
    "pg_foreign_table",
    "pg_index",
    "pg_inherits",
    "pg_partitioned_table",
    "pg_policy",
    "pg_publication",
    "pg_publication_rel",
    "pg_rewrite",
    "pg_sequence",
    "pg_statistic_ext",
    "pg_trigger",
    "pg_user_mapping",
];

/// Functions that make one row of none.
const AGGREGATES: [&str; 11] = [
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "max",
    "min",
    "string_agg",
    "sum",
];

/// Rewrites a statement by what is known of the catalog.
pub fn rewrite(statement: &mut Statement) {
    // It never breaks.
    let _ = statement.visit(&mut Absent);
}

struct Absent;

impl VisitorMut for Absent {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if settle(&mut query.body) && matches!(*query.body, SetExpr::Select(_)) {
            // They may name what is gone.
            (query.order_by, query.with) = (None, None);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Subquery(query) = expr
            && let SetExpr::Select(select) = &mut *query.body
            && looks_up(select)
            && !is_empty(select)
            && let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
                &mut select.projection[..]
            && let Some(one) = expression(&format!("min({value})"))
        {
            *value = one;
            query.limit_clause = None;
        }
        ControlFlow::Continue(())
    }
}

/// Puts SELECTs without a table in the place of those that have no rows.
fn settle(body: &mut SetExpr) -> bool {
    match body {
        SetExpr::Select(select) if is_empty(select) => {
            let empty = nothing(select);
            let settled = empty.is_some();
            if let Some(empty) = empty {
                *body = empty;
            }
            settled
        }
        SetExpr::SetOperation { left, right, .. } => settle(left) | settle(right),
        _ => false,
    }
}

/// Whether a SELECT has no rows, since a table that it cannot do without has none.
fn is_empty(select: &Select) -> bool {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    (grouped || !aggregates(select)) && select.from.iter().any(has_no_rows)
}

fn has_no_rows(from: &TableWithJoins) -> bool {
    let mut empty = is_absent(&from.relation);
    for join in &from.joins {
        match &join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {
                empty |= is_absent(&join.relation)
            }
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => {}
            _ => return false,
        }
    }
    empty
}

fn is_absent(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, args: None, .. } => {
            in_catalog(name) && last(name).is_some_and(|name| EMPTY.contains(&name.value.to_lowercase().as_str()))
        }
        TableFactor::Derived { subquery, .. } => {
            matches!(&*subquery.body, SetExpr::Select(select) if is_empty(select))
        }
        TableFactor::NestedJoin { table_with_joins, .. } => has_no_rows(table_with_joins),
        _ => false,
    }
}

/// Whether a SELECT is one value of one table of the catalog.
fn looks_up(select: &Select) -> bool {
    let one = match &select.from[..] {
        [from] if from.joins.is_empty() => {
            matches!(&from.relation, TableFactor::Table { name, args: None, .. } if in_catalog(name))
        }
        _ => false,
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    one && select.projection.len() == 1 && !grouped && select.distinct.is_none() && !aggregates(select)
}

/// Tables of pipelines have names of people: only what the catalog calls its own counts.
fn in_catalog(name: &ObjectName) -> bool {
    let mut parts = name.0.iter().rev().filter_map(|part| part.as_ident());
    let table = parts
        .next()
        .is_some_and(|table| table.value.to_lowercase().starts_with("pg_"));
    table
        && parts
            .next()
            .is_none_or(|schema| schema.value.eq_ignore_ascii_case("pg_catalog"))
}

fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last()?.as_ident()
}

/// Whether it counts, or the like.
fn aggregates(select: &Select) -> bool {
    struct Found;
    impl Visitor for Found {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function)
                    if dialect::name(function).is_some_and(|name| AGGREGATES.contains(&name.as_str())) =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    select.projection.iter().any(|item| item.visit(&mut Found).is_break())
}

/// A SELECT with the same columns, by name, and no rows. `None` if a name is not known without a plan.
fn nothing(select: &Select) -> Option<SetExpr> {
    let mut names: Vec<String> = Vec::new();
    for item in &select.projection {
        let mut name = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            SelectItem::UnnamedExpr(expr) => unnamed(expr),
            _ => return None,
        };
        // Names are told apart, or they could not be planned either.
        while names.contains(&name) {
            name.push('_');
        }
        names.push(name);
    }
    let columns: Vec<String> = names
        .iter()
        .map(|name| format!("NULL AS \"{}\"", name.replace('"', "\"\"")))
        .collect();
    let text = format!("SELECT {} WHERE false", columns.join(", "));
    let parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(&text);
    let query = parser.ok()?.parse_query().ok()?;
    Some(*query.body)
}

/// The name that PostgreSQL gives a column without one.
fn unnamed(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => name.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map_or_else(String::new, |name| name.value.clone()),
        Expr::Function(function) if matches!(function.args, FunctionArguments::List(_)) => {
            dialect::name(function).unwrap_or_default()
        }
        Expr::Cast { expr, .. } | Expr::Nested(expr) => unnamed(expr),
        Expr::Case { .. } => "case".into(),
        _ => "?column?".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str) -> String {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        rewrite(&mut statement);
        statement.to_string()
    }

    #[test]
    fn what_joins_an_empty_table_has_no_rows() {
        for (sql, expected) in [
            (
                "SELECT c.relname, f(i.indkey) AS keys FROM pg_class c JOIN pg_catalog.pg_index i ON c.oid = i.indrelid ORDER BY i.x",
                "SELECT NULL AS \"relname\", NULL AS \"keys\" WHERE false",
            ),
            (
                "SELECT a FROM (SELECT conname AS a, 1, 2 FROM pg_constraint) q, pg_class",
                "SELECT NULL AS \"a\" WHERE false",
            ),
            (
                "SELECT a.x FROM pg_attribute a LEFT JOIN (SELECT unnest(conkey) AS k FROM pg_constraint) c ON a.attnum = c.k",
                "SELECT a.x FROM pg_attribute a LEFT JOIN (SELECT NULL AS \"k\" WHERE false) c ON a.attnum = c.k",
            ),
            (
                "SELECT a, b::text, c, c FROM pg_enum GROUP BY 1 UNION ALL SELECT 1, 2, 3, 4 ORDER BY 1",
                "SELECT NULL AS \"a\", NULL AS \"b\", NULL AS \"c\", NULL AS \"c_\" WHERE false UNION ALL SELECT 1, 2, 3, 4 ORDER BY 1",
            ),
        ] {
            assert_eq!(rewritten(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_may_have_rows_stays() {
        for sql in [
            "SELECT count(*) FROM pg_index",
            "SELECT * FROM pg_index",
            "SELECT c.x FROM pg_class c LEFT JOIN pg_index i ON true",
            "SELECT i.x FROM pg_index i RIGHT JOIN pg_class c ON true",
            "SELECT item FROM top_k('shop')",
            "SELECT item FROM pg_index('shop')",
            "SELECT a FROM public.pg_index",
            "SELECT (SELECT item FROM shop WHERE shop.region = o.region) FROM other o",
            "SELECT (SELECT count(*) FROM pg_type) FROM other o",
        ] {
            assert_eq!(rewritten(sql), sql);
        }
    }

    #[test]
    fn a_look_up_is_one_value() {
        let sql = "SELECT (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid LIMIT 1) FROM pg_type t";
        let expected =
            "SELECT (SELECT min(c.relkind = 'c') FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid) FROM pg_type t";
        assert_eq!(rewritten(sql), expected);
        let absent = "SELECT (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = a.attrelid) AS d FROM pg_attribute a";
        let expected = "SELECT (SELECT NULL AS \"pg_get_expr\" WHERE false) AS d FROM pg_attribute a";
        assert_eq!(rewritten(absent), expected);
    }
}
