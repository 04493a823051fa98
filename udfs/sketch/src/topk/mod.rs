//! The hybrid.

use crate::{Answer, Error, Estimate, ItemKind, Items, Measure, Rows, SpaceSaving};

/// The hybrid summary: the leading items of a stream, with bounds.
#[derive(Debug, Clone)]
pub struct TopK {
    inner: SpaceSaving,
    seed: u64,
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
        Ok(TopK { inner: SpaceSaving::new(kind, measure, capacity)?, seed })
    }

    /// Adds a row of text or bytes. A weight of 0 changes nothing.
    pub fn update(&mut self, item: &[u8], weight: u64) {
        self.inner.update(item, weight);
    }

    /// Adds a row of an integer. A weight of 0 changes nothing.
    pub fn update_i64(&mut self, item: i64, weight: u64) {
        self.inner.update_i64(item, weight);
    }

    /// Adds rows of a column in order: a negative weight, a row outside of the column, or a column of the wrong kind
    /// counts as skipped.
    pub fn update_batch(&mut self, items: Items<'_>, rows: Rows<'_>, weights: Option<&[i64]>) {
        for i in 0..rows.len() {
            let row = rows.at(i);
            let weight = match weights {
                None => Some(1),
                Some(weights) => weights.get(row).and_then(|w| u64::try_from(*w).ok()),
            };
            match (items, items.bytes(row), weight) {
                (Items::Int64(values), _, Some(weight)) if self.kind() == ItemKind::Int64 && row < values.len() => {
                    self.update_i64(values[row], weight);
                }
                (_, Some(bytes), Some(weight)) if self.kind() != ItemKind::Int64 => self.update(bytes, weight),
                _ => self.skip(1),
            }
        }
    }

    /// Notes rows that are not counted: NULL items, NULL or negative weights.
    pub fn skip(&mut self, rows: u64) {
        self.inner.skip(rows);
    }

    /// Adds another sketch's rows to this one's. Any two of one kind, measure and seed merge; the smaller capacity wins.
    ///
    /// # Errors
    ///
    /// When kind, measure or seed differ; nothing has changed then.
    pub fn merge(&mut self, other: &TopK) -> Result<(), Error> {
        if self.seed != other.seed {
            return Err(Error::MixedSeeds);
        }
        self.inner.merge(&other.inner)
    }

    /// The leading `k` items.
    ///
    /// # Errors
    ///
    /// When `k` is 0 or above the capacity.
    pub fn answer(&self, k: usize) -> Result<Answer, Error> {
        self.inner.answer(k)
    }

    /// The items above the share `phi` of the total, certain and possible.
    ///
    /// # Errors
    ///
    /// When `phi` is not between 0 and 1.
    pub fn heavy_hitters(&self, phi: f64) -> Result<Answer, Error> {
        self.inner.heavy_hitters(phi)
    }

    /// The bounds of any item, tracked or not.
    pub fn estimate(&self, item: &[u8]) -> Estimate {
        self.inner.estimate(item)
    }

    /// The bounds of any integer, tracked or not.
    pub fn estimate_i64(&self, item: i64) -> Estimate {
        self.inner.estimate_i64(item)
    }

    /// The sketch's bytes, lossless and canonical.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.inner.to_bytes()
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
        Ok(TopK { inner: SpaceSaving::from_bytes(bytes)?, seed })
    }

    /// The compact form: trimmed to what an answer of `k` needs, readable and mergeable like the lossless one.
    pub fn to_compact_bytes(&self, k: usize) -> Vec<u8> {
        let mut trimmed = self.inner.clone();
        if let Ok(empty) = SpaceSaving::new(self.kind(), self.measure(), k.clamp(1, self.capacity())) {
            if trimmed.merge(&empty).is_ok() {
                return trimmed.to_bytes();
            }
        }
        trimmed.to_bytes()
    }

    /// How many items are tracked at most.
    pub fn capacity(&self) -> usize {
        self.inner.capacity()
    }

    /// The weight of all rows counted.
    pub fn total(&self) -> u128 {
        self.inner.total()
    }

    /// Rows that were not counted.
    pub fn skipped(&self) -> u64 {
        self.inner.skipped()
    }

    /// Whether nothing was ever evicted: then every count is the true one.
    pub fn is_exact(&self) -> bool {
        self.inner.is_exact()
    }

    /// The kind of items.
    pub fn kind(&self) -> ItemKind {
        self.inner.kind()
    }

    /// What is added up.
    pub fn measure(&self) -> Measure {
        self.inner.measure()
    }

    /// Whether no row was ever seen.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Heap bytes held; cheap to call.
    pub fn size_bytes(&self) -> usize {
        self.inner.size_bytes()
    }
}
