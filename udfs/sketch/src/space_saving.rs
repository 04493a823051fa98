//! Space-Saving: the classic stream summary, weighted and mergeable, with a lower and an upper bound for every item.
//!
//! # How it works
//!
//! At most `capacity` counters `(item, seen, slack)`. A row of weight `w` whose item has a counter adds `w` to `seen`. Else, while
//! there is room, it gets a counter `(w, floor)`; when there is none, it takes over the counter with the smallest
//! `seen + slack = m`, which becomes `(w, max(m, floor))`, and `floor` becomes that maximum.
//!
//! # Bounds
//!
//! For every item, with `f` its true weight:
//!
//! * with a counter: `seen <= f <= seen + slack`;
//! * without one: `0 <= f <= floor`.
//!
//! *Proof*, by induction over rows. `seen` adds up only rows of the item itself, so it is a lower bound. When a counter
//! is taken over, its old item had `f <= m <= floor'`. When an item gets a counter it had none, so what came before is at most
//! `floor`, which is its slack. `floor` never falls. ∎
//!
//! *Size.* Without merges, `floor <= total / capacity`: the sum of all `seen + slack` grows by exactly the weight of each row,
//! so that the smallest of `capacity` of them is at most their mean.
//!
//! *Merge.* With `f = f1 + f2`, an item's bounds add: `seen1 + seen2`, `slack1 + slack2`, where an absent item has `seen = 0` and
//! `slack = floor`. The largest `capacity` counters by `seen + slack` stay, and `floor = max(floor1 + floor2, the largest
//! dropped)`. The bounds then hold by the argument above, whatever the sizes and the order of merges, and the error
//! is at most the sum of the errors (Agarwal et al., Mergeable Summaries, 2012).
//!
//! Ties break by the item's bytes, so that the summary is a function of the row sequence.
//! Source: Metwally, Agrawal, El Abbadi, *Efficient computation of frequent and top-k elements in data streams*, 2005.

use std::cmp::Ordering;

use crate::answer::Knowledge;
use crate::hash::Seed;
use crate::index::Index;
use crate::wire::{Reader, Writer};
use crate::{Answer, Error, Estimate, Item, ItemKind, MAX_CAPACITY, Measure};

/// First bytes of the format, and its version.
const MAGIC: [u8; 4] = *b"HhS\x01";

#[derive(Debug, Clone)]
struct Counter {
    key: Box<[u8]>,
    /// Weight of the rows that were compared with `key` and equal.
    seen: u64,
    /// What may have come before.
    slack: u64,
    /// Where the counter stands in the heap.
    place: u32,
}

impl Counter {
    fn upper(&self) -> u64 {
        self.seen.saturating_add(self.slack)
    }
}

/// The classic stream summary. See the [module](self) for its bounds.
///
/// # Examples
///
/// ```
/// use hitters_sketch::{ItemKind, Measure, SpaceSaving};
///
/// let mut summary = SpaceSaving::new(ItemKind::Text, Measure::Count, 2)?;
/// for item in ["a", "b", "a", "c", "a"] {
///     summary.update(item.as_bytes(), 1);
/// }
/// let a = summary.estimate(b"a");
/// assert_eq!((a.lower, a.upper), (3, 3));
/// let b = summary.estimate(b"b");
/// assert!(b.lower <= 1 && 1 <= b.upper);
/// # Ok::<(), hitters_sketch::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SpaceSaving {
    kind: ItemKind,
    measure: Measure,
    capacity: usize,
    total: u128,
    skipped: u64,
    floor: u64,
    counters: Vec<Counter>,
    /// Bytes of their keys.
    key_bytes: usize,
    index: Index,
    /// A binary heap of counter numbers, the smallest upper bound first.
    heap: Vec<u32>,
    seed: Seed,
}

impl SpaceSaving {
    /// An empty summary that tracks `capacity` items.
    ///
    /// # Errors
    ///
    /// When the capacity is 0 or above [`MAX_CAPACITY`].
    pub fn new(kind: ItemKind, measure: Measure, capacity: usize) -> Result<Self, Error> {
        if capacity == 0 || capacity > MAX_CAPACITY {
            return Err(Error::Capacity {
                capacity,
                max: MAX_CAPACITY,
            });
        }
        Ok(SpaceSaving {
            kind,
            measure,
            capacity,
            total: 0,
            skipped: 0,
            floor: 0,
            counters: Vec::new(),
            key_bytes: 0,
            index: Index::default(),
            heap: Vec::new(),
            seed: Seed::new(0),
        })
    }

    /// Adds a row of text or bytes. A weight of 0 changes nothing.
    pub fn update(&mut self, item: &[u8], weight: u64) {
        if weight == 0 {
            return;
        }
        self.total = self.total.saturating_add(weight.into());
        let hash = self.seed.bytes(item);
        if let Some(at) = self.find(hash, item) {
            let counter = &mut self.counters[at as usize];
            counter.seen = counter.seen.saturating_add(weight);
            self.sift_down(self.counters[at as usize].place as usize);
        } else if self.counters.len() < self.capacity {
            self.push(item.into(), weight, self.floor);
        } else {
            let at = self.heap[0];
            self.floor = self.floor.max(self.counters[at as usize].upper());
            let (counters, seed) = (&self.counters, self.seed);
            self.index.remove(at, |e| seed.bytes(&counters[e as usize].key));
            let counter = &mut self.counters[at as usize];
            self.key_bytes = self.key_bytes - counter.key.len() + item.len();
            (counter.key, counter.seen, counter.slack) = (item.into(), weight, self.floor);
            let counters = &self.counters;
            self.index.insert(at, |e| seed.bytes(&counters[e as usize].key));
            self.sift_down(0);
        }
    }

    /// Adds a row of an integer. A weight of 0 changes nothing.
    pub fn update_i64(&mut self, item: i64, weight: u64) {
        self.update(&item.to_le_bytes(), weight);
    }

    /// Notes rows that are not counted.
    pub fn skip(&mut self, rows: u64) {
        self.skipped = self.skipped.saturating_add(rows);
    }

    /// The bounds of any item, tracked or not.
    pub fn estimate(&self, item: &[u8]) -> Estimate {
        match self.find(self.seed.bytes(item), item) {
            Some(at) => {
                let counter = &self.counters[at as usize];
                Estimate {
                    estimate: counter.upper(),
                    lower: counter.seen,
                    upper: counter.upper(),
                }
            }
            None => Estimate {
                estimate: self.floor,
                lower: 0,
                upper: self.floor,
            },
        }
    }

    /// The bounds of any integer, tracked or not.
    pub fn estimate_i64(&self, item: i64) -> Estimate {
        self.estimate(&item.to_le_bytes())
    }

    /// The leading `k` items.
    ///
    /// # Errors
    ///
    /// When `k` is 0 or above the capacity.
    pub fn answer(&self, k: usize) -> Result<Answer, Error> {
        self.knowledge().top(k)
    }

    /// The items above the share `phi` of the total, certain and possible.
    ///
    /// # Errors
    ///
    /// When `phi` is not between 0 and 1.
    pub fn heavy_hitters(&self, phi: f64) -> Result<Answer, Error> {
        self.knowledge().above(phi)
    }

    fn knowledge(&self) -> Knowledge {
        Knowledge {
            measure: self.measure,
            capacity: self.capacity,
            total: self.total,
            skipped: self.skipped,
            exact: self.is_exact(),
            candidates: self
                .counters
                .iter()
                .map(|c| {
                    let estimate = Estimate {
                        estimate: c.upper(),
                        lower: c.seen,
                        upper: c.upper(),
                    };
                    (Item::from_key(self.kind, &c.key), estimate)
                })
                .collect(),
            elsewhere: self.floor,
        }
    }

    /// Adds another summary's rows to this one's; the smaller capacity wins.
    ///
    /// # Errors
    ///
    /// When the kinds of items or the measures differ; nothing has changed then.
    pub fn merge(&mut self, other: &SpaceSaving) -> Result<(), Error> {
        if self.kind != other.kind {
            return Err(Error::MixedKinds(self.kind, other.kind));
        }
        if self.measure != other.measure {
            return Err(Error::MixedMeasures(self.measure, other.measure));
        }
        let mut all: Vec<(Box<[u8]>, u64, u64)> = Vec::with_capacity(self.counters.len() + other.counters.len());
        for c in &self.counters {
            let (seen, slack) = match other.find(self.seed.bytes(&c.key), &c.key) {
                Some(at) => {
                    let o = &other.counters[at as usize];
                    (o.seen, o.slack)
                }
                None => (0, other.floor),
            };
            all.push((
                c.key.clone(),
                c.seen.saturating_add(seen),
                c.slack.saturating_add(slack),
            ));
        }
        for o in &other.counters {
            if self.find(self.seed.bytes(&o.key), &o.key).is_none() {
                all.push((o.key.clone(), o.seen, o.slack.saturating_add(self.floor)));
            }
        }
        all.sort_unstable_by(by_upper_then_key);
        self.capacity = self.capacity.min(other.capacity);
        self.floor = self.floor.saturating_add(other.floor);
        if let Some((_, seen, slack)) = all.get(self.capacity) {
            self.floor = self.floor.max(seen.saturating_add(*slack));
        }
        all.truncate(self.capacity);
        self.total = self.total.saturating_add(other.total);
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.refill(all);
        Ok(())
    }

    /// The summary's bytes: equal summaries give equal bytes.
    ///
    /// ```text
    /// "HhS" 0x01 | kind u8 | measure u8 | capacity, total, skipped, floor, counters: varints
    /// then each counter, by falling upper bound, then by key: key (length varint, bytes) | seen, slack: varints
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.bytes.extend_from_slice(&MAGIC);
        w.u8(self.kind.tag());
        w.u8(self.measure.tag());
        for value in [
            self.capacity as u128,
            self.total,
            self.skipped.into(),
            self.floor.into(),
        ] {
            w.varint(value);
        }
        w.varint(self.counters.len() as u128);
        let mut sorted: Vec<&Counter> = self.counters.iter().collect();
        sorted.sort_unstable_by(|a, b| b.upper().cmp(&a.upper()).then_with(|| a.key.cmp(&b.key)));
        for counter in sorted {
            w.slice(&counter.key);
            w.varint(counter.seen.into());
            w.varint(counter.slack.into());
        }
        w.bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// When the bytes are anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(bytes);
        let magic = r.take(4)?;
        if magic[..3] != MAGIC[..3] {
            return Err(Error::Corrupt("it does not start like a Space-Saving summary"));
        }
        if magic[3] != MAGIC[3] {
            return Err(Error::Version(magic[3]));
        }
        let kind = ItemKind::from_tag(r.u8()?).ok_or(Error::Corrupt("its kind of items is unknown"))?;
        let measure = Measure::from_tag(r.u8()?).ok_or(Error::Corrupt("its measure is unknown"))?;
        let capacity = usize::try_from(r.varint()?).map_err(|_| Error::Corrupt("a capacity is too large"))?;
        let mut summary = SpaceSaving::new(kind, measure, capacity)?;
        summary.total = r.varint128()?;
        summary.skipped = r.varint()?;
        summary.floor = r.varint()?;
        let n = r.count(3)?;
        if n > capacity {
            return Err(Error::Corrupt("it has more counters than its capacity"));
        }
        let mut all: Vec<(Box<[u8]>, u64, u64)> = Vec::with_capacity(n);
        for _ in 0..n {
            let key = r.slice()?;
            if kind == ItemKind::Int64 && key.len() != 8 {
                return Err(Error::Corrupt("an integer has not eight bytes"));
            }
            let next = (key.into(), r.varint()?, r.varint()?);
            if all
                .last()
                .is_some_and(|last| by_upper_then_key(last, &next) != Ordering::Less)
            {
                return Err(Error::Corrupt("its counters are out of order"));
            }
            all.push(next);
        }
        r.finish()?;
        let mut keys: Vec<&[u8]> = all.iter().map(|(key, ..)| &key[..]).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::Corrupt("an item has two counters"));
        }
        summary.refill(all);
        Ok(summary)
    }

    /// How many items are tracked at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The weight of all rows counted.
    pub fn total(&self) -> u128 {
        self.total
    }

    /// Rows that were not counted.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The kind of items.
    pub fn kind(&self) -> ItemKind {
        self.kind
    }

    /// What is added up.
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// Whether nothing was ever evicted: then every count is the true one.
    pub fn is_exact(&self) -> bool {
        self.floor == 0 && self.counters.iter().all(|c| c.slack == 0 && c.seen < u64::MAX)
    }

    /// Whether no row was ever seen.
    pub fn is_empty(&self) -> bool {
        self.total == 0 && self.skipped == 0
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.counters.capacity() * size_of::<Counter>()
            + self.key_bytes
            + self.heap.capacity() * size_of::<u32>()
            + self.index.size_bytes()
    }

    /// An upper bound on every item without a counter.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Every counter: key, seen, slack.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (&[u8], u64, u64)> {
        self.counters.iter().map(|c| (&c.key[..], c.seen, c.slack))
    }

    /// A summary from its parts; the keys must differ and be at most `capacity`.
    pub(crate) fn from_parts(
        empty: SpaceSaving,
        total: u128,
        floor: u64,
        counters: Vec<(Box<[u8]>, u64, u64)>,
    ) -> Self {
        let mut summary = SpaceSaving { total, floor, ..empty };
        summary.refill(counters);
        summary
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |e| &*self.counters[e as usize].key == key)
    }

    fn refill(&mut self, all: Vec<(Box<[u8]>, u64, u64)>) {
        self.counters.clear();
        self.key_bytes = 0;
        self.heap.clear();
        self.index = Index::default();
        for (key, seen, slack) in all {
            self.push(key, seen, slack);
        }
    }

    fn push(&mut self, key: Box<[u8]>, seen: u64, slack: u64) {
        let at = self.counters.len() as u32;
        let place = self.heap.len() as u32;
        self.key_bytes += key.len();
        self.counters.push(Counter {
            key,
            seen,
            slack,
            place,
        });
        self.heap.push(at);
        let (counters, seed) = (&self.counters, self.seed);
        self.index.insert(at, |e| seed.bytes(&counters[e as usize].key));
        self.sift_up(place as usize);
    }

    /// The heap's order: by upper bound, ties by the larger key, so that of equals the smaller key survives.
    fn before(&self, a: u32, b: u32) -> bool {
        let (a, b) = (&self.counters[a as usize], &self.counters[b as usize]);
        a.upper().cmp(&b.upper()).then_with(|| b.key.cmp(&a.key)) == Ordering::Less
    }

    fn swap(&mut self, i: usize, j: usize) {
        self.heap.swap(i, j);
        self.counters[self.heap[i] as usize].place = i as u32;
        self.counters[self.heap[j] as usize].place = j as u32;
    }

    fn sift_up(&mut self, mut i: usize) {
        while i > 0 && self.before(self.heap[i], self.heap[(i - 1) / 2]) {
            self.swap(i, (i - 1) / 2);
            i = (i - 1) / 2;
        }
    }

    fn sift_down(&mut self, mut i: usize) {
        loop {
            let mut least = i;
            for child in [2 * i + 1, 2 * i + 2] {
                if child < self.heap.len() && self.before(self.heap[child], self.heap[least]) {
                    least = child;
                }
            }
            if least == i {
                return;
            }
            self.swap(i, least);
            i = least;
        }
    }
}

fn by_upper_then_key(a: &(Box<[u8]>, u64, u64), b: &(Box<[u8]>, u64, u64)) -> Ordering {
    b.1.saturating_add(b.2)
        .cmp(&a.1.saturating_add(a.2))
        .then_with(|| a.0.cmp(&b.0))
}
