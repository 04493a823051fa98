//! What a cluster does with sketches of record batches, and what with plain aggregates: events a second, and bytes of state.

use super::World;
use crate::support::{command, ended, root};
use hitters_connectors::generate::Generate;
use hitters_tests::services::Arroyo;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a measurement may take.
const PATIENCE: Duration = Duration::from_secs(480);

/// A pipeline that keeps an hour of all events open, for its figures: grouped by these columns or not, from sketches of batches or not.
fn hour(world: &World, folder: &Path, name: &str, groups: &[&str], batched: bool) -> String {
    let columns: String = groups.iter().map(|column| format!("{column}, ")).collect();
    let bin: String = groups
        .iter()
        .map(|column| format!(", coalesce('|' || {column}, '')"))
        .collect();
    let call = match batched {
        true => "approx_top_k_combine(sketch)",
        false => "approx_top_k_accumulate(item, 1024)",
    };
    let from = match batched {
        true => format!(
            "(SELECT {columns}approx_top_k_batch(item, concat(CAST(ts / 3600000 AS TEXT){bin}), 1024) AS sketch FROM events) WHERE sketch IS NOT NULL"
        ),
        false => "events".to_owned(),
    };
    let numbers: Vec<_> = (1..=groups.len() + 1).map(|number| number.to_string()).collect();
    let sql = format!(
        "CREATE TABLE hours (field TEXT NOT NULL, answer TEXT) WITH (connector = 'redis', type = 'sink', address = '${{redis}}', \
         format = 'json', target = 'hash', 'target.key_prefix' = 'hh:${{pipeline}}:v${{version}}:hours', 'target.field_column' = 'field');\n\
         INSERT INTO hours SELECT CAST(window.start AS TEXT) AS field, approx_top_k_estimate(sketch, 10) AS answer FROM (\n\
         SELECT {columns}tumble(INTERVAL '1 hour') AS window, {call} AS sketch FROM {from} GROUP BY {});\n",
        numbers.join(", ")
    );
    std::fs::write(folder.join("hour.sql"), sql).unwrap();
    let shared = ["messages", "progress"].map(|table| root().join(format!("sql/tables/{table}.sql")));
    let text = format!(
        "name = '{name}'\nsql = [{:?}, {:?}, 'hour.sql']\n[checkpoint]\ninterval = '1h'\n[parameters]\nbootstrap_servers = '{}'\n\
         redis = '{}'\nclient_configs = 'queued.min.messages=1000000,fetch.queue.backoff.ms=10'\n",
        shared[0],
        shared[1],
        world.kafka.bootstrap_servers(),
        world.redis.url()
    );
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// What a cluster does with a shape: events a second, and the bytes of a checkpoint with all events in an open window.
pub fn figures(arroyo: &Arroyo, world: &World, stream: &Generate, groups: &[&str], batched: bool) -> (f64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("{}{}", if batched { "batch" } else { "plain" }, groups.len());
    let file = hour(world, folder.path(), &name, groups, batched);
    let tell = |arguments: &[&str]| {
        let mut command = command([arguments[0], &file, "--to", arroyo.url()]);
        command.args(&arguments[1..]);
        ended(command).well()
    };
    tell(&["deploy", "--yes", "--timeout", "60m", "--parallelism", "1"]);
    let mut connection = redis::Client::open(world.redis.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let mut read = || -> u64 {
        let row: Option<String> =
            redis::Commands::hget(&mut connection, format!("hh:{name}:v1:progress"), "0").unwrap();
        let row = row.map(|row| serde_json::from_str::<serde_json::Value>(&row).unwrap());
        row.map_or(0, |row| row["offset"].as_u64().unwrap())
    };
    let begun = Instant::now();
    let mut wait = |events: u64| loop {
        let read = read();
        if read >= events {
            return (read, Instant::now());
        }
        assert!(begun.elapsed() < PATIENCE, "{read} of {events}\n{}", arroyo.log());
        std::thread::sleep(Duration::from_millis(10));
    };
    // From an early window to a late one, so that start and end do not count. The last events wait for a full record batch.
    let ((first, at), (last, end)) = (wait(stream.events / 10), wait(stream.events * 8 / 10));
    std::thread::sleep(Duration::from_secs(2));
    tell(&["stop"]);
    let status: serde_json::Value = serde_json::from_str(&tell(&["status", "--json"]).stdout).unwrap();
    let bytes = status["checkpoint"]["bytes"].as_u64().unwrap();
    let rate = (last - first) as f64 / (end - at).as_secs_f64();
    (rate, bytes)
}
