//! Rows to JSON objects, written as Arroyo writes them: keys in the order of the columns, NULL as `null`, timestamps
//! without a zone (`2023-10-09T17:13:40.200`), BYTEA as base64, NaN and infinities as `null`.
//!
//! A column of type JSON is written as a string, since Arroyo writes it so for every text that a function returned.

use arrow::array::{Array, AsArray, Decimal128Array, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::io::Write;
use std::sync::Arc;

/// `json.timestamp_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Timestamps {
    #[default]
    Rfc3339,
    UnixMillis,
}

/// `json.decimal_encoding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Decimals {
    #[default]
    Number,
    String,
    /// The unscaled integer as 16 bytes, most significant first, in base64.
    Bytes,
}

/// Writes rows.
#[derive(Clone, Debug)]
pub(crate) struct JsonEncoder {
    options: EncoderOptions,
}

impl JsonEncoder {
    pub(crate) fn new(timestamps: Timestamps, decimals: Decimals) -> Self {
        let formats = Formats { timestamps, decimals };
        Self {
            options: EncoderOptions::default()
                .with_explicit_nulls(true)
                .with_encoder_factory(Arc::new(formats)),
        }
    }

    /// Appends each row as one object to `out`, and the length of `out` after each to `ends`.
    pub(crate) fn encode(
        &self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ArrowError> {
        let rows = StructArray::from(batch.clone());
        let field = Arc::new(Field::new_struct("", batch.schema().fields().clone(), false));
        let mut encoder = make_encoder(&field, &rows, &self.options)?;
        for row in 0..rows.len() {
            encoder.encode(row, out);
            ends.push(out.len());
        }
        Ok(())
    }
}

impl Default for JsonEncoder {
    fn default() -> Self {
        Self::new(Timestamps::default(), Decimals::default())
    }
}

#[derive(Debug)]
struct Formats {
    timestamps: Timestamps,
    decimals: Decimals,
}

impl EncoderFactory for Formats {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match (array.data_type(), self.timestamps, self.decimals) {
            (DataType::Timestamp(..) | DataType::Date32 | DataType::Date64, Timestamps::UnixMillis, _) => {
                let millis = cast(array, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
                Box::new(Millis(
                    cast(&millis, &DataType::Int64)?
                        .as_primitive::<Int64Type>()
                        .values()
                        .to_vec(),
                ))
            }
            (DataType::Decimal128(..), _, Decimals::String) => Box::new(DecimalText(array.as_primitive())),
            (DataType::Decimal128(..), _, Decimals::Bytes) => {
                let array: &Decimal128Array = array.as_primitive();
                Box::new(Base64(move |row| array.value(row).to_be_bytes()))
            }
            (DataType::BinaryView, ..) => {
                let array = array.as_binary_view();
                Box::new(Base64(move |row| array.value(row)))
            }
            (DataType::Binary, ..) => {
                let array = array.as_binary::<i32>();
                Box::new(Base64(move |row| array.value(row)))
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Millis(Vec<i64>);

impl Encoder for Millis {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        // Writing to a `Vec` cannot fail.
        let _ = write!(out, "{}", self.0[row]);
    }
}

struct DecimalText<'a>(&'a Decimal128Array);

impl Encoder for DecimalText<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let _ = write!(out, "\"{}\"", self.0.value_as_string(row));
    }
}

struct Base64<F>(F);

impl<F: Fn(usize) -> B, B: AsRef<[u8]>> Encoder for Base64<F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(BASE64_STANDARD.encode((self.0)(row)).as_bytes());
        out.push(b'"');
    }
}
