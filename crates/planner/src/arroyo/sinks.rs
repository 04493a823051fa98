//! What writing a table on Arroyo loses, doubles or puts in the wrong place.

use super::findings::Findings;
use super::queries;
use super::relation::Relation;
use super::tables::Facts;
use crate::error::{Error, Span};
use crate::places::Places;
use crate::types::sql_type;
use datafusion_expr::LogicalPlan;

/// An `INSERT INTO`.
pub(crate) struct Written {
    pub table: String,
    pub at: Span,
    /// The columns that the statement names; none: all of them.
    pub named: Vec<String>,
    /// Which columns of the query may be NULL.
    pub nulls: Vec<bool>,
    /// The expressions behind SELECT, as far as each stands for one column.
    pub selected: Vec<Option<Span>>,
}

/// The declaration.
pub(crate) fn check(facts: &Facts, found: &mut Findings) {
    if facts.connector == "redis" && facts.option("target") == Some("list") {
        found.warning(
            Error::new("on Arroyo, rows since the last checkpoint are pushed to the list again after a failure")
                .at(facts.place("target"))
                .hint("strings and hashes are replaced by key, and so stay right; or let readers drop repeated rows"),
        );
    }
}

/// A query that writes the table.
pub(crate) fn written(facts: &Facts, written: &Written, rows: &Relation, found: &mut Findings) {
    if facts.connector != "redis" {
        return;
    }
    if let Some(source) = &rows.ends {
        found.error(
            Error::new(format!(
                "the rows of {source} come to an end, and Arroyo's Redis writer then loses those of the last 100 ms, in a short job all"
            ))
            .at(written.at)
            .hint("write to Kafka or to a file, or read a source that goes on"),
        );
    }
    for option in ["target.key_column", "target.field_column"] {
        let Some(column) = facts.option(option) else { continue };
        let names: &[String] = if written.named.is_empty() {
            &facts.columns
        } else {
            &written.named
        };
        let position = names.iter().position(|name| name.eq_ignore_ascii_case(column));
        if let Some(position) = position
            && written.nulls.get(position) == Some(&true)
        {
            found.error(
                Error::new(format!(
                    "the key column {column} may be NULL here, and Arroyo then writes to the key without it, silently"
                ))
                .at(written.selected.get(position).copied().flatten())
                .at(written.at)
                .hint(format!("write coalesce(..., what stands for NULL) AS {column}")),
            );
        }
    }
}

/// A table without columns takes those of its first query; all others must have the same.
pub(crate) fn inferred(
    facts: &mut Facts,
    written: &Written,
    plan: &LogicalPlan,
    places: &Places,
    found: &mut Findings,
) {
    if !facts.columns.is_empty() {
        return;
    }
    queries::names(plan, places, found);
    let fields = plan.schema().fields().iter();
    let columns: Vec<_> = fields.map(|f| (f.name().clone(), sql_type(f.data_type()))).collect();
    match &facts.inferred {
        None => facts.inferred = Some(columns),
        Some(first) if *first != columns => {
            let shown: Vec<_> = first
                .iter()
                .map(|(name, data_type)| format!("{name} {data_type}"))
                .collect();
            found.error(
                Error::new(format!(
                    "Arroyo wants every query of table {} to give the columns of the first one, with their names and types",
                    facts.name
                ))
                .at(written.at)
                .hint(format!("the first gives ({}); or declare the columns of the table", shown.join(", "))),
            );
        }
        Some(_) => {}
    }
}
