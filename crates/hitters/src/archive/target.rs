//! Where to: told apart by the scheme of `--to`.

use super::Archive;
use crate::failure::Failure;
use hitters_results::{History, RedisWriter, StoreError};
use std::time::Duration;

/// How long windows are kept in Redis if nobody says: as the tables of `sql/tables/results.sql` keep them.
const KEPT: Duration = Duration::from_secs(86_400);

/// A store that keeps what is archived.
pub enum Target {
    /// Recent windows.
    Redis { url: String, kept: Duration },
    /// History.
    #[cfg(feature = "cassandra")]
    Cassandra {
        store: hitters_results::CassandraStore,
        replication: String,
    },
}

impl Target {
    /// What the arguments name.
    pub fn of(arguments: &Archive) -> Result<Self, Failure> {
        let scheme = arguments.to.split_once("://").map(|(scheme, _)| scheme);
        if let Some("redis" | "rediss") = scheme {
            let given = [
                (arguments.no_roll_up, "--no-roll-up"),
                (arguments.replication.is_some(), "--replication"),
            ];
            if let Some((_, option)) = given.into_iter().find(|(given, _)| *given) {
                return Err(Failure::Usage(format!(
                    "{option} is about Cassandra: Redis gets what the pipeline publishes"
                )));
            }
            let url = crate::listen::expand("--to", &arguments.to)?;
            let kept = arguments.ttl.unwrap_or(KEPT);
            let target = Self::Redis { url, kept };
            // That it is an address is known before anything is asked.
            target
                .writer(false)
                .map_err(|error| Failure::Usage(format!("--to: {error}")))?;
            return Ok(target);
        }
        if arguments.ttl.is_some() {
            return Err(Failure::Usage(
                "--ttl is about Redis: in Cassandra each table says how long its windows are kept".into(),
            ));
        }
        Self::cassandra(arguments)
    }

    #[cfg(feature = "cassandra")]
    fn cassandra(arguments: &Archive) -> Result<Self, Failure> {
        let address = crate::serve::cassandra(&arguments.to, "--to")?;
        Ok(Self::Cassandra {
            store: hitters_results::CassandraStore::new(address),
            replication: arguments.replication.clone().unwrap_or_else(|| "1".into()),
        })
    }

    #[cfg(not(feature = "cassandra"))]
    fn cassandra(_: &Archive) -> Result<Self, Failure> {
        Err(crate::serve::no_cassandra())
    }

    /// Makes what has to be there before the first row.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        match self {
            Self::Redis { .. } => Ok(()),
            #[cfg(feature = "cassandra")]
            Self::Cassandra { store, replication } => store.create(replication).await,
        }
    }

    /// Writes there. `anew`: records between what was archived before and what comes now are lost.
    pub fn writer(&self, anew: bool) -> Result<Box<dyn History>, StoreError> {
        Ok(match self {
            Self::Redis { url, kept } => Box::new(RedisWriter::new(url, *kept, anew)?),
            #[cfg(feature = "cassandra")]
            Self::Cassandra { store, .. } => Box::new(hitters_results::cassandra::Writer::new(store.clone(), anew)),
        })
    }
}
