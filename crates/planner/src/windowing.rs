//! Which rows of a logical plan belong to which windows.
//!
//! [`rewrite`] runs once over the plan of a statement, views inlined, before the optimiser: it checks every operator against
//! what the dialect allows, and turns a window call over rows that have that window already into their window column.
//! [`of`] gives the windowing of one operator from that of its inputs; the converter asks it again on the optimised plan.

use crate::error::Error;
use crate::expose::{self, expose};
use crate::fault;
use crate::fence::Fence;
use crate::places::Places;
use crate::row_time;
use crate::window::Window;
use crate::window_calls;
use datafusion_common::tree_node::TreeNode;
use datafusion_common::{Column, DFSchemaRef, JoinType, NullHandling};
use datafusion_expr::expr::WindowFunction;
use datafusion_expr::{Aggregate, Distinct, Expr, Join, LogicalPlan, Projection, Unnest, WindowFunctionDefinition};
use std::sync::Arc;

/// How the rows of a plan stand to windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Windowing {
    /// Single events.
    None,
    /// Rows of closed windows.
    By {
        window: Window,
        /// Output columns that hold the window. May be empty: projections may drop it.
        columns: Vec<usize>,
    },
    /// A union of rows of different windows, or of windows and events. Nothing can be grouped above it.
    Mixed,
}

/// Checks and rewrites a plan; gives its windowing.
pub(crate) fn rewrite(plan: LogicalPlan, places: &Places) -> Result<(LogicalPlan, Windowing), Error> {
    if let LogicalPlan::Subquery(_) = &plan {
        return Err(subqueries(places));
    }
    let mut windowings = Vec::new();
    let mut inputs = Vec::new();
    for input in plan.inputs() {
        let (input, windowing) = rewrite(input.clone(), places)?;
        inputs.push(input);
        windowings.push(windowing);
    }
    let plan = if inputs.is_empty() {
        plan
    } else {
        plan.with_new_exprs(plan.expressions(), inputs)
            .map_err(|e| fault::error(&e))?
    };
    let plan = row_time::rewrite(plan, windowings.first(), places)?;
    match plan {
        LogicalPlan::Aggregate(aggregate) => group(aggregate, windowings.remove(0), places),
        other => {
            let windowing = of(&other, &windowings, places)?;
            Ok((other, windowing))
        }
    }
}

/// A window call in `GROUP BY`: over events it gets a fence, over windowed rows it becomes their window column.
fn group(mut aggregate: Aggregate, input: Windowing, places: &Places) -> Result<(LogicalPlan, Windowing), Error> {
    let calls = aggregate.group_expr.iter().enumerate();
    let Some((position, call)) = calls.filter_map(|(i, e)| window_calls::call(e).map(|c| (i, c))).next() else {
        let windowing = grouped(&aggregate, input, places)?;
        return Ok((LogicalPlan::Aggregate(aggregate), windowing));
    };
    let name = call.func.name().to_string();
    let wanted = window_calls::window(call).map_err(|e| e.at(places.function(&name)))?;
    let (have, columns) = match &input {
        Windowing::None => {
            let windowing = grouped(&aggregate, input, places)?;
            let column = Column::from(aggregate.schema.qualified_field(position));
            return Ok((Fence::wrap(LogicalPlan::Aggregate(aggregate), column), windowing));
        }
        Windowing::Mixed => return Err(mixed(places.function(&name))),
        Windowing::By { window, columns } => (*window, columns),
    };
    if have != wanted {
        return Err(Error::new("window in group by does not match input window").at(places.function(&name)).hint(format!(
            "the input has {have}, this asks for {wanted}; write the rows to a Kafka topic with INSERT INTO, declare the topic as a source \
             with WATERMARK FOR its window start, and group that source by the other window"
        )));
    }
    let (column, input) = match columns.first() {
        Some(index) => (Column::from(aggregate.input.schema().qualified_field(*index)), input),
        None if matches!(have, Window::Session { .. }) => {
            return Err(
                Error::new("session() cannot be called again over rows that have sessions")
                    .at(places.function(&name))
                    .hint("pass the window column of the inner query up and group by it"),
            );
        }
        None => {
            let (input, column) = expose(aggregate.input.as_ref().clone(), places)?;
            let windowing = expose::whole(&input, places)?;
            aggregate.input = Arc::new(input);
            (column, windowing)
        }
    };
    let schema_name = aggregate.group_expr[position].schema_name().to_string();
    let qualifier = aggregate.schema.qualified_field(position).0.cloned();
    aggregate.group_expr[position] = Expr::Column(column).alias_qualified(qualifier, schema_name);
    let rebuilt = Aggregate::try_new(aggregate.input, aggregate.group_expr, aggregate.aggr_expr);
    let aggregate = rebuilt.map_err(|e| fault::error(&e))?;
    let windowing = grouped(&aggregate, input, places)?;
    Ok((LogicalPlan::Aggregate(aggregate), windowing))
}

/// The windowing of one operator.
pub(crate) fn of(plan: &LogicalPlan, inputs: &[Windowing], places: &Places) -> Result<Windowing, Error> {
    refuse_subqueries(plan, places)?;
    let first = || inputs.first().cloned().unwrap_or(Windowing::None);
    match plan {
        LogicalPlan::TableScan(_) => Ok(Windowing::None),
        LogicalPlan::Projection(projection) => projected(projection, first(), places),
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate, first(), places),
        LogicalPlan::Window(window) => numbered(&window.window_expr, window.input.schema(), first(), places),
        LogicalPlan::Join(join) => joined(join, inputs, places),
        LogicalPlan::Union(_) => Ok(union(inputs)),
        LogicalPlan::Unnest(unnest) => unnested(unnest, first(), places),
        LogicalPlan::Distinct(Distinct::All(_)) => match first() {
            Windowing::By { columns, .. } if !columns.is_empty() => Ok(first()),
            Windowing::Mixed => Err(mixed(places.distinct())),
            _ => Err(places.set_operation().map(set_operation).unwrap_or_else(|| {
                Error::new("SELECT DISTINCT needs a window column among its columns")
                    .at(places.distinct())
                    .hint("over an endless stream, write SELECT ... GROUP BY tumble(INTERVAL '1 minute'), ... instead")
            })),
        },
        LogicalPlan::Distinct(Distinct::On(_)) => Err(Error::new("DISTINCT ON is not supported")
            .at(places.distinct())
            .hint("number the rows: row_number() OVER (PARTITION BY window, ... ORDER BY ...) and keep number 1")),
        LogicalPlan::Filter(filter) => match window_calls::inside(&filter.predicate) {
            Some(name) => Err(misplaced(name, places)),
            None => Ok(first()),
        },
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Extension(_) => Ok(first()),
        LogicalPlan::Sort(_) => Err(Error::new("ORDER BY over a stream is not supported")
            .at(places.order_by())
            .hint("rank inside of a window: row_number() OVER (PARTITION BY window ORDER BY ...)")),
        LogicalPlan::Limit(_) => Err(Error::new("LIMIT over a stream is not supported")
            .at(places.limit())
            .hint("rank inside of a window and keep the first: WHERE row_number <= 10")),
        LogicalPlan::RecursiveQuery(_) => Err(Error::new("WITH RECURSIVE is not supported").at(places.statement())),
        LogicalPlan::EmptyRelation(_) => Err(Error::new("a query needs FROM and a table").at(places.statement())),
        LogicalPlan::Values(_) => Err(Error::new("VALUES is not supported")
            .at(places.statement())
            .hint("rows come from source tables; write SELECT ... FROM")),
        other => Err(Error::new(format!("{} is not supported", other.display())).at(places.statement())),
    }
}

fn projected(projection: &Projection, input: Windowing, places: &Places) -> Result<Windowing, Error> {
    if let Some(name) = projection.expr.iter().find_map(window_calls::inside) {
        return Err(misplaced(name, places));
    }
    let Windowing::By { window, columns } = input else {
        return Ok(input);
    };
    let schema = projection.input.schema();
    let kept = projection
        .expr
        .iter()
        .enumerate()
        .filter(|(_, e)| is_one_of(e, schema, &columns));
    Ok(Windowing::By {
        window,
        columns: kept.map(|(i, _)| i).collect(),
    })
}

/// True for a column (under any aliases) at one of these positions.
pub(crate) fn is_one_of(expr: &Expr, schema: &DFSchemaRef, positions: &[usize]) -> bool {
    match expr {
        Expr::Alias(alias) => is_one_of(&alias.expr, schema, positions),
        Expr::Column(column) => schema
            .maybe_index_of_column(column)
            .is_some_and(|i| positions.contains(&i)),
        _ => false,
    }
}

fn grouped(aggregate: &Aggregate, input: Windowing, places: &Places) -> Result<Windowing, Error> {
    let all: Vec<Expr> = aggregate
        .group_expr
        .iter()
        .chain(&aggregate.aggr_expr)
        .cloned()
        .collect();
    if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) {
        return Err(Error::new("GROUPING SETS, ROLLUP and CUBE are not supported")
            .at(places.grouping(&all))
            .hint("write one SELECT a set and join them with UNION ALL"));
    }
    let mut calls = Vec::new();
    for (index, expr) in aggregate.group_expr.iter().enumerate() {
        match (window_calls::call(expr), window_calls::inside(expr)) {
            (Some(call), _) => calls.push((index, call)),
            (None, Some(name)) => {
                return Err(
                    Error::new(format!("GROUP BY takes {name}() itself, not an expression over it"))
                        .at(places.function(name))
                        .hint("group by the window, and take window.start or compute in a query around it"),
                );
            }
            (None, None) => {}
        }
    }
    if let Some(name) = aggregate.aggr_expr.iter().find_map(window_calls::inside) {
        return Err(misplaced(name, places));
    }
    match (input, calls.as_slice()) {
        (Windowing::Mixed, _) => Err(mixed(places.grouping(&all))),
        (_, [_, (_, second), ..]) => {
            Err(Error::new(format!("GROUP BY has {} windows, but takes one", calls.len())).at(places.function(second.func.name())))
        }
        (Windowing::None, [(index, call)]) => {
            let window = window_calls::window(call).map_err(|e| e.at(places.function(call.func.name())))?;
            Ok(Windowing::By { window, columns: vec![*index] })
        }
        (Windowing::None, []) => Err(places.window_call().map(|name| misplaced(name, places)).unwrap_or_else(|| Error::new("an aggregate over an endless stream needs a window")
            .at(places.grouping(&all))
            .hint("add tumble(INTERVAL '1 minute') or hop(...) or session(...) to GROUP BY; updating results are outside of the portable subset"))),
        (Windowing::By { .. }, [(_, call), ..]) => {
            Err(Error::new("window in group by does not match input window").at(places.function(call.func.name())))
        }
        (Windowing::By { window, columns }, []) => {
            let schema = aggregate.input.schema();
            let kept: Vec<_> =
                aggregate.group_expr.iter().enumerate().filter(|(_, e)| is_one_of(e, schema, &columns)).map(|(i, _)| i).collect();
            if kept.is_empty() {
                return Err(Error::new("an aggregate over windowed rows must group by their window").at(places.grouping(&all)).hint(format!(
                    "add the window column of the input, or the same call again ({window}), to GROUP BY"
                )));
            }
            Ok(Windowing::By { window, columns: kept })
        }
    }
}

/// The row_number() of a window expression; anything else is refused.
pub(crate) fn row_number(expr: &Expr) -> Result<&WindowFunction, String> {
    match expr {
        Expr::Alias(alias) => row_number(&alias.expr),
        Expr::WindowFunction(function) => match &function.fun {
            WindowFunctionDefinition::WindowUDF(udf) if udf.name() == "row_number" => Ok(function.as_ref()),
            other => Err(other.name().to_string()),
        },
        other => Err(other.to_string()),
    }
}

fn numbered(exprs: &[Expr], schema: &DFSchemaRef, input: Windowing, places: &Places) -> Result<Windowing, Error> {
    for expr in exprs {
        let function = row_number(expr).map_err(|name| {
            Error::new(format!("window function {name}() is not supported"))
                .at(places.function(&name))
                .hint("allowed: row_number() OVER (PARTITION BY window[, ...] ORDER BY ...)")
        })?;
        let at = places.function("row_number");
        match &input {
            Windowing::None => {
                return Err(Error::new("row_number() needs rows that have a window")
                    .at(at)
                    .hint("group by a window in a query below it"));
            }
            Windowing::Mixed => return Err(mixed(at)),
            Windowing::By {
                window: Window::Session { .. },
                ..
            } => {
                return Err(Error::new("row_number() over session windows is not supported")
                    .at(at)
                    .hint("use tumble() or hop()"));
            }
            Windowing::By { columns, .. } => {
                if !function
                    .params
                    .partition_by
                    .iter()
                    .any(|e| is_one_of(e, schema, columns))
                {
                    return Err(Error::new("row_number() needs the window column in PARTITION BY")
                        .at(at)
                        .hint("write row_number() OVER (PARTITION BY window[, ...] ORDER BY ...)"));
                }
            }
        }
        if let Some(name) = function
            .params
            .partition_by
            .iter()
            .chain(function.params.order_by.iter().map(|s| &s.expr))
            .find_map(window_calls::inside)
        {
            return Err(misplaced(name, places));
        }
        if function.params.filter.is_some() || function.params.distinct || function.params.null_treatment.is_some() {
            return Err(Error::new("row_number() takes neither FILTER nor DISTINCT").at(at));
        }
    }
    Ok(input)
}

fn joined(join: &Join, inputs: &[Windowing], places: &Places) -> Result<Windowing, Error> {
    let at = places.join();
    let hint = "group both sides by the same window before they are joined";
    let (window, left, right) = match inputs {
        [
            Windowing::By {
                window: a,
                columns: left,
            },
            Windowing::By {
                window: b,
                columns: right,
            },
        ] if a == b => (*a, left, right),
        [Windowing::By { window: a, .. }, Windowing::By { window: b, .. }] => {
            return Err(Error::new(format!(
                "a join needs the same window on both sides, but has {a} and {b}"
            ))
            .at(at)
            .hint(hint));
        }
        [Windowing::None, Windowing::None] => {
            return Err(Error::new("joins of streams without windows are not supported")
                .at(at)
                .hint(hint));
        }
        [Windowing::Mixed, _] | [_, Windowing::Mixed] => return Err(mixed(at)),
        _ => {
            return Err(Error::new("a join needs windows on both sides, but one side has none")
                .at(at)
                .hint(hint));
        }
    };
    if matches!(window, Window::Session { .. }) {
        return Err(Error::new("joins of session windows are not supported")
            .at(at)
            .hint("use tumble() or hop()"));
    }
    let condition = join
        .on
        .iter()
        .flat_map(|(l, r)| [l, r])
        .chain(&join.filter)
        .find_map(window_calls::inside);
    if let Some(name) = condition {
        return Err(misplaced(name, places));
    }
    let offset = join.left.schema().fields().len();
    let right = right.iter().map(|i| i + offset);
    let columns = match join.join_type {
        JoinType::Inner => left.iter().copied().chain(right).collect(),
        JoinType::Left => left.clone(),
        JoinType::Right => right.collect(),
        JoinType::Full => Vec::new(),
        other => {
            return Err(Error::new(format!("{other} joins are not supported"))
                .at(at)
                .hint("allowed: INNER, LEFT, RIGHT, FULL"));
        }
    };
    Ok(Windowing::By { window, columns })
}

fn union(inputs: &[Windowing]) -> Windowing {
    let mut result: Option<Windowing> = None;
    for input in inputs {
        result = Some(match (result, input) {
            (None, input) => input.clone(),
            (Some(Windowing::None), Windowing::None) => Windowing::None,
            (
                Some(Windowing::By { window: a, columns }),
                Windowing::By {
                    window: b,
                    columns: other,
                },
            ) if a == *b => Windowing::By {
                window: a,
                columns: columns.into_iter().filter(|c| other.contains(c)).collect(),
            },
            _ => Windowing::Mixed,
        });
    }
    result.unwrap_or(Windowing::None)
}

fn unnested(unnest: &Unnest, input: Windowing, places: &Places) -> Result<Windowing, Error> {
    let at = places.function("unnest");
    if !unnest.struct_type_columns.is_empty() {
        return Err(Error::new("unnest() of a struct is not supported")
            .at(at)
            .hint("take its fields: column.field"));
    }
    if unnest.list_type_columns.len() != 1 {
        return Err(Error::new("a query takes one unnest()")
            .at(at)
            .hint("unnest the second list in a query around it"));
    }
    if unnest.options.null_handling != NullHandling::Drop {
        return Err(Error::new("unnest_outer() is not supported")
            .at(places.function("unnest_outer"))
            .hint("use unnest(); empty lists give no row"));
    }
    let Windowing::By { window, columns } = input else {
        return Ok(input);
    };
    let list = unnest.list_type_columns[0].0;
    let kept = unnest
        .dependency_indices
        .iter()
        .enumerate()
        .filter(|(_, from)| **from != list && columns.contains(from));
    Ok(Windowing::By {
        window,
        columns: kept.map(|(i, _)| i).collect(),
    })
}

fn refuse_subqueries(plan: &LogicalPlan, places: &Places) -> Result<(), Error> {
    let subquery = |e: &Expr| {
        Ok(matches!(
            e,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        ))
    };
    if plan.expressions().iter().any(|e| e.exists(subquery).unwrap_or(false)) {
        Err(subqueries(places))
    } else {
        Ok(())
    }
}

fn subqueries(places: &Places) -> Error {
    Error::new("subqueries in expressions are not supported")
        .at(places.subquery())
        .hint("join the two queries on their window")
}

fn set_operation((name, at): (&str, crate::error::Span)) -> Error {
    Error::new(format!("{name} is not supported"))
        .at(at)
        .hint("write UNION ALL, or join the two by their window")
}

fn misplaced(name: &str, places: &Places) -> Error {
    Error::new(format!(
        "time window function {name} is not allowed in this context. Are you missing a GROUP BY clause?"
    ))
    .at(places.function(name))
    .hint(format!(
        "call {name}() in GROUP BY, or in SELECT and name it in GROUP BY"
    ))
}

fn mixed(at: crate::error::Span) -> Error {
    Error::new("the input is a union of rows with different windows")
        .at(at)
        .hint("group each part before UNION ALL, by the same window")
}
