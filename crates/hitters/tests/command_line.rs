//! What the command says when something is wrong, and with which exit code: nothing ends in a panic or in silence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{command, ended, root, run};

/// A file in a folder of its own.
fn file(name: &str, text: impl AsRef<[u8]>) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    (folder, path.display().to_string())
}

/// A source of numbers that never ends, and a SELECT over it.
const ENDLESS: &str =
    "CREATE TABLE numbers WITH (connector = 'impulse', event_rate = '1000000');\nSELECT counter FROM numbers;\n";

#[test]
fn help_and_version_are_there() {
    let help = run(["--help"]).well();
    for word in [
        "run",
        "check",
        "explain",
        "render",
        "topics",
        "generate",
        "sketch",
        "Exit codes",
    ] {
        assert!(help.stdout.contains(word), "{word} is not in\n{}", help.stdout);
    }
    assert!(run(["--version"]).well().stdout.starts_with("hitters "));
    for command in [
        "run", "status", "scale", "stop", "check", "explain", "render", "topics", "generate", "sketch",
    ] {
        assert!(run([command, "--help"]).well().stdout.contains("Usage: hitters"));
    }
}

#[test]
fn a_wrong_command_line_is_code_two() {
    run(["rum"]).fails(2, &["run"]);
    run(["run"]).fails(2, &["PIPELINE"]);
    run(["run", "flights", "--param", "k"]).fails(2, &["NAME=VALUE"]);
    run(["run", "flights", "--memory-limit", "much"]).fails(2, &["512MB"]);
    run(["run", "flights", "--from", "yesterday"]).fails(2, &["earliest"]);
    run(["run", "nowhere"]).fails(2, &["there is no pipeline 'nowhere'", "flights"]);
    run(["run", "nowhere.sql"]).fails(2, &["cannot read nowhere.sql"]);
    run(["run", "flights", "--limit", "3"]).fails(2, &["--limit", "--records"]);
}

#[test]
fn a_storage_that_cannot_be_is_a_fault_with_its_line() {
    let sql = "sql = 'q.sql'\n[checkpoint]\nstorage = ";
    let (folder, path) = file("p.toml", format!("{sql}'gs://bucket/state'\n"));
    fs::write(folder.path().join("q.sql"), ENDLESS).unwrap();
    run(["check", &path]).fails(3, &["p.toml:3:", "'gs://'", "s3://bucket/prefix"]);
    for (url, feature, built) in [
        ("s3://bucket/state", "s3", cfg!(feature = "s3")),
        ("hdfs://namenode:8020/state", "hdfs", cfg!(feature = "hdfs")),
    ] {
        fs::write(&path, format!("{sql}'{url}'\n")).unwrap();
        if built {
            run(["check", &path]).well();
        } else {
            run(["check", &path]).fails(3, &["p.toml:3:", &format!("--features {feature}")]);
        }
    }
}

#[test]
fn faults_of_a_pipeline_file_are_code_three_and_all_said_at_once() {
    let (_folder, path) = file(
        "p.toml",
        "sql = [\"gone.sql\"]\nparalelism = 2\nmemory_limit = \"lots\"\n",
    );
    let ran = run(["run", &path]).fails(
        3,
        &[
            "gone.sql",
            "unknown key 'paralelism'",
            "'lots' is not a size",
            "known keys: name",
        ],
    );
    assert!(ran.stderr.contains("p.toml:2:1"), "{}", ran.stderr);
}

#[test]
fn faults_of_the_sql_are_code_three_and_point_at_their_place() {
    let sql = "CREATE TABLE numbers WITH (connector = 'impulse', event_rate = '${rate:10}');\n\nSELECT ${n:1}, contre FROM numbers;\n";
    let (_folder, path) = file("q.sql", sql);
    for command in ["run", "check", "explain"] {
        run([command, &path]).fails(3, &["contre", "q.sql:3:16", "SELECT ${n:1}, contre FROM numbers;"]);
    }
    let ran = run(["check", "--json", &path]);
    assert_eq!(ran.code, Some(3));
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (
            value["ok"].as_bool(),
            value["faults"][0]["line"].as_u64(),
            value["faults"][0]["column"].as_u64()
        ),
        (Some(false), Some(3), Some(16))
    );
}

#[test]
fn a_check_for_arroyo_says_what_breaks_there_and_what_is_dear() {
    let table = "CREATE TABLE e (value TEXT NOT NULL) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b', topic = 't', format = 'raw_string');\n";
    let (_folder, path) = file("q.sql", format!("{table}SELECT length(value) AS n FROM e;\n"));
    run(["check", &path]).well();
    run(["check", &path, "--target", "arroyo"]).fails(3, &["length()", "write character_length", "q.sql:2:8"]);
    let (_folder, path) = file("q.sql", format!("{table}SELECT character_length(value) AS n FROM e;\n"));
    let ran = run(["check", "--json", &path, "--target", "arroyo"]).well();
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    let hint = value["warnings"][0]["hint"].as_str().unwrap();
    assert!(hint.contains("queued.min.messages"), "{}", ran.stdout);
    let manifest = format!("sql = '{path}'\nparallelism = 1\n");
    let (_manifests, manifest) = file("p.toml", manifest);
    let ran = ["check", &manifest, "--target", "arroyo", "--partitions"];
    run(ran.into_iter().chain(["1"])).well();
    run(ran.into_iter().chain(["2"])).fails(3, &["parallelism 1 is below the 2 partitions"]);
    run(["check", &path, "--partitions", "2"]).fails(2, &["--target"]);
}

#[test]
fn a_parameter_without_a_value_is_a_fault_with_its_place() {
    let (_folder, path) = file("q.sql", "SELECT\n  ${k};\n");
    run(["render", &path]).fails(3, &["the parameter 'k' has no value", "q.sql:2:3", "--param k="]);
    run(["render", &path, "--param", "k=1", "--param", "x=2"]).fails(3, &["no SQL file uses the parameter 'x'"]);
    assert_eq!(
        run(["render", &path, "--param", "k=1"]).well().stdout,
        "SELECT\n  1;\n\n"
    );
}

#[test]
fn text_that_is_not_utf8_is_a_fault() {
    let (_folder, path) = file("q.sql", b"SELECT '\xff';");
    run(["run", &path]).fails(3, &["not UTF-8"]);
    let (_folder, path) = file("p.toml", b"name = \"\xff\"");
    run(["run", &path]).fails(3, &["not UTF-8"]);
}

#[test]
fn render_masks_secrets() {
    let (_folder, path) = file("q.sql", "SELECT '${env:HITTERS_TEST_SECRET}', '${plain}';");
    let mut render = command(["render", &path, "--param", "plain=seen"]);
    render.env("HITTERS_TEST_SECRET", "hush");
    let ran = ended(render).well();
    assert_eq!(ran.stdout, "SELECT '****', 'seen';\n");
}

#[test]
fn secrets_in_the_place_of_the_state_are_masked_wherever_it_is_shown() {
    let (folder, _) = file(
        "q.sql",
        "CREATE TABLE t (a BIGINT) WITH (connector = 'single_file', type = 'source', path = '${path}', format = 'json');\nSELECT a FROM t;\n",
    );
    fs::write(folder.path().join("rows.json"), "{\"a\": 1}\n").unwrap();
    let path = folder.path().join("p.toml");
    let of = |words: &[&str], storage: &str| {
        let text = format!("sql = 'q.sql'\npaths.path = 'rows.json'\n[checkpoint]\nstorage = '{storage}'\n");
        fs::write(&path, text).unwrap();
        let mut arguments = vec![words[0].to_string(), path.display().to_string()];
        arguments.extend(words[1..].iter().map(|word| word.to_string()));
        let mut command = command(arguments);
        command.env("HITTERS_TEST_SECRET", "hush-hush");
        let ran = ended(command);
        assert!(!ran.stdout.contains("hush") && !ran.stderr.contains("hush"), "{ran:?}");
        ran
    };
    let local = "state/${env:HITTERS_TEST_SECRET}";
    let ran = of(&["run"], local).well();
    assert!(ran.stderr.contains("/state/****/v1"), "{}", ran.stderr);
    assert!(folder.path().join("state/hush-hush/v1").is_dir());
    let ran = of(&["run", "--json"], local).well();
    assert!(
        ran.stderr.contains("going on from checkpoint") && ran.stderr.contains("/state/****/v1"),
        "{ran:?}"
    );
    of(&["status"], local).fails(1, &["no run of 'p' answers", "/state/****/v1"]);
    of(&["explain"], local).well();
    of(&["render"], local).well();
    of(&["check"], "gs://${env:HITTERS_TEST_SECRET}/x").fails(3, &["known are"]);
    of(&["check"], "s3://UPPER-${env:HITTERS_TEST_SECRET}/x").fails(3, &["UPPER-****"]);
    fs::write(folder.path().join("state/file"), "").unwrap();
    fs::create_dir_all(folder.path().join("state/other")).unwrap();
    fs::write(folder.path().join("state/other/hush-hush"), "").unwrap();
    of(&["run"], "state/other/${env:HITTERS_TEST_SECRET}")
        .fails(1, &["/state/other/****", "a file where a folder should be"]);
}

#[test]
fn a_failing_source_is_code_one() {
    let sql = "CREATE TABLE t (a BIGINT) WITH (connector = 'single_file', type = 'source', path = '${path}', format = 'json');\nSELECT a FROM t;\n";
    let (folder, path) = file("q.sql", sql);
    let of = |path: &std::path::Path| format!("path={}", path.display());
    run(["run", &path, "--param", &of(&folder.path().join("gone.json"))]).fails(1, &["gone.json"]);
    fs::write(folder.path().join("bad.json"), "{\"a\": 1}\n{\"a\": \n").unwrap();
    let ran = run(["run", &path, "--param", &of(&folder.path().join("bad.json"))]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("bad.json") && ran.stderr.contains('2'),
        "the line is not in\n{}",
        ran.stderr
    );
}

#[test]
fn bad_rows_go_where_the_pipeline_file_or_the_command_line_says() {
    let sql = "CREATE TABLE t (a BIGINT NOT NULL) WITH (connector = 'single_file', type = 'source', path = '${path}', format = 'json', \
               bad_data = 'drop');\nSELECT a FROM t;\n";
    let (folder, _) = file("q.sql", sql);
    let (pipeline, named) = (folder.path().join("p.toml"), folder.path().join("named.ndjson"));
    fs::write(
        &pipeline,
        "sql = 'q.sql'\npaths.path = 'rows.json'\ndead_letter = 'bad.ndjson'\n",
    )
    .unwrap();
    fs::write(folder.path().join("rows.json"), "{\"a\": 1}\n{\"a\": \"x\"}\n").unwrap();
    let (path, bad) = (pipeline.display().to_string(), folder.path().join("bad.ndjson"));
    run(["run", &path]).well();
    run(["run", &path, "--dead-letter", &named.display().to_string()]).well();
    for kept in [bad, named] {
        let letters = fs::read_to_string(&kept).unwrap();
        let letter: Value = serde_json::from_str(&letters).unwrap();
        assert_eq!(
            (letter["table"].as_str(), letter["position"].as_i64()),
            (Some("t"), Some(2))
        );
        assert_eq!(letter["payload"].as_str(), Some("{\"a\": \"x\"}"));
    }
    run(["run", &path, "--dead-letter", "kafka://nowhere"]).fails(2, &["kafka://HOST:PORT/TOPIC"]);
}

#[test]
fn a_select_from_standard_input_prints_rows() {
    let mut child = command(["run", "-", "--limit", "3", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(ENDLESS.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let rows: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[2]["counter"], 2);
}

#[test]
fn rows_come_as_csv_and_as_a_table() {
    let (_folder, path) = file("q.sql", ENDLESS);
    let csv = run(["run", &path, "--limit", "2", "--format", "csv", "--quiet"]).well();
    assert_eq!(csv.stdout, "counter\r\n0\r\n1\r\n");
    let table = run(["run", &path, "--limit", "2", "--format", "table", "--quiet"]).well();
    assert!(
        table.stdout.contains("counter") && table.stdout.contains('│'),
        "{}",
        table.stdout
    );
}

#[test]
fn a_reader_that_goes_away_ends_an_endless_run_well() {
    let (_folder, path) = file("q.sql", ENDLESS);
    let mut child = command(["run", &path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "{\"counter\":0}\n");
    let started = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed() > Duration::from_secs(20) => {
                child.kill().unwrap();
                panic!("it still runs although nobody reads");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn a_signal_stops_an_endless_run_and_the_summary_says_so() {
    let sql = "CREATE TABLE numbers WITH (connector = 'impulse', event_rate = '1000');
        CREATE TABLE nothing (counter BIGINT) WITH (connector = 'blackhole', type = 'sink');
        INSERT INTO nothing SELECT counter FROM numbers;";
    let (_folder, path) = file("q.sql", sql);
    let child = command(["run", &path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(
        stderr.contains("stopped: windows that were open are not in the results") && stderr.contains("nothing:"),
        "{stderr}"
    );
}

#[test]
fn a_memory_limit_ends_a_run_with_what_to_do() {
    run([
        "run",
        "flights",
        "--memory-limit",
        "10kB",
        "--param",
        &format!("results={}", tempfile::tempdir().unwrap().path().display()),
    ])
    .fails(1, &["memory limit"]);
}

#[test]
fn bytes_that_are_no_sketch_are_refused() {
    run(["sketch", "inspect", "deadbeef"]).fails(1, &["no sketch"]);
    run(["sketch", "inspect", "/dev/null"]).fails(1, &["no sketch"]);
}

#[test]
fn explain_shows_the_plan_and_what_a_window_costs() {
    let plan = run(["explain", "flights"]).well().stdout;
    for expected in [
        "tumble(INTERVAL '1 day')",
        "approx_top_k_accumulate(dest, 256)",
        "flights",
        "bytes",
    ] {
        assert!(plan.contains(expected), "{expected} is not in\n{plan}");
    }
}

#[test]
fn every_pipeline_and_query_of_the_project_is_without_faults() {
    for entry in fs::read_dir(root().join("pipelines")).unwrap() {
        let path = entry.unwrap().path();
        run(["check", &path.display().to_string()]).well();
    }
}
