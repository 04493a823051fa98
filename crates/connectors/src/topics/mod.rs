//! `hitters topics`: shows topics, creates them, and says how an existing one differs from what a pipeline wants.
//!
//! Nothing that exists is changed: partitions cannot be taken away, a new number of them moves keys, and retention may delete
//! data. For each difference the report names the command that would mend it.

mod log;
mod wait;

use crate::kafka::{KafkaTable, Servers, Watch, metadata};
use crate::run::RunOptions;
use hitters_planner::table::Table;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
pub(crate) use wait::wait;

/// What a topic should be. What is `None` does not matter; a new topic then gets the broker's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Partitions.
    pub partitions: Option<i32>,
    /// Copies of each partition.
    pub replication: Option<i32>,
    /// Settings such as `compression.type`, `cleanup.policy`, `retention.ms`.
    pub settings: BTreeMap<String, String>,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// Copies of the partition that has fewest.
    pub replication: i32,
    /// Partitions that have no leader, and cannot be read or written now.
    pub leaderless: Vec<i32>,
    /// All settings, also those that are defaults.
    pub settings: BTreeMap<String, String>,
    /// Those that were made for this topic.
    pub own: BTreeMap<String, String>,
}

impl Topic {
    /// A topic of another name that is to be like this one.
    pub fn like(&self, name: &str) -> TopicSpec {
        TopicSpec {
            name: name.to_string(),
            partitions: Some(self.partitions),
            replication: Some(self.replication),
            settings: self.own.clone(),
        }
    }
}

/// The topic behind a table, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableTopic {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// The table's settings of librdkafka: TLS, SASL and others.
    pub client_configs: Vec<(String, String)>,
    /// The name of the topic.
    pub topic: String,
}

impl TableTopic {
    /// Connects to its brokers.
    ///
    /// # Errors
    ///
    /// If none of them answers in time.
    pub fn connect(&self) -> Result<Topics, String> {
        Topics::connect(&self.bootstrap_servers, &self.client_configs, &RunOptions::default())
    }
}

/// The topic of a `kafka` table; `None` for tables of other connectors.
pub fn of_table(table: &Table) -> Option<TableTopic> {
    let kafka = table.spec.as_any().downcast_ref::<KafkaTable>()?;
    let servers = kafka.servers();
    Some(TableTopic {
        bootstrap_servers: servers.bootstrap.clone(),
        client_configs: servers.settings.clone(),
        topic: kafka.topic().to_string(),
    })
}

/// One way in which a topic is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `partitions`, `replication` or the name of a setting.
    pub what: String,
    /// As it should be.
    pub wanted: String,
    /// As it is.
    pub found: String,
    /// What to do about it.
    pub advice: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is {}, wanted {}: {}",
            self.what, self.found, self.wanted, self.advice
        )
    }
}

/// The state of a topic after it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there and is now.
    Created,
    /// It is not there, and was not to be created.
    Missing,
    /// It is there; how it differs (not at all, if empty).
    Exists(Vec<Difference>),
}

/// A connection for looking at topics and creating them.
pub struct Topics {
    admin: AdminClient<Watch>,
    client: rdkafka::consumer::BaseConsumer<Watch>,
    servers: Servers,
    watch: Watch,
    timeout: Duration,
}

impl Topics {
    /// Connects to brokers (`host:port,host:port`) with further settings of librdkafka.
    ///
    /// # Errors
    ///
    /// If no broker answers within the start timeout of the run.
    pub fn connect(
        bootstrap_servers: &str,
        client_configs: &[(String, String)],
        run: &RunOptions,
    ) -> Result<Self, String> {
        let servers = Servers {
            bootstrap: bootstrap_servers.to_string(),
            settings: client_configs.to_vec(),
        };
        let watch = Watch::new(bootstrap_servers, &run.reporter);
        let client: rdkafka::consumer::BaseConsumer<Watch> = servers.create(&[], &watch)?;
        let admin = servers.create(&[], &watch)?;
        let topics = Self {
            admin,
            client,
            servers,
            watch,
            timeout: run.start_timeout.0,
        };
        topics.names()?;
        Ok(topics)
    }

    /// The names of all topics but Kafka's own, in order.
    ///
    /// # Errors
    ///
    /// If no broker answers.
    pub fn names(&self) -> Result<Vec<String>, String> {
        let found = self.metadata(None)?;
        let mut names: Vec<_> = found
            .topics()
            .iter()
            .map(|topic| topic.name().to_string())
            .filter(|name| !name.starts_with("__"))
            .collect();
        names.sort();
        Ok(names)
    }

    /// A topic as it is, or `None` if it is not there.
    ///
    /// # Errors
    ///
    /// If the brokers do not answer or do not allow the question.
    pub fn describe(&self, name: &str) -> Result<Option<Topic>, String> {
        let found = self.metadata(Some(name))?;
        let Some(topic) = found.topics().first() else {
            return Ok(None);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(None),
            Some(code) => return Err(format!("topic '{name}': {code}")),
        }
        if topic.partitions().is_empty() {
            return Ok(None);
        }
        let resource = [ResourceSpecifier::Topic(name)];
        let answers = wait(self.admin.describe_configs(&resource, &self.options()))
            .map_err(|error| format!("topic '{name}': {error}"))?;
        let (mut settings, mut own) = (BTreeMap::new(), BTreeMap::new());
        for answer in answers {
            let answer = answer.map_err(|code| format!("the settings of topic '{name}': {code}"))?;
            for entry in answer.entries {
                let Some(value) = entry.value else { continue };
                if entry.source == ConfigSource::DynamicTopic {
                    own.insert(entry.name.clone(), value.clone());
                }
                settings.insert(entry.name, value);
            }
        }
        let partitions = topic.partitions();
        Ok(Some(Topic {
            name: name.to_string(),
            partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
            replication: partitions
                .iter()
                .map(|p| p.replicas().len())
                .min()
                .and_then(|n| i32::try_from(n).ok())
                .unwrap_or(0),
            leaderless: partitions.iter().filter(|p| p.leader() < 0).map(|p| p.id()).collect(),
            settings,
            own,
        }))
    }

    /// Looks at a topic, and creates it if it is not there and `create` says so.
    ///
    /// # Errors
    ///
    /// If the brokers do not answer, or refuse to create it (too many copies for the brokers, no permission).
    pub fn ensure(&self, spec: &TopicSpec, create: bool) -> Result<Outcome, String> {
        if let Some(found) = self.describe(&spec.name)? {
            return Ok(Outcome::Exists(differences(spec, &found)));
        }
        if !create {
            return Ok(Outcome::Missing);
        }
        let mut topic = NewTopic::new(
            &spec.name,
            spec.partitions.unwrap_or(-1),
            TopicReplication::Fixed(spec.replication.unwrap_or(-1)),
        );
        for (name, value) in &spec.settings {
            topic = topic.set(name, value);
        }
        let answers = wait(self.admin.create_topics(&[topic], &self.options()));
        for answer in answers.map_err(|error| format!("topic '{}' cannot be created: {error}", spec.name))? {
            match answer {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(format!(
                        "topic '{name}' cannot be created at {}: {code}",
                        self.watch.servers()
                    ));
                }
            }
        }
        self.settle(&spec.name)?;
        Ok(Outcome::Created)
    }

    /// Raises the number of partitions of a topic to this. It cannot be lowered again.
    ///
    /// # Errors
    ///
    /// If the brokers do not answer, or refuse (there are as many already, no permission).
    pub fn widen(&self, name: &str, partitions: usize) -> Result<(), String> {
        let refused = |why: &dyn fmt::Display| {
            let servers = self.watch.servers();
            format!("topic '{name}' at {servers} cannot have {partitions} partitions: {why}")
        };
        let wanted = NewPartitions::new(name, partitions);
        let answers = wait(self.admin.create_partitions([&wanted], &self.options()));
        for answer in answers.map_err(|error| refused(&error))? {
            answer.map_err(|(_, code)| refused(&code))?;
        }
        self.settle(name)
    }

    /// Waits until every partition has a leader: a new topic takes a moment to become usable.
    fn settle(&self, name: &str) -> Result<(), String> {
        for _ in 0..100 {
            if self.describe(name)?.is_some_and(|topic| topic.leaderless.is_empty()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!(
            "topic '{name}' was created, but has partitions without a leader after 5 s"
        ))
    }

    fn metadata(&self, topic: Option<&str>) -> Result<rdkafka::metadata::Metadata, String> {
        let serve = || {
            let _ = self.client.poll(Duration::ZERO);
        };
        metadata(
            rdkafka::consumer::Consumer::client(&self.client),
            serve,
            topic,
            self.timeout,
        )
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout))
    }
}

/// How a topic differs from what it should be.
fn differences(spec: &TopicSpec, found: &Topic) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut compare = |what: &str, wanted: Option<i32>, found: i32, advice: String| {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            all.push(Difference {
                what: what.into(),
                wanted: wanted.to_string(),
                found: found.to_string(),
                advice,
            });
        }
    };
    let name = &spec.name;
    let advice = match spec.partitions {
        Some(wanted) if wanted > found.partitions => {
            format!(
                "kafka-topics.sh --alter --topic {name} --partitions {wanted} adds them (keys move to other partitions)"
            )
        }
        _ => "partitions cannot be taken away: use another topic, or run with more of them".to_string(),
    };
    compare("partitions", spec.partitions, found.partitions, advice);
    compare(
        "replication",
        spec.replication,
        found.replication,
        "kafka-reassign-partitions.sh moves and adds copies".into(),
    );
    for (setting, wanted) in &spec.settings {
        let is = found
            .settings
            .get(setting)
            .cloned()
            .unwrap_or_else(|| "unknown to this broker".into());
        if is != *wanted {
            let advice = format!("kafka-configs.sh --alter --topic {name} --add-config {setting}={wanted} changes it");
            all.push(Difference {
                what: setting.clone(),
                wanted: wanted.clone(),
                found: is,
                advice,
            });
        }
    }
    all
}

#[cfg(test)]
mod tests;
