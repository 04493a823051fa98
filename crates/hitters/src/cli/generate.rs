//! What can be said to `hitters generate`.

use super::values::{bound, name_and_value, time};
use clap::Args;
use hitters_connectors::Bound;
use hitters_connectors::generate::{Profile, Silence};
use std::path::PathBuf;
use std::time::Duration;

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
