//! Messages that are no events stand in the middle of a stream.

use super::support::outside::{differences, rows_that_differ};
use super::support::running::Running;
use super::support::state::Pipeline;
use super::support::world::World;
use super::{PARTITIONS, pipeline, quick, says};
use std::fs;

/// Each with what is wrong with it.
fn poison() -> Vec<(&'static str, Vec<u8>)> {
    let with = |item: &[u8]| {
        [
            br#"{"ts": 1700000003000, "category": "c", "amount": 1, "item": "#,
            item,
            b"}",
        ]
        .concat()
    };
    let deep = |bracket: &str| bracket.repeat(500_000).into_bytes();
    vec![
        ("the text ends too early", br#"{"ts": 1700000003000, "item": "#.to_vec()),
        ("column 'item'", with(b"[1]")),
        (
            "column 'ts'",
            br#"{"ts": "noon", "category": "c", "amount": 1, "item": "i"}"#.to_vec(),
        ),
        (
            "column 'item' is missing",
            br#"{"ts": 1700000003000, "category": "c", "amount": 1}"#.to_vec(),
        ),
        (
            "nested too deeply",
            with(&[b"\"i\", \"more\": ".to_vec(), deep("["), deep("]")].concat()),
        ),
        ("UTF-8", with(b"\"\xff\xfe\"")),
        ("JSON", Vec::new()),
        ("JSON", b"\0\0\0\0\x01".to_vec()),
    ]
}

/// Events of two partitions with all of the poison in the middle of the first, and a tombstone.
fn poisoned(name: &str) -> World {
    let mut world = World::new(name, PARTITIONS as i32);
    world.send(0..4, PARTITIONS);
    let poison = poison();
    let messages = poison.iter().map(|(_, bytes)| Some(&bytes[..])).chain([None]);
    world.outside.send(&world.events(), 0, messages);
    world.sent += poison.len() as u64 + 1;
    world.send(4..8, PARTITIONS);
    world
}

/// The same events without poison must give the same rows.
fn equals_clean(world: &World) {
    let mut clean = World::new(&format!("{}-clean", world.name), PARTITIONS as i32);
    clean.send(0..4, PARTITIONS);
    clean.send(4..8, PARTITIONS);
    let (shown, published) = clean.undisturbed();
    let (found, found_published) = world.outcome("results");
    assert!(found == shown, "Redis: {}", rows_that_differ(&shown, &found));
    assert!(
        found_published == published,
        "results: {}",
        differences(&published, &found_published)
    );
}

fn dropping(sql: &str) -> String {
    sql.replace(
        "'source.offset' = 'earliest'",
        "'source.offset' = 'earliest', bad_data = 'drop'",
    )
}

#[test]
fn poison_is_dropped_counted_and_kept_and_changes_no_row() {
    let world = poisoned("poison-dropped");
    let settings = "dead_letter = \"letters.ndjson\"\n";
    let sql = dropping(&quick(&world.sql("results")));
    let pipeline = Pipeline::with(&world.outside, &world.name, &sql, settings);
    // Killed after it has met it, it meets no more of it; nor does that change the rows.
    world.start_and_read_all(&pipeline, 2).kill();
    let said = Running::start(pipeline.bounded(2)).end().code(0);
    says(&said, &["going on from checkpoint"]);
    equals_clean(&world);
    let letters = fs::read_to_string(pipeline.folder.path().join("letters.ndjson")).unwrap();
    for (reason, _) in poison() {
        says(&letters, &[reason]);
    }
    assert_eq!(letters.lines().count(), poison().len());
    let manifest = pipeline.manifests().pop().unwrap().1;
    let manifest = fs::read_to_string(manifest).unwrap();
    says(&manifest, &[&format!("\"bad\":{}", poison().len())]);
}

#[test]
fn poison_ends_a_run_that_may_drop_nothing_and_is_named_by_its_place() {
    let world = poisoned("poison-fails");
    let pipeline = pipeline(&world);
    let said = Running::start(pipeline.run(2)).end().code(1);
    let place = format!(
        "topic '{}' partition 0 offset {}",
        world.events(),
        4 * super::support::world::RATE / u64::from(PARTITIONS) + 1
    );
    let way_out = "bad_data = 'drop'";
    says(&said, &[&place, poison()[0].0, way_out]);
    // It is met again: nothing is skipped by starting again.
    let said = Running::start(pipeline.run(1)).end().code(1);
    says(&said, &[&place, way_out]);
    // The way out that it names.
    pipeline.write(&world.outside, &dropping(&quick(&world.sql("results"))));
    let said = Running::start(pipeline.bounded(2)).end().code(0);
    says(&said, &["could not be decoded and were dropped"]);
    equals_clean(&world);
}
