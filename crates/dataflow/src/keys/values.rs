//! Keys that have left their table, on their way to become columns, which can wait for who has the time.

use super::encoded::converter;
use super::shared::joined;
use super::text::Texts;
use crate::Error;
use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use std::sync::Arc;

/// The keys of groups, in their order.
pub struct KeyColumns(pub(super) Vec<Values>);

/// A column of keys.
pub enum Values {
    /// Of a fixed width. Booleans are bytes.
    Fixed {
        data_type: DataType,
        len: usize,
        values: Vec<Buffer>,
        nulls: Option<NullBuffer>,
    },
    Text(Texts),
    /// The type, and its bytes as arrow-row has them.
    Encoded(DataType, Texts),
}

impl KeyColumns {
    /// As columns of their types.
    pub fn arrays(self) -> Result<Vec<ArrayRef>, Error> {
        self.0.into_iter().map(Values::array).collect()
    }
}

impl Values {
    fn array(self) -> Result<ArrayRef, Error> {
        match self {
            Self::Fixed {
                data_type: DataType::Boolean,
                len,
                values,
                nulls,
            } => {
                let values = joined(values);
                let values = BooleanBuffer::collect_bool(len, |at| values[at] != 0);
                Ok(Arc::new(BooleanArray::new(values, nulls)))
            }
            Self::Fixed {
                data_type,
                len,
                values,
                nulls,
            } => {
                let data = ArrayData::builder(data_type)
                    .len(len)
                    .add_buffer(joined(values))
                    .nulls(nulls);
                Ok(make_array(data.build()?))
            }
            Self::Text(texts) => texts.array(),
            Self::Encoded(data_type, bytes) => {
                let converter = converter(&data_type)?;
                let bytes = cast(&bytes.array()?, &DataType::Binary)?;
                let rows = converter.from_binary(bytes.as_binary::<i32>().clone());
                let mut columns = converter.convert_rows(&rows)?;
                let column = columns.pop();
                let column = column.ok_or_else(|| Error::State(format!("no keys of {data_type} came back")))?;
                // Dictionaries come back as what they stand for.
                Ok(match column.data_type() == &data_type {
                    true => column,
                    false => cast(&column, &data_type)?,
                })
            }
        }
    }
}

/// Takes a vector out, in no more memory than it needs.
pub fn shrunk<T>(values: &mut Vec<T>) -> Vec<T> {
    let mut values = std::mem::take(values);
    values.shrink_to_fit();
    values
}
