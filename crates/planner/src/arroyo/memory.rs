//! What windows keep on Arroyo: a function that is sent along sees its values when the window closes, all at once.

use super::findings::Findings;
use super::functions::Known;
use super::relation::Relation;
use crate::error::Error;
use crate::places::Places;
use crate::window::Window;
use crate::window_calls;
use datafusion_expr::{Aggregate, Expr};

/// Aggregates over events that have a form for record batches.
const BATCHED: [(&str, &str); 4] = [
    ("approx_top_k", "approx_top_k_batch(item, bin, max_items)"),
    ("approx_top_k_accumulate", "approx_top_k_batch(item, bin, max_items)"),
    ("approx_top_sum", "approx_top_sum_batch(item, weight, bin, max_items)"),
    (
        "approx_top_sum_accumulate",
        "approx_top_sum_batch(item, weight, bin, max_items)",
    ),
];

pub(crate) fn check(aggregate: &Aggregate, input: &Relation, known: &Known, places: &Places, found: &mut Findings) {
    if input.window.is_some() {
        return;
    }
    let call = aggregate.group_expr.iter().find_map(window_calls::call);
    let Some(window) = call.and_then(|c| window_calls::window(c).ok()) else {
        return;
    };
    for expr in &aggregate.aggr_expr {
        let Some(name) = called(expr).filter(|name| known.is_sent(name)) else {
            continue;
        };
        // Sketches of record batches come few.
        if name.ends_with("_combine") {
            continue;
        }
        let kept = match window {
            Window::Tumble { .. } => "every value of a window until it closes".to_string(),
            Window::Hop { .. } => format!("every value of {window}, and goes through all of them again at each slide"),
            Window::Session { .. } => "every row of a session until it ends".to_string(),
        };
        let hint = match BATCHED.iter().find(|(plain, _)| *plain == name) {
            Some((_, batch)) => format!(
                "where a record batch has many rows of a group, make its sketch first: approx_top_k_combine({batch}); then the window keeps sketches"
            ),
            None => "let the window be short, or count in SQL where that does".to_string(),
        };
        found.warning(
            Error::new(format!("on Arroyo {name}() keeps {kept}"))
                .at(places.function(name))
                .hint(hint),
        );
    }
}

fn called(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Alias(alias) => called(&alias.expr),
        Expr::AggregateFunction(call) => Some(call.func.name()),
        _ => None,
    }
}
