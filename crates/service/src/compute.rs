//! From what was asked to the answer: which windows, merged how, and what may be said about them.
//!
//! Everything here is a function of the question, resolved against the newest state, and of closed windows, which do not
//! change: that is why answers can be kept. `over_time` and `compare` are the questions over several ranges.

use crate::compare::compare;
use crate::over_time::{over_time, series, trends};
use crate::problem::Problem;
use crate::question::Wanted;
use crate::resolved::Resolved;
use crate::types::*;
use hitters_results::{Answer, Answers, AskError, Bounds, Merged};
use hitters_sketch::{Estimate, ItemKind, TopK};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;

/// JSON of an answer.
#[derive(Clone, Debug)]
pub struct Computed {
    /// An object.
    pub json: String,
    /// It will never be another one.
    pub lasting: bool,
}

/// Computes the answer.
///
/// # Errors
/// If the stores are away, or it cannot be had.
pub async fn compute(answers: &Answers, resolved: &Resolved, wanted: &Wanted) -> Result<Computed, Problem> {
    match wanted {
        Wanted::Top { k } => top(answers, resolved, *k, None).await,
        Wanted::Heavy { phi } => top(answers, resolved, 0, Some(*phi)).await,
        Wanted::Estimate { items } => estimate(answers, resolved, items).await,
        Wanted::Series { k, items, step } => {
            let over = over_time(answers, resolved, *k, items, *step).await?;
            series(resolved, over)
        }
        Wanted::Trends { k, items, step } => {
            let over = over_time(answers, resolved, *k, items, *step).await?;
            trends(resolved, &over)
        }
        Wanted::Compare { k, against } => compare(answers, resolved, *k, *against).await,
    }
}

/// An answer as it is kept.
pub fn done<T: Serialize>(answer: &T, lasting: bool) -> Result<Computed, Problem> {
    let json = serde_json::to_string(answer).map_err(|error| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "internal", "the answer cannot be written", error.to_string())
    })?;
    Ok(Computed { json, lasting })
}

/// The one merged sketch of the whole range.
pub async fn whole(answers: &Answers, resolved: &Resolved) -> Result<Merged, AskError> {
    let mut parts = resolved.merge(answers, &[(resolved.from, resolved.to)]).await?;
    Ok(parts.pop().unwrap_or_default())
}

async fn top(answers: &Answers, resolved: &Resolved, k: u64, phi: Option<f64>) -> Result<Computed, Problem> {
    let row = resolved.row().and_then(|row| row.answer.as_ref());
    let (merged, answer) = match (whole(answers, resolved).await, row) {
        // The newest row itself, where there is no sketch to merge: the pipeline writes none, or it is not there yet.
        (Err(AskError::NoSketches), Some(row)) if phi.is_none() => (as_row(resolved), of_row(row, k)?),
        (Ok(merged), Some(row)) if phi.is_none() && merged.sketch.is_none() && k <= row.k => {
            (as_row(resolved), of_row(row, k)?)
        }
        (Ok(merged), None)
            if merged.sketch.is_none()
                && resolved.open.is_none()
                && resolved.edge.tiers_of(&resolved.set).is_empty() =>
        {
            return Err(AskError::NoSketches.into());
        }
        (Ok(merged), _) => {
            let answer = match (phi, &merged.sketch) {
                (Some(phi), Some(sketch)) => sketch.heavy_hitters(phi).map_err(AskError::from)?.into(),
                (Some(_), None) => Answer {
                    complete: Some(true),
                    ..resolved.empty(0)
                },
                (None, sketch) => resolved.answer(sketch.as_ref(), k)?,
            };
            (merged, answer)
        }
        (Err(error), _) => return Err(error.into()),
    };
    // Nothing is known: then a total of 0 would be a lie.
    let nothing = merged.sketch.is_none() && !merged.gaps.is_empty();
    let whole = merged.gaps.is_empty();
    let known = |count: u128| (!nothing).then_some(Count(count));
    let body = Top {
        about: resolved.about(&merged),
        kind: answer.kind.to_string(),
        k: if phi.is_some() { answer.items.len() as u64 } else { k },
        phi,
        complete: phi.map(|_| answer.complete.unwrap_or(false) && whole),
        capacity: answer.capacity,
        total: known(answer.total),
        skipped: Count(answer.skipped),
        exact: answer.exact && whole,
        certain_leaders: if whole { answer.certain_leaders } else { 0 },
        max_missed: known(answer.max_missed).filter(|_| whole),
        items: items(&answer)
            .into_iter()
            .map(|item| TopItem {
                certain: item.certain && whole,
                ..item
            })
            .collect(),
        other: (!nothing).then(|| Other {
            count: answer.other.into(),
            share: share(answer.other.estimate, answer.total),
        }),
    };
    done(&body, resolved.lasting(&merged))
}

/// Where the newest row came from.
fn as_row(resolved: &Resolved) -> Merged {
    let mut merged = Merged::default();
    merged.source.panes = 1;
    merged.source.groups = 1;
    merged.source.widths.insert(resolved.to - resolved.from);
    merged.source.missing.extend(&resolved.edge.missing);
    merged
}

fn of_row(row: &Answer, k: u64) -> Result<Answer, Problem> {
    if k > row.k {
        let detail = format!(
            "k = {k}, and the rows of the pipeline list {} items and have no sketch; ask for at most {}",
            row.k, row.k
        );
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let problem = Problem::new(status, "k-too-large", "k is above the capacity", detail);
        return Err(problem.of("k", json!({ "min": 1, "max": row.k })));
    }
    Ok(row.clone().first(k))
}

/// The bounds of an item that is written as text.
pub fn of_item(sketch: &TopK, item: &str) -> Bounds {
    let estimate = match sketch.kind() {
        ItemKind::Text => sketch.estimate(item.as_bytes()),
        ItemKind::Int64 => item
            .parse()
            .map_or(Estimate::default(), |item| sketch.estimate_i64(item)),
        ItemKind::Bytes => {
            use base64::Engine;
            let bytes = base64::prelude::BASE64_STANDARD.decode(item);
            bytes.map_or(Estimate::default(), |item| sketch.estimate(&item))
        }
    };
    Bounds::of(estimate, sketch.total())
}

async fn estimate(answers: &Answers, resolved: &Resolved, items: &[String]) -> Result<Computed, Problem> {
    let merged = whole(answers, resolved).await?;
    let nothing = merged.sketch.is_none() && !merged.gaps.is_empty();
    let total = merged.sketch.as_ref().map_or(0, TopK::total);
    let one = |item: &String| {
        let bounds = merged
            .sketch
            .as_ref()
            .map_or(Bounds::default(), |sketch| of_item(sketch, item));
        let known = |count| (!nothing).then_some(Count(count));
        ItemEstimate {
            item: item.clone(),
            estimate: known(bounds.estimate),
            lower: known(bounds.lower),
            upper: known(bounds.upper),
            share: share(bounds.estimate, total),
        }
    };
    let body = Estimates {
        about: resolved.about(&merged),
        total: (!nothing).then_some(Count(total)),
        estimates: items.iter().map(one).collect(),
    };
    done(&body, resolved.lasting(&merged))
}
