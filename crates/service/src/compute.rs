//! From what was asked to the answer: which windows, merged how, and what may be said about them.
//!
//! Everything here is a function of the question, resolved against the newest state, and of closed windows, which do not
//! change: that is why answers can be kept.

use crate::problem::Problem;
use crate::question::{About as Question, Against, MOST_STEPS, Wanted, When};
use crate::times::{self, DAY};
use crate::types::*;
use hitters_results::{Answer, Answers, AskError, Bounds, Edge, Merged, Newest, cover, group};
use hitters_sketch::{Estimate, ItemKind, TopK};
use http::StatusCode;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// A question that is resolved: nothing in it depends on the clock any more.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The state that it was resolved against.
    pub edge: Arc<Edge>,
    /// The set.
    pub set: String,
    /// Its groups, by key.
    pub groups: Vec<String>,
    /// The range, widened to windows.
    pub from: i64,
    /// Its end.
    pub to: i64,
    /// What was asked.
    pub question: Question,
}

/// JSON of an answer.
#[derive(Clone, Debug)]
pub struct Computed {
    /// An object.
    pub json: String,
    /// It will never be another one.
    pub lasting: bool,
}

/// Finds the set, the groups and the range.
///
/// # Errors
/// If there are none such.
pub fn resolve(edge: Arc<Edge>, question: Question) -> Result<Resolved, Problem> {
    let set = match &question.set {
        Some(set) => edge.sets().into_iter().find(|known| known == set),
        None => edge.set_for(&question.filter),
    };
    let no_set = || {
        let wanted = question.set.clone().unwrap_or_else(|| {
            let names: Vec<_> = question.filter.0.keys().cloned().collect();
            names.join(",")
        });
        let detail = format!(
            "no set of the pipeline has the dimensions '{wanted}'; its sets are {}",
            edge.sets().join("; ")
        );
        let problem = Problem::new(StatusCode::NOT_FOUND, "no-set", "there is no such set", detail);
        problem.allowed(json!(edge.sets()))
    };
    let set = set.ok_or_else(no_set)?.to_owned();
    if !question.filter.fits(&set) {
        return Err(no_set());
    }
    let groups = match question.filter.group(&set) {
        Some(one) => vec![one],
        None => {
            let groups = edge.groups(&set, &question.filter);
            groups.into_iter().map(|newest| newest.row.group.clone()).collect()
        }
    };
    let tiers = edge.tiers_of(&set);
    let newest = edge.window(&set).unwrap_or_default();
    let end = edge.complete_up_to;
    let (from, to) = match question.when {
        When::Newest => newest,
        When::Last(length) => cover::widen(&tiers, end.saturating_sub(length), end),
        When::Range(from, to) => {
            let to = to.unwrap_or_else(|| end.max(from.saturating_add(1)));
            cover::widen(&tiers, from, to)
        }
    };
    Ok(Resolved {
        edge,
        set,
        groups,
        from,
        to,
        question,
    })
}

impl Resolved {
    /// What tells this question from others; equal ones have equal answers.
    pub fn key(&self, wanted: &Wanted) -> String {
        let Resolved {
            edge, set, question, ..
        } = self;
        let scope = &edge.scope;
        let (name, version, filter) = (&scope.pipeline, scope.version, &question.filter.0);
        let zone = &question.zone_name;
        // The number of groups grows when a group is seen for the first time; then old answers lack it only where it was empty.
        format!(
            "{name} {version} {set} {filter:?} {} {} {zone} {wanted:?}",
            self.from, self.to
        )
    }

    async fn merge(&self, answers: &Answers, parts: &[(i64, i64)]) -> Result<Vec<Merged>, AskError> {
        answers.merge(&self.edge, &self.set, &self.groups, parts).await
    }

    fn range(&self, from: i64, to: i64, gaps: &[(i64, i64)]) -> Range {
        let zone = &self.question.zone;
        let show = |(from, to): &(i64, i64)| Gap {
            from: times::show(*from, zone),
            to: times::show(*to, zone),
        };
        Range {
            from: times::show(from, zone),
            to: times::show(to, zone),
            complete: gaps.is_empty(),
            gaps: gaps.iter().map(show).collect(),
        }
    }

    fn about(&self, merged: &Merged) -> About {
        let source = &merged.source;
        About {
            pipeline: self.edge.scope.pipeline.clone(),
            version: self.edge.scope.version,
            set: self.set.clone(),
            r#where: self.question.filter.0.clone(),
            range: self.range(self.from, self.to, &merged.gaps),
            source: Origin {
                panes: source.panes,
                groups: source.groups,
                bytes: source.bytes,
                widths: source.widths.iter().map(|width| width / 1000).collect(),
                stores: source.stores.iter().copied().collect(),
                missing_stores: source.missing.iter().copied().collect(),
            },
        }
    }

    /// Known in full and older than the newest window, some rows of which may still be on their way to the store.
    fn lasting(&self, merged: &Merged) -> bool {
        merged.gaps.is_empty() && self.to < self.edge.complete_up_to
    }

    /// The newest row of the one group that is asked for.
    fn newest(&self) -> Option<&Newest> {
        let [group] = &self.groups[..] else { return None };
        let mut all = self.edge.newest.iter();
        let found = all.find(|newest| newest.row.set == self.set && newest.row.group == *group)?;
        ((found.row.start, found.row.end) == (self.from, self.to)).then_some(found)
    }

    /// A window without rows, in the shape that the pipeline's answers have.
    fn empty(&self, k: u64) -> Answer {
        let any = self.edge.newest.iter().find_map(|newest| newest.row.answer.as_ref());
        let (kind, capacity) = any.map_or((hitters_sketch::Measure::Count, 0), |answer| {
            (answer.kind, answer.capacity)
        });
        Answer::empty(kind, k, capacity)
    }

    fn answer(&self, sketch: Option<&TopK>, k: u64) -> Result<Answer, Problem> {
        let Some(sketch) = sketch else {
            return Ok(self.empty(k));
        };
        let capacity = sketch.capacity() as u64;
        if k > capacity {
            return Err(too_many(k, capacity));
        }
        let answer = sketch.answer(usize::try_from(k).unwrap_or(usize::MAX));
        Ok(answer.map_err(AskError::from)?.into())
    }
}

fn too_many(k: u64, capacity: u64) -> Problem {
    let detail = format!("k = {k} is above the capacity of {capacity} items; ask for at most {capacity}");
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Problem::new(status, "k-too-large", "k is above the capacity", detail).of("k", json!({ "min": 1, "max": capacity }))
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

fn done<T: Serialize>(answer: &T, lasting: bool) -> Result<Computed, Problem> {
    let json = serde_json::to_string(answer).map_err(|error| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "internal", "the answer cannot be written", error.to_string())
    })?;
    Ok(Computed { json, lasting })
}

/// The one merged sketch of the whole range.
async fn whole(answers: &Answers, resolved: &Resolved) -> Result<Merged, AskError> {
    let mut parts = resolved.merge(answers, &[(resolved.from, resolved.to)]).await?;
    Ok(parts.pop().unwrap_or_default())
}

async fn top(answers: &Answers, resolved: &Resolved, k: u64, phi: Option<f64>) -> Result<Computed, Problem> {
    let row = resolved.newest().and_then(|newest| newest.row.answer.as_ref());
    let (merged, answer) = match (whole(answers, resolved).await, row) {
        // The newest row itself, where there is no sketch to merge: the pipeline writes none, or it is not there yet.
        (Err(AskError::NoSketches), Some(row)) if phi.is_none() => (as_row(resolved), of_row(row, k)?),
        (Ok(merged), Some(row)) if phi.is_none() && merged.sketch.is_none() && k <= row.k => {
            (as_row(resolved), of_row(row, k)?)
        }
        (Ok(merged), None) if merged.sketch.is_none() && resolved.edge.tiers_of(&resolved.set).is_empty() => {
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
fn of_item(sketch: &TopK, item: &str) -> Bounds {
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

/// Items followed through the steps of a range.
struct OverTime {
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

async fn over_time(
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

fn series(resolved: &Resolved, over: OverTime) -> Result<Computed, Problem> {
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

fn trends(resolved: &Resolved, over: &OverTime) -> Result<Computed, Problem> {
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

async fn compare(answers: &Answers, resolved: &Resolved, k: u64, against: Against) -> Result<Computed, Problem> {
    let (from, to) = (resolved.from, resolved.to);
    let begin = match against {
        Against::Previous => from - (to - from),
        Against::Earlier(earlier) => from - earlier,
        Against::Time(at) => at,
    };
    let tiers = resolved.edge.tiers_of(&resolved.set);
    let (before_from, before_to) = cover::widen(&tiers, begin, begin + (to - from));
    let now = whole(answers, resolved).await?;
    let before = resolved.merge(answers, &[(before_from, before_to)]).await?;
    let before = before.into_iter().next().unwrap_or_default();
    let tops = (
        resolved.answer(now.sketch.as_ref(), k)?,
        resolved.answer(before.sketch.as_ref(), k)?,
    );
    let rank = |answer: &Answer, item: &str| answer.items.iter().find(|line| line.item == item).map(|line| line.rank);
    let of = |merged: &Merged, item: &str| {
        merged
            .sketch
            .as_ref()
            .map_or(Bounds::default(), |sketch| of_item(sketch, item))
    };
    let mut names: Vec<&str> = tops
        .0
        .items
        .iter()
        .chain(&tops.1.items)
        .map(|line| line.item.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let minus = |a: u128, b: u128| {
        let (a, b) = (
            i128::try_from(a).unwrap_or(i128::MAX),
            i128::try_from(b).unwrap_or(i128::MAX),
        );
        Change(a - b)
    };
    let mut items: Vec<Compared> = names
        .into_iter()
        .map(|item| {
            let (count, old) = (of(&now, item), of(&before, item));
            let change = Difference {
                estimate: minus(count.estimate, old.estimate),
                lower: minus(count.lower, old.upper),
                upper: minus(count.upper, old.lower),
            };
            let (rank, rank_before) = (rank(&tops.0, item), rank(&tops.1, item));
            let status = match (rank, rank_before) {
                (Some(_), None) => "new",
                (None, Some(_)) => "gone",
                _ if change.estimate.0 > 0 => "riser",
                _ if change.estimate.0 < 0 => "faller",
                _ => "steady",
            };
            Compared {
                item: item.to_owned(),
                status,
                proven: change.lower.0 > 0 || change.upper.0 < 0,
                rank,
                rank_before,
                now: count.into(),
                before: old.into(),
                change,
                share: share(count.estimate, tops.0.total),
                share_before: share(old.estimate, tops.1.total),
            }
        })
        .collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.change.estimate.0.unsigned_abs()));
    let known =
        |merged: &Merged, total: u128| (merged.sketch.is_some() || merged.gaps.is_empty()).then_some(Count(total));
    let mut all = now.clone();
    all.source.absorb(&before.source);
    let body = Compare {
        about: resolved.about(&all),
        against: resolved.range(before_from, before_to, &before.gaps),
        total: known(&now, tops.0.total),
        total_before: known(&before, tops.1.total),
        items,
    };
    done(&body, resolved.lasting(&now) && before.gaps.is_empty())
}

/// A page of groups, by key, with their newest windows.
pub fn groups(
    edge: &Edge,
    set: &str,
    found: &[&Newest],
    top: u64,
    zone: &TimeZone,
    next: Option<String>,
    filter: &hitters_results::Filter,
) -> Groups {
    let one = |newest: &&Newest| {
        let row = &newest.row;
        let answer = row.answer.clone().map(|answer| answer.first(top));
        Group {
            group: group::values(&row.group).into_iter().collect(),
            group_key: row.group.clone(),
            total: answer.as_ref().map(|answer| Count(answer.total)),
            exact: answer.as_ref().is_some_and(|answer| answer.exact),
            stale: newest.stale,
            window: Gap {
                from: times::show(row.start, zone),
                to: times::show(row.end, zone),
            },
            items: answer.as_ref().map(items).unwrap_or_default(),
        }
    };
    Groups {
        pipeline: edge.scope.pipeline.clone(),
        version: edge.scope.version,
        set: set.to_owned(),
        r#where: filter.0.clone(),
        groups: found.iter().map(one).collect(),
        next,
    }
}

/// A pipeline and what can be asked of it.
pub fn pipeline(edge: &Edge, stores: &Answers, freshness: Freshness, zone: &TimeZone) -> Pipeline {
    let newest = edge.newest.iter().max_by_key(|newest| newest.row.end);
    let set = |set: &str| Set {
        set: set.to_owned(),
        dimensions: group::dimensions(set).into_iter().map(str::to_owned).collect(),
        groups: edge.newest.iter().filter(|newest| newest.row.set == set).count(),
        windows: edge
            .tiers_of(set)
            .iter()
            .map(|(store, tier)| Kept {
                width_seconds: tier.width as f64 / 1000.0,
                from: times::show(tier.from, zone),
                to: times::show(tier.to, zone),
                store: stores.stores()[*store].name(),
            })
            .collect(),
    };
    Pipeline {
        pipeline: edge.scope.pipeline.clone(),
        version: edge.scope.version,
        sets: edge.sets().into_iter().map(set).collect(),
        window_seconds: newest.map_or(0.0, |newest| newest.row.width() as f64 / 1000.0),
        k: newest
            .and_then(|newest| newest.row.answer.as_ref())
            .map_or(0, |answer| answer.k),
        ranges: !edge.tiers.is_empty(),
        freshness,
    }
}
