//! RocksDB as the engine uses it for state that outgrows memory.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hitters_dataflow::spill::{Life, RunId};
use hitters_storage::spill::open;
use std::fs;

fn run(number: u64, life: Life) -> RunId {
    RunId { number, life }
}

#[test]
fn runs_are_apart_and_deleted_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1 << 20).unwrap();
    for life in [Life::Brief, Life::Long] {
        for blocks in [1, 64, 65, 200] {
            let (before, it, behind) = (run(6, life), run(7, life), run(8, life));
            for block in 0..blocks {
                for run in [before, it, behind] {
                    store
                        .put(run, block, format!("{} {block}", run.number).as_bytes())
                        .unwrap();
                }
            }
            store.delete(it, blocks).unwrap();
            for block in 0..blocks {
                assert!(store.get(it, block).is_err());
                assert_eq!(store.get(before, block).unwrap(), format!("6 {block}").into_bytes());
                assert_eq!(store.get(behind, block).unwrap(), format!("8 {block}").into_bytes());
            }
        }
    }
}

#[test]
fn disk_is_given_back_and_memory_stays_within_its_bound() {
    const MEMORY: usize = 8 << 20;
    const BLOCK: usize = 64 << 10;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), MEMORY).unwrap();
    // Bytes that no compression makes smaller.
    let mut seed = 1u64;
    let bytes: Vec<u8> = (0..BLOCK)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .collect();
    let (mut most_memory, mut most_disk) = (0, 0);
    // At any time ten runs of 8 MiB are there.
    for number in 0..100 {
        let life = if number % 2 == 0 { Life::Brief } else { Life::Long };
        for block in 0..128 {
            store.put(run(number, life), block, &bytes).unwrap();
        }
        if number >= 10 {
            store.delete(run(number - 10, life), 128).unwrap();
        }
        most_memory = most_memory.max(store.memory());
        most_disk = most_disk.max(store.disk());
    }
    assert!(most_memory < MEMORY * 3 / 2, "{most_memory} bytes of memory");
    assert!((60 << 20..250 << 20).contains(&most_disk), "{most_disk} bytes on disk");
    for number in 90..100 {
        let life = if number % 2 == 0 { Life::Brief } else { Life::Long };
        assert!((0..128).all(|block| store.get(run(number, life), block).unwrap() == bytes));
    }
}

#[test]
fn a_folder_is_emptied_and_held_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1 << 20).unwrap();
    store.put(run(1, Life::Brief), 0, b"left behind").unwrap();
    let other = open(folder.path(), 1 << 20).map(|_| ()).unwrap_err();
    assert!(
        other.message.contains("in use") && other.message.contains("[state]"),
        "{other}"
    );
    drop(store);
    assert!(!folder.path().join("rocksdb").exists());
    fs::create_dir_all(folder.path().join("rocksdb")).unwrap();
    fs::write(
        folder.path().join("rocksdb").join("CURRENT"),
        "of a run that was killed",
    )
    .unwrap();
    let store = open(folder.path(), 1 << 20).unwrap();
    assert!(store.get(run(1, Life::Brief), 0).is_err());
}
