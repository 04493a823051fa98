//! DataFusion's errors as ours: the place from its diagnostics, the words without its prefixes, a hint where one helps.

use crate::error::{Error, Span};
use datafusion::common::{Column, SchemaError, Span as DfSpan};
use datafusion::error::DataFusionError;

/// Longest list of names in a hint.
const LISTED: usize = 12;

/// One DataFusion error may hold several.
pub(crate) fn errors(error: &DataFusionError) -> Vec<Error> {
    error.iter().map(single).collect()
}

/// The first of them.
pub(crate) fn error(error: &DataFusionError) -> Error {
    error
        .iter()
        .next()
        .map(single)
        .unwrap_or_else(|| Error::new(error.to_string()))
}

fn single(error: &DataFusionError) -> Error {
    let span = error.diagnostic().and_then(|d| d.span).and_then(span);
    let root = error.find_root();
    let fault = match root {
        DataFusionError::SchemaError(schema, _) => schema_error(schema),
        other => plain(&words(other)),
    };
    fault.at(span)
}

fn schema_error(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let fault = Error::new(format!("there is no column {}", field.quoted_flat_name()))
                .at(field.spans.first().and_then(span));
            let close = valid_fields
                .iter()
                .find(|c| c.name.eq_ignore_ascii_case(&field.name))
                .or_else(|| {
                    valid_fields
                        .iter()
                        .min_by_key(|c| distance(&c.name, &field.name))
                        .filter(|c| near(&c.name, &field.name))
                });
            match close {
                Some(column) => fault.hint(format!("did you mean {}?", column.quoted_flat_name())),
                None if valid_fields.is_empty() => fault,
                None => fault.hint(format!(
                    "columns here: {}",
                    list(valid_fields.iter().map(Column::quoted_flat_name))
                )),
            }
        }
        SchemaError::AmbiguousReference { field } => {
            Error::new(format!("column {} stands in several inputs", field.quoted_flat_name()))
                .at(field.spans.first().and_then(span))
                .hint("write the name of the input before it, as in a.column")
        }
        SchemaError::DuplicateQualifiedField { qualifier, name } => {
            Error::new(format!("column {qualifier}.{name} comes out twice"))
                .hint("give one of them another name with AS")
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new(format!("column {name} comes out twice")).hint("give one of them another name with AS")
        }
    }
}

/// Words of an error without the prefixes that tell where in DataFusion it was made.
fn words(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Plan(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Execution(text)
        | DataFusionError::Configuration(text)
        | DataFusionError::Internal(text) => text.clone(),
        DataFusionError::ArrowError(e, _) => e.to_string(),
        other => other.to_string(),
    }
}

fn plain(text: &str) -> Error {
    let text = text.split("\n\nbacktrace:").next().unwrap_or(text).trim();
    let text = text.strip_prefix("Error during planning: ").unwrap_or(text);
    // "Invalid function 'x'.\nDid you mean 'y'?" and lists of signatures stand on lines of their own.
    let (first, rest) = match text.split_once('\n') {
        Some((first, rest)) => (first.trim_end().trim_end_matches('.'), rest.trim()),
        None => (text.trim_end_matches('.'), ""),
    };
    let mut first = first.to_string();
    if let Some(name) = first.strip_prefix("Invalid function ") {
        first = format!("there is no function {name}");
    }
    let fault = Error::new(first);
    let hint = rest.split_whitespace().collect::<Vec<_>>().join(" ");
    if hint.is_empty() { fault } else { fault.hint(hint) }
}

/// DataFusion's places are sqlparser's.
pub(crate) fn span(span: impl std::borrow::Borrow<DfSpan>) -> Option<Span> {
    let span = span.borrow();
    (span.start.line > 0).then_some(Span {
        line: span.start.line,
        column: span.start.column,
        end_line: span.end.line,
        end_column: span.end.column,
    })
}

/// `a, b, c and 12 more`.
pub(crate) fn list(names: impl Iterator<Item = impl AsRef<str>>) -> String {
    let names: Vec<_> = names.collect();
    let shown: Vec<_> = names.iter().take(LISTED).map(AsRef::as_ref).collect();
    match names.len().checked_sub(LISTED) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The name among `known` that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .min_by_key(|candidate| distance(candidate, name))
        .filter(|candidate| near(candidate, name))
}

fn near(a: &str, b: &str) -> bool {
    distance(a, b) <= 1 + a.len().min(b.len()) / 4
}

/// Edit distance (Levenshtein) of the lower-case names, cut to 64 characters since it costs their product.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().take(64).collect();
    let b: Vec<char> = b.to_lowercase().chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
