//! Event time and watermark.

use super::expressions;
use super::findings::Findings;
use crate::catalog::Declared;
use crate::create_table::{CreateTable, Watermark};
use crate::error::Error;
use crate::nulls;
use crate::syntax::{place, place_known};
use datafusion_common::{DFSchema, TableReference};
use datafusion_sql::sqlparser::ast::{Expr, Spanned, Visit, Visitor};
use std::ops::ControlFlow;

/// The declaration as written.
pub(crate) fn check(statement: &CreateTable, found: &mut Findings) {
    let Some(mark) = statement.watermarks.first() else {
        return;
    };
    let name = &mark.column.value;
    let column = statement
        .columns
        .iter()
        .find(|c| c.name.value.eq_ignore_ascii_case(name));
    let Some(column) = column else { return };
    if mark.column.quote_style.is_some() || column.name.value != *name {
        let declared = &column.name.value;
        let hint = match declared.chars().any(|c| c.is_ascii_uppercase()) {
            true => "give the column a name in lower case".to_string(),
            false => format!("write WATERMARK FOR {declared}"),
        };
        found.error(
            Error::new(format!(
                "Arroyo compares the name in WATERMARK FOR letter by letter, quotes too, and finds no column {name}"
            ))
            .at(place(mark.column.span))
            .hint(hint),
        );
    }
    generated(statement, mark, found);
}

/// A watermark is computed from what was read, not from generated columns.
fn generated(statement: &CreateTable, mark: &Watermark, found: &mut Findings) {
    let Some(expr) = &mark.expr else { return };
    let columns = statement.columns.iter().filter(|c| c.generated.is_some());
    let mut visitor = Named {
        names: columns.map(|c| c.name.value.to_lowercase()).collect(),
        found,
    };
    let _ = expr.visit(&mut visitor);
}

struct Named<'f> {
    names: Vec<String>,
    found: &'f mut Findings,
}

impl Visitor for Named<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let ident = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        if let Some(ident) = ident
            && self.names.contains(&ident.value.to_lowercase())
        {
            self.found.error(
                Error::new(format!(
                    "Arroyo refuses a watermark over the generated column {}",
                    ident.value
                ))
                .at(place_known(expr.span()))
                .hint("repeat the expression of the column there"),
            );
        }
        ControlFlow::Continue(())
    }
}

/// The declaration with its types: casts, and an event time that may be NULL.
pub(crate) fn planned(statement: &CreateTable, declared: &Declared, found: &mut Findings) {
    let table = &declared.table;
    let reference = TableReference::bare(table.name.as_str());
    let Ok(schema) = DFSchema::try_from_qualified_schema(reference, &table.schema()) else {
        return;
    };
    let at = |_: &str| place(statement.name.span);
    for (index, expr) in &declared.generated {
        let span = statement.columns[*index].generated.as_ref().map(|(_, span)| *span);
        let here = |_: &str| span.unwrap_or(at(""));
        expressions::check(expr, &schema, &here, found);
    }
    if let (Some(expr), Some(mark)) = (&declared.watermark, statement.watermarks.first()) {
        expressions::check(expr, &schema, &|_| mark.span, found);
    }
    let Some(time) = &declared.event_time else { return };
    let nulls: Vec<bool> = table.columns.iter().map(|c| c.field.is_nullable()).collect();
    let column = time
        .column_refs()
        .into_iter()
        .next()
        .map(|c| c.name.clone())
        .unwrap_or_default();
    let index = table.columns.iter().position(|c| *c.field.name() == column);
    let computed = index.and_then(|i| declared.generated.get(&i));
    let may_be = nulls::may_be(time, &schema, &nulls) || computed.is_some_and(|e| nulls::may_be(e, &schema, &nulls));
    if may_be {
        let span = statement.watermarks.first().map(|m| m.span);
        found.warning(
            Error::new(format!("the event time {column} may be NULL, and on Arroyo such a row is in no certain window"))
                .at(span)
                .at(at(""))
                .hint("declare what it is made of NOT NULL, or write coalesce(..., TIMESTAMP '1970-01-01 00:00:00'), which makes the row late"),
        );
    }
}
