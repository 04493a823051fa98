//! Checkpoints of every version of the format, as programs wrote them when it was new: every later program goes on from them to
//! the same rows. `crates/dataflow/tests/fixtures/checkpoint-v<version>` holds, never to be changed:
//!
//! | file | what it is |
//! |---|---|
//! | `pipeline.sql` | version 1: tumbling and hopping windows and sessions, sketches, a join, a second aggregation, row numbers; version 2: hops and a tumble of many groups, which went to disk |
//! | `events-0.ndjson`, `events-1.ndjson` | the two partitions of the topic, one record a line |
//! | `state/` | the store, with one checkpoint behind the first half of each; its rows for Kafka are held, not sent |
//! | `results.txt` | what the results topic holds when all is read: key, tab, payload |
//! | `shown.json` | what Redis gets after the checkpoint |
//!
//! HITTERS_WRITE_FIXTURE=version writes them: for a new version of the format, with a new folder and a new test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_connectors::generate::{Events, Generate};
use hitters_dataflow::checkpoint::manifest::{FORMAT, Manifest};
use hitters_dataflow::checkpoint::object;
use hitters_dataflow::merge::COMPLETE;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use support::command;
use support::outside::{Outside, Published, Shown, differences, rows_that_differ};
use support::running::Running;
use support::state::Pipeline;

const FOLDERS: [&str; 4] = ["manifests", "state", "panes", "sinks"];

/// A version of the format.
#[derive(Clone, Copy)]
struct Version(u64);

/// A closed pane is one entry.
const PLAIN: Version = Version(1);
/// A closed pane may be several, each with other groups.
const PARTED: Version = Version(2);

impl Version {
    fn folder(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../dataflow/tests/fixtures/checkpoint-v{}", self.0))
    }

    fn read(self, name: &str) -> String {
        fs::read_to_string(self.folder().join(name)).unwrap()
    }

    /// Its name stands in the manifest.
    fn topic(self) -> String {
        format!("checkpoint-v{}-events", self.0)
    }

    /// A pipeline over the topic with rows under a name.
    fn pipeline(self, outside: &Outside, name: &str) -> Pipeline {
        outside.topic(name, 1);
        let sql = self
            .read("pipeline.sql")
            .replace("${events}", &self.topic())
            .replace("${prefix}", &format!("{name}:"))
            .replace("${results}", name);
        Pipeline::new(outside, name, &sql)
    }

    /// A pipeline whose state is that of the fixture.
    fn restored(self, outside: &Outside, name: &str) -> Pipeline {
        let pipeline = self.pipeline(outside, name);
        copy(&self.folder().join("state"), &pipeline.state);
        pipeline
    }

    /// Sends a part of each partition.
    fn send(self, outside: &Outside, part: impl Fn(&[String]) -> &[String]) {
        for partition in [0, 1] {
            let lines = self.read(&format!("events-{partition}.ndjson"));
            let lines: Vec<String> = lines.lines().map(str::to_string).collect();
            let messages = part(&lines).iter().map(|line| Some(line.as_bytes()));
            outside.send(&self.topic(), partition, messages);
        }
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

fn outcome(outside: &Outside, name: &str) -> (Shown, Published) {
    (outside.shown(&format!("{name}:")), outside.published(name))
}

fn text_of(published: &Published) -> String {
    published
        .iter()
        .map(|(key, payload)| format!("{key}\t{payload}\n"))
        .collect()
}

/// The topics with all events, which tests that run at a time share.
fn outside() -> Arc<Outside> {
    static FILLED: Mutex<Weak<Outside>> = Mutex::new(Weak::new());
    let outside = Outside::shared();
    let mut filled = FILLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !filled.ptr_eq(&Arc::downgrade(&outside)) {
        for version in [PLAIN, PARTED] {
            outside.topic(&version.topic(), 2);
            version.send(&outside, |lines| lines);
        }
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

/// Goes on from a fixture, in memory and on disk, and holds the rows against those of then.
fn goes_on(version: Version) {
    if std::env::var("HITTERS_WRITE_FIXTURE").is_ok_and(|wanted| wanted == version.0.to_string()) {
        write(version);
    }
    let outside = outside();
    let expected: Shown = serde_json::from_str(&version.read("shown.json")).unwrap();
    let lines = version.read("results.txt");
    let pair = |line: &str| line.split_once('\t').map(|(key, payload)| (key.into(), payload.into()));
    let expected_published: Published = lines.lines().filter_map(pair).collect();
    for (parallelism, spills) in [(1, false), (2, false), (2, true)] {
        let name = format!("restored-{}-{parallelism}-{spills}", version.0);
        let pipeline = version.restored(&outside, &name);
        if spills {
            if cfg!(not(feature = "rocksdb")) {
                continue;
            }
            pipeline.spill();
        }
        let said = Running::start(pipeline.bounded(parallelism)).end().code(0);
        assert!(said.contains("going on from checkpoint"), "{said}");
        let (shown, published) = outcome(&outside, &name);
        assert!(shown == expected, "Redis: {}", rows_that_differ(&expected, &shown));
        assert!(
            published == expected_published,
            "results: {}",
            differences(&expected_published, &published)
        );
        // And the version that this program writes of such a state is still that one, with the same fields.
        let of = |value: &Value| {
            let mut names = BTreeSet::new();
            fields(value, "", &mut names);
            names
        };
        let (then, now) = (
            newest_manifest(&version.folder().join("state")),
            newest_manifest(&pipeline.state),
        );
        assert_eq!(then["format"], version.0);
        if !spills {
            assert_eq!(
                now["format"], version.0,
                "a new version needs a fixture and a test of its own"
            );
        }
        assert_eq!(of(&now), of(&then));
        for object in pipeline.objects() {
            let bytes = fs::read(&object).unwrap();
            let is_sink = object.starts_with(pipeline.state.join("sinks"));
            assert!(is_sink || bytes.starts_with(b"HhC\x01"), "{}", object.display());
        }
    }
}

/// How many entries each closed pane of a hop has in a store: by node and index.
fn entries(state: &Path) -> BTreeMap<(u32, i64), usize> {
    let manifest = newest_manifest(state);
    let names = manifest["objects"].as_array().unwrap().iter();
    let names = names.map(|object| object["name"].as_str().unwrap());
    let mut found = BTreeMap::new();
    for name in names.filter(|name| name.starts_with("panes/")) {
        for entry in object::read(&fs::read(state.join(name)).unwrap()).unwrap() {
            assert_eq!(entry.tag.1, COMPLETE);
            *found.entry((entry.node, entry.tag.0)).or_default() += 1;
        }
    }
    found
}

#[test]
fn a_checkpoint_of_version_1_is_gone_on_from_to_the_same_rows() {
    goes_on(PLAIN);
    let panes = entries(&PLAIN.folder().join("state"));
    assert!(!panes.is_empty() && panes.values().all(|entries| *entries == 1));
}

#[test]
fn a_checkpoint_of_version_2_is_gone_on_from_to_the_same_rows() {
    goes_on(PARTED);
    let panes = entries(&PARTED.folder().join("state"));
    assert!(panes.values().any(|entries| *entries > 1), "{panes:?}");
}

#[test]
fn a_checkpoint_of_a_newer_version_is_refused_and_left_alone() {
    let outside = outside();
    let pipeline = PLAIN.restored(&outside, "newer");
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

/// Writes a fixture by the program as it is now.
fn write(version: Version) {
    let (events, items, rate) = if version.0 == PLAIN.0 {
        (160, 12, 16.0)
    } else {
        (640, 60, 64.0)
    };
    let options = Generate {
        events,
        items,
        rate,
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
    let folder = version.folder();
    for (partition, log) in logs.iter().enumerate() {
        fs::write(folder.join(format!("events-{partition}.ndjson")), log).unwrap();
    }
    let outside = Outside::new(
        support::outside::Brokers::One(Arc::new(hitters_tests::services::Kafka::start())),
        &[],
    );
    outside.topic(&version.topic(), 2);
    version.send(&outside, first_half);
    let half = outside.records(&version.topic());
    for number in 0.. {
        assert!(
            number < 50,
            "no checkpoint came that holds all of the first half with its rows"
        );
        let killed = version.pipeline(&outside, &format!("written-{number}"));
        if version.0 == PARTED.0 {
            killed.spill();
        }
        let mut command = command(killed.run(2));
        command.env("HITTERS_FAULT", "commit:1");
        let mut running = Running::spawn(command);
        assert!(running.says("fault point"), "{}", running.said);
        running.kill();
        let manifest = newest_manifest(&killed.state);
        let held = manifest["sinks"].as_array().unwrap().iter();
        let held: u64 = held.map(|sink| sink["object"]["bytes"].as_u64().unwrap()).sum();
        if manifest["counts"]["records"] == half && held > 1000 {
            let _ = fs::remove_dir_all(folder.join("state"));
            for part in FOLDERS.iter().filter(|part| killed.state.join(part).exists()) {
                copy(&killed.state.join(part), &folder.join("state").join(part));
            }
            break;
        }
    }
    version.send(&outside, second_half);
    let pipeline = version.restored(&outside, "expected");
    Running::start(pipeline.bounded(1)).end().code(0);
    let (shown, published) = outcome(&outside, "expected");
    fs::write(folder.join("shown.json"), serde_json::to_string_pretty(&shown).unwrap()).unwrap();
    fs::write(folder.join("results.txt"), text_of(&published)).unwrap();
    // What the topic got is what a run gives that nothing disturbed.
    let undisturbed = version.pipeline(&outside, "undisturbed");
    Running::start(undisturbed.bounded(1)).end().code(0);
    assert!(outside.published("undisturbed") == published);
}
