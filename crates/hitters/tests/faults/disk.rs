//! The disk with the state is full.

use super::support::command;
use super::support::running::Running;
use super::support::world::World;
use super::{BEFORE, PARTITIONS, pause, pipeline, says};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Starts a process that sees a file system of its own, of so many megabytes, at the place of the pipeline's state. It is gone
/// with the process.
const MOUNT: &str = "mount -t tmpfs -o size=4m none \"$HITTERS_STATE\" && exec \"$@\"";

fn mounting() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]);
    command
}

#[test]
fn a_full_disk_is_said_and_what_was_held_back_comes_when_there_is_space() {
    if !mounting().arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("\nNOT TESTED: a full disk. This user may not mount a file system of its own; root may.\n");
        return;
    }
    let mut world = World::new("disk", PARTITIONS as i32);
    let mut pipeline = pipeline(&world);
    let place = pipeline.state.parent().unwrap().to_path_buf();
    fs::create_dir(&place).unwrap();
    let hitters = command(pipeline.run(2));
    let mut command = mounting();
    command
        .args(["sh", "-c", MOUNT, "sh"])
        .arg(hitters.get_program())
        .args(hitters.get_args())
        .env("HITTERS_STATE", &place);
    world.send(0..BEFORE, PARTITIONS);
    let stream = world.stream(BEFORE, PARTITIONS);
    let mut running = Running::spawn(command);
    world.wait_for_windows(&mut running, BEFORE as usize - 2);
    let place = PathBuf::from(format!("/proc/{}/root{}", running.id(), place.display()));
    pipeline.state = place.join("v1");
    let until = Instant::now() + Duration::from_secs(30);
    while pipeline.newest().records == 0 {
        assert!(
            running.runs() && Instant::now() < until,
            "no state at {}",
            place.display()
        );
        pause(0.05);
    }

    let ballast = place.join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);
    assert!(running.says("the disk is full"), "{}", running.said);
    let full = pipeline.newest();
    let published = world.outcome("results").1;
    let shown = world.shown().len();
    // Rows go on to be seen in Redis; those of the topic wait for their checkpoint.
    world.wait_for_windows(&mut running, shown + 2);
    assert_eq!(pipeline.newest(), full);
    assert!(world.outcome("results").1 == published);
    fs::remove_file(&ballast).unwrap();
    for stream in stream {
        stream.end();
    }
    world.count();
    world.wait_for_all(&pipeline, &mut running);
    // The state goes with the process: the run itself has to show the last windows, which silence closes.
    world.wait_for_undisturbed(&mut running);
    running.signal("TERM");
    let said = running.end().code(130);
    says(&said, &["free some space", "the run goes on and tries again"]);
}
