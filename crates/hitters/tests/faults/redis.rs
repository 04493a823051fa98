//! Redis has a bad day.

use super::support::outside::Outside;
use super::support::world::World;
use super::{PARTITIONS, pause, says, survives};

fn world(name: &str) -> World {
    World::with(Outside::with_durable_redis(), name, PARTITIONS as i32)
}

fn order(world: &World, words: &[&str]) {
    let client = redis::Client::open(world.outside.redis.url()).unwrap();
    let mut command = redis::Cmd::new();
    words.iter().for_each(|word| {
        command.arg(word);
    });
    command.exec(&mut client.get_connection().unwrap()).unwrap();
}

#[test]
fn redis_that_restarts_gets_every_row() {
    let mut world = world("redis-restarts");
    let said = survives(&mut world, |world, running| {
        world.outside.redis.stop();
        assert!(running.says("does not take rows"));
        pause(1.5);
        world.outside.redis.start_again();
        assert!(running.says("is back after"));
    });
    says(&said, &["Redis at redis://127.0.0.1", "Check that the server runs"]);
}

#[test]
fn redis_that_is_a_replica_for_a_while_gets_every_row() {
    let mut world = world("redis-replica");
    let said = survives(&mut world, |world, running| {
        // Of a server that is not there: it keeps what it has, and takes nothing.
        order(world, &["REPLICAOF", "127.0.0.1", "1"]);
        assert!(running.says("does not take rows"));
        pause(1.0);
        order(world, &["REPLICAOF", "NO", "ONE"]);
        assert!(running.says("is back after"));
    });
    says(&said, &["read only replica", "make it the primary"]);
}

#[test]
fn redis_that_is_out_of_memory_gets_every_row_once_it_has_some() {
    let mut world = world("redis-full");
    let said = survives(&mut world, |world, running| {
        order(world, &["CONFIG", "SET", "maxmemory", "1"]);
        assert!(running.says("does not take rows"));
        pause(1.0);
        order(world, &["CONFIG", "SET", "maxmemory", "0"]);
        assert!(running.says("is back after"));
    });
    says(&said, &["OOM", "raise its maxmemory"]);
}

#[test]
fn redis_that_hangs_past_the_idle_timeout_gets_every_row() {
    let mut world = world("redis-hangs");
    survives(&mut world, |world, _| {
        world.outside.redis.freeze();
        pause(3.0);
        world.outside.redis.thaw();
    });
}
