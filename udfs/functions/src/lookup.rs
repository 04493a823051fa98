//! The item that an estimate is asked for, as the sketch knows its items.
//!
//! A sketch remembers whether it counted text, bytes or integers, a query may ask in another type: the same text finds the
//! same item. An integer is asked of a text sketch by its decimal digits; of an integer sketch, text is read as a number,
//! and what is no number is an error rather than a count of zero.

use hitters_sketch::ItemKind;

use crate::argument;
use crate::scalar::Arguments;

/// An item to look up.
pub(crate) enum Key<'a> {
    /// In a sketch of text or bytes.
    Bytes(&'a [u8]),
    /// The decimal digits of an integer, in a sketch of text or bytes.
    Digits(String),
    /// In a sketch of integers.
    Integer(i64),
}

/// The item in an argument, for a sketch of this kind.
pub(crate) fn key(arguments: &Arguments, argument: usize, row: usize, sketch: ItemKind) -> Result<Key<'_>, String> {
    let integer = argument::item_kind(arguments.data_type(argument)) == ItemKind::Int64;
    match (sketch, integer) {
        (ItemKind::Int64, true) => Ok(Key::Integer(arguments.integer(argument, row))),
        (_, true) => Ok(Key::Digits(arguments.integer(argument, row).to_string())),
        (ItemKind::Int64, false) => {
            let text = String::from_utf8_lossy(arguments.bytes(argument, row));
            match text.parse() {
                Ok(number) => Ok(Key::Integer(number)),
                Err(_) => Err(format!(
                    "the sketch counts integers, and {text:?} is none (ask for a BIGINT)"
                )),
            }
        }
        (_, false) => Ok(Key::Bytes(arguments.bytes(argument, row))),
    }
}
