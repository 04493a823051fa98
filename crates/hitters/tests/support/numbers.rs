//! A pipeline whose rows are known beforehand: 100 by group and second of event time, without end and without a service.

use super::{command, run};
use serde_json::Value;
use std::fs::{self, File};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

const SQL: &str = "
CREATE TABLE numbers WITH (connector = 'impulse', event_rate = '1000');
SELECT CAST(to_unixtime(window.start) AS BIGINT) AS second, part, n FROM (
    SELECT tumble(INTERVAL '1 second') AS window, counter % 10 AS part, count(*) AS n FROM numbers GROUP BY 1, 2);
";

/// Second, part, n.
pub type Row = [i64; 3];

/// A run that is killed with its owner: a test that fails leaves none behind.
pub struct Started(Child);

impl Deref for Started {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Started {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Numbers {
    pub folder: tempfile::TempDir,
    pub environment: Vec<(String, String)>,
}

impl Numbers {
    /// Keeps its state there, five times a second.
    pub fn new(storage: &str, environment: Vec<(String, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("numbers.sql"), SQL).unwrap();
        let text = format!("sql = 'numbers.sql'\n[checkpoint]\nstorage = '{storage}'\ninterval = '200ms'\n");
        fs::write(folder.path().join("numbers.toml"), text).unwrap();
        Self { folder, environment }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The pipeline file.
    pub fn file(&self) -> String {
        self.path("numbers.toml").display().to_string()
    }

    /// Starts it, with its rows in a file and what it says in another.
    pub fn start(&self, rows: &str) -> Started {
        let mut command = command(["run", &self.file()]);
        command.envs(self.environment.iter().cloned());
        command.stdout(File::create(self.path(rows)).unwrap());
        command.stderr(File::create(self.path(&format!("{rows}.log"))).unwrap());
        Started(command.spawn().unwrap())
    }

    /// What the run with these rows said.
    pub fn log(&self, rows: &str) -> String {
        fs::read_to_string(self.path(&format!("{rows}.log"))).unwrap()
    }

    /// The rows that were printed. A kill may have cut the last line, which counts only if it is whole.
    pub fn rows(&self, name: &str) -> Vec<Row> {
        let text = fs::read_to_string(self.path(name)).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let row = |line: &str| {
            let row: Value = serde_json::from_str(line).unwrap();
            ["second", "part", "n"].map(|field| row[field].as_i64().unwrap())
        };
        whole.lines().map(row).collect()
    }

    /// What its run says at the control socket, if there is one.
    pub fn status(&self) -> Option<Value> {
        let ran = run(["status", &self.file(), "--json"]);
        serde_json::from_str(&ran.stdout).ok()
    }

    /// Waits until the status is as wanted.
    pub fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(30);
        let mut last = None;
        while Instant::now() < end {
            last = self.status();
            if let Some(status) = last.as_ref().filter(|status| wanted(status)) {
                return status.clone();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{what} did not come; the last status was {last:?}");
    }
}
