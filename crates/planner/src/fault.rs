//! DataFusion's errors as ours: the place from its diagnostics, the words without its prefixes, a hint where one helps.

use crate::error::{Error, Span};
use crate::wording::in_sql;
use datafusion_common::error::DataFusionError;
use datafusion_common::{Column, SchemaError, Span as DfSpan};

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
        other => {
            let fault = plain(&words(other));
            Error {
                message: in_sql(&fault.message),
                hint: fault.hint.map(|hint| in_sql(&hint)),
                ..fault
            }
        }
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

/// `tumble(...).start`. Arroyo's planner does not take it either.
pub(crate) const FIELD_OF_CALL: &str = "a field of a call cannot be taken here";

/// What DataFusion puts before its words.
const PREFIXES: [&str; 7] = [
    "Error during planning: ",
    "Execution error: ",
    "Internal error: ",
    "This feature is not implemented: ",
    "Optimizer rule 'type_coercion' failed: ",
    "Arrow error: ",
    "Parser error: ",
];

fn bare(mut text: &str) -> &str {
    text = text.trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest.trim_start();
    }
    text
}

fn plain(text: &str) -> Error {
    let text = text.split("\n\nbacktrace:").next().unwrap_or(text);
    let text = text
        .split("This issue was likely caused by a bug in DataFusion")
        .next()
        .unwrap_or(text);
    let text = bare(text);
    if text.starts_with("Dot access not supported") {
        return Error::new(FIELD_OF_CALL).hint(
            "name the value in a query below, and take its field around it: SELECT window.start FROM (SELECT tumble(INTERVAL '1 minute') AS window, ... GROUP BY 1)",
        );
    }
    if text.starts_with("Projections require unique expression names") {
        let name = text.split('"').nth(1).unwrap_or("a column");
        return Error::new(format!("column {name} comes out twice")).hint("give one of them another name with AS");
    }
    // "Function 'f' failed to match any signature, errors: Error during planning: A (DataType: T).,Error during planning: B"
    if let Some((_, reasons)) = text.split_once(" failed to match any signature, errors: ") {
        let reason = reasons.split(",Error during planning: ").next().unwrap_or(reasons);
        let reason = reason.split(" (DataType:").next().unwrap_or(reason);
        return Error::new(bare(reason).replace("requires String", "requires TEXT"));
    }
    // A function of ours that refuses its arguments says why itself.
    if let Some((_, reason)) = text.split_once(" coercion failed with: ") {
        let reason = reason
            .split(" No function matches the given name")
            .next()
            .unwrap_or(reason);
        return Error::new(bare(reason).trim_end_matches('.'));
    }
    // "... No function matches the given name and argument types 'f(Int64)'. You might need ...\n\tCandidate functions:..."
    if let Some((_, call)) = text.split_once("No function matches the given name and argument types '")
        && let Some((call, rest)) = call.split_once("'.")
    {
        let candidates = rest.split_once("Candidate functions:").map_or("", |(_, list)| list);
        let candidates: Vec<_> = candidates
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let fault = Error::new(format!("there is no {call} with these types of arguments"));
        return if candidates.is_empty() {
            fault
        } else {
            fault.hint(format!("there is {}", list(candidates.iter())))
        };
    }
    // "Invalid function 'x'.\nDid you mean 'y'?"
    let (first, rest) = match text.split_once('\n') {
        Some((first, rest)) => (first.trim_end().trim_end_matches('.'), rest.trim()),
        None => (text.trim_end_matches('.'), ""),
    };
    let fault = match first.strip_prefix("Invalid function ") {
        Some(name) => Error::new(format!("there is no function {name}")),
        None => Error::new(first),
    };
    let hint = rest.split_whitespace().collect::<Vec<_>>().join(" ");
    if hint.is_empty() {
        fault
    } else {
        fault.hint(hint.replace("Did you mean", "did you mean"))
    }
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
