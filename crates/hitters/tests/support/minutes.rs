//! Minutes of a made-up pipeline `p`, of which the second version is written to a topic.

use super::outside::Outside;
use super::running::Running;
use base64::Engine;
use hitters_results::Row;
use hitters_sketch::{ItemKind, Measure, TopK};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub const MINUTE: i64 = 60_000;
/// A day begins.
pub const BEGIN: i64 = 1_700_006_400_000 / 86_400_000 * 86_400_000;
pub const GROUPS: [&str; 5] = ["*", "g=a", "g=b", "g=%00", "g=a%7Cb"];
pub const PARTITIONS: i32 = 4;

/// Windows by (group, width, start): the bytes of their sketches.
pub type Windows = BTreeMap<(String, i64, i64), Vec<u8>>;

/// The set of a group.
pub fn set(group: &str) -> &'static str {
    if group == "*" { "*" } else { "g" }
}

/// A minute of a group; the same each time. Some have no rows.
pub fn minute(group: usize, minute: i64) -> Option<Row> {
    if minute % 11 == 7 || (minute + group as i64) % 5 == 3 {
        return None;
    }
    let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 16).unwrap();
    for item in 0..40 {
        let weight = (minute * 31 + item * 17 + group as i64) % 23 + 1;
        sketch.update(
            format!("item-{}", (item * (group as i64 + 3)) % 60).as_bytes(),
            weight as u64,
        );
    }
    let start = BEGIN + minute * MINUTE;
    Some(Row {
        pipeline: "p".into(),
        version: 2,
        set: set(GROUPS[group]).into(),
        group: GROUPS[group].into(),
        start,
        end: start + MINUTE,
        answer: Some(sketch.answer(3).unwrap().into()),
        sketch: Some(sketch.to_bytes()),
    })
}

/// Those of some minutes.
pub fn rows(from: i64, to: i64) -> Vec<Row> {
    let of_minute = |at| (0..GROUPS.len()).filter_map(move |group| minute(group, at));
    (from..to).flat_map(of_minute).collect()
}

/// Sends rows as a pipeline does: by window, a group always to one partition. Some come twice, as after a crash of a cluster.
pub fn send(outside: &Outside, topic: &str, rows: &[Row]) {
    for partition in 0..PARTITIONS {
        let mine = rows.iter().filter(|row| {
            let group = GROUPS.iter().position(|group| *group == row.group).unwrap();
            group as i32 % PARTITIONS == partition
        });
        let mut messages = Vec::new();
        for (place, row) in mine.enumerate() {
            let mut value: Value = serde_json::from_str(&row.to_json()).unwrap();
            value["sketch"] = base64::prelude::BASE64_STANDARD
                .encode(row.sketch.as_ref().unwrap())
                .into();
            let text = value.to_string().into_bytes();
            messages.extend((place % 10 == 0).then(|| text.clone()));
            messages.push(text);
        }
        outside.send(topic, partition, messages.iter().map(|text| Some(text.as_slice())));
    }
}

/// Kills an archive of `records` records six times, at any time after a pause that grows, and when it has just kept a position; one is killed
/// on the way. `start` starts it, `kept` says of how many records the position is kept.
pub fn kill_again_and_again(
    records: i64,
    pause: impl Fn(u64) -> Duration,
    start: impl Fn() -> Running,
    kept: impl Fn() -> i64,
) {
    let (mut kills, mut between, mut last) = (0, 0, 0);
    while kills < 6 && last < records {
        let mut run = start();
        assert!(run.says("records to read"), "{}", run.said);
        if kills % 2 == 0 {
            std::thread::sleep(pause(kills));
        } else {
            let until = Instant::now() + Duration::from_secs(60);
            while kept() == last {
                assert!(Instant::now() < until, "{}", run.said);
            }
        }
        run.kill();
        kills += 1;
        let now = kept();
        assert!(now >= last, "the position goes back from {last} to {now}");
        between += u32::from(now > last && now < records);
        last = now;
    }
    println!("{kills} kills, after {between} of them part of the records was kept");
    assert!(between > 0, "{kills} kills, and none on the way");
}
