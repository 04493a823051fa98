//! Faults and warnings as people and as programs read them.

use ariadne::{CharSet, Color, Config, IndexType, Label, Report, ReportKind, Source};
use hitters_pipeline::{Fault, Files};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write, stderr};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It runs, but the user should know.
    Warning,
}

/// Writes faults to standard error, each with its line, a caret and the hint. Colours only on a terminal.
pub fn print(faults: &[Fault], severity: Severity, files: &Files) {
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = stderr().lock();
    for fault in faults {
        // Standard error has gone away: there is nobody to tell.
        let _ = out.write_all(rendered(fault, severity, files, colours).as_bytes());
    }
}

/// One fault as text.
fn rendered(fault: &Fault, severity: Severity, files: &Files, colours: bool) -> String {
    let (kind, word, colour) = match severity {
        Severity::Error => (ReportKind::Error, "Error", Color::Red),
        Severity::Warning => (ReportKind::Warning, "Warning", Color::Yellow),
    };
    let plain = || {
        let hint = fault
            .hint
            .as_ref()
            .map(|hint| format!("\n  Help: {hint}"))
            .unwrap_or_default();
        format!("{word}: {}{hint}\n", fault.message)
    };
    let Some(place) = &fault.place else { return plain() };
    let (name, text) = (files.name(place.file), files.text(place.file));
    // Ariadne draws nothing for a place behind the last character, so an empty place takes the character before it.
    let end = place.range.end.min(text.len());
    let start = place.range.start.min(end);
    let (start, end) = if start < end {
        (start, end)
    } else {
        (text.floor_char_boundary(end.saturating_sub(1)), end)
    };
    let config = Config::default()
        .with_color(colours)
        .with_index_type(IndexType::Byte)
        .with_char_set(CharSet::Unicode);
    let span = (name, start..end);
    let mut report = Report::build(kind, span.clone())
        .with_config(config)
        .with_message(&fault.message);
    report = report.with_label(Label::new(span).with_message("here").with_color(colour));
    if let Some(hint) = &fault.hint {
        report = report.with_help(hint);
    }
    let mut out = Vec::new();
    match report.finish().write((name, Source::from(text)), &mut out) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => plain(),
    }
}

/// A fault as JSON: places are 1-based lines and columns, the end behind the last character.
pub fn json(fault: &Fault, files: &Files) -> Value {
    let mut value = json!({ "message": fault.message });
    if let Some(place) = &fault.place {
        let (line, column) = files.line_and_column(place.file, place.range.start);
        let (end_line, end_column) = files.line_and_column(place.file, place.range.end);
        value["file"] = files.name(place.file).into();
        value["line"] = line.into();
        value["column"] = column.into();
        value["end_line"] = end_line.into();
        value["end_column"] = end_column.into();
    }
    if let Some(hint) = &fault.hint {
        value["hint"] = hint.as_str().into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_line_a_caret_and_the_hint() {
        let mut files = Files::default();
        let file = files.add("q.sql", "SELECT 1\nFROM é, nowhere;\n");
        let fault = Fault::new("there is no table 'nowhere'")
            .at(file, 18..25)
            .hint("tables: events");
        let text = rendered(&fault, Severity::Error, &files, false);
        for expected in [
            "there is no table 'nowhere'",
            "q.sql:2:9",
            "FROM é, nowhere;",
            "tables: events",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert_eq!(json(&fault, &files)["column"], 9);
    }

    #[test]
    fn places_at_or_behind_the_end_do_no_harm() {
        let mut files = Files::default();
        for text in ["", "x", "é", "a\nb\n"] {
            let file = files.add("f", text);
            for range in [
                0..0,
                text.len()..text.len(),
                text.len() + 5..text.len() + 9,
                0..usize::MAX,
            ] {
                let fault = Fault::new("said anyway").at(file, range);
                assert!(rendered(&fault, Severity::Warning, &files, false).contains("said anyway"));
            }
        }
    }
}
