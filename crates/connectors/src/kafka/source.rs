//! A topic being read: fixes where the run begins and ends, and hands out readers.

use super::batch::Queue;
use super::client::{Client, Watch, serve};
use super::groups::Groups;
use super::growth::Growth;
use super::offsets::{Log, Offsets, gone};
use super::progress::Progress;
use super::reader::{KafkaReader, Part};
use super::{From, KafkaTable, Role};
use crate::bad::BadRows;
use crate::rows::RowDecoder;
use crate::run::{Bound, MissingOffsets, RunOptions};
use hitters_dataflow::Error;
use hitters_dataflow::source::{At, Partition, Reader, Source, Start};
use hitters_planner::plan::SourceNode;
use hitters_planner::table::Table;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Messages taken from librdkafka at once.
const BATCH: usize = 8192;

/// Settings that make a consumer fast and small; the user's go over them.
///
/// `fetch.queue.backoff.ms`: with the default of a second a fast reader starves four fifths of its time. The queue limits
/// keep what was fetched and not yet read to some ten thousand messages a partition; a message costs about 300 bytes there
/// besides its own.
pub const CONSUMER_SETTINGS: [(&str, &str); 6] = [
    ("enable.auto.commit", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
    ("fetch.queue.backoff.ms", "5"),
    ("queued.min.messages", "10000"),
    ("queued.max.messages.kbytes", "16384"),
];

/// A Kafka table being read.
pub(crate) struct KafkaSource {
    table: KafkaTable,
    sql: Arc<Table>,
    stored: Vec<usize>,
    arrival: bool,
    bad: BadRows,
    run: RunOptions,
    logs: Option<BTreeMap<i32, Log>>,
    /// A reader was made: what is said once has been said.
    read: bool,
    groups: Arc<Groups>,
    /// Commits the offsets of the table's group, once there are any.
    progress: Option<Progress>,
}

impl KafkaSource {
    pub(crate) fn open(
        node: &SourceNode,
        table: &KafkaTable,
        bad: BadRows,
        groups: &Arc<Groups>,
        run: &RunOptions,
    ) -> Result<Self, Error> {
        if let Role::Source { group: Some(group), .. } = &table.role {
            groups.add_source(&node.table.name, &table.servers, &table.topic, group);
        }
        Ok(Self {
            table: table.clone(),
            sql: node.table.clone(),
            stored: node.stored.clone(),
            arrival: node.event_time.is_none(),
            bad,
            run: run.clone(),
            logs: None,
            read: false,
            groups: groups.clone(),
            progress: None,
        })
    }

    fn client(&self) -> Result<(Client, Watch), Error> {
        let watch = Watch::new(&self.table.servers.bootstrap, &self.run.reporter);
        let committed = matches!(self.table.role, Role::Source { committed: true, .. });
        let mut settings = CONSUMER_SETTINGS.to_vec();
        settings.push((
            "isolation.level",
            if committed {
                "read_committed"
            } else {
                "read_uncommitted"
            },
        ));
        let client = self
            .table
            .servers
            .create(&settings, &watch)
            .map_err(|message| self.bad.error(message))?;
        Ok((client, watch))
    }

    /// The logs with the bounds of this run, asked for once.
    fn logs(&mut self) -> Result<&BTreeMap<i32, Log>, Error> {
        if self.logs.is_none() {
            self.logs = Some(self.ask()?);
        }
        Ok(self.logs.get_or_insert_default())
    }

    fn ask(&self) -> Result<BTreeMap<i32, Log>, Error> {
        let (client, watch) = self.client()?;
        let Role::Source { from, group, .. } = &self.table.role else {
            return Ok(BTreeMap::new());
        };
        let offsets = Offsets {
            client: &client,
            servers: &self.table.servers,
            watch: &watch,
            topic: &self.table.topic,
            timeout: self.run.start_timeout.0,
        };
        let ask = || {
            let mut logs = offsets.logs()?;
            match self.run.from {
                Some(bound) => offsets.bound(&mut logs, bound, |log, offset| log.start = offset)?,
                None => offsets.start(&mut logs, *from, group.as_deref(), self.run.missing)?,
            }
            match self.run.to {
                Some(bound) => offsets.bound(&mut logs, bound, |log, offset| log.end = Some(offset))?,
                None if self.run.is_bounded() => {
                    offsets.bound(&mut logs, Bound::Latest, |log, offset| log.end = Some(offset))?
                }
                None => logs.values_mut().for_each(|log| log.end = None),
            }
            if let Some(limit) = self.run.limit {
                Offsets::limit(&mut logs, limit);
            }
            Ok(logs)
        };
        ask().map_err(|message| self.bad.error(message))
    }
}

impl KafkaSource {
    /// A bounded run that begins where it ends.
    fn hint(&self, logs: &BTreeMap<i32, Log>, starts: &[Start]) {
        let held: i64 = logs.values().map(|log| log.high - log.low).sum();
        let at_end = matches!(self.table.role, Role::Source { from: From::Latest, .. }) && self.run.from.is_none();
        let fresh = starts.iter().all(|start| start.at == At::Options);
        if self.run.is_bounded() && at_end && fresh && held > 0 {
            self.run.reporter.say(&format!(
                "table {} reads nothing: this run ends where topic '{}' ends now, and begins there too ('source.offset' is 'latest' unless given). For the {held} records that the topic holds: --from earliest",
                self.sql.name, self.table.topic
            ));
        }
    }
}

impl Source for KafkaSource {
    fn partitions(&mut self) -> Result<Vec<Partition>, Error> {
        let rows = |log: &Log| u64::try_from(log.end.unwrap_or(log.high) - log.start).unwrap_or(0);
        Ok(self
            .logs()?
            .iter()
            .map(|(number, log)| Partition {
                number: *number,
                start: Some(log.start),
                rows: Some(rows(log)),
            })
            .collect())
    }

    fn reader(&mut self, partitions: &[Start]) -> Result<Box<dyn Reader>, Error> {
        let logs = self.logs()?.clone();
        let first = !std::mem::replace(&mut self.read, true);
        if first {
            self.hint(&logs, partitions);
        }
        let growth = (first && !self.run.is_bounded())
            .then(|| Growth::new(&self.table.topic, logs.len(), &self.table.servers.settings, &self.run));
        let (client, _) = self.client()?;
        serve(&client);
        let fail = |message: String| self.bad.error(message);
        let mut queue = Queue::new(Arc::new(client), &self.table.topic, BATCH).map_err(fail)?;
        let mut parts = Vec::with_capacity(partitions.len());
        for start in partitions {
            let number = start.number;
            // A partition that a saved state knows and the topic does not: the topic was made anew.
            let Some(log) = logs.get(&number) else {
                return Err(fail(format!(
                    "topic '{}' has no partition {number} any more: was it made anew?",
                    self.table.topic
                )));
            };
            let mut position = match start.at {
                At::Options => log.start,
                At::Beginning => log.low,
                At::Position(position) => position,
            };
            if position < log.low && self.run.missing == MissingOffsets::Earliest {
                self.run.reporter.say(&format!(
                    "{} records of partition {number} of topic '{}' are gone, from offset {position} on: reading goes on at the oldest one kept, {}",
                    log.low - position,
                    self.table.topic,
                    log.low
                ));
                position = log.low;
            }
            if position < log.low {
                return Err(fail(gone(
                    &self.table.topic,
                    number,
                    position,
                    &format!("the oldest record kept is {}", log.low),
                )));
            }
            if position > log.high {
                return Err(fail(format!(
                    "offset {position} of partition {number} of topic '{}' is beyond its end {}: was the topic made anew? Start again without the saved position",
                    self.table.topic, log.high
                )));
            }
            let done = log.end.is_some_and(|end| position >= end);
            if !done {
                queue.start(number, position).map_err(fail)?;
            }
            parts.push(Part::new(number, position, log.end, done));
        }
        let Some(decoding) = self.table.decoding() else {
            return Err(fail("the table is a sink and cannot be read".into()));
        };
        let decoder = RowDecoder::new(&self.sql, &self.stored, decoding)?;
        Ok(Box::new(KafkaReader::new(
            queue,
            self.table.topic.clone(),
            parts,
            decoder,
            self.bad.clone(),
            self.arrival,
            growth,
        )))
    }

    fn commit(&mut self, positions: &[(i32, i64)]) -> Result<(), Error> {
        let Role::Source { group: Some(group), .. } = &self.table.role else {
            return Ok(());
        };
        if self.groups.is_left_to_sink(&self.table.servers) {
            return Ok(());
        }
        if self.progress.is_none() {
            let watch = Watch::new(&self.table.servers.bootstrap, &self.run.reporter);
            let opened = Progress::open(&self.table.servers, &self.table.topic, group, watch);
            self.progress = Some(opened.map_err(|message| self.bad.error(message))?);
        }
        if let Some(progress) = &self.progress {
            progress.commit(positions);
        }
        Ok(())
    }
}
