//! Which version of a pipeline readers should look at: the key `hh:<pipeline>:active` in every Redis that it writes to.
//!
//! Written by `hitters` only: by the first run of a pipeline, and by a replay when the version that it fills has caught up.

use super::RedisTable;
use super::connection::RedisConnection;
use crate::run::{Reporter, StartTimeout};
use hitters_planner::table::Table;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The active version of a pipeline, in the Redis servers that its tables are written to.
pub struct Active {
    key: String,
    connections: Vec<RedisConnection>,
}

impl Active {
    /// Connects to the servers of these tables; `None` if none of them is in Redis.
    ///
    /// # Errors
    ///
    /// A Redis that does not answer.
    pub fn open(pipeline: &str, tables: &[Arc<Table>], reporter: &Reporter) -> Result<Option<Self>, String> {
        let mut connections = Vec::new();
        let mut known = Vec::new();
        for table in tables {
            let Some(redis) = table.spec.as_any().downcast_ref::<RedisTable>() else {
                continue;
            };
            if !known.contains(&redis.servers.addresses) {
                known.push(redis.servers.addresses.clone());
                let timeout = StartTimeout::default().0;
                connections.push(RedisConnection::open(&redis.servers, reporter, timeout)?);
            }
        }
        let key = format!("hh:{pipeline}:active");
        Ok((!connections.is_empty()).then_some(Self { key, connections }))
    }

    /// The version; `None` if no run has said one. Of several servers that disagree (a replay was killed while it switched) the
    /// smallest counts.
    ///
    /// # Errors
    ///
    /// A Redis that does not answer, or holds something else under the key.
    pub fn get(&mut self) -> Result<Option<u64>, String> {
        let mut versions = Vec::new();
        for connection in &mut self.connections {
            versions.push(connection.ask::<Option<u64>>(redis::cmd("GET").arg(&self.key))?);
        }
        Ok(versions.into_iter().min().flatten())
    }

    /// Says the version, unless one was said before.
    ///
    /// # Errors
    ///
    /// A Redis that does not answer.
    pub fn begin(&mut self, version: u64) -> Result<(), String> {
        self.each(redis::cmd("SETNX").arg(&self.key).arg(version).clone())
    }

    /// Says the version.
    ///
    /// # Errors
    ///
    /// A Redis that does not answer.
    pub fn set(&mut self, version: u64) -> Result<(), String> {
        self.each(redis::cmd("SET").arg(&self.key).arg(version).clone())
    }

    /// How far a version has read, by what its pipeline says of it: the fields of `hh:<pipeline>:v<version>:progress`. Empty if it
    /// says nothing (yet).
    ///
    /// # Errors
    ///
    /// A Redis that does not answer, or holds something else under the key.
    pub fn progress(&mut self, version: u64) -> Result<BTreeMap<String, String>, String> {
        let key = format!("{}:v{version}:progress", self.key.trim_end_matches(":active"));
        let mut fields = BTreeMap::new();
        for connection in &mut self.connections {
            fields.extend(connection.ask::<BTreeMap<String, String>>(redis::cmd("HGETALL").arg(&key))?);
        }
        Ok(fields)
    }

    fn each(&mut self, command: redis::Cmd) -> Result<(), String> {
        let mut ask = |connection: &mut RedisConnection| connection.ask::<redis::Value>(&command).map(drop);
        self.connections.iter_mut().try_for_each(&mut ask)
    }
}
