//! A pipeline over a topic, with its state in a folder.

use super::outside::Outside;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The events of `hitters generate`, with a watermark that loses none of them.
pub const EVENTS: &str = "CREATE TABLE events (
    ts BIGINT NOT NULL, item TEXT NOT NULL, category TEXT NOT NULL, region TEXT, amount BIGINT,
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    WATERMARK FOR t AS (
        coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '2 seconds'
    )
) WITH (connector = 'kafka', type = 'source', bootstrap_servers = '${kafka}', topic = '${events}', format = 'json',
        'source.offset' = 'earliest');
";

/// A pipeline of its own name in a folder of its own.
pub struct Pipeline {
    pub folder: tempfile::TempDir,
    pub file: PathBuf,
    /// The state of version 1.
    pub state: PathBuf,
}

/// A checkpoint as its manifest tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub number: u64,
    /// Records read up to it.
    pub records: u64,
    /// Rows given to sinks up to it.
    pub rows: u64,
}

impl Pipeline {
    /// Writes the files; checkpoints come as often as they may.
    pub fn new(outside: &Outside, name: &str, sql: &str) -> Self {
        Self::with(outside, name, sql, "")
    }

    /// The same with further lines at the top of the pipeline file.
    pub fn with(outside: &Outside, name: &str, sql: &str, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state");
        let toml = format!(
            "name = \"{name}\"\nsql = \"pipeline.sql\"\n{settings}[checkpoint]\nstorage = \"{}\"\ninterval = \"100ms\"\n",
            place.display()
        );
        let file = folder.path().join("pipeline.toml");
        fs::write(&file, toml).unwrap();
        let state = place.join("v1");
        let pipeline = Self { folder, file, state };
        pipeline.write(outside, sql);
        pipeline
    }

    /// Replaces the SQL.
    pub fn write(&self, outside: &Outside, sql: &str) {
        fs::write(self.folder.path().join("pipeline.sql"), outside.fill(sql)).unwrap();
    }

    /// Lets state spill to RocksDB, which is given so little memory that it writes files soon.
    pub fn spill(&self) {
        let toml = fs::read_to_string(&self.file).unwrap();
        let limit = "memory_limit = \"64MB\"\n".to_string();
        fs::write(&self.file, limit + &toml + "[state]\nbackend = \"rocksdb\"\n").unwrap();
    }

    /// Bytes of state that a killed run left in files of RocksDB.
    pub fn spilled(&self) -> u64 {
        let tables = |path: &PathBuf| matches!(path.extension().and_then(|end| end.to_str()), Some("sst" | "blob"));
        let found = files(self.folder.path()).into_iter().filter(tables);
        found.map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum()
    }

    /// Arguments of a run over the topic as it is now.
    pub fn bounded(&self, parallelism: u64) -> Vec<String> {
        self.run(parallelism)
            .into_iter()
            .chain(["--bounded".to_string()])
            .collect()
    }

    /// Arguments of a run without an end.
    pub fn run(&self, parallelism: u64) -> Vec<String> {
        let words = [
            "run",
            &self.file.display().to_string(),
            "--parallelism",
            &parallelism.to_string(),
        ];
        words.map(str::to_string).to_vec()
    }

    /// The numbers of all manifests, with their files.
    pub fn manifests(&self) -> Vec<(u64, PathBuf)> {
        let mut found: Vec<(u64, PathBuf)> = files(&self.state.join("manifests"))
            .into_iter()
            .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path)))
            .collect();
        found.sort();
        found
    }

    /// The newest checkpoint; one without a number if there is none.
    pub fn newest(&self) -> Stored {
        let parse = |path: &Path| -> Option<Stored> {
            let text = fs::read_to_string(path).ok()?;
            let value: Value = serde_json::from_str(text.lines().next()?).ok()?;
            Some(Stored {
                number: value["number"].as_u64()?,
                records: value["counts"]["records"].as_u64()?,
                rows: value["counts"]["rows_out"].as_u64()?,
            })
        };
        self.manifests()
            .iter()
            .rev()
            .find_map(|(_, path)| parse(path))
            .unwrap_or_default()
    }

    /// All files of state but manifests and the lock.
    pub fn objects(&self) -> Vec<PathBuf> {
        ["state", "panes", "sinks"]
            .iter()
            .flat_map(|folder| files(&self.state.join(folder)))
            .collect()
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}
