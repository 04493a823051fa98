//! Against a real server.

mod fenced;

use crate::testing::{bounded, column, table};
use crate::{Factory, RunOptions, StartTimeout};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::DataType;
use hitters_dataflow::Error;
use hitters_dataflow::sink::{Sink, SinkFactory};
use hitters_planner::table::Column;
use hitters_tests::services::{Redis, free_port};
use redis::Commands;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn columns() -> Vec<Column> {
    vec![
        column("k", DataType::Utf8View, false),
        column("v", DataType::Int64, true),
    ]
}

fn open_at(address: &str, run: RunOptions, more: &[(&str, &str)]) -> Result<Box<dyn Sink>, Error> {
    let mut with = vec![
        ("connector", "redis"),
        ("type", "sink"),
        ("format", "json"),
        ("address", address),
        ("target.key_prefix", "p:"),
    ];
    with.extend(more);
    let table = table(&columns(), &with).unwrap();
    SinkFactory::open(&Factory::new(run).unwrap(), Some(&table), table.schema())
}

fn open(redis: &Redis, more: &[(&str, &str)]) -> Box<dyn Sink> {
    open_at(&redis.url(), bounded().0, more).unwrap()
}

fn rows(rows: &[(&str, i64)]) -> RecordBatch {
    let keys: ArrayRef = Arc::new(StringViewArray::from_iter_values(rows.iter().map(|(key, _)| *key)));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, value)| *value)));
    RecordBatch::try_from_iter([("k", keys), ("v", values)]).unwrap()
}

fn client(redis: &Redis) -> redis::Connection {
    redis::Client::open(redis.url()).unwrap().get_connection().unwrap()
}

#[test]
fn strings_hold_the_last_row_of_a_key_and_live_as_long_as_asked() {
    let redis = Redis::start();
    let mut sink = open(
        &redis,
        &[
            ("target", "string"),
            ("target.key_column", "k"),
            ("target.ttl_secs", "100"),
        ],
    );
    sink.write(&rows(&[("a", 1), ("b", 2), ("a", 3)])).unwrap();
    sink.flush().unwrap();
    let mut client = client(&redis);
    assert_eq!(client.get::<_, String>("p:a").unwrap(), r#"{"k":"a","v":3}"#);
    assert_eq!(client.get::<_, String>("p:b").unwrap(), r#"{"k":"b","v":2}"#);
    assert!((1..=100).contains(&client.ttl::<_, i64>("p:a").unwrap()));
}

#[test]
fn lists_keep_the_order_and_the_length() {
    let redis = Redis::start();
    let mut client = client(&redis);
    for (operation, prefix, expected) in [("append", "end:", ["b", "c"]), ("prepend", "front:", ["c", "b"])] {
        let options = [
            ("target", "list"),
            ("target.operation", operation),
            ("target.max_length", "2"),
        ];
        let mut with = vec![
            ("connector", "redis"),
            ("type", "sink"),
            ("format", "json"),
            ("target.key_prefix", prefix),
        ];
        let url = redis.url();
        with.push(("address", &url));
        with.extend(options);
        let table = table(&columns(), &with).unwrap();
        let mut sink = SinkFactory::open(&Factory::new(bounded().0).unwrap(), Some(&table), table.schema()).unwrap();
        sink.write(&rows(&[("a", 1), ("b", 2), ("c", 3)])).unwrap();
        sink.flush().unwrap();
        let entries: Vec<String> = client.lrange(prefix, 0, -1).unwrap();
        let keys: Vec<_> = entries.iter().map(|entry| entry[6..7].to_string()).collect();
        assert_eq!(keys, expected, "{operation}");
    }
}

#[test]
fn hashes_have_a_field_for_each_value_of_a_column() {
    let redis = Redis::start();
    let mut sink = open(&redis, &[("target", "hash"), ("target.field_column", "k")]);
    sink.write(&rows(&[("a", 1), ("b", 2)])).unwrap();
    sink.flush().unwrap();
    sink.write(&rows(&[("b", 5)])).unwrap();
    sink.close().unwrap();
    let mut client = client(&redis);
    assert_eq!(client.hget::<_, _, String>("p:", "b").unwrap(), r#"{"k":"b","v":5}"#);
    assert_eq!(client.hlen::<_, i64>("p:").unwrap(), 2);
}

#[test]
fn a_thousand_rows_take_milliseconds() {
    let redis = Redis::start();
    let mut sink = open(&redis, &[("target", "hash"), ("target.field_column", "k")]);
    let keys: Vec<String> = (0..1000).map(|n| format!("group-{n}")).collect();
    let batch = rows(&keys.iter().map(|key| (key.as_str(), 1)).collect::<Vec<_>>());
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            sink.write(&batch).unwrap();
            sink.flush().unwrap();
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!("1,000 rows: median {:?}, worst {:?}", times[10], times[19]);
    // A few milliseconds on a quiet machine; one round trip a row would take a hundred.
    assert!(times[10] < Duration::from_millis(50), "{times:?}");
}

#[test]
fn an_outage_is_waited_out_and_nothing_is_lost() {
    let redis = Redis::start();
    let (run, heard) = bounded();
    let mut sink = open_at(&redis.url(), run, &[("target", "list")]).unwrap();
    sink.write(&rows(&[("a", 1)])).unwrap();
    sink.flush().unwrap();
    redis.stop();
    let restart = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        redis.start_again();
        redis
    });
    sink.write(&rows(&[("b", 2), ("c", 3)])).unwrap();
    sink.flush().unwrap();
    let redis = restart.join().unwrap();
    assert_eq!(client(&redis).llen::<_, i64>("p:").unwrap(), 2);
    let heard = heard.lock().unwrap().join("\n");
    assert!(
        heard.contains("does not take rows") && heard.contains("is back after"),
        "{heard}"
    );
}

/// A way to a server that breaks once: when a request with this word was carried out, and before its answer.
fn losing_an_answer(to: u16, word: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let lost = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", to)).unwrap());
            let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
            let lost = lost.clone();
            std::thread::spawn(move || {
                let mut bytes = [0; 65536];
                while let Ok(count @ 1..) = client.read(&mut bytes) {
                    let ends = bytes[..count].windows(word.len()).any(|part| part == word.as_bytes());
                    if ends && !lost.swap(true, Ordering::Relaxed) {
                        // Nobody takes the answer any more.
                        client.shutdown(Shutdown::Both).unwrap();
                        server.write_all(&bytes[..count]).unwrap();
                        return;
                    }
                    server.write_all(&bytes[..count]).unwrap();
                }
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

#[test]
fn a_lost_answer_puts_no_row_into_a_list_twice() {
    let redis = Redis::start();
    let way = format!("redis://127.0.0.1:{}", losing_an_answer(redis.port(), "EXEC"));
    let (run, heard) = bounded();
    let mut sink = open_at(&way, run, &[("target", "list")]).unwrap();
    for numbers in [1..3, 3..5] {
        let batch: Vec<_> = numbers.map(|n| ("a", n)).collect();
        sink.write(&rows(&batch)).unwrap();
        sink.flush().unwrap();
    }
    assert!(heard.lock().unwrap().join("\n").contains("does not take rows"));
    let mut client = client(&redis);
    let entries: Vec<String> = client.lrange("p:", 0, -1).unwrap();
    let values: Vec<_> = entries.iter().map(|entry| &entry[13..14]).collect();
    assert_eq!(values, ["1", "2", "3", "4"]);
    assert_eq!(client.keys::<_, Vec<String>>("p:hitters:written:*").unwrap().len(), 1);
    sink.close().unwrap();
    assert_eq!(
        client.keys::<_, Vec<String>>("*").unwrap(),
        ["p:"],
        "nothing else is left"
    );
}

#[test]
fn a_refused_push_is_an_error_at_once() {
    let redis = Redis::start();
    let mut client = client(&redis);
    client.set::<_, _, ()>("p:text", "text").unwrap();
    let mut sink = open(&redis, &[("target", "list"), ("target.key_column", "k")]);
    sink.write(&rows(&[("text", 1)])).unwrap();
    let error = sink.flush().unwrap_err().to_string();
    assert!(
        error.contains("WRONGTYPE") && error.contains("target.key_prefix"),
        "{error}"
    );
    redis::cmd("ACL")
        .arg(&["SETUSER", "reader", "on", ">right", "~*", "+@all", "-rpush"])
        .exec(&mut client)
        .unwrap();
    let login = [("username", "reader"), ("password", "right"), ("target", "list")];
    let mut sink = open(&redis, &login);
    sink.write(&rows(&[("a", 1)])).unwrap();
    let error = sink.flush().unwrap_err().to_string();
    assert!(error.contains("'rpush'") && error.contains("check username"), "{error}");
}

#[test]
fn a_full_server_is_waited_for_and_rows_that_it_took_are_not_sent_twice() {
    let redis = Redis::with(&["--maxmemory-policy", "noeviction"]);
    let (run, heard) = bounded();
    let mut sink = open_at(&redis.url(), run, &[("target", "list"), ("target.key_column", "k")]).unwrap();
    let mut client = client(&redis);
    let set_limit = |client: &mut redis::Connection, limit: &str| {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg("maxmemory")
            .arg(limit)
            .exec(client)
            .unwrap();
    };
    set_limit(&mut client, "1");
    let relief = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        set_limit(&mut client, "0");
        client
    });
    sink.write(&rows(&[("a", 1), ("b", 2)])).unwrap();
    sink.flush().unwrap();
    let mut client = relief.join().unwrap();
    assert_eq!(
        (
            client.llen::<_, i64>("p:a").unwrap(),
            client.llen::<_, i64>("p:b").unwrap()
        ),
        (1, 1)
    );
    assert!(heard.lock().unwrap().join("\n").contains("OOM"));
}

#[test]
fn a_key_of_another_type_is_an_error() {
    let redis = Redis::start();
    let mut client = client(&redis);
    client.set::<_, _, ()>("p:", "text").unwrap();
    let mut sink = open(&redis, &[("target", "hash"), ("target.field_column", "k")]);
    sink.write(&rows(&[("a", 1)])).unwrap();
    let error = sink.flush().unwrap_err().to_string();
    assert!(
        error.starts_with("sink events: Redis at ")
            && error.contains("WRONGTYPE")
            && error.contains("target.key_prefix"),
        "{error}"
    );
}

#[test]
fn nobody_there_and_a_refused_login_are_clear_errors_in_time() {
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    let run = RunOptions {
        start_timeout: StartTimeout(Duration::from_secs(1)),
        ..bounded().0
    };
    let begun = Instant::now();
    let error = open_at(&nobody, run, &[("target", "string")])
        .err()
        .unwrap()
        .to_string();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(
        error.contains(&nobody) && error.contains("did not answer within 1 s"),
        "{error}"
    );

    let redis = Redis::with(&["--requirepass", "right"]);
    let error = open_at(
        &redis.url(),
        bounded().0,
        &[("target", "string"), ("password", "wrong")],
    )
    .err()
    .unwrap()
    .to_string();
    assert!(
        error.contains("check username and password") && !error.contains("wrong\""),
        "{error}"
    );
    let error = open_at(&redis.url(), bounded().0, &[("target", "string")])
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("check username and password"), "{error}");
    open_at(
        &redis.url(),
        bounded().0,
        &[("target", "string"), ("password", "right")],
    )
    .unwrap();
}

/// One node that owns all slots is a cluster to its clients.
fn cluster() -> Redis {
    let redis = Redis::with(&["--cluster-enabled", "yes"]);
    let mut client = client(&redis);
    redis::cmd("CLUSTER")
        .arg("ADDSLOTSRANGE")
        .arg(0)
        .arg(16383)
        .exec(&mut client)
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !redis::cmd("CLUSTER")
        .arg("INFO")
        .query::<String>(&mut client)
        .unwrap()
        .contains("cluster_state:ok")
    {
        assert!(Instant::now() < until, "the cluster does not form");
        std::thread::sleep(Duration::from_millis(50));
    }
    redis
}

#[test]
fn a_cluster_takes_rows_by_their_slots() {
    let redis = cluster();
    let url = redis.url();
    let with = [
        ("connector", "redis"),
        ("type", "sink"),
        ("format", "json"),
        ("cluster.addresses", url.as_str()),
        ("target", "string"),
        ("target.key_prefix", "p:"),
        ("target.key_column", "k"),
    ];
    let table = table(&columns(), &with).unwrap();
    let mut sink = SinkFactory::open(&Factory::new(bounded().0).unwrap(), Some(&table), table.schema()).unwrap();
    sink.write(&rows(&[("a", 1), ("b", 2), ("c", 3)])).unwrap();
    sink.flush().unwrap();
    assert_eq!(client(&redis).get::<_, String>("p:c").unwrap(), r#"{"k":"c","v":3}"#);
}

#[test]
fn tls_is_spoken_and_the_certificate_checked() {
    // The child of the test below: it trusts the certificate, by its environment.
    if let Ok(url) = std::env::var("TEST_REDIS_TLS") {
        let mut sink = open_at(&url, bounded().0, &[("target", "string"), ("target.key_column", "k")]).unwrap();
        sink.write(&rows(&[("a", 1)])).unwrap();
        sink.flush().unwrap();
        let mut client = redis::Client::open(url).unwrap().get_connection().unwrap();
        assert_eq!(client.get::<_, String>("p:a").unwrap(), r#"{"k":"a","v":1}"#);
        return;
    }
    let redis = Redis::with_tls();
    let run = RunOptions {
        start_timeout: StartTimeout(Duration::from_secs(1)),
        ..bounded().0
    };
    let error = open_at(&redis.url(), run, &[("target", "string")])
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains(&redis.url()) && error.contains("certificate"), "{error}");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "redis::tests::tls_is_spoken_and_the_certificate_checked"]);
    let output = child
        .env("TEST_REDIS_TLS", redis.url())
        .env("SSL_CERT_FILE", redis.certificate())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn an_address_names_the_certificates_of_both_sides() {
    let redis = Redis::with_tls_of_both();
    let file = |name: &str| redis.file(name).display().to_string();
    let own = format!("cert={}&key={}", file("client.crt"), file("client.key"));
    let url = format!("{}?ca={}&{own}", redis.url(), file("tls.crt"));
    let options = [("target", "string"), ("target.key_column", "k")];
    let mut sink = open_at(&url, bounded().0, &options).unwrap();
    sink.write(&rows(&[("a", 1)])).unwrap();
    sink.flush().unwrap();
    let error = open_at(&format!("{}?ca=/no/such.pem", redis.url()), bounded().0, &options);
    let error = error.err().unwrap().to_string();
    assert!(error.contains("/no/such.pem"), "{error}");
}
