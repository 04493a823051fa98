//! The hybrid: small, fast, mergeable, with a lower and an upper bound for every item.
//!
//! * `sparse`: every item exactly, while they are few; `dense` turns it into the other form.
//! * `table`: the dense form, with the proof of its bounds. `block` is its fast path, `scratch` what that writes down, `probe` the vector instructions; `entries` says
//!   which items keep their keys, `rejects` counts the rows that found no slot, `read` is what is known about an item.
//! * `merge`: two tables of one shape; `project`: a table in a coarser shape. Both with the proof that the bounds go along.
//! * `bytes`: the format, over `bits`.
//!
//! `form` hides the width of counters (`counter`), `column` and `update` the shape of columns, `key` the kind of items, `shape` the sizes.

mod bits;
mod block;
mod bytes;
mod column;
mod counter;
mod dense;
mod entries;
mod form;
mod key;
mod merge;
mod probe;
mod project;
mod read;
mod rejects;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // `wide` uses the half of it.
mod scratch;
mod shape;
mod sparse;
mod table;
#[cfg(test)]
mod tight;
mod update;
#[cfg(target_arch = "x86_64")]
mod wide;

use column::{Integers, Strings, Views};
use form::{Dense, table};
use key::{Key, View};
use shape::Shape;
use sparse::Sparse;
use update::Form;

use crate::answer::Knowledge;
use crate::hash::Seed;
use crate::wire::{Reader, Writer};
use crate::{Answer, Error, Estimate, Item, ItemKind, Items, Measure, Rows};

/// First bytes of the format, and its version.
const MAGIC: [u8; 4] = *b"HhT\x01";

/// What a sketch knows besides its items.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    kind: ItemKind,
    measure: Measure,
    /// Up to which [`block::Path`] the passes may go; no part of the state.
    path: u8,
    shape: Shape,
    seed: Seed,
    total: u128,
    skipped: u64,
}

impl Head {
    fn skip(&mut self, rows: u64) {
        self.skipped = self.skipped.saturating_add(rows);
    }
}

#[derive(Debug, Clone)]
enum Body {
    Integers(Form<u64>),
    Strings(Form<View>),
}

/// Does the same with items of either type.
macro_rules! form {
    ($body:expr, $form:ident => $then:expr) => {
        match $body {
            Body::Integers($form) => $then,
            Body::Strings($form) => $then,
        }
    };
}

/// The hybrid summary: the leading items of a stream, with bounds.
///
/// It is exact while its items are few, and takes about 24 bytes for each of them. Then it keeps the keys of the leading items, counts
/// others by their fingerprints, and lets new ones in at random, as in randomised admission; a Count-Min of the rows that
/// were not let in closes the upper bounds. `lower <= true <= upper` holds for every item, always, after any merges: it is a theorem,
/// with its proof in the source, and not a matter of probability.
///
/// * `lower` counts only rows whose key was compared in full with a stored key.
/// * The result is a function of the row sequence: batches and their cuts, vector instructions, saving and going on change nothing.
/// * Any two sketches of one kind, measure and seed merge; the smaller capacity and the coarser shape win.
///
/// # Examples
///
/// ```
/// use hitters_sketch::{ItemKind, Items, Measure, Rows, TopK};
///
/// let mut top = TopK::new(ItemKind::Int64, Measure::Count, 100)?;
/// let column: Vec<i64> = (0..100_000).map(|i| i * i % 1000).collect();
/// top.update_batch(Items::Int64(&column), Rows::All(0..column.len()), None);
///
/// let answer = top.answer(3)?;
/// for line in &answer.items {
///     println!("{}: between {} and {}", line.item.to_text(), line.lower, line.upper);
/// }
/// // What is not listed is bounded, too.
/// assert!(top.estimate_i64(7).upper <= answer.max_missed);
///
/// // Halves of a stream, saved and merged.
/// let mut half = TopK::from_bytes(&top.to_bytes())?;
/// half.merge(&top)?;
/// assert_eq!(half.total(), 200_000);
/// # Ok::<(), hitters_sketch::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TopK {
    head: Head,
    body: Body,
}

impl TopK {
    /// An empty sketch that tracks `capacity` items, under seed 0.
    ///
    /// # Errors
    ///
    /// When the capacity is 0 or above [`MAX_CAPACITY`](crate::MAX_CAPACITY).
    pub fn new(kind: ItemKind, measure: Measure, capacity: usize) -> Result<Self, Error> {
        Self::with_seed(kind, measure, capacity, 0)
    }

    /// The same under a seed of one's own, against chosen items.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_seed(kind: ItemKind, measure: Measure, capacity: usize, seed: u64) -> Result<Self, Error> {
        Ok(Self::of_shape(kind, measure, Shape::of_capacity(capacity)?, seed))
    }

    /// The most precise sketch that tracks `capacity` items within `bytes` of heap, for items of up to 12 bytes.
    ///
    /// # Errors
    ///
    /// When the capacity is out of range, or the bytes are too few for it.
    pub fn with_memory(kind: ItemKind, measure: Measure, capacity: usize, bytes: usize) -> Result<Self, Error> {
        let key = if kind == ItemKind::Int64 {
            size_of::<u64>()
        } else {
            size_of::<View>()
        };
        let width = if measure == Measure::Count { 2 } else { 4 };
        Ok(Self::of_shape(
            kind,
            measure,
            Shape::of_memory(capacity, bytes, key, width)?,
            0,
        ))
    }

    fn of_shape(kind: ItemKind, measure: Measure, shape: Shape, seed: u64) -> Self {
        let body = match kind {
            ItemKind::Int64 => Body::Integers(Form::Sparse(Sparse::new())),
            ItemKind::Text | ItemKind::Bytes => Body::Strings(Form::Sparse(Sparse::new())),
        };
        TopK {
            head: Head {
                kind,
                measure,
                path: 2,
                shape,
                seed: Seed::new(seed),
                total: 0,
                skipped: 0,
            },
            body,
        }
    }

    /// Adds a row of text or bytes. A weight of 0 changes nothing.
    pub fn update(&mut self, item: &[u8], weight: u64) {
        let TopK { head, body } = self;
        match body {
            Body::Strings(form) => form.add(head, View::incoming(head.seed, item), weight),
            Body::Integers(form) if item.len() == 8 => form.add(head, u64::incoming(head.seed, item), weight),
            Body::Integers(_) => head.skip(1),
        }
    }

    /// Adds a row of an integer. A weight of 0 changes nothing.
    pub fn update_i64(&mut self, item: i64, weight: u64) {
        self.update(&item.to_le_bytes(), weight);
    }

    /// Adds rows of a column in order: a negative weight, a row outside of the column, or a column of the wrong kind
    /// counts as skipped.
    pub fn update_batch(&mut self, items: Items<'_>, rows: Rows<'_>, weights: Option<&[i64]>) {
        let TopK { head, body } = self;
        match (body, items) {
            (Body::Integers(form), Items::Int64(values)) => form.add_rows(head, Integers(values), rows, weights),
            (Body::Strings(form), Items::Offsets { offsets, bytes }) => {
                form.add_rows(head, Strings { offsets, bytes }, rows, weights);
            }
            (Body::Strings(form), Items::LargeOffsets { offsets, bytes }) => {
                form.add_rows(head, Strings { offsets, bytes }, rows, weights);
            }
            (Body::Strings(form), Items::Views { views, buffers }) => {
                form.add_rows(head, Views { views, buffers }, rows, weights);
            }
            _ => head.skip(rows.len() as u64),
        }
    }

    /// Notes rows that are not counted: NULL items, NULL or negative weights.
    pub fn skip(&mut self, rows: u64) {
        self.head.skip(rows);
    }

    /// The leading `k` items.
    ///
    /// # Errors
    ///
    /// When `k` is 0 or above the capacity.
    pub fn answer(&self, k: usize) -> Result<Answer, Error> {
        self.leading(k).top(k)
    }

    /// The items above the share `phi` of the total, certain and possible.
    ///
    /// # Errors
    ///
    /// When `phi` is not between 0 and 1.
    pub fn heavy_hitters(&self, phi: f64) -> Result<Answer, Error> {
        self.knowledge().above(phi)
    }

    /// A sketch of items with values, each of which weighs up to `offset` more, as may all others.
    pub(crate) fn of_intervals(
        kind: ItemKind,
        measure: Measure,
        capacity: usize,
        seed: Seed,
        total: u128,
        offset: u64,
        items: &[(Box<[u8]>, u64)],
    ) -> Self {
        fn form<K: Key>(head: &Head, offset: u64, items: &[(Box<[u8]>, u64)]) -> Form<K> {
            let mut sparse = Sparse::new();
            for (item, value) in items {
                sparse.add(K::incoming(head.seed, item), *value, head.seed);
            }
            if offset == 0 {
                return Form::Sparse(sparse);
            }
            let mut dense = Dense::of_sparse(&sparse, head.shape, head.seed);
            dense.owe(offset);
            Form::Dense(Box::new(dense))
        }
        let shape = Shape::of_capacity(capacity).unwrap_or(Shape::LEAST);
        let head = Head {
            kind,
            measure,
            path: 2,
            shape,
            seed,
            total,
            skipped: 0,
        };
        let body = match kind {
            ItemKind::Int64 => Body::Integers(form(&head, offset, items)),
            ItemKind::Text | ItemKind::Bytes => Body::Strings(form(&head, offset, items)),
        };
        TopK { head, body }
    }

    pub(crate) fn knowledge(&self) -> Knowledge {
        self.leading(usize::MAX)
    }

    /// What an answer of `k` items looks at: of exact counts no more than one item behind them, else all that is known.
    fn leading(&self, k: usize) -> Knowledge {
        let kind = self.head.kind;
        let count = if self.is_exact() {
            k.saturating_add(1)
        } else {
            usize::MAX
        };
        let (candidates, elsewhere) = form!(&self.body, form => match form {
            Form::Sparse(sparse) => {
                let exact = |(key, w): (_, u64)| {
                    (Item::from_key(kind, &Key::bytes(key, &sparse.tails)), Estimate { estimate: w, lower: w, upper: w })
                };
                (sparse.heaviest(count).into_iter().map(exact).collect(), 0)
            }
            Form::Dense(dense) => table!(&*dense.settled(), table => {
                let kept = |e: &counter::Entry<_, _>| {
                    let estimate = Estimate { estimate: e.estimate(), lower: e.seen(), upper: e.upper() };
                    (Item::from_key(kind, &Key::bytes(e.key, &table.tails)), estimate)
                };
                (table.entries.iter().map(kept).collect(), table.elsewhere())
            }),
        });
        Knowledge {
            measure: self.head.measure,
            capacity: self.capacity(),
            total: self.head.total,
            skipped: self.head.skipped,
            exact: self.is_exact(),
            candidates,
            elsewhere,
        }
    }

    /// The bounds of any item, tracked or not.
    pub fn estimate(&self, item: &[u8]) -> Estimate {
        fn of<K: Key>(form: &Form<K>, seed: Seed, item: &[u8]) -> Estimate {
            let key = K::incoming(seed, item);
            match form {
                Form::Sparse(sparse) => {
                    let weight = sparse.find(key).map_or(0, |i| sparse.items[i].1);
                    Estimate {
                        estimate: weight,
                        lower: weight,
                        upper: weight,
                    }
                }
                Form::Dense(dense) => table!(&*dense.settled(), table => table.estimate(key)),
            }
        }
        if self.head.kind == ItemKind::Int64 && item.len() != 8 {
            return Estimate::default();
        }
        form!(&self.body, form => of(form, self.head.seed, item))
    }

    /// The bounds of any integer, tracked or not.
    pub fn estimate_i64(&self, item: i64) -> Estimate {
        if self.head.kind == ItemKind::Int64 {
            self.estimate(&item.to_le_bytes())
        } else {
            Estimate::default()
        }
    }

    /// How many items are tracked at most.
    pub fn capacity(&self) -> usize {
        self.head.shape.capacity as usize
    }

    /// The weight of all rows counted.
    pub fn total(&self) -> u128 {
        self.head.total
    }

    /// Rows that were not counted.
    pub fn skipped(&self) -> u64 {
        self.head.skipped
    }

    /// Whether nothing was ever evicted: then every count is the true one.
    pub fn is_exact(&self) -> bool {
        form!(&self.body, form => match form {
            Form::Sparse(sparse) => sparse.items.iter().all(|(_, weight)| *weight < u64::MAX),
            Form::Dense(_) => false,
        })
    }

    /// The kind of items.
    pub fn kind(&self) -> ItemKind {
        self.head.kind
    }

    /// What is added up.
    pub fn measure(&self) -> Measure {
        self.head.measure
    }

    /// Whether no row was ever seen.
    pub fn is_empty(&self) -> bool {
        self.head.total == 0 && self.head.skipped == 0
    }

    /// Heap bytes held; cheap to call.
    pub fn size_bytes(&self) -> usize {
        form!(&self.body, form => match form {
            Form::Sparse(sparse) => sparse.size_bytes(),
            Form::Dense(dense) => size_of_val(&**dense) + dense.size_bytes(),
        })
    }

    pub(crate) fn dense_bytes(capacity: usize) -> usize {
        Shape::of_capacity(capacity).map_or(usize::MAX, |shape| shape.bytes(size_of::<View>(), 2))
    }

    /// Takes at most this path from now on: 0 the portable one, 1 AVX2, 2 AVX-512. The results are the same; tests say so.
    #[doc(hidden)]
    pub fn with_path(mut self, path: u8) -> Self {
        self.head.path = path;
        self
    }

    /// Adds another sketch's rows to this one's. Any two of one kind, measure and seed merge; the coarser one wins.
    ///
    /// # Errors
    ///
    /// When kind, measure or seed differ; nothing has changed then.
    pub fn merge(&mut self, other: &TopK) -> Result<(), Error> {
        fn forms<K: Key>(head: &Head, mine: &mut Form<K>, theirs: &Form<K>) {
            match (&mut *mine, theirs) {
                (Form::Sparse(a), Form::Sparse(b)) => {
                    a.absorb(b, head.seed);
                    mine.thicken(head);
                }
                (Form::Dense(a), Form::Dense(b)) => a.absorb(b, head.shape, head.total),
                (Form::Dense(a), Form::Sparse(b)) => {
                    if a.shape() != head.shape {
                        **a = a.project(head.shape);
                    }
                    a.absorb_sparse(b, head.total);
                }
                (Form::Sparse(a), Form::Dense(b)) => {
                    let mut dense = b.project(head.shape);
                    dense.absorb_sparse(a, head.total);
                    *mine = Form::Dense(Box::new(dense));
                }
            }
        }
        let (a, b) = (&self.head, &other.head);
        if a.kind != b.kind {
            return Err(Error::MixedKinds(a.kind, b.kind));
        }
        if a.measure != b.measure {
            return Err(Error::MixedMeasures(a.measure, b.measure));
        }
        if a.seed != b.seed {
            return Err(Error::MixedSeeds);
        }
        let (total, skipped) = (a.total.saturating_add(b.total), a.skipped.saturating_add(b.skipped));
        self.head = Head {
            shape: a.shape.meet(b.shape),
            total,
            skipped,
            ..a.clone()
        };
        match (&mut self.body, &other.body) {
            (Body::Integers(mine), Body::Integers(theirs)) => forms(&self.head, mine, theirs),
            (Body::Strings(mine), Body::Strings(theirs)) => forms(&self.head, mine, theirs),
            // Excluded by the kinds above.
            _ => {}
        }
        Ok(())
    }

    /// The sketch's bytes: lossless, and equal for equal sketches. The source of `topk::bytes` describes the format.
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = &self.head;
        let mut w = Writer::default();
        w.bytes.reserve(form!(&self.body, form => match form {
            // Head, and what most items take.
            Form::Sparse(sparse) => 40 + 8 * sparse.items.len() + sparse.tails.len(),
            Form::Dense(dense) => dense.size_bytes() / 4,
        }));
        w.bytes.extend_from_slice(&MAGIC);
        w.u8(form!(&self.body, form => matches!(form, Form::Dense(_))).into());
        w.u8(head.kind.tag());
        w.u8(head.measure.tag());
        w.u32(head.seed.id());
        form!(&self.body, form => form.write(&mut w, head));
        w.bytes
    }

    /// The compact form: a coarser sketch that keeps the best `2 k` items, with bounds that hold, and that merges like any other.
    pub fn to_compact_bytes(&self, k: usize) -> Vec<u8> {
        let head = Head {
            shape: self.head.shape.compact(k),
            ..self.head.clone()
        };
        fn trimmed<K: Key>(form: &Form<K>, head: &Head) -> Form<K> {
            match form {
                Form::Sparse(sparse) if sparse.items.len() <= head.shape.keep() => Form::Sparse(sparse.clone()),
                Form::Sparse(sparse) => Form::Dense(Box::new(Dense::of_sparse(sparse, head.shape, head.seed))),
                Form::Dense(dense) => Form::Dense(Box::new(dense.project(head.shape))),
            }
        }
        let body = match &self.body {
            Body::Integers(form) => Body::Integers(trimmed(form, &head)),
            Body::Strings(form) => Body::Strings(trimmed(form, &head)),
        };
        TopK { head, body }.to_bytes()
    }

    /// Reads a sketch of seed 0, lossless or compact.
    ///
    /// # Errors
    ///
    /// When the bytes are no sketch, or of another seed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_bytes_with_seed(bytes, 0)
    }

    /// Reads a sketch of a seed of one's own: bytes carry a seed's id, never the seed.
    ///
    /// # Errors
    ///
    /// When the bytes are no sketch, or of another seed.
    pub fn from_bytes_with_seed(bytes: &[u8], seed: u64) -> Result<Self, Error> {
        let mut r = Reader::new(bytes);
        let magic = r.take(4)?;
        if magic[..3] != MAGIC[..3] {
            return Err(Error::Corrupt("it does not start like a sketch"));
        }
        if magic[3] != MAGIC[3] {
            return Err(Error::Version(magic[3]));
        }
        let dense = match r.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Error::Corrupt("its form is unknown")),
        };
        let kind = ItemKind::from_tag(r.u8()?).ok_or(Error::Corrupt("its kind of items is unknown"))?;
        let measure = Measure::from_tag(r.u8()?).ok_or(Error::Corrupt("its measure is unknown"))?;
        let seed = Seed::new(seed);
        if r.u32()? != seed.id() {
            return Err(Error::WrongSeed);
        }
        let (body, shape, total, skipped) = match kind {
            ItemKind::Int64 => {
                let (form, shape, total, skipped) = Form::read(&mut r, dense, kind, seed)?;
                (Body::Integers(form), shape, total, skipped)
            }
            ItemKind::Text | ItemKind::Bytes => {
                let (form, shape, total, skipped) = Form::read(&mut r, dense, kind, seed)?;
                (Body::Strings(form), shape, total, skipped)
            }
        };
        r.finish()?;
        Ok(TopK {
            head: Head {
                kind,
                measure,
                path: 2,
                shape,
                seed,
                total,
                skipped,
            },
            body,
        })
    }
}
