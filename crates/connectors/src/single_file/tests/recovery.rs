//! A file is whole under its name, and a run that goes on goes on in it.

use super::*;
use crate::Attempt;
use flate2::read::MultiGzDecoder;
use hitters_dataflow::sink::{Checkpoint, Sink};
use std::io::Read;
use std::path::PathBuf;

fn sink(path: &Path, checkpoints: bool) -> Box<dyn Sink> {
    let with = [
        ("connector", "single_file"),
        ("type", "sink"),
        ("format", "json"),
        ("path", path.to_str().unwrap()),
    ];
    let table = table(&columns(), &with).unwrap();
    let attempt = checkpoints.then(|| Attempt {
        pipeline: "p".into(),
        version: 1,
        number: 1,
    });
    let run = RunOptions { attempt, ..bounded().0 };
    SinkFactory::open(&Factory::new(run).unwrap(), Some(&table), table.schema()).unwrap()
}

fn rows(numbers: std::ops::Range<i64>) -> RecordBatch {
    let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(
        numbers.clone().map(|n| format!("t{n}")),
    ));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    RecordBatch::try_from_iter([("a", numbers), ("b", texts)]).unwrap()
}

const CHECKPOINT: Checkpoint<'static> = Checkpoint {
    number: 1,
    positions: &[],
};

fn partial(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.partial", path.display()))
}

/// The numbers in a file.
fn content(path: &Path) -> Vec<i64> {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    let number = |line: &str| line.split(&[':', ','][..]).nth(1).unwrap().parse().unwrap();
    text.lines().map(number).collect()
}

fn numbers(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

#[test]
fn a_file_has_its_name_when_it_is_whole_and_until_then_the_old_one_stays() {
    let folder = tempdir().unwrap();
    for name in ["out.json", "out.json.gz"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "old").unwrap();
        let mut killed = sink(&path, false);
        killed.write(&rows(0..3)).unwrap();
        killed.flush().unwrap();
        drop(killed);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert!(partial(&path).exists());
        let mut whole = sink(&path, false);
        whole.write(&rows(0..2)).unwrap();
        whole.close().unwrap();
        assert_eq!(content(&path), numbers(0..2));
        assert!(!partial(&path).exists());
        let mut empty = sink(&path, false);
        empty.close().unwrap();
        assert_eq!(content(&path), numbers(0..0));
    }
}

#[test]
fn a_killed_run_goes_on_where_its_checkpoint_was_taken() {
    let folder = tempdir().unwrap();
    for name in ["out.json", "out.json.gz"] {
        let path = folder.path().join(name);
        let mut killed = sink(&path, true);
        killed.write(&rows(0..3)).unwrap();
        killed.flush().unwrap();
        killed.prepare().unwrap().unwrap();
        killed.write(&rows(3..1000)).unwrap();
        let state = killed.prepare().unwrap().unwrap();
        killed.commit(&CHECKPOINT).unwrap();
        killed.write(&rows(1000..1500)).unwrap();
        killed.flush().unwrap();
        drop(killed);
        for last in [1200, 1400] {
            // Killed again, twice.
            let mut next = sink(&path, true);
            next.recover(&CHECKPOINT, &state).unwrap();
            next.write(&rows(1000..last)).unwrap();
            next.flush().unwrap();
        }
        let mut next = sink(&path, true);
        next.recover(&CHECKPOINT, &state).unwrap();
        next.write(&rows(1000..2000)).unwrap();
        assert!(!path.exists());
        next.close().unwrap();
        assert_eq!(content(&path), numbers(0..2000), "{name}");
        assert!(!partial(&path).exists());
    }
}

#[test]
fn a_run_that_ended_and_goes_on_writes_nothing_twice() {
    let folder = tempdir().unwrap();
    for name in ["out.json", "out.json.gz"] {
        let path = folder.path().join(name);
        let mut first = sink(&path, true);
        first.write(&rows(0..10)).unwrap();
        let middle = first.prepare().unwrap().unwrap();
        first.write(&rows(10..20)).unwrap();
        let end = first.prepare().unwrap().unwrap();
        first.close().unwrap();
        let whole = std::fs::read(&path).unwrap();
        // From its end, with nothing to add: the file is not even touched.
        let mut next = sink(&path, true);
        next.recover(&CHECKPOINT, &end).unwrap();
        assert_eq!(next.prepare().unwrap().unwrap(), end);
        next.close().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        // From its middle: it was killed after the file had its name, and before the engine knew.
        let mut next = sink(&path, true);
        next.recover(&CHECKPOINT, &middle).unwrap();
        next.write(&rows(10..20)).unwrap();
        next.close().unwrap();
        assert_eq!(content(&path), numbers(0..20));
        // From its end, with more to come.
        let mut next = sink(&path, true);
        let mut end = vec![1];
        end.extend(std::fs::metadata(&path).unwrap().len().to_le_bytes());
        next.recover(&CHECKPOINT, &end).unwrap();
        next.write(&rows(20..22)).unwrap();
        next.close().unwrap();
        assert_eq!(content(&path), numbers(0..22), "{name}");
        assert!(!partial(&path).exists());
    }
}

#[test]
fn lines_that_are_not_there_any_more_are_an_error() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("out.json");
    let mut killed = sink(&path, true);
    killed.write(&rows(0..10)).unwrap();
    let state = killed.prepare().unwrap().unwrap();
    drop(killed);
    std::fs::write(partial(&path), "short").unwrap();
    let mut next = sink(&path, true);
    let error = next.recover(&CHECKPOINT, &state).unwrap_err().to_string();
    assert!(
        error.contains("bytes, and") && error.contains("has 5") && error.contains("Put them back"),
        "{error}"
    );
    let error = next.recover(&CHECKPOINT, &state[..5]).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn what_is_no_file_is_written_directly_and_a_link_stays_one() {
    let mut nowhere = sink(Path::new("/dev/null"), false);
    nowhere.write(&rows(0..3)).unwrap();
    nowhere.close().unwrap();
    assert!(!Path::new("/dev/null.partial").exists());
    let folder = tempdir().unwrap();
    let (path, link) = (folder.path().join("there.json"), folder.path().join("link.json"));
    std::fs::write(&path, "old").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut sink = sink(&link, false);
    sink.write(&rows(0..3)).unwrap();
    sink.close().unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(content(&path), numbers(0..3));
}

#[test]
fn two_queries_cannot_write_one_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("out.json");
    let with = [
        ("connector", "single_file"),
        ("type", "sink"),
        ("format", "json"),
        ("path", path.to_str().unwrap()),
    ];
    let table = table(&columns(), &with).unwrap();
    let factory = Factory::new(bounded().0).unwrap();
    SinkFactory::open(&factory, Some(&table), table.schema()).unwrap();
    let error = SinkFactory::open(&factory, Some(&table), table.schema());
    assert!(error.err().unwrap().to_string().contains("UNION ALL"));
}
