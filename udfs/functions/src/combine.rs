//! `..._combine(sketch)`: one sketch of many, the same for every kind of sketch.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::{AggregateUDF, Documentation};
use hitters_sketch::Rows;

use crate::aggregate::{Batch, Cell, Columns, Definition, Output, Summary, Value, aggregate};
use crate::argument::{self, run_error};

/// A kind of sketch that comes as bytes and merges with others of its kind.
pub(crate) trait Kind: Debug + Clone + Copy + PartialEq + Eq + Hash + Send + Sync + 'static {
    /// What the bytes hold.
    type Sketch: Clone + Debug + Send + Sync + 'static;
    /// The SQL function that merges them.
    const NAME: &'static str;

    /// The page of the manual.
    fn documentation() -> Documentation;
    /// The sketch of bytes that came out of a column.
    fn read(bytes: &[u8]) -> Result<Self::Sketch>;
    /// Its lossless bytes.
    fn bytes(sketch: &Self::Sketch) -> Vec<u8>;
    /// Adds another one.
    fn merge(into: &mut Self::Sketch, other: &Self::Sketch) -> Result<(), hitters_sketch::Error>;
    /// Bytes on the heap.
    fn heap(sketch: &Self::Sketch) -> usize;
}

/// The function over a kind.
pub(crate) fn function<K: Kind>(kind: K) -> Arc<AggregateUDF> {
    aggregate(Combine(kind))
}

/// The function, and a call of it: there is no literal to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Combine<K>(K);

impl<K: Kind> Definition for Combine<K> {
    type Summary = Self;

    fn name(&self) -> &'static str {
        K::NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        argument::count(K::NAME, &["sketch"], types)?;
        Ok(vec![argument::sketch(K::NAME, &types[0])?])
    }

    fn output(&self) -> Output {
        Output::Sketch
    }

    fn nullable(&self) -> bool {
        true
    }

    fn summary(&self, _: &[DataType], _: &[Option<ScalarValue>]) -> Result<Self> {
        Ok(*self)
    }

    fn documentation(&self) -> Documentation {
        K::documentation()
    }
}

impl<K: Kind> Summary for Combine<K> {
    type Sketch = K::Sketch;

    fn function(&self) -> &'static str {
        K::NAME
    }

    fn output(&self) -> Output {
        Output::Sketch
    }

    fn columns(&self, arguments: &[ArrayRef]) -> Result<Columns> {
        match arguments {
            [sketches] => Columns::new(K::NAME, sketches, None),
            _ => internal_err!("{} was called with {} columns", K::NAME, arguments.len()),
        }
    }

    fn update(&self, cell: &mut Cell<K::Sketch>, batch: &Batch<'_>, rows: Rows<'_>) -> Result<()> {
        self.merge_rows(cell, batch, rows)
    }

    fn skip(&self, _: &mut Cell<K::Sketch>, _: u64) -> Result<()> {
        // A NULL is a window or a batch row without a sketch, not a row that was lost.
        Ok(())
    }

    fn save(&self, sketch: &K::Sketch) -> Vec<u8> {
        K::bytes(sketch)
    }

    fn load(&self, bytes: &[u8]) -> Result<K::Sketch> {
        K::read(bytes)
    }

    fn merge(&self, into: &mut K::Sketch, other: &K::Sketch) -> Result<()> {
        K::merge(into, other).map_err(|error| run_error(K::NAME, error))
    }

    fn finish(&self, cell: &Cell<K::Sketch>) -> Result<Option<Value>> {
        Ok(cell.as_ref().map(|sketch| Value::Sketch(K::bytes(sketch))))
    }

    fn size(&self, sketch: &K::Sketch) -> usize {
        size_of::<K::Sketch>() + K::heap(sketch)
    }
}
