//! `dead_letter`: where rows go that were dropped as bad.

use crate::reader::{Keys, Reader, join};
use std::path::PathBuf;
use toml::Spanned;
use toml::de::DeValue;

/// The target of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetter {
    /// `dead_letter = "FILE"`, relative to the pipeline file.
    File(PathBuf),
    /// `dead_letter = { topic = "...", bootstrap_servers = "...", client_configs = "name=value,..." }`.
    Topic {
        /// The topic.
        topic: String,
        /// `host:port,host:port`.
        bootstrap_servers: String,
        /// Settings of the client as `name=value,name=value`, as the option of a Kafka table.
        client_configs: String,
    },
}

impl Reader<'_> {
    pub(crate) fn dead_letter(&mut self, value: &Spanned<DeValue<'_>>) -> Option<DeadLetter> {
        let table = match value.get_ref() {
            DeValue::String(_) => {
                let path = self.text(value)?.text;
                if path.starts_with("kafka://") {
                    let hint = "write dead_letter = { topic = \"...\", bootstrap_servers = \"host:port\" }";
                    self.fault(value.span(), "a topic is not written as an address here", hint);
                    return None;
                }
                return Some(DeadLetter::File(join(self.base, &path)));
            }
            DeValue::Table(table) => table,
            _ => {
                let hint = "a file name in quotes, or { topic = \"...\", bootstrap_servers = \"host:port\" }";
                self.fault(value.span(), "'dead_letter' is neither a file nor a topic", hint);
                return None;
            }
        };
        let mut keys = Keys::new(table);
        let mut text = |key: &'static str| keys.take(key).map(|value| self.text(value));
        let (topic, servers, configs) = (text("topic"), text("bootstrap_servers"), text("client_configs"));
        self.unknown(&keys, &["topic", "bootstrap_servers", "client_configs"]);
        for (key, given) in [("topic", &topic), ("bootstrap_servers", &servers)] {
            if given.is_none() {
                self.fault(
                    value.span(),
                    format!("'dead_letter' has no '{key}'"),
                    format!("add {key} = \"...\""),
                );
            }
        }
        Some(DeadLetter::Topic {
            topic: topic??.text,
            bootstrap_servers: servers??.text,
            client_configs: match configs {
                Some(text) => text?.text,
                None => String::new(),
            },
        })
    }
}
