//! Turns snapshots into durable checkpoints, one after the other, and lets go of old ones.
//!
//! Order: objects, then the manifest, which makes it a checkpoint. A closed pane of a hop never changes and is stored once,
//! for all checkpoints that contain it. Bound: one object of about [`OBJECT`] bytes is in memory at a time besides the
//! snapshot.

use super::claim::{Claim, failed, newest};
use super::fault::{Faults, Point};
use super::layout::{Layout, PartitionName};
use super::manifest::{FOLDER, FORMAT, Manifest, Node, ObjectRef, PLAIN, Partition, SinkState};
use super::object::{Kind, Object};
use super::snapshot::{Read, Snapshot};
use super::storage::Storage;
use crate::Error;
use crate::frontier::START;
use crate::merge::{COMPLETE, SavedPartial};
use crate::metrics::Counts;
use crate::sink::Position;
use crate::source::At;
use hitters_planner::plan::NodeId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// An object is stored when it has so many bytes.
const OBJECT: usize = 32 << 20;
/// Folders of objects.
const STATE: &str = "state";
const PANES: &str = "panes";
const SINKS: &str = "sinks";

/// Writes the checkpoints of one run.
pub struct Writer {
    storage: Arc<dyn Storage>,
    faults: Arc<dyn Faults>,
    layout: Layout,
    attempt: u64,
    /// Of the newest checkpoint.
    number: u64,
    /// Tries so far, also those that failed: no object is written twice.
    tries: u64,
    keep: usize,
    /// Closed panes that are stored: node and index. A large one stands in several objects.
    panes: HashMap<(NodeId, i64), Vec<ObjectRef>>,
    /// Checkpoints that are kept, with the names of their objects.
    kept: BTreeMap<u64, HashSet<String>>,
    /// What earlier runs counted.
    before: Counts,
    /// The format that the panes among the objects need.
    format: u32,
}

/// A durable checkpoint.
#[derive(Debug)]
pub struct Written {
    /// Its number.
    pub number: u64,
    /// Where reading goes on, of partitions of which that is known.
    pub positions: Vec<Position>,
    /// Bytes that it had to store.
    pub bytes: u64,
}

impl Writer {
    /// For a run that took over a place. Keeps the newest `keep` checkpoints.
    pub fn new(claim: &Claim, layout: Layout, keep: usize, faults: Arc<dyn Faults>) -> Self {
        let mut kept = BTreeMap::new();
        let names = |manifest: &Manifest| manifest.all_objects().map(|object| object.name.clone()).collect();
        let mut panes: HashMap<_, Vec<ObjectRef>> = HashMap::new();
        let mut before = Counts::default();
        let mut format = PLAIN;
        if let Some(found) = &claim.found {
            format = found.format;
            // The manifest by which the place was claimed holds the same objects.
            kept.insert(found.number, names(found));
            kept.insert(claim.attempt, names(found));
            before = found.counts;
            for object in &found.objects {
                let Some((number, index)) = pane_of(&object.name) else {
                    continue;
                };
                let saved = found.nodes.iter().find(|node| node.node == number);
                let node = saved.and_then(|node| layout.node_of(&node.identity));
                // Numbers of nodes are part of the bytes, so a pane is used again only under the same number.
                if let Some(node) = node.filter(|node| *node == number as usize) {
                    panes.entry((node, index)).or_default().push(object.clone());
                }
            }
        }
        Self {
            storage: claim.storage.clone(),
            faults,
            layout,
            attempt: claim.attempt,
            number: claim.attempt,
            tries: 0,
            keep: keep.max(1),
            panes,
            kept,
            before,
            format,
        }
    }

    /// The number of the last checkpoint.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The partitions of the dataflow, in their order.
    pub fn partitions(&self) -> &[PartitionName] {
        &self.layout.partitions
    }

    /// What earlier runs counted.
    pub fn before(&self) -> Counts {
        self.before
    }

    /// The first checkpoint of a state that begins: nothing is read, but it is known from where.
    pub fn begin(&mut self, starts: &[Option<i64>]) -> Result<Written, Error> {
        let read = starts.iter().enumerate().map(|(partition, start)| Read {
            partition,
            next: *start,
            watermark: START,
            latest: START,
        });
        let manifest = Manifest {
            attempt: self.attempt,
            partitions: self.partitions_read(read),
            nodes: self.nodes(None),
            ..Manifest::empty(self.number + 1)
        };
        self.publish(manifest, 0)
    }

    /// Stores a snapshot.
    pub fn write(&mut self, snapshot: Snapshot) -> Result<Written, Error> {
        self.tries += 1;
        let stem = format!("{:020}-{}-{}", self.number + 1, self.attempt, self.tries);
        let mut manifest = Manifest {
            attempt: self.attempt,
            counts: self.before.plus(&snapshot.counts()),
            ..Manifest::empty(self.number + 1)
        };
        manifest.partitions = self.partitions_read(snapshot.read());
        manifest.nodes = self.nodes(Some(&snapshot));
        let mut stored = 0;
        for (place, (node, bytes)) in snapshot.held.into_iter().enumerate() {
            let Some((table, ordinal)) = self.layout.sinks.get(&node) else {
                continue;
            };
            let name = format!("{SINKS}/{stem}-{place}");
            stored += bytes.len() as u64;
            manifest.sinks.push(SinkState {
                table: table.clone(),
                ordinal: *ordinal,
                number: manifest.number,
                object: put(&*self.storage, name, &bytes)?,
            });
        }
        let mut upload = Upload {
            storage: &*self.storage,
            faults: &*self.faults,
            name: format!("{STATE}/{stem}"),
            object: Object::default(),
            objects: Vec::new(),
            stored,
        };
        for worker in snapshot.workers {
            for (window, (panes, _)) in worker.windows.into_iter().enumerate() {
                let node = self.layout.windows[window];
                for pane in panes {
                    let tag = (pane.pane, pane.slot as i64);
                    pane.groups.each(|rows| upload.push(Kind::Open, node, tag, &rows))?;
                }
            }
        }
        let mut panes = HashMap::new();
        for (window, (saved, _)) in snapshot.end.windows.into_iter().enumerate() {
            let node = self.layout.windows[window];
            for saved in saved {
                if saved.tag.1 != COMPLETE || saved.partial.rows() == 0 {
                    let mut rows = saved.partial.batches();
                    rows.try_for_each(|rows| upload.push(Kind::Merge, node, saved.tag, &rows?))?;
                    continue;
                }
                let place = (node, saved.tag.0);
                let objects = match self.panes.get(&place) {
                    Some(objects) => objects.clone(),
                    None => {
                        let pane = self.store_pane(node, saved)?;
                        upload.stored += pane.bytes;
                        self.format = self.format.max(pane.format);
                        pane.objects
                    }
                };
                upload.objects.extend_from_slice(&objects);
                panes.insert(place, objects);
            }
        }
        for (node, saved) in snapshot.end.operators.into_iter().enumerate() {
            for saved in saved {
                upload.push(Kind::Operator, node, saved.tag, &saved.rows)?;
            }
        }
        upload.finish()?;
        let (objects, stored) = (std::mem::take(&mut upload.objects), upload.stored);
        manifest.objects = objects;
        manifest.format = self.format;
        self.panes = panes;
        self.publish(manifest, stored)
    }

    /// Stores a closed pane.
    fn store_pane(&self, node: NodeId, SavedPartial { tag, partial }: SavedPartial) -> Result<StoredPane, Error> {
        let mut stored = StoredPane {
            objects: Vec::new(),
            bytes: 0,
            format: PLAIN,
        };
        let mut object = Object::default();
        let mut batches = partial.batches().peekable();
        while let Some(rows) = batches.next() {
            object.push(Kind::Merge, node as u32, tag, &rows?)?;
            if batches.peek().is_some() {
                stored.format = FORMAT;
                if object.len() < OBJECT {
                    continue;
                }
            }
            let bytes = std::mem::take(&mut object).into_bytes();
            let name = pane_name(node, tag.0, stored.objects.len(), self.attempt);
            stored.bytes += bytes.len() as u64;
            stored.objects.push(put(&*self.storage, name, &bytes)?);
        }
        Ok(stored)
    }

    /// Stores a manifest: from then on the checkpoint exists.
    ///
    /// A number is left out never: a run that takes the place over takes the next number, and finding it taken is how this one
    /// learns of that. So a checkpoint that failed gives its number to the next one.
    fn publish(&mut self, mut manifest: Manifest, stored: u64) -> Result<Written, Error> {
        self.faults.reach(Point::Manifest);
        let bytes = loop {
            let (name, bytes) = (Manifest::name(manifest.number), manifest.to_bytes()?);
            if self.storage.put_new(&name, &bytes).map_err(failed)? {
                // Whoever took over long ago may have let go of the manifest of this number; a newer one it has.
                if newest(&*self.storage)? > manifest.number {
                    self.storage.delete(&name).map_err(failed)?;
                    return Err(self.superseded());
                }
                break bytes;
            }
            let there = self.storage.get(&name).map_err(failed)?.unwrap_or_default();
            if there == bytes {
                // The answer was lost, and the call was made again.
                break bytes;
            }
            if Manifest::from_bytes(&there).is_ok_and(|there| there.attempt == self.attempt) {
                // A checkpoint that was given up has arrived after all. This one holds everything that it holds.
                self.number = manifest.number;
                manifest.number += 1;
                manifest.sinks.iter_mut().for_each(|sink| sink.number = manifest.number);
                continue;
            }
            return Err(self.superseded());
        };
        self.number = manifest.number;
        let names = manifest.all_objects().map(|object| object.name.clone()).collect();
        self.kept.insert(manifest.number, names);
        let positions = manifest.partitions.iter().filter_map(|partition| {
            Some(Position {
                table: partition.table.clone(),
                partition: partition.partition,
                next: partition.next?,
            })
        });
        Ok(Written {
            number: manifest.number,
            positions: positions.collect(),
            bytes: stored + bytes.len() as u64,
        })
    }

    fn superseded(&self) -> Error {
        Error::Superseded(format!(
            "another run of this pipeline has taken {} over and stores checkpoints there; this one ends",
            self.storage.describe()
        ))
    }

    /// Lets go of checkpoints that are not kept any more. Failing harms nothing: it is tried again after the next one.
    pub fn prune(&mut self) -> Result<(), Error> {
        while self.kept.len() > self.keep {
            let Some((number, objects)) = self.kept.pop_first() else {
                break;
            };
            self.storage.delete(&Manifest::name(number)).map_err(failed)?;
            let still: HashSet<&String> = self.kept.values().flatten().collect();
            for object in objects.iter().filter(|object| !still.contains(object)) {
                self.storage.delete(object).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Deletes what earlier runs left behind: checkpoints that are too many or bad, and objects of checkpoints that never came to
    /// be. What a later run wrote is left alone: this one may have been asleep and be taken over by now.
    pub fn clean(&mut self) -> Result<(), Error> {
        let mut older: Vec<u64> = self
            .storage
            .list(FOLDER)
            .map_err(failed)?
            .iter()
            .filter_map(|name| Manifest::number_of(name))
            .filter(|number| *number < self.attempt && !self.kept.contains_key(number))
            .collect();
        older.sort_unstable();
        // Manifests by which the place was claimed are copies, and give no second chance.
        let from = self.kept.keys().next().copied().unwrap_or(0);
        let mut more = self.keep.saturating_sub(1);
        for number in older.into_iter().rev() {
            let name = Manifest::name(number);
            if more > 0 && number < from {
                let bytes = self.storage.get(&name).map_err(failed)?.unwrap_or_default();
                if let Ok(manifest) = Manifest::from_bytes(&bytes)
                    && manifest.number != manifest.attempt
                {
                    let names = manifest.all_objects().map(|object| object.name.clone()).collect();
                    self.kept.insert(number, names);
                    more -= 1;
                    continue;
                }
            }
            self.storage.delete(&name).map_err(failed)?;
        }
        let used: HashSet<&String> = self.kept.values().flatten().collect();
        for folder in [STATE, PANES, SINKS] {
            for name in self.storage.list(folder).map_err(failed)? {
                let left_behind = attempt_of(&name).is_none_or(|attempt| attempt < self.attempt);
                if left_behind && !used.contains(&name) {
                    self.storage.delete(&name).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    fn partitions_read(&self, read: impl IntoIterator<Item = Read>) -> Vec<Partition> {
        let by_name = |read: Read| {
            let name = self.layout.partitions.get(read.partition)?;
            Some(Partition {
                table: name.table.clone(),
                log: name.log.clone(),
                partition: name.number,
                next: read.next,
                watermark: read.watermark,
                latest: read.latest,
            })
        };
        read.into_iter().filter_map(by_name).collect()
    }

    /// Nodes with state; without a snapshot nothing is closed or published yet.
    fn nodes(&self, snapshot: Option<&Snapshot>) -> Vec<Node> {
        let node = |(node, identity): (&NodeId, &String)| {
            let window = snapshot.and_then(|snapshot| Some((snapshot, self.layout.window_of(*node)?)));
            Node {
                node: *node as u32,
                identity: identity.clone(),
                closed_until: window.map(|(snapshot, window)| snapshot.closed_until(window)),
                published: window.map(|(snapshot, window)| snapshot.published(window)),
            }
        };
        self.layout.identities.iter().map(node).collect()
    }
}

/// A closed pane in the store.
struct StoredPane {
    objects: Vec<ObjectRef>,
    bytes: u64,
    /// The first format that can tell it.
    format: u32,
}

/// Objects of one checkpoint on their way.
struct Upload<'w> {
    storage: &'w dyn Storage,
    faults: &'w dyn Faults,
    name: String,
    object: Object,
    objects: Vec<ObjectRef>,
    stored: u64,
}

impl Upload<'_> {
    fn push(
        &mut self,
        kind: Kind,
        node: NodeId,
        tag: (i64, i64),
        rows: &arrow::array::RecordBatch,
    ) -> Result<(), Error> {
        self.object.push(kind, node as u32, tag, rows)?;
        if self.object.len() >= OBJECT {
            self.store()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        if !self.object.is_empty() {
            self.store()?;
        }
        self.faults.reach(Point::Upload);
        Ok(())
    }

    fn store(&mut self) -> Result<(), Error> {
        let bytes = std::mem::take(&mut self.object).into_bytes();
        let name = format!("{}-{}", self.name, self.objects.len());
        self.stored += bytes.len() as u64;
        self.objects.push(put(self.storage, name, &bytes)?);
        Ok(())
    }
}

fn put(storage: &dyn Storage, name: String, bytes: &[u8]) -> Result<ObjectRef, Error> {
    storage.put(&name, bytes).map_err(failed)?;
    Ok(ObjectRef::new(name, bytes))
}

fn pane_name(node: NodeId, index: i64, part: usize, attempt: u64) -> String {
    match part {
        0 => format!("{PANES}/{node}/{index}/{attempt}"),
        part => format!("{PANES}/{node}/{index}/{attempt}-{part}"),
    }
}

/// Node and index of a pane's object.
fn pane_of(name: &str) -> Option<(u32, i64)> {
    let (node, rest) = name.strip_prefix(PANES)?.strip_prefix('/')?.split_once('/')?;
    let (index, _) = rest.split_once('/')?;
    Some((node.parse().ok()?, index.parse().ok()?))
}

/// The run that wrote an object: the first number of the last part of the name of a pane, the second number of the others.
fn attempt_of(name: &str) -> Option<u64> {
    let (folder, rest) = name.split_once('/')?;
    match folder {
        PANES => rest.rsplit('/').next()?.split('-').next()?.parse().ok(),
        _ => rest.split('-').nth(1)?.parse().ok(),
    }
}

/// Where partitions are read from, once it is known. Where the beginning of a partition is, is known when rows have come.
pub fn start_of(at: At, start: Option<i64>) -> Option<i64> {
    match at {
        At::Position(position) => Some(position),
        At::Options => start,
        At::Beginning => None,
    }
}
