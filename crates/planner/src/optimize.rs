//! DataFusion's analyser and the rules of its optimiser that a stream bears.
//!
//! Rules are named one by one. Left out, and why: those for LIMIT (refused before), `SingleDistinctToGroupBy` (it makes two
//! aggregations of one window), subquery rules (refused before), `EliminateFilter` and `PropagateEmptyRelation` (an empty
//! relation has no event time), `FilterNullJoinKeys` (a window is never NULL), `UnionsToFilter` (it would merge streams whose
//! order differs), the extraction of leaf expressions (it moves window fields below the operator that makes them).

use crate::batch;
use crate::functions::{Registry, config, is_json_union};
use arrow::datatypes::DataType;
use datafusion_common::{DFSchema, Result, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion_optimizer::analyzer::Analyzer;
use datafusion_optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion_optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion_optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion_optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{Optimizer, OptimizerContext, OptimizerRule};
use std::sync::Arc;

/// Resolves types: implicit casts, and the rewrites of the JSON functions. Sketches of record batches go before that.
pub(crate) fn analyse(plan: LogicalPlan, registry: &Registry) -> Result<LogicalPlan> {
    let mut analyzer = Analyzer::new();
    for rewrite in &registry.rewrites {
        analyzer.add_function_rewrite(rewrite.clone());
    }
    analyzer.execute_and_check(batch::rewrite(plan, registry)?, &config(), |_, _| {})
}

/// Folds constants only.
pub(crate) fn simplify(plan: LogicalPlan) -> Result<LogicalPlan> {
    run(vec![Arc::new(SimplifyExpressions::new())], plan)
}

/// Filters and projections to the sources, equal keys out of join conditions, common expressions once.
pub(crate) fn optimize(plan: LogicalPlan) -> Result<LogicalPlan> {
    run(
        vec![
            Arc::new(OptimizeUnions::new()),
            Arc::new(SimplifyExpressions::new()),
            Arc::new(ReplaceDistinctWithAggregate::new()),
            Arc::new(ExtractEquijoinPredicate::new()),
            Arc::new(EliminateDuplicatedExpr::new()),
            Arc::new(EliminateCrossJoin::new()),
            Arc::new(EliminateOuterJoin::new()),
            Arc::new(PushDownFilter::new()),
            Arc::new(CommonSubexprEliminate::new()),
            Arc::new(OptimizeProjections::new()),
        ],
        plan,
    )
}

fn run(rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>, plan: LogicalPlan) -> Result<LogicalPlan> {
    let context = OptimizerContext::new().with_skip_failing_rules(false);
    Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {})
}

/// Casts as SQL does; the union of the JSON functions goes by way of its JSON text.
pub(crate) fn cast(expr: Expr, target: &DataType, schema: &DFSchema) -> Result<Expr> {
    let from = expr.get_type(schema)?;
    if from.equals_datatype(target) {
        return Ok(expr);
    }
    let expr = if is_json_union(&from) { json_text(expr) } else { expr };
    if let (DataType::Struct(_), _) | (_, DataType::Struct(_)) = (&from, target)
        && !matches!((&from, target), (DataType::Struct(_), DataType::Struct(_)))
    {
        return plan_err!("a value of type {from} cannot become {target}");
    }
    expr.cast_to(target, schema)
}

/// The JSON text of a value of the JSON functions' union.
pub(crate) fn json_text(expr: Expr) -> Expr {
    let func = hitters_functions::json_union_to_text();
    Expr::ScalarFunction(ScalarFunction { func, args: vec![expr] })
}
