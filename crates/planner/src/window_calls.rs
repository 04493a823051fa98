//! `tumble`, `hop` and `session` as functions of SQL.
//!
//! They exist while planning only: each returns the window struct and is volatile, so that no rule of the optimiser folds,
//! shares or moves a call. The converter takes them out of `GROUP BY`; a call anywhere else is an error before that.

use crate::error::Error;
use crate::fault;
use crate::window::Window;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use std::sync::Arc;
use std::time::Duration;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DAY: i64 = 86_400_000_000_000;

/// Type of a window column.
pub fn window_type() -> DataType {
    let time = || DataType::Timestamp(TimeUnit::Nanosecond, None);
    DataType::Struct(Fields::from(vec![
        Field::new("start", time(), false),
        Field::new("end", time(), false),
    ]))
}

/// The three functions.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    [("tumble", 1), ("hop", 2), ("session", 1)]
        .into_iter()
        .map(|(name, arguments)| {
            let signature = Signature::exact(vec![INTERVAL; arguments], Volatility::Volatile);
            Arc::new(ScalarUDF::new_from_impl(WindowCall { name, signature }))
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowCall {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for WindowCall {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(window_type())
    }
    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name, window_type(), false)))
    }
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} is planned away before rows come", self.name)
    }
}

/// The call, if the expression is one (under any aliases).
pub(crate) fn call(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::Alias(alias) => call(&alias.expr),
        Expr::ScalarFunction(function) if function.func.inner().is::<WindowCall>() => Some(function),
        _ => None,
    }
}

/// The first call anywhere inside of the expression.
pub(crate) fn inside(expr: &Expr) -> Option<&'static str> {
    let mut found = None;
    let visited = expr.apply(|e| {
        Ok(match call(e) {
            Some(function) => {
                found = function.func.inner().downcast_ref::<WindowCall>().map(|c| c.name);
                TreeNodeRecursion::Stop
            }
            None => TreeNodeRecursion::Continue,
        })
    });
    debug_assert!(visited.is_ok());
    found
}

/// Which window a call means.
pub(crate) fn window(function: &ScalarFunction) -> Result<Window, Error> {
    let name = function.func.name();
    let widths = function
        .args
        .iter()
        .map(|arg| nanos(name, arg))
        .collect::<Result<Vec<_>, _>>()?;
    match (name, widths.as_slice()) {
        ("tumble", &[width]) => Ok(Window::Tumble { width }),
        ("session", &[gap]) => Ok(Window::Session { gap }),
        ("hop", &[slide, width]) if slide == width => Ok(Window::Tumble { width }),
        ("hop", &[slide, width]) if width % slide == 0 => Ok(Window::Hop { slide, width }),
        ("hop", &[slide, width]) => {
            let hint = match slide > width {
                true => "the slide comes first, then the width: hop(INTERVAL '10 seconds', INTERVAL '1 minute')",
                false => "choose a slide that divides the width",
            };
            let [slide, width] = [slide, width].map(|n| Duration::from_nanos(n.unsigned_abs()));
            Err(Error::new(format!(
                "hop() width {width:?} currently must be a multiple of slide {slide:?}"
            ))
            .hint(hint))
        }
        _ => Err(Error::new(format!("{name}() does not take {} intervals", widths.len()))),
    }
}

/// A constant interval in nanoseconds, above zero and without months.
fn nanos(name: &str, expr: &Expr) -> Result<i64, Error> {
    let usage = match name {
        "hop" => "write hop(INTERVAL '10 seconds', INTERVAL '1 minute'): slide, then width",
        "session" => "write session(INTERVAL '30 minutes'): the gap",
        _ => "write tumble(INTERVAL '1 minute')",
    };
    let context = SimplifyContext::default();
    let folded = ExprSimplifier::new(context)
        .simplify(expr.clone())
        .map_err(|e| fault::error(&e).hint(usage))?;
    let value = match folded {
        Expr::Literal(value, _) => value.cast_to(&INTERVAL).map_err(|e| fault::error(&e).hint(usage))?,
        other => return Err(Error::new(format!("{name}() takes constant intervals, not {other}")).hint(usage)),
    };
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = value else {
        return Err(Error::new(format!("{name}() takes an interval, not NULL")).hint(usage));
    };
    if interval.months != 0 {
        return Err(
            Error::new(format!("{name}() takes no months or years, since their lengths differ")).hint("use days"),
        );
    }
    let total = i64::from(interval.days)
        .checked_mul(DAY)
        .and_then(|days| days.checked_add(interval.nanoseconds));
    match total {
        Some(nanos) if nanos > 0 => Ok(nanos),
        Some(_) => Err(Error::new(format!("{name}() takes intervals above zero")).hint(usage)),
        None => Err(Error::new(format!("the interval of {name}() is longer than 292 years"))),
    }
}
