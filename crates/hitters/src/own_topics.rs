//! Topics that belong to one version of a pipeline, since its number is in their name: panes go through them to longer windows, and what
//! one version rolls up must not be what another one made. A replay makes those of the next version, each like that of the version before.

use crate::engine;
use hitters_connectors::topics::{TableTopic, TopicSpec, Topics, of_table};
use hitters_planner::plan::Plan;
use std::collections::BTreeMap;

/// A topic that a version needs and that is not there.
pub struct NewTopic {
    /// What it is to be.
    pub spec: TopicSpec,
    /// The topic of the version before.
    pub like: String,
    servers: Topics,
}

impl NewTopic {
    /// Creates it.
    pub fn create(&self) -> Result<(), String> {
        self.servers.ensure(&self.spec, true).map(|_| ())
    }
}

/// The topics of `next` that are missing, of those that have another name in the version before.
pub fn missing(before: &Plan, next: &Plan) -> Result<Vec<NewTopic>, String> {
    let before = by_table(before);
    let mut found: BTreeMap<(String, String), NewTopic> = BTreeMap::new();
    for (table, topic) in by_table(next) {
        let Some(old) = before.get(&table).filter(|old| old.topic != topic.topic) else {
            continue;
        };
        let key = (topic.bootstrap_servers.clone(), topic.topic.clone());
        if found.contains_key(&key) {
            continue;
        }
        let servers = topic.connect()?;
        if servers.describe(&topic.topic)?.is_some() {
            continue;
        }
        let unknown = TopicSpec {
            name: topic.topic.clone(),
            ..TopicSpec::default()
        };
        let spec = old.connect()?.describe(&old.topic)?;
        let spec = spec.map_or(unknown, |old| old.like(&topic.topic));
        let like = old.topic.clone();
        found.insert(key, NewTopic { spec, like, servers });
    }
    Ok(found.into_values().collect())
}

/// The topic of each table that is read or written.
fn by_table(plan: &Plan) -> BTreeMap<String, TableTopic> {
    let tables = engine::sources(plan).chain(engine::sinks(plan));
    tables
        .filter_map(|table| Some((table.name.clone(), of_table(table)?)))
        .collect()
}
