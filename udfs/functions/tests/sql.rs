//! Runs the SQL tests in `tests/sql`: files in a subset of the sqllogictest format.
//!
//! ```text
//! statement ok                     query                        query error
//! CREATE TABLE t AS VALUES (1)     SELECT * FROM t              SELECT nothing(1)
//!                                  ----                         ----
//!                                  1                            Invalid function
//! ```
//!
//! Records are separated by blank lines; `#` starts a comment. Columns are separated by ` | `. An error matches when it
//! contains every line below `----`. Each file has a session of its own, with one partition, so that bytes are reproducible.

use std::fmt::Write;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{SessionConfig, SessionContext};

/// A session that knows all functions.
fn session() -> SessionContext {
    let mut context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    hitters_functions::register(&mut context).unwrap();
    context
}

fn lines(batches: &[RecordBatch]) -> Result<Vec<String>, arrow::error::ArrowError> {
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let mut line = String::new();
            for (i, column) in columns.iter().enumerate() {
                let _ = write!(line, "{}{}", if i > 0 { " | " } else { "" }, column.value(row));
            }
            lines.push(line);
        }
    }
    Ok(lines)
}

async fn run(context: &SessionContext, sql: &str) -> Result<Vec<String>, String> {
    let batches = match context.sql(sql).await {
        Ok(frame) => frame.collect().await,
        Err(error) => Err(error),
    };
    batches
        .map_err(|error| error.strip_backtrace())
        .and_then(|batches| lines(&batches).map_err(|e| e.to_string()))
}

/// Runs one record; says what is wrong with it.
async fn record(context: &SessionContext, text: &str) -> Result<(), String> {
    let (head, rest) = text.split_once('\n').ok_or("a record without SQL")?;
    let (sql, expected) = rest.split_once("\n----").unwrap_or((rest, ""));
    let expected: Vec<&str> = expected.lines().skip(1).collect();
    let result = run(context, sql).await;
    match (head, result) {
        ("statement ok", Ok(_)) => Ok(()),
        ("query", Ok(rows)) if rows == expected => Ok(()),
        ("query", Ok(rows)) => Err(format!(
            "expected\n{}\nbut came\n{}",
            expected.join("\n"),
            rows.join("\n")
        )),
        ("query error", Err(error)) => match expected.iter().find(|line| !error.contains(**line)) {
            None if !expected.is_empty() => Ok(()),
            None => Err("an error test must say which error".to_owned()),
            Some(line) => Err(format!("expected an error with\n{line}\nbut came\n{error}")),
        },
        ("query error", Ok(rows)) => Err(format!("expected an error, but came\n{}", rows.join("\n"))),
        ("statement ok" | "query", Err(error)) => Err(format!("error: {error}")),
        (head, _) => Err(format!("unknown kind of record: {head}")),
    }
}

#[test]
fn sql_files_give_what_they_say() {
    let runtime = feature_tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut failures = String::new();
    let mut records = 0;
    for file in files {
        let context = session();
        let text = std::fs::read_to_string(&file).unwrap();
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for text in text.split(|line| line.is_empty()).filter(|record| !record.is_empty()) {
            records += 1;
            let text = text.join("\n");
            if let Err(error) = runtime.block_on(record(&context, &text)) {
                let _ = writeln!(failures, "\n{}:\n{text}\n=> {error}", file.display());
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(records > 0, "no SQL tests were found");
}
