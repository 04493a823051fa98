//! Which groups the source tables of a run name, so that a sink with transactions can move their offsets together with its
//! rows. Where one does, the sources leave it to the sink.

use super::Servers;
use hitters_dataflow::sink::Position;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by the sources and sinks of a run.
#[derive(Default)]
pub(crate) struct Groups(Mutex<State>);

#[derive(Default)]
struct State {
    sources: Vec<Reading>,
    /// The sink that commits the offsets at these brokers. With several it is the one that was opened last, and so commits
    /// last: the offsets never run before rows.
    owners: BTreeMap<String, usize>,
    sinks: usize,
}

/// A source table with a group.
struct Reading {
    table: String,
    brokers: String,
    topic: String,
    group: String,
}

/// Offsets to commit: by topic and partition what to read next.
pub(super) type Offsets = BTreeMap<(String, i32), i64>;

impl Groups {
    fn state(&self) -> MutexGuard<'_, State> {
        // Plain data: whoever panicked left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A source table has a group.
    pub(super) fn add_source(&self, table: &str, servers: &Servers, topic: &str, group: &str) {
        self.state().sources.push(Reading {
            table: table.to_string(),
            brokers: brokers(servers),
            topic: topic.to_string(),
            group: group.to_string(),
        });
    }

    /// A sink with transactions and checkpoints: gives it a number.
    pub(super) fn add_sink(&self, servers: &Servers) -> usize {
        let mut state = self.state();
        state.sinks += 1;
        let number = state.sinks;
        state.owners.insert(brokers(servers), number);
        number
    }

    /// The sink may not commit these offsets: the sources do it themselves from now on.
    pub(super) fn release(&self, servers: &Servers) {
        self.state().owners.remove(&brokers(servers));
    }

    /// Whether a sink commits the offsets of sources at these brokers.
    pub(super) fn is_left_to_sink(&self, servers: &Servers) -> bool {
        self.state().owners.contains_key(&brokers(servers))
    }

    /// By group, the offsets that this sink is to commit with these positions. Of a topic that is read twice in one group the
    /// reader that is behind counts.
    pub(super) fn offsets(&self, servers: &Servers, sink: usize, positions: &[Position]) -> BTreeMap<String, Offsets> {
        let state = self.state();
        let here = brokers(servers);
        let mut groups: BTreeMap<String, Offsets> = BTreeMap::new();
        if state.owners.get(&here) != Some(&sink) {
            return groups;
        }
        for reading in state.sources.iter().filter(|reading| reading.brokers == here) {
            let offsets = groups.entry(reading.group.clone()).or_default();
            for position in positions.iter().filter(|position| position.table == reading.table) {
                let place = (reading.topic.clone(), position.partition);
                let next = offsets.entry(place).or_insert(position.next);
                *next = position.next.min(*next);
            }
        }
        groups.retain(|_, offsets| !offsets.is_empty());
        groups
    }
}

/// The brokers, whatever the order in which a table lists them.
fn brokers(servers: &Servers) -> String {
    let mut list: Vec<_> = servers.bootstrap.split(',').map(str::trim).collect();
    list.sort_unstable();
    list.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(list: &str) -> Servers {
        Servers {
            bootstrap: list.into(),
            settings: Vec::new(),
        }
    }

    fn position(table: &str, partition: i32, next: i64) -> Position {
        Position {
            table: table.into(),
            partition,
            next,
        }
    }

    #[test]
    fn the_last_sink_at_the_same_brokers_commits_and_the_reader_behind_counts() {
        let groups = Groups::default();
        groups.add_source("a", &servers("one:1,two:2"), "t", "g");
        groups.add_source("a", &servers("one:1,two:2"), "t", "g");
        groups.add_source("b", &servers("other:1"), "u", "h");
        let here = servers("two:2, one:1");
        let (first, second) = (groups.add_sink(&here), groups.add_sink(&here));
        let positions = [
            position("a", 0, 7),
            position("a", 0, 5),
            position("b", 0, 9),
            position("c", 0, 1),
        ];
        assert!(groups.offsets(&here, first, &positions).is_empty());
        let offsets = groups.offsets(&here, second, &positions);
        assert_eq!(offsets, [("g".to_string(), [(("t".to_string(), 0), 5)].into())].into());
        assert!(groups.is_left_to_sink(&servers("one:1,two:2")) && !groups.is_left_to_sink(&servers("other:1")));
        groups.release(&here);
        assert!(!groups.is_left_to_sink(&here) && groups.offsets(&here, second, &positions).is_empty());
    }
}
