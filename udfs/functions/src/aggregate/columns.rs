//! The columns of one batch as a sketch takes them: plain slices, without a copy where Arrow's layout allows it.
//!
//! Invariant: [`Columns::items`] is an array of text, bytes or BIGINT; weights, where the function has them, are BIGINT,
//! with NULL where a `UInt64` did not fit.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::{Result, internal_err};
use hitters_sketch::Items;

use crate::argument;

/// Items, or sketches, and perhaps weights.
#[derive(Debug)]
pub(crate) struct Columns {
    items: ArrayRef,
    weights: Option<Int64Array>,
}

/// The same as slices, for the time of one batch.
pub(crate) struct Batch<'a> {
    /// A row each.
    pub items: Items<'a>,
    /// A weight each, where the function adds weights.
    pub weights: Option<&'a [i64]>,
}

impl Columns {
    /// Takes the arrays of a call. Types that the planner should have coerced are cast, so that an engine without
    /// DataFusion's analyzer counts the same.
    pub fn new(function: &str, items: &ArrayRef, weights: Option<&ArrayRef>) -> Result<Self> {
        let wanted = argument::item(function, items.data_type())?;
        let items = if *items.data_type() == wanted {
            items.clone()
        } else {
            cast(items, &wanted)?
        };
        let weights = weights.map(|weights| Self::weights(function, weights)).transpose()?;
        Ok(Self { items, weights })
    }

    fn weights(function: &str, weights: &ArrayRef) -> Result<Int64Array> {
        argument::weight(function, weights.data_type())?;
        if *weights.data_type() == DataType::Int64 {
            return Ok(weights.as_primitive::<Int64Type>().clone());
        }
        // Without `safe: false`, a number that does not fit becomes NULL, and the row is skipped as one.
        Ok(cast(weights, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Rows with a NULL in the item or in the weight.
    pub fn nulls(&self) -> Option<NullBuffer> {
        let weights = self.weights.as_ref().and_then(|weights| weights.nulls());
        NullBuffer::union(self.items.logical_nulls().as_ref(), weights).filter(|nulls| nulls.null_count() > 0)
    }

    /// The buffers that long views point into; [`Columns::batch`] borrows them.
    pub fn buffers(&self) -> Vec<&[u8]> {
        match self.items.data_type() {
            DataType::Utf8View => self
                .items
                .as_string_view()
                .data_buffers()
                .iter()
                .map(|b| b.as_slice())
                .collect(),
            DataType::BinaryView => self
                .items
                .as_binary_view()
                .data_buffers()
                .iter()
                .map(|b| b.as_slice())
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The slices.
    pub fn batch<'a>(&'a self, buffers: &'a [&'a [u8]]) -> Result<Batch<'a>> {
        let items = match self.items.data_type() {
            DataType::Int64 => Items::Int64(self.items.as_primitive::<Int64Type>().values()),
            DataType::Utf8 => {
                let array = self.items.as_string::<i32>();
                Items::Offsets {
                    offsets: array.value_offsets(),
                    bytes: array.value_data(),
                }
            }
            DataType::Binary => {
                let array = self.items.as_binary::<i32>();
                Items::Offsets {
                    offsets: array.value_offsets(),
                    bytes: array.value_data(),
                }
            }
            DataType::LargeUtf8 => {
                let array = self.items.as_string::<i64>();
                Items::LargeOffsets {
                    offsets: array.value_offsets(),
                    bytes: array.value_data(),
                }
            }
            DataType::LargeBinary => {
                let array = self.items.as_binary::<i64>();
                Items::LargeOffsets {
                    offsets: array.value_offsets(),
                    bytes: array.value_data(),
                }
            }
            DataType::Utf8View => Items::Views {
                views: self.items.as_string_view().views(),
                buffers,
            },
            DataType::BinaryView => Items::Views {
                views: self.items.as_binary_view().views(),
                buffers,
            },
            other => return internal_err!("a column of {other} came where text, bytes or BIGINT was promised"),
        };
        Ok(Batch {
            items,
            weights: self.weights.as_ref().map(|weights| weights.values().as_ref()),
        })
    }
}
