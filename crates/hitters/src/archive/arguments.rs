//! What can be said to `hitters archive`.

use crate::cli::{Missing, name_and_value, time};
use clap::{Args, ValueEnum};
use std::time::Duration;

#[derive(Debug, Args)]
pub struct Archive {
    /// The pipeline whose results are archived: NAME of pipelines/NAME.toml, or a pipeline file (.toml). It writes them to the
    /// topic NAME.results.
    #[arg(value_name = "PIPELINE", required_unless_present = "topic", conflicts_with = "topic")]
    pub pipeline: Option<String>,
    /// Fill ${NAME} in the SQL with VALUE; goes before the pipeline file's value. Can be given several times.
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub params: Vec<(String, String)>,
    /// Read this topic, whichever pipelines write to it.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// The brokers of the topic. [default: those of the pipeline; with --topic localhost:9092]
    #[arg(long, value_name = "HOST:PORT,...")]
    pub bootstrap_servers: Option<String>,
    /// A setting of the Kafka client, as for SASL or TLS. Can be given several times.
    #[arg(long = "client-config", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub client_configs: Vec<(String, String)>,
    /// Where to: history to cassandra://user:password@host:port,host:port/keyspace?dc=NAME&consistency=local_quorum, or recent windows
    /// to redis://user:password@host:port/database; ${env:NAME} in it is a variable of the environment. For TLS add
    /// &tls=true&ca=FILE&cert=FILE&key=FILE, and for Redis write rediss://...?ca=FILE&cert=FILE&key=FILE. Run the command once for
    /// each.
    #[arg(long, value_name = "URL", default_value = "cassandra://127.0.0.1:9042/hitters")]
    pub to: String,
    /// Redis: how long windows are kept after their end. Those that ended before are left out. [default: 1d]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub ttl: Option<Duration>,
    /// Cassandra: if the keyspace has to be made, the number of copies, or what stands behind WITH replication =. [default: 1]
    #[arg(long, value_name = "COPIES|CQL")]
    pub replication: Option<String>,
    /// End where the topic ends now, instead of waiting for more.
    #[arg(long)]
    pub once: bool,
    /// Read the topic from its beginning again. What is archived already stays what it is.
    #[arg(long)]
    pub again: bool,
    /// What to do where records were deleted before they were archived. With earliest, what was known before is unknown from then
    /// on, since there is a hole between.
    #[arg(long, value_enum, default_value_t = Missing::Fail, value_name = "WHAT")]
    pub missing_offsets: Missing,
    /// What to do about records that are no rows of answers.
    #[arg(long, value_enum, default_value_t = BadRows::Fail, value_name = "WHAT")]
    pub bad_rows: BadRows,
    /// Keep sketches in the compact form for answers of so many items: some kilobytes less a window, with wider bounds that still
    /// hold. [default: as they are published]
    #[arg(long, value_name = "ITEMS", value_parser = clap::value_parser!(u16).range(1..))]
    pub compact: Option<u16>,
    /// Cassandra: take what the pipeline publishes alone, and make no hours of minutes and days of hours.
    #[arg(long)]
    pub no_roll_up: bool,
    /// How long after its first row a window counts as whole, once the topic was read to its end again.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "2s")]
    pub settle: Duration,
    /// Print what was done as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to do about records that are no rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BadRows {
    /// Stop with an error that says where.
    Fail,
    /// Leave them out, and count them.
    Skip,
}
