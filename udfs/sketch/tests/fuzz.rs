//! Mutated bytes against the readers, and what they read against everything else: no crash, no broken bound on merging with a good
//! sketch, and no allocation beyond a constant times the input's size.
//!
//! Deterministic for a seed. `SKETCH_FUZZ_SECONDS` says how long (2 by default), `SKETCH_FUZZ_SEED` where to begin: a failure prints
//! the seed that repeats it at once. For hours: `SKETCH_FUZZ_SECONDS=7200 cargo test --release -p hitters-sketch --test fuzz -- --nocapture`.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hitters_sketch::{CountMin, ItemKind, Measure, SpaceSaving, TopK};

/// Bytes that a reader may allocate for each byte of its input, and besides.
const PER_BYTE: usize = 300;
const BESIDES: usize = 64 * 1024;

/// The system's allocator, with the live bytes and their peak.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code)]
// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's pointer and layout are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// A sketch of some rows.
fn sketch(kind: ItemKind, capacity: usize, rows: usize, weight: u64, random: &mut Random) -> TopK {
    let mut sketch = TopK::new(kind, Measure::Sum, capacity).unwrap();
    for _ in 0..rows {
        let item = random.below(40) * random.below(40);
        let weight = 1 + random.next() % weight;
        match kind {
            ItemKind::Int64 => sketch.update_i64(item as i64, weight),
            _ if item.is_multiple_of(3) => {
                sketch.update(format!("a rather long item, number {item}").as_bytes(), weight)
            }
            _ => sketch.update(format!("i{item}").as_bytes(), weight),
        }
    }
    sketch
}

/// Good bytes of every reader, to start from.
fn corpus(random: &mut Random) -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for kind in [ItemKind::Text, ItemKind::Bytes, ItemKind::Int64] {
        for (capacity, rows, weight) in [
            (4, 0, 1),
            (4, 3, 1),
            (4, 900, 1),
            (30, 40, 1000),
            (30, 5000, 1),
            (60, 3000, 1 << 40),
            (10, 500, u64::MAX),
        ] {
            let sketch = sketch(kind, capacity, rows, weight, random);
            corpus.push(sketch.to_bytes());
            corpus.push(sketch.to_compact_bytes(3));
            corpus.push(sketch.to_datasketches());
        }
        let mut summary = SpaceSaving::new(kind, Measure::Count, 10).unwrap();
        let mut counts = CountMin::new(kind, 0.05, 0.1).unwrap();
        for _ in 0..200 {
            let item = random.below(30) as i64;
            summary.update_i64(item, 1);
            counts.update_i64(item, 1);
        }
        corpus.push(summary.to_bytes());
        corpus.push(summary.to_datasketches());
        corpus.push(counts.to_bytes());
    }
    corpus
}

/// One to four changes.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            3 => bytes.truncate(at),
            4 => bytes.insert(at, random.next() as u8),
            5 if !bytes.is_empty() => drop(bytes.remove(at)),
            6 => {
                // A large number where a length may be.
                let end = (at + 1 + random.below(9)).min(bytes.len());
                bytes[at..end].fill(0xFF);
            }
            _ => {
                let from = random.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}

/// Reads with a reader and checks what it allocated.
fn bounded<T>(bytes: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let value = read(bytes);
    let used = PEAK.load(Ordering::Relaxed) - before;
    assert!(
        used <= PER_BYTE * bytes.len() + BESIDES,
        "{used} bytes allocated for {} bytes",
        bytes.len()
    );
    value
}

fn try_top(bytes: &[u8], good: &TopK) -> bool {
    let Ok(mut sketch) = bounded(bytes, TopK::from_bytes) else {
        return false;
    };
    // What was read is written the same way: there is one form only.
    let again = sketch.to_bytes();
    let differs = again.iter().zip(bytes).position(|(a, b)| a != b);
    assert!(
        again == bytes,
        "read, but not as it would be written: byte {differs:?} of {}",
        bytes.len()
    );
    let _ = sketch.answer(1).map(|answer| answer.to_json());
    let _ = sketch.heavy_hitters(0.1);
    let _ = sketch.to_compact_bytes(2);
    let _ = (sketch.estimate(b"i3"), sketch.estimate_i64(3), sketch.size_bytes());
    for i in 0..300 {
        sketch.update(format!("i{i}").as_bytes(), 1);
        sketch.update_i64(i, 1);
    }
    let mut both = good.clone();
    if both.merge(&sketch).is_ok() {
        let _ = TopK::from_bytes(&both.to_bytes()).unwrap();
    }
    let copy = sketch.clone();
    let _ = sketch.merge(&copy);
    let _ = sketch.answer(1);
    true
}

#[test]
fn no_bytes_crash_a_reader_or_make_it_allocate_more_than_they_pay_for() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let seconds = Duration::from_secs(number("SKETCH_FUZZ_SECONDS", 2));
    let first = number("SKETCH_FUZZ_SEED", 1);
    let corpus = corpus(&mut Random(7));
    let good: Vec<TopK> = [ItemKind::Text, ItemKind::Bytes, ItemKind::Int64]
        .iter()
        .map(|kind| sketch(*kind, 20, 3000, 1, &mut Random(9)))
        .collect();
    let start = Instant::now();
    let (mut seed, mut read) = (first, 0u64);
    while start.elapsed() < seconds {
        let mut random = Random(seed);
        let (a, b) = (random.below(corpus.len()), random.below(corpus.len()));
        let mut bytes = corpus[a].clone();
        mutate(&mut bytes, &corpus[b], &mut random);
        let outcome = std::panic::catch_unwind(|| {
            let mut read = good.iter().filter(|good| try_top(&bytes, good)).count();
            for kind in [ItemKind::Text, ItemKind::Int64] {
                read += usize::from(
                    bounded(&bytes, |b| SpaceSaving::from_datasketches(kind, Measure::Count, b))
                        .is_ok_and(|s| s.answer(1).is_ok()),
                );
                read += usize::from(
                    bounded(&bytes, |b| TopK::from_datasketches(kind, Measure::Count, b))
                        .is_ok_and(|s| s.answer(1).is_ok()),
                );
            }
            if let Ok(mut summary) = bounded(&bytes, SpaceSaving::from_bytes) {
                let copy = summary.clone();
                let _ = summary.merge(&copy);
                summary.update(b"x", u64::MAX);
                read += 1;
            }
            if let Ok(mut counts) = bounded(&bytes, CountMin::from_bytes) {
                let copy = counts.clone();
                let _ = counts.merge(&copy);
                let _ = counts.estimate(b"x");
                read += 1;
            }
            read
        });
        match outcome {
            Ok(n) => read += u64::from(n > 0),
            Err(cause) => panic!("SKETCH_FUZZ_SEED={seed} breaks: {:?}", cause.downcast_ref::<String>()),
        }
        seed += 1;
    }
    println!(
        "{} inputs from seed {first} on in {:?}, of which {read} were read",
        seed - first,
        start.elapsed()
    );
}
