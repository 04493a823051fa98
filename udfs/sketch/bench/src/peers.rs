//! The peers, ours among them, behind one face.

use std::any::Any;
use std::collections::HashMap;

use datasketches::frequencies::{ErrorType, FrequentItemsSketch};
use hitters_sketch::{Item, ItemKind, Items, Measure, Rows, SpaceSaving, TopK};

use crate::stream::Slice;

/// Strings or integers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    Views,
    Offsets,
    Integers,
}

/// A reported item: its text, and estimate, lower and upper bound.
pub struct Row {
    pub item: String,
    pub estimate: u64,
    pub lower: u64,
    pub upper: u64,
}

pub trait Peer: Any {
    fn feed(&mut self, slice: &Slice, from: usize, to: usize);
    /// The top `k`; bounds are 0 and `u64::MAX` where the peer has none.
    fn top(&self, k: usize) -> Vec<Row>;
    /// Lower and upper bound of any item.
    fn bounds(&self, text: &str, integer: i64) -> Option<(u64, u64)>;
    fn merge(&mut self, other: &dyn Peer) -> bool;
    fn as_any(&self) -> &dyn Any;
    fn bytes(&self) -> Option<usize> {
        None
    }
    fn certain_leaders(&self, _k: usize) -> Option<usize> {
        None
    }
}

/// Makes a peer of a size: `size` is whatever the peer is sized by.
#[derive(Clone, Copy)]
pub struct Maker {
    pub name: &'static str,
    pub make: fn(k: usize, size: usize, keys: Keys) -> Box<dyn Peer>,
    /// Sizes are powers of two only.
    pub doubling: bool,
    /// Sized by bytes, without a search.
    pub by_bytes: bool,
    pub bounded: bool,
}

pub const MAKERS: &[Maker] = &[
    Maker {
        name: "hitters TopK",
        make: |k, size, keys| Box::new(Ours(ours(k, size, keys), keys)),
        doubling: false,
        by_bytes: true,
        bounded: true,
    },
    Maker {
        name: "datasketches",
        make: |_, size, keys| match keys {
            Keys::Integers => Box::new(DataInts(FrequentItemsSketch::new(size.max(8)).unwrap())),
            _ => Box::new(DataTexts(FrequentItemsSketch::new(size.max(8)).unwrap())),
        },
        doubling: true,
        by_bytes: false,
        bounded: true,
    },
    Maker {
        name: "topk filtered",
        make: |_, size, keys| match keys {
            Keys::Integers => Box::new(FilteredInts(topk::FilteredSpaceSaving::new(size))),
            _ => Box::new(FilteredTexts(topk::FilteredSpaceSaving::new(size))),
        },
        doubling: false,
        by_bytes: false,
        bounded: true,
    },
    Maker {
        name: "Space-Saving (heap)",
        make: |_, size, keys| {
            Box::new(Heap(
                SpaceSaving::new(kind(keys), Measure::Count, size.clamp(1, 1 << 20)).unwrap(),
                keys,
            ))
        },
        doubling: false,
        by_bytes: false,
        bounded: true,
    },
    Maker {
        name: "heavykeeper TopK",
        make: |k, size, keys| match keys {
            Keys::Integers => Box::new(HeavyInts(heavykeeper::TopK::new(k, size, 2, 0.9))),
            _ => Box::new(HeavyTexts(heavykeeper::TopK::new(k, size, 2, 0.9))),
        },
        doubling: false,
        by_bytes: false,
        bounded: false,
    },
    Maker {
        name: "heavykeeper Bucketed",
        make: |k, size, keys| match keys {
            Keys::Integers => Box::new(BucketInts(heavykeeper::BucketedTopK::new(k, size, 4, 0.9))),
            _ => Box::new(BucketTexts(heavykeeper::BucketedTopK::new(k, size, 4, 0.9))),
        },
        doubling: false,
        by_bytes: false,
        bounded: false,
    },
    Maker {
        name: "heavykeeper Cuckoo",
        make: |k, size, keys| match keys {
            Keys::Integers => Box::new(CuckooInts(heavykeeper::CuckooTopK::new(k, size, 4, 0.9))),
            _ => Box::new(CuckooTexts(heavykeeper::CuckooTopK::new(k, size, 4, 0.9))),
        },
        doubling: false,
        by_bytes: false,
        bounded: false,
    },
];

/// Not bounded in memory: only in the table of speeds.
pub const EXACT: Maker = Maker {
    name: "exact hashbrown",
    make: |_, _, keys| match keys {
        Keys::Integers => Box::new(ExactInts(Default::default())),
        _ => Box::new(ExactTexts(Default::default())),
    },
    doubling: false,
    by_bytes: true,
    bounded: true,
};

fn kind(keys: Keys) -> ItemKind {
    if keys == Keys::Integers {
        ItemKind::Int64
    } else {
        ItemKind::Text
    }
}

fn ours(k: usize, bytes: usize, keys: Keys) -> TopK {
    let sketch = TopK::with_memory(kind(keys), Measure::Count, k, bytes).unwrap();
    match std::env::var("SKETCH_PATH")
        .ok()
        .and_then(|p| p.parse().ok())
    {
        Some(path) => sketch.with_path(path),
        None => sketch,
    }
}

fn row(item: &Item, estimate: u64, lower: u64, upper: u64) -> Row {
    Row {
        item: item.to_text(),
        estimate,
        lower,
        upper,
    }
}

pub struct Ours(pub TopK, pub Keys);

impl Peer for Ours {
    fn feed(&mut self, s: &Slice, from: usize, to: usize) {
        let buffers = [&s.bytes[..]];
        let items = match self.1 {
            Keys::Integers => Items::Int64(&s.integers),
            Keys::Offsets => Items::Offsets {
                offsets: &s.offsets,
                bytes: &s.bytes,
            },
            Keys::Views => Items::Views {
                views: &s.views,
                buffers: &buffers,
            },
        };
        self.0.update_batch(items, Rows::All(from..to), None);
    }
    fn top(&self, k: usize) -> Vec<Row> {
        self.0
            .answer(k)
            .unwrap()
            .items
            .iter()
            .map(|i| row(&i.item, i.estimate, i.lower, i.upper))
            .collect()
    }
    fn bounds(&self, text: &str, integer: i64) -> Option<(u64, u64)> {
        let e = if self.1 == Keys::Integers {
            self.0.estimate_i64(integer)
        } else {
            self.0.estimate(text.as_bytes())
        };
        Some((e.lower, e.upper))
    }
    fn merge(&mut self, other: &dyn Peer) -> bool {
        self.0
            .merge(&other.as_any().downcast_ref::<Self>().unwrap().0)
            .unwrap();
        true
    }
    fn bytes(&self) -> Option<usize> {
        Some(self.0.to_bytes().len())
    }
    fn certain_leaders(&self, k: usize) -> Option<usize> {
        Some(self.0.answer(k).unwrap().certain_leaders)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Heap(SpaceSaving, Keys);

impl Peer for Heap {
    fn feed(&mut self, s: &Slice, from: usize, to: usize) {
        for i in from..to {
            match self.1 {
                Keys::Integers => self.0.update_i64(s.integers[i], 1),
                _ => self.0.update(s.text(i).as_bytes(), 1),
            }
        }
    }
    fn top(&self, k: usize) -> Vec<Row> {
        let answer = self.0.answer(k.min(self.0.capacity())).unwrap();
        answer
            .items
            .iter()
            .map(|i| row(&i.item, i.estimate, i.lower, i.upper))
            .collect()
    }
    fn bounds(&self, text: &str, integer: i64) -> Option<(u64, u64)> {
        let e = if self.1 == Keys::Integers {
            self.0.estimate_i64(integer)
        } else {
            self.0.estimate(text.as_bytes())
        };
        Some((e.lower, e.upper))
    }
    fn merge(&mut self, other: &dyn Peer) -> bool {
        self.0
            .merge(&other.as_any().downcast_ref::<Self>().unwrap().0)
            .unwrap();
        true
    }
    fn bytes(&self) -> Option<usize> {
        Some(self.0.to_bytes().len())
    }
    fn certain_leaders(&self, k: usize) -> Option<usize> {
        Some(
            self.0
                .answer(k.min(self.0.capacity()))
                .unwrap()
                .certain_leaders,
        )
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Writes a peer for strings and one for integers.
macro_rules! peer {
    ($texts:ident, $ints:ident, $type:ident<_> in $($path:ident)::+, feed($sketch:ident, $item:ident, $borrowed:ident) $feed_text:expr, $feed_int:expr,
     top($top:ident, $k:ident) $rows:expr, bounds($b:ident, $x:ident) $bounds:expr, merge($m:ident, $o:ident) $merge:expr, bytes($z:ident) $bytes:expr) => {
        struct $texts($($path)::+::$type<String>);
        impl Peer for $texts {
            fn feed(&mut self, s: &Slice, from: usize, to: usize) {
                let $sketch = &mut self.0;
                for i in from..to { let $item = s.text(i); $feed_text; }
            }
            fn top(&self, $k: usize) -> Vec<Row> { let $top = &self.0; $rows }
            fn bounds(&self, text: &str, _: i64) -> Option<(u64, u64)> { let ($b, $x) = (&self.0, &text.to_string()); $bounds }
            fn merge(&mut self, other: &dyn Peer) -> bool { let ($m, $o) = (&mut self.0, &other.as_any().downcast_ref::<Self>().unwrap().0); $merge }
            fn bytes(&self) -> Option<usize> { let $z = &self.0; $bytes }
            fn as_any(&self) -> &dyn Any { self }
        }
        struct $ints($($path)::+::$type<i64>);
        impl Peer for $ints {
            fn feed(&mut self, s: &Slice, from: usize, to: usize) {
                let $sketch = &mut self.0;
                for i in from..to { let $borrowed = s.integers[i]; $feed_int; }
            }
            fn top(&self, $k: usize) -> Vec<Row> { let $top = &self.0; $rows }
            fn bounds(&self, _: &str, integer: i64) -> Option<(u64, u64)> { let ($b, $x) = (&self.0, &integer); $bounds }
            fn merge(&mut self, other: &dyn Peer) -> bool { let ($m, $o) = (&mut self.0, &other.as_any().downcast_ref::<Self>().unwrap().0); $merge }
            fn bytes(&self) -> Option<usize> { let $z = &self.0; $bytes }
            fn as_any(&self) -> &dyn Any { self }
        }
    };
}

peer!(DataTexts, DataInts, FrequentItemsSketch<_> in datasketches::frequencies,
    feed(s, item, int) s.update_ref(item), s.update(int),
    top(s, k) {
        let mut rows = s.frequent_items(ErrorType::NoFalseNegatives);
        rows.sort_by(|a, b| b.estimate().cmp(&a.estimate()));
        rows.truncate(k);
        rows.iter().map(|r| Row { item: r.item().to_string(), estimate: r.estimate(), lower: r.lower_bound(), upper: r.upper_bound() }).collect()
    },
    bounds(s, x) Some((s.lower_bound(x), s.upper_bound(x))),
    merge(s, o) { s.merge(o); true },
    bytes(s) Some(s.serialize().len()));

peer!(FilteredTexts, FilteredInts, FilteredSpaceSaving<_> in topk,
    feed(s, item, int) s.insert(item.to_string(), 1), s.insert(int, 1),
    top(s, k) {
        let mut rows: Vec<Row> = s.iter().map(|(item, c)| Row {
            item: item.to_string(), estimate: c.estimated_count(), lower: c.estimated_count() - c.associated_error(), upper: c.estimated_count(),
        }).collect();
        rows.sort_by(|a, b| b.estimate.cmp(&a.estimate));
        rows.truncate(k);
        rows
    },
    bounds(s, x) { let c = s.estimate(x); Some((c.estimated_count() - c.associated_error(), c.estimated_count())) },
    merge(s, o) s.merge(o).is_ok(),
    bytes(s) { let _ = s; None });

macro_rules! keeper {
    ($texts:ident, $ints:ident, $type:ident) => {
        peer!($texts, $ints, $type<_> in heavykeeper,
            feed(s, item, int) s.add(item, 1), s.add(&int, 1),
            top(s, k) {
                let mut rows: Vec<Row> = s.list().into_iter().map(|n| Row { item: n.item.to_string(), estimate: n.count, lower: 0, upper: u64::MAX }).collect();
                rows.sort_by(|a, b| b.estimate.cmp(&a.estimate));
                rows.truncate(k);
                rows
            },
            bounds(s, x) { let _ = (s, x); None },
            merge(s, o) s.merge(o).is_ok(),
            bytes(s) { let _ = s; None });
    };
}
keeper!(HeavyTexts, HeavyInts, TopK);
keeper!(BucketTexts, BucketInts, BucketedTopK);
keeper!(CuckooTexts, CuckooInts, CuckooTopK);

type Map<K> = hashbrown::HashMap<K, u64, foldhash::fast::RandomState>;

struct ExactTexts(Map<String>);

impl Peer for ExactTexts {
    fn feed(&mut self, s: &Slice, from: usize, to: usize) {
        for i in from..to {
            *self.0.entry_ref(s.text(i)).or_insert(0) += 1;
        }
    }
    fn top(&self, k: usize) -> Vec<Row> {
        sorted(self.0.iter().map(|(item, n)| (item.clone(), *n)), k)
    }
    fn bounds(&self, text: &str, _: i64) -> Option<(u64, u64)> {
        self.0.get(text).map(|n| (*n, *n)).or(Some((0, 0)))
    }
    fn merge(&mut self, _: &dyn Peer) -> bool {
        false
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct ExactInts(Map<i64>);

impl Peer for ExactInts {
    fn feed(&mut self, s: &Slice, from: usize, to: usize) {
        for i in from..to {
            *self.0.entry(s.integers[i]).or_insert(0) += 1;
        }
    }
    fn top(&self, k: usize) -> Vec<Row> {
        sorted(self.0.iter().map(|(item, n)| (item.to_string(), *n)), k)
    }
    fn bounds(&self, _: &str, integer: i64) -> Option<(u64, u64)> {
        self.0.get(&integer).map(|n| (*n, *n)).or(Some((0, 0)))
    }
    fn merge(&mut self, _: &dyn Peer) -> bool {
        false
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn sorted(all: impl Iterator<Item = (String, u64)>, k: usize) -> Vec<Row> {
    let mut all: Vec<_> = all.collect();
    all.sort_unstable_by(|a, b| b.1.cmp(&a.1));
    all.truncate(k);
    all.into_iter()
        .map(|(item, n)| Row {
            item,
            estimate: n,
            lower: n,
            upper: n,
        })
        .collect()
}

/// From reported text back to the item's number.
pub fn dictionary(stream: &crate::stream::Stream, keys: Keys) -> HashMap<String, u32> {
    let text = |i: usize| {
        if keys == Keys::Integers {
            stream.integers[i].to_string()
        } else {
            stream.items[i].clone()
        }
    };
    (0..stream.items.len())
        .map(|i| (text(i), i as u32))
        .collect()
}
