//! Time is not what it seems.

use super::support::command;
use super::support::world::World;
use super::{PARTITIONS, pause, pipeline, says, survives, survives_as};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_run_that_sleeps_past_its_idle_timeouts_loses_no_row() {
    let mut world = World::new("sleeps", PARTITIONS as i32);
    survives(&mut world, |_, running| {
        running.signal("STOP");
        // For the engine its clock jumps by this, while rows pile up in the log.
        pause(4.0);
        running.signal("CONT");
    });
}

#[test]
fn a_wall_clock_that_jumps_forward_and_back_changes_nothing() {
    let mut world = World::new("jumps", PARTITIONS as i32);
    let pipeline = pipeline(&world);
    let library = pipeline.folder.path().join("jump.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clock/jump.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    assert!(built.unwrap().success(), "cc does not compile {}", source.display());
    let wrong_by = pipeline.folder.path().join("wrong_by");
    let jump = |seconds: i64| {
        // In place, since the run has the file mapped.
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&wrong_by);
        std::os::unix::fs::FileExt::write_all_at(&file.unwrap(), &seconds.to_ne_bytes(), 0).unwrap();
    };
    jump(0);
    let mut command = command(pipeline.run(2));
    command.env("LD_PRELOAD", &library).env("HITTERS_TEST_JUMP", &wrong_by);
    let said = survives_as(&mut world, &pipeline, command, |world, running| {
        // Brokers refuse messages that are more than an hour ahead of their own clock.
        for minutes in [50, -50, 0] {
            jump(minutes * 60);
            if minutes < 0 {
                // Clients that wait by it would sleep for more than an hour.
                assert!(running.says("going on from checkpoint"), "{}", running.said);
            }
            let shown = world.shown().len();
            world.wait_for_windows(running, shown + 1);
        }
    });
    says(&said, &["the wall clock was set back by "]);
}
