//! The sketch argument of scalar functions, read row by row.

use datafusion::common::Result;
use hitters_sketch::TopK;

use crate::scalar::Arguments;

/// Reads the sketch of each row; one that stands in the same bytes as the row before's, as a literal does, once.
pub(super) struct Sketches<'a> {
    function: &'static str,
    arguments: &'a Arguments,
    last: Option<(&'a [u8], TopK)>,
}

impl<'a> Sketches<'a> {
    /// The sketches in the first of the arguments.
    pub fn new(function: &'static str, arguments: &'a Arguments) -> Self {
        Self { function, arguments, last: None }
    }

    /// The sketch of a row; `None` for NULL.
    pub fn row(&mut self, row: usize) -> Result<Option<&TopK>> {
        if self.arguments.is_null(0, row) {
            return Ok(None);
        }
        let bytes = self.arguments.bytes(0, row);
        if !self.last.as_ref().is_some_and(|(last, _)| std::ptr::eq(*last, bytes)) {
            self.last = Some((bytes, super::read(self.function, bytes)?));
        }
        Ok(self.last.as_ref().map(|(_, sketch)| sketch))
    }
}
