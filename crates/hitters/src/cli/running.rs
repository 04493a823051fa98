//! What can be said about a pipeline that runs, here or on a cluster, and to let one run there.

use super::Target;
use super::values::{bound, time};
use clap::Args;
use hitters_connectors::Bound;
use std::path::PathBuf;
use std::time::Duration;

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
