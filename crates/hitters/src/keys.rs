//! `hitters keys`: makes, lists and revokes the keys of a service.

use crate::cli::{AddKey, Keys, ListKeys};
use crate::failure::Failure;
use comfy_table::Table;
use hitters_service::{Access, KeyFile, KeyFileError};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Write, stderr, stdout};
use std::time::{SystemTime, UNIX_EPOCH};

/// Runs the command.
pub fn run(arguments: &Keys) -> Result<(), Failure> {
    match arguments {
        Keys::Add(arguments) => add(arguments),
        Keys::List(arguments) => list(arguments),
        Keys::Revoke(arguments) => {
            let revoked = KeyFile::new(&arguments.keys).revoke(&arguments.key).map_err(failed)?;
            if revoked == 0 {
                let path = arguments.keys.display();
                return Err(Failure::Usage(format!(
                    "{path} has no key '{}'; `hitters keys list` shows them",
                    arguments.key
                )));
            }
            writeln!(stderr(), "revoked: {revoked}")?;
            Ok(())
        }
    }
}

fn failed(error: KeyFileError) -> Failure {
    Failure::Run(error.to_string())
}

fn add(arguments: &AddKey) -> Result<(), Failure> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (dimension, value) in &arguments.groups {
        groups.entry(dimension.clone()).or_default().push(value.clone());
    }
    let pipelines = match &arguments.pipelines[..] {
        [] => vec!["*".to_owned()],
        some => some.to_vec(),
    };
    let access = Access {
        name: arguments.name.clone(),
        pipelines,
        groups,
        limit_per_second: arguments.limit_per_second,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expires = arguments.expires.map(|time| (now + time).as_secs());
    let key = KeyFile::new(&arguments.keys).add(access, expires).map_err(failed)?;
    writeln!(stdout(), "{key}")?;
    writeln!(
        stderr(),
        "this is the only time that the key is shown; send it as Authorization: Bearer ..."
    )?;
    Ok(())
}

fn list(arguments: &ListKeys) -> Result<(), Failure> {
    let keys = KeyFile::new(&arguments.keys).read().map_err(failed)?;
    if arguments.json {
        let shown = keys.iter().map(|key| {
            json!({
                "id": key.id, "name": key.access.name, "pipelines": key.access.pipelines, "where": key.access.groups,
                "limit_per_second": key.access.limit_per_second, "created": key.created, "expires": key.expires,
            })
        });
        writeln!(stdout(), "{}", shown.collect::<serde_json::Value>())?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["id", "name", "pipelines", "groups", "a second", "expires"]);
    for key in &keys {
        let groups = key
            .access
            .groups
            .iter()
            .map(|(name, values)| format!("{name}={}", values.join(",")));
        let groups: Vec<String> = groups.collect();
        table.add_row([
            key.id.clone(),
            key.access.name.clone(),
            key.access.pipelines.join(", "),
            if groups.is_empty() {
                "all".into()
            } else {
                groups.join(" ")
            },
            key.access
                .limit_per_second
                .map_or("default".into(), |limit| limit.to_string()),
            key.expires.map_or("never".into(), |at| {
                let left = at.saturating_sub(
                    SystemTime::now()
                        .duration_since(UNIX_EPOCH)
                        .unwrap_or_default()
                        .as_secs(),
                );
                if left == 0 {
                    "expired".to_owned()
                } else {
                    format!("in {} d", left.div_ceil(86_400))
                }
            }),
        ]);
    }
    writeln!(stdout(), "{table}")?;
    Ok(())
}
