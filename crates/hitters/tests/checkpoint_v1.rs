//! A checkpoint of version 1 of the format, as a program wrote it when that was new: every later one goes on from it to the
//! same rows. `crates/dataflow/tests/fixtures/checkpoint-v1` holds, never to be changed:
//!
//! | file | what it is |
//! |---|---|
//! | `pipeline.sql` | tumbling and hopping windows and sessions, sketches, a join, a second aggregation, row numbers |
//! | `events-0.ndjson`, `events-1.ndjson` | the two partitions of the topic, one record a line |
//! | `state/` | the store, with one checkpoint behind the first half of each; its rows for Kafka are held, not sent |
//! | `results.txt` | what the results topic holds when all is read: key, tab, payload |
//! | `shown.json` | what Redis gets after the checkpoint |
//!
//! HITTERS_WRITE_FIXTURE=1 writes them: for a new version of the format, with a new folder and a new test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_connectors::generate::{Events, Generate};
use hitters_dataflow::checkpoint::manifest::{FORMAT, Manifest};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use support::command;
use support::outside::{Outside, Published, Shown, differences, rows_that_differ};
use support::running::Running;
use support::state::Pipeline;

/// Its name stands in the manifest.
const TOPIC: &str = "checkpoint-v1-events";
const FOLDERS: [&str; 4] = ["manifests", "state", "panes", "sinks"];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dataflow/tests/fixtures/checkpoint-v1")
}

fn read(name: &str) -> String {
    fs::read_to_string(fixture().join(name)).unwrap()
}

fn logs() -> [Vec<String>; 2] {
    [0, 1].map(|partition| {
        let lines = read(&format!("events-{partition}.ndjson"));
        lines.lines().map(str::to_string).collect()
    })
}

/// A pipeline over the topic with rows under a name.
fn pipeline(outside: &Outside, name: &str) -> Pipeline {
    outside.topic(name, 1);
    let sql = read("pipeline.sql")
        .replace("${events}", TOPIC)
        .replace("${prefix}", &format!("{name}:"))
        .replace("${results}", name);
    Pipeline::new(outside, name, &sql)
}

/// Sends a part of each partition.
fn send(outside: &Outside, part: impl Fn(&[String]) -> &[String]) {
    for (partition, lines) in logs().iter().enumerate() {
        let messages = part(lines).iter().map(|line| Some(line.as_bytes()));
        outside.send(TOPIC, partition as i32, messages);
    }
}

fn first_half(lines: &[String]) -> &[String] {
    &lines[..lines.len() / 2]
}

fn second_half(lines: &[String]) -> &[String] {
    &lines[lines.len() / 2..]
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A pipeline whose state is that of the fixture.
fn restored(outside: &Outside, name: &str) -> Pipeline {
    let pipeline = pipeline(outside, name);
    copy(&fixture().join("state"), &pipeline.state);
    pipeline
}

fn outcome(outside: &Outside, name: &str) -> (Shown, Published) {
    (outside.shown(&format!("{name}:")), outside.published(name))
}

fn text_of(published: &Published) -> String {
    published
        .iter()
        .map(|(key, payload)| format!("{key}\t{payload}\n"))
        .collect()
}

/// The topic with all events, which tests that run at a time share.
fn outside() -> Arc<Outside> {
    static FILLED: Mutex<Weak<Outside>> = Mutex::new(Weak::new());
    let outside = Outside::shared();
    let mut filled = FILLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !filled.ptr_eq(&Arc::downgrade(&outside)) {
        outside.topic(TOPIC, 2);
        send(&outside, |lines| lines);
        *filled = Arc::downgrade(&outside);
    }
    outside
}

/// The names of all fields of a value, with those around them.
fn fields(value: &Value, within: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields_of) => fields_of.iter().for_each(|(name, value)| {
            let name = format!("{within}.{name}");
            into.insert(name.clone());
            fields(value, &name, into);
        }),
        Value::Array(values) => values.iter().for_each(|value| fields(value, within, into)),
        _ => {}
    }
}

fn newest_manifest(state: &Path) -> Value {
    let mut manifests: Vec<_> = fs::read_dir(state.join("manifests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    manifests.sort();
    let text = fs::read_to_string(manifests.last().unwrap()).unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

#[test]
fn a_checkpoint_of_version_1_is_gone_on_from_to_the_same_rows() {
    if std::env::var_os("HITTERS_WRITE_FIXTURE").is_some() {
        write();
    }
    let outside = outside();
    let expected: Shown = serde_json::from_str(&read("shown.json")).unwrap();
    let lines = read("results.txt");
    let pair = |line: &str| line.split_once('\t').map(|(key, payload)| (key.into(), payload.into()));
    let expected_published: Published = lines.lines().filter_map(pair).collect();
    for parallelism in [1, 2] {
        let name = format!("restored-{parallelism}");
        let pipeline = restored(&outside, &name);
        let said = Running::start(pipeline.bounded(parallelism)).end().code(0);
        assert!(said.contains("going on from checkpoint"), "{said}");
        let (shown, published) = outcome(&outside, &name);
        assert!(shown == expected, "Redis: {}", rows_that_differ(&expected, &shown));
        assert!(
            published == expected_published,
            "results: {}",
            differences(&expected_published, &published)
        );
        // And the version that this program writes is still that one, with the same fields.
        let of = |value: &Value| {
            let mut names = BTreeSet::new();
            fields(value, "", &mut names);
            names
        };
        let (then, now) = (
            newest_manifest(&fixture().join("state")),
            newest_manifest(&pipeline.state),
        );
        assert_eq!(now["format"], 1, "a new version needs a fixture and a test of its own");
        assert_eq!(of(&now), of(&then));
        for object in pipeline.objects() {
            let bytes = fs::read(&object).unwrap();
            let is_sink = object.starts_with(pipeline.state.join("sinks"));
            assert!(is_sink || bytes.starts_with(b"HhC\x01"), "{}", object.display());
        }
    }
}

#[test]
fn a_checkpoint_of_a_newer_version_is_refused_and_left_alone() {
    let outside = outside();
    let pipeline = restored(&outside, "newer");
    let (_, path) = pipeline.manifests().pop().unwrap();
    let manifest = Manifest::from_bytes(&fs::read(&path).unwrap()).unwrap();
    let newer = Manifest {
        format: FORMAT + 1,
        ..manifest
    };
    fs::write(&path, newer.to_bytes().unwrap()).unwrap();
    let before = (pipeline.manifests(), pipeline.objects());
    let said = Running::start(pipeline.bounded(1)).end().code(1);
    let refused = format!(
        "it is of format {}, this program reads up to {FORMAT}: use a newer hitters",
        FORMAT + 1
    );
    assert!(said.contains(&refused), "{said}");
    assert_eq!((pipeline.manifests(), pipeline.objects()), before);
    assert_eq!(fs::read(&path).unwrap(), newer.to_bytes().unwrap());
}

/// Writes the fixture by the program as it is now.
fn write() {
    let options = Generate {
        events: 160,
        items: 12,
        rate: 16.0,
        disorder: 1_000,
        partitions: 2,
        ..Generate::default()
    };
    let mut logs = [String::new(), String::new()];
    let mut events = Events::new(&options).unwrap();
    while let Some(event) = events.next_event() {
        let log = &mut logs[event.partition as usize];
        log.push_str(std::str::from_utf8(event.json).unwrap());
        log.push('\n');
    }
    for (partition, log) in logs.iter().enumerate() {
        fs::write(fixture().join(format!("events-{partition}.ndjson")), log).unwrap();
    }
    let outside = Outside::new(
        support::outside::Brokers::One(Arc::new(hitters_tests::services::Kafka::start())),
        &[],
    );
    outside.topic(TOPIC, 2);
    send(&outside, first_half);
    let half = outside.records(TOPIC);
    for number in 0.. {
        assert!(
            number < 50,
            "no checkpoint came that holds all of the first half with its rows"
        );
        let killed = pipeline(&outside, &format!("written-{number}"));
        let mut command = command(killed.run(2));
        command.env("HITTERS_FAULT", "commit:1");
        let mut running = Running::spawn(command);
        assert!(running.says("fault point"), "{}", running.said);
        running.kill();
        let manifest = newest_manifest(&killed.state);
        let held = manifest["sinks"].as_array().unwrap().iter();
        let held: u64 = held.map(|sink| sink["object"]["bytes"].as_u64().unwrap()).sum();
        if manifest["counts"]["records"] == half && held > 1000 {
            let _ = fs::remove_dir_all(fixture().join("state"));
            for folder in FOLDERS.iter().filter(|folder| killed.state.join(folder).exists()) {
                copy(&killed.state.join(folder), &fixture().join("state").join(folder));
            }
            break;
        }
    }
    send(&outside, second_half);
    let pipeline = restored(&outside, "expected");
    Running::start(pipeline.bounded(1)).end().code(0);
    let (shown, published) = outcome(&outside, "expected");
    fs::write(
        fixture().join("shown.json"),
        serde_json::to_string_pretty(&shown).unwrap(),
    )
    .unwrap();
    fs::write(fixture().join("results.txt"), text_of(&published)).unwrap();
    // What the topic got is what a run gives that nothing disturbed.
    let undisturbed = self::pipeline(&outside, "undisturbed");
    Running::start(undisturbed.bounded(1)).end().code(0);
    assert!(outside.published("undisturbed") == published);
}
