//! Keys of any other type (lists, structs, dictionaries, intervals), as the bytes that arrow-row makes of them. NULLs are in there.

use super::text::Text;
use super::values::Values;
use crate::Error;
use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use foldhash::fast::RandomState;

/// A column of keys.
pub struct Encoded {
    data_type: DataType,
    converter: RowConverter,
    text: Text,
}

/// What converts keys of a type.
pub fn converter(data_type: &DataType) -> Result<RowConverter, Error> {
    Ok(RowConverter::new(vec![SortField::new(data_type.clone())])?)
}

impl Encoded {
    /// No groups.
    pub fn new(data_type: &DataType) -> Result<Self, Error> {
        Ok(Self {
            data_type: data_type.clone(),
            converter: converter(data_type)?,
            text: Text::new(&DataType::BinaryView),
        })
    }

    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Takes a batch of this type.
    pub fn load(&mut self, keys: &ArrayRef) -> Result<(), Error> {
        let rows = self.converter.convert_columns(std::slice::from_ref(keys))?;
        self.text.load(&cast(&rows.try_into_binary()?, &DataType::BinaryView)?)
    }

    pub fn unload(&mut self) {
        self.text.unload();
    }

    pub fn hash(&self, seed: &RandomState, hashes: &mut [u64]) {
        self.text.hash(seed, hashes);
    }

    pub fn append(&mut self, rows: &[u32]) {
        self.text.append(rows);
    }

    pub fn truncate(&mut self, groups: usize) {
        self.text.truncate(groups);
    }

    pub fn same(&self, groups: &[usize]) -> bool {
        self.text.same(groups)
    }

    pub fn equal(&self, group: usize, row: usize) -> bool {
        self.text.equal(group, row)
    }

    pub fn take(&mut self) -> Values {
        Values::Encoded(self.data_type.clone(), self.text.take_texts())
    }

    pub fn copy(&mut self) -> Values {
        Values::Encoded(self.data_type.clone(), self.text.copy_texts())
    }

    pub fn size(&self) -> usize {
        self.converter.size() + self.text.size()
    }
}
