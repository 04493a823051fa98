//! Aggregate calls: lowered to DataFusion's physical form, checked, and classed by whether the order of rows matters.

use crate::convert::Context;
use crate::error::Error;
use crate::fault;
use crate::plan::Aggregate;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::DFSchemaRef;
use datafusion_expr::Expr;
use datafusion_expr::utils::AggregateOrderSensitivity;
use datafusion_physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};

/// Lowers one call over the columns of `logical` (the same as `physical`, with their SQL names).
pub(crate) fn aggregate(
    expr: &Expr,
    logical: &DFSchemaRef,
    physical: &SchemaRef,
    context: &Context,
) -> Result<Aggregate, Error> {
    let lowered = LoweredAggregateBuilder::new(expr, logical, physical, context.props(), context.planning())
        .with_name(expr.schema_name().to_string())
        .with_human_display(expr.human_display().to_string())
        .build()
        .map_err(|e| fault::error(&e))?;
    let function = lowered.aggregate;
    let name = function.fun().name();
    if matches!(function.order_sensitivity(), AggregateOrderSensitivity::HardRequirement)
        && !lowered.order_bys.is_empty()
    {
        return Err(Error::new(format!("{name}() with ORDER BY is not supported"))
            .hint("use first_value, last_value or array_agg with ORDER BY"));
    }
    // DataFusion says only here that it has no such variant (a DISTINCT of some function, a type).
    function.create_accumulator().map_err(|e| fault::error(&e))?;
    let commutative = commutative(&function);
    Ok(Aggregate {
        function,
        filter: lowered.filter,
        commutative,
    })
}

/// True if partial states merged in any order give the same bits.
///
/// Minimum and maximum of floats are: DataFusion compares them by IEEE 754's total order, where NaN has its place and -0 is
/// below +0. Sums, averages and moments of floats are not, since their additions round. Distinct counts are sets.
fn commutative(function: &AggregateFunctionExpr) -> bool {
    let exact = |t: &DataType| {
        t.is_integer()
            || matches!(
                t,
                DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Boolean
            )
    };
    let result = function.field();
    match function.fun().name() {
        "count" | "min" | "max" | "bit_and" | "bit_or" | "bit_xor" | "bool_and" | "bool_or" => true,
        "sum" => exact(result.data_type()),
        _ => false,
    }
}
