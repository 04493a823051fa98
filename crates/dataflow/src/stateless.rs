//! Steps of the final tier that look at each row alone.

use crate::Error;
use crate::batch::record_batch;
use crate::expr::{evaluate_predicate, project};
use crate::operator::{Operator, WindowRows};
use crate::unnest::unnest;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use hitters_planner::plan::NamedExpr;
use std::sync::Arc;

/// A step on single rows.
pub enum Stateless {
    /// Computes new columns.
    Project(Vec<NamedExpr>, SchemaRef),
    /// Keeps rows.
    Filter(Arc<dyn PhysicalExpr>),
    /// Unfolds a list.
    Unnest(usize, SchemaRef),
    /// Takes rows of several inputs of the same types.
    Union(SchemaRef),
}

impl Operator for Stateless {
    fn rows(&mut self, _input: usize, WindowRows { window, rows }: WindowRows) -> Result<Vec<WindowRows>, Error> {
        let rows = match self {
            Stateless::Project(exprs, schema) => project(exprs, schema, &rows)?,
            Stateless::Filter(predicate) => filter_record_batch(&rows, &evaluate_predicate(predicate, &rows)?)?,
            Stateless::Unnest(column, schema) => unnest(&rows, *column, schema)?.0,
            Stateless::Union(schema) => record_batch(schema.clone(), rows.columns().to_vec(), rows.num_rows())?,
        };
        Ok(if rows.num_rows() == 0 {
            Vec::new()
        } else {
            vec![WindowRows { window, rows }]
        })
    }
}
