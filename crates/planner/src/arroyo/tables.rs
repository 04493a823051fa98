//! The name of a table, and what other rules ask of it.

use super::findings::Findings;
use crate::create_table::{CreateTable, TableOption};
use crate::error::{Error, Span};
use crate::syntax::place;
use std::collections::HashMap;

/// A declared table with a connector.
#[derive(Debug)]
pub(crate) struct Facts {
    pub name: String,
    pub at: Span,
    pub connector: String,
    /// `type = 'sink'`, or a connector that is nothing else.
    pub sink: bool,
    pub format: Option<String>,
    /// Names of the columns; none if the first query gives them.
    pub columns: Vec<String>,
    /// Columns of the first query, for a table that was declared without any.
    pub inferred: Option<Vec<(String, String)>>,
    options: HashMap<String, (String, Span)>,
}

impl Facts {
    /// Nothing for a memory table.
    pub(crate) fn of(statement: &CreateTable) -> Option<Self> {
        let one = |o: &TableOption| (o.key.clone(), (o.value.clone(), o.value_span));
        let options: HashMap<_, _> = statement.options.iter().map(one).collect();
        let (connector, _) = options.get("connector").filter(|(name, _)| name != "memory")?.clone();
        let only_sink = matches!(connector.as_str(), "stdout" | "blackhole");
        let value = |key: &str| options.get(key).map(|(value, _)| value.clone());
        Some(Self {
            name: statement.name.value.clone(),
            at: place(statement.name.span),
            sink: only_sink || value("type").is_some_and(|kind| kind == "sink"),
            format: value("format"),
            columns: statement.columns.iter().map(|c| c.name.value.clone()).collect(),
            inferred: None,
            connector,
            options,
        })
    }

    /// The value of an option.
    pub(crate) fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(|(value, _)| value.as_str())
    }

    /// Where the value of an option stands, or the table.
    pub(crate) fn place(&self, key: &str) -> Span {
        self.options.get(key).map_or(self.at, |(_, span)| *span)
    }

    /// Whether its rows come to an end.
    pub(crate) fn ends(&self) -> bool {
        !self.sink && (self.connector == "single_file" || self.option("message_count").is_some())
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format.as_deref() == Some("json")
    }

    pub(crate) fn is_true(&self, key: &str) -> bool {
        matches!(self.option(key), Some("true" | "yes"))
    }
}

/// The quotes would become a part of the name.
pub(crate) fn check(statement: &CreateTable, found: &mut Findings) {
    if statement.name.quote_style.is_some() {
        let name = &statement.name.value;
        found.error(
            Error::new(format!(
                "Arroyo cannot find the table {name} again, since it keeps the quotes in its name"
            ))
            .at(place(statement.name.span))
            .hint("give it a name that needs no quotes"),
        );
    }
}
