//! Runs that keep their state in S3 and in HDFS: killed, they go on from it; while the store is away, they go on without.
#![cfg(any(feature = "s3", feature = "hdfs"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_tests::proxy::{Fault, Proxy};
use hitters_tests::services;
use std::collections::BTreeSet;
use std::fs;
use std::ops::Deref;
use std::time::{Duration, Instant};
use support::numbers::{Numbers, Row};
use support::{command, ended};

struct Pipeline(Numbers);

impl Deref for Pipeline {
    type Target = Numbers;

    fn deref(&self) -> &Numbers {
        &self.0
    }
}

impl Pipeline {
    fn new(storage: &str, environment: Vec<(String, String)>) -> Self {
        Self(Numbers::new(storage, environment))
    }

    fn last_second(&self, name: &str) -> i64 {
        self.rows(name).iter().map(|row| row[0]).max().unwrap_or(-1)
    }

    /// Waits until something is so.
    fn until(&self, rows: &str, what: &str, so: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !so() {
            assert!(Instant::now() < end, "{what} did not come\n{}", self.log(rows));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs it three times, each killed after some windows, and holds the rows to their truth.
    fn goes_on_after_kills(&self) {
        let runs = ["first", "second", "third"];
        let mut seen = BTreeSet::new();
        for (number, name) in runs.into_iter().enumerate() {
            let from = seen.last().map_or(0, |row: &Row| row[0]);
            let mut child = self.start(name);
            self.until(name, "windows", || self.last_second(name) >= from + 2);
            let mut status = command(["status", "--json", &self.file()]);
            status.envs(self.environment.iter().cloned());
            assert!(ended(status).well().stdout.contains("\"state\":\"running\""));
            child.kill().unwrap();
            child.wait().unwrap();
            seen.extend(self.rows(name));
            if number > 0 {
                assert!(
                    self.log(name).contains("going on from checkpoint"),
                    "{}",
                    self.log(name)
                );
                assert!(self.rows(name).iter().all(|row| row[0] > 0), "{name} began anew");
            }
        }
        let seconds = seen.last().unwrap()[0];
        let expected = (0..seconds).flat_map(|second| (0..10).map(move |part| [second, part, 100]));
        seen.retain(|row| row[0] < seconds);
        assert_eq!(seen, expected.collect());
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["first", "second", "third", "rows"] {
                let log = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
                eprintln!("{name}:\n{log}");
            }
        }
    }
}

#[cfg(feature = "s3")]
fn s3(port: u16) -> String {
    format!("s3://hitters/numbers?region=us-east-1&endpoint=http://127.0.0.1:{port}&allow_http=true")
}

#[cfg(feature = "s3")]
#[test]
fn a_killed_run_goes_on_from_its_state_in_s3() {
    let service = services::S3::start();
    Pipeline::new(&s3(service.port()), service.credentials("writer")).goes_on_after_kills();
}

#[cfg(feature = "s3")]
#[test]
fn a_run_goes_on_while_s3_is_away_and_keeps_its_state_again_after() {
    let service = services::S3::start();
    let proxy = Proxy::start(service.port());
    let pipeline = Pipeline::new(&s3(proxy.port()), service.credentials("writer"));
    let mut child = pipeline.start("first");
    pipeline.until("first", "a window", || pipeline.last_second("first") >= 0);
    proxy.break_all(Fault::Status(503));
    pipeline.until("first", "a word of the outage", || {
        pipeline.log("first").contains("503 Broken")
    });
    let reached = pipeline.last_second("first");
    pipeline.until("first", "further windows", || {
        pipeline.last_second("first") >= reached + 2
    });
    proxy.mend();
    pipeline.until("first", "a word of its end", || {
        // Whatever it was doing when the service went away.
        pipeline.log("first").contains(" tries in ")
    });
    let after = pipeline.last_second("first");
    pipeline.until("first", "further windows", || {
        pipeline.last_second("first") >= after + 2
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let mut child = pipeline.start("second");
    pipeline.until("second", "windows", || pipeline.last_second("second") > after);
    child.kill().unwrap();
    child.wait().unwrap();
    // What was stored after the outage, not what was stored before it.
    assert!(
        pipeline
            .rows("second")
            .iter()
            .all(|row| row[0] > reached && row[2] == 100),
        "{:?}",
        pipeline.rows("second")
    );
}

#[cfg(feature = "s3")]
#[test]
fn the_way_to_s3_is_safe_by_tls() {
    let service = services::S3::start_with_tls();
    let url = format!(
        "s3://hitters/numbers?region=us-east-1&endpoint=https://127.0.0.1:{}",
        service.port()
    );
    let mut pipeline = Pipeline::new(&url, service.credentials("writer"));
    let status = pipeline.start("first").wait().unwrap();
    assert_eq!(status.code(), Some(1), "{}", pipeline.log("first"));
    let log = pipeline.log("first");
    assert!(
        log.contains("is not trusted; name a file") && !log.contains("trying again"),
        "{log}"
    );
    let certificate = service.certificate().display().to_string();
    pipeline.0.environment.push(("SSL_CERT_FILE".into(), certificate));
    pipeline.goes_on_after_kills();
}

#[cfg(feature = "s3")]
#[test]
fn credentials_that_are_refused_end_a_run_at_once() {
    let service = services::S3::start();
    let pipeline = Pipeline::new(&s3(service.port()), service.credentials("stranger"));
    let status = pipeline.start("first").wait().unwrap();
    assert_eq!(status.code(), Some(1), "{}", pipeline.log("first"));
    let log = pipeline.log("first");
    assert!(
        log.contains("access is denied; allow s3:ListBucket") && !log.contains("trying again"),
        "{log}"
    );
    let secret = &service.credentials("stranger")[1].1;
    assert!(!log.contains(secret.as_str()));
}

#[cfg(feature = "hdfs")]
#[test]
fn a_killed_run_goes_on_from_its_state_in_hdfs() {
    let cluster = services::Hdfs::start();
    Pipeline::new(&format!("hdfs://{}/state/numbers", cluster.namenode()), Vec::new()).goes_on_after_kills();
}
