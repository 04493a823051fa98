//! Dead letters: rows that were dropped as bad, kept for people to look at and to send again.
//!
//! A letter is one JSON object: `table`, `source` (file or topic), `partition` (`null` for files), `position` (offset or
//! line, counted from 1), `reason`, and `payload` as text, or `payload_base64` if the bytes are not UTF-8. Letters to a
//! file are written at once; letters to a topic have arrived when [`DeadLetters::flush`] returns.

use crate::kafka::{Delivery, Servers, pairs};
use crate::run::Reporter;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Where dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetter {
    /// Appended to this file, one a line.
    File(PathBuf),
    /// Sent to a Kafka topic.
    Topic {
        /// `host:port,host:port`.
        bootstrap_servers: String,
        /// The topic.
        topic: String,
        /// Further settings of librdkafka.
        client_configs: Vec<(String, String)>,
    },
}

impl DeadLetter {
    /// A topic, with settings of the client as `name=value,name=value`.
    ///
    /// # Errors
    ///
    /// A setting without `=`.
    pub fn topic(bootstrap_servers: &str, topic: &str, client_configs: &str) -> Result<Self, String> {
        let client_configs = pairs(client_configs).map_err(|pair| {
            format!("client_configs of the dead letters: '{pair}' has no '=' (write name=value,name=value)")
        })?;
        Ok(Self::Topic {
            bootstrap_servers: bootstrap_servers.to_string(),
            topic: topic.to_string(),
            client_configs,
        })
    }

    /// A file name, or `kafka://host:port,host:port/topic`.
    ///
    /// # Errors
    ///
    /// An address without servers or without a topic.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(address) = text.strip_prefix("kafka://") else {
            return Ok(Self::File(text.into()));
        };
        match address.split_once('/') {
            Some((servers, topic)) if !servers.is_empty() && !topic.is_empty() && !topic.contains('/') => {
                Self::topic(servers, topic, "")
            }
            _ => Err("write kafka://HOST:PORT/TOPIC, with commas between several servers".into()),
        }
    }
}

/// How long letters may still take to arrive when their run is over and did not wait for them.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// An open target, shared by the readers of a run.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    target: Mutex<Target>,
    reporter: Reporter,
}

#[derive(Debug)]
enum Target {
    File(File, PathBuf),
    Topic(Delivery),
}

impl DeadLetters {
    /// Opens the target.
    pub(crate) fn open(target: &DeadLetter, run: &crate::RunOptions) -> Result<Self, String> {
        let target = match target {
            DeadLetter::File(path) => {
                let file = File::options().append(true).create(true).open(path);
                Target::File(
                    file.map_err(|e| format!("cannot open the dead letter file '{}': {e}", path.display()))?,
                    path.clone(),
                )
            }
            DeadLetter::Topic {
                bootstrap_servers,
                topic,
                client_configs,
            } => {
                let servers = Servers {
                    bootstrap: bootstrap_servers.clone(),
                    settings: client_configs.clone(),
                };
                Target::Topic(Delivery::open(&servers, topic, run)?)
            }
        };
        Ok(Self {
            target: Mutex::new(target),
            reporter: run.reporter.clone(),
        })
    }

    /// Keeps one row.
    pub(crate) fn write(
        &self,
        table: &str,
        source: &str,
        partition: Option<i32>,
        position: i64,
        payload: &[u8],
        reason: &str,
    ) -> Result<(), String> {
        let mut letter =
            json!({"table": table, "source": source, "partition": partition, "position": position, "reason": reason});
        match std::str::from_utf8(payload) {
            Ok(text) => letter["payload"] = text.into(),
            Err(_) => letter["payload_base64"] = BASE64_STANDARD.encode(payload).into(),
        }
        // A panic of another reader leaves a whole letter or none, so the target is still good.
        match &mut *self.target.lock().unwrap_or_else(PoisonError::into_inner) {
            Target::File(file, path) => file
                .write_all(format!("{letter}\n").as_bytes())
                .map_err(|e| format!("writing '{}': {e}", path.display())),
            Target::Topic(delivery) => delivery.send(None, letter.to_string().as_bytes(), None),
        }
    }

    /// Waits until every letter has arrived.
    pub(crate) fn flush(&self) -> Result<(), String> {
        self.flush_within(Duration::MAX)
    }

    fn flush_within(&self, limit: Duration) -> Result<(), String> {
        match &mut *self.target.lock().unwrap_or_else(PoisonError::into_inner) {
            Target::File(..) => Ok(()),
            Target::Topic(delivery) => delivery.flush_within(limit),
        }
    }
}

impl Drop for DeadLetters {
    fn drop(&mut self) {
        // A run that failed did not flush, and its last bad rows are the ones that people will want to see.
        if let Err(what) = self.flush_within(LAST_WAIT) {
            self.reporter.say(&format!("dead letters may be missing: {what}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DeadLetter;

    #[test]
    fn a_target_is_a_file_or_an_address_of_a_topic() {
        assert_eq!(
            DeadLetter::parse("a/bad.ndjson"),
            Ok(DeadLetter::File("a/bad.ndjson".into()))
        );
        assert_eq!(
            DeadLetter::parse("kafka://a:1,b:2/bad"),
            DeadLetter::topic("a:1,b:2", "bad", "")
        );
        for wrong in ["kafka://a:1", "kafka:///bad", "kafka://a:1/", "kafka://a:1/b/c"] {
            assert!(DeadLetter::parse(wrong).is_err(), "{wrong}");
        }
        assert!(DeadLetter::topic("a:1", "bad", "linger.ms").is_err());
    }
}
