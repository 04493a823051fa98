//! Which rows of a batch count, and which are skipped: a filter drops rows silently, a NULL is noted.

use arrow::array::{Array, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};

/// The rows of a batch by what becomes of them.
pub(crate) struct Fate {
    /// Rows that count; `None`: all of them.
    pub counted: Option<BooleanBuffer>,
    /// Rows that pass the filter and hold a NULL; `None`: none of them.
    pub skipped: Option<BooleanBuffer>,
}

impl Fate {
    /// Sorts rows out. A filter passes where it is true; NULL is not true.
    pub fn new(nulls: Option<NullBuffer>, filter: Option<&BooleanArray>) -> Self {
        let passed = filter.map(|filter| match filter.nulls() {
            Some(known) => filter.values() & known.inner(),
            None => filter.values().clone(),
        });
        let passed = passed.filter(|passed| passed.count_set_bits() < passed.len());
        let valid = nulls.map(NullBuffer::into_inner);
        match (passed, valid) {
            (None, None) => Self {
                counted: None,
                skipped: None,
            },
            (Some(passed), None) => Self {
                counted: Some(passed),
                skipped: None,
            },
            (None, Some(valid)) => Self {
                skipped: Some(!&valid),
                counted: Some(valid),
            },
            (Some(passed), Some(valid)) => Self {
                counted: Some(&passed & &valid),
                skipped: Some(&passed & &!&valid),
            },
        }
    }
}
