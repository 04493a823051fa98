//! How much history weighs: bytes a day and group, by tier.

use crate::retention::retention;
use crate::roll_up::next;
use hitters_sketch::{ItemKind, Measure, TopK};

const DAY: i64 = 86_400_000;
/// What a row takes in Cassandra beside its sketch: its key, its times, its share of indexes and checksums. Sketches themselves are
/// coded already and compress no further. An estimate: `make bench-answers` prints it beside what a real Cassandra takes.
const ROW: usize = 60;

/// What the windows of one width take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierSize {
    /// Length of a window in ms.
    pub width: i64,
    /// Windows a day.
    pub windows: i64,
    /// How long they are kept, in ms.
    pub kept: i64,
    /// Bytes of one window of a group.
    pub bytes: usize,
}

impl TierSize {
    /// Bytes a day of so many groups.
    pub fn a_day(&self, groups: usize) -> u128 {
        u128::from(self.windows.unsigned_abs()) * (self.bytes * groups) as u128
    }

    /// Bytes of all that is kept, of so many groups.
    pub fn kept(&self, groups: usize) -> u128 {
        u128::from((self.kept / self.width.max(1)).unsigned_abs()) * (self.bytes * groups) as u128
    }
}

/// The tiers of windows that a pipeline publishes with this width, rolled up; each with sketches of so many bytes.
pub fn tiers(width: i64, sketch: usize) -> Vec<TierSize> {
    let widths = std::iter::successors(Some(width), |width| next(*width));
    let tier = |width: i64| TierSize {
        width,
        windows: (DAY / width.max(1)).max(1),
        kept: retention(width),
        bytes: sketch + ROW,
    };
    widths.map(tier).collect()
}

/// Bytes of a sketch of this capacity, as it is published or in the compact form for answers of `compact` items: of a hundred
/// thousand rows over as many items, skewed as by Zipf's law, with texts of ten characters.
///
/// # Errors
/// If there can be no sketch of this capacity.
pub fn sketch_bytes(capacity: usize, compact: Option<usize>) -> Result<usize, hitters_sketch::Error> {
    const ROWS: u32 = 100_000;
    let mut sketch = TopK::new(ItemKind::Text, Measure::Count, capacity)?;
    let mut state = 42_u64;
    for _ in 0..ROWS {
        // Knuth's MMIX generator; its high bits are good enough for a size.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let share = (state >> 40) as f64 / (1_u64 << 24) as f64;
        let item = f64::from(ROWS).powf(share) as u64;
        sketch.update(format!("item-{item:05}").as_bytes(), 1);
    }
    Ok(match compact {
        Some(k) => sketch.to_compact_bytes(k).len(),
        None => sketch.to_bytes().len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_those_that_are_rolled_up_to() {
        let widths: Vec<_> = tiers(10_000, 1000)
            .iter()
            .map(|tier| (tier.width, tier.windows))
            .collect();
        assert_eq!(
            widths,
            [(10_000, 8640), (60_000, 1440), (3_600_000, 24), (86_400_000, 1)]
        );
        let hours = &tiers(3_600_000, 940)[0];
        assert_eq!((hours.bytes, hours.a_day(10), hours.kept(1)), (1000, 240_000, 192_000));
        assert_eq!(tiers(7 * DAY, 1).len(), 1);
    }

    #[test]
    fn the_compact_form_is_smaller() {
        let (whole, compact) = (
            sketch_bytes(1024, None).unwrap(),
            sketch_bytes(1024, Some(100)).unwrap(),
        );
        assert!(compact * 2 < whole && compact > 500, "{compact} of {whole}");
    }
}
