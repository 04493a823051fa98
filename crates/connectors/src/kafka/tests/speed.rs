//! How fast messages are read and written, beside a loop that does nothing with them.

use super::*;
use crate::Factory;
use crate::generate::{Generate, to_topic};
use crate::kafka::{Servers, Watch};
use hitters_dataflow::source::{Poll, SourceFactory};
use std::time::Instant;

/// The reader against a loop that takes batches and drops them, on an 8-partition topic:
/// `cargo test --release -p hitters-connectors -- --ignored --nocapture consume_speed`
#[test]
#[ignore = "a measurement"]
fn consume_speed() {
    let broker = Broker::start();
    topic(&broker, "speed", 8);
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
    let servers = broker.bootstrap_servers();
    let quiet = bounded().0;
    let (written, time, cpu) = in_threads(1, |_| {
        to_topic(&generate, &servers, "speed", &[], &quiet, false, &mut |_| true).unwrap()
    });
    println!(
        "generate: {:.2} M events/s, {:.3} us CPU an event",
        written as f64 / time / 1e6,
        cpu / written as f64 * 1e6
    );
    let columns = [
        column("ts", DataType::Int64, false),
        column("item", DataType::Utf8View, false),
    ];
    let node = source_of(&broker, "speed", &columns, &[]);
    for _ in 0..3 {
        for threads in [1, 2] {
            let queues = Mutex::new(
                (0..threads)
                    .map(|thread| bare_queue(&broker, "speed", thread, threads))
                    .collect::<Vec<_>>(),
            );
            let bare = in_threads(threads, |_| {
                let (queue, partitions) = queues.lock().unwrap().pop().unwrap();
                bare_loop(queue, partitions)
            });
            let _ = std::fs::write("/proc/self/clear_refs", "5");
            let factory = Factory::new(bounded().0).unwrap();
            let mut source = SourceFactory::open(&factory, &node).unwrap();
            let all = source.partitions().unwrap();
            let readers = Mutex::new(
                (0..threads)
                    .map(|thread| {
                        let mine = all.iter().filter(|p| p.number as usize % threads == thread);
                        let starts: Vec<_> = mine
                            .map(|p| hitters_dataflow::source::Start {
                                number: p.number,
                                position: None,
                            })
                            .collect();
                        source.reader(&starts).unwrap()
                    })
                    .collect::<Vec<_>>(),
            );
            let ours = in_threads(threads, |_| {
                let mut reader = readers.lock().unwrap().pop().unwrap();
                let rows = read_counted(reader.as_mut(), 8 / threads);
                drop(reader);
                rows
            });
            let rate = |(rows, time, _): (u64, f64, f64)| rows as f64 / time / 1e6;
            println!(
                "{threads} thread(s): bare {:.2} M/s ({:.3} us CPU), reader {:.2} M/s ({:.3} us CPU), ratio {:.2}; peak memory {} MB",
                rate(bare),
                bare.2 / bare.0 as f64 * 1e6,
                rate(ours),
                ours.2 / ours.0 as f64 * 1e6,
                rate(ours) / rate(bare),
                memory("VmHWM:")
            );
        }
    }
}

fn read_counted(reader: &mut dyn hitters_dataflow::source::Reader, partitions: usize) -> u64 {
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

fn bare_queue(broker: &Broker, topic: &str, thread: usize, threads: usize) -> (crate::kafka::batch::Queue, Vec<i32>) {
    let watch = Watch::new(&broker.bootstrap_servers(), &bounded().0.reporter);
    let servers = Servers {
        bootstrap: broker.bootstrap_servers(),
        settings: Vec::new(),
    };
    let client: crate::kafka::client::Client = servers.create(&crate::kafka::source::SETTINGS, &watch).unwrap();
    let mut queue = crate::kafka::batch::Queue::new(Arc::new(client), topic, 4096).unwrap();
    let partitions: Vec<i32> = (0..8)
        .filter(|partition| *partition as usize % threads == thread)
        .collect();
    partitions
        .iter()
        .for_each(|partition| queue.start(*partition, 0).unwrap());
    (queue, partitions)
}

fn bare_loop(mut queue: crate::kafka::batch::Queue, mut partitions: Vec<i32>) -> u64 {
    let mut count = 0;
    while !partitions.is_empty() {
        queue.fetch(Duration::from_millis(100));
        for message in queue.messages() {
            if message.event().is_some() {
                partitions.retain(|partition| *partition != message.partition());
            } else {
                count += 1;
            }
        }
    }
    count
}

/// Rows, wall time, CPU seconds of this process.
fn in_threads(threads: usize, work: impl Fn(usize) -> u64 + Sync) -> (u64, f64, f64) {
    let (begun, cpu) = (Instant::now(), cpu());
    let rows = std::thread::scope(|scope| {
        let work = &work;
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        all.into_iter().map(|handle| handle.join().unwrap()).sum()
    });
    (rows, begun.elapsed().as_secs_f64(), self::cpu() - cpu)
}

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
