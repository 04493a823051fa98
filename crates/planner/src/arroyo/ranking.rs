//! `row_number()`.

use super::findings::Findings;
use super::relation::{Blind, Relation};
use super::{expressions, windows};
use crate::error::Error;
use crate::places::Places;
use crate::windowing::{is_one_of, row_number};
use datafusion_common::DFSchemaRef;
use datafusion_expr::Expr;

pub(crate) fn check(exprs: &[Expr], schema: &DFSchemaRef, input: &Relation, places: &Places, found: &mut Findings) {
    let at = places.function("row_number");
    let Some(seen) = &input.window else { return };
    match seen.blind {
        Some(Blind::Union) => found.error(windows::united("numbers rows", places).at(at)),
        Some(Blind::Join) => found.error(
            Error::new("Arroyo does not know the window column of a join as a window, and so cannot number its rows")
                .at(at)
                .hint("number the rows before the join, or group them by the window, called again, in between"),
        ),
        None => {}
    }
    if exprs.len() > 1 {
        found.error(
            Error::new("Arroyo takes one row_number() in a SELECT")
                .at(at)
                .hint("number the rows in one query, and again in a query around it"),
        );
    }
    for call in exprs.iter().filter_map(|e| row_number(e).ok()) {
        let partition = &call.params.partition_by;
        let windows = partition.iter().filter(|e| is_one_of(e, schema, &seen.columns)).count();
        if windows > 1 {
            found.error(
                Error::new("Arroyo wants the window in PARTITION BY exactly once")
                    .at(at)
                    .hint("name one window column"),
            );
        }
        let order: Vec<Expr> = call.params.order_by.iter().map(|s| s.expr.clone()).collect();
        expressions::keys(partition, schema, places, found);
        expressions::keys(&order, schema, places, found);
        ties(partition, &order, schema, input, places, found);
    }
}

/// The embedded engine numbers rows that tie by all of their columns; Arroyo in the order in which they come.
fn ties(
    partition: &[Expr],
    order: &[Expr],
    schema: &DFSchemaRef,
    input: &Relation,
    places: &Places,
    found: &mut Findings,
) {
    let Some(unique) = &input.unique else { return };
    let open = unique.iter().filter(|column| {
        let known = |e: &Expr| is_one_of(e, schema, &[**column]);
        !partition.iter().any(known) && !order.iter().any(known)
    });
    let names: Vec<_> = open.map(|column| schema.field(*column).name().as_str()).collect();
    if !names.is_empty() {
        found.warning(
            Error::new(
                "rows that tie in ORDER BY are numbered on Arroyo as they come, and perhaps otherwise after a restart",
            )
            .at(places.function("row_number"))
            .hint(format!("add what tells them apart to ORDER BY: {}", names.join(", "))),
        );
    }
}
