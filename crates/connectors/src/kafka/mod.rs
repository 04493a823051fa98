//! `kafka`: topics, read and written.
//!
//! A source assigns its partitions itself and joins no consumer group; a group id only names committed offsets. Positions
//! are next offsets. `sink.commit_mode = 'exactly_once'` writes in transactions: with checkpoints one for each of them, with
//! its rows, its number and the offsets of the sources; without checkpoints one for each flush. Readers with `read_committed`
//! see it as a whole or not at all.

mod batch;
mod client;
mod delivery;
mod exactly_once;
mod groups;
mod growth;
mod marker;
pub(crate) mod offsets;
mod progress;
mod reader;
mod sink;
mod source;
mod tail;
#[cfg(test)]
pub(crate) mod tests;
mod transactions;

pub(crate) use client::{Servers, Watch, metadata};
pub(crate) use delivery::Delivery;
pub(crate) use groups::Groups;
pub(crate) use sink::KafkaSink;
pub use source::CONSUMER_SETTINGS;
pub(crate) use source::KafkaSource;
pub use tail::{Begin, Record, Tail};

use crate::format::{self, Decoding, Format};
use crate::rows::METADATA;
use arrow::datatypes::{DataType, TimeUnit};
use hitters_planner::connector::{Connector, Direction, Options, TableSpec};
use hitters_planner::error::Error;
use hitters_planner::sql_type;
use hitters_planner::table::{Column, ColumnKind};
use std::any::Any;
use std::sync::Arc;

/// The connector.
pub(crate) struct Kafka;

/// A checked table.
#[derive(Clone, Debug)]
pub(crate) struct KafkaTable {
    servers: Servers,
    topic: String,
    role: Role,
}

#[derive(Clone, Debug)]
enum Role {
    Source {
        from: From,
        group: Option<String>,
        committed: bool,
        decoding: Decoding,
    },
    Sink {
        format: Format,
        transactional: bool,
        key: Option<String>,
        timestamp: Option<String>,
    },
}

/// `source.offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Earliest,
    Latest,
    Group,
}

impl KafkaTable {
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// `None` for a sink.
    pub(crate) fn decoding(&self) -> Option<&Decoding> {
        match &self.role {
            Role::Source { decoding, .. } => Some(decoding),
            Role::Sink { .. } => None,
        }
    }
}

impl Connector for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn table(&self, columns: &[Column], options: &mut Options) -> Result<Arc<dyn TableSpec>, Error> {
        let bootstrap = options.required("bootstrap_servers")?;
        let topic = options.required("topic")?;
        let direction = format::direction(options)?;
        let mut settings = auth(options)?;
        settings.extend(client_configs(options)?);
        for name in [
            "schema_registry.endpoint",
            "schema_registry.api_key",
            "schema_registry.api_secret",
            "value.subject",
        ] {
            if let Some((_, span)) = options.spanned(name) {
                return Err(Error::new(format!("option '{name}' is not supported"))
                    .at(span)
                    .hint("the embedded engine reads plain JSON, without a schema registry"));
            }
        }
        let role = match direction {
            Direction::Source => source(columns, options)?,
            Direction::Sink => sink(columns, options)?,
        };
        Ok(Arc::new(KafkaTable {
            servers: Servers { bootstrap, settings },
            topic,
            role,
        }))
    }
}

fn source(columns: &[Column], options: &mut Options) -> Result<Role, Error> {
    let offsets = [
        ("latest", From::Latest),
        ("earliest", From::Earliest),
        ("group", From::Group),
    ];
    let from = options.one_of("source.offset", &offsets)?.unwrap_or(From::Latest);
    let committed = options
        .one_of(
            "source.read_mode",
            &[("read_uncommitted", false), ("read_committed", true)],
        )?
        .unwrap_or(false);
    let group = options.text("source.group_id");
    // Names a group that Arroyo would make up; nothing is committed here, so that nothing needs a name.
    options.text("source.group_id_prefix");
    if from == From::Group && group.is_none() {
        return Err(Error::new("source.offset = 'group' needs the name of the group")
            .hint("add source.group_id = '...' to WITH"));
    }
    for column in columns {
        let ColumnKind::Metadata(key) = &column.kind else {
            continue;
        };
        let name = column.field.name();
        match METADATA.iter().find(|(known, _)| known == key) {
            None => {
                let known: Vec<_> = METADATA
                    .iter()
                    .map(|(known, data_type)| format!("{known} {}", sql_type(data_type)))
                    .collect();
                return Err(Error::new(format!("column '{name}': kafka has no metadata '{key}'"))
                    .hint(format!("there are {}", known.join(", "))));
            }
            Some((_, data_type)) if data_type != column.field.data_type() => {
                return Err(Error::new(format!(
                    "column '{name}': the metadata '{key}' has the type {}",
                    sql_type(data_type)
                ))
                .hint(format!("declare {name} {}", sql_type(data_type))));
            }
            Some(_) => {}
        }
    }
    Ok(Role::Source {
        from,
        group,
        committed,
        decoding: format::decoding(columns, options)?,
    })
}

fn sink(columns: &[Column], options: &mut Options) -> Result<Role, Error> {
    let transactional = options
        .one_of("sink.commit_mode", &[("at_least_once", false), ("exactly_once", true)])?
        .unwrap_or(false);
    let key = column_option(columns, options, "sink.key_field", "TEXT", |t| *t == DataType::Utf8View)?;
    let is_time = |t: &DataType| matches!(t, DataType::Timestamp(TimeUnit::Nanosecond, _));
    let timestamp = column_option(columns, options, "sink.timestamp_field", "TIMESTAMP", is_time)?;
    Ok(Role::Sink {
        format: format::encoding(columns, options)?,
        transactional,
        key,
        timestamp,
    })
}

/// An option that names a column of a certain type.
fn column_option(
    columns: &[Column],
    options: &mut Options,
    name: &'static str,
    type_name: &str,
    is_right: impl Fn(&DataType) -> bool,
) -> Result<Option<String>, Error> {
    let Some((value, span)) = options.spanned(name) else {
        return Ok(None);
    };
    match columns.iter().find(|c| *c.field.name() == value) {
        Some(column) if is_right(column.field.data_type()) => Ok(Some(value)),
        Some(column) => Err(Error::new(format!(
            "option '{name}': column '{value}' is {}, it must be {type_name}",
            sql_type(column.field.data_type())
        ))
        .at(span)),
        None => {
            let columns: Vec<_> = columns
                .iter()
                .filter(|c| is_right(c.field.data_type()))
                .map(|c| c.field.name().as_str())
                .collect();
            let hint = if columns.is_empty() {
                format!("it has no {type_name} column")
            } else {
                format!("its {type_name} columns are {}", columns.join(", "))
            };
            Err(
                Error::new(format!("option '{name}': the table has no column '{value}'"))
                    .at(span)
                    .hint(hint),
            )
        }
    }
}

/// The settings of `auth.*`.
fn auth(options: &mut Options) -> Result<Vec<(String, String)>, Error> {
    let sasl = options
        .one_of("auth.type", &[("none", false), ("sasl", true)])?
        .unwrap_or(false);
    if !sasl {
        return Ok(Vec::new());
    }
    let mut settings = Vec::new();
    for (name, setting) in [
        ("auth.mechanism", "sasl.mechanism"),
        ("auth.protocol", "security.protocol"),
        ("auth.username", "sasl.username"),
        ("auth.password", "sasl.password"),
    ] {
        settings.push((setting.to_string(), options.required(name)?));
    }
    Ok(settings)
}

/// `client_configs = 'name=value,name=value'`.
fn client_configs(options: &mut Options) -> Result<Vec<(String, String)>, Error> {
    let Some((text, span)) = options.spanned("client_configs") else {
        return Ok(Vec::new());
    };
    pairs(&text).map_err(|pair| {
        Error::new(format!("option 'client_configs': '{pair}' has no '='"))
            .at(span)
            .hint("write 'name=value,name=value'")
    })
}

/// `name=value,name=value` taken apart; the error is a part without `=`.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, &str> {
    let parts = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    parts
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_string(), value.trim().to_string())),
            None => Err(pair),
        })
        .collect()
}

impl TableSpec for KafkaTable {
    fn connector(&self) -> &'static str {
        "kafka"
    }

    fn direction(&self) -> Direction {
        if matches!(self.role, Role::Source { .. }) {
            Direction::Source
        } else {
            Direction::Sink
        }
    }

    fn describe(&self) -> String {
        let what = match &self.role {
            Role::Source { decoding, from, .. } => format!(
                "{}, from {}",
                decoding.format.name(),
                format!("{from:?}").to_lowercase()
            ),
            Role::Sink {
                format, transactional, ..
            } => format!(
                "{}{}",
                format.name(),
                if *transactional { ", transactions" } else { "" }
            ),
        };
        // Settings may hold secrets and are left out.
        format!("kafka topic {} at {} ({what})", self.topic, self.servers.bootstrap)
    }

    fn log(&self) -> String {
        format!("kafka topic {}", self.topic)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
