//! Writes rows as lines of a file that begins empty. Folders on the way to it are made, as in Arroyo.

use super::{cannot, compressed};
use crate::rows::RowEncoder;
use arrow::array::RecordBatch;
use flate2::Compression;
use flate2::write::GzEncoder;
use hitters_dataflow::Error;
use hitters_dataflow::sink::Sink;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file being written.
pub(crate) struct FileSink {
    table: String,
    path: PathBuf,
    output: Output,
    encoder: RowEncoder,
    lines: Vec<u8>,
}

/// Bytes gathered before they go to the file.
const BUFFER: usize = 1 << 20;

enum Output {
    Plain(File),
    Gzip(Box<GzEncoder<File>>),
    Closed,
}

impl FileSink {
    pub(crate) fn create(table: &str, path: &Path, encoder: RowEncoder) -> Result<Self, Error> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = folder
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| File::create(path));
        let file = file.map_err(|error| Error::Sink {
            table: table.to_string(),
            message: cannot("create", path, &error),
        })?;
        let output = if compressed(path) {
            Output::Gzip(Box::new(GzEncoder::new(file, Compression::default())))
        } else {
            Output::Plain(file)
        };
        Ok(Self {
            table: table.to_string(),
            path: path.to_path_buf(),
            output,
            encoder,
            lines: Vec::new(),
        })
    }

    fn drain(&mut self) -> Result<(), Error> {
        let result = match &mut self.output {
            Output::Plain(file) => file.write_all(&self.lines),
            Output::Gzip(gzip) => gzip.write_all(&self.lines),
            Output::Closed => Err(io::Error::other("the file is closed already")),
        };
        self.lines.clear();
        result.map_err(|error| self.error(&error))
    }

    fn error(&self, error: &io::Error) -> Error {
        Error::Sink {
            table: self.table.clone(),
            message: format!("writing '{}': {error}", self.path.display()),
        }
    }
}

impl Sink for FileSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.encoder.lines(batch, &mut self.lines)?;
        if self.lines.len() >= BUFFER {
            self.drain()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.lines.is_empty() {
            return Ok(());
        }
        self.drain()?;
        let result = match &mut self.output {
            Output::Gzip(gzip) => gzip.flush(),
            _ => Ok(()),
        };
        result.map_err(|error| self.error(&error))
    }

    fn close(&mut self) -> Result<(), Error> {
        self.drain()?;
        let result = match std::mem::replace(&mut self.output, Output::Closed) {
            Output::Gzip(gzip) => gzip.finish().and_then(|file| file.sync_all()),
            Output::Plain(file) => file.sync_all(),
            Output::Closed => Ok(()),
        };
        result.map_err(|error| self.error(&error))
    }
}
