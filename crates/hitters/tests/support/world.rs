//! A pipeline over a topic with rows to Redis, replaced by key, and to a topic, exactly once; and the same undisturbed.

use super::outside::{Outside, Published, Shown, Stream, differences, rows_that_differ};
use super::running::Running;
use super::state::{EVENTS, Pipeline};
use hitters_connectors::generate::{Generate, Silence};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events in a second of event time.
pub const RATE: u64 = 2_000;
/// Events in a second of a partition that has few.
const SELDOM: f64 = 5.0;

const SQL: &str = "
CREATE TABLE counts (opened TEXT NOT NULL, category TEXT NOT NULL, n BIGINT, amount BIGINT)
  WITH (connector = 'redis', type = 'sink', address = '${redis}', format = 'json', target = 'hash',
        'target.key_prefix' = '${prefix}', 'target.key_column' = 'opened', 'target.field_column' = 'category');
INSERT INTO counts SELECT CAST(window.start AS TEXT), category, n, amount FROM (
  SELECT tumble(INTERVAL '1 second') AS window, category, count(*) AS n, sum(amount) AS amount FROM events GROUP BY 1, 2);

CREATE TABLE tops (id TEXT NOT NULL, answer TEXT)
  WITH (connector = 'kafka', type = 'sink', bootstrap_servers = '${kafka}', topic = '${results}', format = 'json',
        'sink.commit_mode' = 'exactly_once', 'sink.key_field' = 'id');
INSERT INTO tops SELECT CAST(window.start AS TEXT), answer FROM (
  SELECT hop(INTERVAL '1 second', INTERVAL '3 seconds') AS window,
         approx_top_k_estimate(approx_top_k_accumulate(item, 64), 5) AS answer FROM events GROUP BY 1);
";

/// A topic with events, and one for results.
pub struct World {
    pub outside: Arc<Outside>,
    pub name: String,
    /// Records in the topic.
    pub sent: u64,
}

impl World {
    /// All topics are named after the test.
    pub fn new(name: &str, partitions: i32) -> Self {
        Self::with(Outside::shared(), name, partitions)
    }

    /// The same with services that other tests may not share.
    pub fn with(outside: Arc<Outside>, name: &str, partitions: i32) -> Self {
        outside.topic(&format!("{name}-events"), partitions);
        outside.topic(&format!("{name}-results"), 1);
        outside.topic(&format!("{name}-undisturbed"), 1);
        Self {
            outside,
            name: name.to_string(),
            sent: 0,
        }
    }

    pub fn events(&self) -> String {
        format!("{}-events", self.name)
    }

    /// Sends the events of some seconds of event time, to so many partitions.
    pub fn send(&mut self, seconds: std::ops::Range<u64>, partitions: u32) {
        let options = events(seconds, partitions);
        self.outside.generate(&self.events(), &options);
        self.sent += options.events;
    }

    /// Sends events second by second from a second of event time on, until the streams are ended: most of them to all partitions
    /// but the last, which gets one now and then. The log of that one is read to its end most of the time, so that anybody who
    /// takes an outage for silence closes windows without its rows.
    pub fn stream(&self, from: u64, partitions: u32) -> [Stream; 2] {
        let busy = events(from..from + 3600, partitions - 1);
        let silence = |partition| Silence {
            partition,
            from: 0,
            to: i64::MAX,
        };
        let slow = Generate {
            rate: SELDOM,
            seed: from + 1,
            silences: (0..partitions - 1).map(silence).collect(),
            ..events(from..from + 3600, partitions)
        };
        [busy, slow].map(|options| self.outside.stream(&self.events(), options))
    }

    /// Asks the brokers how many records there are: the log is the truth. A producer whose broker was killed cannot know, even
    /// an idempotent one, and may have sent a batch a second time.
    pub fn count(&mut self) {
        let records = self.outside.records(&self.events());
        assert!(records >= self.sent);
        self.sent = records;
    }

    /// The SQL with rows to `kind`: `results` or `undisturbed`.
    pub fn sql(&self, kind: &str) -> String {
        format!("{EVENTS}{SQL}")
            .replace("${events}", &self.events())
            .replace("${prefix}", &format!("{}-{kind}:", self.name))
            .replace("${results}", &format!("{}-{kind}", self.name))
    }

    pub fn pipeline(&self) -> Pipeline {
        Pipeline::new(&self.outside, &self.name, &self.sql("results"))
    }

    /// What is shown in Redis so far: windows and categories.
    pub fn shown(&self) -> Shown {
        self.outside.shown(&format!("{}-results:", self.name))
    }

    /// Waits until Redis shows so many windows.
    pub fn wait_for_windows(&self, running: &mut Running, windows: usize) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.shown().len() < windows {
            assert!(running.runs(), "it has ended\n{}", running.heard());
            let shown = self.shown().len();
            assert!(
                Instant::now() < until,
                "{shown} of {windows} windows\n{}",
                running.heard()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn outcome(&self, kind: &str) -> (Shown, Published) {
        let name = format!("{}-{kind}", self.name);
        (self.outside.shown(&format!("{name}:")), self.outside.published(&name))
    }

    /// What a run over the whole topic shows that nothing disturbed.
    pub fn undisturbed(&self) -> (Shown, Published) {
        let name = format!("{}-undisturbed", self.name);
        let pipeline = Pipeline::new(&self.outside, &name, &self.sql("undisturbed"));
        Running::start(pipeline.bounded(1)).end().code(0);
        assert_eq!(pipeline.newest().records, self.sent);
        let (shown, published) = self.outcome("undisturbed");
        assert!(!shown.is_empty() && !published.is_empty());
        (shown, published)
    }

    /// Holds what came out against a run over the whole topic that nothing disturbed.
    #[track_caller]
    pub fn equals_undisturbed(&self) {
        let (shown, published) = self.undisturbed();
        let (found, found_published) = self.outcome("results");
        assert!(found == shown, "Redis: {}", rows_that_differ(&shown, &found));
        assert!(
            found_published == published,
            "results: {}",
            differences(&published, &found_published)
        );
    }

    /// Waits until a run shows all that one shows which nothing disturbed.
    pub fn wait_for_undisturbed(&self, running: &mut Running) {
        let expected = self.undisturbed();
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.outcome("results");
            if found == expected {
                return;
            }
            assert!(
                running.runs() && Instant::now() < until,
                "Redis: {}\nresults: {}",
                rows_that_differ(&expected.0, &found.0),
                differences(&expected.1, &found.1)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Starts a run without an end, and waits until a checkpoint holds all that was sent.
    pub fn start_and_read_all(&self, pipeline: &Pipeline, parallelism: u64) -> Running {
        let mut running = Running::start(pipeline.run(parallelism));
        self.wait_for_all(pipeline, &mut running);
        running
    }

    pub fn wait_for_all(&self, pipeline: &Pipeline, running: &mut Running) {
        let until = Instant::now() + Duration::from_secs(60);
        while pipeline.newest().records < self.sent {
            assert!(running.runs(), "it has ended\n{}", running.heard());
            let (newest, sent) = (pipeline.newest(), self.sent);
            assert!(Instant::now() < until, "{newest:?} of {sent}\n{}", running.heard());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Generated events of some seconds of event time.
pub fn events(seconds: std::ops::Range<u64>, partitions: u32) -> Generate {
    Generate {
        events: (seconds.end - seconds.start) * RATE,
        seed: seconds.start,
        items: 500,
        start: 1_700_000_000_000 + seconds.start as i64 * 1000,
        rate: RATE as f64,
        disorder: 1_000,
        partitions,
        ..Generate::default()
    }
}
