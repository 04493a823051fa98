//! A connection that is made when it is needed, and again after it broke.

use super::NAME;
use super::address::RedisAddress;
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
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let wrong = |reason| StoreError::Away { store: NAME, reason };
        Ok(Self {
            client: RedisAddress::parse(url)
                .and_then(RedisAddress::connection)
                .and_then(|info| Client::open(info).map_err(|error| error.to_string()))
                .map_err(wrong)?,
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
    let mut reason = error.to_string();
    // Of TLS the client passes on what OpenSSL says, as text.
    if reason.contains("certificate verify failed") {
        reason += "; name the authority that signed the server's certificate by ?ca=FILE";
    } else if reason.contains("alert certificate required") || reason.contains("alert handshake failure") {
        reason += "; the server asks for a certificate: ?cert=FILE&key=FILE";
    }
    StoreError::Away { store: NAME, reason }
}
