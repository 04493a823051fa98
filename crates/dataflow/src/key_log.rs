//! The keys of groups in the order of their numbers, beside the hash table that finds them.
//!
//! DataFusion's `GroupValues` gives its keys away or not at all, and putting them back costs a hash of each: for a million
//! groups that is a pause of a tenth of a second at every checkpoint. A log of the keys, kept only by runs that take
//! checkpoints, can be copied by reference. It costs the memory of the keys a second time.

use crate::Error;
use crate::batch::compact;
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{concat, take};

/// Keys by group number, in chunks that never change.
#[derive(Clone, Debug, Default)]
pub struct KeyLog {
    chunks: Vec<Vec<ArrayRef>>,
    groups: usize,
}

impl KeyLog {
    /// Adds the keys of groups that came with these rows: of the `groups` that there are now, those that were not there
    /// before. Each of them is in `ids`, in whatever order numbers were given.
    pub fn add(&mut self, keys: &[ArrayRef], ids: &[usize], groups: usize) -> Result<(), Error> {
        if groups <= self.groups {
            return Ok(());
        }
        const UNSEEN: u32 = u32::MAX;
        let mut rows = vec![UNSEEN; groups - self.groups];
        for (row, id) in ids.iter().enumerate().rev() {
            if let Some(place) = id.checked_sub(self.groups).and_then(|new| rows.get_mut(new)) {
                *place = row as u32;
            }
        }
        if rows.contains(&UNSEEN) {
            return Err(Error::State("a group was made without a row".into()));
        }
        self.groups = groups;
        let rows = UInt32Array::from(rows);
        let chunk = keys.iter().map(|key| Ok(compact(&take(key, &rows, None)?)));
        self.chunks.push(chunk.collect::<Result<_, Error>>()?);
        // Chunks double in size from the last to the first, so that there are few and each key is copied seldom.
        while let [.., before, last] = self.chunks.as_slice() {
            if length(before) > 2 * length(last) {
                break;
            }
            let merged = both(before, last)?;
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(merged);
        }
        Ok(())
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The key columns of all groups; `None` if there are no groups.
    pub fn columns(mut self) -> Result<Option<Vec<ArrayRef>>, Error> {
        while let [.., before, last] = self.chunks.as_slice() {
            let merged = both(before, last)?;
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(merged);
        }
        Ok(self.chunks.pop())
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.chunks
            .iter()
            .flatten()
            .map(|column| column.get_array_memory_size())
            .sum()
    }
}

fn length(chunk: &[ArrayRef]) -> usize {
    chunk.first().map_or(0, |column| column.len())
}

fn both(before: &[ArrayRef], last: &[ArrayRef]) -> Result<Vec<ArrayRef>, Error> {
    before
        .iter()
        .zip(last)
        .map(|(before, last)| Ok(compact(&concat(&[before.as_ref(), last.as_ref()])?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray, Int64Array, StringViewArray};
    use std::sync::Arc;

    #[test]
    fn keys_come_back_in_the_order_of_their_numbers() {
        let mut log = KeyLog::default();
        let mut expected = Vec::new();
        for batch in 0..200usize {
            // Every batch has old keys, and from none to a few new ones.
            let new: Vec<usize> = (expected.len()..expected.len() + batch % 4).collect();
            let ids: Vec<usize> = new
                .iter()
                .copied()
                .chain(0..expected.len().min(3))
                .chain(new.iter().copied())
                .collect();
            let text = |id: &usize| format!("the key of group number {id}");
            let keys: StringViewArray = ids.iter().map(|id| Some(text(id))).collect();
            let numbers: Int64Array = ids.iter().map(|id| *id as i64).collect();
            let before = expected.len();
            expected.extend(new.iter().map(text));
            // Numbers of one batch may come in any order.
            let mut order: Vec<u32> = (0..ids.len() as u32).collect();
            order.rotate_left(batch % ids.len().max(1));
            let order = UInt32Array::from(order);
            let keys = take(&keys, &order, None).unwrap();
            let numbers = take(&numbers, &order, None).unwrap();
            let ids: Vec<usize> = order.values().iter().map(|row| ids[*row as usize]).collect();
            log.add(&[keys, numbers], &ids, expected.len()).unwrap();
            assert_eq!(log.groups, before + new.len());
        }
        assert!(
            log.chunks.len() < 12,
            "{} chunks of {} groups",
            log.chunks.len(),
            log.groups
        );
        let columns = log.clone().columns().unwrap().unwrap();
        let keys: Vec<&str> = columns[0].as_string_view().iter().flatten().collect();
        assert_eq!(keys, expected);
        assert_eq!(columns[1].len(), expected.len());
        log.clear();
        assert!(log.columns().unwrap().is_none());
    }

    #[test]
    fn a_few_keys_of_a_large_batch_hold_little_memory() {
        let keys: StringViewArray = (0..10_000)
            .map(|id| Some(format!("the key of group number {id}")))
            .collect();
        let mut log = KeyLog::default();
        let mut ids = vec![0; 10_000];
        ids[7] = 1;
        log.add(&[Arc::new(keys)], &ids, 2).unwrap();
        assert!(log.size() < 1000, "{} bytes", log.size());
    }
}
