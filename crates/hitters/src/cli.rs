//! The command line: what can be said to `hitters`.

use crate::listen::JwtFlags;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use clap::{Args, Parser, Subcommand, ValueEnum};
use hitters_connectors::generate::{Profile, Silence};
use hitters_connectors::{Bound, DeadLetter};
use hitters_pipeline::Backend;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const AFTER: &str = "\
Data goes to standard output, talk to standard error.

Exit codes:
  0    done
  1    it failed while it ran: a source, a sink, the memory limit
  2    the command line is wrong
  3    the SQL or the pipeline file is wrong
  130  stopped by a signal; what was read until then was flushed";

/// Finds the top K of endless event streams, by window and dimension, with proven bounds.
#[derive(Debug, Parser)]
#[command(name = "hitters", version, after_help = AFTER, max_term_width = 110, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Say less: no progress, no summary, only errors.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a pipeline or a SQL file, until its input ends or you stop it.
    Run(Box<Run>),
    /// Run a pipeline on an Arroyo cluster: show what would change there, do it, and wait until the pipeline runs.
    Deploy(Deploy),
    /// Read a pipeline's log again as its next version, beside the one that runs, and switch readers over once it has
    /// caught up; then go on as that version.
    Replay(Replay),
    /// Show how far a run that keeps state is, here or on a cluster: rates, positions, its last checkpoint.
    Status(Status),
    /// Let a run that keeps state, here or on a cluster, go on with another number of workers; no event is lost or counted twice.
    Scale(Scale),
    /// Stop a run that keeps state, here or on a cluster, with a last checkpoint from which the next run goes on.
    Stop(Stop),
    /// Check a pipeline: all faults at once, each with its line and a hint.
    Check(Check),
    /// Show the plan of a pipeline, what a window costs in memory, and which bounds hold.
    Explain(Explain),
    /// Print the SQL as the engine gets it: parameters filled in, secrets masked.
    Render(Render),
    /// Show the Kafka topics of a pipeline, create them, or say how they differ from what is wanted.
    Topics(Topics),
    /// Write a synthetic stream of events to a file or a Kafka topic: the same options give the same bytes.
    Generate(Generate),
    /// Functions for an Arroyo cluster.
    #[command(subcommand)]
    Udf(Udf),
    /// Look into sketches.
    #[command(subcommand)]
    Sketch(Sketch),
    /// Answer questions over REST, from the stores that pipelines write to.
    Serve(Box<Serve>),
    /// Ask a running service for the top K, the count of an item, or what is above a share.
    Query(Query),
    /// Watch the ranking of a pipeline in the terminal, as a running service sees it.
    Top(crate::top::Top),
    /// Make, list and revoke the keys of a service.
    #[command(subcommand)]
    Keys(Keys),
    /// Keep the history of a pipeline's answers in Cassandra, with minutes rolled up to hours and days, or recent windows in Redis: read
    /// its results topic.
    Archive(crate::archive::Archive),
}

/// How a service listens, whom it lets in.
#[derive(Clone, Debug, Default, Args)]
pub struct Listen {
    /// The file of API keys (`hitters keys add`). Without one everybody on this machine may ask, and nobody else.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Encrypt: the certificate chain, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// Encrypt: the key of the certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// An origin whose pages may ask from a browser, as https://dash.example.com. Can be given several times.
    #[arg(long = "cors", value_name = "ORIGIN")]
    pub cors: Vec<String>,
    /// Questions a second of a key that has no limit of its own; 0 is no limit. [default: 100]
    #[arg(long, value_name = "N")]
    pub limit_per_second: Option<u32>,
    /// Streams of live updates that may be open at once. [default: 1000]
    #[arg(long, value_name = "N")]
    pub listeners: Option<usize>,
    /// How many of these one key may have. [default: 100]
    #[arg(long, value_name = "N")]
    pub listeners_per_key: Option<usize>,
    /// How long an answer may take. [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub answer_timeout: Option<Duration>,
    /// Memory for answers that are kept. [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub answer_cache: Option<u64>,
    /// Write one line of JSON for each question to standard error.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub audit: Option<bool>,
    #[command(flatten)]
    pub jwt: JwtFlags,
    /// Show the answers as tables over the PostgreSQL wire protocol, too, to Grafana, Metabase, Superset, psql; the password is
    /// an API key.
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:5433")]
    pub postgres: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// NAME of pipelines/NAME.toml, or a pipeline file (.toml), whose [serve] says what flags do not say.
    #[arg(value_name = "PIPELINE")]
    pub pipeline: Option<String>,
    /// Recent answers: redis://host:port, or rediss://host:port?ca=FILE&cert=FILE&key=FILE for TLS; ${env:NAME} in it is a variable of
    /// the environment.
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// History that `hitters archive` wrote: cassandra://user:password@host:port,host:port/keyspace?dc=NAME, with
    /// &tls=true&ca=FILE&cert=FILE&key=FILE for TLS; ${env:NAME} as above.
    #[arg(long, value_name = "URL")]
    pub cassandra: Option<String>,
    /// Answers in a file that `hitters run --answers` wrote; no run may have it open.
    #[arg(long, value_name = "FILE")]
    pub embedded: Option<PathBuf>,
    /// Where to listen. [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    #[command(flatten)]
    pub how: Listen,
}

#[derive(Debug, Args)]
pub struct Query {
    /// Name of the pipeline. [default: list the pipelines]
    #[arg(value_name = "PIPELINE")]
    pub pipeline: Option<String>,
    /// How many items.
    #[arg(long, short, value_name = "ITEMS", default_value_t = 10)]
    pub k: u64,
    #[command(flatten)]
    pub about: crate::client::About,
    /// Begin of a range: RFC 3339, a day, or milliseconds since the epoch.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// End of a range, not included. [default: the end of the newest window]
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Time zone of days, and of times that are shown.
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
    /// The window that is still open, as far as it is counted; a service beside a run (`hitters run --serve`) knows it.
    #[arg(long, conflicts_with_all = ["last", "from", "to"])]
    pub open: bool,
    /// The count of this item, listed or not. Can be given several times.
    #[arg(long = "item", value_name = "ITEM", conflicts_with = "phi")]
    pub items: Vec<String>,
    /// All items above this share of the total, as 0.01.
    #[arg(long, value_name = "SHARE")]
    pub phi: Option<f64>,
    #[command(flatten)]
    pub service: crate::client::Service,
    /// Print the answer as JSON.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print the rows of the answer as CSV.
    #[arg(long)]
    pub csv: bool,
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key and print it: nobody can see it again.
    Add(AddKey),
    /// List the keys: what they are for, never the keys themselves.
    List(ListKeys),
    /// Take a key away; a running service forgets it within a second.
    Revoke(RevokeKey),
}

#[derive(Debug, Args)]
pub struct AddKey {
    /// What people call it; it stands in the audit log.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The file of keys.
    #[arg(long, value_name = "FILE", default_value = "keys.json")]
    pub keys: PathBuf,
    /// A pipeline that it is for. Can be given several times. [default: all]
    #[arg(long = "pipeline", value_name = "NAME")]
    pub pipelines: Vec<String>,
    /// A value that it may ask for, as region=eu; again for further values or dimensions. [default: all groups]
    #[arg(long = "where", value_name = "DIMENSION=VALUE", value_parser = name_and_value)]
    pub groups: Vec<(String, String)>,
    /// Questions a second. [default: what the service says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit_per_second: Option<u32>,
    /// It ends after this time, as 90d.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub expires: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct ListKeys {
    /// The file of keys.
    #[arg(long, value_name = "FILE", default_value = "keys.json")]
    pub keys: PathBuf,
    /// Print them as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RevokeKey {
    /// Its id or its name.
    #[arg(value_name = "ID|NAME")]
    pub key: String,
    /// The file of keys.
    #[arg(long, value_name = "FILE", default_value = "keys.json")]
    pub keys: PathBuf,
}

/// What to work on, and what to fill into it.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// NAME of pipelines/NAME.toml, a pipeline file (.toml), a SQL file (.sql), or - for SQL on standard input.
    #[arg(value_name = "PIPELINE|FILE.sql|-")]
    pub target: String,
    /// Fill ${NAME} in the SQL with VALUE; goes before the pipeline file's value. Can be given several times.
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub params: Vec<(String, String)>,
    /// A file with a function in Rust that the SQL calls, beside those of the pipeline file. Can be given several times.
    #[arg(long = "udf", value_name = "FILE.rs")]
    pub udfs: Vec<PathBuf>,
}

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

#[derive(Debug, Args)]
pub struct Replay {
    /// NAME of pipelines/NAME.toml, or a pipeline file (.toml).
    #[command(flatten)]
    pub target: Target,
    /// Where to begin in Kafka topics: earliest, or a record time (RFC 3339 or epoch milliseconds).
    #[arg(long, value_name = "TIME", value_parser = bound, default_value = "earliest")]
    pub from: Bound,
    /// How many workers read and count. [default: as many as the machine has processors; on a cluster, as the topic has partitions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub parallelism: Option<u16>,
    /// End once readers were switched over, instead of going on as the new version.
    #[arg(long)]
    pub bounded: bool,
    /// Print the summary of the run as JSON, not as tables.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub cluster: OnCluster,
    #[command(flatten)]
    pub deployment: Deployment,
}

/// Which cluster to speak to, and how.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "On an Arroyo cluster")]
pub struct OnCluster {
    /// The cluster, as http://localhost:5115. [default: the pipeline file's [cluster]]
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// The variable of the environment that holds the cluster's API key. [default: the pipeline file's]
    #[arg(long, value_name = "NAME")]
    pub api_key_env: Option<String>,
    /// A file of certificates (PEM) to trust in place of the system's. [default: the pipeline file's]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A file with a certificate, its chain and its key (PEM), for a cluster that wants one. [default: the pipeline file's]
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// How long to wait for the cluster to answer, as 30s.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    pub timeout: Duration,
    /// How long to wait for a pipeline to run or stop, as 5m.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5m")]
    pub patience: Duration,
}

/// How to change a cluster.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "On an Arroyo cluster")]
pub struct Deployment {
    /// Do it without asking.
    #[arg(long, short)]
    pub yes: bool,
    /// Only show what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Run with fewer subtasks than a topic has partitions, or without having seen them: while the cluster catches up, most events
    /// of the partitions that one subtask shares are then dropped as late, unless the watermark's delay is longer than the log.
    #[arg(long)]
    pub force: bool,
    /// Take the source of a function from FOLDER/NAME.rs, where there is such a file.
    #[arg(long, value_name = "FOLDER")]
    pub functions: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Deploy {
    #[command(flatten)]
    pub target: Target,
    /// How many subtasks each operator has. [default: the pipeline file's, or as many as the topic has partitions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub parallelism: Option<u16>,
    /// Print the plan and what came of it as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub cluster: OnCluster,
    #[command(flatten)]
    pub deployment: Deployment,
}

/// Which run to speak to.
#[derive(Debug, Args)]
pub struct Running {
    #[command(flatten)]
    pub target: Target,
    /// Where its state is kept, if the run was given --state; a run on this machine, whatever the pipeline file says.
    #[arg(long, value_name = "FOLDER|URL", conflicts_with = "to")]
    pub state: Option<String>,
    #[command(flatten)]
    pub cluster: OnCluster,
}

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub running: Running,
    /// Print everything as JSON.
    #[arg(long)]
    pub json: bool,
    /// Show it again every second, until the run ends.
    #[arg(long)]
    pub watch: bool,
}

#[derive(Debug, Args)]
pub struct Scale {
    #[command(flatten)]
    pub running: Running,
    /// How many workers; at most one for each partition is used. On a cluster, how many subtasks each operator has.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub parallelism: u16,
    /// On a cluster, also with fewer subtasks than a topic has partitions (see `hitters deploy --help`).
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Stop {
    #[command(flatten)]
    pub running: Running,
}

/// What to do about records that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Missing {
    /// Stop with an error.
    Fail,
    /// Go on at the oldest record kept, and say how many are missing.
    Earliest,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Comma-separated values with a header.
    Csv,
    /// A table, drawn when the input has ended.
    Table,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub target: Target,
    /// Check it for this engine, too: what it refuses or breaks on, and what is dear there.
    #[arg(long = "target", value_enum, value_name = "ENGINE")]
    pub engine: Option<TargetEngine>,
    /// The most partitions that a topic of it has: a parallelism below them loses rows on Arroyo.
    #[arg(long, value_name = "N", requires = "engine", value_parser = clap::value_parser!(u16).range(1..))]
    pub partitions: Option<u16>,
    /// Print the faults as JSON.
    #[arg(long)]
    pub json: bool,
}

/// An engine other than the embedded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TargetEngine {
    /// A cluster of Arroyo.
    Arroyo,
}

#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, Args)]
pub struct Render {
    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, Args)]
pub struct Topics {
    #[command(flatten)]
    pub target: Target,
    /// Create topics that are not there.
    #[arg(long)]
    pub create: bool,
    /// Wanted number of partitions. [default: the broker's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// Wanted copies of each partition. [default: the broker's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub replication: Option<i32>,
    /// Wanted compression: producer, zstd, lz4, snappy, gzip, uncompressed.
    #[arg(long, value_name = "CODEC")]
    pub compression: Option<String>,
    /// How long records are kept, as 7d or 12h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub retention: Option<Duration>,
    /// Any other wanted setting of the topics. Can be given several times.
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub settings: Vec<(String, String)>,
    /// Print what was found as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("where").required(true).args(["output", "topic"]))]
pub struct Generate {
    /// What the stream looks like: shop, cdn, flows, hashtags, ads.
    #[arg(value_name = "PROFILE")]
    pub profile: Profile,
    /// Write lines to this file; a name that ends in .gz is compressed.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Send the events to this Kafka topic, which must be there.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// The brokers of the topic.
    #[arg(long, value_name = "HOST:PORT,...", default_value = "localhost:9092")]
    pub bootstrap_servers: String,
    /// A setting of the Kafka client, as for SASL or TLS. Can be given several times.
    #[arg(long = "client-config", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub client_configs: Vec<(String, String)>,
    /// How many events.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub events: u64,
    /// Events a second of event time.
    #[arg(long, value_name = "N", default_value_t = 100_000.0)]
    pub rate: f64,
    /// Write at that rate, instead of as fast as it goes.
    #[arg(long)]
    pub paced: bool,
    /// Time of the first event: RFC 3339, epoch milliseconds, or now. [default: 2023-11-14T22:13:20Z]
    #[arg(long, value_name = "TIME", value_parser = start)]
    pub start: Option<i64>,
    /// Distinct items.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub items: u64,
    /// Distinct categories, each with its share of the items, for many groups. [default: the few of the profile]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub categories: Option<u64>,
    /// Zipf's exponent: 0 is even, 1.1 is a usual skew.
    #[arg(long, value_name = "X", default_value_t = 1.1)]
    pub exponent: f64,
    /// Share of the events that are out of order, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub disorder_share: f64,
    /// How far these lie back at most, as 2s.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    pub disorder: Duration,
    /// The hot items change so often, in event time, as 10m. [default: never]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub drift_every: Option<Duration>,
    /// By how many ranks they change.
    #[arg(long, value_name = "RANKS", default_value_t = 10)]
    pub drift_ranks: u64,
    /// Partitions that take events in turn. [default: all that the topic has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub partitions: Option<u32>,
    /// A partition gets no events for a while of event time, as 3:10s:25s. Can be given several times.
    #[arg(long = "silence", value_name = "PARTITION:FROM:TO", value_parser = silence)]
    pub silences: Vec<Silence>,
    /// Another seed, another stream.
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
}

#[derive(Debug, Subcommand)]
pub enum Udf {
    /// Write the functions as Arroyo takes them: one source file each, which needs nothing but crates.io.
    Bundle(Bundle),
}

#[derive(Debug, Args)]
pub struct Bundle {
    /// Which functions. [default: all; without --output only one can be printed]
    #[arg(value_name = "FUNCTION")]
    pub functions: Vec<String>,
    /// Write FUNCTION.rs into this folder, instead of printing it.
    #[arg(long, short, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Sketch {
    /// Decode a sketch and show the items in it.
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// A file with the bytes of a sketch (or their text in base64 or hex), the text itself, or - for standard input.
    #[arg(value_name = "FILE|TEXT|-")]
    pub sketch: String,
    /// How many items to show. [default: all, at most 20]
    #[arg(long, short, value_name = "ITEMS")]
    pub k: Option<usize>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Target {
    /// The target as a path, if it looks like one.
    pub fn path(&self) -> Option<PathBuf> {
        let looks = self.target.contains(std::path::MAIN_SEPARATOR)
            || self.target.ends_with(".sql")
            || self.target.ends_with(".toml");
        looks.then(|| PathBuf::from(&self.target))
    }
}

fn silence(text: &str) -> Result<Silence, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let [partition, from, to] = parts[..] else {
        return Err("write PARTITION:FROM:TO, as 3:10s:25s".into());
    };
    let partition = partition
        .parse()
        .map_err(|_| format!("'{partition}' is no number of a partition"))?;
    let millis = |text: &str| Ok::<_, String>(i64::try_from(time(text)?.as_millis()).unwrap_or(i64::MAX));
    let (from, to) = (millis(from)?, millis(to)?);
    Ok(Silence { partition, from, to })
}

pub(crate) fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

/// `earliest`, `latest`, milliseconds since the epoch, or RFC 3339 (without a zone: UTC).
fn bound(text: &str) -> Result<Bound, String> {
    match text {
        "earliest" => return Ok(Bound::Earliest),
        "latest" => return Ok(Bound::Latest),
        _ => {}
    }
    if let Ok(millis) = text.parse() {
        return Ok(Bound::Time(millis));
    }
    let nanos = string_to_timestamp_nanos(text);
    nanos
        .map(|nanos| Bound::Time(nanos.div_euclid(1_000_000)))
        .map_err(|_| "use earliest, latest, a time as 2026-01-31T12:00:00Z, or milliseconds since the epoch".into())
}

/// Milliseconds since the epoch.
fn start(text: &str) -> Result<i64, String> {
    if text == "now" {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        return i64::try_from(now.as_millis()).map_err(|_| "the clock of this machine is wrong".into());
    }
    match bound(text)? {
        Bound::Time(millis) => Ok(millis),
        Bound::Earliest | Bound::Latest => {
            Err("use now, a time as 2026-01-31T12:00:00Z, or milliseconds since the epoch".into())
        }
    }
}

pub fn time(text: &str) -> Result<Duration, String> {
    hitters_pipeline::parse_duration(text).map_err(str::to_owned)
}

/// `memory` or `rocksdb`.
fn backend(text: &str) -> Result<Backend, String> {
    let known = || Backend::ALL.map(Backend::name).join(" or ");
    let found = Backend::ALL.into_iter().find(|backend| backend.name() == text);
    found.ok_or_else(|| format!("it is {}", known()))
}

fn size(text: &str) -> Result<u64, String> {
    hitters_pipeline::parse_size(text).map_err(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bounds_are_words_milliseconds_or_times() {
        assert_eq!(bound("earliest"), Ok(Bound::Earliest));
        assert_eq!(bound("1700000000000"), Ok(Bound::Time(1_700_000_000_000)));
        assert_eq!(bound("2023-11-14T22:13:20Z"), Ok(Bound::Time(1_700_000_000_000)));
        assert_eq!(bound("2023-11-14 23:13:20+01:00"), Ok(Bound::Time(1_700_000_000_000)));
        assert!(bound("yesterday").is_err());
    }

    #[test]
    fn parameters_are_split_at_the_first_equals_sign() {
        assert_eq!(name_and_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(name_and_value("a").is_err() && name_and_value("=b").is_err());
    }
}
