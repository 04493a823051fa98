//! How fast messages are written and read, beside a loop that takes batches and drops them. Each job is a process of its
//! own, so that CPU time and memory are its own too.
//!
//! `EVENTS=4000000 cargo test --release -p hitters-connectors -- --ignored --nocapture speed_of_the_topic`

use super::*;
use crate::Factory;
use crate::generate::{Generate, to_topic};
use crate::kafka::batch::Queue;
use crate::kafka::client::Client;
use crate::kafka::{Servers, Watch};
use hitters_dataflow::source::{At, Poll, Reader, SourceFactory, Start};
use std::process::Command;
use std::time::Instant;

const TOPIC: &str = "speed";

#[test]
#[ignore = "a measurement"]
fn speed_of_the_topic() {
    if let (Ok(job), Ok(servers)) = (std::env::var("SPEED_JOB"), std::env::var("SPEED_SERVERS")) {
        return work(&job, &servers);
    }
    let broker = Broker::start();
    topic(&broker, TOPIC, 8);
    let run = |job: &str| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--ignored", "--nocapture", "speed_of_the_topic"]);
        let output = child
            .env("SPEED_JOB", job)
            .env("SPEED_SERVERS", broker.bootstrap_servers())
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = output
            .lines()
            .find(|line| line.starts_with("speed "))
            .unwrap_or_else(|| panic!("{job}: {output}"));
        let numbers: Vec<f64> = line.split(' ').skip(1).map(|number| number.parse().unwrap()).collect();
        let [events, time, cpu, memory] = numbers[..] else {
            panic!("{line}")
        };
        let (rate, cpu) = (events / time / 1e6, cpu / events * 1e6);
        println!("{job}: {rate:.2} M events/s, {cpu:.3} us CPU an event, peak memory {memory} MB");
        rate
    };
    run("write");
    for _ in 0..3 {
        for threads in [1, 2] {
            let bare = run(&format!("bare {threads}"));
            let read = run(&format!("read {threads}"));
            println!("ratio on {threads} thread(s): {:.2}", read / bare);
        }
    }
}

fn work(job: &str, servers: &str) {
    let quiet = bounded().0;
    let (events, time, cpu) = match job.split_once(' ') {
        Some(("bare", threads)) => {
            let threads: usize = threads.parse().unwrap();
            measure(
                (0..threads)
                    .map(|thread| bare_queue(servers, thread, threads))
                    .collect(),
                |(queue, partitions)| drop_all(queue, partitions),
            )
        }
        Some(("read", threads)) => {
            let threads: usize = threads.parse().unwrap();
            measure(readers(servers, threads), |reader| count(reader, 8 / threads))
        }
        _ => {
            let events = std::env::var("EVENTS")
                .ok()
                .and_then(|n| n.parse().ok())
                .unwrap_or(4_000_000);
            let generate = Generate {
                events,
                partitions: 8,
                rate: 100_000.0,
                ..Generate::default()
            };
            measure(vec![()], |()| {
                to_topic(&generate, servers, TOPIC, &[], &quiet, false, &mut |_| true).unwrap()
            })
        }
    };
    println!("\nspeed {events} {time} {cpu} {}", peak_memory());
}

fn bare_queue(servers: &str, thread: usize, threads: usize) -> (Queue, Vec<i32>) {
    let watch = Watch::new(servers, &bounded().0.reporter);
    let servers = Servers {
        bootstrap: servers.into(),
        settings: Vec::new(),
    };
    let client: Client = servers.create(&crate::kafka::CONSUMER_SETTINGS, &watch).unwrap();
    let mut queue = Queue::new(Arc::new(client), TOPIC, 4096).unwrap();
    let partitions: Vec<i32> = (0..8)
        .filter(|partition| *partition as usize % threads == thread)
        .collect();
    partitions
        .iter()
        .for_each(|partition| queue.start(*partition, 0).unwrap());
    (queue, partitions)
}

fn drop_all(mut queue: Queue, mut partitions: Vec<i32>) -> u64 {
    let mut count = 0;
    while !partitions.is_empty() {
        queue.fetch(Duration::from_millis(100));
        for message in queue.messages() {
            match message.event() {
                None => count += 1,
                Some(_) => partitions.retain(|partition| *partition != message.partition()),
            }
        }
    }
    count
}

fn readers(servers: &str, threads: usize) -> Vec<Box<dyn Reader>> {
    let columns = [
        column("ts", DataType::Int64, false),
        column("item", DataType::Utf8View, false),
    ];
    let with = [
        ("connector", "kafka"),
        ("type", "source"),
        ("format", "json"),
        ("bootstrap_servers", servers),
        ("topic", TOPIC),
        ("source.offset", "earliest"),
    ];
    let node = node(&table(&columns, &with).unwrap());
    let mut source = SourceFactory::open(&Factory::new(bounded().0).unwrap(), &node).unwrap();
    let all = source.partitions().unwrap();
    let reader = |thread| {
        let mine = all
            .iter()
            .filter(|partition| partition.number as usize % threads == thread);
        let starts: Vec<_> = mine
            .map(|partition| Start {
                number: partition.number,
                at: At::Options,
            })
            .collect();
        source.reader(&starts).unwrap()
    };
    (0..threads).map(reader).collect()
}

fn count(mut reader: Box<dyn Reader>, partitions: usize) -> u64 {
    let (mut rows, mut ended) = (0, 0);
    while ended < partitions {
        match reader.poll(Duration::from_millis(100)).unwrap() {
            Poll::Rows(batch) => rows += std::hint::black_box(batch).batch.num_rows() as u64,
            Poll::End(_) => ended += 1,
            _ => {}
        }
    }
    rows
}

/// Works on each input in a thread of its own: events, wall time, CPU seconds of this process.
fn measure<T: Send>(inputs: Vec<T>, work: impl Fn(T) -> u64 + Sync) -> (u64, f64, f64) {
    let (begun, before) = (Instant::now(), cpu_seconds());
    let events = std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = inputs
            .into_iter()
            .map(|input| scope.spawn(move || work(input)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    (events, begun.elapsed().as_secs_f64(), cpu_seconds() - before)
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Megabytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
