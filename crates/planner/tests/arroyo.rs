//! Files that the embedded engine takes, checked for Arroyo. A file in `tests/arroyo` holds cases, each after a line
//! `-- case: name`, planned alone behind the declarations at the top of the file (with the lines counted from the first line of
//! the case). The snapshot shows what is said of each.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use hitters_planner::{Cluster, Error, PlanOptions, Span, plan};
use std::fmt::Write;

fn options(partitions: Option<usize>) -> PlanOptions {
    PlanOptions {
        arroyo: Some(Cluster {
            parallelism: 2,
            partitions,
            chaining: true,
        }),
        ..PlanOptions::default()
    }
}

fn checked(sql: &str, partitions: Option<usize>) -> Vec<(&'static str, Error)> {
    let (connectors, functions) = (common::connectors(), common::functions());
    match plan(sql, &connectors, &functions, &options(partitions)) {
        Ok(plan) => {
            let error = |w: &hitters_planner::plan::Warning| Error {
                message: w.message.clone(),
                span: w.span,
                hint: w.hint.clone(),
            };
            plan.warnings.iter().map(|w| ("warning", error(w))).collect()
        }
        Err(errors) => errors.into_iter().map(|e| ("error", e)).collect(),
    }
}

#[test]
fn every_case_is_told_what_arroyo_makes_of_it() {
    for (name, sql) in common::files("arroyo") {
        let mut cases = sql.split("-- case: ");
        let declarations = cases.next().unwrap().replace('\n', " ");
        let mut text = String::new();
        for case in cases {
            let (title, body) = case.split_once('\n').unwrap();
            let whole = format!("{declarations}\n{}", body.trim_end());
            let embedded = plan(
                &whole,
                &common::connectors(),
                &common::functions(),
                &PlanOptions::default(),
            );
            assert!(embedded.is_ok(), "{name}: {title}: {:?}", embedded.err());
            writeln!(text, "{title}").unwrap();
            body.trim()
                .lines()
                .for_each(|line| writeln!(text, "  | {line}").unwrap());
            let mut said = false;
            for (kind, found) in checked(&whole, Some(2)) {
                let Span {
                    line,
                    column,
                    end_line,
                    end_column,
                } = found
                    .span
                    .unwrap_or_else(|| panic!("{name}: {title}: {found} has no place"));
                // Of the declarations at the top: what they cost is a case of its own.
                if line == 1 {
                    continue;
                }
                said = true;
                let (line, end_line) = (line - 1, end_line - 1);
                writeln!(text, "{kind} {line}:{column}-{end_line}:{end_column} {}", found.message).unwrap();
                let hint = found
                    .hint
                    .unwrap_or_else(|| panic!("{name}: {title}: no way out of {}", found.message));
                writeln!(text, "    {hint}").unwrap();
            }
            assert_eq!(said, !title.starts_with("fine"), "{name}: {title}\n{text}");
            text.push('\n');
        }
        insta::with_settings!({ snapshot_path => "arroyo", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.as_str(), text);
        });
    }
}

#[test]
fn a_parallelism_below_the_partitions_is_an_error() {
    let sql = "CREATE TABLE a (x TEXT) WITH (connector = 'kafka', type = 'source', topic = 'a', format = 'raw_string'); SELECT x FROM a";
    let errors = |partitions| -> Vec<String> {
        let found = checked(sql, partitions).into_iter();
        found
            .filter(|(kind, _)| *kind == "error")
            .map(|(_, e)| e.message)
            .collect()
    };
    assert_eq!(errors(Some(2)), Vec::<String>::new());
    assert_eq!(errors(None), Vec::<String>::new());
    assert!(errors(Some(3))[0].starts_with("parallelism 2 is below the 3 partitions"));
}

#[test]
fn faults_of_the_subset_and_of_arroyo_come_at_once_and_each_once() {
    let sql = "CREATE TABLE a (ts BIGINT, x TEXT) WITH (connector = 'kafka', type = 'source', topic = 'a', format = 'raw_string');
        CREATE VIEW v AS SELECT length(x) AS n, x FROM a;
        SELECT n, nowhere FROM v;
        SELECT n, CAST(n AS TIMESTAMP) AS t FROM v;";
    let found = checked(sql, None);
    let lines: Vec<_> = found.iter().map(|(kind, e)| (*kind, e.span.unwrap().line)).collect();
    assert_eq!(lines, [("error", 2), ("error", 3), ("error", 4)], "{found:?}");
}
