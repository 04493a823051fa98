//! Writes rows as lines of a file. Folders on the way to it are made, as in Arroyo.
//!
//! The file gets its name when the run ends (without checkpoints also when it is stopped): until then its lines are in
//! `<name>.partial`, so that a run that is killed or fails leaves no half of a result under the name, and what stood there
//! before stays. What is no regular file (a pipe, `/dev/stdout`) is written directly.
//!
//! With checkpoints, each one makes the lines so far durable and keeps their length:
//!
//! ```text
//! offset 0   u8    version: 1
//!        1   u64   bytes of the partial file, little-endian
//! ```
//!
//! A run that goes on cuts the partial file to this length. A compressed file is a sequence of gzip members, and each
//! checkpoint ends one, so that a cut is between two of them. Where the run before ended (the file has its name already), the
//! file becomes the partial one again as soon as there is a line to write, or more in it than the checkpoint knows of.

use super::{cannot, compressed};
use crate::rows::RowEncoder;
use arrow::array::RecordBatch;
use flate2::Compression;
use flate2::write::GzEncoder;
use hitters_dataflow::Error;
use hitters_dataflow::sink::{Checkpoint, Sink};
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file being written.
pub(crate) struct FileSink {
    table: String,
    /// Where it ends up.
    path: PathBuf,
    /// Where it is written; `None`: there, directly.
    partial: Option<PathBuf>,
    output: Output,
    encoder: RowEncoder,
    lines: Vec<u8>,
    /// The run takes checkpoints.
    checkpoints: bool,
}

/// Bytes gathered before they go to the file.
const BUFFER: usize = 1 << 20;
const VERSION: u8 = 1;

enum Output {
    /// Nothing is opened before it is known whether a file is gone on with.
    Unopened,
    Plain(File),
    Gzip(Box<GzEncoder<File>>),
    /// Between two gzip members.
    Between(File),
    /// The run before ended with these many bytes, and so far there is nothing to add.
    Whole(u64),
    Closed,
}

impl FileSink {
    pub(crate) fn create(table: &str, path: &Path, encoder: RowEncoder, checkpoints: bool) -> Result<Self, Error> {
        let fail = |error: io::Error| Error::Sink {
            table: table.to_string(),
            message: cannot("create", path, &error),
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(fail)?;
        }
        // A link stays one, and what it leads to is replaced.
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(_) => path.to_path_buf(),
        };
        let is_file = fs::metadata(&path).map_or(true, |about| about.is_file());
        let partial = is_file.then(|| {
            let mut name = path.clone().into_os_string();
            name.push(".partial");
            PathBuf::from(name)
        });
        let mut sink = Self {
            table: table.to_string(),
            path,
            partial,
            output: Output::Unopened,
            encoder,
            lines: Vec::new(),
            checkpoints,
        };
        match &sink.partial {
            // Whether it is begun or gone on with is known later; that it can be written, now.
            Some(partial) if checkpoints => {
                let opened = File::options().append(true).create(true).open(partial);
                opened.map_err(fail)?;
            }
            _ => sink.begin().map_err(fail)?,
        }
        Ok(sink)
    }

    /// Begins with an empty file.
    fn begin(&mut self) -> io::Result<()> {
        let file = File::create(self.partial.as_ref().unwrap_or(&self.path))?;
        self.output = self.between(file);
        Ok(())
    }

    fn between(&self, file: File) -> Output {
        if compressed(&self.path) {
            Output::Between(file)
        } else {
            Output::Plain(file)
        }
    }

    /// Goes on after so many bytes.
    fn resume(&mut self, length: u64) -> io::Result<()> {
        let mut file = File::options()
            .write(true)
            .open(self.partial.as_ref().unwrap_or(&self.path))?;
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        self.output = self.between(file);
        Ok(())
    }

    /// Makes a whole file a partial one again.
    fn reopen(&mut self, length: u64) -> io::Result<()> {
        if let Some(partial) = &self.partial {
            fs::rename(&self.path, partial)?;
        }
        self.resume(length)
    }

    fn drain(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        match self.output {
            Output::Unopened => self.begin()?,
            Output::Whole(length) => self.reopen(length)?,
            _ => {}
        }
        if let Output::Between(_) = &self.output
            && let Output::Between(file) = std::mem::replace(&mut self.output, Output::Closed)
        {
            self.output = Output::Gzip(Box::new(GzEncoder::new(file, Compression::default())));
        }
        match &mut self.output {
            Output::Plain(file) => file.write_all(&self.lines)?,
            Output::Gzip(gzip) => gzip.write_all(&self.lines)?,
            _ => return Err(io::Error::other("the file is closed already")),
        }
        self.lines.clear();
        Ok(())
    }

    /// Everything so far is in the file, at the border of a gzip member.
    fn settle(&mut self) -> io::Result<()> {
        self.drain()?;
        if let Output::Gzip(_) = &self.output
            && let Output::Gzip(gzip) = std::mem::replace(&mut self.output, Output::Closed)
        {
            self.output = Output::Between(gzip.finish()?);
        }
        Ok(())
    }

    /// Makes the lines so far durable, and tells their bytes.
    fn durable(&mut self) -> io::Result<u64> {
        self.settle()?;
        if let Output::Unopened = self.output {
            self.begin()?;
        }
        match &self.output {
            Output::Plain(_) | Output::Between(_) if self.partial.is_none() => Ok(0),
            Output::Plain(file) | Output::Between(file) => {
                file.sync_all()?;
                self.partial.as_deref().map_or(Ok(()), sync_folder)?;
                Ok(file.metadata()?.len())
            }
            Output::Whole(length) => Ok(*length),
            _ => Err(io::Error::other("the file is closed already")),
        }
    }

    /// Goes on where a checkpoint was taken.
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let Some((VERSION, length)) = state
            .split_first()
            .and_then(|(version, rest)| Some((*version, u64::from_le_bytes(rest.try_into().ok()?))))
        else {
            return Err(format!(
                "the length of '{}' in the checkpoint cannot be read: {state:?}",
                self.path.display()
            ));
        };
        let Some(partial) = self.partial.clone() else {
            return Err(format!(
                "'{}' is no file that can be gone on with: start without the saved state",
                self.path.display()
            ));
        };
        let size = |path: &Path| fs::metadata(path).map_or(0, |about| about.len());
        if size(&partial) >= length {
            return self.resume(length).map_err(|error| self.explain(&error));
        }
        let whole = size(&self.path);
        if whole < length {
            return Err(format!(
                "the checkpoint knows of {length} bytes, and '{}' has {}, '{}' {whole}: they were changed or moved. Put them back, or start without the saved state",
                partial.display(),
                size(&partial),
                self.path.display()
            ));
        }
        // What `create` made to see whether it can.
        let _ = fs::remove_file(&partial);
        if whole == length {
            self.output = Output::Whole(length);
            return Ok(());
        }
        self.reopen(length).map_err(|error| self.explain(&error))
    }

    /// The whole file gets its name.
    fn finish(&mut self) -> io::Result<()> {
        if let Output::Closed = self.output {
            return Ok(());
        }
        let length = self.durable()?;
        match std::mem::replace(&mut self.output, Output::Closed) {
            Output::Whole(_) => return Ok(()),
            Output::Between(mut file) if length == 0 && self.partial.is_some() => {
                // No rows; but a file that is called compressed must be one.
                file.write_all(&GzEncoder::new(Vec::new(), Compression::default()).finish()?)?;
                file.sync_all()?;
            }
            _ => {}
        }
        let Some(partial) = &self.partial else { return Ok(()) };
        fs::rename(partial, &self.path)?;
        sync_folder(&self.path)
    }

    fn explain(&self, error: &io::Error) -> String {
        let place = self.partial.as_ref().unwrap_or(&self.path);
        format!("writing '{}': {error}", place.display())
    }

    fn error(&self, error: &io::Error) -> Error {
        Error::Sink {
            table: self.table.clone(),
            message: self.explain(error),
        }
    }
}

/// Makes a new name in a folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

impl Sink for FileSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.encoder.lines(batch, &mut self.lines)?;
        if self.lines.len() >= BUFFER {
            self.drain().map_err(|error| self.error(&error))
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let flushed = self.drain().and_then(|()| match &mut self.output {
            Output::Gzip(gzip) => gzip.flush(),
            _ => Ok(()),
        });
        flushed.map_err(|error| self.error(&error))
    }

    fn prepare(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if !self.checkpoints || self.partial.is_none() {
            self.flush()?;
            return Ok(None);
        }
        let length = self.durable().map_err(|error| self.error(&error))?;
        let mut state = vec![VERSION];
        state.extend(length.to_le_bytes());
        Ok(Some(state))
    }

    fn recover(&mut self, _: &Checkpoint<'_>, state: &[u8]) -> Result<(), Error> {
        self.restore(state).map_err(|message| Error::Sink {
            table: self.table.clone(),
            message,
        })
    }

    fn close(&mut self) -> Result<(), Error> {
        self.finish().map_err(|error| self.error(&error))
    }
}
