//! DataFusion's messages in words of SQL: types and constants by the names that a user writes.

use crate::sql_text::interval;

/// `TEXT` for `Utf8View`, `5` for `Int64(5)`, `INTERVAL '10 seconds'` for `IntervalMonthDayNano(...)`, anywhere in a text.
/// What stands in quotes is the user's and stays.
pub(crate) fn in_sql(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let word = &rest[..rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len())];
        if word.is_empty() {
            out.push(first);
            before = first;
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let behind = &rest[word.len()..];
        let free = !matches!(before, '"' | '.') && !behind.starts_with(['"', '.']);
        match translated(word, behind).filter(|_| free) {
            Some((sql, after)) => {
                out.push_str(&sql);
                rest = after;
            }
            None => {
                out.push_str(word);
                rest = behind;
            }
        }
        before = 'x';
    }
    out
}

/// A word of Arrow with what stands in parentheses behind it, and the text after both.
fn translated<'t>(word: &str, behind: &'t str) -> Option<(String, &'t str)> {
    let simple = match word {
        "Utf8" | "Utf8View" | "LargeUtf8" => "TEXT",
        "BinaryView" | "LargeBinary" => "BYTEA",
        "Boolean" => "BOOLEAN",
        "Int8" => "TINYINT",
        "Int16" => "SMALLINT",
        "Int32" => "INT",
        "Int64" => "BIGINT",
        "UInt8" => "TINYINT UNSIGNED",
        "UInt16" => "SMALLINT UNSIGNED",
        "UInt32" => "INT UNSIGNED",
        "UInt64" => "BIGINT UNSIGNED",
        "Float32" => "FLOAT",
        "Float64" => "DOUBLE",
        "Date32" | "Date64" => "DATE",
        _ => "",
    };
    let Some((inner, after)) = parentheses(behind) else {
        return (!simple.is_empty()).then(|| (simple.to_string(), behind));
    };
    if !simple.is_empty() {
        // A constant: Int64(5), Utf8("x").
        let quoted = inner.strip_prefix('"').and_then(|i| i.strip_suffix('"'));
        let constant = quoted.map_or_else(|| inner.to_string(), |text| format!("'{}'", text.replace('\'', "''")));
        return Some((constant, after));
    }
    let sql = match word {
        "Timestamp" => match inner.split(',').next()? {
            "ns" | "Nanosecond" => "TIMESTAMP".to_string(),
            "µs" | "us" | "Microsecond" => "TIMESTAMP(6)".to_string(),
            "ms" | "Millisecond" => "TIMESTAMP(3)".to_string(),
            "s" | "Second" => "TIMESTAMP(0)".to_string(),
            _ => return None,
        },
        "Time32" | "Time64" => "TIME".to_string(),
        "Interval" | "Duration" => "INTERVAL".to_string(),
        "Decimal128" | "Decimal256" => format!("DECIMAL({inner})"),
        "List" | "LargeList" | "ListView" => {
            let item = inner.split(", field:").next()?;
            format!("{}[]", in_sql(item.trim_start_matches("non-null ")))
        }
        "Struct" => format!("STRUCT<{}>", in_sql(inner)),
        // The values of the JSON functions.
        "Union" => "JSON".to_string(),
        "IntervalMonthDayNano" => {
            let numbers: Vec<i64> = inner
                .split(|c: char| !c.is_ascii_digit() && c != '-')
                .filter_map(|n| n.parse().ok())
                .collect();
            let &[months, days, nanos] = numbers.as_slice() else {
                return None;
            };
            interval(months.try_into().ok()?, days.try_into().ok()?, nanos)
        }
        _ => return None,
    };
    Some((sql, after))
}

/// What stands in the parentheses that a text begins with, and what comes after them.
fn parentheses(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then(|| (&text[1..at], &text[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::in_sql;

    #[test]
    fn types_and_constants_are_told_as_in_sql() {
        for (arrow, sql) in [
            (
                "Cannot coerce Utf8View + Timestamp(ns)",
                "Cannot coerce TEXT + TIMESTAMP",
            ),
            ("List(Utf8View) to Int64", "TEXT[] to BIGINT"),
            ("List(non-null Decimal128(10, 2))", "DECIMAL(10, 2)[]"),
            ("f(Int64(5), Utf8(\"it's\"))", "f(5, 'it''s')"),
            ("Timestamp(Millisecond, Some(\"UTC\"))", "TIMESTAMP(3)"),
            (
                "tumble(IntervalMonthDayNano(\"IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 10000000000 }\"))",
                "tumble(INTERVAL '10 seconds')",
            ),
            (
                "Struct(\"a\": Utf8, \"b\": Int64)",
                "STRUCT<\"a\": TEXT, \"b\": BIGINT>",
            ),
            ("no column \"Int64\" in e.Utf8", "no column \"Int64\" in e.Utf8"),
            ("Int64(", "BIGINT("),
            ("µ(Ünïcode) Int64", "µ(Ünïcode) BIGINT"),
        ] {
            assert_eq!(in_sql(arrow), sql);
        }
    }
}
