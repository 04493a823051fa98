//! Answers as tables.

use crate::answers::{Recent, Window};
use arrow::temporal_conversions::timestamp_ms_to_datetime;
use comfy_table::{Cell, CellAlignment, Row, Table, presets};
use hitters_results::{Answer, Bounds, Unreadable};
use std::fmt::Write;

/// The kept windows of a table under a headline.
pub fn recent(title: &str, recent: &Recent) -> String {
    let mut out = String::new();
    let mut any = false;
    for (window, groups) in recent.windows() {
        any = true;
        let _ = writeln!(out, "\n{title}");
        if recent.has_windows() {
            let _ = writeln!(out, "{}", window_line(window));
        }
        let mut readable = Vec::new();
        for (group, text) in &groups.answers {
            match Answer::parse(text) {
                Ok(answer) => readable.push((group.as_str(), answer)),
                Err(Unreadable::Json(_)) if text.is_empty() => {}
                Err(error) => {
                    let _ = writeln!(out, "{group}: {error}");
                }
            }
        }
        out.push_str(&answers(&readable));
        if groups.rows > groups.answers.len() {
            let _ = writeln!(
                out,
                "and {} more groups",
                thousands((groups.rows - groups.answers.len()) as u128)
            );
        }
    }
    if !any {
        let _ = writeln!(out, "\n{title}\nno window has closed");
    }
    out
}

/// `2013-12-31 00:00 to 2014-01-01 00:00`: seconds only if there are any.
fn window_line((start, end): Window) -> String {
    let format = if [start, end].iter().all(|time| time % 60_000 == 0) {
        "%Y-%m-%d %H:%M"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    let time = |millis| match timestamp_ms_to_datetime(millis) {
        Some(time) => time.format(format).to_string(),
        None => format!("{millis} ms"),
    };
    format!("{} to {}", time(start), time(end))
}

/// Answers by group as one table: the items, then all others together, then the total; below it how sure it is.
pub fn answers(answers: &[(&str, Answer)]) -> String {
    if answers.is_empty() {
        return String::new();
    }
    let grouped = answers.iter().any(|(group, _)| !group.is_empty() && *group != "*");
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    let numbers = ["estimate", "lower", "upper"];
    let mut header: Vec<Cell> = Vec::new();
    if grouped {
        header.push(Cell::new("group"));
    }
    header.push(Cell::new("rank").set_alignment(CellAlignment::Right));
    header.push(Cell::new("item"));
    header.extend(numbers.map(|name| Cell::new(name).set_alignment(CellAlignment::Right)));
    header.push(Cell::new("certain"));
    table.set_header(header);
    for (index, (group, answer)) in answers.iter().enumerate() {
        if index > 0 {
            table.add_row(Row::from(Vec::<Cell>::new()));
        }
        let mut first = Some(
            group
                .replace("%7C", "|")
                .replace("%3D", "=")
                .replace("%2A", "*")
                .replace("%25", "%"),
        );
        let mut line = |rank: String, item: &str, count: Bounds, certain: &str| {
            let mut row: Vec<Cell> = Vec::new();
            if grouped {
                row.push(Cell::new(first.take().unwrap_or_default()));
            }
            row.push(Cell::new(rank).set_alignment(CellAlignment::Right));
            row.push(Cell::new(printable(item)));
            for number in [count.estimate, count.lower, count.upper] {
                row.push(Cell::new(thousands(number)).set_alignment(CellAlignment::Right));
            }
            row.push(Cell::new(certain));
            table.add_row(row);
        };
        for item in &answer.items {
            line(
                item.rank.to_string(),
                &item.item,
                item.count,
                if item.certain { "yes" } else { "" },
            );
        }
        line(String::new(), "(other)", answer.other, "");
        let total = Bounds {
            estimate: answer.total,
            lower: answer.total,
            upper: answer.total,
        };
        line(String::new(), "(total)", total, "");
    }
    let mut out = format!("{table}\n");
    // Groups of which the same can be said share a line.
    let mut notes: Vec<(String, Vec<&str>)> = Vec::new();
    for (group, answer) in answers {
        let note = note(answer);
        match notes.iter_mut().find(|(said, _)| *said == note) {
            Some((_, groups)) => groups.push(group),
            None => notes.push((note, vec![group])),
        }
    }
    for (note, groups) in &notes {
        let _ = match groups.as_slice() {
            _ if notes.len() == 1 => writeln!(out, "{note}"),
            [group] => writeln!(out, "{group}: {note}"),
            several => writeln!(out, "{} groups: {note}", several.len()),
        };
    }
    out
}

/// How sure an answer is, in words.
fn note(answer: &Answer) -> String {
    let skipped = match answer.skipped {
        0 => String::new(),
        skipped => format!("; {} rows had no item or weight and do not count", thousands(skipped)),
    };
    if answer.exact {
        return format!("exact: all items fit into the sketch{skipped}");
    }
    format!(
        "{} items tracked; every true count is from lower to upper; no other item counts more than {}{skipped}",
        thousands(answer.capacity.into()),
        thousands(answer.max_missed),
    )
}

/// Items come from streams that others write: control characters must not reach a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A size as people read it: `53.0 MB`, `812 kB`, `96 bytes`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u128) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_parted() {
        assert_eq!(
            [0, 999, 1000, 1234567].map(thousands),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn sizes_take_the_unit_that_fits() {
        assert_eq!(
            [96, 17_432, 53_000_000, 2_500_000_000].map(size),
            ["96 bytes", "17 kB", "53.0 MB", "2.50 GB"]
        );
    }

    #[test]
    fn windows_show_seconds_only_if_there_are_any() {
        assert_eq!(window_line((0, 86_400_000)), "1970-01-01 00:00 to 1970-01-02 00:00");
        assert_eq!(window_line((0, 10_000)), "1970-01-01 00:00:00 to 1970-01-01 00:00:10");
        assert_eq!(
            window_line((0, i64::MAX)),
            format!("1970-01-01 00:00:00 to {} ms", i64::MAX)
        );
    }

    #[test]
    fn a_table_has_the_items_the_rest_and_the_total() {
        let json = r#"{"format":1,"kind":"count","k":1,"capacity":8,"total":1234,"skipped":3,"exact":false,"certain_leaders":1,"max_missed":17,
            "items":[{"rank":1,"item":"a\u001b[2Jb","estimate":1000,"lower":990,"upper":1001,"certain":true}],
            "other":{"estimate":234,"lower":233,"upper":244}}"#;
        let text = answers(&[("origin=E%3DR", Answer::parse(json).unwrap())]);
        for expected in [
            "origin=E=R",
            "a\u{fffd}[2Jb",
            "1,001",
            "(other)",
            "(total)",
            "8 items tracked",
            "more than 17",
            "3 rows",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }
}
