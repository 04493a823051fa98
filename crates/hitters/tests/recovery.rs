//! Nothing lost, nothing twice: `hitters run` is killed under load, again and again, started again on its state, and in the end
//! every row in Redis and every message in the results topic is byte for byte that of a run that nothing disturbed.
//!
//! An episode is one pass over a topic by runs that are killed one after the other, at moments that its seed decides: at a
//! fault point of a checkpoint (the run says so and hangs there; then SIGKILL), at any time, or stopped in order (SIGTERM).
//! Windows tumble, hop and are sessions, are joined, grouped again and numbered; parallelism is 1, 2, or another one in each run.
//! In every second episode, that of an odd seed, panes go to RocksDB as if there were no memory for them.
//!
//! A second test kills runs over a stream that goes on, also while they go on with other workers and while the topic gets more
//! partitions.
//!
//! HITTERS_TEST_KILLS says how many kills there have to be (20; `make test-kills`: 200): a tenth of them of each kind, half of that
//! on each backend. A failure tells its seed; HITTERS_TEST_SEED=seed HITTERS_TEST_KILLS=1 plays that episode again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_connectors::generate::Generate;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::command;
use support::outside::{Outside, Published, Shown, differences, rows_that_differ};
use support::running::{Over, Running};
use support::state::{EVENTS, Pipeline};

const PARTITIONS: u32 = 4;
/// Runs of one episode that are interrupted, at most.
const MOST: usize = 10;

const SQL: &str = "
CREATE TABLE tumbling (opened TEXT NOT NULL, category TEXT NOT NULL, n BIGINT, amount BIGINT, answer TEXT)
  WITH (connector = 'redis', type = 'sink', address = '${redis}', format = 'json', target = 'hash',
        'target.key_prefix' = '${prefix}tumble:', 'target.key_column' = 'opened', 'target.field_column' = 'category');
INSERT INTO tumbling SELECT CAST(CAST(extract(epoch FROM window.start) AS BIGINT) AS TEXT), category, n, amount, answer FROM (
  SELECT tumble(INTERVAL '1 second') AS window, category, count(*) AS n, sum(amount) AS amount,
         approx_top_k_estimate(approx_top_k_accumulate(item, 64), 10) AS answer
  FROM events GROUP BY 1, 2);

CREATE TABLE ranks (id TEXT NOT NULL, n BIGINT, item TEXT)
  WITH (connector = 'redis', type = 'sink', address = '${redis}', format = 'json', target = 'string',
        'target.key_prefix' = '${prefix}rank:', 'target.key_column' = 'id');
INSERT INTO ranks SELECT concat(CAST(window.start AS TEXT), '|', CAST(place AS TEXT)), n, item FROM (
  SELECT *, row_number() OVER (PARTITION BY window ORDER BY n DESC, item) AS place FROM (
    SELECT hop(INTERVAL '1 second', INTERVAL '4 seconds') AS window, item, count(*) AS n FROM events GROUP BY 1, 2))
  WHERE place <= 5;

CREATE VIEW here AS SELECT item, tumble(INTERVAL '1 second') AS window, count(*) AS n FROM events WHERE region = 'eu' GROUP BY 1, 2;
CREATE VIEW there AS SELECT item, tumble(INTERVAL '1 second') AS window, sum(amount) AS n FROM events WHERE region <> 'eu' GROUP BY 1, 2;
CREATE TABLE both (id TEXT NOT NULL, items BIGINT, most BIGINT, n BIGINT)
  WITH (connector = 'redis', type = 'sink', address = '${redis}', format = 'json', target = 'string',
        'target.key_prefix' = '${prefix}both:', 'target.key_column' = 'id');
INSERT INTO both SELECT CAST(window.start AS TEXT), items, most, n FROM (
  SELECT window, count(*) AS items, max(b) AS most, sum(a) AS n FROM (
    SELECT here.window AS window, here.n AS a, there.n AS b FROM here JOIN there ON here.item = there.item AND here.window = there.window)
  GROUP BY window);

CREATE TABLE hopping (id TEXT NOT NULL, answer TEXT)
  WITH (connector = 'kafka', type = 'sink', bootstrap_servers = '${kafka}', topic = '${results}', format = 'json',
        'sink.commit_mode' = 'exactly_once', 'sink.key_field' = 'id');
INSERT INTO hopping SELECT concat('hop|', CAST(window.start AS TEXT), '|', coalesce(region, '')), answer FROM (
  SELECT hop(INTERVAL '1 second', INTERVAL '5 seconds') AS window, region,
         approx_top_k_estimate(approx_top_sum_accumulate(item, amount, 64), 5) AS answer
  FROM events GROUP BY 1, 2);

CREATE TABLE sessions (id TEXT NOT NULL, ended TEXT, n BIGINT, amount BIGINT)
  WITH (connector = 'kafka', type = 'sink', bootstrap_servers = '${kafka}', topic = '${results}', format = 'json',
        'sink.commit_mode' = 'exactly_once', 'sink.key_field' = 'id');
INSERT INTO sessions SELECT concat('session|', CAST(window.start AS TEXT), '|', item), CAST(window.end AS TEXT), n, amount FROM (
  SELECT item, session(INTERVAL '500 milliseconds') AS window, count(*) AS n, sum(amount) AS amount FROM events GROUP BY 1, 2);
";

/// How a run is interrupted: a stop in good order is no kill.
const KINDS: [&str; 7] = [
    "barrier",
    "upload",
    "manifest",
    "commit",
    "committed",
    "any time",
    "stopped",
];

/// A small generator (splitmix64): its seed replays a failure.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

struct World {
    outside: Arc<Outside>,
    events: u64,
    shown: Shown,
    published: Published,
}

/// What episodes have done so far.
#[derive(Default)]
struct Tally {
    /// Interruptions by backend and kind.
    kinds: BTreeMap<(&'static str, &'static str), u64>,
    /// Interruptions with a checkpoint behind them and rows still to come.
    midway: u64,
    /// Bytes of state that killed runs left on disk.
    spilled: u64,
    seeds: Vec<u64>,
    runs: u64,
    rows: usize,
}

/// Where state is; RocksDB only in builds that have it.
const BACKENDS: [&str; 2] = ["memory", "rocksdb"];

fn backends() -> &'static [&'static str] {
    if cfg!(feature = "rocksdb") {
        &BACKENDS
    } else {
        &BACKENDS[..1]
    }
}

impl Tally {
    fn count(&self, backend: &str, kind: &str) -> u64 {
        self.kinds.get(&(backend, kind)).copied().unwrap_or(0)
    }

    fn of_kind(&self, kind: &str) -> u64 {
        BACKENDS.iter().map(|backend| self.count(backend, kind)).sum()
    }

    fn kills(&self) -> u64 {
        let kills = KINDS.iter().filter(|kind| **kind != "stopped");
        kills.map(|kind| self.of_kind(kind)).sum()
    }

    /// Whether there are so many kills, of all kinds on all backends.
    fn has(&self, wanted: u64) -> bool {
        let enough = |kind: &&str| {
            let on_each = backends()
                .iter()
                .all(|backend| self.count(backend, kind) >= wanted / 20);
            self.of_kind(kind) >= wanted / 10 && on_each
        };
        self.kills() >= wanted && KINDS.iter().all(enough)
    }

    /// A table for people.
    fn print(&self) {
        print!("{:<12}", "interrupted");
        BACKENDS.iter().for_each(|backend| print!(" {backend:>8}"));
        println!("      all");
        for kind in KINDS {
            print!("{kind:<12}");
            BACKENDS
                .iter()
                .for_each(|backend| print!(" {:>8}", self.count(backend, kind)));
            println!(" {:>8}", self.of_kind(kind));
        }
    }
}

/// Says which seed failed, however it did.
struct Telling(u64);

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed in the episode of HITTERS_TEST_SEED={}", self.0);
        }
    }
}

impl World {
    fn new() -> Self {
        let outside = Outside::shared();
        let events = setting("HITTERS_TEST_EVENTS", 1_500_000);
        outside.topic("kills", PARTITIONS as i32);
        let options = Generate {
            events,
            items: 2_000,
            rate: events as f64 / 30.0,
            partitions: PARTITIONS,
            ..Generate::default()
        };
        outside.generate("kills", &options);
        outside.topic("undisturbed", 2);
        let mut world = Self {
            outside,
            events,
            shown: Shown::new(),
            published: Published::new(),
        };
        let pipeline = world.pipeline("undisturbed", "undisturbed");
        Running::start(pipeline.bounded(1)).end().code(0);
        (world.shown, world.published) = world.outcome("undisturbed");
        let shown: usize = world.shown.values().map(BTreeMap::len).sum();
        assert!(
            shown > 300 && world.published.len() > 1000,
            "{shown} rows in Redis, {} messages",
            world.published.len()
        );
        world
    }

    fn pipeline(&self, name: &str, results: &str) -> Pipeline {
        let sql = format!("{EVENTS}{SQL}")
            .replace("${events}", "kills")
            .replace("${prefix}", &format!("{name}:"))
            .replace("${results}", results);
        Pipeline::new(&self.outside, name, &sql)
    }

    fn outcome(&self, name: &str) -> (Shown, Published) {
        (self.outside.shown(&format!("{name}:")), self.outside.published(name))
    }

    /// One pass over the topic.
    fn episode(&self, seed: u64, tally: &mut Tally) {
        let _telling = Telling(seed);
        let mut random = Random(seed);
        let name = format!("episode-{seed}");
        self.outside.topic(&name, 2);
        let pipeline = self.pipeline(&name, &name);
        let fixed = [Some(1), Some(2), None][(seed % 3) as usize];
        // Every second episode keeps next to nothing in memory.
        let backend = backends()[(seed % backends().len() as u64) as usize];
        if backend == "rocksdb" {
            pipeline.spill();
        }
        let mut kinds: Vec<&'static str> = Vec::new();
        let mut before = pipeline.newest();
        tally.seeds.push(seed);
        for _ in 0..MOST {
            if kinds.is_empty() {
                kinds = KINDS.to_vec();
                for place in (1..kinds.len()).rev() {
                    kinds.swap(place, random.below(place as u64 + 1) as usize);
                }
            }
            let kind = kinds.pop().unwrap();
            let parallelism = fixed.unwrap_or_else(|| 1 + random.below(3));
            tally.runs += 1;
            let over = interrupt(&pipeline, kind, parallelism, &mut random);
            if over.status.code() == Some(0) {
                break;
            }
            let too_young = kind == "stopped" && over.was_too_young_to_stop();
            let kind = if too_young { "any time" } else { kind };
            if kind == "stopped" {
                assert_eq!(over.status.code(), Some(130), "{}", over.said);
            } else {
                assert!(over.was_killed() || too_young, "{:?}\n{}", over.status, over.said);
            }
            let after = pipeline.newest();
            *tally.kinds.entry((backend, kind)).or_default() += 1;
            tally.spilled += pipeline.spilled();
            tally.midway += u64::from(after.records > 0 && after.records < self.events);
            // A run that got far enough to be killed at a point has taken the place over.
            let took = !["any time", "stopped"].contains(&kind);
            assert!(
                after.number > before.number || (!took && after.number == before.number),
                "{kind}: checkpoint {before:?}, then {after:?}\n{}",
                over.said
            );
            assert!(
                after.records >= before.records,
                "{kind}: checkpoint {before:?}, then {after:?}\n{}",
                over.said
            );
            before = after;
        }
        // To the end, if it has not come, and once more: that adds nothing.
        for _ in 0..2 {
            tally.runs += 1;
            Running::start(pipeline.bounded(fixed.unwrap_or(2))).end().code(0);
            assert_eq!(pipeline.newest().records, self.events);
        }
        let (shown, published) = self.outcome(&name);
        assert!(shown == self.shown, "Redis: {}", rows_that_differ(&self.shown, &shown));
        assert!(
            published == self.published,
            "results: {}",
            differences(&self.published, &published)
        );
        tally.rows += published.len() + shown.values().map(BTreeMap::len).sum::<usize>();
    }
}

/// Starts a run and interrupts it, unless it is quicker.
fn interrupt(pipeline: &Pipeline, kind: &str, parallelism: u64, random: &mut Random) -> Over {
    let mut command = command(pipeline.bounded(parallelism));
    let pause = match kind {
        "any time" | "stopped" => {
            let mut running = Running::spawn(command);
            let pause = Duration::from_millis(50 + random.below(1500));
            std::thread::sleep(pause);
            return if kind == "stopped" && running.runs() {
                // It takes a moment until signals are watched for: one that comes earlier just ends it.
                if pipeline.newest().number > 0 && running.says("going on from checkpoint") {
                    std::thread::sleep(Duration::from_millis(200));
                }
                if running.runs() {
                    running.signal("TERM");
                }
                running.end()
            } else {
                running.kill()
            };
        }
        "barrier" => {
            command.env(
                "HITTERS_FAULT",
                format!("barrier:{}", 1 + random.below(3 * parallelism)),
            );
            random.below(60)
        }
        point => {
            command.env("HITTERS_FAULT", format!("{point}:{}", 1 + random.below(4)));
            random.below(60)
        }
    };
    let mut running = Running::spawn(command);
    if !running.says("fault point") {
        return running.end();
    }
    // Only the thread that reached the point hangs; the others go on for a while.
    std::thread::sleep(Duration::from_millis(pause));
    running.kill()
}

#[test]
fn a_run_that_is_killed_anywhere_goes_on_as_if_nothing_had_happened() {
    let wanted = setting("HITTERS_TEST_KILLS", 20);
    let world = World::new();
    let mut tally = Tally::default();
    let first = setting("HITTERS_TEST_SEED", 6000);
    for seed in first..first + 1000 {
        world.episode(seed, &mut tally);
        if tally.has(wanted) {
            break;
        }
    }
    tally.print();
    println!(
        "{} kills in {} runs, {} interruptions between the first checkpoint and the last event; {} MB of state were left on disk; \
         seeds {:?}; {} rows compared, all equal",
        tally.kills(),
        tally.runs,
        tally.midway,
        tally.spilled / 1_000_000,
        tally.seeds,
        tally.rows,
    );
    assert!(tally.has(wanted), "only {} kills: {:?}", tally.kills(), tally.kinds);
    if wanted > 1 {
        assert!(
            tally.midway * 2 > tally.kills(),
            "too many kills came before the first checkpoint"
        );
        let on_disk = tally.spilled > 0 || backends().len() == 1;
        assert!(on_disk, "no state was on a disk when a run was killed");
    }
}

/// Partitions that the topic of the live stream gets in the middle of it.
const GROWN: u32 = 6;
/// Events a second of a live stream.
const RATE: f64 = 20_000.0;

/// How a run over a live stream is killed.
const LIVE: [&str; 8] = [
    "barrier",
    "upload",
    "manifest",
    "commit",
    "committed",
    "any time",
    "scale",
    "growth",
];

/// Kills a run over a stream that goes on.
fn kill_live(pipeline: &Pipeline, outside: &Outside, kind: &str, random: &mut Random) {
    let mut command = command(pipeline.run(1 + random.below(3)));
    if !["any time", "scale", "growth"].contains(&kind) {
        command.env("HITTERS_FAULT", format!("{kind}:{}", 1 + random.below(4)));
        let mut running = Running::spawn(command);
        assert!(running.says("fault point"), "{}", running.said);
        std::thread::sleep(Duration::from_millis(random.below(60)));
        assert!(running.kill().was_killed());
        return;
    }
    let before = pipeline.newest();
    let mut running = Running::spawn(command);
    let until = Instant::now() + Duration::from_secs(60);
    while pipeline.newest().records <= before.records {
        assert!(
            running.runs() && Instant::now() < until,
            "no checkpoint after {before:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut scaling = None;
    match kind {
        "scale" => {
            let workers = (1 + random.below(4)).to_string();
            let words = ["scale", &pipeline.file.display().to_string(), &workers];
            scaling = Some(Running::start(words));
            std::thread::sleep(Duration::from_millis(random.below(400)));
        }
        "growth" => {
            // The run looks for further partitions three times a second.
            outside.topics().widen("live", GROWN as usize).unwrap();
            std::thread::sleep(Duration::from_millis(random.below(800)));
        }
        _ => std::thread::sleep(Duration::from_millis(random.below(300))),
    }
    assert!(running.runs(), "it has ended by itself");
    assert!(running.kill().was_killed());
    // Whether it was told that its order was carried out depends on the moment.
    if let Some(scaling) = scaling {
        scaling.end();
    }
}

#[test]
fn a_run_that_is_killed_over_a_live_stream_while_it_scales_and_its_topic_grows_loses_nothing() {
    let wanted = setting("HITTERS_TEST_KILLS", 20).div_ceil(2);
    let seed = setting("HITTERS_TEST_SEED", 6000);
    let _telling = Telling(seed);
    let mut random = Random(seed);
    let outside = Outside::shared();
    for (name, partitions) in [("live", PARTITIONS), ("live-results", 2), ("live-undisturbed", 2)] {
        outside.topic(name, partitions as i32);
    }
    let pipeline = |results: &str| {
        let often = "'source.offset' = 'earliest', client_configs = 'topic.metadata.refresh.interval.ms=300'";
        let sql = format!("{EVENTS}{SQL}")
            .replace("'source.offset' = 'earliest'", often)
            // Rows of a partition that was added wait until a run sees it, which a kill delays.
            .replace("INTERVAL '2 seconds'", "INTERVAL '10 seconds'")
            .replace("${events}", "live")
            .replace("${prefix}", &format!("{results}:"))
            .replace("${results}", results);
        Pipeline::new(&outside, results, &sql)
    };
    let begun = Instant::now();
    let stream = |partitions: u32, rate: f64| {
        let options = Generate {
            events: u64::MAX,
            seed: partitions.into(),
            items: 2_000,
            start: Generate::default().start + begun.elapsed().as_millis() as i64,
            rate,
            disorder: 1_000,
            partitions,
            ..Generate::default()
        };
        outside.stream("live", options)
    };
    let mut streams = vec![stream(PARTITIONS, RATE)];
    let killed = pipeline("live-results");
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for number in 0..wanted.max(LIVE.len() as u64) {
        // A topic grows once.
        let kind = match LIVE[(number % LIVE.len() as u64) as usize] {
            "growth" if streams.len() > 1 => "scale",
            kind => kind,
        };
        kill_live(&killed, &outside, kind, &mut random);
        *kinds.entry(kind).or_default() += 1;
        if kind == "growth" {
            streams.push(stream(GROWN, RATE / 4.0));
        }
    }
    let mut sent = 0;
    streams.into_iter().for_each(|stream| sent += stream.end());
    Running::start(killed.bounded(2)).end().code(0);
    assert_eq!(killed.newest().records, sent);
    let undisturbed = pipeline("live-undisturbed");
    Running::start(undisturbed.bounded(1)).end().code(0);
    let outcome = |name: &str| (outside.shown(&format!("{name}:")), outside.published(name));
    let (shown, published) = outcome("live-undisturbed");
    let (found, found_published) = outcome("live-results");
    assert!(!shown.is_empty() && !published.is_empty());
    assert!(found == shown, "Redis: {}", rows_that_differ(&shown, &found));
    assert!(
        found_published == published,
        "results: {}",
        differences(&published, &found_published)
    );
    println!(
        "killed over a live stream of {sent} events: {kinds:?}; {} rows compared, all equal",
        published.len() + shown.values().map(BTreeMap::len).sum::<usize>()
    );
}
