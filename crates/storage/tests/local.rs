//! A folder of this machine: the promises of every store, and what a machine does to a folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod promises;

use hitters_dataflow::checkpoint::Storage;
use hitters_storage::Local;
use promises::bytes;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_folder_keeps_the_promises_of_a_store() {
    let folder = folder();
    promises::hold(&Local::open(&folder.path().join("made/on/the/way")).unwrap(), 200);
}

#[test]
fn paths_and_file_urls_open_folders() {
    let folder = folder();
    for (number, url) in [
        format!("{}/0", folder.path().display()),
        format!("file://{}/1", folder.path().display()),
    ]
    .iter()
    .enumerate()
    {
        let store = hitters_storage::open(url, Arc::new(|_| {})).unwrap();
        store.put("a/b", b"x").unwrap();
        assert_eq!(
            store.describe(),
            folder.path().join(number.to_string()).display().to_string()
        );
        assert_eq!(
            fs::read(folder.path().join(number.to_string()).join("a/b")).unwrap(),
            b"x"
        );
    }
}

#[test]
fn a_folder_that_a_run_holds_is_refused_to_a_second_one() {
    let folder = folder();
    let first = Local::open(folder.path()).unwrap();
    let error = Local::open(folder.path()).unwrap_err().message;
    assert!(error.contains("in use: this process"), "{error}");
    drop(first);
    Local::open(folder.path()).unwrap();

    let mut other = start("hold", folder.path());
    said(&mut other, "open");
    let error = Local::open(folder.path()).unwrap_err().message;
    assert!(
        error.contains(&format!("in use: process {}", other.id())) && error.contains("[checkpoint]"),
        "{error}"
    );
    // The lock goes with its holder, however that ends.
    other.kill().unwrap();
    other.wait().unwrap();
    Local::open(folder.path()).unwrap();
}

#[test]
fn a_kill_leaves_whole_objects_and_no_others() {
    let folder = folder();
    let mut found = 0;
    for millis in [5, 20, 35, 50, 65, 80] {
        let mut writer = start("write", folder.path());
        said(&mut writer, "open");
        std::thread::sleep(Duration::from_millis(millis));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let store = Local::open(folder.path()).unwrap();
        let names = store.list("").unwrap();
        for name in &names {
            let number = name.rsplit('/').next().unwrap().parse().unwrap();
            assert!(
                store.get(name).unwrap().unwrap() == bytes(300_000, number),
                "{name} is not whole"
            );
        }
        found = names.len();
        assert_eq!(files(folder.path()), found + 1, "nothing but objects and the lock");
    }
    assert!(found > 0, "no kill came after a write");
}

#[test]
fn what_a_killed_run_left_is_removed_and_what_others_put_here_is_not() {
    let folder = folder();
    fs::create_dir(folder.path().join("panes")).unwrap();
    for name in [".7.0.tmp", "panes/.7.1.tmp", ".profile", "notes.txt~", "panes/7"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let store = Local::open(folder.path()).unwrap();
    assert_eq!(store.list("").unwrap(), ["panes/7"]);
    for (name, stays) in [
        (".7.0.tmp", false),
        ("panes/.7.1.tmp", false),
        (".profile", true),
        ("notes.txt~", true),
    ] {
        assert_eq!(folder.path().join(name).exists(), stays, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_on_another_disk_is_a_part_of_the_store_by_a_link() {
    use std::os::unix::fs::symlink;
    let (folder, other) = (folder(), folder());
    symlink(other.path(), folder.path().join("panes")).unwrap();
    symlink(folder.path(), other.path().join("circle")).unwrap();
    symlink(folder.path().join("nowhere"), folder.path().join("dangling")).unwrap();
    fs::write(other.path().join(".7.0.tmp"), "left").unwrap();
    let store = Local::open(folder.path()).unwrap();
    store.put("panes/7", b"x").unwrap();
    assert_eq!(fs::read(other.path().join("7")).unwrap(), b"x");
    assert!(!other.path().join(".7.0.tmp").exists());
    assert!(store.list("").unwrap().contains(&"panes/7".to_owned()));
    fs::remove_file(other.path().join("circle")).unwrap();
    assert_eq!(store.list("").unwrap(), ["panes/7"]);
}

#[test]
fn a_file_in_the_place_of_a_folder_is_said() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").unwrap();
    for path in ["file", "file/below"] {
        let error = Local::open(&folder.path().join(path)).unwrap_err().message;
        assert!(error.contains("file where a folder should be"), "{error}");
    }
    let store = Local::open(folder.path()).unwrap();
    assert_eq!(store.get("file/below").unwrap(), None);
    assert!(
        store
            .put("file/below", b"")
            .unwrap_err()
            .message
            .contains("file where a folder should be")
    );
    store.put("folder/object", b"").unwrap();
    assert!(
        store
            .put("folder", b"")
            .unwrap_err()
            .message
            .contains("folder where a file should be")
    );
    assert!(
        store
            .get("folder")
            .unwrap_err()
            .message
            .contains("folder where a file should be")
    );
}

/// On a file system of its own that holds a megabyte.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_goes_on_when_there_is_space() {
    let folder = folder();
    well(&mounted(folder.path(), "size=1m", "fill"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_file_system_is_said() {
    let folder = folder();
    well(&mounted(folder.path(), "ro", "read-only"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_without_permission_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write everywhere by a capability, which is taken away.
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let drop: &[&str] = if root {
        &["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    } else {
        &["env"]
    };
    well(&child(drop, "forbidden", folder.path()).output().unwrap());
}

/// As root, or as the root of a user namespace: neither touches the machine's own mounts.
#[cfg(target_os = "linux")]
fn mounted(folder: &Path, options: &str, what: &str) -> Output {
    let script = format!("mount -t tmpfs -o {options} none \"$HITTERS_FOLDER\" && exec \"$@\"");
    child(
        &[
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &script,
            "sh",
        ],
        what,
        folder,
    )
    .output()
    .unwrap()
}

#[cfg(unix)]
#[test]
fn a_limit_on_files_is_said() {
    let folder = folder();
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"];
    well(&child(&limited, "limited", folder.path()).output().unwrap());
}

/// This program again, to run one of the parts below in a process of its own.
fn child(before: &[&str], what: &str, folder: &Path) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match before {
        [] => Command::new(&program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
    };
    command
        .args(["--ignored", "--exact", "--nocapture", "in_a_process_of_its_own"])
        .env("HITTERS_PART", what)
        .env("HITTERS_FOLDER", folder);
    command
}

fn start(what: &str, folder: &Path) -> Child {
    child(&[], what, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until a process prints a word.
fn said(child: &mut Child, word: &str) {
    let mut output = BufReader::new(child.stdout.as_mut().unwrap());
    let mut line = String::new();
    while !line.ends_with(&format!("{word}\n")) {
        line.clear();
        assert_ne!(
            output.read_line(&mut line).unwrap(),
            0,
            "the process ended without a word"
        );
    }
}

fn well(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Files below a folder, hidden ones too.
fn files(folder: &Path) -> usize {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            if entry.file_type().unwrap().is_dir() {
                files(&entry.path())
            } else {
                1
            }
        })
        .sum()
}

#[test]
#[ignore = "a part of other tests, which run it in a process of its own"]
fn in_a_process_of_its_own() {
    let part = std::env::var("HITTERS_PART").expect("run by other tests only");
    let folder = std::env::var("HITTERS_FOLDER").unwrap();
    let folder = Path::new(&folder);
    match part.as_str() {
        "hold" => {
            let _store = Local::open(folder).unwrap();
            println!("\nopen");
            let _ = std::io::stdin().read(&mut [0]);
        }
        "write" => {
            let store = Local::open(folder).unwrap();
            println!("\nopen");
            for number in 0.. {
                let written = bytes(300_000, number);
                store.put(&format!("objects/{number}"), &written).unwrap();
                store.put_new(&format!("manifests/{number}"), &written).unwrap();
            }
        }
        "fill" => {
            let store = Local::open(folder).unwrap();
            let written = bytes(100_000, 1);
            let error = (0..20)
                .find_map(|number| store.put(&format!("a/{number:02}"), &written).err())
                .unwrap();
            assert!(
                error.message.contains("the disk is full") && error.message.contains("keep fewer"),
                "{error}"
            );
            let names = store.list("").unwrap();
            assert!(names.len() >= 5 && names.iter().all(|name| store.get(name).unwrap().unwrap() == written));
            assert!(
                store
                    .put_new("b/new", &written)
                    .unwrap_err()
                    .message
                    .contains("the disk is full")
            );
            assert_eq!(store.get("b/new").unwrap(), None);
            store.delete(&names[0]).unwrap();
            store.delete(&names[1]).unwrap();
            assert!(
                store.put_new("b/new", &written).unwrap(),
                "what failed left nothing that takes space"
            );
        }
        "read-only" => {
            let error = Local::open(&folder.join("state")).unwrap_err().message;
            assert!(
                error.contains("read-only") && error.contains("choose a folder"),
                "{error}"
            );
        }
        "forbidden" => {
            for path in [folder.join("state"), folder.to_path_buf()] {
                let error = Local::open(&path).unwrap_err().message;
                assert!(error.contains("this user may not"), "{error}");
            }
        }
        "limited" => {
            let store = Local::open(folder).unwrap();
            store.put("small", b"x").unwrap();
            let error = store.put("large", &bytes(200_000, 1)).unwrap_err().message;
            assert!(error.contains("files may not grow so large"), "{error}");
            assert_eq!(store.list("").unwrap(), ["small"]);
        }
        other => panic!("there is no part '{other}'"),
    }
}
