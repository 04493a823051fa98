//! The sketch argument of scalar functions, read row by row.

use datafusion_common::Result;

use super::Arguments;

/// Reads the sketch in the first argument of each row. One that stands in the same bytes as the row before's, as a literal
/// does, is read once.
pub(crate) struct Sketches<'a, S> {
    arguments: &'a Arguments,
    read: fn(&[u8]) -> Result<S>,
    last: Option<(&'a [u8], S)>,
}

impl<'a, S> Sketches<'a, S> {
    /// The sketches of a call; `read` makes one of its bytes.
    pub fn new(arguments: &'a Arguments, read: fn(&[u8]) -> Result<S>) -> Self {
        Self {
            arguments,
            read,
            last: None,
        }
    }

    /// The sketch of a row; `None` for NULL.
    pub fn row(&mut self, row: usize) -> Result<Option<&S>> {
        if self.arguments.is_null(0, row) {
            return Ok(None);
        }
        let bytes = self.arguments.bytes(0, row);
        if !self.last.as_ref().is_some_and(|(last, _)| std::ptr::eq(*last, bytes)) {
            self.last = Some((bytes, (self.read)(bytes)?));
        }
        Ok(self.last.as_ref().map(|(_, sketch)| sketch))
    }
}
