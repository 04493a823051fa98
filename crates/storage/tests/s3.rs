//! S3: the promises of every store, and bad days of the service. The service is real in that it checks what S3 checks.
#![cfg(feature = "s3")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod promises;

use hitters_dataflow::checkpoint::Storage;
use hitters_storage::{Location, Patience, Report, S3};
use hitters_tests::proxy::{Fault, Proxy};
use hitters_tests::services::{self, free_port};
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

/// Quick, so that a test of a limit does not take the five minutes that a run has.
fn patience() -> Patience {
    Patience {
        limit: Duration::from_secs(3),
        pause: Duration::from_millis(20),
        longest: Duration::from_millis(200),
        answer: Duration::from_secs(30),
    }
}

struct Given {
    service: services::S3,
    told: Told,
}

impl Given {
    fn service() -> Self {
        Self {
            service: services::S3::start(),
            told: Told::default(),
        }
    }

    fn proxy(&self) -> Proxy {
        Proxy::start(self.service.port())
    }

    fn open(&self, port: u16, prefix: &str) -> S3 {
        self.open_as(
            "writer",
            port,
            &format!("{}/{prefix}", services::S3::BUCKET),
            patience(),
        )
    }

    fn open_as(&self, user: &str, port: u16, place: &str, patience: Patience) -> S3 {
        open(port, place, self.service.credentials(user), patience, &self.told)
    }
}

fn open(port: u16, place: &str, environment: Vec<(String, String)>, patience: Patience, told: &Told) -> S3 {
    let url = format!("s3://{place}?region=us-east-1&endpoint=http://127.0.0.1:{port}&allow_http=true");
    let Location::S3(location) = Location::parse(&url).unwrap() else {
        panic!("{url} is not S3")
    };
    S3::open(&location, environment, patience, told.report()).unwrap()
}

#[test]
fn a_bucket_keeps_the_promises_of_a_store() {
    let given = Given::service();
    // More than a page of a list, which is 1,000.
    promises::hold(&given.open(given.service.port(), "state/shop"), 1_100);
    promises::hold(&given.open(given.service.port(), "state/shop2"), 10);
    assert_eq!(given.told.lines(), Vec::<String>::new());
}

#[test]
fn a_prefix_is_a_store_of_its_own() {
    let given = Given::service();
    let port = given.service.port();
    let (outer, inner) = (given.open(port, ""), given.open(port, "a/b/"));
    inner.put("c", b"inner").unwrap();
    assert_eq!(outer.list("").unwrap(), ["a/b/c"]);
    assert_eq!(outer.get("a/b/c").unwrap().unwrap(), b"inner");
    assert_eq!(inner.list("").unwrap(), ["c"]);
    assert_eq!(given.open(port, "a").list("").unwrap(), ["b/c"]);
    assert_eq!(
        (outer.describe(), inner.describe()),
        ("s3://hitters".into(), "s3://hitters/a/b".into())
    );
}

#[test]
fn passing_faults_are_waited_out_and_told() {
    let given = Given::service();
    let proxy = given.proxy();
    let quick = Patience {
        answer: Duration::from_millis(500),
        ..patience()
    };
    let store = given.open_as("writer", proxy.port(), "hitters/state", quick);
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(429),
        Fault::Cut,
        Fault::Hang,
        Fault::LoseAnswer,
    ] {
        let name = format!("{fault:?}").replace(['(', ')'], "");
        type Call<'a> = Box<dyn Fn() + 'a>;
        let calls: [Call<'_>; 5] = [
            Box::new(|| store.put(&name, b"whole").unwrap()),
            Box::new(|| assert_eq!(store.get(&name).unwrap().unwrap(), b"whole")),
            Box::new(|| assert!(store.list("").unwrap().contains(&name))),
            Box::new(|| store.delete(&name).unwrap()),
            Box::new(|| assert!(store.put_new(&name, b"new").unwrap())),
        ];
        for call in calls {
            let before = given.told.lines().len();
            proxy.break_next([fault, fault]);
            call();
            assert_eq!(proxy.left(), 0, "{fault:?} was not met");
            let told = given.told.lines().split_off(before);
            assert!(
                told.len() >= 3 && told[0].contains("trying again in"),
                "{fault:?}: {told:#?}"
            );
            assert!(told.last().unwrap().contains("after 3 tries"), "{fault:?}: {told:#?}");
        }
    }
}

#[test]
fn an_endless_fault_ends_in_an_error_within_the_limit() {
    let given = Given::service();
    let proxy = given.proxy();
    let short = Patience {
        limit: Duration::from_secs(1),
        answer: Duration::from_millis(300),
        ..patience()
    };
    let store = given.open_as("writer", proxy.port(), "hitters/state", short.clone());
    for (fault, said) in [
        (Fault::Status(503), "is busy or broken (503 Broken: by the proxy)"),
        (Fault::Status(500), "is busy or broken (500"),
        (Fault::Cut, "broke the connection off"),
        (Fault::Hang, "did not answer in time"),
    ] {
        proxy.break_all(fault);
        let began = Instant::now();
        let error = store.put_new("a", b"x").unwrap_err().message;
        assert!(
            error.starts_with("cannot write s3://hitters/state/a: http://127.0.0.1:"),
            "{error}"
        );
        assert!(error.contains(said) && error.contains("given up after"), "{error}");
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{fault:?} took {:?}",
            began.elapsed()
        );
    }
    let nobody = given.open_as("writer", free_port(), "hitters/state", short);
    let error = nobody.get("a").unwrap_err().message;
    assert!(
        error.contains("cannot be reached") && error.contains("refused"),
        "{error}"
    );
}

#[test]
fn a_service_that_comes_back_is_used_again() {
    let mut given = Given::service();
    let patient = Patience {
        limit: Duration::from_secs(60),
        ..patience()
    };
    let store = given.open_as("writer", given.service.port(), "hitters/state", patient);
    store.put("a", b"x").unwrap();
    given.service.freeze();
    thread::scope(|scope| {
        let reader = scope.spawn(|| store.get("a").unwrap().unwrap());
        thread::sleep(Duration::from_millis(300));
        given.service.thaw();
        assert_eq!(reader.join().unwrap(), b"x");
    });
    // It forgets its users when it dies: the store meets a service that is not ready for it, and says so.
    given.service.stop();
    thread::scope(|scope| {
        let reader = scope.spawn(|| store.get("a"));
        thread::sleep(Duration::from_millis(300));
        assert!(given.told.lines().iter().any(|line| line.contains("cannot be reached")));
        given.service.start_again();
        let error = reader.join().unwrap().unwrap_err().message;
        assert!(error.contains("the credentials are refused"), "{error}");
    });
}

#[test]
fn the_winner_of_a_new_object_is_known_although_its_answer_was_lost() {
    let given = Given::service();
    let proxy = given.proxy();
    let store = given.open(proxy.port(), "state");
    assert!(store.put_new("first", b"x").unwrap());
    for round in 0..10 {
        let name = format!("manifests/{round}");
        // The object is written, the answer lost, the next try refused: it is ours all the same.
        proxy.break_next([Fault::LoseAnswer]);
        assert!(store.put_new(&name, b"ours").unwrap(), "{name}");
        // Another writer has the name: a lost refusal does not make it ours.
        proxy.break_next([Fault::LoseAnswer]);
        let other = given.open(proxy.port(), "state");
        assert!(!other.put_new(&name, b"ours").unwrap(), "{name}");
    }
}

#[test]
fn one_writer_wins_though_answers_are_lost() {
    const WRITERS: usize = 8;
    let given = Given::service();
    let proxy = given.proxy();
    let stores: Vec<S3> = (0..WRITERS).map(|_| given.open(proxy.port(), "state")).collect();
    for (number, store) in stores.iter().enumerate() {
        assert!(store.put_new(&format!("first/{number}"), b"x").unwrap());
    }
    for round in 0..10 {
        let name = format!("manifests/{round}");
        proxy.break_next([
            Fault::LoseAnswer,
            Fault::Cut,
            Fault::LoseAnswer,
            Fault::Status(503),
            Fault::LoseAnswer,
        ]);
        let won: Vec<bool> = thread::scope(|scope| {
            let writers: Vec<_> = stores
                .iter()
                .map(|store| scope.spawn(|| store.put_new(&name, b"same").unwrap()))
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{name}: {won:?}");
    }
}

#[test]
fn large_objects_go_in_parts_and_broken_parts_again() {
    let given = Given::service();
    let proxy = given.proxy();
    let store = given.open(proxy.port(), "state");
    let written = bytes(20_000_000, 3);
    // The begin, the three parts, the end: each is broken once.
    for broken in 0..5 {
        let name = format!("large/{broken}");
        for fault in [Fault::Status(500), Fault::Cut, Fault::LoseAnswer] {
            let through = std::iter::repeat_n(Fault::Pass, broken);
            proxy.break_next(through.chain([fault]));
            store.put(&name, &written).unwrap();
            assert_eq!(proxy.left(), 0);
            // Its three parts are read, each broken once too.
            proxy.break_next(std::iter::repeat_n(Fault::Pass, broken % 3).chain([fault]));
            assert!(store.get(&name).unwrap().unwrap() == written, "{name}, {fault:?}");
            assert_eq!(proxy.left(), 0);
        }
    }
    proxy.break_all(Fault::Status(503));
    let error = store.put("large/never", &written).unwrap_err().message;
    assert!(
        error.contains("cannot write s3://hitters/state/large/never") && error.contains("given up"),
        "{error}"
    );
    proxy.mend();
    assert_eq!(store.get("large/never").unwrap(), None);
}

#[test]
fn what_lasts_is_said_at_once_and_says_what_to_do() {
    let given = Given::service();
    let (port, bucket) = (given.service.port(), "hitters/state");
    let wrong = vec![
        (
            "AWS_ACCESS_KEY_ID".to_owned(),
            given.service.credentials("writer")[0].1.clone(),
        ),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), "hush".to_owned()),
    ];
    let unknown = [("AWS_ACCESS_KEY_ID", "AKIAHITTERS"), ("AWS_SECRET_ACCESS_KEY", "hush")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    // A service of credentials that is not there, in the place of Amazon's.
    let none = vec![(
        "AWS_METADATA_ENDPOINT".to_owned(),
        format!("http://127.0.0.1:{}", free_port()),
    )];
    let as_writer = given.service.credentials("writer");
    for (store, said) in [
        (
            open(port, bucket, wrong, patience(), &given.told),
            "the credentials are refused; check AWS_ACCESS_KEY_ID",
        ),
        (
            open(port, bucket, unknown, patience(), &given.told),
            "the credentials are refused; check AWS_ACCESS_KEY_ID",
        ),
        (
            open(port, bucket, none, patience(), &given.told),
            "there are no credentials: set AWS_ACCESS_KEY_ID",
        ),
        (
            given.open_as("stranger", port, bucket, patience()),
            "access is denied; allow s3:ListBucket",
        ),
        (
            open(port, "nowhere/state", as_writer, patience(), &given.told),
            "has no bucket 'nowhere'; create it",
        ),
    ] {
        let began = Instant::now();
        for error in [
            store.put("a", b"x").unwrap_err(),
            store.put_new("a", b"x").unwrap_err(),
            store.get("a").unwrap_err(),
            store.list("").unwrap_err(),
            store.put("large", &bytes(9_000_000, 1)).unwrap_err(),
        ] {
            assert!(
                error.message.contains(said) && !error.message.contains("hush"),
                "{said}: {error}"
            );
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{said}");
        assert!(!format!("{store:?}").contains("hush"));
    }
    assert_eq!(given.told.lines(), Vec::<String>::new(), "nothing was asked twice");
}

#[test]
fn a_service_that_ignores_the_condition_is_refused() {
    let (service, told) = (services::S3::start_without_conditions(), Told::default());
    let store = open(
        service.port(),
        "hitters/state",
        service.credentials("writer"),
        patience(),
        &told,
    );
    let error = store.put_new("manifests/1", b"x").unwrap_err().message;
    assert!(
        error.contains("ignores If-None-Match") && error.contains("use one that knows it"),
        "{error}"
    );
}
