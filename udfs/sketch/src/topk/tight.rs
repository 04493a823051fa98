//! The bounds without their cushion: so many cells that the rejects are exact, few lines, and prints of five bits, as in all tests
//! inside of the crate. What is left is invariant (A), and a rule that is forgotten shows.

use std::collections::HashMap;

use proptest::prelude::*;

use super::TopK;
use super::shape::Shape;
use crate::{ItemKind, Measure};

/// How many streams: `SKETCH_CASES`, or a default for every day.
fn cases() -> u32 {
    std::env::var("SKETCH_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(64)
}

/// Phases of a stream: an item that is hot for a while, among others.
fn phases() -> impl Strategy<Value = Vec<(u8, u8, u8, u64)>> {
    prop::collection::vec((0u8..120, 1u8..40, 1u8..200, any::<u64>()), 1..120)
}

fn feed(sketch: &mut TopK, truth: &mut HashMap<i64, u64>, phases: &[(u8, u8, u8, u64)]) {
    for (hot, times, universe, seed) in phases {
        let mut x = *seed | 1;
        for _ in 0..*times {
            x = x.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(99);
            let item = if x >> 62 == 0 {
                (x >> 33) as i64 % i64::from(*universe)
            } else {
                i64::from(*hot)
            };
            sketch.update_i64(item, 1);
            *truth.entry(item).or_insert(0) += 1;
        }
    }
}

fn check(sketch: &TopK, truth: &HashMap<i64, u64>) {
    for (item, f) in truth {
        let e = sketch.estimate_i64(*item);
        assert!(e.lower <= *f && *f <= e.upper, "item {item}: {f} is not in {e:?}");
    }
    let answer = sketch.answer(2).unwrap();
    let listed: Vec<String> = answer.items.iter().map(|i| i.item.to_text()).collect();
    for (item, f) in truth {
        assert!(
            listed.contains(&item.to_string()) || *f <= answer.max_missed,
            "item {item}: {f} was missed"
        );
    }
}

fn tight(capacity: u32, lines: u32) -> TopK {
    TopK::of_shape(
        ItemKind::Int64,
        Measure::Count,
        Shape {
            capacity,
            lines,
            cells: 1 << 12,
        },
        0,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_with_exact_rejects(capacity in 2u32..12, lines in 1u32..6, phases in phases()) {
        let (mut sketch, mut truth) = (tight(capacity, lines), HashMap::new());
        for phase in phases {
            feed(&mut sketch, &mut truth, &[phase]);
            check(&sketch, &truth);
        }
    }

    #[test]
    fn bounds_hold_with_exact_rejects_through_merges(
        parts in prop::collection::vec((2u32..12, 1u32..6, phases(), any::<bool>()), 2..12),
    ) {
        let (mut all, mut truth) = (tight(12, 6), HashMap::new());
        for (capacity, lines, phases, first) in parts {
            let mut part = tight(capacity, lines);
            feed(&mut part, &mut truth, &phases);
            if first {
                std::mem::swap(&mut part, &mut all);
            }
            all.merge(&part).unwrap();
            check(&all, &truth);
        }
    }
}

#[test]
fn heavy_keys_that_a_merged_line_has_no_room_for_are_counted_in_full() {
    let mut truth = HashMap::new();
    let mut halves = [0i64, 1].map(|half| {
        let mut sketch = tight(50, 4);
        let mut add = |item: i64, weight: u64| {
            sketch.update_i64(item, weight);
            *truth.entry(item).or_insert(0) += weight;
        };
        // More than 16 bits hold, which an entry may; then enough light items to leave the sparse form.
        (0..36).for_each(|i| add(2 * i + half, 90_000));
        (0..150).for_each(|i| add(1000 + 2 * i + half, 1));
        sketch
    });
    let (all, other) = halves.split_at_mut(1);
    check(
        &all[0],
        &truth
            .iter()
            .filter(|(item, _)| *item % 2 == 0)
            .map(|(i, f)| (*i, *f))
            .collect(),
    );
    all[0].merge(&other[0]).unwrap();
    check(&all[0], &truth);
}
