//! The log itself holds batches twice and out of order, as a producer without idempotence leaves it after an outage.

use super::support::world::{World, events};
use super::{PARTITIONS, pipeline};
use hitters_connectors::generate::Events;
use serde_json::Value;
use std::collections::BTreeMap;

/// Events of a batch: a tenth of a second of a partition.
const BATCH: usize = 100;

#[test]
fn batches_that_come_twice_and_out_of_order_count_as_the_log_holds_them() {
    let mut world = World::new("batches", PARTITIONS as i32);
    let options = events(0..6, PARTITIONS);
    let mut partitions = vec![Vec::new(); PARTITIONS as usize];
    let mut expected: BTreeMap<(i64, String), (i64, i64)> = BTreeMap::new();
    let mut source = Events::new(&options).unwrap();
    while let Some(event) = source.next_event() {
        let row: Value = serde_json::from_slice(event.json).unwrap();
        let window = event.ts.div_euclid(1000) * 1000;
        let count = expected
            .entry((window, row["category"].as_str().unwrap().into()))
            .or_default();
        // Twice.
        *count = (count.0 + 2, count.1 + 2 * row["amount"].as_i64().unwrap());
        partitions[event.partition as usize].push(event.json.to_vec());
    }
    for (number, messages) in partitions.iter().enumerate() {
        let batches: Vec<_> = messages.chunks(BATCH).collect();
        // 1 0 1 0, 3 2 3 2, ...
        let pairs = batches.chunks(2);
        let order = pairs.flat_map(|pair| pair.iter().rev().chain(pair.iter().rev()));
        let order = order.flat_map(|batch| batch.iter().map(|message| Some(&message[..])));
        world.outside.send(&world.events(), number as i32, order);
        world.sent += 2 * messages.len() as u64;
    }
    let pipeline = pipeline(&world);
    for parallelism in [2, 1] {
        world.start_and_read_all(&pipeline, parallelism).kill();
    }
    super::Running::start(pipeline.bounded(2)).end().code(0);
    world.equals_undisturbed();
    let mut found = BTreeMap::new();
    for row in world.shown().values().flat_map(BTreeMap::values) {
        let row: Value = serde_json::from_str(row).unwrap();
        let opened = chrono_millis(row["opened"].as_str().unwrap());
        let counts = (row["n"].as_i64().unwrap(), row["amount"].as_i64().unwrap());
        found.insert((opened, row["category"].as_str().unwrap().to_string()), counts);
    }
    assert_eq!(found, expected);
}

/// Milliseconds of a time like `2023-11-14T22:13:20`: the stream lies within some minutes of one hour.
fn chrono_millis(text: &str) -> i64 {
    let digits: Vec<i64> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect();
    let seconds = |of: &[i64]| (of[2] * 24 + of[3]) * 3600 + of[4] * 60 + of[5];
    // The stream begins at 2023-11-14T22:13:20.
    1_700_000_000_000 + (seconds(&digits) - seconds(&[2023, 11, 14, 22, 13, 20])) * 1000
}
