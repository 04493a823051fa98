//! The queries of tests/sql give what their scripted truth says, whatever the parallelism.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{root, run};

/// JSON as text with sorted keys, so that equal rows are equal texts. A whole DOUBLE is written `5.0` by one and `5` by
/// another writer: numbers go by their value, rounded to twelve digits since sums of fractions depend on their order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<_> = object.keys().collect();
            keys.sort();
            let pairs: Vec<_> = keys
                .iter()
                .map(|key| format!("{key:?}:{}", canonical(&object[*key])))
                .collect();
            format!("{{{}}}", pairs.join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Number(number) => format!("{:.12e}", number.as_f64().unwrap()),
        other => other.to_string(),
    }
}

/// The lines of a file as a multiset.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| canonical(&serde_json::from_str(line).unwrap()))
        .collect();
    lines.sort();
    lines
}

/// The files of a folder of tests/sql, in the order of their names.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/sql").join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A pipeline of a query behind the shared tables, but for those that it declares itself.
fn pipeline(query: &Path) -> String {
    let text = fs::read_to_string(query).unwrap();
    let declared = |table: &Path| {
        let name = table.file_stem().unwrap().to_string_lossy();
        text.contains(&format!("CREATE TABLE {name} "))
    };
    let mut sql: Vec<_> = files("tables").into_iter().filter(|table| !declared(table)).collect();
    sql.push(query.to_path_buf());
    format!("sql = {sql:?}\n")
}

/// Runs a query and compares its rows with the golden ones.
fn check(query: &Path, parallelism: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let (output, file) = (folder.path().join("output.json"), folder.path().join("query.toml"));
    let name = query.file_stem().unwrap().to_string_lossy().into_owned();
    fs::write(&file, pipeline(query)).unwrap();
    let mut arguments = vec![
        "run".into(),
        file.display().to_string(),
        "--quiet".into(),
        "--parallelism".into(),
        parallelism.into(),
    ];
    for (parameter, path) in [("inputs", root().join("tests/sql/inputs")), ("output", output.clone())] {
        arguments.extend(["--param".into(), format!("{parameter}={}", path.display())]);
    }
    let ran = run(arguments);
    if ran.code != Some(0) {
        return Err(format!("{name}: exit code {:?}\n{}", ran.code, ran.stderr));
    }
    let found = lines(&fs::read_to_string(&output).unwrap());
    let expected = lines(&fs::read_to_string(root().join(format!("tests/sql/goldens/{name}.json"))).unwrap());
    if found == expected {
        return Ok(());
    }
    let missing: Vec<_> = expected.iter().filter(|line| !found.contains(line)).take(3).collect();
    let extra: Vec<_> = found.iter().filter(|line| !expected.contains(line)).take(3).collect();
    Err(format!(
        "{name}: {} rows for {}\n  missing: {missing:#?}\n  extra: {extra:#?}",
        found.len(),
        expected.len()
    ))
}

fn check_all(parallelism: &str) {
    let queries = files("queries");
    assert!(queries.len() >= 30);
    let wrong: Vec<_> = queries
        .iter()
        .filter_map(|query| check(query, parallelism).err())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} queries:\n{}",
        wrong.len(),
        queries.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_query_gives_its_golden_rows() {
    check_all("1");
}

#[test]
fn every_query_gives_its_golden_rows_with_two_workers() {
    check_all("2");
}

#[test]
fn the_golden_rows_are_what_their_script_computes() {
    let script = root().join("tests/sql/truth.py");
    let checked = Command::new("python3")
        .arg(script)
        .arg("--check")
        .output()
        .expect("python3");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// Whoever rolls up the windows of several queries from one topic takes the newest for the time of all.
#[test]
fn windows_of_all_queries_come_in_the_order_of_their_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let lines = (0..600).map(|minute| format!("{{\"t\":\"2026-01-01T{:02}:{:02}:00Z\"}}\n", minute / 60, minute % 60));
    fs::write(path("in.json"), lines.collect::<String>()).unwrap();
    let options = |kind: &str| format!("WITH (connector = 'single_file', type = '{kind}', format = 'json', path = ");
    let sql = format!(
        "CREATE TABLE e (t TIMESTAMP NOT NULL, WATERMARK FOR t) {}'{}', wait_for_control = 'false');
         CREATE TABLE o (query TEXT, ends BIGINT, n BIGINT) {}'{}');
         CREATE VIEW minutes AS SELECT tumble(INTERVAL '1 minute') AS window, count(*) AS n FROM e GROUP BY 1;
         CREATE VIEW hops AS SELECT hop(INTERVAL '2 minutes', INTERVAL '6 minutes') AS window, count(*) AS n FROM e GROUP BY 1;
         CREATE VIEW hours AS SELECT tumble(INTERVAL '1 hour') AS window, count(*) AS n FROM e GROUP BY 1;
         INSERT INTO o SELECT 'minutes', CAST(extract(epoch FROM window.end) AS BIGINT), n FROM minutes
         UNION ALL SELECT 'hops', CAST(extract(epoch FROM window.end) AS BIGINT), n FROM hops
         UNION ALL SELECT 'hours', CAST(extract(epoch FROM window.end) AS BIGINT), n FROM hours;",
        options("source"),
        path("in.json"),
        options("sink"),
        path("out.json")
    );
    fs::write(path("p.sql"), sql).unwrap();
    fs::write(path("p.toml"), "sql = 'p.sql'\n").unwrap();
    run(["run", &path("p.toml"), "--quiet"]).well();
    let text = fs::read_to_string(path("out.json")).unwrap();
    let ends = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["ends"].as_i64().unwrap());
    let ends: Vec<_> = ends.collect();
    // Hops end every two minutes, the last one four minutes behind the last row.
    assert_eq!(ends.len(), 600 + 302 + 10);
    assert!(ends.is_sorted(), "{ends:?}");
}
