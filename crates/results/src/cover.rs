//! Which windows make a range: the fewest over the tiers.
//!
//! From left to right, each time the longest window that begins there and ends in time. For widths of which each divides the
//! next (10 s, minute, hour, day) that is the fewest possible; for others it is right, but maybe one more than needed.

use crate::store::Tier;

/// A run of windows of one width in one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Place of the store.
    pub store: usize,
    /// Length of a window in ms.
    pub width: i64,
    /// Start of the first window.
    pub from: i64,
    /// End of the last window.
    pub to: i64,
}

/// A range and what it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// Windows, by time.
    pub pieces: Vec<Piece>,
    /// Parts that nobody knows, by time.
    pub gaps: Vec<(i64, i64)>,
}

impl Cover {
    /// Number of windows of one group.
    pub fn windows(&self) -> usize {
        let windows = |piece: &Piece| usize::try_from((piece.to - piece.from) / piece.width).unwrap_or(0);
        self.pieces.iter().map(windows).sum()
    }
}

/// Widens a range to whole windows: each end to the nearest boundary, outwards, of a window that is known there.
pub fn widen(tiers: &[(usize, Tier)], from: i64, to: i64) -> (i64, i64) {
    let floor = |at: i64, width: i64| at.div_euclid(width) * width;
    let least = tiers.iter().map(|(_, tier)| tier.width).min().unwrap_or(1);
    let starts = tiers.iter().filter_map(|(_, tier)| {
        let start = floor(from, tier.width);
        (tier.from <= start && start + tier.width <= tier.to).then_some(start)
    });
    let ends = tiers.iter().filter_map(|(_, tier)| {
        let end = -floor(-to, tier.width);
        (end <= tier.to && tier.from <= end - tier.width).then_some(end)
    });
    let start = starts.max().unwrap_or_else(|| floor(from, least));
    let end = ends.min().unwrap_or_else(|| -floor(-to, least));
    (start, end)
}

/// Covers a range with the fewest windows. Of equal ones that of the first store is taken.
pub fn cover(tiers: &[(usize, Tier)], from: i64, to: i64) -> Cover {
    let mut cover = Cover::default();
    let mut at = from;
    while at < to {
        let fits =
            |tier: &Tier| at.rem_euclid(tier.width) == 0 && tier.from <= at && at + tier.width <= tier.to.min(to);
        let fitting = tiers.iter().filter(|(_, tier)| fits(tier));
        let best = fitting.min_by_key(|(store, tier)| (-tier.width, *store));
        let Some((store, tier)) = best else {
            // The next place where any window could begin.
            let next = |(_, tier): &(usize, Tier)| {
                let start = (at.div_euclid(tier.width) + 1) * tier.width;
                let start = start.max(tier.from);
                (start + tier.width <= tier.to).then_some(start)
            };
            let next = tiers.iter().filter_map(next).min().unwrap_or(to).min(to);
            match cover.gaps.last_mut() {
                Some((_, end)) if *end == at => *end = next,
                _ => cover.gaps.push((at, next)),
            }
            at = next;
            continue;
        };
        let end = at + tier.width;
        match cover.pieces.last_mut() {
            Some(piece) if piece.store == *store && piece.width == tier.width && piece.to == at => piece.to = end,
            _ => cover.pieces.push(Piece {
                store: *store,
                width: tier.width,
                from: at,
                to: end,
            }),
        }
        at = end;
    }
    cover
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    fn tier(store: usize, width: i64, from: i64, to: i64) -> (usize, Tier) {
        let set = "*".to_owned();
        (store, Tier { set, width, from, to })
    }

    #[test]
    fn a_day_and_a_half_is_minutes_hours_and_a_day() {
        let tiers = [
            tier(0, MINUTE, 0, 10 * DAY),
            tier(0, HOUR, 0, 10 * DAY),
            tier(1, DAY, 0, 10 * DAY),
        ];
        let cover = cover(&tiers, 17 * MINUTE, DAY + DAY + 17 * MINUTE);
        let widths: Vec<_> = cover
            .pieces
            .iter()
            .map(|piece| (piece.store, piece.width, (piece.to - piece.from) / piece.width))
            .collect();
        assert_eq!(widths, [(0, MINUTE, 43), (0, HOUR, 23), (1, DAY, 1), (0, MINUTE, 17)]);
        assert_eq!((cover.windows(), cover.gaps), (84, vec![]));
    }

    #[test]
    fn what_nobody_knows_is_a_gap_and_never_empty() {
        let tiers = [
            tier(0, MINUTE, 10 * MINUTE, 20 * MINUTE),
            tier(1, HOUR, 2 * HOUR, 3 * HOUR),
        ];
        let cover = cover(&tiers, 0, 4 * HOUR);
        assert_eq!(
            cover.gaps,
            [(0, 10 * MINUTE), (20 * MINUTE, 2 * HOUR), (3 * HOUR, 4 * HOUR)]
        );
        assert_eq!(super::cover(&[], 5, 9).gaps, [(5, 9)]);
    }

    #[test]
    fn ranges_are_widened_to_windows_that_are_known() {
        let tiers = [tier(0, MINUTE, DAY, 2 * DAY), tier(1, HOUR, 0, 2 * DAY)];
        assert_eq!(
            widen(&tiers, DAY + 90_500, DAY + 100_000),
            (DAY + MINUTE, DAY + 2 * MINUTE)
        );
        // Minutes are gone there.
        assert_eq!(widen(&tiers, 90_500, DAY + 1), (0, DAY + MINUTE));
        assert_eq!(widen(&[], 3, 5), (3, 5));
    }
}
