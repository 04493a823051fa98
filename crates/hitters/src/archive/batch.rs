//! Rows on their way: read from records, checked, each once.

use super::arguments::BadRows;
use hitters_connectors::Record;
use hitters_results::Row;
use hitters_sketch::TopK;
use std::collections::{BTreeMap, HashMap};

/// Rows and bytes that are written at once.
const ROWS: usize = 512;
const BYTES: usize = 8 << 20;
/// Times beyond these, in ms, are none of a window.
const LAST: i64 = 1 << 52;

/// Rows that are not written yet. Bounded: it is full before the next records are read.
#[derive(Debug, Default)]
pub struct Batch {
    /// Keep the compact form of sketches, for answers of so many items.
    compact: Option<usize>,
    rows: Vec<Row>,
    /// Places by what a row is about: the later row stands in for an earlier one.
    places: HashMap<Key, usize>,
    bytes: usize,
    /// Of partitions whose beginning is gone: the end of the window that their first row is about. Windows up to there may lack rows.
    cut: BTreeMap<i32, Option<i64>>,
    /// Records that were no rows.
    pub skipped: u64,
    /// Rows that stood in the batch already.
    pub repeated: u64,
}

/// Pipeline, version, set, group, start, end.
type Key = (String, u64, String, String, i64, i64);

impl Batch {
    pub fn new(compact: Option<usize>) -> Self {
        Self {
            compact,
            ..Self::default()
        }
    }

    /// These partitions are read from the middle.
    pub fn cut(&mut self, partitions: impl IntoIterator<Item = i32>) {
        self.cut
            .extend(partitions.into_iter().map(|partition| (partition, None)));
    }

    /// Takes a record.
    ///
    /// # Errors
    /// If it is no row, and those are an error.
    pub fn take(&mut self, record: Record<'_>, topic: &str, bad: BadRows) -> Result<(), String> {
        // A tombstone of a compacted topic: nothing, and nothing wrong.
        let Some(value) = record.value else { return Ok(()) };
        let row = match read(value, self.compact) {
            Ok(row) => row,
            Err(reason) if bad == BadRows::Fail => {
                return Err(format!(
                    "offset {} of partition {} of topic '{topic}' is no row of answers: {reason}; leave such records out with \
                     --bad-rows skip",
                    record.offset, record.partition
                ));
            }
            Err(_) => {
                self.skipped += 1;
                return Ok(());
            }
        };
        if let Some(first @ None) = self.cut.get_mut(&record.partition) {
            *first = Some(row.end);
        }
        self.bytes += value.len();
        let key = (
            row.pipeline.clone(),
            row.version,
            row.set.clone(),
            row.group.clone(),
            row.start,
            row.end,
        );
        match self.places.get(&key) {
            Some(place) => {
                self.rows[*place] = row;
                self.repeated += 1;
            }
            None => {
                self.places.insert(key, self.rows.len());
                self.rows.push(row);
            }
        }
        Ok(())
    }

    /// Whether it has to be written before more is read.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= ROWS || self.bytes >= BYTES
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Windows that end by this may lack rows; the end of time while that is not known yet.
    pub fn partial_until(&self) -> Option<i64> {
        self.cut.values().map(|end| end.unwrap_or(i64::MAX)).max()
    }

    /// Whether some partition that is read from the middle has not said where that is.
    pub fn waits(&self) -> bool {
        self.cut.values().any(Option::is_none)
    }

    /// A partition that has nothing to say leaves nothing out.
    pub fn wait_no_more(&mut self) {
        self.cut.retain(|_, end| end.is_some());
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// They are written.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.places.clear();
        self.bytes = 0;
    }
}

fn read(value: &[u8], compact: Option<usize>) -> Result<Row, String> {
    let mut row = Row::parse(value).map_err(|error| error.to_string())?;
    if row.end <= row.start || row.start < -LAST || row.end > LAST {
        return Err(format!("its window is from {} to {}", row.start, row.end));
    }
    if row.pipeline.is_empty() || row.set.is_empty() || row.group.is_empty() {
        return Err("its pipeline, set or group is empty".into());
    }
    if let Some(bytes) = &mut row.sketch {
        // It would break the roll-up, and each question that reads it.
        let sketch = TopK::from_bytes(bytes).map_err(|error| format!("its sketch cannot be read: {error}"))?;
        if let Some(k) = compact {
            *bytes = sketch.to_compact_bytes(k);
        }
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, value: &str) -> Record<'_> {
        Record {
            partition,
            offset: 7,
            value: Some(value.as_bytes()),
        }
    }

    fn row(group: &str, start: i64) -> String {
        format!(
            r#"{{"pipeline":"p","version":1,"set":"g","group_key":"g={group}","window_start":{start},"window_end":{}}}"#,
            start + 60_000
        )
    }

    #[test]
    fn a_row_that_comes_again_stands_there_once() {
        let mut batch = Batch::default();
        for text in [row("a", 0), row("b", 0), row("a", 0)] {
            batch.take(record(0, &text), "t", BadRows::Fail).unwrap();
        }
        assert_eq!((batch.rows().len(), batch.repeated), (2, 1));
        batch.clear();
        assert!(batch.is_empty());
    }

    #[test]
    fn what_is_no_row_fails_with_its_place_or_is_counted() {
        let turned = row("a", 0).replace("60000", "-1");
        let sketch = row("a", 0).replace("\"window_end\"", "\"sketch\":\"AQID\",\"window_end\"");
        for wrong in ["", "{}", "[1]", &turned, &sketch] {
            let mut batch = Batch::default();
            let error = batch.take(record(3, wrong), "t", BadRows::Fail).unwrap_err();
            assert!(error.contains("offset 7 of partition 3 of topic 't'"), "{error}");
            batch.take(record(3, wrong), "t", BadRows::Skip).unwrap();
            assert_eq!((batch.rows().len(), batch.skipped), (0, 1));
        }
    }

    #[test]
    fn windows_at_the_cut_of_a_partition_may_lack_rows() {
        let mut batch = Batch::default();
        assert_eq!(batch.partial_until(), None);
        batch.cut([1, 2]);
        batch.take(record(0, &row("a", 0)), "t", BadRows::Fail).unwrap();
        assert!(batch.waits() && batch.partial_until() == Some(i64::MAX));
        batch.take(record(1, &row("a", 60_000)), "t", BadRows::Fail).unwrap();
        batch.take(record(1, &row("a", 120_000)), "t", BadRows::Fail).unwrap();
        batch.wait_no_more();
        assert_eq!(batch.partial_until(), Some(120_000));
    }
}
