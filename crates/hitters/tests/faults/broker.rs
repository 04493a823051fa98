//! Kafka has a bad day.

use super::support::command;
use super::support::outside::{Brokers, Outside};
use super::support::world::World;
use super::{PARTITIONS, pause, says, silent_after, survives, survives_as};
use hitters_tests::services::{Cluster, Kafka};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the broker is gone, in seconds: longer than silence takes to count. `make test-kills` waits for 30.
fn outage() -> f64 {
    std::env::var("HITTERS_TEST_OUTAGE").map_or(5.0, |seconds| seconds.parse().unwrap())
}

/// A world with a broker of its own.
fn world(name: &str) -> (World, Arc<Kafka>) {
    let kafka = Arc::new(Kafka::start());
    let outside = Outside::new(Brokers::One(kafka.clone()), &[]);
    (World::with(Arc::new(outside), name, PARTITIONS as i32), kafka)
}

#[test]
fn a_broker_that_restarts_loses_no_row() {
    let (mut world, kafka) = world("broker-restarts");
    let said = survives(&mut world, |_, running| {
        kafka.stop();
        kafka.start_again();
        assert!(running.says("is back after"));
    });
    says(&said, &["Kafka at 127.0.0.1", "does not answer", "waiting for it"]);
}

#[test]
fn a_broker_that_is_gone_for_longer_than_the_idle_timeouts_loses_no_row() {
    let (mut world, kafka) = world("broker-gone");
    let said = survives(&mut world, |_, running| {
        kafka.stop();
        pause(outage());
        kafka.start_again();
        assert!(running.says("is back after"));
    });
    says(
        &said,
        &["does not answer", "waiting for it", "is still not there after"],
    );
}

#[test]
fn a_broker_that_hangs_loses_no_row() {
    let (mut world, kafka) = world("broker-hangs");
    survives(&mut world, |_, _| {
        kafka.freeze();
        pause(outage());
        kafka.thaw();
    });
}

#[test]
fn partition_leaders_that_move_lose_no_row() {
    let outside = Arc::new(Outside::new(Brokers::Two(Cluster::start()), &[]));
    let mut world = World::with(outside, "leaders-move", PARTITIONS as i32);
    // Who writes to a partition waits for its leader, too, which is true silence: on a slow machine for seconds.
    let pipeline = silent_after(&world, 10);
    survives_as(&mut world, &pipeline, command(pipeline.run(2)), |world, _| {
        let Brokers::Two(cluster) = &world.outside.kafka else {
            panic!("there are two brokers");
        };
        let moved = |what: &str, so: &dyn Fn(&[i32]) -> bool| {
            let until = Instant::now() + Duration::from_secs(60);
            while !so(&world.outside.leaders(&world.events())) {
                assert!(Instant::now() < until, "{what} does not happen");
                pause(0.1);
            }
        };
        moved("a leader at each broker", &|leaders| {
            leaders.contains(&1) && leaders.contains(&2)
        });
        cluster.second.stop();
        moved("the move to the first broker", &|leaders| {
            leaders.iter().all(|leader| *leader == 1)
        });
        pause(1.0);
        cluster.second.start_again();
        moved("the move back", &|leaders| leaders.contains(&2));
    });
}
