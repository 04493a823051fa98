//! What the conformance test stands on: the same events for both engines, and the rows of each.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod compare;
pub mod figures;
pub mod rows;

use crate::support::no_events::{NO_EVENTS, send};
use crate::support::{command, ended, root};
use hitters_connectors::RunOptions;
use hitters_connectors::generate::{Generate, Profile, to_topic};
use hitters_tests::services::{Kafka, Redis};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where the events of every pipeline come from.
pub const TOPIC: &str = "events";
pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const DAY: i64 = 24 * 3_600_000;
/// Behind the last event: far enough that every window before is over, whatever its delay.
pub const AFTER: i64 = 10 * DAY;

/// A broker and a Redis for one engine.
pub struct World {
    pub kafka: Kafka,
    pub redis: Redis,
    pub partitions: u32,
    sent: AtomicU64,
}

/// A pipeline that is shipped, and what it is to be filled with.
#[derive(Clone, Debug)]
pub struct Shipped {
    pub name: String,
    parameters: Vec<String>,
}

/// The pipelines of the checkout that read Kafka, in order.
pub fn shipped() -> Vec<Shipped> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(root().join("pipelines")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let files = text.split('"').filter(|part| part.ends_with(".sql"));
        let sql: String = files
            .map(|file| std::fs::read_to_string(path.parent().unwrap().join(file)).unwrap())
            .collect();
        if !sql.contains("'kafka'") {
            continue;
        }
        let known = ["bootstrap_servers", "topic", "redis", "delay"];
        let parameters = known.iter().filter(|name| sql.contains(&format!("${{{name}")));
        all.push(Shipped {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            parameters: parameters.map(|name| (*name).to_owned()).collect(),
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!all.is_empty(), "no pipeline reads Kafka");
    all
}

/// The events of a pipeline; its name is that of a profile, or it takes the shop's.
pub fn stream(pipeline: &str, events: u64, items: u64, partitions: u32) -> Generate {
    let profiles = [
        ("cdn", Profile::Cdn),
        ("flow", Profile::Flows),
        ("hashtag", Profile::Hashtags),
        ("ad", Profile::Ads),
    ];
    let found = profiles.iter().find(|(name, _)| pipeline.starts_with(name));
    Generate {
        profile: found.map_or(Profile::Shop, |(_, profile)| *profile),
        events,
        items,
        // Some minutes, whatever the number of events.
        rate: events as f64 / 200.0,
        partitions,
        ..Generate::default()
    }
}

/// Windows that end later than this hold events that were sent only to close those before.
pub fn last_window(stream: &Generate) -> i64 {
    stream.start + 3 * DAY
}

/// The second half of a stream follows the first.
pub fn continued(first: &Generate) -> Generate {
    Generate {
        start: first.start + (first.events as f64 * 1000.0 / first.rate) as i64,
        seed: first.seed + 1,
        ..first.clone()
    }
}

impl World {
    pub fn new(partitions: u32) -> Self {
        Self {
            kafka: Kafka::start(),
            redis: Redis::start(),
            partitions,
            sent: AtomicU64::new(0),
        }
    }

    /// The number of messages in the topic.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// A command about a pipeline, filled for this world.
    pub fn command(&self, verb: &str, pipeline: &Shipped, delay: Option<&str>) -> Command {
        let mut command = command([verb, &pipeline.name]);
        for name in &pipeline.parameters {
            let value = match name.as_str() {
                "bootstrap_servers" => self.kafka.bootstrap_servers(),
                "topic" => TOPIC.into(),
                "redis" => self.redis.url(),
                _ => match delay {
                    Some(delay) => delay.into(),
                    None => continue,
                },
            };
            command.arg("--param").arg(format!("{name}={value}"));
        }
        command
    }

    /// Makes the topics of a pipeline.
    pub fn topics(&self, pipeline: &Shipped) {
        let mut command = self.command("topics", pipeline, None);
        command.args(["--create", "--partitions", &self.partitions.to_string()]);
        ended(command).well();
    }

    /// Sends events, behind some messages to each partition that are none: they must change nothing.
    pub fn send(&self, options: &Generate) {
        let servers = self.kafka.bootstrap_servers();
        let none = NO_EVENTS.map(str::to_owned);
        (0..self.partitions.cast_signed()).for_each(|partition| send(&servers, TOPIC, partition, &none));
        let sent = to_topic(
            options,
            &servers,
            TOPIC,
            &[],
            &RunOptions::default(),
            false,
            &mut |_| true,
        )
        .unwrap();
        assert_eq!(sent, options.events);
        let others = none.len() as u64 * u64::from(self.partitions);
        self.sent.fetch_add(sent + others, Relaxed);
    }

    /// Sends a few events to each partition, so much later than those before.
    pub fn nudge(&self, last: &Generate, later: i64) {
        self.send(&Generate {
            events: 200,
            start: last.start + later,
            disorder_share: 0.0,
            ..last.clone()
        });
    }

    /// Sends events that close every window before: the first ones minutes, the second days, and the third what is made of days.
    pub fn close(&self, last: &Generate) {
        [1, 2, 3].iter().for_each(|times| self.nudge(last, times * AFTER));
    }
}
