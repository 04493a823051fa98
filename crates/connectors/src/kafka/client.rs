//! How a client is made, and what its errors mean to people: addresses, settings, outages.

use crate::run::Reporter;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Brokers, and settings of librdkafka beyond ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Servers {
    /// `host:port,host:port`.
    pub bootstrap: String,
    /// Later ones win.
    pub settings: Vec<(String, String)>,
}

impl Servers {
    /// A configuration of these servers: first `ours`, then the user's settings over them.
    pub(crate) fn config(&self, ours: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", "hitters")
            .set("socket.keepalive.enable", "true");
        // The error callback says the same in fewer words.
        config
            .set("log.connection.close", "false")
            .set_log_level(RDKafkaLogLevel::Emerg);
        for (name, value) in ours {
            config.set(*name, *value);
        }
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }

    /// A client with these settings.
    pub(crate) fn create<T: FromClientConfigAndContext<Watch>>(
        &self,
        ours: &[(&str, &str)],
        watch: &Watch,
    ) -> Result<T, String> {
        self.config(ours)
            .create_with_context(watch.clone())
            .map_err(|error| match error {
                KafkaError::ClientConfig(_, what, name, value) => {
                    format!("setting '{name}' = '{value}': {what} (settings of librdkafka come from client_configs)")
                }
                other => format!("{other}"),
            })
    }
}

/// Partitions of a topic; waits for the brokers up to `timeout`.
///
/// `serve` hands the client's waiting errors to its [`Watch`].
pub(crate) fn metadata(
    client: &rdkafka::client::Client<Watch>,
    serve: impl Fn(),
    topic: Option<&str>,
    timeout: Duration,
) -> Result<Metadata, String> {
    // In steps, so that a refused login ends the wait: librdkafka itself would try again for ever.
    let until = Instant::now() + timeout;
    let watch = client.context();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match client.fetch_metadata(topic, left.min(Duration::from_secs(1))) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => {
                serve();
                if left.is_zero() || watch.refused().is_some() {
                    return Err(watch.unreachable(timeout, &error));
                }
            }
        }
    }
}

/// The error of a topic that is not there.
pub(crate) fn check_topic(metadata: Metadata, topic: &str, watch: &Watch) -> Result<Metadata, String> {
    let error = metadata
        .topics()
        .first()
        .and_then(|topic| topic.error())
        .map(RDKafkaErrorCode::from);
    let empty = metadata
        .topics()
        .first()
        .is_none_or(|topic| topic.partitions().is_empty());
    match error {
        None if !empty => Ok(metadata),
        None
        | Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::LeaderNotAvailable,
        ) => Err(format!(
            "there is no topic '{topic}' at {} ('hitters topics' shows and creates topics)",
            watch.servers()
        )),
        Some(code) => Err(format!("topic '{topic}' at {}: {code}", watch.servers())),
    }
}

/// Hears the errors of a client. Clones share what they heard.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Shared>);

struct Shared {
    servers: String,
    reporter: Reporter,
    /// Whether `state.since` is set, for a look without the lock.
    down: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Since when no broker answers.
    since: Option<Instant>,
    /// When to speak of the outage again, and how long to be silent then.
    next: Option<(Instant, Duration)>,
    /// What the client said last.
    reason: Option<String>,
    /// A refusal that waiting does not mend.
    refused: Option<String>,
    /// Messages that the brokers did not take.
    lost: Option<Loss>,
}

/// Why a message was not taken.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    pub code: Option<RDKafkaErrorCode>,
    pub reason: String,
}

const SILENCE: Duration = Duration::from_secs(60);

impl Watch {
    pub(crate) fn new(servers: &str, reporter: &Reporter) -> Self {
        let (servers, reporter) = (servers.to_string(), reporter.clone());
        Self(Arc::new(Shared {
            servers,
            reporter,
            down: AtomicBool::new(false),
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is plain data: whoever panicked left it whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn servers(&self) -> &str {
        &self.0.servers
    }

    pub(crate) fn say(&self, line: &str) {
        self.0.reporter.say(line);
    }

    /// The brokers answered.
    #[inline]
    pub(crate) fn alive(&self) {
        if self.0.down.load(Ordering::Relaxed) {
            self.0.down.store(false, Ordering::Relaxed);
            let mut state = self.state();
            state.next = None;
            if let Some(since) = state.since.take() {
                self.say(&format!(
                    "Kafka at {} is back after {:.0} s",
                    self.servers(),
                    since.elapsed().as_secs_f64()
                ));
            }
        }
    }

    /// Speaks of an outage that goes on, with growing pauses.
    pub(crate) fn remind(&self) {
        if !self.0.down.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        if let (Some(since), Some((when, pause))) = (state.since, state.next)
            && Instant::now() >= when
        {
            let pause = (pause * 2).min(SILENCE);
            state.next = Some((Instant::now() + pause, pause));
            let reason = state.reason.clone().unwrap_or_default();
            self.say(&format!(
                "Kafka at {} is still not there after {:.0} s: {reason}",
                self.servers(),
                since.elapsed().as_secs_f64()
            ));
        }
    }

    pub(crate) fn refused(&self) -> Option<String> {
        self.state().refused.clone()
    }

    /// A message was not taken. The first reason is kept.
    pub(crate) fn lose(&self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        let advice = match code {
            Some(RDKafkaErrorCode::InvalidRecord | RDKafkaErrorCode::InvalidTimestamp) => {
                "; is the clock of this machine right? Brokers refuse messages that are an hour ahead of theirs \
                 (message.timestamp.after.max.ms of the topic)"
            }
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                "; raise max.message.bytes of the topic, or write smaller rows"
            }
            _ => "",
        };
        self.state().lost.get_or_insert_with(|| Loss {
            code,
            reason: format!("{error}{advice}"),
        });
    }

    pub(crate) fn lost(&self) -> Option<Loss> {
        self.state().lost.clone()
    }

    /// What was not taken is sent again.
    pub(crate) fn forget_lost(&self) {
        self.state().lost = None;
    }

    /// The error of a start that failed.
    pub(crate) fn unreachable(&self, waited: Duration, error: &KafkaError) -> String {
        let state = self.state();
        if let Some(refused) = &state.refused {
            return format!(
                "Kafka at {} refuses the connection: {refused}; check auth.type, auth.mechanism, auth.protocol, user and password",
                self.servers()
            );
        }
        let reason = state.reason.clone().unwrap_or_else(|| error.to_string());
        format!(
            "Kafka at {} did not answer within {:.0} s: {reason}; check bootstrap_servers, that the broker runs, that its advertised.listeners can be reached from here, and whether it wants TLS or SASL (auth.*)",
            self.servers(),
            waited.as_secs_f64()
        )
    }
}

impl ClientContext for Watch {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let mut state = self.state();
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                if state.since.is_none() {
                    let now = Instant::now();
                    state.since = Some(now);
                    state.next = Some((now + Duration::from_secs(2), Duration::from_secs(2)));
                    self.0.down.store(true, Ordering::Relaxed);
                    let why = state.reason.clone().unwrap_or_else(|| reason.to_string());
                    self.say(&format!(
                        "Kafka at {} does not answer: {why}; waiting for it",
                        self.servers()
                    ));
                }
            }
            Some(
                RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed | RDKafkaErrorCode::SSL,
            ) => {
                state.refused = Some(reason.to_string());
            }
            _ => state.reason = Some(reason.to_string()),
        }
    }
}

impl ConsumerContext for Watch {}

/// A consumer without a group: for metadata and offsets, and what [`super::batch`] reads through.
pub(crate) type Client = BaseConsumer<Watch>;

/// Hands waiting errors to the [`Watch`] of a client.
pub(crate) fn serve(client: &Client) {
    // A poll takes one event, and does not tell whether there was any.
    for _ in 0..8 {
        let _ = client.poll(Duration::ZERO);
    }
}
