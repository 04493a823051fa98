//! Items followed through the steps of a range: series, and trends.

use crate::compute::{Computed, done, of_item};
use crate::problem::Problem;
use crate::question::MOST_STEPS;
use crate::resolved::Resolved;
use crate::times::{self, DAY};
use crate::types::{Columns, Count, Line, Series, Trend, Trends, share};
use hitters_results::{Answer, Answers, Bounds, Merged};
use hitters_sketch::TopK;
use serde_json::json;

/// Items followed through the steps of a range.
pub struct OverTime {
    step: i64,
    parts: Vec<(i64, i64)>,
    merged: Vec<Merged>,
    whole: Merged,
    /// The items, and the rank over the whole range of those that are listed.
    items: Vec<(String, Option<u64>)>,
}

impl OverTime {
    /// Counts by step; `None` where any of it is unknown.
    fn counts(&self, of: impl Fn(&TopK) -> Bounds) -> Vec<Option<Bounds>> {
        let step = |merged: &Merged| {
            let known = merged.gaps.is_empty();
            known.then(|| merged.sketch.as_ref().map_or(Bounds::default(), &of))
        };
        self.merged.iter().map(step).collect()
    }
}

/// Steps that read well.
const NICE: [i64; 18] = [
    1_000,
    10_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    DAY,
    2 * DAY,
    7 * DAY,
    28 * DAY,
];

/// Follows the top K of the whole range, or the items that are named.
pub async fn over_time(
    answers: &Answers,
    resolved: &Resolved,
    k: u64,
    items: &[String],
    step: Option<i64>,
) -> Result<OverTime, Problem> {
    let (from, to) = (resolved.from, resolved.to);
    let least = resolved
        .edge
        .tiers_of(&resolved.set)
        .iter()
        .map(|(_, tier)| tier.width)
        .min()
        .unwrap_or(1);
    let fits = |step: &i64| step % least == 0;
    let step = match step {
        Some(step) if fits(&step) => step,
        Some(step) => {
            let detail = format!(
                "step = {} s is no multiple of the windows of {} s",
                step / 1000,
                least / 1000
            );
            return Err(Problem::parameter(
                "step",
                detail,
                json!({ "multiple_of_seconds": least / 1000 }),
            ));
        }
        None => {
            let wanted = |step: &i64| *step >= (to - from).div_euclid(60);
            NICE.into_iter()
                .find(|step| fits(step) && wanted(step))
                .unwrap_or(least.max(DAY))
        }
    };
    let parts = times::steps(from, to, step, &resolved.question.zone, MOST_STEPS).ok_or_else(|| {
        let detail = format!(
            "the range has more than {MOST_STEPS} steps of {} s; ask for longer steps or a shorter range",
            step / 1000
        );
        Problem::parameter("step", detail, json!({ "most_steps": MOST_STEPS }))
    })?;
    let merged = resolved.merge(answers, &parts).await?;
    let whole = Merged::whole(&merged).map_err(Problem::from)?;
    let rank = |answer: &Answer, item: &str| answer.items.iter().find(|line| line.item == item).map(|line| line.rank);
    let items = match &whole.sketch {
        None => items.iter().map(|item| (item.clone(), None)).collect(),
        Some(sketch) => {
            let k = if items.is_empty() {
                k
            } else {
                k.min(sketch.capacity() as u64)
            };
            let answer = resolved.answer(Some(sketch), k)?;
            match items {
                [] => answer
                    .items
                    .iter()
                    .map(|line| (line.item.clone(), Some(line.rank)))
                    .collect(),
                items => items.iter().map(|item| (item.clone(), rank(&answer, item))).collect(),
            }
        }
    };
    Ok(OverTime {
        step,
        parts,
        merged,
        whole,
        items,
    })
}

/// Their counts by step, and everything else.
pub fn series(resolved: &Resolved, over: OverTime) -> Result<Computed, Problem> {
    let total = over.counts(|sketch| Bounds {
        estimate: sketch.total(),
        lower: sketch.total(),
        upper: sketch.total(),
    });
    // What is left by step, from which each item takes its share; bounds swap.
    let mut left = total.clone();
    let mut lines = Vec::with_capacity(over.items.len());
    for (item, rank) in &over.items {
        let mut columns = Columns::default();
        for (count, left) in over.counts(|sketch| of_item(sketch, item)).into_iter().zip(&mut left) {
            columns.push(count);
            if let (Some(left), Some(count)) = (left, count) {
                left.estimate = left.estimate.saturating_sub(count.estimate);
                left.lower = left.lower.saturating_sub(count.upper);
                left.upper = left.upper.saturating_sub(count.lower);
            }
        }
        lines.push(Line {
            item: item.clone(),
            rank: *rank,
            columns,
        });
    }
    let mut other = Columns::default();
    left.into_iter().for_each(|mut count| {
        if let Some(count) = &mut count {
            count.estimate = count.estimate.clamp(count.lower, count.upper);
        }
        other.push(count);
    });
    let kind = over.whole.sketch.as_ref().map_or(resolved.empty(1).kind, TopK::measure);
    let body = Series {
        about: resolved.about(&over.whole),
        step_seconds: over.step / 1000,
        kind: kind.to_string(),
        times: over.parts.iter().map(|(from, _)| *from).collect(),
        series: lines,
        other,
        total: total
            .into_iter()
            .map(|total| total.map(|total| Count(total.estimate)))
            .collect(),
    };
    done(&body, resolved.lasting(&over.whole))
}

/// Where they are going.
pub fn trends(resolved: &Resolved, over: &OverTime) -> Result<Computed, Problem> {
    let totals = over.counts(|sketch| Bounds {
        estimate: sketch.total(),
        ..Bounds::default()
    });
    let one = |(item, _): &(String, Option<u64>)| {
        let counts = over.counts(|sketch| of_item(sketch, item));
        let shares: Vec<Option<f64>> = counts
            .iter()
            .zip(&totals)
            .map(|(count, total)| share(count.as_ref()?.estimate, total.as_ref()?.estimate))
            .collect();
        let known = || counts.iter().flatten();
        let direction = match (known().next(), known().next_back()) {
            (Some(first), Some(last)) if last.lower > first.upper => "up",
            (Some(first), Some(last)) if last.upper < first.lower => "down",
            _ => "unclear",
        };
        let estimates = counts.iter().map(|count| count.map(|count| count.estimate as f64));
        Trend {
            item: item.clone(),
            slope: slope(estimates),
            slope_share: slope(shares.iter().copied()),
            share_first: shares.iter().flatten().next().copied(),
            share_last: shares.iter().flatten().next_back().copied(),
            estimate: counts
                .iter()
                .map(|count| count.map(|count| Count(count.estimate)))
                .collect(),
            direction,
        }
    };
    let body = Trends {
        about: resolved.about(&over.whole),
        step_seconds: over.step / 1000,
        times: over.parts.iter().map(|(from, _)| *from).collect(),
        items: over.items.iter().map(one).collect(),
    };
    done(&body, resolved.lasting(&over.whole))
}

/// Least squares over the known steps; `None` with fewer than two.
fn slope(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let points: Vec<(f64, f64)> = values
        .enumerate()
        .filter_map(|(at, value)| Some((at as f64, value?)))
        .collect();
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let common: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (points.len() > 1).then(|| common / spread)
}
