//! No text makes the planner panic, hang or overflow its stack.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use hitters_planner::{PlanOptions, plan};
use std::time::{Duration, Instant};

fn errors(sql: &str) -> Vec<hitters_planner::Error> {
    plan(
        sql,
        &common::connectors(),
        &common::functions(),
        &PlanOptions::default(),
    )
    .err()
    .unwrap_or_default()
}

/// A generator of 64-bit numbers (Steele, Lea, Flood 2014, SplitMix64): small, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Words of SQL: mutations of words meet the planner more often than mutations of letters, which mostly end in the parser.
fn words(sql: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for c in sql.chars() {
        match words.last_mut() {
            Some(word) if c.is_alphanumeric() && word.chars().all(char::is_alphanumeric) => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    words
}

#[test]
fn mutated_files_never_panic() {
    let files: Vec<String> = ["plans", "errors"]
        .into_iter()
        .flat_map(common::files)
        .map(|(_, sql)| sql)
        .collect();
    let all: Vec<Vec<String>> = files.iter().map(|sql| words(sql)).collect();
    let seed = std::env::var("HITTERS_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_nanos() as u64
        });
    println!("HITTERS_SEED={seed}");
    let mut random = SplitMix(seed);
    let start = Instant::now();
    let mut planned = 0;
    while start.elapsed() < Duration::from_secs(5) {
        let mut text = all[random.below(all.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(text.len());
            match random.below(5) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, text[random.below(text.len())].clone()),
                2 => {
                    let from = &all[random.below(all.len())];
                    text[at] = from[random.below(from.len())].clone();
                }
                3 => {
                    let other = random.below(text.len());
                    text.swap(at, other);
                }
                _ => {
                    let letters = [
                        "'",
                        "\"",
                        "(",
                        ")",
                        ",",
                        ";",
                        "\u{0}",
                        "é",
                        "-",
                        "--",
                        "/*",
                        "999999999999999999999",
                        "NULL",
                        "*",
                        "\\",
                    ];
                    text.insert(at, letters[random.below(letters.len())].to_string());
                }
            }
            if text.is_empty() {
                break;
            }
        }
        errors(&text.concat());
        planned += 1;
    }
    assert!(planned > 10, "{planned} files in 5 s");
}

#[test]
fn deep_nesting_is_an_error() {
    let table = "CREATE TABLE e (v BIGINT) WITH (connector = 'kafka', topic = 'e');";
    let n = 100_000;
    let cases = [
        format!("SELECT {}1{} FROM e", "(".repeat(n), ")".repeat(n)),
        format!("SELECT {}v FROM e", "- ".repeat(n)),
        format!("SELECT {}v FROM e", "NOT ".repeat(n)),
        format!("SELECT v{} FROM e", " + v".repeat(n)),
        format!("SELECT v{} FROM e", "::BIGINT".repeat(n)),
        format!("SELECT v{} FROM e", "[1]".repeat(n)),
        format!("SELECT v FROM e WHERE {} v > 1", "v > 1 AND ".repeat(n)),
        format!("SELECT v FROM e{}", " UNION ALL SELECT v FROM e".repeat(n)),
        format!("SELECT v FROM {}e{}", "(SELECT v FROM ".repeat(n), ")".repeat(n)),
        format!("SELECT CASE {} END FROM e", "WHEN v = 1 THEN CASE ".repeat(n)),
        format!(
            "CREATE TABLE x (a {}INT{}) WITH (connector = 'kafka', topic = 'x')",
            "STRUCT<a ".repeat(n),
            ">".repeat(n)
        ),
        format!(
            "CREATE TABLE x (a INT{}) WITH (connector = 'kafka', topic = 'x')",
            "[]".repeat(n)
        ),
    ];
    for sql in cases {
        let found = errors(&format!("{table}{sql}"));
        assert!(!found.is_empty(), "{}", &sql[..60]);
    }
}

/// Chains as long as the limit allows: they must go through planning, conversion and their own release.
#[test]
fn chains_below_the_limit_are_planned() {
    let table = "CREATE TABLE e (v BIGINT) WITH (connector = 'kafka', topic = 'e');";
    let sums = format!("{table} SELECT v{} AS v FROM e", " + v".repeat(490));
    assert_eq!(errors(&sums), []);
    let conditions = format!("{table} SELECT v FROM e WHERE v = 1{}", " OR v % 7 = 3".repeat(160));
    assert_eq!(errors(&conditions), []);
    let unions = format!("{table} SELECT v FROM e{}", " UNION ALL SELECT v FROM e".repeat(100));
    assert_eq!(errors(&unions), []);
}

/// Each view reads the one before it twice: inlined, the plan doubles with every step.
#[test]
fn views_that_double_are_an_error() {
    let mut sql =
        "CREATE TABLE e (v BIGINT) WITH (connector = 'kafka', topic = 'e'); CREATE VIEW v0 AS SELECT v FROM e;"
            .to_string();
    for i in 1..40 {
        sql.push_str(&format!(
            "CREATE VIEW v{i} AS SELECT v FROM v{0} UNION ALL SELECT v FROM v{0};",
            i - 1
        ));
    }
    sql.push_str("SELECT v FROM v39");
    let start = Instant::now();
    assert!(!errors(&sql).is_empty());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn odd_texts_are_errors_or_plans() {
    for sql in [
        "",
        ";",
        ";;;",
        "--",
        "/*",
        "'",
        "\"",
        "\u{0}",
        "SELECT",
        "CREATE",
        "CREATE TABLE",
        "CREATE TABLE a (",
        "INSERT",
        "é",
        "🦀🦀",
        "WITH",
        "\\",
    ] {
        assert!(!errors(sql).is_empty(), "{sql:?}");
    }
}
