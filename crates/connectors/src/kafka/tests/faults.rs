//! What goes wrong: bad messages, brokers that are not there or go away, refusals.

use super::*;
use crate::kafka::{Delivery, Servers};
use crate::testing::lines;
use crate::{DeadLetter, Factory, StartTimeout};
use hitters_dataflow::sink::SinkFactory;
use hitters_dataflow::source::{At, Poll, SourceFactory};
use hitters_tests::services::free_port;
use std::time::Instant;

#[test]
fn a_login_is_used_and_a_refused_one_is_an_error_at_once() {
    let broker = Broker::with_login("reader", "right");
    topic(&broker, "guarded", 1);
    send(&broker, "guarded", 0, &["{\"a\":1}"]);
    let servers = broker.login_servers();
    let with = |password| {
        let login = [
            ("connector", "kafka"),
            ("type", "source"),
            ("format", "json"),
            ("source.offset", "earliest"),
            ("bootstrap_servers", servers.as_str()),
            ("topic", "guarded"),
            ("auth.type", "sasl"),
            ("auth.mechanism", "PLAIN"),
            ("auth.protocol", "SASL_PLAINTEXT"),
            ("auth.username", "reader"),
            ("auth.password", password),
        ];
        node(&table(&columns(), &login).unwrap())
    };
    assert_eq!(numbers(read(bounded().0, &with("right"), 1)), [1]);
    let begun = Instant::now();
    let error = reader(bounded().0, &with("wrong"), None).err().unwrap().to_string();
    assert!(
        error.contains("refuses the connection") && error.contains("auth.mechanism"),
        "{error}"
    );
    assert!(
        !error.contains("wrong") && begun.elapsed() < Duration::from_secs(15),
        "{error}"
    );
}

#[test]
fn a_bad_message_is_named_by_partition_and_offset() {
    let broker = broker();
    topic(&broker, "bad", 2);
    send(&broker, "bad", 1, &["{\"a\":0}", "{\"a\":1", "{\"a\":2}"]);
    let node = source(&broker, "bad", &[]);
    let error = read_all(reader(bounded().0, &node, None).unwrap().as_mut(), 2)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("source events: topic 'bad' partition 1 offset 1: not JSON: the text ends too early"),
        "{error}"
    );
    assert!(error.contains("bad_data = 'drop'"), "{error}");
}

#[test]
fn dropped_messages_go_to_the_dead_letter_topic() {
    let broker = broker();
    topic(&broker, "dropping", 1);
    topic(&broker, "letters", 1);
    send(&broker, "dropping", 0, &["{\"a\":0}", "nonsense", "{}", "{\"a\":3}"]);
    let letters = DeadLetter::Topic {
        bootstrap_servers: broker.bootstrap_servers(),
        topic: "letters".into(),
        client_configs: Vec::new(),
    };
    let factory = Factory::new(RunOptions {
        dead_letter: Some(letters),
        ..bounded().0
    })
    .unwrap();
    let mut source = SourceFactory::open(&factory, &source(&broker, "dropping", &[("bad_data", "drop")])).unwrap();
    let starts: Vec<_> = source
        .partitions()
        .unwrap()
        .iter()
        .map(|p| hitters_dataflow::source::Start {
            number: p.number,
            at: At::Options,
        })
        .collect();
    let mut reader = source.reader(&starts).unwrap();
    let mut rejected = false;
    let (mut bad, mut good) = (0, 0);
    loop {
        match reader.poll(Duration::from_millis(100)).unwrap() {
            Poll::Rows(rows) => {
                (bad, good) = (bad + rows.bad, good + rows.batch.num_rows());
                if !rejected {
                    reader.reject(&[(0, "too old".into())]).unwrap();
                    rejected = true;
                }
            }
            Poll::End(_) => break,
            _ => {}
        }
    }
    assert_eq!((bad, good), (2, 2));
    factory.flush_dead_letters().unwrap();
    let columns = [
        column("position", DataType::Int64, false),
        column("payload", DataType::Utf8View, false),
        column("reason", DataType::Utf8View, false),
    ];
    let letters = lines(
        read(bounded().0, &source_of(&broker, "letters", &columns, &[]), 1)
            .into_iter()
            .map(|rows| rows.batch),
    );
    let mut expected = vec![
        r#"{"position":1,"payload":"nonsense","reason":"not JSON: a JSON object is expected here (byte 0 of 8, near \"nonsense\")"}"#,
        r#"{"position":2,"payload":"{}","reason":"column 'a' is missing, but declared NOT NULL"}"#,
        r#"{"position":0,"payload":"{\"a\":0}","reason":"too old"}"#,
    ];
    let mut letters: Vec<_> = letters.iter().map(String::as_str).collect();
    letters.sort_unstable();
    expected.sort_unstable();
    assert_eq!(letters, expected);
}

#[test]
fn unknown_topics_and_unreachable_brokers_are_clear_errors_in_time() {
    let broker = broker();
    let open = |node: &SourceNode, seconds| {
        let run = RunOptions {
            start_timeout: StartTimeout(Duration::from_secs(seconds)),
            ..bounded().0
        };
        SourceFactory::open(&Factory::new(run).unwrap(), node)
            .and_then(|mut source| source.partitions())
            .unwrap_err()
            .to_string()
    };
    let error = open(&source(&broker, "nothing", &[]), 30);
    assert!(
        error.contains("there is no topic 'nothing'") && error.contains("hitters topics"),
        "{error}"
    );

    let nobody = format!("127.0.0.1:{}", free_port());
    let with = [
        ("connector", "kafka"),
        ("type", "source"),
        ("format", "json"),
        ("bootstrap_servers", nobody.as_str()),
        ("topic", "t"),
    ];
    let begun = Instant::now();
    let error = open(&node(&table(&columns(), &with).unwrap()), 2);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(
        error.contains(&nobody) && error.contains("did not answer within 2 s") && error.contains("bootstrap_servers"),
        "{error}"
    );

    let error = open(
        &source(&broker, "nothing", &[("client_configs", "no.such.setting=1")]),
        2,
    );
    assert!(error.contains("no.such.setting"), "{error}");
}

#[test]
fn an_outage_is_waited_out_and_said_and_nothing_is_lost() {
    let broker = Broker::start();
    topic(&broker, "outage", 1);
    topic(&broker, "answers", 1);
    send(&broker, "outage", 0, &["{\"a\":0}"]);
    let (mut run, heard) = bounded();
    run.bounded = false;
    let node = source(&broker, "outage", &[("client_configs", "reconnect.backoff.max.ms=500")]);
    let mut reader = reader(run.clone(), &node, None).unwrap();
    let servers = broker.bootstrap_servers();
    let with = [
        ("connector", "kafka"),
        ("type", "sink"),
        ("format", "json"),
        ("bootstrap_servers", servers.as_str()),
        ("topic", "answers"),
    ];
    let answers = table(&columns(), &with).unwrap();
    let mut sink = SinkFactory::open(&Factory::new(run).unwrap(), Some(&answers), answers.schema()).unwrap();
    let until = Instant::now() + Duration::from_secs(90);
    let mut next = |wanted: i64| loop {
        assert!(Instant::now() < until, "row {wanted} does not come");
        if let Poll::Rows(rows) = reader.poll(Duration::from_millis(200)).unwrap() {
            assert_eq!(
                numbers(vec![Rows {
                    batch: rows.batch.clone(),
                    times: rows.times.clone(),
                    ..rows
                }]),
                [wanted]
            );
            break rows.batch;
        }
    };
    let first = next(0);
    broker.stop();
    let restart = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(3));
        broker.start_again();
        send(&broker, "outage", 0, &["{\"a\":1}"]);
        broker
    });
    // The flush returns when the broker is back and has taken the row.
    sink.write(&first).unwrap();
    sink.flush().unwrap();
    let second = next(1);
    sink.write(&second).unwrap();
    sink.close().unwrap();
    let broker = restart.join().unwrap();
    assert_eq!(numbers(read(bounded().0, &source(&broker, "answers", &[]), 1)), [0, 1]);
    let heard = heard.lock().unwrap().join("\n");
    assert!(
        heard.contains("does not answer") && heard.contains("is back after"),
        "{heard}"
    );
}

#[test]
fn messages_that_the_broker_refuses_are_errors() {
    let broker = broker();
    let topics = Topics::connect(&broker.bootstrap_servers(), &[], &bounded().0).unwrap();
    let settings = [("max.message.bytes".to_string(), "2000".to_string())].into();
    let spec = TopicSpec {
        name: "narrow".into(),
        partitions: Some(1),
        replication: Some(1),
        settings,
    };
    topics.ensure(&spec, true).unwrap();
    let servers = Servers {
        bootstrap: broker.bootstrap_servers(),
        settings: Vec::new(),
    };
    let mut delivery = Delivery::open(&servers, "narrow", &bounded().0).unwrap();
    delivery.send(None, &vec![b'x'; 100_000], None).unwrap();
    let error = delivery.flush().unwrap_err();
    assert!(
        error.contains("topic 'narrow'") && error.contains("did not take a message"),
        "{error}"
    );
}
