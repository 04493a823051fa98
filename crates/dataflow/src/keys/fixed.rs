//! Keys of a fixed width: numbers, times, booleans. What they mean plays no part, only their bits.

use super::NULL;
use super::shared::Shared;
use super::values::{Values, shrunk};
use crate::Error;
use arrow::array::{Array, ArrayRef, AsArray, NullBufferBuilder};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};
use datafusion_common::utils::normalize_float_zero;
use foldhash::fast::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};

/// A column of keys.
pub struct Fixed<T: ArrowNativeType> {
    data_type: DataType,
    /// By group; the default where it is NULL.
    values: Vec<T>,
    shared: Shared,
    nulls: NullBufferBuilder,
    batch: ScalarBuffer<T>,
    batch_nulls: Option<NullBuffer>,
    /// Whether a group or a row of the batch is NULL.
    any_null: bool,
}

impl<T: ArrowNativeType + From<bool> + Eq + Hash> Fixed<T> {
    /// No groups. Values of the type must be as wide as `T`, or booleans.
    pub fn new(data_type: &DataType) -> Self {
        Self {
            data_type: data_type.clone(),
            values: Vec::new(),
            shared: Shared::default(),
            nulls: NullBufferBuilder::new(0),
            batch: ScalarBuffer::default(),
            batch_nulls: None,
            any_null: false,
        }
    }

    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Takes a batch of this type.
    pub fn load(&mut self, keys: &ArrayRef) -> Result<(), Error> {
        self.batch = match keys.as_boolean_opt() {
            Some(keys) => keys.values().iter().map(T::from).collect(),
            None => {
                let data = normalize_float_zero(keys).to_data();
                let [values] = data.buffers() else {
                    return Err(Error::State(format!("keys of {} are not of one width", self.data_type)));
                };
                ScalarBuffer::new(values.clone(), data.offset(), data.len())
            }
        };
        self.batch_nulls = keys.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        self.any_null = self.batch_nulls.is_some() || self.nulls.as_slice().is_some();
        Ok(())
    }

    /// Lets go of the batch, whose new groups are there to stay.
    pub fn unload(&mut self) {
        self.shared.follow(&self.values);
        (self.batch, self.batch_nulls) = (ScalarBuffer::default(), None);
    }

    pub fn hash(&self, seed: &RandomState, hashes: &mut [u64]) {
        let mix = |hash: &mut u64, value: T| {
            let mut hasher = seed.build_hasher();
            hasher.write_u64(*hash);
            value.hash(&mut hasher);
            *hash = hasher.finish();
        };
        match &self.batch_nulls {
            None => hashes.iter_mut().zip(self.batch.iter()).for_each(|(h, v)| mix(h, *v)),
            Some(nulls) => {
                for ((hash, value), valid) in hashes.iter_mut().zip(self.batch.iter()).zip(nulls) {
                    *hash ^= if valid { 0 } else { NULL };
                    mix(hash, if valid { *value } else { T::default() });
                }
            }
        }
    }

    pub fn append(&mut self, rows: &[u32]) {
        if self.batch_nulls.is_none() {
            self.nulls.append_n_non_nulls(rows.len());
            self.values.extend(rows.iter().map(|row| self.batch[*row as usize]));
            return;
        }
        for row in rows.iter().map(|row| *row as usize) {
            let null = self.is_null(row);
            self.nulls.append(!null);
            self.values.push(if null { T::default() } else { self.batch[row] });
        }
    }

    pub fn truncate(&mut self, groups: usize) {
        self.values.truncate(groups);
        self.nulls.truncate(groups);
    }

    pub fn same(&self, groups: &[usize]) -> bool {
        if self.any_null {
            let mut rows = groups.iter().enumerate();
            return rows.all(|(row, group)| self.equal(*group, row));
        }
        let rows = groups.iter().zip(self.batch.iter());
        rows.fold(true, |same, (group, value)| same & (self.values[*group] == *value))
    }

    pub fn equal(&self, group: usize, row: usize) -> bool {
        let (of_group, of_row) = (!self.nulls.is_valid(group), self.is_null(row));
        of_group == of_row && (of_row || self.values[group] == self.batch[row])
    }

    pub fn take(&mut self) -> Values {
        let (values, nulls) = (shrunk(&mut self.values), self.nulls.finish());
        self.shared = Shared::default();
        self.values_of(values.len(), vec![Buffer::from_vec(values)], nulls)
    }

    pub fn copy(&mut self) -> Values {
        let values = self.shared.copy(&self.values);
        self.values_of(self.values.len(), values, self.nulls.finish_cloned())
    }

    pub fn size(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.shared.size() + self.nulls.allocated_size()
    }

    fn values_of(&self, len: usize, values: Vec<Buffer>, nulls: Option<NullBuffer>) -> Values {
        Values::Fixed {
            data_type: self.data_type.clone(),
            len,
            values,
            nulls,
        }
    }

    #[inline]
    fn is_null(&self, row: usize) -> bool {
        self.batch_nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}
