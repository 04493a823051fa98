//! `redis`: a sink for strings, lists and hashes; the value is always the whole row as JSON, as in Arroyo.
//!
//! Within a run every row is written once, also when the connection breaks before the answer: strings and fields by their
//! nature, pushes to lists by transactions that Redis numbers for us (not in a cluster). Without checkpoints a run that starts
//! again writes rows again: the same ones, so that strings and hashes stay right, and lists get them twice. With checkpoints
//! lists get them once as well, in a cluster too, and a run that was taken for dead is fenced: see [`fence`].

mod active;
mod commands;
mod connection;
mod fence;
mod sink;
mod slots;
#[cfg(test)]
mod tests;

pub use active::Active;
pub(crate) use sink::RedisSink;

use crate::format::{self, Format};
use arrow::datatypes::DataType;
use hitters_planner::connector::{Connector, Direction, Options, TableSpec};
use hitters_planner::error::Error;
use hitters_planner::sql_type;
use hitters_planner::table::Column;
use hitters_results::RedisAddress;
use std::any::Any;
use std::num::NonZeroU64;
use std::sync::Arc;

/// The connector.
pub(crate) struct Redis;

/// A checked table.
#[derive(Clone)]
pub(crate) struct RedisTable {
    servers: Servers,
    target: Target,
    /// Put before every key.
    prefix: String,
    /// The column whose value comes after the prefix.
    key: Option<String>,
    format: Format,
}

/// Where Redis is.
#[derive(Clone)]
struct Servers {
    /// One address, or the first known nodes of a cluster.
    addresses: Vec<String>,
    cluster: bool,
    username: Option<String>,
    password: Option<String>,
}

/// `target`.
#[derive(Clone, Debug)]
enum Target {
    String { ttl: Option<NonZeroU64> },
    List { append: bool, longest: Option<NonZeroU64> },
    Hash { field: String },
}

impl Connector for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn table(&self, columns: &[Column], options: &mut Options) -> Result<Arc<dyn TableSpec>, Error> {
        let kind = options.one_of("type", &[("sink", true), ("lookup", false)])?;
        match kind {
            Some(true) => {}
            Some(false) => {
                return Err(
                    Error::new("lookup tables are not supported").hint("redis tables are written: type = 'sink'")
                );
            }
            None => return Err(Error::new("option 'type' is missing").hint("add type = 'sink' to WITH")),
        }
        let servers = servers(options)?;
        let targets = [("string", 0), ("list", 1), ("hash", 2)];
        let target = options.one_of("target", &targets)?;
        let target = target.ok_or_else(|| {
            Error::new("option 'target' is missing").hint("add target = 'string', 'list' or 'hash' to WITH")
        })?;
        let prefix = options.required("target.key_prefix")?;
        let key = options
            .spanned("target.key_column")
            .map(|named| text_column(columns, "target.key_column", named))
            .transpose()?;
        let target = match target {
            0 => Target::String {
                ttl: options.parsed("target.ttl_secs", "a number of seconds above 0")?,
            },
            1 => Target::List {
                append: options
                    .one_of("target.operation", &[("append", true), ("prepend", false)])?
                    .unwrap_or(true),
                longest: options.parsed("target.max_length", "a number of entries above 0")?,
            },
            _ => {
                let missing = || {
                    Error::new("option 'target.field_column' is missing")
                        .hint("a hash needs the column whose value names the field")
                };
                let named = options.spanned("target.field_column").ok_or_else(missing)?;
                Target::Hash {
                    field: text_column(columns, "target.field_column", named)?,
                }
            }
        };
        let format = format::encoding(columns, options)?;
        Ok(Arc::new(RedisTable {
            servers,
            target,
            prefix,
            key,
            format,
        }))
    }
}

fn servers(options: &mut Options) -> Result<Servers, Error> {
    let address = options.spanned("address");
    let nodes = options.spanned("cluster.addresses");
    let (cluster, span, addresses) = match (address, nodes) {
        (Some((address, span)), None) => (false, span, vec![address]),
        (None, Some((nodes, span))) => (
            true,
            span,
            nodes.split(',').map(|node| node.trim().to_string()).collect(),
        ),
        (Some(_), Some((_, span))) => {
            return Err(Error::new("options 'address' and 'cluster.addresses' exclude each other").at(span));
        }
        (None, None) => {
            return Err(Error::new("option 'address' is missing")
                .hint("add address = 'redis://host:6379', or cluster.addresses = '...,...' for a cluster"));
        }
    };
    for address in &addresses {
        let read = RedisAddress::parse(address).map_err(|wrong| {
            let shown = connection::masked(address);
            Error::new(format!("'{shown}' is no address of a Redis server: {wrong}"))
                .at(span)
                .hint("write redis://host:6379 or rediss://host:6379 (TLS)")
        })?;
        // The client of clusters takes the system's alone.
        if cluster && read.has_certificates() {
            return Err(Error::new("certificates cannot be named in the addresses of a cluster")
                .at(span)
                .hint("name the file of authorities in the environment: SSL_CERT_FILE=ca.pem"));
        }
    }
    Ok(Servers {
        addresses,
        cluster,
        username: options.text("username"),
        password: options.text("password"),
    })
}

/// A key must be text and there: a NULL would silently write to the key of another row.
fn text_column(
    columns: &[Column],
    option: &str,
    (name, span): (String, Option<hitters_planner::error::Span>),
) -> Result<String, Error> {
    let hint = || format!("declare it: {name} TEXT NOT NULL");
    match columns.iter().find(|column| *column.field.name() == name) {
        None => Err(
            Error::new(format!("option '{option}': the table has no column '{name}'"))
                .at(span)
                .hint(hint()),
        ),
        Some(column) if *column.field.data_type() != DataType::Utf8View => Err(Error::new(format!(
            "option '{option}': column '{name}' is {}, it must be TEXT",
            sql_type(column.field.data_type())
        ))
        .at(span)
        .hint(hint())),
        Some(column) if column.field.is_nullable() => Err(Error::new(format!(
            "option '{option}': column '{name}' may be NULL, and a key cannot"
        ))
        .at(span)
        .hint(hint())),
        Some(_) => Ok(name),
    }
}

impl std::fmt::Debug for RedisTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}

impl TableSpec for RedisTable {
    fn connector(&self) -> &'static str {
        "redis"
    }

    fn direction(&self) -> Direction {
        Direction::Sink
    }

    fn describe(&self) -> String {
        let what = match &self.target {
            Target::String { ttl: None } => "string".to_string(),
            Target::String { ttl: Some(seconds) } => format!("string for {seconds} s"),
            Target::List { longest: None, .. } => "list".to_string(),
            Target::List {
                longest: Some(longest), ..
            } => format!("list of {longest}"),
            Target::Hash { field } => format!("hash by {field}"),
        };
        let key = self.key.as_ref().map(|key| format!("<{key}>")).unwrap_or_default();
        format!("redis {what} {}{key} at {}", self.prefix, self.servers.shown())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
