//! Two ranges, item by item: risers, fallers, new, gone.

use crate::compute::{Computed, done, of_item, whole};
use crate::problem::Problem;
use crate::question::Against;
use crate::resolved::Resolved;
use crate::types::{Change, Compare, Compared, Count, Difference, share};
use hitters_results::{Answer, Answers, Bounds, Merged, cover};

/// Compares the range with an earlier one.
pub async fn compare(answers: &Answers, resolved: &Resolved, k: u64, against: Against) -> Result<Computed, Problem> {
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
