//! A question that is resolved against the newest state: which set, which groups, which range.
//!
//! Nothing in it depends on the clock any more, so that equal ones have equal answers.

use crate::open::{self, Opened};
use crate::problem::Problem;
use crate::question::{About as Question, Wanted, When};
use crate::times;
use crate::types::{About, Gap, Origin, Range};
use hitters_results::{Answer, Answers, AskError, Edge, Merged, Row, cover, group};
use hitters_sketch::TopK;
use http::StatusCode;
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
    /// The rows of the window, if it is one that is still open.
    pub open: Option<Arc<Opened>>,
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
    let set = set.filter(|set| question.filter.fits(set));
    let set = set.ok_or_else(|| no_set(&question, &edge.sets()))?.to_owned();
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
        When::Newest | When::Open => newest,
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
        open: None,
    })
}

/// The same for the window that is still open.
///
/// # Errors
/// If there is none such.
pub fn resolve_open(edge: Arc<Edge>, question: Question, opened: Arc<Opened>) -> Result<Resolved, Problem> {
    let sets = opened.sets();
    let mut fitting = sets.iter().filter(|set| question.filter.fits(set));
    let set = match &question.set {
        Some(set) => fitting.find(|known| *known == set),
        None => fitting.min_by_key(|set| (group::dimensions(set).len(), **set)),
    };
    let set = (*set.ok_or_else(|| no_set(&question, &sets))?).to_owned();
    let window = opened.window(&set, &edge).ok_or_else(|| open::none(true))?;
    let groups = match question.filter.group(&set) {
        Some(one) => vec![one],
        None => opened.groups(&set, window, &question.filter),
    };
    Ok(Resolved {
        edge,
        set,
        groups,
        from: window.0,
        to: window.1,
        question,
        open: Some(opened),
    })
}

fn no_set(question: &Question, sets: &[&str]) -> Problem {
    let wanted = question.set.clone().unwrap_or_else(|| {
        let names: Vec<_> = question.filter.0.keys().cloned().collect();
        names.join(",")
    });
    let detail = format!(
        "no set of the pipeline has the dimensions '{wanted}'; its sets are {}",
        sets.join("; ")
    );
    let problem = Problem::new(StatusCode::NOT_FOUND, "no-set", "there is no such set", detail);
    problem.allowed(json!(sets))
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
        let look = self.open.as_ref().map(|opened| opened.number);
        // The number of groups grows when a group is seen for the first time; then old answers lack it only where it was empty.
        format!(
            "{name} {version} {set} {filter:?} {} {} {look:?} {zone} {wanted:?}",
            self.from, self.to
        )
    }

    /// The sketches of its groups, merged over each part of a range.
    pub async fn merge(&self, answers: &Answers, parts: &[(i64, i64)]) -> Result<Vec<Merged>, AskError> {
        match &self.open {
            Some(opened) => opened.merge(&self.set, (self.from, self.to), &self.groups).await,
            None => answers.merge(&self.edge, &self.set, &self.groups, parts).await,
        }
    }

    /// A part of its range as answers show it.
    pub fn range(&self, from: i64, to: i64, gaps: &[(i64, i64)]) -> Range {
        let zone = &self.question.zone;
        let show = |(from, to): &(i64, i64)| Gap {
            from: times::show(*from, zone),
            to: times::show(*to, zone),
        };
        Range {
            from: times::show(from, zone),
            to: times::show(to, zone),
            complete: gaps.is_empty() && self.open.is_none(),
            open: self.open.is_some(),
            gaps: gaps.iter().map(show).collect(),
        }
    }

    /// What answers begin with.
    pub fn about(&self, merged: &Merged) -> About {
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
    pub fn lasting(&self, merged: &Merged) -> bool {
        self.open.is_none() && merged.gaps.is_empty() && self.to < self.edge.complete_up_to
    }

    /// The one row that answers, if the newest window of one group is asked for.
    pub fn row(&self) -> Option<&Row> {
        let [group] = &self.groups[..] else { return None };
        if let Some(opened) = &self.open {
            return opened.row(&self.set, (self.from, self.to), group);
        }
        let mut all = self.edge.newest.iter();
        let found = all.find(|newest| newest.row.set == self.set && newest.row.group == *group)?;
        ((found.row.start, found.row.end) == (self.from, self.to)).then_some(&*found.row)
    }

    /// A window without rows, in the shape that the pipeline's answers have.
    pub fn empty(&self, k: u64) -> Answer {
        let any = self.edge.newest.iter().find_map(|newest| newest.row.answer.as_ref());
        let (kind, capacity) = any.map_or((hitters_sketch::Measure::Count, 0), |answer| {
            (answer.kind, answer.capacity)
        });
        Answer::empty(kind, k, capacity)
    }

    /// The top K of a merged sketch.
    pub fn answer(&self, sketch: Option<&TopK>, k: u64) -> Result<Answer, Problem> {
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

/// 422: more items than the sketches track.
fn too_many(k: u64, capacity: u64) -> Problem {
    let detail = format!("k = {k} is above the capacity of {capacity} items; ask for at most {capacity}");
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Problem::new(status, "k-too-large", "k is above the capacity", detail).of("k", json!({ "min": 1, "max": capacity }))
}
