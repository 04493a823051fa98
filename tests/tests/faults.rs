//! The table of faults (tests/FAULTS.md) names tests that are there, and all faults that the project promises to survive.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Words of the promise, each of which has to begin or stand in the name of a fault.
const PROMISED: [&str; 22] = [
    "torn manifest",
    "missing file",
    "checksum",
    "full disk",
    "500 or 503",
    "not at all",
    "broker restarts",
    "gone for 30 s",
    "leader moves",
    "partitions are added",
    "Redis restarts",
    "read-only",
    "out of memory",
    "clock jumps",
    "duplicate and out-of-order",
    "poison message",
    "zombie",
    "barrier",
    "upload",
    "before the manifest",
    "before the commit",
    "after the commit",
];

#[test]
fn every_fault_of_the_table_has_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join("tests/FAULTS.md")).unwrap();
    let mut faults = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [fault, does, tests] = cells[..] else {
            panic!("a row has a fault, what is done and tests: {line}");
        };
        if fault == "fault" {
            continue;
        }
        assert!(!does.is_empty(), "{line}");
        assert!(faults.insert(fault), "'{fault}' stands there twice");
        for test in tests.split(", ") {
            let (file, name) = test.trim_matches('`').split_once("::").expect("`file::test`");
            let file = if file.contains("crates/") {
                file.to_string()
            } else {
                format!("crates/hitters/tests/{file}")
            };
            let text = fs::read_to_string(root.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let there = text.contains(&format!("#[test]\nfn {name}()"));
            assert!(there, "{file} has no test {name}");
        }
    }
    for promised in PROMISED {
        assert!(
            faults.iter().any(|fault| fault.contains(promised)),
            "no fault of the table is '{promised}'"
        );
    }
}
