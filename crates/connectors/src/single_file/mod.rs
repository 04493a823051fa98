//! `single_file`: rows as lines of a file, read or written; a name that ends in `.gz` is compressed.
//!
//! A position is the number of the next line, from 0. A reader that goes on from a position reads the lines before it
//! again without decoding them, so that positions mean the same in plain and in compressed files.

mod sink;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use sink::FileSink;
pub(crate) use source::{FileSource, Nothing};

use crate::format::{self, Decoding, Format};
use hitters_planner::connector::{Connector, Direction, Options, TableSpec};
use hitters_planner::error::Error;
use hitters_planner::table::{Column, ColumnKind};
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The connector.
pub(crate) struct SingleFile;

/// A checked table.
#[derive(Clone, Debug)]
pub(crate) struct FileTable {
    pub path: PathBuf,
    pub role: Role,
}

/// Read or written, and how.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    Source(Decoding),
    Sink(Format),
}

impl Connector for SingleFile {
    fn name(&self) -> &'static str {
        "single_file"
    }

    fn table(&self, columns: &[Column], options: &mut Options) -> Result<Arc<dyn TableSpec>, Error> {
        let path = PathBuf::from(options.required("path")?);
        let direction = format::direction(options)?;
        // Arroyo's tests step through a file with it; a run here has nothing to wait for.
        options.parsed::<bool>("wait_for_control", "true or false")?;
        if let Some(column) = columns.iter().find(|c| matches!(c.kind, ColumnKind::Metadata(_))) {
            return Err(
                Error::new(format!("column '{}': a file has no metadata", column.field.name()))
                    .hint("METADATA FROM is for kafka tables"),
            );
        }
        let role = match direction {
            Direction::Source => Role::Source(format::decoding(columns, options)?),
            Direction::Sink => Role::Sink(format::encoding(columns, options)?),
        };
        Ok(Arc::new(FileTable { path, role }))
    }
}

impl TableSpec for FileTable {
    fn connector(&self) -> &'static str {
        "single_file"
    }

    fn direction(&self) -> Direction {
        if matches!(self.role, Role::Source(_)) {
            Direction::Source
        } else {
            Direction::Sink
        }
    }

    fn describe(&self) -> String {
        let format = match &self.role {
            Role::Source(decoding) => decoding.format.name(),
            Role::Sink(format) => format.name(),
        };
        format!("file {} ({format})", self.path.display())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// What to check when a file does not open.
fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> String {
    let folder = std::env::current_dir().unwrap_or_default();
    let from = if path.is_relative() {
        format!(" (a relative path begins at {})", folder.display())
    } else {
        String::new()
    };
    format!("cannot {verb} '{}': {error}{from}", path.display())
}
