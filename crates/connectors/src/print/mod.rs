//! Rows for people and for pipes: JSON lines, or a table with a frame.
//!
//! JSON lines appear at every flush. A table needs all of its rows to know the width of its columns, so a bounded run
//! prints one table at its end (in parts of [`TABLE_ROWS`]) and an endless run one table for each flush.

use crate::rows::RowEncoder;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{CellAlignment, Table, presets};
use hitters_dataflow::Error;
use hitters_dataflow::sink::Sink;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Most rows of one printed table.
pub const TABLE_ROWS: usize = 10_000;

/// How printed rows look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrintFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Columns in a frame.
    Table,
}

/// How and where rows are printed. All sinks of a run share the output; a batch is never torn by another.
#[derive(Clone)]
pub struct Print {
    /// How rows look.
    pub format: PrintFormat,
    output: Arc<Mutex<dyn Write + Send>>,
}

impl Print {
    /// Prints to `output`.
    pub fn new(format: PrintFormat, output: impl Write + Send + 'static) -> Self {
        Self {
            format,
            output: Arc::new(Mutex::new(output)),
        }
    }

    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        // Somebody else's panic while writing leaves at worst a line cut short.
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.write_all(bytes)?;
        output.flush()
    }
}

impl Default for Print {
    fn default() -> Self {
        Self::new(PrintFormat::default(), io::stdout())
    }
}

impl fmt::Debug for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Print")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// Prints the rows of one statement.
pub(crate) struct PrintSink {
    table: String,
    print: Print,
    encoder: RowEncoder,
    /// JSON lines not yet printed.
    lines: Vec<u8>,
    /// Rows of a table not yet printed.
    batches: Vec<RecordBatch>,
    schema: SchemaRef,
    /// Tables wait for the end of the run.
    bounded: bool,
}

impl PrintSink {
    pub(crate) fn new(table: &str, print: &Print, encoder: RowEncoder, schema: SchemaRef, bounded: bool) -> Self {
        Self {
            table: table.to_string(),
            print: print.clone(),
            encoder,
            lines: Vec::new(),
            batches: Vec::new(),
            schema,
            bounded,
        }
    }

    fn print_lines(&mut self) -> Result<(), Error> {
        let result = if self.lines.is_empty() {
            Ok(())
        } else {
            self.print.put(&self.lines)
        };
        self.lines.clear();
        self.printed(result)
    }

    fn print_table(&mut self) -> Result<(), Error> {
        let batches = std::mem::take(&mut self.batches);
        let text = format!("{}\n", table(&self.schema, &batches)?);
        let result = self.print.put(text.as_bytes());
        self.printed(result)
    }

    fn printed(&self, result: io::Result<()>) -> Result<(), Error> {
        result.map_err(|error| Error::Sink {
            table: self.table.clone(),
            message: format!("printing: {error}"),
        })
    }

    fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

impl Sink for PrintSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        match self.print.format {
            PrintFormat::Json => {
                self.encoder.lines(batch, &mut self.lines)?;
                if self.lines.len() >= 1 << 20 {
                    self.print_lines()
                } else {
                    Ok(())
                }
            }
            PrintFormat::Table => {
                self.batches.push(batch.clone());
                if self.rows() >= TABLE_ROWS {
                    self.print_table()
                } else {
                    Ok(())
                }
            }
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        match self.print.format {
            PrintFormat::Json => self.print_lines(),
            PrintFormat::Table if !self.bounded && self.rows() > 0 => self.print_table(),
            PrintFormat::Table => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        match self.print.format {
            PrintFormat::Json => self.print_lines(),
            PrintFormat::Table if self.bounded || self.rows() > 0 => self.print_table(),
            PrintFormat::Table => Ok(()),
        }
    }
}

/// Rows in a frame: numbers to the right, NULL as an empty cell.
///
/// # Errors
///
/// If a value cannot be shown as text.
pub fn table(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Table, Error> {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(schema.fields().iter().map(|field| field.name()));
    let options = FormatOptions::default();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cells = columns
                .iter()
                .zip(batch.columns())
                .map(|(formatter, column)| match column.is_null(row) {
                    true => String::new(),
                    false => formatter.value(row).to_string(),
                });
            table.add_row(cells);
        }
    }
    for (column, field) in table.column_iter_mut().zip(schema.fields()) {
        if field.data_type().is_numeric() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests;
