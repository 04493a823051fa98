//! Event time and watermark.

use super::expressions;
use super::findings::Findings;
use crate::catalog::Declared;
use crate::create_table::{CreateTable, Watermark};
use crate::error::{Error, Span};
use crate::nulls;
use crate::syntax::{place, place_known};
use crate::table::ColumnKind;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result as DfResult, ScalarValue, TableReference};
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Expr, ExprSchemable};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_sql::sqlparser::ast::{self, Spanned, Visit, Visitor};
use std::ops::ControlFlow;

const EPOCH: &str = "TIMESTAMP '1970-01-01 00:00:00'";
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

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

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        let ident = match expr {
            ast::Expr::Identifier(ident) => Some(ident),
            ast::Expr::CompoundIdentifier(parts) => parts.last(),
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
        without_time(expr, declared, &schema, mark.span, found);
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

/// What the watermark of a row without a time does: Arroyo sends the least of a record batch, and its tasks fail at one before 1970.
fn without_time(watermark: &Expr, declared: &Declared, schema: &DFSchema, at: Span, found: &mut Findings) {
    let Some(time) = of_nothing(watermark, declared, schema) else {
        return;
    };
    if time < 0 {
        found.error(
            Error::new("of a row without a time the watermark lies before 1970, at which the job fails on Arroyo, again and again")
                .at(at)
                .hint(format!("take the delay first and the epoch last: coalesce(x - INTERVAL '1 second', {EPOCH})")),
        );
    } else if time == 0 {
        found.warning(
            Error::new(
                "of a row without a time the watermark is the epoch, and Arroyo takes the least of a record batch: while such rows \
                 come, windows stay open",
            )
            .at(at)
            .hint("give it the time of its record, as sql/tables/messages.sql does"),
        );
    }
}

/// The watermark, nanoseconds since the epoch, where all that may be NULL is; `None` if other columns matter then.
fn of_nothing(watermark: &Expr, declared: &Declared, schema: &DFSchema) -> Option<i64> {
    let columns = &declared.table.columns;
    let null = |e: &Expr| -> DfResult<Transformed<Expr>> {
        let null = Expr::Literal(ScalarValue::try_from(&e.get_type(schema)?)?, None);
        // What is in there does not matter any more.
        Ok(Transformed::new(null, true, TreeNodeRecursion::Jump))
    };
    let generated = watermark.clone().transform_down(|e| {
        let Expr::Column(column) = &e else {
            return Ok(Transformed::no(e));
        };
        let index = columns.iter().position(|c| *c.field.name() == column.name);
        let expr = index.and_then(|index| declared.generated.get(&index));
        Ok(expr.map_or(Transformed::no(e.clone()), |expr| {
            Transformed::new(expr.clone(), true, TreeNodeRecursion::Jump)
        }))
    });
    let emptied = generated.ok()?.data.transform_down(|e| match &e {
        Expr::Column(column) => {
            let found = columns.iter().find(|c| *c.field.name() == column.name);
            // Metadata is always there.
            match found.is_some_and(|c| c.field.is_nullable() && c.kind == ColumnKind::Physical) {
                true => null(&e),
                false => Ok(Transformed::no(e)),
            }
        }
        Expr::ScalarFunction(call) if nulls::makes_null(call.func.name()) => null(&e),
        _ => Ok(Transformed::no(e)),
    });
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    match simplifier.simplify(emptied.ok()?.data).ok()? {
        Expr::Literal(value, _) => match value.cast_to(&TIMESTAMP).ok()? {
            ScalarValue::TimestampNanosecond(time, None) => time,
            _ => None,
        },
        _ => None,
    }
}
