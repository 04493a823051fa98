//! Where Arroyo loses sight of a window that the embedded engine still sees.
//!
//! It follows the window column through projections and aggregates, but not through a join, whose result can only be grouped
//! by calling the window again; and a second windowed input of a union ends its search with an error.

use super::findings::Findings;
use super::relation::{Blind, Relation, Seen};
use crate::error::Error;
use crate::places::Places;
use crate::window_calls;
use crate::windowing::is_one_of;
use datafusion_common::DFSchemaRef;
use datafusion_expr::Expr;

/// The windows of rows that are grouped by these expressions.
pub(crate) fn grouped(
    group: &[Expr],
    schema: &DFSchemaRef,
    input: &Relation,
    places: &Places,
    found: &mut Findings,
) -> Seen {
    let called = group.iter().position(|e| window_calls::call(e).is_some());
    let Some(seen) = &input.window else {
        return Seen {
            columns: called.into_iter().collect(),
            blind: None,
        };
    };
    if seen.blind == Some(Blind::Union) {
        found.error(united("groups rows", places).at(places.grouping(group)));
    }
    let kept = group
        .iter()
        .enumerate()
        .filter(|(_, e)| is_one_of(e, schema, &seen.columns));
    let columns: Vec<usize> = kept.map(|(i, _)| i).chain(called).collect();
    if columns.is_empty() && seen.blind == Some(Blind::Join) {
        found.error(
            Error::new("Arroyo does not know the window column of a join as a window, and so refuses to group by it")
                .at(places.grouping(group))
                .hint("call the window again in GROUP BY, as in GROUP BY tumble(INTERVAL '1 minute')"),
        );
    }
    Seen { columns, blind: None }
}

/// The inputs of a join.
pub(crate) fn joined(inputs: &[Relation], places: &Places, found: &mut Findings) {
    let blind = |input: &Relation| input.window.as_ref().and_then(|seen| seen.blind);
    if inputs.iter().any(|input| blind(input) == Some(Blind::Union)) {
        found.error(united("joins rows", places).at(places.join()));
    }
}

/// An operator that needs the window stands above a union.
pub(crate) fn united(what: &str, places: &Places) -> Error {
    Error::new(format!(
        "Arroyo refuses a query that {what} above UNION ALL of windowed rows"
    ))
    .hint("put the union below the window, over the events; or let each part go its own way into the same table")
    .at(places.union())
}
