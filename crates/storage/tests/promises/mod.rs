//! What every store promises to checkpoints; each of them runs through all of it.

use hitters_dataflow::checkpoint::Storage;
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// Holds an empty store to its promises. `many`: objects of a list, more than a page of the service has.
pub fn hold(store: &dyn Storage, many: usize) {
    bytes_come_back_equal(store);
    put_new_has_one_winner(store);
    a_half_written_object_is_never_seen(store);
    lists_are_whole_and_in_order(store, many);
    deletes_can_be_repeated(store);
    wrong_names_reach_no_store(store);
}

/// Bytes without a pattern that a compression could hide a fault in; another seed, other bytes.
pub fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn bytes_come_back_equal(store: &dyn Storage) {
    for (number, length) in [0, 1, 20_000_000].into_iter().enumerate() {
        let (put, new) = (format!("bytes/put-{number}"), format!("bytes/new-{number}"));
        let written = bytes(length, number as u64);
        assert_eq!(store.get(&put).unwrap(), None);
        store.put(&put, &written).unwrap();
        assert!(store.get(&put).unwrap().unwrap() == written, "{length} bytes by put");
        store.put(&put, &written).unwrap();
        assert!(store.get(&put).unwrap().unwrap() == written, "{length} bytes put again");
        assert!(store.put_new(&new, &written).unwrap());
        assert!(
            store.get(&new).unwrap().unwrap() == written,
            "{length} bytes by put_new"
        );
    }
}

fn put_new_has_one_winner(store: &dyn Storage) {
    const WRITERS: usize = 8;
    for round in 0..10 {
        let name = format!("manifests/{round:08}");
        let start = Barrier::new(WRITERS);
        let won: Vec<bool> = thread::scope(|scope| {
            let writer = |number| {
                let (name, start) = (&name, &start);
                move || {
                    let written = bytes(1_000, number);
                    start.wait();
                    store.put_new(name, &written).unwrap()
                }
            };
            let writers: Vec<_> = (0..WRITERS).map(|number| scope.spawn(writer(number as u64))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..WRITERS).filter(|&number| won[number]).collect();
        assert_eq!(winners.len(), 1, "winners of {name}: {winners:?}");
        assert!(
            store.get(&name).unwrap().unwrap() == bytes(1_000, winners[0] as u64),
            "{name} is not its winner's"
        );
        assert!(!store.put_new(&name, b"late").unwrap());
    }
}

fn a_half_written_object_is_never_seen(store: &dyn Storage) {
    const OBJECTS: u64 = 12;
    let name = |number: u64| format!("whole/{number:03}");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..OBJECTS {
                let written = bytes(3_000_000, number);
                if number % 2 == 0 {
                    store.put(&name(number), &written).unwrap();
                } else {
                    assert!(store.put_new(&name(number), &written).unwrap());
                }
            }
            done.store(true, Relaxed);
        });
        scope.spawn(|| {
            let mut number = 0;
            while number < OBJECTS {
                match store.get(&name(number)).unwrap() {
                    Some(read) => {
                        assert!(
                            read == bytes(3_000_000, number),
                            "{} bytes of object {number} were seen",
                            read.len()
                        );
                        number += 1;
                    }
                    None => assert!(!done.load(Relaxed) || store.get(&name(number)).unwrap().is_some()),
                }
            }
        });
        scope.spawn(|| {
            while !done.load(Relaxed) {
                for listed in store.list("whole").unwrap() {
                    assert_eq!(
                        store.get(&listed).unwrap().map(|read| read.len()),
                        Some(3_000_000),
                        "{listed}"
                    );
                }
            }
        });
    });
}

fn lists_are_whole_and_in_order(store: &dyn Storage, many: usize) {
    assert_eq!(store.list("nowhere").unwrap(), Vec::<String>::new());
    let mut names: BTreeSet<String> = (0..many)
        .map(|number| format!("list/{:04}", (number * 7919) % many))
        .collect();
    names.extend(["list/a/b/c", "list/a/b-c", "list/a.b", "list/Z"].map(String::from));
    let others = ["lis", "list2/x"];
    thread::scope(|scope| {
        let all: Vec<&str> = names.iter().map(String::as_str).chain(others).collect();
        for part in all.chunks(all.len().div_ceil(8)).map(<[&str]>::to_vec) {
            scope.spawn(move || part.iter().for_each(|name| store.put(name, name.as_bytes()).unwrap()));
        }
    });
    assert_eq!(store.list("list").unwrap(), names.iter().cloned().collect::<Vec<_>>());
    assert_eq!(store.list("list/a").unwrap(), ["list/a/b-c", "list/a/b/c"]);
    assert_eq!(
        store.list("list/0001").unwrap(),
        Vec::<String>::new(),
        "an object is no folder"
    );
    let everything = store.list("").unwrap();
    assert!(everything.is_sorted() && others.iter().all(|other| everything.iter().any(|name| name == other)));
    assert!(names.iter().all(|name| everything.binary_search(name).is_ok()));
}

fn deletes_can_be_repeated(store: &dyn Storage) {
    store.put("deletes/a", b"a").unwrap();
    store.put("deletes/b", b"b").unwrap();
    for _ in 0..2 {
        store.delete("deletes/a").unwrap();
        assert_eq!(store.get("deletes/a").unwrap(), None);
        assert_eq!(store.list("deletes").unwrap(), ["deletes/b"]);
    }
    store.delete("never/was").unwrap();
    assert!(
        store.put_new("deletes/a", b"anew").unwrap(),
        "a deleted name is free again"
    );
}

fn wrong_names_reach_no_store(store: &dyn Storage) {
    for name in ["..", "../outside", "/etc/hitters", "a//b", "", ".hidden", "a b"] {
        let error = store.put(name, b"x").unwrap_err();
        assert!(error.message.contains("cannot be the name"), "{error}");
        assert!(
            store.put_new(name, b"x").is_err() && store.get(name).is_err() && store.delete(name).is_err(),
            "{name:?}"
        );
        assert!(name.is_empty() || store.list(name).is_err(), "{name:?}");
    }
}
