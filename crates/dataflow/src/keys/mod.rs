//! The keys of groups: finds the group of each row, and gives keys back in the order of their groups.
//!
//! Groups are numbered from 0 in the order in which their keys are first seen. Keys are the same if all of their columns are:
//! NULL equals NULL, -0.0 equals 0.0 and comes back as 0.0, and other floats are equal if their bits are.
//!
//! Keys stand column by column: what has a fixed width as it is, texts and bytes as Arrow's views, other types as the bytes of
//! arrow-row. A hash table of twelve bytes a group finds them. A batch takes four passes, each a short loop over one kind of
//! memory, so that the processor waits for many rows at once: hashes, column by column; the group that has the hash, or else a
//! new one; the keys of new groups, column by column; the comparison of every row with the key of its group, column by column.
//! (One pass row by row, which lost, takes almost twice as long for some hundred thousand groups of two columns.) If a row
//! differs, two keys have one hash of 64 bits: the batch is undone and goes row by row.
//!
//! Every table hashes with a seed of its own, which nobody knows, so that nobody can send keys that all fall into one place.
//! Nothing that comes out depends on it.

mod encoded;
mod fixed;
mod shared;
#[cfg(test)]
mod tests;
mod text;
mod values;

use crate::Error;
use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalUnit};
use encoded::Encoded;
use fixed::Fixed;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use text::Text;
pub use values::KeyColumns;
use values::Values;

/// Keys by group.
pub struct GroupKeys {
    columns: Vec<Column>,
    table: HashTable<Slot>,
    groups: u32,
    seed: RandomState,
    /// Of the rows of a batch.
    hashes: Vec<u64>,
    /// The rows of a batch that made groups.
    new: Vec<u32>,
}

/// A group in the table. Without the gaps that a `u64` would ask for.
#[derive(Clone, Copy)]
struct Slot {
    hash: [u32; 2],
    group: u32,
}

impl Slot {
    fn new(hash: u64, group: u32) -> Self {
        let hash = [hash as u32, (hash >> 32) as u32];
        Self { hash, group }
    }

    fn hash(&self) -> u64 {
        u64::from(self.hash[0]) | (u64::from(self.hash[1]) << 32)
    }
}

/// A column of keys.
enum Column {
    Bits8(Fixed<u8>),
    Bits16(Fixed<u16>),
    Bits32(Fixed<u32>),
    Bits64(Fixed<u64>),
    Bits128(Fixed<u128>),
    Text(Text),
    Encoded(Encoded),
}

impl GroupKeys {
    /// No groups, with keys of these types: one at least.
    pub fn new<'t>(types: impl IntoIterator<Item = &'t DataType>) -> Result<Self, Error> {
        Ok(Self {
            columns: types.into_iter().map(Column::new).collect::<Result<_, _>>()?,
            table: HashTable::new(),
            groups: 0,
            seed: RandomState::default(),
            hashes: Vec::new(),
            new: Vec::new(),
        })
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.groups as usize
    }

    /// True before the first key.
    pub fn is_empty(&self) -> bool {
        self.groups == 0
    }

    /// Finds or makes the group of each row, into `groups`.
    pub fn find(&mut self, keys: &[ArrayRef], groups: &mut Vec<usize>) -> Result<(), Error> {
        self.load(keys)?;
        for column in &self.columns {
            column.hash(&self.seed, &mut self.hashes);
        }
        if !self.look_up(groups)? {
            self.look_up_each(groups)?;
        }
        self.columns.iter_mut().for_each(Column::unload);
        Ok(())
    }

    /// Takes the keys of all groups out; there are no groups afterwards.
    pub fn take(&mut self) -> KeyColumns {
        self.table.clear();
        self.groups = 0;
        KeyColumns(self.columns.iter_mut().map(Column::take).collect())
    }

    /// The keys of all groups. Copies those that no earlier copy has.
    pub fn copy(&mut self) -> KeyColumns {
        KeyColumns(self.columns.iter_mut().map(Column::copy).collect())
    }

    /// Bytes held. Depends on the keys alone.
    pub fn size(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::size).sum();
        let buffers = self.hashes.capacity() * size_of::<u64>() + self.new.capacity() * size_of::<u32>();
        columns + self.table.allocation_size() + buffers
    }

    /// Makes the keys of a batch ready, without their hashes.
    fn load(&mut self, keys: &[ArrayRef]) -> Result<(), Error> {
        let (have, given) = (self.columns.len(), keys.len());
        if have != given || have == 0 {
            return Err(Error::State(format!("{given} columns for keys of {have}")));
        }
        self.hashes.clear();
        self.hashes.resize(keys[0].len(), 0);
        let mut columns = self.columns.iter_mut().zip(keys);
        columns.try_for_each(|(column, keys)| column.load(keys))
    }

    /// Finds or makes the groups of the rows that were loaded by their hashes. False if two of the keys have one hash: then
    /// nothing was done.
    fn look_up(&mut self, groups: &mut Vec<usize>) -> Result<bool, Error> {
        let before = self.groups;
        groups.resize(self.hashes.len(), 0);
        self.new.clear();
        for (row, (&hash, place)) in self.hashes.iter().zip(groups.iter_mut()).enumerate() {
            let group = match self.table.find(hash, |slot| slot.hash() == hash) {
                Some(slot) => slot.group,
                None => {
                    self.new.push(row as u32);
                    insert(&mut self.table, &mut self.groups, hash)?
                }
            };
            *place = group as usize;
        }
        for column in &mut self.columns {
            column.append(&self.new);
        }
        if self.columns.iter().all(|column| column.same(groups)) {
            return Ok(true);
        }
        for &row in &self.new {
            let (hash, group) = (self.hashes[row as usize], groups[row as usize]);
            if let Ok(slot) = self.table.find_entry(hash, |slot| slot.group as usize == group) {
                slot.remove();
            }
        }
        self.groups = before;
        let columns = self.columns.iter_mut();
        columns.for_each(|column| column.truncate(before as usize));
        Ok(false)
    }

    /// The same for keys of any hashes.
    fn look_up_each(&mut self, groups: &mut Vec<usize>) -> Result<(), Error> {
        groups.clear();
        for (row, &hash) in self.hashes.iter().enumerate() {
            let same = |group: usize| self.columns.iter().all(|column| column.equal(group, row));
            let found = self
                .table
                .find(hash, |slot| slot.hash() == hash && same(slot.group as usize));
            let group = match found {
                Some(slot) => slot.group,
                None => {
                    let columns = self.columns.iter_mut();
                    columns.for_each(|column| column.append(&[row as u32]));
                    insert(&mut self.table, &mut self.groups, hash)?
                }
            };
            groups.push(group as usize);
        }
        Ok(())
    }
}

/// Makes the next group.
fn insert(table: &mut HashTable<Slot>, next: &mut u32, hash: u64) -> Result<u32, Error> {
    let group = *next;
    *next = group
        .checked_add(1)
        .ok_or_else(|| Error::State(format!("one pane of one partition has more than {group} groups")))?;
    table.insert_unique(hash, Slot::new(hash, group), Slot::hash);
    Ok(group)
}

/// Does the same with every kind of column.
macro_rules! each {
    ($of:expr, $column:ident => $do:expr) => {
        match $of {
            Column::Bits8($column) => $do,
            Column::Bits16($column) => $do,
            Column::Bits32($column) => $do,
            Column::Bits64($column) => $do,
            Column::Bits128($column) => $do,
            Column::Text($column) => $do,
            Column::Encoded($column) => $do,
        }
    };
}

impl Column {
    fn new(data_type: &DataType) -> Result<Self, Error> {
        Ok(match (data_type, data_type.primitive_width()) {
            (DataType::Boolean, _) => Self::Bits8(Fixed::new(data_type)),
            // Not one number each, but several that stand side by side.
            (DataType::Interval(IntervalUnit::DayTime | IntervalUnit::MonthDayNano), _) => {
                Self::Encoded(Encoded::new(data_type)?)
            }
            (_, Some(1)) => Self::Bits8(Fixed::new(data_type)),
            (_, Some(2)) => Self::Bits16(Fixed::new(data_type)),
            (_, Some(4)) => Self::Bits32(Fixed::new(data_type)),
            (_, Some(8)) => Self::Bits64(Fixed::new(data_type)),
            (_, Some(16)) => Self::Bits128(Fixed::new(data_type)),
            (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, _)
            | (DataType::Binary | DataType::LargeBinary | DataType::BinaryView, _) => Self::Text(Text::new(data_type)),
            _ => Self::Encoded(Encoded::new(data_type)?),
        })
    }

    fn load(&mut self, keys: &ArrayRef) -> Result<(), Error> {
        each!(self, column => match keys.data_type() == column.data_type() {
            true => column.load(keys),
            false => column.load(&cast(keys, column.data_type())?),
        })
    }

    fn unload(&mut self) {
        each!(self, column => column.unload())
    }

    /// Puts the rows that were loaded into hashes of the columns before.
    fn hash(&self, seed: &RandomState, hashes: &mut [u64]) {
        each!(self, column => column.hash(seed, hashes))
    }

    fn take(&mut self) -> Values {
        each!(self, column => column.take())
    }

    fn copy(&mut self) -> Values {
        each!(self, column => column.copy())
    }

    fn size(&self) -> usize {
        each!(self, column => column.size())
    }

    /// Adds the keys of new groups, which are those of these rows.
    fn append(&mut self, rows: &[u32]) {
        each!(self, column => column.append(rows))
    }

    /// Forgets the keys of groups from this one on.
    fn truncate(&mut self, groups: usize) {
        each!(self, column => column.truncate(groups))
    }

    /// Whether every row that was loaded has the key of its group.
    fn same(&self, groups: &[usize]) -> bool {
        each!(self, column => column.same(groups))
    }

    /// Whether a row has the key of a group.
    fn equal(&self, group: usize, row: usize) -> bool {
        each!(self, column => column.equal(group, row))
    }
}

/// What to a hash NULL is. Behind it may stand anything, so the value is that of nothing.
const NULL: u64 = 0x9e37_79b9_7f4a_7c15;
