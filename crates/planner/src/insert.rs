//! What a query writes: its columns matched to those of the table by position (or by name, if the statement lists them).

use crate::error::{Error, Span};
use crate::fault;
use crate::functions::is_json_union;
use crate::nulls;
use crate::optimize;
use crate::plan::Warning;
use crate::sql_text;
use crate::syntax::{place, place_known};
use crate::table::{Column as TableColumn, ColumnKind};
use crate::types::sql_type;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Column, Result as DfResult, ScalarValue};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Union, lit};
use datafusion_functions::core::expr_fn::coalesce;
use datafusion_sql::sqlparser::ast::{self, Spanned};
use std::sync::Arc;

/// What is written to.
pub(crate) struct Target<'t> {
    pub table: &'t str,
    pub fields: &'t [FieldRef],
    /// The columns that the statement names; none: all of them.
    pub named: &'t [ast::Ident],
    /// The name of the table in the statement.
    pub at: Span,
    /// The expressions behind SELECT, as far as each stands for one column.
    pub selected: Vec<Option<Span>>,
}

/// Columns of the target in its order, as expressions over the query.
pub(crate) fn matched(query: LogicalPlan, target: &Target, warnings: &mut Vec<Warning>) -> Result<LogicalPlan, Error> {
    let Target {
        table,
        fields,
        named,
        at,
        ..
    } = *target;
    let schema = query.schema().clone();
    let both = || {
        let of = |fields: &mut dyn Iterator<Item = (&str, &DataType)>| {
            fields
                .map(|(name, data_type)| format!("{name} {}", sql_type(data_type)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        format!(
            "the query gives ({}); the table has ({})",
            of(&mut schema.fields().iter().map(|f| (f.name().as_str(), f.data_type()))),
            of(&mut fields.iter().map(|f| (f.name().as_str(), f.data_type()))),
        )
    };
    let positions = positions(fields, named, table)?;
    let wanted = if named.is_empty() { fields.len() } else { named.len() };
    let given = schema.fields().len();
    if given != wanted {
        let what = if named.is_empty() {
            format!("table {table} has {wanted}")
        } else {
            format!("the statement names {wanted}")
        };
        let columns = if given == 1 { "column" } else { "columns" };
        return Err(Error::new(format!("the query gives {given} {columns}, but {what}"))
            .at(at)
            .hint(both()));
    }
    let mut exprs = Vec::new();
    let nulls = nulls::of(&query);
    for (field, position) in fields.iter().zip(positions) {
        let expr = match position {
            Some(index) => {
                if !field.is_nullable()
                    && nulls.get(index) == Some(&true)
                    && !is_json_union(schema.field(index).data_type())
                {
                    let name = sql_text::name(field.name());
                    warnings.push(Warning {
                        message: format!(
                            "column {name} of table {table} is NOT NULL, but this may be NULL: write coalesce(..., what stands for NULL), or declare {name} without NOT NULL"
                        ),
                        span: target.selected.get(index).copied().flatten().or(Some(at)),
                        hint: None,
                    });
                }
                let column = Expr::Column(Column::from(schema.qualified_field(index)));
                convert(column, field, schema.as_ref()).map_err(|e| {
                    Error::new(format!(
                        "column {} of table {table} cannot take the query's column {}",
                        field.name(),
                        index + 1
                    ))
                    .at(at)
                    .hint(format!("{}; {}", fault::error(&e).message, both()))
                })?
            }
            None if field.is_nullable() => lit(ScalarValue::try_from(field.data_type()).map_err(|e| fault::error(&e))?),
            None => {
                return Err(Error::new(format!(
                    "column {} of table {table} is NOT NULL and must be written",
                    field.name()
                ))
                .at(at));
            }
        };
        exprs.push(expr.alias(field.name()));
    }
    LogicalPlanBuilder::from(query)
        .project(exprs)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|e| fault::error(&e))
}

/// The expressions behind SELECT with their places; nothing if one of them may be several columns.
pub(crate) fn selected(query: &ast::Query) -> Vec<Option<Span>> {
    let mut body = query.body.as_ref();
    loop {
        match body {
            ast::SetExpr::SetOperation { left, .. } => body = left,
            ast::SetExpr::Query(query) => body = &query.body,
            ast::SetExpr::Select(select) => {
                let one = |item: &ast::SelectItem| {
                    matches!(
                        item,
                        ast::SelectItem::UnnamedExpr(_) | ast::SelectItem::ExprWithAlias { .. }
                    )
                };
                return match select.projection.iter().all(one) {
                    true => select.projection.iter().map(|item| place_known(item.span())).collect(),
                    false => Vec::new(),
                };
            }
            _ => return Vec::new(),
        }
    }
}

/// For each field the position in the query that it comes from.
fn positions(fields: &[FieldRef], named: &[ast::Ident], table: &str) -> Result<Vec<Option<usize>>, Error> {
    if named.is_empty() {
        return Ok((0..fields.len()).map(Some).collect());
    }
    let mut positions = vec![None; fields.len()];
    for (index, ident) in named.iter().enumerate() {
        let exact = fields.iter().position(|f| *f.name() == ident.value);
        let Some(field) = exact.or_else(|| fields.iter().position(|f| f.name().eq_ignore_ascii_case(&ident.value)))
        else {
            return Err(Error::new(format!("table {table} has no column {}", ident.value))
                .at(place(ident.span))
                .hint(format!("columns: {}", fault::list(fields.iter().map(|f| f.name())))));
        };
        if positions[field].replace(index).is_some() {
            return Err(Error::new(format!("column {} is named twice", ident.value)).at(place(ident.span)));
        }
    }
    Ok(positions)
}

fn convert(expr: Expr, field: &Field, schema: &datafusion_common::DFSchema) -> DfResult<Expr> {
    use datafusion_expr::ExprSchemable;
    let from = expr.get_type(schema)?;
    let text = matches!(field.data_type(), DataType::Utf8View | DataType::Utf8);
    if is_json_union(&from) && text {
        return Ok(outgoing_json(expr));
    }
    if same_type(&from, field.data_type()) {
        Ok(expr)
    } else {
        optimize::cast(expr, field.data_type(), schema)
    }
}

/// As Arroyo writes a value of the JSON functions: its JSON text, `null` for what is missing.
fn outgoing_json(expr: Expr) -> Expr {
    let null = lit(ScalarValue::Utf8View(Some("null".to_string())));
    coalesce(vec![optimize::json_text(expr), null])
}

/// What a query gives to a reader outside: JSON values and every kind of text as TEXT, other columns as they are.
pub(crate) fn outgoing(query: LogicalPlan) -> DfResult<LogicalPlan> {
    let schema = query.schema().clone();
    let mut changed = false;
    let mut exprs = Vec::new();
    for (qualifier, field) in schema.iter() {
        let column = Expr::Column(Column::from((qualifier, field)));
        let target = match field.data_type() {
            t if is_json_union(t) => Some(outgoing_json(column.clone())),
            DataType::Utf8 | DataType::LargeUtf8 => Some(optimize::cast(column.clone(), &DataType::Utf8View, &schema)?),
            DataType::Binary | DataType::LargeBinary => {
                Some(optimize::cast(column.clone(), &DataType::BinaryView, &schema)?)
            }
            _ => None,
        };
        changed |= target.is_some();
        exprs.push(match target {
            Some(expr) => expr.alias_qualified(qualifier.cloned(), field.name()),
            None => column,
        });
    }
    if changed {
        LogicalPlanBuilder::from(query).project(exprs)?.build()
    } else {
        Ok(query)
    }
}

/// Columns for a sink that was declared without any.
pub(crate) fn columns_of(query: &LogicalPlan) -> Vec<TableColumn> {
    let fields = query.schema().fields().iter();
    fields
        .map(|f| TableColumn {
            field: Arc::new(Field::new(f.name(), f.data_type().clone(), f.is_nullable())),
            kind: ColumnKind::Physical,
            json: false,
        })
        .collect()
}

/// All that was written into a memory table.
pub(crate) fn union(written: &[LogicalPlan]) -> DfResult<Option<LogicalPlan>> {
    match written {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        many => {
            let inputs = many.iter().cloned().map(Arc::new).collect();
            Ok(Some(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
        }
    }
}

/// Equal but for NULL being allowed: a window column stays a window column.
fn same_type(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.name() == b.name() && same_type(a.data_type(), b.data_type()))
        }
        (DataType::List(a), DataType::List(b)) => same_type(a.data_type(), b.data_type()),
        _ => a == b,
    }
}
