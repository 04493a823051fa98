//! With checkpoints: a run that was taken for dead writes nothing, and lists get each row once.

use super::*;
use crate::Attempt;
use hitters_dataflow::sink::Checkpoint;

/// The start with this number.
fn start(number: u64) -> RunOptions {
    RunOptions {
        attempt: Some(Attempt {
            pipeline: "p".into(),
            version: 1,
            number,
        }),
        ..bounded().0
    }
}

const STRING: [(&str, &str); 2] = [("target", "string"), ("target.key_column", "k")];
const HASH: [(&str, &str); 2] = [("target", "hash"), ("target.field_column", "k")];
const LIST: [(&str, &str); 2] = [("target", "list"), ("target.key_column", "k")];

/// A sink of a server, or of a cluster.
fn sink(url: &str, is_cluster: bool, run: RunOptions, more: &[(&str, &str)]) -> Box<dyn Sink> {
    if !is_cluster {
        return open_at(url, run, more).unwrap();
    }
    let mut with = vec![
        ("connector", "redis"),
        ("type", "sink"),
        ("format", "json"),
        ("cluster.addresses", url),
        ("target.key_prefix", "p:"),
    ];
    with.extend(more);
    let table = table(&columns(), &with).unwrap();
    SinkFactory::open(&Factory::new(run).unwrap(), Some(&table), table.schema()).unwrap()
}

fn checkpoint(number: u64) -> Checkpoint<'static> {
    Checkpoint { number, positions: &[] }
}

fn taken_over(result: Result<(), Error>) {
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("another run of this pipeline has taken over") && error.contains("start 2"),
        "{error}"
    );
}

/// The values in a list.
fn list(client: &mut redis::Connection, key: &str) -> Vec<i64> {
    let entries: Vec<String> = client.lrange(key, 0, -1).unwrap();
    let value = |entry: &String| entry.split(&[':', '}'][..]).nth(2).unwrap().parse().unwrap();
    entries.iter().map(value).collect()
}

#[test]
fn a_zombie_is_refused_once_its_successor_writes() {
    for (is_cluster, redis) in [(false, Redis::start()), (true, cluster())] {
        let mut client = client(&redis);
        for target in [STRING, HASH] {
            let all = redis::cmd("FLUSHALL").exec(&mut client);
            all.unwrap();
            let mut zombie = sink(&redis.url(), is_cluster, start(1), &target);
            zombie.write(&rows(&[("a", 1)])).unwrap();
            let state = zombie.prepare().unwrap().unwrap();
            zombie.commit(&checkpoint(1)).unwrap();
            let mut next = sink(&redis.url(), is_cluster, start(2), &target);
            next.recover(&checkpoint(1), &state).unwrap();
            next.write(&rows(&[("a", 2)])).unwrap();
            next.flush().unwrap();
            zombie.write(&rows(&[("a", 1)])).unwrap();
            taken_over(zombie.flush());
            let row: String = if target == STRING {
                client.get("p:a").unwrap()
            } else {
                client.hget("p:", "a").unwrap()
            };
            assert_eq!(row, r#"{"k":"a","v":2}"#);
        }
    }
}

#[test]
fn a_zombie_pushes_nothing() {
    for (is_cluster, redis) in [(false, Redis::start()), (true, cluster())] {
        let mut zombie = sink(&redis.url(), is_cluster, start(1), &LIST);
        zombie.write(&rows(&[("a", 1)])).unwrap();
        let state = zombie.prepare().unwrap().unwrap();
        let mut next = sink(&redis.url(), is_cluster, start(2), &LIST);
        next.recover(&checkpoint(1), &state).unwrap();
        taken_over(zombie.commit(&checkpoint(1)));
        assert_eq!(list(&mut client(&redis), "p:a"), [1]);
    }
}

#[test]
fn on_a_single_server_a_zombie_is_refused_from_the_recovery_on() {
    let redis = Redis::start();
    let mut zombie = sink(&redis.url(), false, start(1), &STRING);
    let state = zombie.prepare().unwrap().unwrap();
    let mut next = sink(&redis.url(), false, start(2), &STRING);
    next.recover(&checkpoint(1), &state).unwrap();
    zombie.write(&rows(&[("a", 1)])).unwrap();
    taken_over(zombie.flush());
    let mut client = client(&redis);
    assert!(!client.exists::<_, bool>("p:a").unwrap());
    assert_eq!(client.get::<_, String>("hh:p:v1:attempt").unwrap(), "2");
}

#[test]
fn starts_of_a_deleted_state_do_not_count() {
    for (is_cluster, redis) in [(false, Redis::start()), (true, cluster())] {
        let mut client = client(&redis);
        let keys: Vec<String> = (0..100).map(|n| format!("{n}")).collect();
        let all: Vec<(&str, i64)> = keys.iter().map(|key| (key.as_str(), 1)).collect();
        for target in [STRING, LIST] {
            let mut old = sink(&redis.url(), is_cluster, start(9), &target);
            old.write(&rows(&all)).unwrap();
            old.prepare().unwrap();
            old.commit(&checkpoint(50)).unwrap();
            // The new state's first run does not come to its commit.
            let mut first = sink(&redis.url(), is_cluster, start(1), &target);
            first.write(&rows(&all[..50])).unwrap();
            let state = first.prepare().unwrap().unwrap();
            let mut second = sink(&redis.url(), is_cluster, start(2), &target);
            second.recover(&checkpoint(1), &state).unwrap();
            second.write(&rows(&all[50..])).unwrap();
            second.prepare().unwrap();
            second.commit(&checkpoint(2)).unwrap();
            if target == LIST {
                let two = list(&mut client, "p:99");
                assert_eq!(two, [1, 1], "of the old state and of the new one");
            }
            redis::cmd("FLUSHALL").exec(&mut client).unwrap();
        }
    }
}

#[test]
fn lists_get_the_rows_of_a_checkpoint_once_whenever_the_run_dies() {
    for (is_cluster, redis) in [(false, Redis::start()), (true, cluster())] {
        let mut client = client(&redis);
        let mut killed = sink(&redis.url(), is_cluster, start(1), &LIST);
        // Several pieces, and two lists.
        let batch: Vec<(&str, i64)> = (0..3000).map(|n| (["a", "b"][n as usize % 2], n)).collect();
        killed.write(&rows(&batch)).unwrap();
        killed.flush().unwrap();
        let state = killed.prepare().unwrap().unwrap();
        killed.write(&rows(&[("a", 3000)])).unwrap();
        killed.flush().unwrap();
        assert!(!client.exists::<_, bool>("p:a").unwrap(), "not before the commit");
        drop(killed);
        for attempt in 2..5 {
            let mut next = sink(&redis.url(), is_cluster, start(attempt), &LIST);
            next.recover(&checkpoint(1), &state).unwrap();
        }
        let mut last = sink(&redis.url(), is_cluster, start(6), &LIST);
        last.recover(&checkpoint(1), &state).unwrap();
        last.write(&rows(&[("a", 3000)])).unwrap();
        let state = last.prepare().unwrap().unwrap();
        last.commit(&checkpoint(2)).unwrap();
        drop(last);
        let mut after = sink(&redis.url(), is_cluster, start(7), &LIST);
        after.recover(&checkpoint(2), &state).unwrap();
        assert_eq!(list(&mut client, "p:a"), (0..=3000).step_by(2).collect::<Vec<_>>());
        assert_eq!(list(&mut client, "p:b"), (1..3000).step_by(2).collect::<Vec<_>>());
    }
}

#[test]
fn a_checkpoint_whose_answer_is_lost_is_pushed_once() {
    let redis = Redis::start();
    let way = format!("redis://127.0.0.1:{}", losing_an_answer(redis.port(), "RPUSH"));
    let mut sink = sink(&way, false, start(1), &[("target", "list")]);
    for round in 0..2 {
        let batch: Vec<(&str, i64)> = (round * 800..(round + 1) * 800).map(|n| ("a", n)).collect();
        sink.write(&rows(&batch)).unwrap();
        sink.prepare().unwrap();
        sink.commit(&checkpoint(round as u64 + 1)).unwrap();
    }
    assert_eq!(list(&mut client(&redis), "p:"), (0..1600).collect::<Vec<_>>());
}

#[test]
fn a_server_that_restarts_during_the_commit_gets_each_entry_once() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (run, heard) = bounded();
    let run = RunOptions {
        attempt: start(1).attempt,
        ..run
    };
    let mut sink = sink(&redis.url(), false, run, &[("target", "list")]);
    for round in 0..4 {
        let batch: Vec<(&str, i64)> = (round * 50_000..(round + 1) * 50_000).map(|n| ("a", n)).collect();
        sink.write(&rows(&batch)).unwrap();
        sink.prepare().unwrap();
        let restart = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5 + 15 * round as u64));
            redis.stop();
            redis.start_again();
            redis
        });
        sink.commit(&checkpoint(round as u64 + 1)).unwrap();
        redis = restart.join().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while client(&redis).llen::<_, i64>("p:").is_err() {
            // It reads its file again.
            assert!(Instant::now() < until);
        }
        let got = list(&mut client(&redis), "p:");
        assert!(
            got == (0..(round + 1) * 50_000).collect::<Vec<_>>(),
            "{} entries",
            got.len()
        );
    }
    let heard = heard.lock().unwrap().join("\n");
    assert!(heard.contains("is back after"), "{heard}");
}

#[test]
fn a_server_that_refuses_writes_is_waited_for_and_said() {
    let redis = Redis::with(&["--maxmemory-policy", "noeviction"]);
    let mut client = client(&redis);
    let set = |client: &mut redis::Connection, name: &str, value: &str| {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg(name)
            .arg(value)
            .exec(client)
            .unwrap();
    };
    let replica_of = |client: &mut redis::Connection, host: &str, port: &str| {
        redis::cmd("REPLICAOF").arg(host).arg(port).exec(client).unwrap();
    };
    // A folder of the snapshot's name: it cannot be written.
    let folder: Vec<String> = redis::cmd("CONFIG").arg("GET").arg("dir").query(&mut client).unwrap();
    let snapshot = std::path::Path::new(&folder[1]).join("dump.rdb");
    let mut expected = 0;
    for (place, code) in ["OOM", "READONLY", "MISCONF"].into_iter().enumerate() {
        let (run, heard) = bounded();
        let run = RunOptions {
            attempt: start(place as u64 + 1).attempt,
            ..run
        };
        let mut strings = sink(&redis.url(), false, run.clone(), &STRING);
        let mut lists = sink(&redis.url(), false, run, &[("target", "list")]);
        match code {
            "OOM" => set(&mut client, "maxmemory", "1"),
            "READONLY" => replica_of(&mut client, "127.0.0.1", &free_port().to_string()),
            _ => {
                std::fs::create_dir(&snapshot).unwrap();
                set(&mut client, "save", "3600 1");
                redis::cmd("BGSAVE").exec(&mut client).unwrap();
                let until = Instant::now() + Duration::from_secs(20);
                while !redis::cmd("INFO")
                    .query::<String>(&mut client)
                    .unwrap()
                    .contains("rdb_last_bgsave_status:err")
                {
                    assert!(Instant::now() < until, "the snapshot was written");
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
        let mut relieved = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
        let relief = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(400));
            match code {
                "OOM" => set(&mut relieved, "maxmemory", "0"),
                "READONLY" => replica_of(&mut relieved, "NO", "ONE"),
                _ => set(&mut relieved, "save", ""),
            }
        });
        strings.write(&rows(&[("a", 1), ("b", 2)])).unwrap();
        strings.flush().unwrap();
        lists.write(&rows(&[("a", 1), ("b", 2)])).unwrap();
        lists.prepare().unwrap();
        lists.commit(&checkpoint(1)).unwrap();
        relief.join().unwrap();
        expected += 2;
        assert_eq!(client.llen::<_, i64>("p:").unwrap(), expected, "{code}");
        assert_eq!(client.get::<_, String>("p:b").unwrap(), r#"{"k":"b","v":2}"#);
        let heard = heard.lock().unwrap().join("\n");
        assert!(
            heard.to_uppercase().contains(code) && heard.contains("is back after"),
            "{heard}"
        );
    }
}

#[test]
fn a_refused_push_of_a_checkpoint_leaves_no_half_of_it() {
    let redis = Redis::start();
    let mut client = client(&redis);
    client.set::<_, _, ()>("p:text", "text").unwrap();
    let mut first = sink(&redis.url(), false, start(1), &LIST);
    first.write(&rows(&[("a", 1), ("text", 2)])).unwrap();
    let state = first.prepare().unwrap().unwrap();
    let error = first.commit(&checkpoint(1)).unwrap_err().to_string();
    assert!(
        error.contains("WRONGTYPE") && error.contains("target.key_prefix"),
        "{error}"
    );
    client.del::<_, ()>("p:text").unwrap();
    let mut next = sink(&redis.url(), false, start(2), &LIST);
    next.recover(&checkpoint(1), &state).unwrap();
    assert_eq!(
        (list(&mut client, "p:a"), list(&mut client, "p:text")),
        (vec![1], vec![2])
    );
}

#[test]
fn long_lists_are_cut_and_fields_and_lives_are_kept_as_without_checkpoints() {
    let redis = Redis::start();
    let mut client = client(&redis);
    let batch: Vec<(String, i64)> = (0..2500).map(|n| (format!("k{n}"), n)).collect();
    let batch: Vec<(&str, i64)> = batch.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let write = |more: &[(&str, &str)]| {
        let mut sink = sink(&redis.url(), false, start(1), more);
        sink.write(&rows(&batch)).unwrap();
        sink.prepare().unwrap();
        sink.commit(&checkpoint(1)).unwrap();
    };
    write(&[
        ("target", "list"),
        ("target.max_length", "3"),
        ("target.operation", "prepend"),
    ]);
    assert_eq!(list(&mut client, "p:"), [2499, 2498, 2497]);
    redis::cmd("FLUSHALL").exec(&mut client).unwrap();
    write(&HASH);
    assert_eq!(client.hlen::<_, i64>("p:").unwrap(), 2500);
    write(&[
        ("target", "string"),
        ("target.key_column", "k"),
        ("target.ttl_secs", "100"),
    ]);
    assert!((1..=100).contains(&client.ttl::<_, i64>("p:k2499").unwrap()));
}

/// `cargo test --release -p hitters-connectors -- --ignored --nocapture cost_of_the_fence`
#[test]
#[ignore = "a measurement"]
fn cost_of_the_fence() {
    let redis = Redis::start();
    let mut client = client(&redis);
    let text = "x".repeat(400);
    let keys: Vec<String> = (0..100_000).map(|n| format!("group-{n}-{text}")).collect();
    let batch = rows(&keys.iter().map(|key| (key.as_str(), 1)).collect::<Vec<_>>());
    let used = |client: &mut redis::Connection| -> f64 {
        let info: String = redis::cmd("INFO").arg("cpu").query(client).unwrap();
        let of = |name: &str| -> f64 {
            let line = info.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len()..].parse().unwrap()
        };
        of("used_cpu_user:") + of("used_cpu_sys:")
    };
    for (name, target) in [("strings", STRING), ("hash", HASH)] {
        let mut measure = |run: RunOptions, size: usize| {
            let mut sink = sink(&redis.url(), false, run, &target);
            let mut times = Vec::new();
            for round in 0..4 {
                let (begun, cpu) = (Instant::now(), used(&mut client));
                for part in (0..batch.num_rows()).step_by(size) {
                    sink.write(&batch.slice(part, size.min(batch.num_rows() - part)))
                        .unwrap();
                    sink.flush().unwrap();
                }
                if round > 0 {
                    times.push((begun.elapsed(), used(&mut client) - cpu));
                }
            }
            times.sort_by_key(|(wall, _)| *wall);
            (times[1].0.as_secs_f64() * 10.0, times[1].1 * 10.0)
        };
        for size in [100, 1000, 100_000] {
            let (plain, fenced) = (measure(bounded().0, size), measure(start(1), size));
            println!(
                "{name}, {size} rows a flush: {:.2} us a row plain, {:.2} fenced: {:.2} x; CPU of Redis {:.2} and {:.2} us",
                plain.0,
                fenced.0,
                fenced.0 / plain.0,
                plain.1,
                fenced.1
            );
        }
    }
}
