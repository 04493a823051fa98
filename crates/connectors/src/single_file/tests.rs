//! Files read and written.

mod recovery;

use crate::testing::{bounded, column, lines, node, read_all, reader, table};
use crate::{DeadLetter, Factory, RunOptions};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::DataType;
use flate2::Compression;
use flate2::write::GzEncoder;
use hitters_dataflow::Error;
use hitters_dataflow::sink::SinkFactory;
use hitters_dataflow::source::SourceFactory;
use hitters_planner::plan::SourceNode;
use hitters_planner::table::Column;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tempfile::tempdir;

fn columns() -> Vec<Column> {
    vec![
        column("a", DataType::Int64, false),
        column("b", DataType::Utf8View, true),
    ]
}

fn source(path: &Path, more: &[(&str, &str)]) -> SourceNode {
    let mut with = vec![
        ("connector", "single_file"),
        ("type", "source"),
        ("format", "json"),
        ("path", path.to_str().unwrap()),
    ];
    with.extend(more);
    node(&table(&columns(), &with).unwrap())
}

fn read(path: &Path, more: &[(&str, &str)], run: RunOptions, position: Option<i64>) -> Result<Vec<String>, Error> {
    let rows = read_all(reader(run, &source(path, more), position)?.as_mut(), 1)?;
    Ok(lines(rows.into_iter().map(|rows| rows.batch)))
}

const LINES: &str = "{\"a\":1,\"b\":\"x\"}\n\n{\"a\":2}\r\n{\"b\":\"z\",\"a\":3}";

#[test]
fn reads_lines_also_without_an_end_of_the_last_one() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("in.json");
    std::fs::write(&path, LINES).unwrap();
    let all = read(&path, &[("wait_for_control", "false")], bounded().0, None).unwrap();
    assert_eq!(all, [r#"{"a":1,"b":"x"}"#, r#"{"a":2,"b":null}"#, r#"{"a":3,"b":"z"}"#]);
}

#[test]
fn reads_and_writes_gzip() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("in.json.gz");
    // Two members, as `cat a.gz b.gz` makes them.
    let mut bytes = Vec::new();
    for part in LINES.split_inclusive("\n\n") {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(part.as_bytes()).unwrap();
        bytes.extend(gzip.finish().unwrap());
    }
    std::fs::write(&path, &bytes).unwrap();
    let rows = read_all(reader(bounded().0, &source(&path, &[]), None).unwrap().as_mut(), 1).unwrap();
    let out = folder.path().join("new/folder/out.json.gz");
    let sink = table(
        &columns(),
        &[
            ("connector", "single_file"),
            ("type", "sink"),
            ("format", "json"),
            ("path", out.to_str().unwrap()),
        ],
    )
    .unwrap();
    let mut sink = SinkFactory::open(&Factory::new(bounded().0).unwrap(), Some(&sink), sink.schema()).unwrap();
    for rows in rows {
        sink.write(&rows.batch).unwrap();
        sink.flush().unwrap();
    }
    sink.close().unwrap();
    assert_eq!(read(&out, &[], bounded().0, None).unwrap().len(), 3);
    assert!(std::fs::read(&out).unwrap().starts_with(&[0x1F, 0x8B]));

    std::fs::write(&path, &bytes[..bytes.len() - 6]).unwrap();
    let error = read(&path, &[], bounded().0, None).unwrap_err().to_string();
    assert!(error.contains("in.json.gz"), "{error}");
}

#[test]
fn goes_on_where_a_batch_ended() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("in.json");
    let text: String = (0..20_000).map(|n| format!("{{\"a\":{n}}}\n")).collect();
    std::fs::write(&path, text).unwrap();
    let first = reader(bounded().0, &source(&path, &[]), None)
        .unwrap()
        .poll(std::time::Duration::ZERO)
        .unwrap();
    let hitters_dataflow::source::Poll::Rows(first) = first else {
        panic!("{first:?}")
    };
    let rest = read(&path, &[], bounded().0, Some(first.next)).unwrap();
    assert_eq!(first.batch.num_rows() + rest.len(), 20_000);
    assert_eq!(rest[0], format!("{{\"a\":{},\"b\":null}}", first.next));
}

#[test]
fn lines_longer_than_a_block_are_read_and_too_long_ones_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("in.json");
    let long = "x".repeat(3_000_000);
    std::fs::write(
        &path,
        format!("{{\"a\":1}}\n{{\"a\":2,\"b\":\"{long}\"}}\n{{\"a\":3}}\n"),
    )
    .unwrap();
    assert_eq!(read(&path, &[], bounded().0, None).unwrap().len(), 3);
    let error = read(
        &path,
        &[("framing", "newline"), ("framing.newline.max_length", "1000000")],
        bounded().0,
        None,
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("line 2 is longer than 1000000 bytes"),
        "{error}"
    );
}

#[test]
fn a_bad_line_stops_the_run_and_is_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("in.json");
    std::fs::write(&path, "{\"a\":1}\n{\"a\":\"x\"}\n").unwrap();
    let error = read(&path, &[], bounded().0, None).unwrap_err().to_string();
    assert!(
        error.contains("in.json line 2: column 'a': expected BIGINT, found the string \"x\""),
        "{error}"
    );
    assert!(error.contains("bad_data = 'drop'"), "{error}");
}

#[test]
fn dropped_lines_are_counted_and_kept() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("in.json");
    std::fs::write(
        &path,
        b"{\"a\":1}\n{\"a\":\n{\"a\":null}\n{\"a\":4,\"b\":\"\xFF\"}\n{\"a\":5}\n",
    )
    .unwrap();
    let letters = folder.path().join("letters.json");
    let run = RunOptions {
        dead_letter: Some(DeadLetter::File(letters.clone())),
        ..bounded().0
    };
    let mut reader = reader(run, &source(&path, &[("bad_data", "drop")]), None).unwrap();
    let hitters_dataflow::source::Poll::Rows(rows) = reader.poll(std::time::Duration::ZERO).unwrap() else {
        panic!("no rows")
    };
    assert_eq!((rows.records, rows.bad, rows.batch.num_rows(), rows.next), (5, 3, 2, 5));
    // The engine cannot use the second of the two.
    reader.reject(&[(1, "its event time is NULL".into())]).unwrap();
    let letters: Vec<serde_json::Value> = std::fs::read_to_string(letters)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let positions: Vec<_> = letters
        .iter()
        .map(|letter| letter["position"].as_i64().unwrap())
        .collect();
    assert_eq!(positions, [2, 3, 4, 5]);
    assert_eq!(letters[0]["payload"], "{\"a\":");
    assert_eq!(letters[2]["payload_base64"], "eyJhIjo0LCJiIjoi/yJ9");
    assert_eq!(letters[3]["reason"], "its event time is NULL");
    assert!(
        letters
            .iter()
            .all(|letter| letter["table"] == "events" && letter["partition"].is_null())
    );
}

#[test]
fn a_limit_ends_the_file_early() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("in.json");
    std::fs::write(&path, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n").unwrap();
    let run = RunOptions {
        limit: Some(2),
        ..bounded().0
    };
    assert_eq!(read(&path, &[], run, None).unwrap().len(), 2);
}

#[test]
fn files_that_do_not_open_say_why() {
    let folder = tempdir().unwrap();
    let error = read(&folder.path().join("none.json"), &[], bounded().0, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot open") && error.contains("none.json"), "{error}");
    let error = read(folder.path(), &[], bounded().0, None).unwrap_err().to_string();
    assert!(error.contains("is a folder"), "{error}");
    let sink = table(
        &columns(),
        &[
            ("connector", "single_file"),
            ("type", "sink"),
            ("format", "json"),
            ("path", "/proc/none/out.json"),
        ],
    )
    .unwrap();
    let error = SinkFactory::open(&Factory::new(bounded().0).unwrap(), Some(&sink), sink.schema())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("cannot create '/proc/none/out.json'"),
        "{error}"
    );
}

#[test]
fn raw_lines_and_unstructured_json_are_one_column() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("in.txt");
    std::fs::write(&path, "[1, 2]\r\n{\"a\":null}\n").unwrap();
    let value = |data_type, with: &[(&str, &str)]| {
        let mut all = vec![
            ("connector", "single_file"),
            ("type", "source"),
            ("path", path.to_str().unwrap()),
        ];
        all.extend(with);
        let node = node(&table(&[column("value", data_type, false)], &all).unwrap());
        let rows = read_all(reader(bounded().0, &node, None).unwrap().as_mut(), 1).unwrap();
        lines(rows.into_iter().map(|rows| rows.batch))
    };
    let expected = [r#"{"value":"[1, 2]"}"#, r#"{"value":"{\"a\":null}"}"#];
    assert_eq!(value(DataType::Utf8View, &[("format", "raw_string")]), expected);
    assert_eq!(
        value(DataType::Utf8View, &[("format", "json"), ("json.unstructured", "true")]),
        expected
    );
    assert_eq!(
        value(DataType::BinaryView, &[("format", "raw_bytes")])[0],
        r#"{"value":"WzEsIDJd"}"#
    );
}

#[test]
fn from_and_to_are_refused_for_files() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("in.json");
    std::fs::write(&path, LINES).unwrap();
    let run = RunOptions {
        from: Some(crate::Bound::Earliest),
        ..bounded().0
    };
    assert!(
        SourceFactory::open(&Factory::new(run).unwrap(), &source(&path, &[]))
            .err()
            .unwrap()
            .to_string()
            .contains("--from")
    );
}

#[test]
fn rows_are_written_under_the_names_of_the_table() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("out.json");
    let with = [
        ("connector", "single_file"),
        ("type", "sink"),
        ("format", "json"),
        ("path", path.to_str().unwrap()),
    ];
    let table = table(&columns(), &with).unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(["x"]));
    let batch = RecordBatch::try_from_iter([("count(*)", numbers), ("b", texts)]).unwrap();
    let mut sink = SinkFactory::open(&Factory::new(bounded().0).unwrap(), Some(&table), batch.schema()).unwrap();
    sink.write(&batch).unwrap();
    sink.close().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "{\"a\":1,\"b\":\"x\"}\n");
}
