//! The operators of PostgreSQL on JSON, and what makes calls of the accessors cheaper: a cast around `json_get` becomes the accessor of that type, so that
//! no union is made for it, and accessors inside of each other become one.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, Result, ScalarValue};
use datafusion_expr::expr::{Alias, Cast, ScalarFunction, TryCast};
use datafusion_expr::expr_rewriter::FunctionRewrite;
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion_expr::sqlparser::ast::BinaryOperator;
use datafusion_expr::{Expr, ExprSchemable};

use super::access::{Access, Accessor};
use super::accessor;

/// Plans the operators.
#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, _: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (operator, access) = match expr.op {
            BinaryOperator::Arrow => ("->", Access::Get),
            BinaryOperator::LongArrow => ("->>", Access::AsText),
            BinaryOperator::HashArrow => ("#>", Access::Get),
            BinaryOperator::HashLongArrow => ("#>>", Access::AsText),
            BinaryOperator::Question => ("?", Access::Contains),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        // A column that is not named otherwise is named as it was written.
        let name = format!("{} {operator} {}", written(&expr.left), written(&expr.right));
        let call = call(access, vec![expr.left, expr.right]);
        Ok(PlannerResult::Planned(Expr::Alias(Alias::new(
            call,
            None::<&str>,
            name,
        ))))
    }
}

/// An operand about as it was written.
fn written(expr: &Expr) -> String {
    match expr {
        Expr::Column(Column { name, .. }) => name.clone(),
        Expr::Alias(alias) => alias.name.clone(),
        Expr::Cast(cast) => written(&cast.expr),
        Expr::Literal(value, _) => match value.try_as_str() {
            Some(Some(text)) if !matches!(value, ScalarValue::Dictionary(..)) => format!("'{text}'"),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

fn call(access: Access, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction {
        func: accessor(access),
        args,
    })
}

/// Makes calls cheaper.
#[derive(Debug)]
pub(super) struct Rewrite;

impl FunctionRewrite for Rewrite {
    fn name(&self) -> &str {
        "json_accessors"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let cheaper = match &expr {
            Expr::Cast(cast) => typed(cast.field.data_type(), &cast.expr, schema).map(|(call, exact)| {
                let field = Arc::clone(&cast.field);
                if exact {
                    call
                } else {
                    Expr::Cast(Cast {
                        expr: Box::new(call),
                        field,
                    })
                }
            }),
            Expr::TryCast(cast) => typed(cast.field.data_type(), &cast.expr, schema).map(|(call, exact)| {
                let field = Arc::clone(&cast.field);
                if exact {
                    call
                } else {
                    Expr::TryCast(TryCast {
                        expr: Box::new(call),
                        field,
                    })
                }
            }),
            Expr::ScalarFunction(function) => arrow_cast(function, schema).or_else(|| flat(function)),
            _ => None,
        };
        Ok(cheaper.map_or_else(|| Transformed::no(expr), Transformed::yes))
    }
}

/// The accessor for a cast of `json_get`, and whether it gives that very type; else the cast must stay around it.
fn typed(to: &DataType, expr: &Expr, schema: &DFSchema) -> Option<(Expr, bool)> {
    let get = accessor_call(expr).filter(|(access, _)| *access == Access::Get)?.1;
    let access = match to {
        DataType::Boolean => Access::Bool,
        DataType::Float64 | DataType::Float32 | DataType::Decimal128(..) | DataType::Decimal256(..) => Access::Float,
        DataType::Int64 | DataType::Int32 => Access::Int,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Access::AsText,
        _ => return None,
    };
    let call = call(access, get.args.clone());
    let exact = call.get_type(schema).is_ok_and(|of| of == *to);
    Some((call, exact))
}

/// The same in `arrow_cast(json_get(...), 'Int64')`, which becomes a cast only later.
fn arrow_cast(function: &ScalarFunction, schema: &DFSchema) -> Option<Expr> {
    if !matches!(function.func.name(), "arrow_cast" | "arrow_try_cast") {
        return None;
    }
    let [expr, name @ Expr::Literal(ScalarValue::Utf8(Some(to)), _)] = function.args.as_slice() else {
        return None;
    };
    let (call, _) = typed(&to.parse().ok()?, expr, schema)?;
    Some(Expr::ScalarFunction(ScalarFunction {
        func: Arc::clone(&function.func),
        args: vec![call, name.clone()],
    }))
}

/// `json_get_x(json_get(json, a), b)` as `json_get_x(json, a, b)`, if the path is literal.
fn flat(function: &ScalarFunction) -> Option<Expr> {
    let outer = function.func.inner().downcast_ref::<Accessor>()?.access;
    if matches!(outer, Access::Array | Access::Contains | Access::Length | Access::Keys) {
        return None;
    }
    let (first, rest) = function.args.split_first()?;
    let (_, inner) = accessor_call(first).filter(|(access, _)| *access == Access::Get)?;
    let args: Vec<Expr> = inner.args.iter().chain(rest).cloned().collect();
    let literal = args.iter().skip(1).all(|step| matches!(step, Expr::Literal(..)));
    literal.then(|| call(outer, args))
}

/// The call of an accessor, whatever it is called.
fn accessor_call(expr: &Expr) -> Option<(Access, &ScalarFunction)> {
    match expr {
        Expr::Alias(alias) => accessor_call(&alias.expr),
        Expr::ScalarFunction(function) => {
            let accessor = function.func.inner().downcast_ref::<Accessor>()?;
            Some((accessor.access, function))
        }
        _ => None,
    }
}
