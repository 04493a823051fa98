//! `[state]`: where a run keeps state while it is in use.

use crate::fault::Place;
use crate::reader::{Keys, Reader};
use toml::Spanned;
use toml::de::DeValue;

/// Where state is kept while it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In memory. Over the memory limit the run ends with an error.
    Memory,
    /// In memory up to the memory limit; panes that outgrow it go to RocksDB in a local folder.
    RocksDb,
}

impl Backend {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Memory, Self::RocksDb];

    /// Its name in pipeline files and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::RocksDb => "rocksdb",
        }
    }
}

/// `[state]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// `backend`.
    pub backend: Backend,
    /// Where the pipeline file says so, for an error of who opens it.
    pub place: Place,
    /// `path`: a folder for RocksDB, which is emptied when the run begins and ends. A relative path is one from the pipeline file.
    /// `None`: in the folder of the checkpoints if they are kept in one, or in the user's cache.
    pub path: Option<String>,
}

impl Reader<'_> {
    /// Reads the table. `None` if something in it is wrong.
    pub(crate) fn state(&mut self, table: &Spanned<DeValue<'_>>) -> Option<State> {
        let DeValue::Table(keys) = table.get_ref() else {
            let hint = "write [state], then backend = \"rocksdb\" below it";
            self.fault(table.span(), "'state' must be a table", hint);
            return None;
        };
        let mut keys = Keys::new(keys);
        let (backend, path) = (keys.take("backend"), keys.take("path"));
        self.unknown(&keys, &["backend", "path"]);
        let place = Place {
            file: self.file,
            range: backend.unwrap_or(table).span(),
        };
        let known = Backend::ALL.map(Backend::name).join(" or ");
        let found = match backend {
            Some(value) => {
                let text = self.text(value)?.text;
                let found = Backend::ALL.into_iter().find(|backend| backend.name() == text);
                if found.is_none() {
                    self.fault(
                        value.span(),
                        format!("there is no backend '{text}'"),
                        format!("it is {known}"),
                    );
                }
                found
            }
            None => {
                self.fault(
                    table.span(),
                    "[state] names no backend",
                    format!("add backend = \"...\": {known}"),
                );
                None
            }
        };
        let path = match path {
            Some(value) if found == Some(Backend::Memory) => {
                let hint = "take it out, or write backend = \"rocksdb\"";
                self.fault(value.span(), "state in memory has no path", hint);
                return None;
            }
            Some(value) => match self.text(value)?.text {
                path if path.is_empty() || path.contains("://") => {
                    let hint = "RocksDB needs a folder of this machine, best on a local disk";
                    self.fault(value.span(), format!("'{path}' is no folder"), hint);
                    return None;
                }
                path => Some(self.below(&path)),
            },
            None => None,
        };
        Some(State {
            backend: found?,
            place,
            path,
        })
    }
}
