//! Faults with their place in a file, and the texts of the files that places point into.

use std::ops::Range;

/// A file of [`Files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(usize);

/// The files that were read, kept for error messages.
#[derive(Debug, Default)]
pub struct Files(Vec<(String, String)>);

impl Files {
    /// Keeps the text of a file under the name that a user knows it by.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        self.0.push((name.into(), text.into()));
        FileId(self.0.len() - 1)
    }

    /// The name of a file.
    pub fn name(&self, file: FileId) -> &str {
        self.0.get(file.0).map_or("", |(name, _)| name)
    }

    /// The text of a file as it stands on disk, parameters not filled.
    pub fn text(&self, file: FileId) -> &str {
        self.0.get(file.0).map_or("", |(_, text)| text)
    }

    /// 1-based line and column (in characters) of a byte offset.
    pub fn line_and_column(&self, file: FileId, offset: usize) -> (usize, usize) {
        let text = self.text(file);
        let before = &text[..text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}

/// Bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: FileId,
    /// Byte offsets in its text. Empty for a point.
    pub range: Range<usize>,
}

/// What is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where, unless no file has a place for it (an option of the command line).
    pub place: Option<Place>,
    /// What to do, or what is allowed.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
            hint: None,
        }
    }

    /// Adds the place.
    pub fn at(mut self, file: FileId, range: Range<usize>) -> Self {
        self.place = Some(Place { file, range });
        self
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
