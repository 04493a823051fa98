//! Names of objects: what every store takes, and takes alike.
//!
//! Invariant: a name that passes [`check`] stays below the root of its store, and no two names mean one object, on any file
//! system or service. So a checkpoint can be copied from one store to another by its names.

use crate::lock;
use hitters_dataflow::checkpoint::StorageError;

/// Longest name, in bytes. S3 takes 1,024 with the prefix, HDFS 8,000.
const LONGEST: usize = 512;

/// Longest part of a name between two `/`, in bytes. File systems take 255; a temporary file adds to it.
const LONGEST_PART: usize = 200;

/// Refuses a name of an object that some store would not take, or would take for something else.
pub fn check(name: &str) -> Result<(), StorageError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > LONGEST {
        "it is longer than 512 bytes"
    } else if name == lock::NAME {
        "it is the file that a run holds its folder by"
    } else {
        match name.split('/').find_map(wrong_part) {
            Some(reason) => reason,
            None => return Ok(()),
        }
    };
    Err(StorageError::new(format!(
        "{name:?} cannot be the name of an object: {reason}"
    )))
}

/// Refuses a folder that [`check`] would refuse in a name. The empty one is the whole store.
pub fn check_folder(folder: &str) -> Result<(), StorageError> {
    if folder.is_empty() { Ok(()) } else { check(folder) }
}

/// Why a part of a name cannot stand.
fn wrong_part(part: &str) -> Option<&'static str> {
    // Case is kept, but two names that differ in nothing else are one on some file systems: numbers and lower case are
    // what the engine uses, and upper case does no harm there.
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '=' | '+');
    if part.is_empty() {
        Some("it has an empty part")
    } else if part.starts_with('.') {
        Some("a part begins with a dot")
    } else if part.len() > LONGEST_PART {
        Some("a part is longer than 200 bytes")
    } else if !part.chars().all(allowed) {
        Some("a part has other characters than letters, digits and . _ - = +")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn what_could_leave_the_store_or_hide_in_it_is_no_name() {
        for wrong in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "a/..",
            "a/../b",
            ".",
            "./a",
            "a//b",
            "a/",
            ".a.1.tmp",
            "lock",
            "a\\b",
            "a\0",
            "C:a",
            "é",
            "a b",
            "a%2Fb",
        ] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
        assert!(check(&"a".repeat(201)).is_err() && check(&"a/".repeat(256).repeat(2)).is_err());
        for right in ["a", "manifests/00000001", "panes/3/a-b_c.d=e+f", "a/lock", "a..b"] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        assert!(check_folder("").is_ok() && check_folder("..").is_err());
    }

    proptest! {
        #[test]
        fn a_name_that_passes_is_a_plain_path_below_the_root(name in "[./\\\\a-c%: \0é]{0,12}|\\PC{0,20}") {
            if check(&name).is_ok() {
                let components: Vec<_> = Path::new(&name).components().collect();
                prop_assert!(components.iter().all(|component| matches!(component, Component::Normal(_))));
                let joined: Vec<_> = components.iter().map(|component| component.as_os_str().to_str().unwrap()).collect();
                prop_assert_eq!(joined.join("/"), name);
            }
        }
    }
}
