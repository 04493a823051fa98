//! The page of the query service in a real browser, over the flights of New York: tests/page/check.py clicks through it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::{command, root, run};

/// A run that has ended and answers; it is killed with this.
struct Serving {
    child: Child,
    url: String,
    _results: tempfile::TempDir,
}

impl Serving {
    fn start(more: &[&str]) -> Self {
        let results = tempfile::tempdir().unwrap();
        let parameter = format!("results={}", results.path().display());
        let arguments = ["run", "flights", "--param", &parameter, "--serve", "127.0.0.1:0"];
        let mut child = command(arguments.iter().chain(more))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut url = None;
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some(found) = line.strip_prefix("answering at ") {
                url = Some(found.trim().to_owned());
            }
            said.push_str(&line);
            said.push('\n');
            // All windows are in the store by then.
            if line.contains("the input has ended") {
                break;
            }
        }
        // Nobody may wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let url = url.unwrap_or_else(|| panic!("it does not answer:\n{said}"));
        Self {
            child,
            url,
            _results: results,
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rules of accessibility that the page is held to (`scripts/services.sh page`).
fn axe() -> Option<PathBuf> {
    let environment = PathBuf::from(std::env::var_os("HITTERS_PAGE_CHECK")?);
    let python = fs::read_dir(environment.join("lib")).ok()?.next()?.ok()?.path();
    Some(python.join("site-packages/axe_core_python/axe.min.js"))
}

fn check(url: &str, more: &[&str]) {
    let there = Command::new("chromedriver")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if there.is_err() {
        eprintln!("SKIPPED: chromedriver is not here (the Debian packages chromium and chromium-driver)");
        assert!(std::env::var_os("CI").is_none(), "CI has to look at the page");
        return;
    }
    let mut check = Command::new("python3");
    check.arg(root().join("tests/page/check.py")).arg(url).args(more);
    if let Some(folder) = std::env::var_os("HITTERS_PAGE_SHOTS") {
        check.arg("--shots").arg(Path::new(&folder));
    }
    let output = check.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_top_20_from_jfk_and_when_bos_overtook_are_found_by_clicks_and_by_keys() {
    let serving = Serving::start(&[]);
    let axe = axe().map(|path| path.display().to_string());
    match &axe {
        Some(path) => check(&serving.url, &["--axe", path]),
        None => check(&serving.url, &[]),
    }
}

#[test]
fn the_window_that_is_still_open_is_shown_as_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tops.ndjson").display().to_string();
    let sql = format!(
        "CREATE TABLE numbers WITH (connector = 'impulse', event_rate = '1000');
        CREATE TABLE tops (pipeline TEXT NOT NULL, version BIGINT NOT NULL, \"set\" TEXT NOT NULL, group_key TEXT NOT NULL,
                           window_start BIGINT NOT NULL, window_end BIGINT NOT NULL, answer TEXT, sketch BYTEA)
        WITH (connector = 'single_file', type = 'sink', path = '{out}', format = 'json');
        INSERT INTO tops
        SELECT 'live' AS pipeline, 1 AS version, '*' AS \"set\", '*' AS group_key,
               CAST(extract(epoch FROM window.start) AS BIGINT) * 1000 AS window_start,
               CAST(extract(epoch FROM window.end) AS BIGINT) * 1000 AS window_end, approx_top_k_estimate(sketch, 10) AS answer, sketch
        FROM (SELECT tumble(INTERVAL '10 seconds') AS window,
                     approx_top_k_accumulate(concat('item ', CAST(counter % 7 * (counter % 5) AS TEXT)), 64) AS sketch
              FROM numbers GROUP BY 1);"
    );
    let path = folder.path().join("live.sql");
    fs::write(&path, sql).unwrap();
    let mut run = support::running::Running::start(["run", &path.display().to_string(), "--serve", "127.0.0.1:0"]);
    assert!(run.says("answering at "), "{}", run.said);
    let line = run.said.lines().find_map(|line| line.strip_prefix("answering at "));
    let url = line.unwrap().trim().to_owned();
    // The page lists what has closed a window.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !ureq::get(format!("{url}/v1/pipelines"))
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap()
        .contains("live.tops")
    {
        assert!(std::time::Instant::now() < until, "no window closes");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let axe = axe().map(|path| path.display().to_string());
    match &axe {
        Some(path) => check(&url, &["--open", "--axe", path]),
        None => check(&url, &["--open"]),
    }
}

#[test]
fn the_page_asks_for_a_key_where_one_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json").display().to_string();
    let added = run(["keys", "add", "someone", "--keys", &file]).well();
    let key = added
        .stdout
        .split_whitespace()
        .find(|word| word.starts_with("hk_"))
        .unwrap()
        .to_owned();
    let serving = Serving::start(&["--keys", &file]);
    check(&serving.url, &["--key", &key]);
}
