//! Real Kafka and real Redis, and everything that stands in them.

use hitters_connectors::RunOptions;
use hitters_connectors::generate::{Generate, to_topic};
use hitters_connectors::topics::{Outcome, TopicSpec, Topics};
use hitters_tests::services::{Cluster, Kafka, Redis};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use redis::Commands;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Brokers and a server.
pub struct Outside {
    pub kafka: Brokers,
    pub redis: Redis,
}

/// One broker, or two.
pub enum Brokers {
    /// Other tests may use it.
    One(Arc<Kafka>),
    Two(Cluster),
}

impl Brokers {
    pub fn bootstrap_servers(&self) -> String {
        match self {
            Brokers::One(kafka) => kafka.bootstrap_servers(),
            Brokers::Two(cluster) => cluster.bootstrap_servers(),
        }
    }

    fn count(&self) -> i32 {
        match self {
            Brokers::One(_) => 1,
            Brokers::Two(_) => 2,
        }
    }
}

/// Rows in Redis: by key, then by field (one without a name for strings).
pub type Shown = BTreeMap<String, BTreeMap<String, String>>;
/// Messages of a topic, sorted: key and payload. A message that came twice stands there twice.
pub type Published = Vec<(String, String)>;

impl Outside {
    /// These brokers, and a server of its own that was started with these arguments.
    pub fn new(kafka: Brokers, redis: &[&str]) -> Self {
        let redis = Redis::with(redis);
        Self { kafka, redis }
    }

    /// The broker that tests share, and a server of its own that keeps its rows over a restart.
    pub fn with_durable_redis() -> Arc<Self> {
        let kept = ["--appendonly", "yes", "--appendfsync", "always"];
        Arc::new(Self::new(Brokers::One(shared_kafka()), &kept))
    }

    /// What the tests that run now share: the last of them stops it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Outside>> = Mutex::new(Weak::new());
        of_all(&SHARED, || Self::new(Brokers::One(shared_kafka()), &[]))
    }

    /// `${kafka}` and `${redis}` in SQL are these.
    pub fn fill(&self, sql: &str) -> String {
        sql.replace("${kafka}", &self.kafka.bootstrap_servers())
            .replace("${redis}", &self.redis.url())
    }

    /// Makes a topic.
    pub fn topic(&self, name: &str, partitions: i32) {
        let spec = TopicSpec {
            name: name.into(),
            partitions: Some(partitions),
            replication: Some(self.kafka.count()),
            ..TopicSpec::default()
        };
        assert_eq!(self.topics().ensure(&spec, true).unwrap(), Outcome::Created);
    }

    /// Fills a topic with generated events.
    pub fn generate(&self, name: &str, options: &Generate) {
        let (servers, run) = (self.kafka.bootstrap_servers(), RunOptions::default());
        let sent = to_topic(options, &servers, name, &[], &run, false, &mut |_| true);
        assert_eq!(sent.unwrap(), options.events);
    }

    /// Sends generated events to a topic at the pace of their event time, until it is ended.
    pub fn stream(&self, name: &str, options: Generate) -> Stream {
        let (servers, name) = (self.kafka.bootstrap_servers(), name.to_string());
        let ended = Arc::new(AtomicBool::new(false));
        let ending = ended.clone();
        let send = move || {
            let run = RunOptions::default();
            // Outages are short here, so that a client that waits long between its tries would only make the test slow.
            let settings = [("reconnect.backoff.max.ms".to_string(), "500".to_string())];
            let goes_on = &mut |_| !ending.load(Relaxed);
            to_topic(&options, &servers, &name, &settings, &run, true, goes_on).unwrap()
        };
        Stream {
            thread: std::thread::spawn(send),
            ended,
        }
    }

    /// Sends messages to one partition, in order; `None` is one without a value.
    pub fn send<'a>(&self, topic: &str, partition: i32, messages: impl IntoIterator<Item = Option<&'a [u8]>>) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap_servers())
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "4000000")
            .create()
            .unwrap();
        for message in messages {
            let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).timestamp(0);
            record.payload = message;
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// A way to ask brokers and change topics.
    pub fn topics(&self) -> Topics {
        Topics::connect(&self.kafka.bootstrap_servers(), &[], &RunOptions::default()).unwrap()
    }

    /// The records that a topic without transactions and retention holds.
    pub fn records(&self, topic: &str) -> u64 {
        let (consumer, wait) = (self.consumer(), Duration::from_secs(30));
        let metadata = consumer.fetch_metadata(Some(topic), wait).unwrap();
        let partitions = metadata.topics()[0].partitions().iter();
        let records = partitions.map(|partition| {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), wait).unwrap();
            (high - low) as u64
        });
        records.sum()
    }

    fn consumer(&self) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.bootstrap_servers());
        config.create().unwrap()
    }

    /// The leader of each partition of a topic.
    pub fn leaders(&self, topic: &str) -> Vec<i32> {
        let consumer = self.consumer();
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(30)).unwrap();
        let partitions = metadata.topics()[0].partitions();
        partitions.iter().map(|partition| partition.leader()).collect()
    }

    /// All that stands under a prefix, which is taken off.
    pub fn shown(&self, prefix: &str) -> Shown {
        let mut client = redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap();
        let keys: Vec<String> = client.keys(format!("{prefix}*")).unwrap();
        let mut shown = Shown::new();
        for key in keys {
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut client).unwrap();
            let fields = match kind.as_str() {
                "hash" => client.hgetall(&key).unwrap(),
                "string" => BTreeMap::from([(String::new(), client.get(&key).unwrap())]),
                other => panic!("{key} is a {other}"),
            };
            shown.insert(key[prefix.len()..].to_string(), fields);
        }
        shown
    }

    /// All committed messages of a topic.
    pub fn published(&self, topic: &str) -> Published {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap_servers())
            .set("group.id", "tests")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let wait = Duration::from_secs(30);
        let metadata = consumer.fetch_metadata(Some(topic), wait).unwrap();
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition as i32, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut messages, mut ended) = (Published::new(), 0);
        let until = Instant::now() + wait;
        while ended < partitions {
            assert!(Instant::now() < until, "topic {topic} cannot be read to its end");
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => messages.push((text(message.key()), text(message.payload()))),
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => panic!("{error}"),
                None => {}
            }
        }
        messages.sort_unstable();
        messages
    }
}

/// Events on their way to a topic.
pub struct Stream {
    thread: JoinHandle<u64>,
    ended: Arc<AtomicBool>,
}

impl Stream {
    /// Ends it; gives the number of events when the brokers have them all.
    pub fn end(self) -> u64 {
        self.ended.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

fn shared_kafka() -> Arc<Kafka> {
    static SHARED: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());
    of_all(&SHARED, Kafka::start)
}

/// What there is one of for all tests that run now.
fn of_all<T>(shared: &Mutex<Weak<T>>, make: impl FnOnce() -> T) -> Arc<T> {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let fresh = Arc::new(make());
        *shared = Arc::downgrade(&fresh);
        fresh
    })
}

/// What differs between two sets of messages, for people.
pub fn differences(expected: &Published, found: &Published) -> String {
    let count = |messages: &Published| {
        let mut counts = BTreeMap::<(String, String), i64>::new();
        messages
            .iter()
            .for_each(|message| *counts.entry(message.clone()).or_default() += 1);
        counts
    };
    let (expected, found) = (count(expected), count(found));
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differing = keys.into_iter().filter_map(|key| {
        let (want, have) = (expected.get(key).unwrap_or(&0), found.get(key).unwrap_or(&0));
        (want != have).then(|| format!("{have} instead of {want} of {key:?}"))
    });
    let differing: Vec<String> = differing.collect();
    format!(
        "{} messages differ: {:#?}",
        differing.len(),
        &differing[..differing.len().min(5)]
    )
}

/// What differs between two states of Redis, for people.
pub fn rows_that_differ(expected: &Shown, found: &Shown) -> String {
    let flat = |shown: &Shown| -> Published {
        let rows = shown.iter().flat_map(|(key, fields)| {
            fields
                .iter()
                .map(move |(field, row)| (format!("{key} {field}"), row.clone()))
        });
        rows.collect()
    };
    differences(&flat(expected), &flat(found))
}
