//! Makes the keyspace and the tables.

use super::address::Address;
use super::connection::{away, session};
use crate::store::StoreError;
use scylla::client::session::Session;

/// The same text that people run by hand.
const TABLES: &str = include_str!("../../../../sql/cassandra/tables.cql");

pub(super) async fn create(address: &Address, replication: &str) -> Result<(), StoreError> {
    let session = session(address).await?;
    let keyspace = &address.keyspace;
    let tell = async |text: &str| -> Result<(), StoreError> {
        let told = session.query_unpaged(text, &()).await;
        told.map(drop).map_err(|error| {
            away(
                address,
                &format!(
                    "{error}; it was told: {text}; let this user create, or run sql/cassandra/*.cql as one who may"
                ),
            )
        })
    };
    // Who may write need not be allowed to make keyspaces.
    if !exists(&session, address).await? {
        let replication = replication_map(replication);
        tell(&format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}"
        ))
        .await?;
    }
    session
        .use_keyspace(keyspace, false)
        .await
        .map_err(|error| away(address, &error.to_string()))?;
    let there = tables(&session, address).await?;
    for statement in statements() {
        let name = name(&statement).unwrap_or_default();
        if !there.iter().any(|table| table == name) {
            tell(&statement).await?;
        }
    }
    Ok(())
}

async fn exists(session: &Session, address: &Address) -> Result<bool, StoreError> {
    const LOOK: &str = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    Ok(!names(session, address, LOOK).await?.is_empty())
}

async fn tables(session: &Session, address: &Address) -> Result<Vec<String>, StoreError> {
    const LOOK: &str = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    names(session, address, LOOK).await
}

async fn names(session: &Session, address: &Address, look: &str) -> Result<Vec<String>, StoreError> {
    let found = session.query_unpaged(look, (&address.keyspace,)).await;
    let found = found.map_err(|error| away(address, &error.to_string()))?;
    let strange = |error: &dyn std::error::Error| away(address, &error.to_string());
    let rows = found.into_rows_result().map_err(|error| strange(&error))?;
    let names: Result<Vec<(String,)>, _> = rows.rows().map_err(|error| strange(&error))?.collect();
    Ok(names
        .map_err(|error| strange(&error))?
        .into_iter()
        .map(|(name,)| name)
        .collect())
}

/// `3` is that many copies; anything else is CQL.
fn replication_map(text: &str) -> String {
    match text.trim().parse::<u32>() {
        Ok(copies) => format!("{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}"),
        Err(_) => text.to_owned(),
    }
}

/// The statements of the file, without their comments.
fn statements() -> impl Iterator<Item = String> {
    let lines = TABLES.lines().map(|line| line.split("--").next().unwrap_or_default());
    let text: Vec<&str> = lines.collect();
    let text = text.join("\n");
    let parts: Vec<String> = text.split(';').map(|part| part.trim().to_owned()).collect();
    parts.into_iter().filter(|part| !part.is_empty())
}

/// What a statement creates.
fn name(statement: &str) -> Option<&str> {
    statement
        .strip_prefix("CREATE TABLE IF NOT EXISTS ")?
        .split_whitespace()
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_creates_a_table() {
        let all: Vec<String> = statements().collect();
        let names: Vec<&str> = all.iter().filter_map(|text| name(text)).collect();
        assert_eq!(names.len(), all.len());
        for table in super::super::layout::TABLES.iter().chain(&[
            "pipelines",
            "tiers",
            "known",
            "newest",
            "positions",
            "sources",
        ]) {
            assert!(names.contains(table), "{table}");
        }
    }

    #[test]
    fn the_time_to_live_of_a_table_is_that_of_its_rows() {
        const WIDTHS: [(&str, i64); 4] = [
            ("seconds", 10_000),
            ("minutes", 60_000),
            ("hours", 3_600_000),
            ("days", 86_400_000),
        ];
        for (table, width) in WIDTHS {
            let text = statements().find(|text| name(text) == Some(table)).unwrap();
            let wanted = format!("default_time_to_live = {}", super::super::layout::ttl(width));
            assert!(text.contains(&wanted), "{table}: {wanted}");
        }
    }
}
