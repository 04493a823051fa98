//! What can be said to `hitters run`.

use super::values::{backend, bound, size};
use super::{Format, Listen, Missing, Target};
use clap::Args;
use hitters_connectors::{Bound, DeadLetter};
use hitters_pipeline::Backend;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub target: Target,
    /// How many workers read and count. [default: as many as the machine has processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub parallelism: Option<u16>,
    /// Stop with an error when state grows over SIZE, as 512MB or 2GiB; with --state-backend rocksdb, let it go to disk.
    /// [default: no limit; 1GiB with rocksdb]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory_limit: Option<u64>,
    /// Where state is while it is in use: memory, or rocksdb for panes that outgrow the memory limit. Goes before the pipeline
    /// file's [state].
    #[arg(long, value_name = "BACKEND", value_parser = backend)]
    pub state_backend: Option<Backend>,
    /// The folder for RocksDB; it is emptied at the start and the end of the run. [default: in the folder of --state, or in
    /// the user's cache]
    #[arg(long, value_name = "FOLDER")]
    pub state_path: Option<PathBuf>,
    /// Stop when a SELECT has printed so many rows.
    #[arg(long, value_name = "ROWS")]
    pub limit: Option<u64>,
    /// Read at most so many records of each table.
    #[arg(long, value_name = "RECORDS")]
    pub records: Option<u64>,
    /// Where to begin in Kafka topics: earliest, latest, or a record time (RFC 3339 or epoch milliseconds).
    #[arg(long, value_name = "TIME", value_parser = bound)]
    pub from: Option<Bound>,
    /// Where to end in Kafka topics, the time itself not included; latest is the end at the start of the run.
    #[arg(long, value_name = "TIME", value_parser = bound)]
    pub to: Option<Bound>,
    /// End where the logs end at the start of the run, instead of waiting for more.
    #[arg(long)]
    pub bounded: bool,
    /// Keep bad rows of tables with bad_data = 'drop', with their place and the reason: append them to a file, or send them
    /// to kafka://HOST:PORT/TOPIC.
    #[arg(long, value_name = "FILE|TOPIC", value_parser = DeadLetter::parse)]
    pub dead_letter: Option<DeadLetter>,
    /// Keep the state of the run here and go on from it: a folder, s3://bucket/prefix, hdfs://host:port/path. Goes before
    /// the pipeline file's [checkpoint].
    #[arg(long, value_name = "FOLDER|URL")]
    pub state: Option<String>,
    /// What to do where the record at a saved position was deleted by the topic's retention.
    #[arg(long, value_enum, default_value_t = Missing::Fail, value_name = "WHAT")]
    pub missing_offsets: Missing,
    /// Answer questions about this run over REST while it runs, and after its input has ended until you stop it. Flags go
    /// before the pipeline file's [serve]. [default address: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1)]
    pub serve: Option<Option<SocketAddr>>,
    /// Keep the answers that are served in this file. [default: in memory]
    #[arg(long, value_name = "FILE", requires = "serve")]
    pub answers: Option<PathBuf>,
    #[command(flatten)]
    pub how: Listen,
    /// How to print the rows of a bare SELECT.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,
    /// Print the summary of the run as JSON, not as tables.
    #[arg(long)]
    pub json: bool,
}
