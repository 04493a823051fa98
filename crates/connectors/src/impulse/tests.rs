use crate::testing::{bounded, lines, node, read_all, reader, table};
use crate::{RunOptions, connectors};
use hitters_dataflow::source::Poll;
use hitters_planner::plan::SourceNode;
use std::time::{Duration, Instant};

fn impulse(with: &[(&str, &str)]) -> SourceNode {
    let columns = connectors().get("impulse").unwrap().default_columns().unwrap();
    let mut all = vec![("connector", "impulse")];
    all.extend(with);
    node(&table(&columns, &all).unwrap())
}

#[test]
fn counts_with_deterministic_times_in_nanoseconds() {
    let node = impulse(&[
        ("event_rate", "1"),
        ("message_count", "3"),
        ("event_time_interval", "1000"),
    ]);
    let rows = read_all(reader(bounded().0, &node, None).unwrap().as_mut(), 1).unwrap();
    assert_eq!(rows[0].times.to_vec(), [0, 1000, 2000]);
    let rows = lines(rows.into_iter().map(|rows| rows.batch));
    assert_eq!(
        rows,
        [
            r#"{"counter":0,"subtask_index":0}"#,
            r#"{"counter":1,"subtask_index":0}"#,
            r#"{"counter":2,"subtask_index":0}"#
        ]
    );
}

#[test]
fn goes_on_from_a_position_and_ends_at_the_limit() {
    let node = impulse(&[("event_rate", "1")]);
    let run = RunOptions {
        limit: Some(20_000),
        ..bounded().0
    };
    let rows = read_all(reader(run, &node, Some(19_998)).unwrap().as_mut(), 1).unwrap();
    assert_eq!(rows[0].times.to_vec(), [19_998_000_000_000, 19_999_000_000_000]);
}

#[test]
fn a_bounded_run_needs_an_end() {
    let error = reader(bounded().0, &impulse(&[("event_rate", "1")]), None)
        .err()
        .unwrap();
    assert!(error.to_string().contains("message_count"), "{error}");
}

#[test]
fn an_endless_run_keeps_the_rate() {
    let mut reader = reader(RunOptions::default(), &impulse(&[("event_rate", "1000")]), None).unwrap();
    let (begun, mut rows) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(300) {
        if let Poll::Rows(batch) = reader.poll(Duration::from_millis(20)).unwrap() {
            rows += batch.batch.num_rows();
        }
    }
    // A busy machine makes it late, nothing makes it early.
    let due = (begun.elapsed().as_secs_f64() * 1000.0) as usize;
    assert!(rows > 0 && rows <= due, "{rows} of {due}");
}
