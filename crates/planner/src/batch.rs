//! Sketches of record batches, planned away.
//!
//! On Arroyo, `approx_top_k_combine(approx_top_k_batch(item, bin, n))` makes a sketch of each record batch and merges them in
//! the window. Here a batch has no meaning (results must not depend on where it is cut), and aggregation is incremental
//! anyway: the pair becomes `approx_top_k_accumulate(item, n)` over the rows themselves. The item travels beside the sketch
//! column through the projections and aliases in between; filters `sketch IS NOT NULL` on the way fall away.

use crate::functions::Registry;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, Result, plan_err};
use datafusion_expr::expr::{AggregateFunction, AggregateFunctionParams, ScalarFunction};
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{Aggregate, Expr, Filter, LogicalPlan, Projection, SubqueryAlias};
use std::sync::Arc;

/// Name of the batch function, the aggregate that stands for it, and the position of `bin` among its arguments.
const PAIRS: [(&str, &str, usize); 2] = [
    ("approx_top_k_batch", "approx_top_k_accumulate", 1),
    ("approx_top_sum_batch", "approx_top_sum_accumulate", 2),
];
const COMBINE: &str = "approx_top_k_combine";

/// Replaces every pair in a plan whose types are not resolved yet.
pub(crate) fn rewrite(plan: LogicalPlan, registry: &Registry) -> Result<LogicalPlan> {
    let replaced = plan.transform_up(|node| match node {
        LogicalPlan::Aggregate(aggregate) => replace(aggregate, registry),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(replaced.data)
}

/// The name of a batch function that was left in an expression.
pub(crate) fn left_in(exprs: &[Expr]) -> Option<&'static str> {
    let mut found = None;
    for expr in exprs {
        let visited = expr.apply(|e| {
            found = found.or(batch_call(e).map(|(_, pair)| pair.0));
            Ok(if found.is_some() {
                TreeNodeRecursion::Stop
            } else {
                TreeNodeRecursion::Continue
            })
        });
        debug_assert!(visited.is_ok());
    }
    found
}

fn batch_call(expr: &Expr) -> Option<(&ScalarFunction, &'static (&'static str, &'static str, usize))> {
    match expr {
        Expr::Alias(alias) => batch_call(&alias.expr),
        Expr::ScalarFunction(function) => PAIRS
            .iter()
            .find(|p| p.0 == function.func.name())
            .map(|pair| (function, pair)),
        _ => None,
    }
}

fn replace(aggregate: Aggregate, registry: &Registry) -> Result<Transformed<LogicalPlan>> {
    let mut input = aggregate.input.as_ref().clone();
    let mut exprs = Vec::with_capacity(aggregate.aggr_expr.len());
    let mut changed = false;
    for (index, expr) in aggregate.aggr_expr.iter().enumerate() {
        let Some((call, filter)) = combine(expr) else {
            exprs.push(expr.clone());
            continue;
        };
        let argument = &call.params.args[0];
        let (function, (batch, accumulate, bin), arguments) = match (batch_call(argument), argument) {
            (Some((function, pair)), _) => (function.clone(), pair, None),
            (None, Expr::Column(column)) => match traced(&input, column) {
                Some((function, pair)) => (function, pair, Some((column.clone(), index))),
                None => {
                    exprs.push(expr.clone());
                    continue;
                }
            },
            _ => {
                exprs.push(expr.clone());
                continue;
            }
        };
        if function.args.len() != bin + 2 {
            return plan_err!("{batch}() does not take {} arguments", function.args.len());
        }
        let mut args = function.args.clone();
        args.remove(*bin);
        // The capacity is a constant; what comes before it must be carried up to the aggregate.
        let capacity = args.pop();
        if let Some((column, index)) = arguments {
            let (carried, columns) = carry(input, &column, &args, index)?;
            input = carried;
            args = columns.into_iter().map(Expr::Column).collect();
        }
        args.extend(capacity);
        let Some(udaf) = registry.aggregates.get(*accumulate) else {
            return plan_err!("{batch}() needs the function {accumulate}, which this process does not have");
        };
        let params = AggregateFunctionParams {
            args,
            distinct: false,
            filter,
            order_by: Vec::new(),
            null_treatment: None,
        };
        let replacement = Expr::AggregateFunction(AggregateFunction {
            func: udaf.clone(),
            params,
        });
        exprs.push(replacement.alias(expr.schema_name().to_string()));
        changed = true;
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    Ok(Transformed::yes(LogicalPlan::Aggregate(Aggregate::try_new(
        Arc::new(input),
        aggregate.group_expr,
        exprs,
    )?)))
}

/// `approx_top_k_combine(x)`, with its filter unless that only asks for sketches that are there.
fn combine(expr: &Expr) -> Option<(&AggregateFunction, Option<Box<Expr>>)> {
    match expr {
        Expr::Alias(alias) => combine(&alias.expr),
        Expr::AggregateFunction(call)
            if call.func.name() == COMBINE && call.params.args.len() == 1 && !call.params.distinct =>
        {
            let filter = match call.params.filter.as_deref() {
                Some(Expr::IsNotNull(inner)) if **inner == call.params.args[0] => None,
                _ => call.params.filter.clone(),
            };
            Some((call, filter))
        }
        _ => None,
    }
}

/// The batch call that a column comes from.
fn traced(
    plan: &LogicalPlan,
    column: &Column,
) -> Option<(ScalarFunction, &'static (&'static str, &'static str, usize))> {
    let index = plan.schema().maybe_index_of_column(column)?;
    match plan {
        LogicalPlan::Projection(projection) => {
            let expr = projection.expr.get(index)?;
            match batch_call(expr) {
                Some((function, pair)) => Some((function.clone(), pair)),
                None => traced(&projection.input, plain_column(expr)?),
            }
        }
        LogicalPlan::SubqueryAlias(alias) => {
            traced(&alias.input, &Column::from(alias.input.schema().qualified_field(index)))
        }
        LogicalPlan::Filter(filter) => traced(&filter.input, column),
        _ => None,
    }
}

fn plain_column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Alias(alias) => plain_column(&alias.expr),
        Expr::Column(column) => Some(column),
        _ => None,
    }
}

/// Rebuilds a plan so that the arguments of the batch call behind `column` come out of it as further columns.
fn carry(plan: LogicalPlan, column: &Column, args: &[Expr], number: usize) -> Result<(LogicalPlan, Vec<Column>)> {
    let Some(index) = plan.schema().maybe_index_of_column(column) else {
        return plan_err!("there is no column {column}");
    };
    match plan {
        LogicalPlan::Projection(projection) => {
            let expr = &projection.expr[index];
            let (input, added): (_, Vec<Expr>) = match plain_column(expr) {
                None => (projection.input, args.to_vec()),
                Some(inner) => {
                    let inner = inner.clone();
                    let (input, columns) = carry(projection.input.as_ref().clone(), &inner, args, number)?;
                    (Arc::new(input), columns.into_iter().map(Expr::Column).collect())
                }
            };
            let names: Vec<String> = (0..added.len()).map(|i| format!("__batch_{number}_{i}")).collect();
            let mut exprs = projection.expr;
            exprs.extend(added.into_iter().zip(&names).map(|(e, name)| e.alias(name)));
            let plan = LogicalPlan::Projection(Projection::try_new(exprs, input)?);
            Ok((plan, names.into_iter().map(Column::new_unqualified).collect()))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let inner = Column::from(alias.input.schema().qualified_field(index));
            let (input, columns) = carry(alias.input.as_ref().clone(), &inner, args, number)?;
            let name = alias.alias;
            let columns = columns
                .into_iter()
                .map(|c| Column::new(Some(name.clone()), c.name))
                .collect();
            Ok((
                LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), name)?),
                columns,
            ))
        }
        LogicalPlan::Filter(filter) => {
            let kept = split_conjunction(&filter.predicate)
                .into_iter()
                .filter(|p| !asks_for(p, column, &filter.input))
                .cloned();
            let kept = conjunction(kept);
            let (input, columns) = carry(filter.input.as_ref().clone(), column, args, number)?;
            let plan = match kept {
                Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?),
                None => input,
            };
            Ok((plan, columns))
        }
        other => plan_err!("{} stands between a batch sketch and its merge", other.display()),
    }
}

/// `column IS NOT NULL`.
fn asks_for(predicate: &Expr, column: &Column, plan: &LogicalPlan) -> bool {
    let index = |c: &Column| plan.schema().maybe_index_of_column(c);
    match predicate {
        Expr::IsNotNull(inner) => plain_column(inner).is_some_and(|c| index(c).is_some() && index(c) == index(column)),
        _ => false,
    }
}
