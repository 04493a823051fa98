//! The manifest of a checkpoint: the one object that says what belongs to it. It is written last, and only if there is none of
//! its number; a checkpoint without a manifest does not exist.
//!
//! A manifest is JSON text, one line, and a second line with the checksum of the first: `xxh3:` and sixteen hexadecimal
//! digits. It stands under `manifests/` and its number in twenty digits, so that names are in the order of numbers. Whoever
//! starts takes the next number with a manifest of their own: that number is their *attempt*, and a run of an earlier
//! attempt, should it still live, finds the number of its next checkpoint taken, and ends.
//!
//! The fields of the line (times in nanoseconds since the epoch, `i64::MIN` and `i64::MAX` for none and all):
//!
//! | field | value |
//! |---|---|
//! | `format` | 1; 2 if a closed pane is more than one entry |
//! | `number`, `attempt` | of the checkpoint; of the run that wrote it. Equal: a manifest by which a run took the place over, with what it found |
//! | `writer` | name and version of the program, for people |
//! | `partitions[]` | `table`, `log` (what positions are in), `partition`, `next` (position, or null), `watermark`, `latest` |
//! | `nodes[]` | `node` (its number in this checkpoint), `identity` (what it computes), `closed_until`, `published` (null if it is no window) |
//! | `objects[]` | `name`, `bytes`, `checksum`: sixteen hexadecimal digits of XXH3-64. What is in them says [`object`](super::object) |
//! | `sinks[]` | `table`, `ordinal`, `number` (of the checkpoint of its rows), `object`: what the sink gave, in a format of its own |
//! | `counts` | `records`, `bytes`, `bad`, `late`, `late_idle`, `windows`, `rows_out` since the state began |
//!
//! Names: `state/<number>-<attempt>-<try>-<place>`, `sinks/<number>-<attempt>-<try>-<place>`, `panes/<node>/<pane>/<attempt>`.
//!
//! Version 2 has the same fields. A closed pane of a hop may be several entries, each with other groups and all with the pane's tag,
//! in one object or in several, the further ones under `panes/<node>/<pane>/<attempt>-<part>`: that of a pane that went to disk,
//! which is stored a block at a time and never was in memory as a whole. Open panes and what waits for a sink have been several
//! entries in version 1 already.
//!
//! A later version reads all earlier ones: `tests/fixtures/checkpoint-v1` and `checkpoint-v2` are checkpoints of them, and
//! `crates/hitters/tests/checkpoint_formats.rs` goes on from them.

use crate::Error;
use crate::metrics::Counts;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The newest version of the format, and the newest that is read: a closed pane may stand in several entries and objects, each
/// with other groups.
pub const FORMAT: u32 = 2;
/// The version in which a closed pane is one entry. It is written where no pane needs more, so that older programs read it.
pub const PLAIN: u32 = 1;
/// The folder of manifests.
pub const FOLDER: &str = "manifests";

/// What belongs to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub format: u32,
    /// Number of the checkpoint; the next one has a greater number.
    pub number: u64,
    /// The run that wrote it, by the number with which it began.
    pub attempt: u64,
    /// Name and version of the program that wrote it.
    pub writer: String,
    /// How far each partition was read.
    pub partitions: Vec<Partition>,
    /// Nodes of the plan that have state, and what they computed.
    pub nodes: Vec<Node>,
    /// Objects with the state of nodes.
    pub objects: Vec<ObjectRef>,
    /// Sinks that held rows back.
    pub sinks: Vec<SinkState>,
    /// What was counted since the state began.
    pub counts: Counts,
}

/// How far a partition was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The table.
    pub table: String,
    /// What the table's positions are in, as [`TableSpec::log`](hitters_planner::connector::TableSpec::log) says.
    pub log: String,
    /// Number within the table.
    pub partition: i32,
    /// What to read next; `None` if nothing is known.
    pub next: Option<i64>,
    /// Watermark, nanoseconds.
    pub watermark: i64,
    /// Latest event time, nanoseconds.
    pub latest: i64,
}

/// A node with state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number in this manifest and its objects.
    pub node: u32,
    /// What it computes ([`hitters_planner::identity`]).
    pub identity: String,
    /// For a window: the time up to which all workers had closed its panes.
    pub closed_until: Option<i64>,
    /// For a window: the time up to which it was published.
    pub published: Option<i64>,
}

/// An object of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// XXH3 of its bytes, 64 bits, as hexadecimal digits.
    pub checksum: String,
}

/// A sink that held rows back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkState {
    /// The table that it writes.
    pub table: String,
    /// Which of the sinks that write this table.
    pub ordinal: usize,
    /// The checkpoint that the rows belong to; older than the manifest if a run began and wrote nothing since.
    pub number: u64,
    /// Where the rows are.
    pub object: ObjectRef,
}

impl ObjectRef {
    /// A reference to these bytes.
    pub fn new(name: String, bytes: &[u8]) -> Self {
        Self {
            name,
            bytes: bytes.len() as u64,
            checksum: checksum(bytes),
        }
    }

    /// Whether these are the bytes that were written.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        self.bytes == bytes.len() as u64 && self.checksum == checksum(bytes)
    }
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(bytes))
}

impl Manifest {
    /// A state in which nothing was read.
    pub fn empty(number: u64) -> Self {
        Self {
            format: PLAIN,
            number,
            attempt: number,
            writer: concat!("hitters ", env!("CARGO_PKG_VERSION")).to_string(),
            partitions: Vec::new(),
            nodes: Vec::new(),
            objects: Vec::new(),
            sinks: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// The name under which the manifest of a number is stored.
    pub fn name(number: u64) -> String {
        format!("{FOLDER}/{number:020}")
    }

    /// The number of a manifest of this name.
    pub fn number_of(name: &str) -> Option<u64> {
        let digits = name.strip_prefix(FOLDER)?.strip_prefix('/')?;
        (digits.len() == 20).then(|| digits.parse().ok()).flatten()
    }

    /// Every object that belongs to it.
    pub fn all_objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.objects.iter().chain(self.sinks.iter().map(|sink| &sink.object))
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut text = serde_json::to_string(self).map_err(|error| Error::Checkpoint(format!("manifest: {error}")))?;
        let sum = checksum(text.as_bytes());
        text.push_str("\nxxh3:");
        text.push_str(&sum);
        text.push('\n');
        Ok(text.into_bytes())
    }

    /// The manifest of such bytes.
    ///
    /// # Errors
    /// They are torn, changed, or of a newer format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let (line, rest) = text.split_once('\n').ok_or("it is cut")?;
        let sum = rest.strip_prefix("xxh3:").and_then(|rest| rest.strip_suffix('\n'));
        if sum.ok_or("it is cut")? != checksum(line.as_bytes()) {
            return Err("its checksum is wrong".into());
        }
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let version: Version = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if version.format > FORMAT {
            return Err(Unreadable {
                why: format!(
                    "it is of format {}, this program reads up to {FORMAT}: use a newer hitters",
                    version.format
                ),
                newer: true,
            });
        }
        Ok(serde_json::from_str(line).map_err(|error| error.to_string())?)
    }
}

/// Why bytes are no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    why: String,
    /// It is whole, but a newer program wrote it.
    pub newer: bool,
}

impl From<&str> for Unreadable {
    fn from(why: &str) -> Self {
        why.to_string().into()
    }
}

impl From<String> for Unreadable {
    fn from(why: String) -> Self {
        Self { why, newer: false }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let object = ObjectRef::new("state/1".into(), b"bytes");
        Manifest {
            partitions: vec![Partition {
                table: "events".into(),
                log: "kafka topic events".into(),
                partition: 3,
                next: Some(42),
                watermark: i64::MIN,
                latest: i64::MAX,
            }],
            objects: vec![object.clone()],
            sinks: vec![SinkState {
                table: "out".into(),
                ordinal: 0,
                number: 6,
                object,
            }],
            ..Manifest::empty(7)
        }
    }

    #[test]
    fn manifests_come_back_as_they_were() {
        let bytes = manifest().to_bytes().unwrap();
        assert_eq!(Manifest::from_bytes(&bytes).unwrap(), manifest());
        assert_eq!(Manifest::number_of(&Manifest::name(7)), Some(7));
        assert_eq!(Manifest::number_of("manifests/7"), None);
    }

    #[test]
    fn torn_and_changed_manifests_are_refused() {
        let bytes = manifest().to_bytes().unwrap();
        for cut in 0..bytes.len() {
            assert!(Manifest::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(Manifest::from_bytes(&other).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn a_newer_format_says_so() {
        let newer = Manifest {
            format: FORMAT + 1,
            ..manifest()
        };
        let error = Manifest::from_bytes(&newer.to_bytes().unwrap()).unwrap_err();
        assert!(error.newer && error.to_string().contains("newer hitters"), "{error}");
    }
}
