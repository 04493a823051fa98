//! Bytes of version 1 that must never change: every build, on every platform, writes them and reads them.
//!
//! `SKETCH_WRITE_FIXTURES=1 cargo test -p hitters-sketch --test fixtures` writes those that are missing; a new version of the
//! format adds files and leaves the old ones to its readers.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use hitters_sketch::{CountMin, ItemKind, Items, Measure, Rows, SpaceSaving, TopK};

/// Rows of a skewed stream, without random numbers: item `i` of the universe comes about `n / i` times.
fn rows(n: usize) -> Vec<u32> {
    (0..n as u64)
        .map(|i| {
            let x = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            (600 * x / (1 << 32) * (i % 7 + 1) / 7 * ((i / 7) % 5) / 5) as u32
        })
        .collect()
}

fn text(item: u32) -> String {
    if item % 4 == 3 {
        format!("/a/rather/long/path/{item}")
    } else {
        format!("item-{item}")
    }
}

fn texts(capacity: usize, n: usize) -> TopK {
    let mut sketch = TopK::new(ItemKind::Text, Measure::Count, capacity).unwrap();
    let (mut offsets, mut bytes) = (vec![0i32], Vec::new());
    for item in rows(n) {
        bytes.extend_from_slice(text(item).as_bytes());
        offsets.push(bytes.len() as i32);
    }
    sketch.update_batch(
        Items::Offsets {
            offsets: &offsets,
            bytes: &bytes,
        },
        Rows::All(0..n),
        None,
    );
    sketch.skip(3);
    sketch
}

fn integers(capacity: usize, n: usize, weight: i64) -> TopK {
    let measure = if weight == 1 { Measure::Count } else { Measure::Sum };
    let mut sketch = TopK::with_seed(ItemKind::Int64, measure, capacity, 0).unwrap();
    let items: Vec<i64> = rows(n).into_iter().map(|item| i64::from(item) - 100).collect();
    let weights: Vec<i64> = (0..n as i64).map(|i| weight + i % 3).collect();
    let weights = (weight > 1).then_some(&weights[..]);
    sketch.update_batch(Items::Int64(&items), Rows::All(0..n), weights);
    sketch
}

/// Compares with the fixture of that name, or writes it when asked.
fn check(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    if std::env::var_os("SKETCH_WRITE_FIXTURES").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let fixture = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let differs = fixture.iter().zip(bytes).position(|(a, b)| a != b);
    assert!(
        fixture == bytes,
        "{name} changed at byte {differs:?} (lengths {}, {})",
        fixture.len(),
        bytes.len()
    );
    fixture
}

/// The same for a sketch: its bytes, what they read back to, and its answer.
fn check_top(name: &str, sketch: &TopK) {
    let fixture = check(&format!("{name}.bin"), &sketch.to_bytes());
    let read = TopK::from_bytes(&fixture).unwrap();
    assert_eq!(read.answer(3).unwrap(), sketch.answer(3).unwrap());
    check(&format!("{name}.json"), read.answer(3).unwrap().to_json().as_bytes());
}

#[test]
fn sketches_of_version_1_never_change() {
    check_top("empty", &TopK::new(ItemKind::Text, Measure::Count, 100).unwrap());
    check_top("sparse_text", &texts(1024, 500));
    check_top("dense_text", &texts(20, 20_000));
    check_top("dense_text_in_an_open_block", &texts(20, 20_077));
    check_top("dense_int64", &integers(20, 20_000, 1));
    check_top("dense_int64_wide", &integers(20, 20_000, 5_000_000_000));
    let compact = TopK::from_bytes(&texts(100, 50_000).to_compact_bytes(10)).unwrap();
    check_top("compact_text", &compact);
    let mut merged = texts(60, 30_000);
    merged.merge(&texts(20, 9000)).unwrap();
    merged.merge(&texts(1024, 300)).unwrap();
    check_top("merged_text", &merged);
    let mut bytes = TopK::with_seed(ItemKind::Bytes, Measure::Count, 10, 99).unwrap();
    rows(5000).iter().for_each(|item| bytes.update(&item.to_le_bytes(), 1));
    let fixture = check("seeded_bytes.bin", &bytes.to_bytes());
    assert!(TopK::from_bytes(&fixture).is_err(), "read without its seed");
    let read = TopK::from_bytes_with_seed(&fixture, 99).unwrap();
    check("seeded_bytes.json", read.answer(3).unwrap().to_json().as_bytes());
}

#[test]
fn the_other_summaries_of_version_1_never_change() {
    let mut summary = SpaceSaving::new(ItemKind::Text, Measure::Count, 30).unwrap();
    let mut counts = CountMin::new(ItemKind::Text, 0.02, 0.05).unwrap();
    for item in rows(5000) {
        summary.update(text(item).as_bytes(), 1);
        counts.update(text(item).as_bytes(), 1);
    }
    let fixture = check("space_saving.bin", &summary.to_bytes());
    assert_eq!(SpaceSaving::from_bytes(&fixture).unwrap().answer(5), summary.answer(5));
    let fixture = check("count_min.bin", &counts.to_bytes());
    assert_eq!(CountMin::from_bytes(&fixture).unwrap(), counts);
    let fixture = check("datasketches.bin", &summary.to_datasketches());
    let read = SpaceSaving::from_datasketches(ItemKind::Text, Measure::Count, &fixture).unwrap();
    assert_eq!(read.total(), 5000);
}
