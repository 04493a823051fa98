//! What goes wrong around a run while events flow, each fault by its name (tests/FAULTS.md): the rows are those of a run that
//! nothing disturbed, nothing hangs, and standard error says what is wrong and what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod broker;
mod clock;
mod disk;
mod poison;
mod redis;

use std::process::Command;
use std::time::Duration;
use support::command;
use support::running::Running;
use support::state::Pipeline;
use support::world::World;

/// Where the stream begins, in seconds of event time: what is before it stands in the topic when the run starts.
const BEFORE: u64 = 4;
/// Partitions of the topic.
const PARTITIONS: u32 = 3;

/// Clients come back soon after an outage: by themselves they wait up to ten seconds for their next try.
fn quick(sql: &str) -> String {
    let soon = "client_configs = 'reconnect.backoff.max.ms=500'";
    ["'source.offset' = 'earliest'", "'sink.commit_mode' = 'exactly_once'"]
        .iter()
        .fold(sql.to_string(), |sql, option| {
            sql.replace(option, &format!("{option}, {soon}"))
        })
}

/// Silence counts soon: an outage that is taken for it loses rows here.
fn pipeline(world: &World) -> Pipeline {
    silent_after(world, 1)
}

/// Silence of a partition counts after so many seconds, that of all of them a second later.
fn silent_after(world: &World, seconds: u64) -> Pipeline {
    let settings = format!("idle_timeout = \"{seconds}s\"\nidle_close = \"{}s\"\n", seconds + 1);
    Pipeline::with(&world.outside, &world.name, &quick(&world.sql("results")), &settings)
}

/// Something happens to a run over a stream that goes on; gives what the run said.
fn survives(world: &mut World, happen: impl FnOnce(&World, &mut Running)) -> String {
    let pipeline = pipeline(world);
    survives_as(world, &pipeline, command(pipeline.run(2)), happen)
}

/// The same with a command of one's own.
fn survives_as(
    world: &mut World,
    pipeline: &Pipeline,
    command: Command,
    happen: impl FnOnce(&World, &mut Running),
) -> String {
    world.send(0..BEFORE, PARTITIONS);
    let stream = world.stream(BEFORE, PARTITIONS);
    let mut running = Running::spawn(command);
    world.wait_for_windows(&mut running, BEFORE as usize - 2);
    happen(world, &mut running);
    // The stream goes on, and so does the run.
    let shown = world.shown().len();
    world.wait_for_windows(&mut running, shown + 2);
    for stream in stream {
        stream.end();
    }
    world.count();
    world.wait_for_all(pipeline, &mut running);
    running.signal("TERM");
    let said = running.end().code(130);
    Running::start(pipeline.bounded(1)).end().code(0);
    world.equals_undisturbed();
    said
}

#[track_caller]
fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "'{word}' is not in\n{said}");
    }
}

fn pause(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}
