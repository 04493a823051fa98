//! `[checkpoint]`: where a run keeps its state, how often, and how much of it.

use crate::fault::Place;
use crate::quantity;
use crate::reader::{Keys, Reader, join};
use std::cell::RefCell;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// How often state is stored if the file does not say.
const INTERVAL: Duration = Duration::from_secs(10);

/// A checkpoint costs a few calls of a store; more often than this a run would do little else.
const SHORTEST: Duration = Duration::from_millis(100);

/// How many checkpoints are kept if the file does not say.
const KEEP: usize = 3;

/// `[checkpoint]`: the table alone, without keys, asks for checkpoints as they are by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// `storage`: a URL, or the path of a folder. A relative path is one from the pipeline file, not from the folder that the
    /// command is run in: a run that is started elsewhere must find its state again. Default: `state/NAME`. Each version of the
    /// pipeline has a folder of its own in it, `vVERSION`, which is part of this text: a replay runs beside the version before.
    pub storage: String,
    /// Parts of that text which came from the environment, and must not be shown.
    pub(crate) secrets: Vec<String>,
    /// Where the pipeline file says so, for an error of who opens it.
    pub place: Place,
    /// `interval`: time between the starts of two checkpoints; `None` for `off`: only when the run is stopped.
    pub interval: Option<Duration>,
    /// `keep`: how many checkpoints are kept, the newest ones.
    pub keep: usize,
}

/// The folder of a version below a path or URL.
fn of_version(storage: &str, version: u64) -> String {
    let url = storage.contains("://");
    let (path, query) = storage.split_once('?').filter(|_| url).unwrap_or((storage, ""));
    let slash = if path.ends_with('/') { "" } else { "/" };
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{path}{slash}v{version}{mark}{query}")
}

impl Reader<'_> {
    /// Reads the table. `None` if something in it is wrong.
    pub(crate) fn checkpoint(&mut self, table: &Spanned<DeValue<'_>>, name: &str, version: u64) -> Option<Checkpoint> {
        let DeValue::Table(keys) = table.get_ref() else {
            self.fault(
                table.span(),
                "'checkpoint' must be a table",
                "write [checkpoint], then storage = \"...\" and interval = \"10s\" below it, if they are to differ",
            );
            return None;
        };
        let mut keys = Keys::new(keys);
        let (storage, interval, keep) = (keys.take("storage"), keys.take("interval"), keys.take("keep"));
        self.unknown(&keys, &["storage", "interval", "keep"]);
        let place = Place {
            file: self.file,
            range: storage.unwrap_or(table).span(),
        };
        // Every key is read, so that each says what is wrong with it.
        let mut secrets = Vec::new();
        let storage = match storage {
            Some(value) => self.storage(value, &mut secrets),
            None => Some(self.below(&format!("state/{name}"))),
        };
        let storage = storage.map(|storage| of_version(&storage, version));
        let interval = interval.map_or(Some(Some(INTERVAL)), |value| self.interval(value));
        let keep = keep.map_or(Some(KEEP), |value| {
            self.integer(value, 1..=1000)
                .and_then(|keep| usize::try_from(keep).ok())
        });
        Some(Checkpoint {
            storage: storage?,
            secrets,
            place,
            interval: interval?,
            keep: keep?,
        })
    }

    fn storage(&mut self, value: &Spanned<DeValue<'_>>, secrets: &mut Vec<String>) -> Option<String> {
        let (environment, seen) = (self.environment, RefCell::default());
        let listening = |name: &str| {
            let found = environment(name);
            Vec::extend(&mut *seen.borrow_mut(), found.clone());
            found
        };
        let text = self.text_from(value, &listening);
        *secrets = seen.into_inner();
        let text = text?.text;
        if text.is_empty() {
            self.fault(
                value.span(),
                "an empty text names no storage",
                "a folder, s3://bucket/prefix or hdfs://host:port/path",
            );
            return None;
        }
        Some(if text.contains("://") { text } else { self.below(&text) })
    }

    /// A path from the pipeline file.
    pub(crate) fn below(&self, path: &str) -> String {
        join(self.base, path).display().to_string()
    }

    fn interval(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Option<Duration>> {
        let text = self.text(value)?.text;
        if text == "off" {
            return Some(None);
        }
        match quantity::duration(&text) {
            Ok(interval) if interval >= SHORTEST => Some(Some(interval)),
            Ok(_) => {
                self.fault(
                    value.span(),
                    format!("'{text}' is too short between two checkpoints"),
                    "100ms at least; \"off\" for none but the last",
                );
                None
            }
            Err(hint) => {
                self.fault(
                    value.span(),
                    format!("'{text}' is not a duration"),
                    format!("{hint}; or \"off\""),
                );
                None
            }
        }
    }
}
