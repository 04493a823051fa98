//! How long windows are kept, by their width.

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Milliseconds that windows of a width are kept: an hour for those of up to 10 s, a day up to a minute, eight days up to an
/// hour, 400 days for all that are longer.
pub fn retention(width: i64) -> i64 {
    const TIERS: [(i64, i64); 3] = [(10 * SECOND, HOUR), (MINUTE, DAY), (HOUR, 8 * DAY)];
    let tier = TIERS.iter().find(|(widest, _)| width <= *widest);
    tier.map_or(400 * DAY, |(_, kept)| *kept)
}
