//! Rows that a topic gets exactly once: held back until their checkpoint is durable, then published in one transaction with
//! its number. Without checkpoints each flush is a transaction of its own.

use super::groups::Groups;
use super::transactions::{Says, Transactions, taken_over};
use super::{Servers, marker::Mark};
use crate::held::{Held, Row, decode};
use crate::run::RunOptions;
use hitters_dataflow::sink::Checkpoint;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A topic that is written in transactions.
pub(super) struct ExactlyOnce {
    held: Held,
    transactions: Transactions,
    servers: Servers,
    topic: String,
    groups: Arc<Groups>,
    /// With checkpoints: number of this attempt, number of this sink among those of the run.
    attempt: Option<(u64, usize)>,
    /// The marker is of this life of the pipeline.
    begun: bool,
}

impl ExactlyOnce {
    /// `name`: what this sink is called, also after a restart; differs from all others of the pipeline.
    pub(super) fn open(
        servers: &Servers,
        topic: &str,
        name: &str,
        groups: &Arc<Groups>,
        run: &RunOptions,
    ) -> Result<Self, String> {
        let attempt = run.attempt.as_ref();
        // Two runs that write the same table fence each other, as they should; client_configs may name another id.
        let id = attempt.map_or_else(
            || format!("hitters-{topic}-{name}"),
            |attempt| format!("hitters-{}-v{}-{name}", attempt.pipeline, attempt.version),
        );
        let marker = attempt.map(|attempt| (id.as_str(), attempt.number));
        Ok(Self {
            held: Held::default(),
            transactions: Transactions::open(servers, topic, &id, marker, run)?,
            servers: servers.clone(),
            topic: topic.to_string(),
            groups: groups.clone(),
            attempt: attempt.map(|attempt| (attempt.number, groups.add_sink(servers))),
            begun: false,
        })
    }

    pub(super) fn push(&mut self, row: Row<'_>) -> Result<(), String> {
        self.held.push(row)
    }

    pub(super) fn flush(&mut self) -> Result<(), String> {
        if self.attempt.is_some() || self.held.len() == 0 {
            return Ok(());
        }
        let says = Says {
            checkpoint: None,
            offsets: &BTreeMap::new(),
            anew: false,
        };
        self.transactions.publish(&self.held.rows(), &says)?;
        self.held.clear();
        Ok(())
    }

    pub(super) fn prepare(&mut self) -> Result<Option<Vec<u8>>, String> {
        if self.attempt.is_none() {
            self.flush()?;
            return Ok(None);
        }
        if !std::mem::replace(&mut self.begun, true) {
            // Nobody called `recover`: a pipeline that begins. Numbers of checkpoints begin anew too, and those that an earlier
            // life left here must not pass for ours when this run is killed before its first commit.
            let says = Says {
                checkpoint: Some(0),
                offsets: &BTreeMap::new(),
                anew: true,
            };
            self.transactions.publish(&Default::default(), &says)?;
        }
        Ok(Some(self.held.prepare()))
    }

    pub(super) fn commit(&mut self, checkpoint: &Checkpoint<'_>) -> Result<(), String> {
        let Some((_, sink)) = self.attempt else {
            return Ok(());
        };
        let rows = self.held.prepared();
        let offsets = self.groups.offsets(&self.servers, sink, checkpoint.positions);
        if rows.is_empty() && offsets.is_empty() {
            return Ok(());
        }
        let says = Says {
            checkpoint: Some(checkpoint.number),
            offsets: &offsets,
            anew: false,
        };
        if !self.transactions.publish(&rows, &says)? {
            self.groups.release(&self.servers);
        }
        self.held.commit();
        Ok(())
    }

    /// The transactional id was taken over when the sink was opened: whatever a dead or paused run had open is aborted by
    /// now, so what the marker says stays true.
    pub(super) fn recover(&mut self, checkpoint: &Checkpoint<'_>, held: &[u8]) -> Result<(), String> {
        let Some((attempt, sink)) = self.attempt else {
            return Err("the checkpoint holds rows of this sink, so the run needs checkpoints too".into());
        };
        let mut rows = decode(held)?;
        let number = checkpoint.number;
        match self.transactions.mark()? {
            Some(mark) if mark.attempt > attempt => {
                return Err(taken_over(&self.topic, self.transactions.group(), attempt, mark.attempt));
            }
            Some(Mark { checkpoint: seen, .. }) if seen >= number => {
                rows = Default::default();
                if seen > number {
                    self.transactions.say(&format!(
                        "topic '{}' already has the rows of checkpoint {seen}, and the run goes on from checkpoint {number}: rows in between come twice",
                        self.topic
                    ));
                }
            }
            Some(_) => {}
            None if rows.is_empty() => {}
            None => self.transactions.say(&format!(
                "topic '{}': the brokers have forgotten which checkpoint was committed last (group '{}', kept for offsets.retention.minutes): the rows of checkpoint {number} are sent, perhaps a second time",
                self.topic,
                self.transactions.group()
            )),
        }
        self.begun = true;
        let offsets = self.groups.offsets(&self.servers, sink, checkpoint.positions);
        // Also without rows: the marker says from now on who writes here.
        let says = Says {
            checkpoint: Some(number),
            offsets: &offsets,
            anew: false,
        };
        if !self.transactions.publish(&rows, &says)? {
            self.groups.release(&self.servers);
        }
        Ok(())
    }

    pub(super) fn size(&self) -> usize {
        self.held.size()
    }

    pub(super) fn close(&mut self) -> Result<(), String> {
        if self.attempt.is_some() && self.held.len() > 0 {
            self.transactions.say(&format!(
                "topic '{}': {} rows since the last checkpoint are not published; the next run does that",
                self.topic,
                self.held.len()
            ));
            return Ok(());
        }
        self.flush()
    }
}
