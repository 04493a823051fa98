//! Source nodes: which stored columns are decoded, which generated ones computed.

use crate::catalog::Declared;
use crate::convert::Context;
use crate::error::Error;
use crate::fault;
use crate::plan::{NamedExpr, SourceNode};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{DFSchema, TableReference};
use datafusion_expr::Expr;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A source of these columns (positions in the table), and the schema that comes out: the columns in the order of the table.
pub(crate) fn source(
    declared: &Declared,
    columns: &BTreeSet<usize>,
    context: &Context,
) -> Result<(SourceNode, SchemaRef), Error> {
    let table = &declared.table;
    let position = |name: &str| table.columns.iter().position(|c| c.field.name() == name);
    let refs = |expr: &Expr| -> Vec<usize> { expr.column_refs().iter().filter_map(|c| position(&c.name)).collect() };
    let mut needed = columns.clone();
    for expr in declared.event_time.iter().chain(&declared.watermark) {
        needed.extend(refs(expr));
    }
    // Generated columns are over stored ones only, so that one step is enough.
    let generated: Vec<(usize, &Expr)> = needed
        .iter()
        .filter_map(|i| declared.generated.get(i).map(|e| (*i, e)))
        .collect();
    for (_, expr) in &generated {
        needed.extend(refs(expr));
    }
    let all_stored = declared.stored();
    let stored: Vec<usize> = all_stored.iter().copied().filter(|i| needed.contains(i)).collect();
    let stored_fields: Vec<FieldRef> = stored.iter().map(|i| table.columns[*i].field.clone()).collect();
    let scope = |fields: &[FieldRef]| {
        DFSchema::try_from_qualified_schema(TableReference::bare(table.name.as_str()), &Schema::new(fields.to_vec()))
            .map_err(|e| fault::error(&e))
    };
    let stored_scope = scope(&stored_fields)?;
    let mut fields = stored_fields;
    let mut exprs = Vec::new();
    for (index, expr) in &generated {
        let declared_field = &table.columns[*index].field;
        let expr = context.expr(expr, &stored_scope)?;
        let nullable = expr.nullable(stored_scope.as_arrow()).map_err(|e| fault::error(&e))?;
        // A column declared NOT NULL is believed by queries, but a batch with a NULL in it must not fail for that.
        let field = Field::new(
            declared_field.name(),
            declared_field.data_type().clone(),
            declared_field.is_nullable() || nullable,
        );
        fields.push(Arc::new(field));
        exprs.push(NamedExpr {
            expr,
            name: declared_field.name().clone(),
        });
    }
    let side_by_side: Vec<usize> = stored
        .iter()
        .copied()
        .chain(generated.iter().map(|(i, _)| *i))
        .collect();
    let full_scope = scope(&fields)?;
    let time = |expr: &Option<Expr>| expr.as_ref().map(|e| context.expr(e, &full_scope)).transpose();
    let output: Vec<usize> = columns
        .iter()
        .filter_map(|c| side_by_side.iter().position(|have| have == c))
        .collect();
    let schema = Arc::new(Schema::new(
        output.iter().map(|i| fields[*i].clone()).collect::<Vec<_>>(),
    ));
    let node = SourceNode {
        table: table.clone(),
        stored: stored
            .iter()
            .filter_map(|i| all_stored.iter().position(|have| have == i))
            .collect(),
        generated: exprs,
        event_time: time(&declared.event_time)?,
        watermark: time(&declared.watermark)?,
        output,
    };
    Ok((node, schema))
}
