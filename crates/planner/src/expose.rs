//! Bringing a window column up that a query did not pass on.
//!
//! A query may call the window of its input again without having its column (`GROUP BY tumble(...)` over a query that groups
//! by the same call and does not select it). The column is then carried up as a further, last, column of everything between.

use crate::error::Error;
use crate::fault;
use crate::places::Places;
use crate::windowing::{self, Windowing};
use datafusion_common::{Column, DFSchemaRef, JoinType, Result as DfResult};
use datafusion_expr::{Expr, Join, LogicalPlan, Projection, SubqueryAlias, Union};
use std::sync::Arc;

/// Adds the window column of a plan as its last column, through projections that dropped it.
pub(crate) fn expose(plan: LogicalPlan, places: &Places) -> Result<(LogicalPlan, Column), Error> {
    let windowing = whole(&plan, places)?;
    if let Windowing::By { columns, .. } = &windowing
        && let Some(index) = columns.first()
    {
        let column = Column::from(plan.schema().qualified_field(*index));
        return Ok((plan, column));
    }
    let build = |plan: DfResult<LogicalPlan>| plan.map_err(|e| fault::error(&e));
    match plan {
        LogicalPlan::Projection(projection) => {
            let (input, column) = expose(projection.input.as_ref().clone(), places)?;
            let mut exprs = projection.expr;
            let name = free_name(&projection.schema);
            exprs.push(Expr::Column(column).alias(name.clone()));
            let plan = build(Projection::try_new(exprs, Arc::new(input)).map(LogicalPlan::Projection))?;
            Ok((plan, Column::new_unqualified(name)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (input, column) = expose(alias.input.as_ref().clone(), places)?;
            let name = alias.alias.clone();
            let plan = build(SubqueryAlias::try_new(Arc::new(input), name.clone()).map(LogicalPlan::SubqueryAlias))?;
            Ok((plan, Column::new(Some(name), column.name)))
        }
        LogicalPlan::Union(union) => {
            let mut inputs = Vec::new();
            let mut name = String::new();
            for input in union.inputs {
                // Each input gets the column at the same, last, position.
                let (input, column) = expose(input.as_ref().clone(), places)?;
                let kept = union.schema.fields().len();
                let fields = (0..kept)
                    .map(|i| Expr::Column(Column::from(input.schema().qualified_field(i))))
                    .collect::<Vec<_>>();
                name = free_name(&union.schema);
                let exprs = fields
                    .into_iter()
                    .chain([Expr::Column(column).alias(name.clone())])
                    .collect();
                inputs.push(Arc::new(build(
                    Projection::try_new(exprs, Arc::new(input)).map(LogicalPlan::Projection),
                )?));
            }
            let plan = build(Union::try_new_with_loose_types(inputs).map(LogicalPlan::Union))?;
            let column = Column::from(plan.schema().qualified_field(plan.schema().fields().len() - 1));
            debug_assert_eq!(column.name, name);
            Ok((plan, column))
        }
        LogicalPlan::Join(join) if matches!(join.join_type, JoinType::Inner | JoinType::Left | JoinType::Right) => {
            let (mut left, mut right) = (join.left.as_ref().clone(), join.right.as_ref().clone());
            let column;
            if join.join_type == JoinType::Right {
                (right, column) = expose(right, places)?;
            } else {
                (left, column) = expose(left, places)?;
            }
            let rebuilt = Join::try_new(
                Arc::new(left),
                Arc::new(right),
                join.on,
                join.filter,
                join.join_type,
                join.join_constraint,
                join.null_equality,
                join.null_aware,
            );
            Ok((build(rebuilt.map(LogicalPlan::Join))?, column))
        }
        plan @ (LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::Extension(_)) => {
            let input = plan.inputs()[0].clone();
            let (input, column) = expose(input, places)?;
            let plan = build(plan.with_new_exprs(plan.expressions(), vec![input]))?;
            Ok((plan, column))
        }
        _ => Err(Error::new("the window of the input is not among its columns")
            .at(places.statement())
            .hint("pass the window column of the inner query up and group by it")),
    }
}

/// The windowing of a whole plan that was rewritten before.
pub(crate) fn whole(plan: &LogicalPlan, places: &Places) -> Result<Windowing, Error> {
    let inputs = plan
        .inputs()
        .into_iter()
        .map(|p| whole(p, places))
        .collect::<Result<Vec<_>, _>>()?;
    windowing::of(plan, &inputs, places)
}

fn free_name(schema: &DFSchemaRef) -> String {
    let mut name = "__window".to_string();
    while schema.fields().iter().any(|f| f.name() == &name) {
        name.push('_');
    }
    name
}
