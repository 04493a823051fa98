//! `[[show]]`: what a run shows at its end.

use crate::fault::Place;
use crate::reader::{Keys, Reader};
use toml::Spanned;
use toml::de::DeValue;

/// `[[show]]`: one table of answers to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Show {
    /// A sink table of the SQL.
    pub table: String,
    /// Where the pipeline file names it, for an error if there is no such table.
    pub place: Place,
    /// The headline; the table's name if not given.
    pub title: Option<String>,
    /// How many windows, the last ones.
    pub windows: usize,
    /// How many groups of a window, the first ones by key.
    pub groups: usize,
}

impl Reader<'_> {
    pub(crate) fn shows(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<Show> {
        let DeValue::Array(list) = value.get_ref() else {
            self.fault(
                value.span(),
                "'show' must be a list of tables",
                "write [[show]], with two brackets",
            );
            return Vec::new();
        };
        list.iter().filter_map(|one| self.show(one)).collect()
    }

    fn show(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Show> {
        let DeValue::Table(table) = value.get_ref() else {
            self.fault(
                value.span(),
                "'show' must be a list of tables",
                "write [[show]], then table = \"...\" below it",
            );
            return None;
        };
        let mut keys = Keys::new(table);
        let name = keys.take("table");
        let title = keys
            .take("title")
            .and_then(|value| self.text(value))
            .map(|title| title.text);
        let count = |reader: &mut Self, value: Option<&Spanned<DeValue<'_>>>, default: usize| {
            let number = value.and_then(|value| reader.integer(value, 1..=1000));
            number
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or(default)
        };
        let windows = keys.take("windows");
        let windows = count(self, windows, 1);
        let groups = keys.take("groups");
        let groups = count(self, groups, 10);
        self.unknown(&keys, &["table", "title", "windows", "groups"]);
        let Some(name) = name else {
            self.fault(
                value.span(),
                "[[show]] names no table",
                "add table = \"NAME\", a table that the SQL writes to",
            );
            return None;
        };
        let table = self.text(name)?.text;
        Some(Show {
            table,
            place: Place {
                file: self.file,
                range: name.span(),
            },
            title,
            windows,
            groups,
        })
    }
}
