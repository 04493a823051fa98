//! Rows that wait for their checkpoint, in the bytes in which checkpoints keep them.
//!
//! A sink that publishes exactly once adds rows here as they come. At a barrier all of them are given to the checkpoint; when
//! it is durable they are published and dropped. A checkpoint that fails leaves them where they are, and the next one takes
//! them along. Memory: the bytes below, so as much as comes between two checkpoints; [`Held::size`] counts them.
//!
//! ```text
//! offset 0   u8    version: 1
//!        1   u64   rows
//!        9         rows, one after the other, to the end of the bytes:
//!                  u8    flags: bit 0 a key follows, bit 1 a time follows
//!                  u32   length of the key       if bit 0
//!                  ...   the key                 if bit 0
//!                  i64   milliseconds since 1970 if bit 1
//!                  u32   length of the payload
//!                  ...   the payload
//! ```
//!
//! Integers are little-endian. Every length is checked against what is left; nothing is allocated by a length that was read.

const VERSION: u8 = 1;
const HEADER: usize = 9;
/// Memory that is kept for the rows of the next checkpoint, at least.
const SPARE: usize = 1 << 20;
const KEY: u8 = 1;
const TIME: u8 = 2;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    /// Of the message, or of the Redis list.
    pub key: Option<&'a [u8]>,
    /// Milliseconds since the epoch.
    pub time: Option<i64>,
    /// The encoded row.
    pub payload: &'a [u8],
}

/// Rows since the last commit.
#[derive(Default)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    rows: u64,
    /// Bytes and rows that the last barrier gave to a checkpoint.
    prepared: (usize, u64),
}

impl Held {
    /// Adds a row.
    ///
    /// # Errors
    ///
    /// If a key or payload has 4 GiB or more.
    pub(crate) fn push(&mut self, row: Row<'_>) -> Result<(), String> {
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len()).map_err(|_| format!("a row of {} bytes is too long to be held", bytes.len()))
        };
        let payload = length(row.payload)?;
        let key = row.key.map(|key| Ok::<_, String>((length(key)?, key))).transpose()?;
        let flags = key.map_or(0, |_| KEY) | row.time.map_or(0, |_| TIME);
        self.bytes.push(flags);
        if let Some((length, key)) = key {
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(key);
        }
        if let Some(time) = row.time {
            self.bytes.extend_from_slice(&time.to_le_bytes());
        }
        self.bytes.extend_from_slice(&payload.to_le_bytes());
        self.bytes.extend_from_slice(row.payload);
        self.rows += 1;
        Ok(())
    }

    /// A barrier: all rows, for the checkpoint.
    pub(crate) fn prepare(&mut self) -> Vec<u8> {
        self.prepared = (self.bytes.len(), self.rows);
        let mut out = Vec::with_capacity(HEADER + self.bytes.len());
        out.push(VERSION);
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.bytes);
        out
    }

    /// The rows that the last barrier gave to a checkpoint.
    pub(crate) fn prepared(&self) -> Rows<'_> {
        Rows {
            bytes: self.bytes.get(..self.prepared.0).unwrap_or_default(),
        }
    }

    /// All rows.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { bytes: &self.bytes }
    }

    /// The rows of the last barrier are published.
    pub(crate) fn commit(&mut self) {
        let (bytes, rows) = std::mem::take(&mut self.prepared);
        self.bytes.drain(..bytes);
        self.rows -= rows;
        // A burst does not count as state for ever.
        self.bytes.shrink_to((2 * bytes).max(SPARE));
    }

    /// All rows are published.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        (self.rows, self.prepared) = (0, (0, 0));
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> u64 {
        self.rows
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity()
    }
}

/// The rows in the bytes of a checkpoint, checked to their end.
///
/// # Errors
///
/// What is wrong with the bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Rows<'_>, String> {
    let wrong = |what: String| format!("the rows held in the checkpoint cannot be read: {what}");
    let (Some(&version), Some(count)) = (bytes.first(), bytes.get(1..HEADER)) else {
        return Err(wrong(format!("{} bytes, the header alone has {HEADER}", bytes.len())));
    };
    if version != VERSION {
        return Err(wrong(format!(
            "they are of version {version}, this program knows version {VERSION}"
        )));
    }
    let count = count.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let rows = Rows {
        bytes: &bytes[HEADER..],
    };
    let (mut read, mut seen) = (rows.clone(), 0_u64);
    loop {
        match read.step() {
            Ok(Some(_)) => seen += 1,
            Ok(None) if seen == count => return Ok(rows),
            Ok(None) => return Err(wrong(format!("they should be {count}, and are {seen}"))),
            Err(what) => {
                let at = bytes.len() - read.bytes.len();
                return Err(wrong(format!("row {seen} near byte {at} of {}: {what}", bytes.len())));
            }
        }
    }
}

/// Goes over rows. Those of [`decode`] and of [`Held`] are whole; elsewhere broken bytes would end it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows<'a> {
    bytes: &'a [u8],
}

impl<'a> Rows<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn step(&mut self) -> Result<Option<Row<'a>>, String> {
        let Some(flags) = self.bytes.first() else {
            return Ok(None);
        };
        if flags & !(KEY | TIME) != 0 {
            return Err(format!("unknown flags {flags:#04x}"));
        }
        let mut rest = &self.bytes[1..];
        let key = if flags & KEY != 0 { Some(text(&mut rest)?) } else { None };
        let time = if flags & TIME != 0 {
            Some(i64::from_le_bytes(array(&mut rest)?))
        } else {
            None
        };
        let payload = text(&mut rest)?;
        self.bytes = rest;
        Ok(Some(Row { key, time, payload }))
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        self.step().ok().flatten()
    }
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (array, after) = rest.split_first_chunk().ok_or("it is cut off")?;
    *rest = after;
    Ok(*array)
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = u32::from_le_bytes(array(rest)?) as usize;
    let (text, after) = rest
        .split_at_checked(length)
        .ok_or_else(|| format!("a length of {length} where {} bytes are left", rest.len()))?;
    *rest = after;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    type Owned = (Option<Vec<u8>>, Option<i64>, Vec<u8>);

    fn row((key, time, payload): &Owned) -> Row<'_> {
        Row {
            key: key.as_deref(),
            time: *time,
            payload,
        }
    }

    fn rows() -> impl Strategy<Value = Vec<Owned>> {
        vec(
            (
                option::of(vec(any::<u8>(), 0..20)),
                any::<Option<i64>>(),
                vec(any::<u8>(), 0..40),
            ),
            0..20,
        )
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(first in rows(), second in rows()) {
            let mut held = Held::default();
            first.iter().for_each(|owned| held.push(row(owned)).unwrap());
            let one = held.prepare();
            // The checkpoint fails: the next one holds its rows too.
            second.iter().for_each(|owned| held.push(row(owned)).unwrap());
            prop_assert_eq!(held.prepared().collect::<Vec<_>>(), first.iter().map(row).collect::<Vec<_>>());
            let two = held.prepare();
            prop_assert_eq!(decode(&one).unwrap().collect::<Vec<_>>(), first.iter().map(row).collect::<Vec<_>>());
            let both: Vec<_> = first.iter().chain(&second).map(row).collect();
            prop_assert_eq!(decode(&two).unwrap().collect::<Vec<_>>(), both);
            held.commit();
            prop_assert_eq!((held.len(), held.rows().count()), (0, 0));
        }

        #[test]
        fn a_commit_leaves_what_came_after_its_barrier(first in rows(), second in rows()) {
            let mut held = Held::default();
            first.iter().for_each(|owned| held.push(row(owned)).unwrap());
            held.prepare();
            second.iter().for_each(|owned| held.push(row(owned)).unwrap());
            held.commit();
            prop_assert_eq!(held.rows().collect::<Vec<_>>(), second.iter().map(row).collect::<Vec<_>>());
            prop_assert!(held.prepared().is_empty());
        }

        #[test]
        fn every_cut_is_an_error_and_hostile_bytes_never_panic(all in rows(), at in any::<prop::sample::Index>(), flip in any::<u8>()) {
            let mut held = Held::default();
            all.iter().for_each(|owned| held.push(row(owned)).unwrap());
            let whole = held.prepare();
            let at = at.index(whole.len());
            prop_assert!(decode(&whole[..at]).is_err(), "cut at {} of {}", at, whole.len());
            let mut hostile = whole;
            hostile[at] ^= flip;
            if let Ok(rows) = decode(&hostile) {
                rows.for_each(drop);
            }
        }
    }

    #[test]
    fn errors_say_what_is_wrong_where() {
        let mut held = Held::default();
        held.push(Row {
            key: None,
            time: None,
            payload: b"abc",
        })
        .unwrap();
        let good = held.prepare();
        // These bytes stand in checkpoints: a change of them needs a new version.
        assert_eq!(good, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, b'a', b'b', b'c']);
        let broken = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            decode(&bytes).unwrap_err()
        };
        assert!(broken(0, 2).contains("version 2"));
        assert!(broken(1, 7).contains("should be 7, and are 1"));
        assert!(broken(9, 0x80).contains("unknown flags 0x80"));
        assert!(broken(13, 0xFF).contains("a length of 4278190083 where 3 bytes are left"));
        assert!(decode(&[]).unwrap_err().contains("0 bytes"));
    }
}
