//! What stands in docker/ fits together, and fits this command; tests/docker/check.py says how far that goes without an
//! engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

#[test]
fn every_file_port_secret_option_and_metric_that_docker_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let Some(environment) = std::env::var_os("HITTERS_DOCKER_CHECK") else {
        eprintln!("SKIPPED: export HITTERS_DOCKER_CHECK=\"$(scripts/services.sh docker)\" to check docker/");
        assert!(std::env::var_os("CI").is_none(), "CI has to check docker/");
        return;
    };
    let output = Command::new(Path::new(&environment).join("bin/python"))
        .arg(root.join("tests/docker/check.py"))
        .arg(env!("CARGO_BIN_EXE_hitters"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stdout)
    );
    eprint!("{said}");
}
