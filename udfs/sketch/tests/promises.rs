//! What the sketch promises, on streams drawn by proptest: it shrinks what breaks and prints how to see it again.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;

use hitters_sketch::{ItemKind, Items, Measure, Rows, TopK};
use proptest::prelude::*;

/// How many streams each promise is tried on: `SKETCH_CASES`, or a default for every day.
fn cases(default: u32) -> u32 {
    std::env::var("SKETCH_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(default)
}

/// A row: an item of a small skewed universe, and a weight.
type Row = (u32, u64);

fn rows(max: usize) -> impl Strategy<Value = Vec<Row>> {
    let item = prop_oneof![4 => 0u32..20, 3 => 0u32..200, 3 => 0u32..20_000];
    let weight = prop_oneof![20 => Just(1u64), 4 => 1u64..100, 1 => 1u64..1_000_000, 1 => Just(0), 1 => (u64::MAX - 3)..=u64::MAX];
    prop::collection::vec((item, weight), 0..max)
}

/// Rows with small weights, many of them, from a seed: proptest's own vectors are too slow for that.
fn long(seed: u64, n: usize, universe: u64) -> Vec<Row> {
    let mut x = seed;
    let mut next = move || {
        x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = x;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..n)
        .map(|_| {
            // A product of uniforms is about Zipf.
            let (a, b) = (next() % universe, next() % universe);
            (
                ((a * b) / universe) as u32,
                1 + (next() % 16 == 0) as u64 * (next() % 50),
            )
        })
        .collect()
}

/// Short and long texts: every third item does not fit a view.
fn text(item: u32) -> Vec<u8> {
    if item.is_multiple_of(3) {
        format!("a rather long item, number {item}").into_bytes()
    } else {
        format!("i{item}").into_bytes()
    }
}

fn add(sketch: &mut TopK, row: Row) {
    match sketch.kind() {
        ItemKind::Int64 => sketch.update_i64(row.0.into(), row.1),
        _ => sketch.update(&text(row.0), row.1),
    }
}

fn sketch(kind: ItemKind, capacity: usize) -> TopK {
    TopK::new(kind, Measure::Sum, capacity).unwrap()
}

fn truth(rows: &[Row]) -> HashMap<u32, u128> {
    let mut truth = HashMap::new();
    for (item, weight) in rows {
        *truth.entry(*item).or_insert(0) += u128::from(*weight);
    }
    truth.retain(|_, w| *w > 0);
    truth
}

/// Everything that is claimed about counts, against the true ones.
fn check(sketch: &TopK, rows: &[Row]) {
    let truth = truth(rows);
    let total: u128 = truth.values().sum();
    assert_eq!(sketch.total(), total);
    let wide = |upper: u64| {
        if upper == u64::MAX {
            u128::MAX
        } else {
            u128::from(upper)
        }
    };
    for item in truth.keys().copied().chain(1_000_000..1_000_050) {
        let f = truth.get(&item).copied().unwrap_or(0);
        let e = match sketch.kind() {
            ItemKind::Int64 => sketch.estimate_i64(item.into()),
            _ => sketch.estimate(&text(item)),
        };
        assert!(
            u128::from(e.lower) <= f && f <= wide(e.upper),
            "item {item}: {f} is not in {e:?}"
        );
        if sketch.is_exact() {
            assert_eq!(u128::from(e.estimate), f);
        }
    }
    let name = |item: u32| match sketch.kind() {
        ItemKind::Int64 => item.to_string(),
        _ => String::from_utf8(text(item)).unwrap(),
    };
    let by_name: HashMap<String, u128> = truth.iter().map(|(item, f)| (name(*item), *f)).collect();
    for k in [1, sketch.capacity().div_ceil(3), sketch.capacity()] {
        let answer = sketch.answer(k).unwrap();
        let mut unlisted = by_name.clone();
        let mut listed = 0;
        for line in &answer.items {
            let f = unlisted.remove(&line.item.to_text()).unwrap_or(0);
            listed += f;
            assert!(
                u128::from(line.lower) <= f && f <= wide(line.upper),
                "{f} is not in {line:?}"
            );
        }
        let best = unlisted.values().copied().max().unwrap_or(0);
        assert!(
            best <= wide(answer.max_missed),
            "{best} was missed, at most {} was claimed",
            answer.max_missed
        );
        let other = total - listed;
        assert!(
            answer.other.lower <= other && other <= answer.other.upper,
            "{other}: {:?}",
            answer.other
        );
        // The certain leaders: nobody else reaches the least of them.
        let mut sorted: Vec<u128> = by_name.values().copied().collect();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        if !answer.exact && answer.certain_leaders > 0 {
            let leaders = &answer.items[..answer.certain_leaders];
            for leader in leaders {
                assert!(by_name[&leader.item.to_text()] >= sorted[answer.certain_leaders - 1]);
            }
        }
        for line in answer.items.iter().filter(|line| line.certain) {
            assert!(by_name[&line.item.to_text()] >= sorted[k.min(sorted.len()) - 1]);
        }
        if answer.exact {
            assert_eq!(answer.items.len(), k.min(sorted.len()));
            assert!(answer.items.iter().all(|line| line.certain && line.lower == line.upper));
        }
    }
    for phi in [0.001, 0.02, 0.3] {
        let answer = sketch.heavy_hitters(phi).unwrap();
        let names: HashMap<String, bool> = answer.items.iter().map(|i| (i.item.to_text(), i.certain)).collect();
        for (item, f) in &by_name {
            let above = *f as f64 > phi * total as f64 * (1.0 + 1e-9);
            let below = (*f as f64) < phi * total as f64 * (1.0 - 1e-9);
            if answer.share.unwrap().complete && above {
                assert!(names.contains_key(item), "{item} is above {phi} and missing");
            }
            assert!(
                !(below && names.get(item) == Some(&true)),
                "{item} is below {phi} and certain"
            );
        }
    }
}

fn kinds() -> impl Strategy<Value = ItemKind> {
    prop_oneof![
        Just(ItemKind::Text),
        Just(ItemKind::Bytes).prop_map(|_| ItemKind::Text),
        Just(ItemKind::Int64)
    ]
}

fn built(kind: ItemKind, capacity: usize, rows: &[Row]) -> TopK {
    let mut sketch = sketch(kind, capacity);
    rows.iter().for_each(|row| add(&mut sketch, *row));
    sketch
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(64), ..ProptestConfig::default() })]

    #[test]
    fn every_bound_holds_for_every_item(kind in kinds(), capacity in 1usize..40, rows in rows(3000)) {
        check(&built(kind, capacity, &rows), &rows);
    }

    #[test]
    fn every_bound_holds_on_long_streams(kind in kinds(), capacity in 1usize..200, seed: u64, n in 0usize..60_000) {
        let rows = long(seed, n, 5000);
        check(&built(kind, capacity, &rows), &rows);
    }

    #[test]
    fn every_bound_holds_after_merges_of_any_sizes_in_any_order(
        kind in kinds(),
        parts in prop::collection::vec((1usize..120, any::<u64>(), 0usize..6000, any::<bool>()), 1..9),
        order in prop::collection::vec(any::<prop::sample::Index>(), 9),
    ) {
        let mut all = Vec::new();
        let mut sketches: Vec<TopK> = Vec::new();
        for (capacity, seed, n, memory) in parts {
            let rows = long(seed % 3, n, 3000);
            let mut sketch = if memory {
                TopK::with_memory(kind, Measure::Sum, capacity, 20_000 + (seed % 30_000) as usize).unwrap()
            } else {
                sketch(kind, capacity)
            };
            rows.iter().for_each(|row| add(&mut sketch, *row));
            all.extend(rows);
            sketches.push(sketch);
        }
        for index in order {
            if sketches.len() == 1 {
                break;
            }
            let other = sketches.swap_remove(index.index(sketches.len()));
            let into = index.index(sketches.len());
            sketches[into].merge(&other).unwrap();
        }
        while sketches.len() > 1 {
            let other = sketches.pop().unwrap();
            sketches[0].merge(&other).unwrap();
        }
        check(&sketches[0], &all);
        // And goes on.
        let more = long(77, 3000, 3000);
        more.iter().for_each(|row| add(&mut sketches[0], *row));
        all.extend(more);
        check(&sketches[0], &all);
    }

    #[test]
    fn batches_equal_single_rows_whatever_the_cuts(
        capacity in 1usize..60,
        seed: u64,
        n in 0usize..8000,
        cuts in prop::collection::vec(1usize..700, 1..20),
        indices: bool,
        weighted: bool,
        path in 0u8..3,
    ) {
        let rows = long(seed, n, 4000);
        let integers: Vec<i64> = rows.iter().map(|r| r.0.into()).collect();
        // Some rows weigh nothing, and some do not count.
        let weights: Vec<i64> = rows.iter().map(|r| if r.0 % 11 == 3 { -1 } else { r.1 as i64 - 1 }).collect();
        let mut column = (vec![0i32], vec![0i64], Vec::new(), Vec::new());
        for (item, _) in &rows {
            let item = text(*item);
            let at = column.2.len() as u128;
            column.2.extend_from_slice(&item);
            column.0.push(column.2.len() as i32);
            column.1.push(column.2.len() as i64);
            let mut view = item.len() as u128;
            if item.len() <= 12 {
                item.iter().enumerate().for_each(|(i, b)| view |= u128::from(*b) << (32 + 8 * i));
            } else {
                item[..4].iter().enumerate().for_each(|(i, b)| view |= u128::from(*b) << (32 + 8 * i));
                view |= at << 96;
            }
            column.3.push(view);
        }
        let single = |kind| {
            let mut s = sketch(kind, capacity);
            for (i, row) in rows.iter().enumerate() {
                match if weighted { weights[i] } else { 1 } {
                    -1 => s.skip(1),
                    weight => add(&mut s, (row.0, weight as u64)),
                }
            }
            if indices {
                s.skip((n / 100) as u64);
            }
            s.to_bytes()
        };
        let batched = |kind, items: Items<'_>| {
            let mut s = sketch(kind, capacity);
            s = s.with_path(path);
            let (mut at, mut cut) = (0, 0);
            while at < n {
                let end = (at + cuts[cut % cuts.len()]).min(n);
                // After every hundredth row, one that does not exist.
                let numbers: Vec<u32> = (at as u32 + 1..=end as u32)
                    .flat_map(|i| std::iter::once(i - 1).chain(i.is_multiple_of(100).then_some(u32::MAX)))
                    .collect();
                let part = if indices { Rows::Indices(&numbers) } else { Rows::All(at..end) };
                s.update_batch(items, part, weighted.then_some(&weights[..]));
                (at, cut) = (end, cut + 1);
            }
            s.to_bytes()
        };
        let buffers = [&column.2[..]];
        prop_assert_eq!(single(ItemKind::Int64), batched(ItemKind::Int64, Items::Int64(&integers)));
        let texts = single(ItemKind::Text);
        prop_assert_eq!(&texts, &batched(ItemKind::Text, Items::Offsets { offsets: &column.0, bytes: &column.2 }));
        prop_assert_eq!(&texts, &batched(ItemKind::Text, Items::LargeOffsets { offsets: &column.1, bytes: &column.2 }));
        prop_assert_eq!(&texts, &batched(ItemKind::Text, Items::Views { views: &column.3, buffers: &buffers }));
    }

    #[test]
    fn saving_and_going_on_equals_never_stopping(
        kind in kinds(), capacity in 1usize..60, seed: u64, n in 1usize..20_000, stops in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
    ) {
        let rows = long(seed, n, 4000);
        let stops: Vec<usize> = stops.iter().map(|s| s.index(n)).collect();
        let mut saved = sketch(kind, capacity);
        for (i, row) in rows.iter().enumerate() {
            if stops.contains(&i) {
                let bytes = saved.to_bytes();
                saved = TopK::from_bytes(&bytes).unwrap();
                prop_assert_eq!(&bytes, &saved.to_bytes());
            }
            add(&mut saved, *row);
        }
        let straight = built(kind, capacity, &rows);
        prop_assert_eq!(saved.to_bytes(), straight.to_bytes());
        prop_assert_eq!(saved.answer(1).unwrap(), straight.answer(1).unwrap());
    }

    #[test]
    fn a_compact_sketch_is_a_sketch(
        kind in kinds(), capacity in 1usize..200, seeds in prop::collection::vec(any::<u64>(), 1..6), n in 0usize..9000, k in 1usize..50,
    ) {
        let mut all = Vec::new();
        let mut merged: Option<TopK> = None;
        for seed in seeds {
            let rows = long(seed % 4, n, 3000);
            let compact = TopK::from_bytes(&built(kind, capacity, &rows).to_compact_bytes(k)).unwrap();
            check(&compact, &rows);
            prop_assert!(compact.answer(k.min(compact.capacity())).is_ok());
            all.extend(rows);
            match &mut merged {
                None => merged = Some(compact),
                Some(merged) => merged.merge(&compact).unwrap(),
            }
        }
        check(&merged.unwrap(), &all);
    }

    #[test]
    fn hostile_bytes_are_an_error_and_never_a_crash(kind in kinds(), seed: u64, n in 0usize..3000, at: prop::sample::Index, byte: u8) {
        let mut bytes = built(kind, 10, &long(seed, n, 2000)).to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= byte;
        if let Ok(mut sketch) = TopK::from_bytes(&bytes) {
            let _ = sketch.answer(1);
            add(&mut sketch, (1, 1));
            let copy = sketch.clone();
            let _ = sketch.merge(&copy);
        }
    }
}
