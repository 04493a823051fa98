//! What there is to ask: groups with their newest windows, and pipelines.

use crate::times;
use crate::types::{Count, Freshness, Gap, Group, Groups, Kept, Pipeline, Set, items};
use hitters_results::{Answers, Edge, Filter, Newest, group};
use jiff::tz::TimeZone;

/// A page of groups, by key, with their newest windows.
pub fn groups(
    edge: &Edge,
    set: &str,
    found: &[&Newest],
    top: u64,
    zone: &TimeZone,
    next: Option<String>,
    filter: &Filter,
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
pub fn pipeline(edge: &Edge, stores: &Answers, freshness: Freshness, open: bool, zone: &TimeZone) -> Pipeline {
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
        open,
        freshness,
    }
}
