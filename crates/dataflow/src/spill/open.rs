//! An open pane on disk: its groups in ranges of their keys, and the rows that have come for them since.
//!
//! Rows are not applied when they come: they are collected, sorted by range, and written behind the rows before them. When the
//! pane closes, or a range has more rows than state, the state of that range is read, goes on with its rows in the order in
//! which they came, and is written again. So a group that is met a million times costs its bytes a few times and not a read
//! from disk for each row; looking groups up one by one, which lost, costs that for every row of a group that is not in
//! memory.
//!
//! Bound: some blocks of rows that wait to be written, and one range while its rows are applied. Ranges that outgrow their size
//! are cut.

use super::keys::{Keys, sorted};
use super::partial::Partial;
use super::run::{FrozenLog, Log, Run, RunWriter, joined};
use super::{Life, Spill};
use crate::Error;
use crate::batch::{compact_rows, data_bytes, take_rows};
use crate::groups::{GroupTable, Grouping, Inputs};
use arrow::array::{RecordBatch, UInt32Array};
use std::sync::Arc;

/// Rows are written when they fill so many blocks.
const BLOCKS: usize = 4;

/// The groups of an open pane.
pub struct SpilledPane {
    grouping: Arc<Grouping>,
    spill: Arc<Spill>,
    /// In the order of their keys, without gaps: the first one takes all lower keys too.
    ranges: Vec<Range>,
    /// Rows that are not written yet, behind all that are.
    waiting: Vec<RecordBatch>,
    waiting_bytes: usize,
}

/// The groups from a key on.
struct Range {
    from: Box<[u8]>,
    state: Option<Arc<Run>>,
    /// Rows that came since that state.
    log: Option<Log>,
}

impl Range {
    fn of(run: &Arc<Run>) -> Self {
        Self {
            from: run.first().into(),
            state: Some(run.clone()),
            log: None,
        }
    }
}

/// Writes the states of an open pane that was saved, without a look at its groups.
pub fn store(spill: &Arc<Spill>, grouping: &Grouping, rows: &RecordBatch) -> Result<Partial, Error> {
    let mut partial = Partial::default();
    for range in cut(spill, grouping, Box::default(), rows)? {
        if let Some(run) = range.state {
            partial.append(run.into());
        }
    }
    Ok(partial)
}

impl SpilledPane {
    /// Writes the groups of a table, which is empty afterwards.
    pub fn new(spill: &Arc<Spill>, grouping: &Arc<Grouping>, table: &mut GroupTable) -> Result<Self, Error> {
        let ranges = cut(spill, grouping, Box::default(), &table.take_partial()?)?;
        Ok(Self {
            grouping: grouping.clone(),
            spill: spill.clone(),
            ranges,
            waiting: Vec::new(),
            waiting_bytes: 0,
        })
    }

    /// The groups of runs, the keys of each behind those of the one before: what [`store`] wrote.
    pub fn of(spill: &Arc<Spill>, grouping: &Arc<Grouping>, runs: &[Arc<Run>]) -> Self {
        let mut ranges: Vec<Range> = runs.iter().map(Range::of).collect();
        if let Some(first) = ranges.first_mut() {
            first.from = Box::default();
        }
        Self {
            grouping: grouping.clone(),
            spill: spill.clone(),
            ranges,
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    /// Takes more such runs, before rows come; false if their keys are not behind all that are there.
    pub fn append(&mut self, runs: &[Arc<Run>]) -> bool {
        let last = self.ranges.last().and_then(|range| range.state.as_ref());
        let behind = matches!((last, runs.first()), (Some(last), Some(first)) if last.is_before(first));
        if behind {
            self.ranges.extend(runs.iter().map(Range::of));
        }
        behind
    }

    /// Takes rows.
    pub fn add(&mut self, inputs: &Inputs) -> Result<(), Error> {
        let rows = compact_rows(&inputs.to_rows()?)?;
        self.waiting_bytes += rows.get_array_memory_size();
        self.waiting.push(rows);
        if self.waiting_bytes >= BLOCKS * self.spill.shares.block {
            self.write()?;
        }
        Ok(())
    }

    /// Adds a partial. Nothing is to wait: this is for state that is read back before rows come.
    pub fn merge(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        self.write()?;
        let parts = split(&self.ranges, rows, self.grouping.key_count())?;
        for (place, rows) in parts.into_iter().rev() {
            let mut table = self.table(place)?;
            table.merge(&rows)?;
            self.replace(place, table)?;
        }
        Ok(())
    }

    /// The states of all groups, on disk.
    pub fn close(mut self) -> Result<Partial, Error> {
        self.write()?;
        for place in (0..self.ranges.len()).rev() {
            self.settle(place)?;
        }
        let mut partial = Partial::default();
        for run in self.ranges.into_iter().filter_map(|range| range.state) {
            partial.append(run.into());
        }
        Ok(partial)
    }

    /// A copy, which shares what is on disk.
    pub fn freeze(&self) -> FrozenPane {
        let range = |range: &Range| FrozenRange {
            from: range.from.clone(),
            state: range.state.clone(),
            log: range.log.as_ref().map(Log::freeze),
        };
        FrozenPane {
            grouping: self.grouping.clone(),
            ranges: self.ranges.iter().map(range).collect(),
            waiting: self.waiting.clone(),
        }
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.waiting_bytes + self.ranges.len() * (size_of::<Range>() + size_of::<Run>())
    }

    /// Groups, without those that only rows not applied yet have.
    pub fn groups(&self) -> usize {
        let states = self.ranges.iter().filter_map(|range| range.state.as_ref());
        states.map(|run| run.rows()).sum()
    }

    /// Writes the rows that wait; applies those of ranges that have many.
    fn write(&mut self) -> Result<(), Error> {
        self.waiting_bytes = 0;
        let Some(rows) = joined(&std::mem::take(&mut self.waiting))? else {
            return Ok(());
        };
        // From behind, so that places stay while ranges are cut.
        for (place, rows) in split(&self.ranges, &rows, self.grouping.key_count())?.into_iter().rev() {
            let range = &mut self.ranges[place];
            let log = range.log.get_or_insert_with(|| Log::new(&self.spill));
            log.push(&rows)?;
            let state = range.state.as_ref().map_or(0, |run| run.bytes());
            if log.bytes > (2 * state).max(self.spill.shares.range as u64) {
                self.settle(place)?;
            }
        }
        Ok(())
    }

    /// Applies the rows of a range to its state.
    fn settle(&mut self, place: usize) -> Result<(), Error> {
        if self.ranges[place].log.is_none() {
            return Ok(());
        }
        let table = self.table(place)?;
        self.replace(place, table)
    }

    fn table(&self, place: usize) -> Result<GroupTable, Error> {
        let range = &self.ranges[place];
        table(
            &self.grouping,
            range.state.as_ref(),
            range.log.as_ref().map(Log::freeze).as_ref(),
        )
    }

    fn replace(&mut self, place: usize, mut table: GroupTable) -> Result<(), Error> {
        let from = std::mem::take(&mut self.ranges[place].from);
        let ranges = cut(&self.spill, &self.grouping, from, &table.take_partial()?)?;
        self.ranges.splice(place..=place, ranges);
        Ok(())
    }
}

/// A copy of an open pane on disk.
pub struct FrozenPane {
    grouping: Arc<Grouping>,
    ranges: Vec<FrozenRange>,
    waiting: Vec<RecordBatch>,
}

struct FrozenRange {
    from: Box<[u8]>,
    state: Option<Arc<Run>>,
    log: Option<FrozenLog>,
}

impl AsRef<[u8]> for Range {
    fn as_ref(&self) -> &[u8] {
        &self.from
    }
}

impl AsRef<[u8]> for FrozenRange {
    fn as_ref(&self) -> &[u8] {
        &self.from
    }
}

impl FrozenPane {
    /// The states of all groups, a range at a time.
    pub fn each(self, mut each: impl FnMut(RecordBatch) -> Result<(), Error>) -> Result<(), Error> {
        let mut waiting = match joined(&self.waiting)? {
            Some(rows) => split(&self.ranges, &rows, self.grouping.key_count())?,
            None => Vec::new(),
        }
        .into_iter()
        .peekable();
        for (place, range) in self.ranges.into_iter().enumerate() {
            let mut table = table(&self.grouping, range.state.as_ref(), range.log.as_ref())?;
            if let Some((_, rows)) = waiting.next_if(|(of, _)| *of == place) {
                table.update(&self.grouping.inputs_of(&rows)?)?;
            }
            if !table.is_empty() {
                each(table.take_partial()?)?;
            }
        }
        Ok(())
    }
}

/// A state that has gone on with the rows of a log.
fn table(grouping: &Arc<Grouping>, state: Option<&Arc<Run>>, log: Option<&FrozenLog>) -> Result<GroupTable, Error> {
    let mut table = GroupTable::new(grouping.clone())?;
    if let Some(state) = state {
        for block in 0..state.blocks() {
            table.merge(&state.block(block)?)?;
        }
    }
    for rows in log.into_iter().flat_map(FrozenLog::batches) {
        table.update(&grouping.inputs_of(&rows?)?)?;
    }
    Ok(table)
}

/// Writes states as ranges of about the size that they should have; one at least, which begins at `from`.
fn cut(spill: &Arc<Spill>, grouping: &Grouping, from: Box<[u8]>, rows: &RecordBatch) -> Result<Vec<Range>, Error> {
    let key_count = grouping.key_count();
    let (rows, keys) = sorted(rows, key_count)?;
    let pieces = data_bytes(&rows).div_ceil(spill.shares.range).max(1);
    let each = rows.num_rows().div_ceil(pieces).max(1);
    let mut ranges = Vec::with_capacity(pieces);
    for at in (0..rows.num_rows().max(1)).step_by(each) {
        let count = each.min(rows.num_rows() - at);
        let mut writer = RunWriter::new(spill, key_count, Life::Brief);
        writer.push(&rows.slice(at, count))?;
        ranges.push(Range {
            from: if at == 0 { from.clone() } else { keys.get(at).into() },
            state: writer.finish()?,
            log: None,
        });
    }
    Ok(ranges)
}

/// Rows by the range that they belong to, in their order; ranges in theirs.
fn split(
    ranges: &[impl AsRef<[u8]>],
    rows: &RecordBatch,
    key_count: usize,
) -> Result<Vec<(usize, RecordBatch)>, Error> {
    if ranges.len() == 1 {
        return Ok(vec![(0, rows.clone())]);
    }
    let keys = Keys::of(rows, key_count)?;
    let mut places: Vec<Vec<u32>> = vec![Vec::new(); ranges.len()];
    for row in 0..keys.len() {
        let behind = ranges.partition_point(|range| range.as_ref() <= keys.get(row));
        places[behind.saturating_sub(1)].push(row as u32);
    }
    let taken = places.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
    taken
        .map(|(place, positions)| Ok((place, take_rows(rows, &UInt32Array::from(positions))?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryStore, Shares};
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion_physical_expr::expressions::Column;
    use hitters_planner::plan::NamedExpr;

    fn rows(numbers: &[i64]) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("number", DataType::Int64, true)]);
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        RecordBatch::try_new(Arc::new(schema), vec![numbers]).unwrap()
    }

    #[test]
    fn states_that_were_saved_become_a_pane_without_being_written_again() {
        let blocks = MemoryStore::default();
        let shares = Shares {
            open: 0,
            closed: 0,
            block: 256,
            range: 1024,
        };
        let spill = Spill::new(Box::new(blocks.clone()), shares);
        let key = NamedExpr {
            expr: Arc::new(Column::new("number", 0)),
            name: "number".into(),
        };
        let grouping = Arc::new(Grouping::new(&rows(&[]).schema(), &[key], &[], false).unwrap());
        let mixed: Vec<i64> = (0..1000).map(|number| number * 7919 % 1000).collect();
        let saved = store(&spill, &grouping, &rows(&mixed)).unwrap();
        let (runs, puts) = (saved.runs().unwrap(), blocks.puts());
        assert!(runs.len() > 3);
        let mut pane = SpilledPane::of(&spill, &grouping, &runs[..2]);
        assert!(pane.append(&runs[2..]));
        assert!(!pane.append(&runs[..1]));
        assert_eq!((pane.groups(), blocks.puts()), (1000, puts));
        pane.add(&grouping.inputs(&rows(&[5, 2000, -1]), None).unwrap())
            .unwrap();
        let closed = pane.close().unwrap();
        let batches = closed.batches().map(|rows| rows.unwrap());
        let found: Vec<i64> = batches
            .flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        assert!(found.into_iter().eq([-1].into_iter().chain(0..1000).chain([2000])));
        drop((closed, saved));
        assert_eq!(blocks.blocks(), 0);
    }
}
