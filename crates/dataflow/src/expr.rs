//! Evaluation of planned expressions over batches.

use crate::Error;
use crate::batch::record_batch;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use hitters_planner::plan::NamedExpr;
use std::sync::Arc;

/// One array of as many values as the batch has rows.
pub fn evaluate(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef, Error> {
    Ok(expr.evaluate(rows)?.into_array(rows.num_rows())?)
}

/// Several expressions.
pub fn evaluate_all<'a>(
    exprs: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>,
    rows: &RecordBatch,
) -> Result<Vec<ArrayRef>, Error> {
    exprs.into_iter().map(|expr| evaluate(expr, rows)).collect()
}

/// A predicate as a mask without NULLs: SQL keeps a row only where the predicate is true.
pub fn evaluate_predicate(predicate: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<BooleanArray, Error> {
    let mask = evaluate(predicate, rows)?;
    let mask = mask
        .as_boolean_opt()
        .ok_or_else(|| Error::State(format!("the predicate {predicate} is not boolean")))?;
    // NULL is not true. The kernel expects that there are NULLs.
    Ok(if mask.null_count() == 0 {
        mask.clone()
    } else {
        prep_null_mask_filter(mask)
    })
}

/// New columns in place of the old ones.
pub fn project(exprs: &[NamedExpr], schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch, Error> {
    let columns = evaluate_all(exprs.iter().map(|e| &e.expr), rows)?;
    record_batch(schema.clone(), columns, rows.num_rows())
}
