//! The final tier's operators: what happens to rows after their window closed.
//!
//! Rows come window by window, in the order of window ends; a watermark says that no more rows come for windows that end
//! at or before it. Operators that need a window's rows together hold them until then. All of it runs on one thread in a
//! fixed order, so results are deterministic.

use crate::Error;
use arrow::array::RecordBatch;

/// A window: ordered by its end, as windows are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounds {
    /// End in nanoseconds since the epoch, exclusive.
    pub end: i64,
    /// Start, inclusive.
    pub start: i64,
}

/// Rows of one window, or rows that never met a window.
#[derive(Clone, Debug)]
pub struct WindowRows {
    /// The window.
    pub window: Option<Bounds>,
    /// Its rows, or some of them.
    pub rows: RecordBatch,
}

/// State of an operator as it is saved: rows with two numbers that say what they are to the operator.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Meaning is the operator's own (pane and slot, window start and end).
    pub tag: (i64, i64),
    /// The rows.
    pub rows: RecordBatch,
}

/// One step of the final tier.
pub trait Operator: Send {
    /// Takes rows of an input and gives those that are ready.
    fn rows(&mut self, input: usize, rows: WindowRows) -> Result<Vec<WindowRows>, Error>;
    /// No more rows come on any input for windows that end at or before `time`: gives what waited for it.
    fn watermark(&mut self, _time: i64) -> Result<Vec<WindowRows>, Error> {
        Ok(Vec::new())
    }
    /// A copy of the state.
    fn save(&mut self) -> Result<Vec<Saved>, Error> {
        Ok(Vec::new())
    }
    /// Takes saved state into a fresh operator.
    fn load(&mut self, _saved: Vec<Saved>) -> Result<(), Error> {
        Ok(())
    }
    /// Bytes held.
    fn size(&self) -> usize {
        0
    }
}
