//! HDFS: the promises of every store, and bad days of the namenode, with a real cluster of one namenode and one datanode.
#![cfg(feature = "hdfs")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod promises;

use hitters_dataflow::checkpoint::{Storage, StorageError};
use hitters_storage::{Hdfs, Location, Patience, Report};
use hitters_tests::proxy::{Fault, Proxy};
use hitters_tests::services;
use promises::bytes;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What the user was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn report(&self) -> Report {
        let lines = self.0.clone();
        Arc::new(move |line: &str| lines.lock().unwrap().push(line.to_owned()))
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn patience() -> Patience {
    Patience {
        limit: Duration::from_secs(20),
        pause: Duration::from_millis(20),
        longest: Duration::from_millis(500),
        answer: Duration::from_secs(10),
    }
}

fn open(port: u16, folder: &str, user: Option<&str>, patience: Patience, told: &Told) -> Result<Hdfs, StorageError> {
    let url = format!("hdfs://127.0.0.1:{port}/{folder}");
    let Location::Hdfs(location) = Location::parse(&url).unwrap() else {
        panic!("{url} is not HDFS")
    };
    let user = user.map(|user| ("HADOOP_USER_NAME".to_owned(), user.to_owned()));
    Hdfs::open(&location, user, patience, told.report())
}

#[test]
fn a_folder_of_hdfs_keeps_the_promises_of_a_store() {
    let (cluster, told) = (services::Hdfs::shared(), Told::default());
    // More than the namenode of the tests lists at once.
    promises::hold(
        &open(cluster.port(), "promises/shop", None, patience(), &told).unwrap(),
        1_100,
    );
    assert_eq!(told.lines(), Vec::<String>::new());
}

#[test]
fn a_namenode_that_breaks_connections_off_is_asked_again() {
    let (cluster, told) = (services::Hdfs::shared(), Told::default());
    let proxy = Proxy::start(cluster.port());
    proxy.break_next([Fault::Refuse, Fault::Refuse]);
    let store = open(proxy.port(), "broken", None, patience(), &told).unwrap();
    assert_eq!(proxy.left(), 0);
    for round in 0..20 {
        let name = format!("a/{round}");
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(3 * round));
                proxy.cut_all();
            });
            if round % 2 == 0 {
                store.put(&name, &bytes(100_000, round)).unwrap();
            } else {
                assert!(store.put_new(&name, &bytes(100_000, round)).unwrap());
            }
        });
        assert!(store.get(&name).unwrap().unwrap() == bytes(100_000, round), "{name}");
    }
    assert_eq!(store.list("a").unwrap().len(), 20);
    assert!(
        told.lines().iter().any(|line| line.contains("trying again in")),
        "{:#?}",
        told.lines()
    );
}

#[test]
fn the_winner_of_a_new_object_is_known_although_its_answer_was_lost() {
    let (cluster, told) = (services::Hdfs::shared(), Told::default());
    let proxy = Proxy::start(cluster.port());
    for round in 0..5 {
        let name = format!("manifests/{round}");
        // The rename is done and its answer lost; the next connection is good.
        proxy.break_next([Fault::LoseAnswerTo("rename2")]);
        let ours = open(proxy.port(), "lost", None, patience(), &told).unwrap();
        assert!(ours.put_new(&name, b"ours").unwrap(), "{name}");
        assert_eq!(ours.get(&name).unwrap().unwrap(), b"ours");
        // Another one has the name: a lost refusal does not make it ours.
        proxy.break_next([Fault::LoseAnswerTo("rename2")]);
        let other = open(proxy.port(), "lost", None, patience(), &told).unwrap();
        assert!(!other.put_new(&name, b"theirs").unwrap(), "{name}");
        assert_eq!(other.get(&name).unwrap().unwrap(), b"ours");
    }
    let lost = told
        .lines()
        .iter()
        .filter(|line| line.contains("HDFS cannot be reached"))
        .count();
    assert_eq!(lost, 10, "each answer was lost: {:#?}", told.lines());
}

#[test]
fn a_namenode_that_is_gone_or_hangs_ends_in_an_error_within_the_limit() {
    let (cluster, told) = (services::Hdfs::shared(), Told::default());
    let short = Patience {
        limit: Duration::from_secs(1),
        answer: Duration::from_millis(300),
        ..patience()
    };
    let began = Instant::now();
    let error = open(services::free_port(), "gone", None, short.clone(), &told)
        .unwrap_err()
        .message;
    assert!(
        error.contains("cannot open hdfs://127.0.0.1:") && error.contains("refused"),
        "{error}"
    );
    let proxy = Proxy::start(cluster.port());
    proxy.break_all(Fault::Hang);
    let error = open(proxy.port(), "hangs", None, short, &told).unwrap_err().message;
    assert!(
        error.contains("HDFS cannot be reached (") && error.contains("no answer in time"),
        "{error}"
    );
    assert!(error.contains("given up after"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[test]
fn a_user_who_may_not_is_told_at_once() {
    let (cluster, told) = (services::Hdfs::shared(), Told::default());
    open(cluster.port(), "ours/state", None, patience(), &told)
        .unwrap()
        .put("a", b"x")
        .unwrap();
    let error = open(cluster.port(), "ours/others", Some("stranger"), patience(), &told)
        .unwrap_err()
        .message;
    assert!(
        error.contains("access is denied; set HADOOP_USER_NAME") && error.contains("stranger"),
        "{error}"
    );
    // The folder is there, so it opens; only reading is allowed.
    let reader = open(cluster.port(), "ours/state", Some("stranger"), patience(), &told).unwrap();
    assert_eq!(reader.get("a").unwrap().unwrap(), b"x");
    for error in [
        reader.put("b", b"x").unwrap_err(),
        reader.put_new("b", b"x").unwrap_err(),
        reader.delete("a").unwrap_err(),
    ] {
        assert!(error.message.contains("access is denied"), "{error}");
    }
    assert_eq!(told.lines(), Vec::<String>::new());
}

#[test]
fn a_cluster_that_comes_back_has_what_was_written() {
    let mut cluster = services::Hdfs::start();
    let (proxy, told) = (Proxy::start(cluster.port()), Told::default());
    let patient = Patience {
        limit: Duration::from_secs(120),
        ..patience()
    };
    let store = open(proxy.port(), "state", None, patient, &told).unwrap();
    let written = bytes(3_000_000, 1);
    store.put("a", &written).unwrap();
    cluster.stop();
    thread::scope(|scope| {
        let reader = scope.spawn(|| (store.put_new("b", &written).unwrap(), store.get("a").unwrap().unwrap()));
        thread::sleep(Duration::from_secs(1));
        assert!(
            told.lines().iter().any(|line| line.contains("trying again in")),
            "{:#?}",
            told.lines()
        );
        cluster.start_again();
        let (won, read) = reader.join().unwrap();
        assert!(won && read == written);
    });
    assert!(store.get("b").unwrap().unwrap() == written);
}
