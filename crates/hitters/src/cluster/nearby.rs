//! Addresses that mean another machine on the cluster than here: `localhost` is everybody's own.

use hitters_pipeline::{Fault, Pipeline};
use hitters_planner::addresses;
use ureq::http::Uri;

/// A warning for each address of this machine in the SQL, if the cluster at this url is on another one.
pub fn warnings(pipeline: &Pipeline, cluster: &str) -> Vec<Fault> {
    let url: Option<Uri> = cluster.parse().ok();
    if url.as_ref().and_then(Uri::host).is_none_or(is_here) {
        return Vec::new();
    }
    let script = &pipeline.script;
    let here = addresses(script.text())
        .into_iter()
        .filter(|(value, _)| names_here(value));
    here.map(|(value, span)| Fault {
        message: script.mask(&format!(
            "{value} is this machine when it is read here, and the cluster's own when it is read there"
        )),
        place: script.locate((span.line, span.column), (span.end_line, span.end_column)),
        hint: Some(
            "give an address that leads to it from both, in [parameters] of the pipeline file or by --param NAME=VALUE"
                .into(),
        ),
    })
    .collect()
}

/// Whether a list of `host:port`, or a url, names this machine.
fn names_here(value: &str) -> bool {
    let authority = value.split_once("://").map_or(value, |(_, rest)| rest);
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let hosts = hosts.split('/').next().unwrap_or_default();
    hosts.split(',').any(|host| {
        let host = host.trim();
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => host.split(':').next(),
        };
        name.is_some_and(is_here)
    })
}

fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host == "::1" || host.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_found_in_lists_and_urls() {
        for value in [
            "localhost:9092",
            "kafka-1:9092, LOCALHOST:9094",
            "redis://127.0.0.1:6379",
            "rediss://user:p@ss/word@localhost/0",
            "[::1]:9092",
        ] {
            assert!(names_here(value), "{value}");
        }
        for value in [
            "kafka-1:9092",
            "redis://localhost:secret@redis:6379/1",
            "local.example:1",
            "",
        ] {
            assert!(!names_here(value), "{value}");
        }
    }
}
