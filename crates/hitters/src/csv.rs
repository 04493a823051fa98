//! Rows as comma-separated values (RFC 4180), for `--format csv`.

use crate::output::Output;
use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use hitters_dataflow::Error;
use hitters_dataflow::sink::Sink;
use std::io::Write;

/// Prints rows; the header comes before the first one.
pub struct CsvSink<W: Write + Send = Output> {
    output: W,
    header: bool,
}

impl<W: Write + Send> CsvSink<W> {
    /// Prints to `output`.
    pub fn new(output: W) -> Self {
        Self { output, header: false }
    }

    fn put(&mut self, text: &str) -> Result<(), Error> {
        let written = self.output.write_all(text.as_bytes());
        written.map_err(|error| Error::Sink {
            table: "SELECT".into(),
            message: format!("cannot write: {error}"),
        })
    }
}

impl<W: Write + Send> Sink for CsvSink<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let mut text = String::new();
        if !self.header {
            self.header = true;
            line(
                &mut text,
                batch.schema().fields().iter().map(|field| field.name().clone()),
            );
        }
        let options = FormatOptions::default().with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"));
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let values = columns
                .iter()
                .zip(batch.columns())
                .map(|(column, array)| match array.is_null(row) {
                    true => String::new(),
                    false => column.value(row).to_string(),
                });
            line(&mut text, values);
        }
        self.put(&text)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let flushed = self.output.flush();
        flushed.map_err(|error| Error::Sink {
            table: "SELECT".into(),
            message: format!("cannot write: {error}"),
        })
    }
}

/// Adds one line; a value with a comma, a quote or a line break is quoted.
fn line(text: &mut String, values: impl Iterator<Item = String>) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            text.push(',');
        }
        if value.contains([',', '"', '\n', '\r']) {
            text.push('"');
            text.push_str(&value.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(&value);
        }
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn values_that_would_break_a_line_are_quoted() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a,\"b\"", "c\nd"]));
        let batch = RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap();
        let mut sink = CsvSink::new(Vec::new());
        sink.write(&batch).unwrap();
        sink.write(&batch.slice(1, 1)).unwrap();
        assert_eq!(
            String::from_utf8(sink.output).unwrap(),
            "n,t\r\n1,\"a,\"\"b\"\"\"\r\n,\"c\nd\"\r\n,\"c\nd\"\r\n"
        );
    }
}
