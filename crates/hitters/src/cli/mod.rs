//! The command line: what can be said to `hitters`.

mod generate;
mod run;
mod running;
mod service;
mod values;

pub use generate::Generate;
pub use run::Run;
pub use running::{Deploy, Deployment, OnCluster, Replay, Running, Scale, Status, Stop};
pub use service::{AddKey, Keys, ListKeys, Listen, Query, Serve};
pub use values::{name_and_value, time};

use clap::{Args, Parser, Subcommand, ValueEnum};
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
