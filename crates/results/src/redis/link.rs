//! A connection that is made when it is needed, and again after it broke.

use super::NAME;
use crate::store::StoreError;
use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Link {
    client: Client,
    connection: OnceCell<ConnectionManager>,
}

impl Link {
    /// To a server at `redis://` or `rediss://`.
    pub(super) fn new(url: &str) -> RedisResult<Self> {
        Ok(Self {
            client: Client::open(url)?,
            connection: OnceCell::new(),
        })
    }

    /// Host and port, for people.
    pub(super) fn place(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    async fn connection(&self) -> RedisResult<ConnectionManager> {
        let connect = || async {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(TIMEOUT))
                .set_response_timeout(Some(TIMEOUT))
                .set_number_of_retries(1)
                .set_min_delay(Duration::from_millis(50));
            self.client.get_connection_manager_with_config(config).await
        };
        Ok(self.connection.get_or_try_init(connect).await?.clone())
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        command.query_async(&mut self.connection().await?).await
    }

    pub(super) async fn ask_all<T: FromRedisValue>(&self, pipeline: &Pipeline) -> RedisResult<T> {
        pipeline.query_async(&mut self.connection().await?).await
    }
}

pub(super) fn away(error: &RedisError) -> StoreError {
    StoreError::Away {
        store: NAME,
        reason: error.to_string(),
    }
}
