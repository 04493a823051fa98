//! Which columns of a query may be NULL, for warnings.
//!
//! DataFusion's own answer is made for optimisers: it says "may be" of every `sum`, of most functions, and of columns that a
//! filter keeps from being NULL. This one says it only of what a user would agree to: a column that is declared so, an outer
//! join, a function that makes NULL out of values. It may miss a case, so nothing but warnings rests on it.

use arrow::datatypes::DataType;
use datafusion_common::DFSchema;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, JoinType, LogicalPlan};

/// Aggregates that are NULL only if every value is: a group in a window has a row.
const STRICT: [&str; 13] = [
    "sum",
    "min",
    "max",
    "avg",
    "first_value",
    "last_value",
    "median",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "approx_top_k_combine",
];

/// For each column of a plan whether it may be NULL.
pub(crate) fn of(plan: &LogicalPlan) -> Vec<bool> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let input = Columns::of(&projection.input);
            projection.expr.iter().map(|e| input.may_be(e)).collect()
        }
        LogicalPlan::Filter(filter) => {
            let mut input = Columns::of(&filter.input);
            split_conjunction(&filter.predicate)
                .into_iter()
                .for_each(|p| input.passed(p));
            input.nulls
        }
        LogicalPlan::SubqueryAlias(alias) => of(&alias.input),
        LogicalPlan::Aggregate(aggregate) => {
            let input = Columns::of(&aggregate.input);
            aggregate
                .group_expr
                .iter()
                .chain(&aggregate.aggr_expr)
                .map(|e| input.may_be(e))
                .collect()
        }
        LogicalPlan::Join(join) => {
            let (mut left, mut right) = (of(&join.left), of(&join.right));
            if matches!(join.join_type, JoinType::Right | JoinType::Full) {
                left.fill(true);
            }
            if matches!(join.join_type, JoinType::Left | JoinType::Full) {
                right.fill(true);
            }
            left.extend(right);
            left
        }
        LogicalPlan::Union(union) => {
            let mut all = vec![false; union.schema.fields().len()];
            for input in &union.inputs {
                of(input).into_iter().zip(&mut all).for_each(|(null, any)| *any |= null);
            }
            all
        }
        LogicalPlan::Window(window) => {
            let mut input = of(&window.input);
            input.resize(window.schema.fields().len(), false);
            input
        }
        other => other.schema().fields().iter().map(|f| f.is_nullable()).collect(),
    }
}

/// Whether an expression may be NULL, over columns of which some may be.
pub(crate) fn may_be(expr: &Expr, schema: &DFSchema, nulls: &[bool]) -> bool {
    let nulls = nulls.to_vec();
    Columns { schema, nulls }.may_be(expr)
}

/// The columns of an input.
struct Columns<'p> {
    schema: &'p DFSchema,
    nulls: Vec<bool>,
}

impl<'p> Columns<'p> {
    fn of(plan: &'p LogicalPlan) -> Self {
        Self {
            schema: plan.schema(),
            nulls: of(plan),
        }
    }

    /// A condition that is true only if the columns in it are not NULL.
    fn passed(&mut self, condition: &Expr) {
        let mut columns: Vec<&Expr> = Vec::new();
        match condition {
            Expr::IsNotNull(inner) => columns.push(inner),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.returns_null_on_null() => {
                columns.extend([left.as_ref(), right.as_ref()])
            }
            _ => {}
        }
        for column in columns {
            if let Expr::Column(column) = column
                && let Some(index) = self.schema.maybe_index_of_column(column)
                && let Some(null) = self.nulls.get_mut(index)
            {
                *null = false;
            }
        }
    }

    fn may_be(&self, expr: &Expr) -> bool {
        let any = |exprs: &[Expr]| exprs.iter().any(|e| self.may_be(e));
        match expr {
            Expr::Alias(alias) => self.may_be(&alias.expr),
            Expr::Column(column) => {
                let index = self.schema.maybe_index_of_column(column);
                index.and_then(|i| self.nulls.get(i).copied()).unwrap_or(true)
            }
            Expr::Literal(value, _) => value.is_null(),
            Expr::Cast(cast) => self.may_be(&cast.expr),
            Expr::Not(inner) | Expr::Negative(inner) => self.may_be(inner),
            Expr::BinaryExpr(BinaryExpr { left, right, .. }) => self.may_be(left) || self.may_be(right),
            Expr::Case(case) => {
                // `coalesce` is simplified to this.
                let guarded = |when: &Expr, then: &Expr| matches!(when, Expr::IsNotNull(e) if e.as_ref() == then);
                let results = case.when_then_expr.iter().filter(|(when, then)| !guarded(when, then));
                let results = results.map(|(_, then)| then);
                let last = case.else_expr.as_deref();
                last.is_none_or(|e| self.may_be(e)) || results.into_iter().any(|e| self.may_be(e))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => match func.name() {
                "coalesce" | "nvl" | "ifnull" | "greatest" | "least" => args.iter().all(|e| self.may_be(e)),
                "get_field" => args.first().is_some_and(|value| self.may_be(value)) || self.field_may_be(args),
                name if makes_null(name) => true,
                _ => any(args),
            },
            Expr::AggregateFunction(AggregateFunction { func, params }) => {
                let surely = expr.nullable(self.schema).is_ok_and(|nullable| !nullable);
                let strict = STRICT.contains(&func.name()) && params.filter.is_none();
                !surely && (!strict || any(&params.args))
            }
            other => other.nullable(self.schema).unwrap_or(true),
        }
    }

    /// Whether the field that `get_field` takes may be NULL in a struct that is not.
    fn field_may_be(&self, args: &[Expr]) -> bool {
        let [
            value,
            Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _),
        ] = args
        else {
            return true;
        };
        match value.get_type(self.schema) {
            Ok(DataType::Struct(fields)) => fields.find(name).is_none_or(|(_, field)| field.is_nullable()),
            _ => true,
        }
    }
}

/// Functions that are NULL for some values that are not: what was not found.
pub(crate) fn makes_null(name: &str) -> bool {
    const NAMES: [&str; 6] = [
        "nullif",
        "get_first_json_object",
        "regexp_match",
        "array_element",
        "array_position",
        "try_cast",
    ];
    NAMES.contains(&name)
        || name.starts_with("json_get")
        || name == "json_as_text"
        || name == "json_length"
        || name.starts_with("extract_json")
}
