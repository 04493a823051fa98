//! The query service against its own OpenAPI document: schemathesis makes requests that fit it and requests that do not, and
//! holds every answer to it. `make test-api` makes thousands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::PathBuf;
use std::process::Command;
use support::root;
use support::serving::Serving;

#[test]
fn every_answer_is_as_the_document_says_and_nonsense_is_refused() {
    let Some(environment) = std::env::var_os("HITTERS_API_CHECK").map(PathBuf::from) else {
        eprintln!("SKIPPED: HITTERS_API_CHECK is not set (scripts/services.sh api)");
        assert!(
            std::env::var_os("CI").is_none(),
            "CI has to hold the service to its document"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let service = Serving::of_flights(folder.path(), &[]);
    let examples = std::env::var("HITTERS_TEST_API").unwrap_or_else(|_| "10".into());
    let output = Command::new(environment.join("bin/st"))
        .arg("--config-file")
        .arg(root().join("tests/api/schemathesis.toml"))
        .args(["run", &format!("{}/openapi.json", service.url)])
        .args(["--checks", "all", "--max-examples", &examples, "--workers", "2"])
        // Streams do not end.
        .args(["--exclude-path", "/v1/pipelines/{pipeline}/live"])
        .args(["--request-timeout", "20", "--no-color", "--generation-database", "none"])
        // Without a wish the same requests each time: a build must not fail by chance.
        .args([
            "--seed",
            &std::env::var("HITTERS_TEST_SEED").unwrap_or_else(|_| "7".into()),
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
