//! `row_time()`: the event time of a row as a value, in SELECT.
//!
//! As on Arroyo: of an event its event time, of a row of a window the window's last nanosecond. The function exists while
//! planning only; a call becomes the column of `WATERMARK FOR`, or the window's end, which is carried up to the SELECT if a
//! query in between dropped it.

use crate::catalog::Scan;
use crate::error::Error;
use crate::expose::expose;
use crate::fault;
use crate::places::Places;
use crate::windowing::Windowing;
use arrow::datatypes::{DataType, Field, FieldRef, IntervalMonthDayNanoType, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, Result as DfResult, ScalarValue, internal_err};
use datafusion_expr::{
    ColumnarValue, Expr, Filter, LogicalPlan, Projection, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, SubqueryAlias, Volatility, lit,
};
use datafusion_functions::core::expr_fn::get_field;
use std::any::Any;
use std::sync::Arc;

const NAME: &str = "row_time";
/// Of a column that carries the time up; no name of SQL begins so.
const CARRIED: &str = "__row_time";

/// The function.
pub(crate) fn function() -> Arc<ScalarUDF> {
    let signature = Signature::nullary(Volatility::Volatile);
    Arc::new(ScalarUDF::new_from_impl(RowTime { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowTime {
    signature: Signature,
}

impl ScalarUDFImpl for RowTime {
    fn name(&self) -> &str {
        NAME
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Nanosecond, None))
    }
    fn return_field_from_args(&self, _: ReturnFieldArgs) -> DfResult<FieldRef> {
        Ok(Arc::new(Field::new(NAME, self.return_type(&[])?, false)))
    }
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        internal_err!("{NAME} is planned away before rows come")
    }
}

fn is_call(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(function) if function.func.inner().is::<RowTime>())
}

/// Whether one of the expressions calls it.
pub(crate) fn called(exprs: &[Expr]) -> bool {
    exprs.iter().any(|e| e.exists(|e| Ok(is_call(e))).unwrap_or(false))
}

/// Puts the time in the place of the calls of an operator whose input has this windowing.
pub(crate) fn rewrite(plan: LogicalPlan, input: Option<&Windowing>, places: &Places) -> Result<LogicalPlan, Error> {
    if !called(&plan.expressions()) {
        return Ok(plan);
    }
    let LogicalPlan::Projection(projection) = plan else {
        return Err(Error::new("row_time() stands in SELECT only")
            .at(places.function(NAME))
            .hint("name it in a query below: SELECT ... FROM (SELECT *, row_time() AS t FROM ...)"));
    };
    let below = projection.input.as_ref().clone();
    let (below, time) = match input {
        Some(Windowing::By { .. }) => {
            let (below, window) = expose(below, places)?;
            let nanosecond = IntervalMonthDayNanoType::make_value(0, 0, 1);
            let end = get_field(Expr::Column(window), "end");
            (below, end - lit(ScalarValue::IntervalMonthDayNano(Some(nanosecond))))
        }
        _ => {
            let (below, column) = carry(below).map_err(|fault| fault.at(places.function(NAME)))?;
            (below, Expr::Column(column))
        }
    };
    let replaced = |expr: Expr| -> DfResult<Expr> {
        let name = expr.schema_name().to_string();
        let new = expr.transform(|e| {
            Ok(if is_call(&e) {
                Transformed::yes(time.clone())
            } else {
                Transformed::no(e)
            })
        })?;
        Ok(if new.transformed && new.data.schema_name().to_string() != name {
            new.data.alias(name)
        } else {
            new.data
        })
    };
    let build = || {
        let exprs = projection
            .expr
            .into_iter()
            .map(replaced)
            .collect::<DfResult<Vec<_>>>()?;
        Projection::try_new(exprs, Arc::new(below)).map(LogicalPlan::Projection)
    };
    build().map_err(|e| fault::error(&e))
}

/// The event time of single events as a column of the plan, added to projections that dropped it.
fn carry(plan: LogicalPlan) -> Result<(LogicalPlan, Column), Error> {
    let build = |plan: DfResult<LogicalPlan>| plan.map_err(|e| fault::error(&e));
    match plan {
        LogicalPlan::TableScan(scan) => {
            let source: &dyn Any = scan.source.as_ref();
            let time = source
                .downcast_ref::<Scan>()
                .and_then(|scan| scan.declared.event_time.clone());
            let Some(Expr::Column(time)) = time else {
                return Err(
                    Error::new(format!("table {} has no column of its event time", scan.table_name))
                        .hint("declare one with WATERMARK FOR"),
                );
            };
            let column = Column::new(Some(scan.table_name.clone()), time.name);
            Ok((LogicalPlan::TableScan(scan), column))
        }
        // Carried for a query below already.
        LogicalPlan::Projection(projection) if projection.schema.fields().iter().any(|f| f.name() == CARRIED) => {
            Ok((LogicalPlan::Projection(projection), Column::new_unqualified(CARRIED)))
        }
        LogicalPlan::Projection(projection) => {
            let (input, column) = carry(projection.input.as_ref().clone())?;
            let mut exprs = projection.expr;
            exprs.push(Expr::Column(column).alias(CARRIED));
            let plan = build(Projection::try_new(exprs, Arc::new(input)).map(LogicalPlan::Projection))?;
            Ok((plan, Column::new_unqualified(CARRIED)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (input, column) = carry(alias.input.as_ref().clone())?;
            let name = alias.alias.clone();
            let plan = build(SubqueryAlias::try_new(Arc::new(input), name.clone()).map(LogicalPlan::SubqueryAlias))?;
            Ok((plan, Column::new(Some(name), column.name)))
        }
        LogicalPlan::Filter(filter) => {
            let (input, column) = carry(filter.input.as_ref().clone())?;
            let plan = build(Filter::try_new(filter.predicate, Arc::new(input)).map(LogicalPlan::Filter))?;
            Ok((plan, column))
        }
        _ => Err(
            Error::new("row_time() is known of the rows of a table, of a view over one, and of windows")
                .hint("take the column that WATERMARK FOR names through the queries in between"),
        ),
    }
}
