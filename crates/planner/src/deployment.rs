//! What a cluster has to be told besides the SQL itself: which functions it calls, and where a replay begins to read.
//!
//! Both work on the tokens and statements of [`crate::syntax`], and change nothing but the values of options.

use crate::create_table::CreateTable;
use crate::error::Span;
use crate::syntax::{Statement, parse, place};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::collections::BTreeSet;

/// The names before an opening parenthesis, in lower case: all functions that a text calls, and some words besides (`in`,
/// tables with a list of columns). Empty for a text without tokens.
pub fn called_functions(sql: &str) -> BTreeSet<String> {
    let tokens = Tokenizer::new(&GenericDialect, sql).tokenize().unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut last = None;
    for token in tokens {
        match token {
            Token::Whitespace(_) => continue,
            Token::LParen => names.extend(last.take()),
            Token::Word(word) => last = Some(word.value.to_lowercase()),
            _ => last = None,
        }
    }
    names
}

/// Where a text declares a table: its name in `CREATE TABLE`.
pub fn table_place(sql: &str, name: &str) -> Option<Span> {
    let (statements, _) = parse(sql);
    let names = statements.iter().filter_map(|statement| match &statement.kind {
        Statement::CreateTable(table) => Some(&table.name),
        _ => None,
    });
    let found = names.into_iter().find(|found| found.value.eq_ignore_ascii_case(name))?;
    Some(place(found.span))
}

/// The addresses of brokers and servers that a text names, each with its first place.
pub fn addresses(sql: &str) -> Vec<(String, Span)> {
    let (statements, _) = parse(sql);
    let tables = statements.iter().filter_map(|statement| match &statement.kind {
        Statement::CreateTable(table) => Some(table),
        _ => None,
    });
    let mut found: Vec<(String, Span)> = Vec::new();
    for option in tables.flat_map(|table| &table.options) {
        let is_address = matches!(option.key.as_str(), "bootstrap_servers" | "address");
        if is_address && !found.iter().any(|(value, _)| *value == option.value) {
            found.push((option.value.clone(), option.value_span));
        }
    }
    found
}

/// The text with other options `source.offset` (and `source.group_id`, if a group is given) of its Kafka sources. A topic that the
/// text also writes is read as before: what is in it comes from the run itself.
///
/// Lines keep their numbers. A text that cannot be read comes back as it is: its faults are somebody else's to find.
pub fn read_from(sql: &str, offset: &str, group: Option<&str>) -> String {
    let (statements, _) = parse(sql);
    let tables = || {
        statements.iter().filter_map(|statement| match &statement.kind {
            Statement::CreateTable(table) => Some(table),
            _ => None,
        })
    };
    let sinks = tables().filter(|table| is_kafka(table, "sink"));
    let written: Vec<_> = sinks.map(|table| topic(table)).collect();
    let mut edits: Vec<(usize, usize, String)> = Vec::new();
    for table in tables() {
        if is_kafka(table, "source") && !written.contains(&topic(table)) {
            set(sql, table, "source.offset", offset, &mut edits);
            if let Some(group) = group {
                set(sql, table, "source.group_id", group, &mut edits);
            }
        }
    }
    // From the end, so that places before keep their offsets.
    edits.sort_by_key(|(start, ..)| *start);
    let mut text = sql.to_owned();
    for (start, end, new) in edits.into_iter().rev() {
        text.replace_range(start..end, &new);
    }
    text
}

fn is_kafka(table: &CreateTable, kind: &str) -> bool {
    let has = |key: &str, value: &str| table.options.iter().any(|one| one.key == key && one.value == value);
    has("connector", "kafka") && has("type", kind)
}

fn topic(table: &CreateTable) -> Option<&str> {
    let topic = table.options.iter().find(|one| one.key == "topic");
    topic.map(|one| one.value.as_str())
}

/// Sets an option: in the place of its value, or before the first option.
fn set(sql: &str, table: &CreateTable, key: &str, value: &str, edits: &mut Vec<(usize, usize, String)>) {
    let quoted = format!("'{}'", value.replace('\'', "''"));
    match table.options.iter().find(|one| one.key == key) {
        Some(option) => {
            let (start, end) = range(sql, option.value_span);
            edits.push((start, end, quoted));
        }
        None => {
            if let Some(first) = table.options.first() {
                let (start, _) = range(sql, first.key_span);
                edits.push((start, start, format!("'{key}' = {quoted}, ")));
            }
        }
    }
}

/// The bytes of a place.
fn range(sql: &str, span: Span) -> (usize, usize) {
    let offset = |line: u64, column: u64| {
        let mut start = 0;
        for _ in 1..line {
            start += sql[start..].find('\n').map_or(sql.len() - start, |newline| newline + 1);
        }
        let column = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
        let rest = &sql[start..];
        start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    };
    (offset(span.line, span.column), offset(span.end_line, span.end_column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_where_they_are_and_not_in_texts_and_comments() {
        let sql = "-- approx_top_k(a)\nSELECT 'count(*)', Approx_Top_K (item, 5), /* min( */ x FROM t WHERE y IN (1)";
        let found = called_functions(sql);
        assert_eq!(
            found.iter().map(String::as_str).collect::<Vec<_>>(),
            ["approx_top_k", "in"]
        );
    }

    #[test]
    fn each_address_is_found_once_at_its_first_place() {
        let sql = "CREATE TABLE a (x TEXT) WITH (connector = 'kafka', bootstrap_servers = 'k:1', topic = 't');\n\
                   CREATE TABLE b (x TEXT) WITH (connector = 'kafka', bootstrap_servers = 'k:1', topic = 'u');\n\
                   CREATE TABLE c (x TEXT) WITH (connector = 'redis', address = 'redis://r');";
        let found: Vec<_> = addresses(sql)
            .into_iter()
            .map(|(value, span)| (value, span.line))
            .collect();
        assert_eq!(found, [("k:1".to_string(), 1), ("redis://r".to_string(), 3)]);
    }

    #[test]
    fn a_replay_begins_elsewhere_and_everything_else_stays() {
        let sql = "CREATE TABLE é (a TEXT) WITH (connector = 'kafka', type = 'source', topic = 't',\n  'source.offset' = 'latest', format = 'json');\n\
                   CREATE TABLE s (a TEXT) WITH (connector = 'kafka', type = 'source', topic = 'u', format = 'json');\n\
                   CREATE TABLE o (a TEXT) WITH (connector = 'kafka', type = 'sink', topic = 'v', format = 'json');\n\
                   CREATE TABLE b (a TEXT) WITH (connector = 'kafka', type = 'source', topic = 'v', format = 'json');\n\
                   INSERT INTO o SELECT a FROM s;";
        let expected = sql
            .replace("'latest'", "'group'")
            .replace("é (a TEXT) WITH (", "é (a TEXT) WITH ('source.group_id' = 'o''g', ")
            .replace(
                "s (a TEXT) WITH (",
                "s (a TEXT) WITH ('source.offset' = 'group', 'source.group_id' = 'o''g', ",
            );
        assert_eq!(read_from(sql, "group", Some("o'g")), expected);
        assert_eq!(
            table_place(sql, "S").map(|place| (place.line, place.column)),
            Some((3, 14))
        );
        assert_eq!(table_place(sql, "nowhere"), None);
        assert_eq!(read_from("SELECT FROM", "earliest", None), "SELECT FROM");
    }
}
