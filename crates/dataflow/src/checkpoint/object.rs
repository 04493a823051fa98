//! The bytes of an object of state: entries of rows, each with the node it belongs to and what it is to that node.
//!
//! ```text
//! "HhC\x01"                                  magic and version
//! entry*: u8 kind | u32 node | i64 first | i64 second | u64 length | length bytes: one Arrow IPC stream
//! ```
//!
//! Integers are little-endian. Which kinds there are says [`Kind`]; `first` and `second` are the tag of the rows
//! ([`Saved`](crate::operator::Saved)). Objects are read only after their checksum was compared; lengths are checked all the same.

use crate::Error;
use crate::batch::{read_rows, write_rows};
use arrow::array::RecordBatch;

const MAGIC: [u8; 4] = *b"HhC\x01";
/// Bytes of an entry before its rows.
const HEAD: usize = 1 + 4 + 8 + 8 + 8;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An open pane of the workers; tag: pane and slot.
    Open,
    /// A closed pane, or sessions, in the final half of a window; tag: the window's own.
    Merge,
    /// Rows that wait in an operator; tag: the operator's own.
    Operator,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Merge => 1,
            Self::Operator => 2,
        }
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Open, Self::Merge, Self::Operator]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

/// Rows with what they are.
#[derive(Debug)]
pub struct Entry {
    /// What they are.
    pub kind: Kind,
    /// The node of the plan, as numbered in the manifest.
    pub node: u32,
    /// The tag.
    pub tag: (i64, i64),
    /// The rows.
    pub rows: RecordBatch,
}

/// An object being put together.
#[derive(Debug)]
pub struct Object(Vec<u8>);

impl Default for Object {
    fn default() -> Self {
        Self(MAGIC.to_vec())
    }
}

impl Object {
    /// Adds an entry.
    pub fn push(&mut self, kind: Kind, node: u32, tag: (i64, i64), rows: &RecordBatch) -> Result<(), Error> {
        let bytes = &mut self.0;
        bytes.push(kind.number());
        bytes.extend(node.to_le_bytes());
        bytes.extend(tag.0.to_le_bytes());
        bytes.extend(tag.1.to_le_bytes());
        let length_at = bytes.len();
        bytes.extend(0u64.to_le_bytes());
        let begin = bytes.len();
        write_rows(rows, bytes)?;
        let length = (bytes.len() - begin) as u64;
        bytes[length_at..begin].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if it has no entries.
    pub fn is_empty(&self) -> bool {
        self.0.len() == MAGIC.len()
    }

    /// All bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The entries of an object.
pub fn read(bytes: &[u8]) -> Result<Vec<Entry>, Error> {
    let broken = |what: &str| Error::Checkpoint(format!("an object of state is broken: {what}"));
    let mut rest = bytes
        .strip_prefix(&MAGIC)
        .ok_or_else(|| broken("it does not begin as version 1 does"))?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (head, behind) = rest.split_at_checked(HEAD).ok_or_else(|| broken("it is cut"))?;
        let kind = Kind::of(head[0]).ok_or_else(|| broken("an entry is of an unknown kind"))?;
        let node = u32::from_le_bytes(array(&head[1..5]));
        let tag = (
            i64::from_le_bytes(array(&head[5..13])),
            i64::from_le_bytes(array(&head[13..21])),
        );
        let length = usize::try_from(u64::from_le_bytes(array(&head[21..HEAD]))).unwrap_or(usize::MAX);
        let (stream, behind) = behind.split_at_checked(length).ok_or_else(|| broken("it is cut"))?;
        rest = behind;
        let rows = read_rows(stream)?;
        entries.push(Entry { kind, node, tag, rows });
    }
    Ok(entries)
}

/// The bytes of a slice that is as long as the array: callers cut them so.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringViewArray};
    use std::sync::Arc;

    fn rows() -> RecordBatch {
        let text: StringViewArray = [Some("a"), None, Some("longer than twelve bytes")]
            .into_iter()
            .collect();
        let numbers: Int64Array = [1, 2, 3].into_iter().collect();
        RecordBatch::try_from_iter_with_nullable([
            ("text", Arc::new(text) as ArrayRef, true),
            ("number", Arc::new(numbers) as ArrayRef, true),
        ])
        .unwrap()
    }

    #[test]
    fn entries_come_back_as_they_were() {
        let mut object = Object::default();
        assert!(object.is_empty());
        object.push(Kind::Open, 3, (i64::MIN, 7), &rows()).unwrap();
        object.push(Kind::Merge, 9, (1, -1), &rows().slice(0, 0)).unwrap();
        let entries = read(&object.into_bytes()).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(
            (entries[0].kind, entries[0].node, entries[0].tag),
            (Kind::Open, 3, (i64::MIN, 7))
        );
        assert_eq!(entries[0].rows, rows());
        assert_eq!(
            (entries[1].kind, entries[1].tag, entries[1].rows.num_rows()),
            (Kind::Merge, (1, -1), 0)
        );
        assert_eq!(entries[1].rows.schema(), rows().schema());
    }

    #[test]
    fn a_slice_of_a_large_batch_is_small() {
        let text: StringViewArray = (0..10_000)
            .map(|i| Some(format!("a text of some length {i}")))
            .collect();
        let large = RecordBatch::try_from_iter([("text", Arc::new(text) as ArrayRef)]).unwrap();
        let mut object = Object::default();
        object.push(Kind::Open, 0, (0, 0), &large.slice(5000, 1)).unwrap();
        assert!(object.len() < 2000, "{} bytes", object.len());
    }

    #[test]
    fn cut_and_changed_objects_are_errors() {
        let mut object = Object::default();
        object.push(Kind::Open, 3, (1, 2), &rows()).unwrap();
        let bytes = object.into_bytes();
        for cut in 0..bytes.len() {
            // Nothing but the head of the object is a whole object.
            assert_eq!(read(&bytes[..cut]).is_ok(), cut == MAGIC.len(), "cut at {cut}");
        }
        let mut other = bytes.clone();
        other[3] = 2;
        assert!(read(&other).unwrap_err().to_string().contains("version 1"));
        let mut kind = bytes;
        kind[4] = 77;
        assert!(read(&kind).is_err());
    }
}
