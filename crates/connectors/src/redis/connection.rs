//! A connection that comes back: outages are waited out with growing pauses, and said.

use super::Servers;
use crate::run::Reporter;
use hitters_results::RedisAddress;
use redis::cluster::{ClusterClient, ClusterConnection, ClusterPipeline};
use redis::{Client, Cmd, Connection, ConnectionInfo, ErrorKind, FromRedisValue, Pipeline, RedisError};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An answer that takes longer counts as an outage.
const ANSWER: Duration = Duration::from_secs(30);

impl Servers {
    /// For people: without passwords.
    pub(super) fn shown(&self) -> String {
        self.addresses
            .iter()
            .map(|address| masked(address))
            .collect::<Vec<_>>()
            .join(",")
    }

    fn infos(&self) -> Result<Vec<ConnectionInfo>, RedisError> {
        let info = |address: &String| {
            let read = RedisAddress::parse(address).and_then(RedisAddress::connection);
            let mut info = read.map_err(|wrong| (ErrorKind::InvalidClientConfig, "the address is wrong", wrong))?;
            let mut settings = info.redis_settings().clone();
            if let Some(username) = &self.username {
                settings = settings.set_username(username);
            }
            if let Some(password) = &self.password {
                settings = settings.set_password(password);
            }
            info = info.set_redis_settings(settings);
            Ok(info)
        };
        self.addresses.iter().map(info).collect()
    }
}

/// An address without user and password.
pub(super) fn masked(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        _ => address.to_string(),
    }
}

enum Clients {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

enum Open {
    Single(Box<Connection>),
    Cluster(Box<ClusterConnection>),
}

/// Redis, or a Redis cluster.
pub(super) struct RedisConnection {
    clients: Clients,
    open: Option<Open>,
    shown: String,
    reporter: Reporter,
    marker: Option<Marker>,
}

/// Makes a resend exact: commands go out in one transaction with the number of the transaction, and after a broken
/// connection that number tells whether Redis carried it out before the answer was lost.
struct Marker {
    key: String,
    number: u64,
}

/// What is sent again after some commands failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resend {
    /// These.
    Failed,
    /// All: each knows what was done before, and the server may have forgotten that.
    All,
}

/// How long a marker outlives its last transaction, in seconds: longer than any connection is waited for.
const MARKER_SECONDS: u64 = 86_400;

impl RedisConnection {
    /// Connects, trying for at most `timeout`.
    pub(super) fn open(servers: &Servers, reporter: &Reporter, timeout: Duration) -> Result<Self, String> {
        let shown = servers.shown();
        let clients = || {
            let infos = servers.infos()?;
            Ok(if servers.cluster {
                Clients::Cluster(Box::new(
                    ClusterClient::builder(infos)
                        .connection_timeout(ANSWER)
                        .response_timeout(ANSWER)
                        .build()?,
                ))
            } else {
                let first = infos
                    .into_iter()
                    .next()
                    .ok_or((ErrorKind::InvalidClientConfig, "no address"))?;
                Clients::Single(Box::new(Client::open(first)?))
            })
        };
        let clients = clients().map_err(|error: RedisError| format!("Redis at {shown}: {error}"))?;
        let mut connection = Self {
            clients,
            open: None,
            shown,
            reporter: reporter.clone(),
            marker: None,
        };
        let until = Instant::now() + timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match connection.connect(left.max(FIRST_PAUSE)) {
                Ok(()) => return Ok(connection),
                Err(error) if hopeless(&error) => return Err(connection.explain(&error)),
                Err(error) if left.is_zero() => {
                    return Err(format!(
                        "Redis at {} did not answer within {:.0} s: {error}; check the address, that the server runs, whether it wants TLS (rediss://), and which certificates (rediss://...?ca=FILE&cert=FILE&key=FILE)",
                        connection.shown,
                        timeout.as_secs_f64()
                    ));
                }
                Err(_) => std::thread::sleep(pause.min(left)),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Carries out every command exactly once from now on, also those that must not come twice (a push to a list), by
    /// transactions and a key of its own that begins with `prefix`. False for a cluster: a transaction cannot hold keys of
    /// several of its nodes, so that there a command may come twice when a connection breaks.
    pub(super) fn once(&mut self, prefix: &str) -> bool {
        static MADE: AtomicU64 = AtomicU64::new(0);
        if let Clients::Cluster(_) = self.clients {
            return false;
        }
        // Another process, or another sink of this one, has another key.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (process, made) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        self.marker = Some(Marker {
            key: format!("{prefix}hitters:written:{:x}-{process:x}-{made:x}", time.as_nanos()),
            number: 0,
        });
        true
    }

    /// Takes the marker away, so that nothing is left of a run that ended well.
    pub(super) fn done(&mut self) -> Result<(), String> {
        match self.marker.take() {
            Some(marker) if marker.number > 0 => {
                self.run(vec![redis::cmd("DEL").arg(marker.key).clone()], Resend::Failed)
            }
            _ => Ok(()),
        }
    }

    /// The answer to one question, on the connection that [`open`](Self::open) made.
    pub(super) fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, String> {
        let answer = match &mut self.open {
            Some(Open::Single(connection)) => command.query(connection.as_mut()),
            Some(Open::Cluster(connection)) => command.query(connection.as_mut()),
            None => return Err(format!("Redis at {} is not connected", self.shown)),
        };
        answer.map_err(|error| self.explain(&error))
    }

    fn connect(&mut self, timeout: Duration) -> Result<(), RedisError> {
        self.open = None;
        let open = match &self.clients {
            Clients::Single(client) => {
                let mut connection = client.get_connection_with_timeout(timeout.min(ANSWER))?;
                connection.set_read_timeout(Some(ANSWER))?;
                connection.set_write_timeout(Some(ANSWER))?;
                redis::cmd("PING").query::<()>(&mut connection)?;
                Open::Single(Box::new(connection))
            }
            Clients::Cluster(client) => {
                let mut connection = client.get_connection()?;
                redis::cmd("PING").query::<()>(&mut connection)?;
                Open::Cluster(Box::new(connection))
            }
        };
        self.open = Some(open);
        Ok(())
    }

    /// Sends commands until every one of them has been carried out, waiting for Redis as long as it takes. Commands that
    /// failed are sent again; when the connection breaks before the answers came, all of them are, unless
    /// [`once`](Self::once) was asked for.
    ///
    /// # Errors
    ///
    /// When waiting cannot help: a refused login, a key of another type, a command that is not allowed.
    pub(super) fn run(&mut self, mut commands: Vec<Cmd>, resend: Resend) -> Result<(), String> {
        if commands.is_empty() {
            return Ok(());
        }
        if let Some(marker) = &mut self.marker {
            marker.number += 1;
        }
        let mut broken = false;
        let mut outage: Option<(Instant, Instant)> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.attempt(&commands, broken) {
                Ok(()) => {
                    if let Some((since, _)) = outage {
                        self.reporter.say(&format!(
                            "Redis at {} is back after {:.1} s",
                            self.shown,
                            since.elapsed().as_secs_f64()
                        ));
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            if hopeless(&error) {
                return Err(self.explain(&error));
            }
            let now = Instant::now();
            let (since, silent_until) = outage.get_or_insert((now, now));
            if now >= *silent_until {
                self.reporter.say(&format!(
                    "Redis at {} does not take rows: {error}; waiting for it{}",
                    self.shown,
                    advice(&error)
                ));
                // Speaks after 2, 4, 8 ... seconds of the same outage.
                *silent_until = now + (now - *since).max(Duration::from_secs(2));
            }
            broken = true;
            if let (None, Some(Open::Single(_)), Some(failed)) =
                (&self.marker, &self.open, error.clone().into_server_errors())
                && resend == Resend::Failed
            {
                let failed: HashSet<usize> = failed.iter().map(|(place, _)| *place).collect();
                let mut place = 0..;
                commands.retain(|_| place.next().is_some_and(|place| failed.contains(&place)));
            }
            // A new connection finds the new leader, and the answers of the old one have lost their order.
            self.open = None;
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// `again`: the commands were sent before, with an unknown end.
    fn attempt(&mut self, commands: &[Cmd], again: bool) -> Result<(), RedisError> {
        if self.open.is_none() {
            self.connect(ANSWER)?;
        }
        if let (Some(marker), Some(Open::Single(connection))) = (&self.marker, &mut self.open) {
            if again {
                let written: Option<u64> = redis::cmd("GET").arg(&marker.key).query(connection.as_mut())?;
                if written == Some(marker.number) {
                    return Ok(());
                }
            }
            let mut transaction = Pipeline::with_capacity(commands.len() + 1);
            transaction.atomic();
            for command in commands {
                transaction.add_command(command.clone()).ignore();
            }
            transaction
                .cmd("SETEX")
                .arg(&marker.key)
                .arg(MARKER_SECONDS)
                .arg(marker.number)
                .ignore();
            return transaction.exec(connection.as_mut());
        }
        match &mut self.open {
            Some(Open::Single(connection)) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command.clone()).ignore();
                }
                pipeline.exec(connection.as_mut())
            }
            Some(Open::Cluster(connection)) => {
                let mut pipeline = ClusterPipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command.clone()).ignore();
                }
                pipeline.exec(connection.as_mut())
            }
            None => Ok(()),
        }
    }

    fn explain(&self, error: &RedisError) -> String {
        let codes = codes(error);
        if codes.iter().any(|code| code == "FENCED") {
            return format!(
                "another run of this pipeline has taken over: Redis at {} holds rows of a later start ({error}). Nothing of this run is written any more. (If there is no other run, because its state was put back from a copy, delete the keys hh:<pipeline>:v<version>:attempt* and start again)",
                self.shown
            );
        }
        let what = if codes.iter().any(|code| code == "WRONGTYPE") {
            "; the key holds another type already: choose another target.key_prefix, or delete the key"
        } else if error.kind() == ErrorKind::AuthenticationFailed
            || codes.iter().any(|code| LOGIN.contains(&code.as_str()))
        {
            "; check username and password"
        } else {
            ""
        };
        format!("Redis at {}: {error}{what}", self.shown)
    }
}

const LOGIN: [&str; 3] = ["NOAUTH", "WRONGPASS", "NOPERM"];

/// Whether waiting cannot help. A server that is loading, full (OOM), a replica for now (READONLY) or without its own
/// replicas (NOREPLICAS) may be mended without us; a refused login, a wrong type or an unknown command may not.
fn hopeless(error: &RedisError) -> bool {
    let lost =
        |code: &String| LOGIN.contains(&code.as_str()) || ["WRONGTYPE", "ERR", "FENCED"].contains(&code.as_str());
    matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig
    ) || codes(error).iter().any(lost)
}

/// What people can do meanwhile.
fn advice(error: &RedisError) -> &'static str {
    let codes = codes(error);
    let has = |code: &str| codes.iter().any(|found| found == code);
    if has("OOM") {
        ". It is full: raise its maxmemory, or let rows live shorter (target.ttl_secs)"
    } else if has("READONLY") {
        ". It is a replica: make it the primary, or start again with the address of the primary"
    } else if has("NOREPLICAS") {
        ". Too few of its replicas are there (min-replicas-to-write)"
    } else if has("MISCONF") {
        ". It cannot save to its disk: its log says why"
    } else if has("LOADING") {
        ". It is loading its data"
    } else if error.is_io_error() || error.is_connection_dropped() {
        ". Check that the server runs"
    } else {
        ""
    }
}

/// The codes that the server answered with.
fn codes(error: &RedisError) -> Vec<String> {
    error
        .clone()
        .into_server_errors()
        .map(|errors| errors.iter().map(|(_, error)| error.code().to_string()).collect())
        .unwrap_or_default()
}
