//! Values of a pipeline file: each is checked where it stands, and every fault is collected.

use crate::fault::{Fault, FileId};
use crate::parameter::{Environment, Value};
use crate::quantity;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Keys of the pipeline file that are planned and do nothing yet. They are refused: a setting that has no effect is worse
/// than none.
const LATER: [(&str, &str); 3] = [
    (
        "retention",
        "this version does not prune: set 'target.ttl_secs' on the Redis tables",
    ),
    ("panes", "this version has no roll-up: write the windows into the SQL"),
    (
        "sets",
        "this version has no roll-up: write one INSERT for each dimension set",
    ),
];

/// The keys of one TOML table, taken out one by one.
pub(crate) struct Keys<'a> {
    table: &'a DeTable<'a>,
    taken: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(table: &'a DeTable<'a>) -> Self {
        Self {
            table,
            taken: Vec::new(),
        }
    }

    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.taken.push(key);
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }
}

/// Checks values of one pipeline file and collects what is wrong.
pub(crate) struct Reader<'a> {
    pub(crate) file: FileId,
    pub(crate) base: &'a Path,
    pub(crate) environment: Environment<'a>,
    pub(crate) faults: Vec<Fault>,
}

impl Reader<'_> {
    pub(crate) fn fault(&mut self, place: Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(Fault::new(message).at(self.file, place).hint(hint));
    }

    /// How many faults were found so far.
    pub(crate) fn faults(&self) -> usize {
        self.faults.len()
    }

    pub(crate) fn unknown(&mut self, keys: &Keys<'_>, known: &[&str]) {
        for (key, _) in keys
            .table
            .iter()
            .filter(|(key, _)| !keys.taken.contains(&key.get_ref().as_ref()))
        {
            let name = key.get_ref().as_ref();
            match LATER.iter().find(|(later, _)| *later == name) {
                Some((_, instead)) => self.fault(key.span(), format!("the key '{name}' has no effect yet"), *instead),
                None => self.fault(
                    key.span(),
                    format!("unknown key '{name}'"),
                    format!("known keys: {}", known.join(", ")),
                ),
            }
        }
    }

    pub(crate) fn text(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        self.text_from(value, self.environment)
    }

    /// A text with values of this environment.
    pub(crate) fn text_from(&mut self, value: &Spanned<DeValue<'_>>, environment: Environment<'_>) -> Option<Value> {
        let DeValue::String(text) = value.get_ref() else {
            self.fault(value.span(), "a text was expected here", "write it in quotes");
            return None;
        };
        match Value::expand(text, environment) {
            Ok(value) => Some(value),
            Err((message, hint)) => {
                self.fault(value.span(), message, hint);
                None
            }
        }
    }

    pub(crate) fn integer(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .filter(|n| range.contains(n)),
            _ => None,
        };
        if number.is_none() {
            self.fault(
                value.span(),
                "this is no number that can stand here",
                format!("a whole number from {} to {}", range.start(), range.end()),
            );
        }
        number
    }

    pub(crate) fn size(&mut self, value: &Spanned<DeValue<'_>>) -> Option<u64> {
        if let DeValue::Integer(_) = value.get_ref() {
            return self.integer(value, 1..=1 << 53);
        }
        let text = self.text(value)?.text;
        quantity::bytes(&text)
            .map_err(|hint| self.fault(value.span(), format!("'{text}' is not a size"), hint))
            .ok()
    }

    pub(crate) fn duration(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Duration> {
        let text = self.text(value)?.text;
        quantity::duration(&text)
            .map_err(|hint| self.fault(value.span(), format!("'{text}' is not a duration"), hint))
            .ok()
    }
}

/// Joins and drops `.` and `dir/..`, so that paths read well. A leading `..` stays.
pub(crate) fn join(base: &Path, path: &str) -> PathBuf {
    let mut joined = PathBuf::new();
    for component in base.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(joined.components().next_back(), Some(Component::Normal(_))) => {
                joined.pop();
            }
            other => joined.push(other),
        }
    }
    joined
}
