//! Faults with their places. A file in `tests/errors` holds cases, each after a line `-- case: name`, and each planned alone
//! behind the declarations at the top of the file (with the lines counted from the first line of the case).
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use hitters_planner::{Error, PlanOptions, plan};
use std::fmt::Write;

fn report(errors: &[Error]) -> String {
    let mut text = String::new();
    for error in errors {
        let place = match error.span {
            Some(s) => format!("{}:{}-{}:{}", s.line, s.column, s.end_line, s.end_column),
            None => "nowhere".to_string(),
        };
        writeln!(text, "{place} {}", error.message).unwrap();
        if let Some(hint) = &error.hint {
            writeln!(text, "    {hint}").unwrap();
        }
    }
    text
}

#[test]
fn every_case_has_the_faults_of_its_snapshot() {
    for (name, sql) in common::files("errors") {
        let mut cases = sql.split("-- case: ");
        let declarations = cases.next().unwrap().replace('\n', " ");
        let mut text = String::new();
        for case in cases {
            let (title, body) = case.split_once('\n').unwrap();
            let whole = format!("{declarations}\n{}", body.trim_end());
            let result = plan(
                &whole,
                &common::connectors(),
                &common::functions(),
                &PlanOptions::default(),
            );
            let errors = match result {
                Ok(_) => "no fault\n".to_string(),
                Err(mut errors) => {
                    for span in errors.iter_mut().filter_map(|e| e.span.as_mut()) {
                        span.line -= 1;
                        span.end_line -= 1;
                    }
                    report(&errors)
                }
            };
            writeln!(text, "{title}\n{}\n{errors}", indented(body.trim())).unwrap();
            assert!(
                errors.lines().all(|l| !l.starts_with("nowhere")),
                "{name}: {title} has no place: {errors}"
            );
            assert_ne!(errors, "no fault\n", "{name}: {title}");
        }
        insta::with_settings!({ snapshot_path => "errors", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.as_str(), text);
        });
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|l| format!("  | {l}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn all_faults_of_a_file_come_at_once() {
    let sql = "CREATE TABLE a (x INT, x INT, y GEOMETRY) WITH (connector = 'kafka', topic = 'a');
        SELEC 1;
        CREATE TABLE b (x INT) WITH (connector = 'kavka', topic = 'b');
        SELECT count(*) FROM a;
        SELECT z FROM c;";
    let errors = plan(
        sql,
        &common::connectors(),
        &common::functions(),
        &PlanOptions::default(),
    )
    .unwrap_err();
    let lines: Vec<_> = errors.iter().map(|e| e.span.unwrap().line).collect();
    // Two in the first table, none for the query over it.
    assert_eq!(lines, [1, 1, 2, 3, 5], "{}", report(&errors));
}

#[test]
fn a_text_without_a_query_is_an_error_unless_asked_for() {
    let sql = "CREATE TABLE a (x INT) WITH (connector = 'kafka', topic = 'a')";
    let errors = plan(
        sql,
        &common::connectors(),
        &common::functions(),
        &PlanOptions::default(),
    )
    .unwrap_err();
    assert_eq!(errors[0].message, "the text has no query");
    let options = PlanOptions {
        tables_only: true,
        ..PlanOptions::default()
    };
    let plan = plan(sql, &common::connectors(), &common::functions(), &options).unwrap();
    assert_eq!(plan.tables.len(), 1);
}
