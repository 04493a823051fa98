//! JSON: messages to Arrow columns and rows to JSON objects.

mod column;
mod decode;
mod encode;
mod scan;
mod shape;
mod time;

pub(crate) use column::decodable;
pub(crate) use decode::JsonDecoder;
pub(crate) use encode::{Decimals, JsonEncoder, Timestamps};

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
