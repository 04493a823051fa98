//! What happens to a row that cannot be used: it stops the run, or is dropped, counted, and kept as a dead letter.

use crate::dead_letter::DeadLetters;
use hitters_dataflow::Error;
use std::sync::Arc;

/// The policy of one table, `bad_data`.
#[derive(Clone, Debug)]
pub(crate) struct BadRows {
    /// Name of the table in the SQL.
    pub table: String,
    /// File or topic.
    pub origin: String,
    /// What a position is called in a message to people.
    pub position: &'static str,
    /// `bad_data = 'drop'`.
    pub drop: bool,
    pub dead_letters: Option<Arc<DeadLetters>>,
}

impl BadRows {
    /// A bad row. `partition` is `None` where there are none; `position` is an offset or a line.
    ///
    /// # Errors
    ///
    /// With `bad_data = 'fail'`, and when the dead letter cannot be written.
    #[cold]
    pub(crate) fn take(
        &self,
        partition: Option<i32>,
        position: i64,
        payload: &[u8],
        reason: &str,
    ) -> Result<(), Error> {
        if !self.drop {
            let partition = partition
                .map(|number| format!(" partition {number}"))
                .unwrap_or_default();
            return Err(self.error(format!(
                "{}{partition} {} {position}: {reason} (to go on without such rows, declare the table WITH bad_data = 'drop')",
                self.origin, self.position
            )));
        }
        match &self.dead_letters {
            Some(letters) => letters
                .write(&self.table, &self.origin, partition, position, payload, reason)
                .map_err(|what| self.error(format!("a bad row could not be kept as a dead letter: {what}"))),
            None => Ok(()),
        }
    }

    /// An error of the table.
    pub(crate) fn error(&self, message: String) -> Error {
        Error::Source {
            table: self.table.clone(),
            message,
        }
    }
}
