//! What can be said to a service, and about its keys.

use super::OnCluster;
use super::values::{name_and_value, size, time};
use crate::listen::JwtFlags;
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// NAME of pipelines/NAME.toml, or a pipeline file (.toml), whose [serve] says what flags do not say. With --to or its [cluster],
    /// /metrics tells how it is doing on that cluster, too.
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
    #[command(flatten)]
    pub cluster: OnCluster,
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
