//! What a connector tells the planner: which options it knows, and what they mean.

use crate::error::{Error, Span};
use crate::table::Column;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// A checked table of one connector. The crate of the connectors downcasts it to open sources and sinks.
pub trait TableSpec: Debug + Send + Sync + Any {
    /// Name of the connector, as in `connector = '...'`.
    fn connector(&self) -> &'static str;
    /// Whether rows can be read from it, written to it.
    fn direction(&self) -> Direction;
    /// For `explain`: one line, secrets masked.
    fn describe(&self) -> String;
    /// What names the log that is read, however it is reached: positions in it belong to this text. A moved broker is
    /// the same log, another topic is not.
    fn log(&self) -> String {
        self.describe()
    }
    /// For the downcast.
    fn as_any(&self) -> &dyn Any;
}

/// `type = 'source' | 'sink'`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Read from.
    Source,
    /// Written to.
    Sink,
}

/// Turns the options of a table into a spec. Stateless; opens nothing.
pub trait Connector: Send + Sync {
    /// As in `connector = '...'`.
    fn name(&self) -> &'static str;
    /// Checks columns and options. Takes every option that it knows out of `options`; the planner reports what is left as
    /// unknown, with [`Options::known`] as the list of what is allowed.
    fn table(&self, columns: &[Column], options: &mut Options) -> Result<Arc<dyn TableSpec>, Error>;
    /// A connector whose columns are fixed when none are declared (`impulse`). `None`: columns must be declared.
    fn default_columns(&self) -> Option<Vec<Column>> {
        None
    }
}

/// The connectors of a process by name.
#[derive(Default)]
pub struct Connectors(BTreeMap<&'static str, Box<dyn Connector>>);

impl Connectors {
    /// Adds one.
    pub fn register(&mut self, connector: impl Connector + 'static) {
        self.0.insert(connector.name(), Box::new(connector));
    }
    /// Looks one up.
    pub fn get(&self, name: &str) -> Option<&dyn Connector> {
        self.0.get(name).map(|c| c.as_ref())
    }
    /// All names, for error messages.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }
}

/// The `WITH (...)` options of one table. Reading an option takes it out and marks it as known.
#[derive(Debug, Default)]
pub struct Options {
    values: BTreeMap<String, (String, Option<Span>)>,
    known: Vec<&'static str>,
}

impl Options {
    /// From names and values with their places. A name given twice is the caller's error to report.
    pub fn new(values: impl IntoIterator<Item = (String, String, Option<Span>)>) -> Self {
        let values = values
            .into_iter()
            .map(|(name, value, span)| (name, (value, span)))
            .collect();
        Self {
            values,
            known: Vec::new(),
        }
    }

    /// Takes a text option.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.spanned(name).map(|(value, _)| value)
    }

    /// Takes a text option with its place.
    pub fn spanned(&mut self, name: &'static str) -> Option<(String, Option<Span>)> {
        self.known.push(name);
        self.values.remove(name)
    }

    /// Takes a text option that must be there.
    pub fn required(&mut self, name: &'static str) -> Result<String, Error> {
        self.text(name).ok_or_else(|| {
            Error::new(format!("option '{name}' is missing")).hint(format!("add {name} = '...' to WITH"))
        })
    }

    /// Takes an option that parses (numbers, `true` and `false`).
    pub fn parsed<T: std::str::FromStr>(&mut self, name: &'static str, what: &str) -> Result<Option<T>, Error> {
        match self.spanned(name) {
            None => Ok(None),
            Some((value, span)) => match value.trim().parse() {
                Ok(parsed) => Ok(Some(parsed)),
                Err(_) => Err(Error::new(format!("option '{name}' is '{value}', which is not {what}")).at(span)),
            },
        }
    }

    /// Takes an option with a fixed set of values.
    pub fn one_of<T: Copy>(&mut self, name: &'static str, allowed: &[(&str, T)]) -> Result<Option<T>, Error> {
        match self.spanned(name) {
            None => Ok(None),
            Some((value, span)) => match allowed.iter().find(|(word, _)| *word == value) {
                Some((_, meaning)) => Ok(Some(*meaning)),
                None => {
                    let words: Vec<_> = allowed.iter().map(|(word, _)| format!("'{word}'")).collect();
                    Err(Error::new(format!("option '{name}' cannot be '{value}'"))
                        .at(span)
                        .hint(format!("allowed: {}", words.join(", "))))
                }
            },
        }
    }

    /// Names that were asked for so far.
    pub fn known(&self) -> &[&'static str] {
        &self.known
    }

    /// Options that nobody took.
    pub fn unknown(&self) -> impl Iterator<Item = (&str, Option<Span>)> {
        self.values.iter().map(|(name, (_, span))| (name.as_str(), *span))
    }
}
