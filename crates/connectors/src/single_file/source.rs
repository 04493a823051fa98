//! Reads the lines of a file as the one partition 0, which ends at the end of the file.

use super::{FileTable, cannot, compressed};
use crate::bad::BadRows;
use crate::format::{Decoding, MAX_LINE};
use crate::rows::{Envelope, RowDecoder};
use arrow::buffer::ScalarBuffer;
use flate2::read::MultiGzDecoder;
use hitters_dataflow::Error;
use hitters_dataflow::source::{Partition, Poll, Reader, Rows, Source, Start};
use hitters_planner::plan::SourceNode;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines of one batch.
const BATCH: usize = 8192;
/// Bytes read at once.
const BLOCK: usize = 1 << 20;
/// Files up to this size are counted before they are read, for progress.
const COUNTED: u64 = 1 << 30;

/// A file table being read.
pub(crate) struct FileSource {
    path: PathBuf,
    decoder: Option<RowDecoder>,
    bad: BadRows,
    longest: usize,
    limit: u64,
    arrival: bool,
}

impl FileSource {
    pub(crate) fn open(
        node: &SourceNode,
        table: &FileTable,
        decoding: &Decoding,
        bad: BadRows,
        limit: Option<u64>,
    ) -> Result<Self, Error> {
        let path = table.path.clone();
        match File::open(&path).and_then(|file| file.metadata()) {
            Ok(about) if about.is_dir() => {
                return Err(bad.error(format!("'{}' is a folder, a file is expected", path.display())));
            }
            Ok(_) => {}
            Err(error) => return Err(bad.error(cannot("open", &path, &error))),
        }
        let longest = decoding.lines.unwrap_or(MAX_LINE);
        // The file is cut into lines here, whatever the framing.
        let decoder = Some(RowDecoder::new(
            &node.table,
            &node.stored,
            &Decoding {
                lines: None,
                ..decoding.clone()
            },
        )?);
        Ok(Self {
            path,
            decoder,
            bad,
            longest,
            limit: limit.unwrap_or(u64::MAX),
            arrival: node.event_time.is_none(),
        })
    }

    fn count_lines(&self) -> Option<u64> {
        let mut file = File::open(&self.path).ok()?;
        if compressed(&self.path) || file.metadata().ok()?.len() > COUNTED {
            return None;
        }
        let (mut block, mut lines) = (vec![0; BLOCK], 0);
        loop {
            match file.read(&mut block).ok()? {
                0 => return Some(lines.min(self.limit)),
                bytes => lines += memchr::memchr_iter(b'\n', &block[..bytes]).count() as u64,
            }
        }
    }
}

impl Source for FileSource {
    fn partitions(&mut self) -> Result<Vec<Partition>, Error> {
        Ok(vec![Partition {
            start: Some(0),
            number: 0,
            rows: self.count_lines(),
        }])
    }

    fn reader(&mut self, partitions: &[Start]) -> Result<Box<dyn Reader>, Error> {
        let Some(start) = partitions.first() else {
            return Ok(Box::new(Nothing));
        };
        let Some(decoder) = self.decoder.take() else {
            return Err(self
                .bad
                .error("a file has one partition, so it can have one reader only".into()));
        };
        let file = File::open(&self.path).map_err(|error| self.bad.error(cannot("open", &self.path, &error)))?;
        let input: Box<dyn Read + Send> = if compressed(&self.path) {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        Ok(Box::new(FileReader {
            path: self.path.clone(),
            input,
            block: Vec::new(),
            at: 0,
            ended: false,
            line: 0,
            skip: start.at.position().unwrap_or(0),
            limit: i64::try_from(self.limit).unwrap_or(i64::MAX),
            decoder,
            given: Vec::new(),
            bad: self.bad.clone(),
            longest: self.longest,
            arrival: self.arrival,
        }))
    }
}

/// The reader of a worker that got no partition.
pub(crate) struct Nothing;

impl Reader for Nothing {
    fn poll(&mut self, wait: Duration) -> Result<Poll, Error> {
        std::thread::sleep(wait);
        Ok(Poll::Idle)
    }

    fn reject(&mut self, _: &[(usize, String)]) -> Result<(), Error> {
        Ok(())
    }
}

struct FileReader {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    /// Bytes read and not yet handed out begin at `at`. The lines of the last batch stay until the next poll.
    block: Vec<u8>,
    at: usize,
    ended: bool,
    /// Number of the line at `at`.
    line: i64,
    /// Lines before this one are not decoded.
    skip: i64,
    /// The line to end before.
    limit: i64,
    decoder: RowDecoder,
    /// Line number and bytes in `block` of each row of the last batch.
    given: Vec<(i64, usize, usize)>,
    bad: BadRows,
    longest: usize,
    /// Rows carry the time of their arrival.
    arrival: bool,
}

impl FileReader {
    /// The next line without its end, as a range of `block`. Never reads while lines are given out, unless none is whole.
    fn next_line(&mut self, may_read: bool) -> Result<Option<(usize, usize)>, Error> {
        let mut searched = self.at;
        loop {
            if let Some(length) = memchr::memchr(b'\n', &self.block[searched..]) {
                let (start, end) = (self.at, searched + length);
                self.at = end + 1;
                return Ok(Some((
                    start,
                    end - usize::from(end > start && self.block[end - 1] == b'\r'),
                )));
            }
            if self.ended {
                let (start, end) = (self.at, self.block.len());
                self.at = end;
                return Ok((start < end).then_some((start, end)));
            }
            if !may_read {
                return Ok(None);
            }
            searched = self.block.len() - self.at;
            self.fill()?;
        }
    }

    /// Moves the rest to the front and reads at least one more byte, or finds the end.
    fn fill(&mut self) -> Result<(), Error> {
        self.block.drain(..self.at);
        self.at = 0;
        let rest = self.block.len();
        if rest > self.longest {
            return Err(self.bad.error(format!(
                "{} line {} is longer than {} bytes: is this a file of lines? (option framing.newline.max_length raises the limit)",
                self.path.display(),
                self.line + 1,
                self.longest
            )));
        }
        // Room for a block, and for twice a long line, so that reading it again and again stays linear.
        self.block.resize(rest + BLOCK.max(rest), 0);
        let mut filled = rest;
        while filled < self.block.len() {
            match self.input.read(&mut self.block[filled..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(self.bad.error(format!(
                        "reading '{}' after line {}: {error}",
                        self.path.display(),
                        self.line
                    )));
                }
            }
        }
        self.block.truncate(filled);
        Ok(())
    }
}

impl Reader for FileReader {
    fn poll(&mut self, _: Duration) -> Result<Poll, Error> {
        self.given.clear();
        let (mut records, mut bytes, mut bad) = (0, 0, 0);
        while self.decoder.len() < BATCH && self.line < self.limit {
            // Reading moves the bytes of rows already taken, so a batch ends with the block.
            let Some((start, end)) = self.next_line(records == 0)? else {
                break;
            };
            let number = self.line;
            self.line += 1;
            let line = &self.block[start..end];
            if number < self.skip || line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            records += 1;
            bytes += (end - start) as u64;
            let before = self.decoder.len();
            let policy = &self.bad;
            self.decoder.push(line, &Envelope::default(), |payload, reason| {
                policy.take(None, number + 1, payload, &reason)
            })?;
            if self.decoder.len() > before {
                self.given.push((number, start, end));
            } else {
                bad += 1;
            }
        }
        if records == 0 {
            return Ok(Poll::End(0));
        }
        let batch = self.decoder.finish()?;
        let times = if self.arrival {
            ScalarBuffer::from(vec![now(); batch.num_rows()])
        } else {
            ScalarBuffer::from(Vec::new())
        };
        Ok(Poll::Rows(Rows {
            partition: 0,
            batch,
            times,
            next: self.line,
            records,
            bytes,
            bad,
        }))
    }

    fn reject(&mut self, rows: &[(usize, String)]) -> Result<(), Error> {
        for (row, reason) in rows {
            let (number, start, end) = self.given.get(*row).copied().unwrap_or_default();
            self.bad.take(None, number + 1, &self.block[start..end], reason)?;
        }
        Ok(())
    }
}

/// Nanoseconds since the epoch.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
