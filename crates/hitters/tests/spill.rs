//! State beyond memory through the real command: whatever the limit, the rows are those of a run in memory, byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use support::run;

/// Two partitions, ten hours, some thousand groups with every item of theirs in both; rows of late hours among early ones.
const EVENTS: &str = "
CREATE TABLE left_ (counter BIGINT NOT NULL,
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(counter * 200 + (counter % 7) * 600000) AS TIMESTAMP)),
    WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(counter * 200 + (counter % 7) * 600000) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '2 hours'))
  WITH (connector = 'impulse', type = 'source', event_rate = '1000000', message_count = '180000');
CREATE TABLE right_ (counter BIGINT NOT NULL,
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(counter * 200) AS TIMESTAMP)),
    WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(counter * 200) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '2 hours'))
  WITH (connector = 'impulse', type = 'source', event_rate = '1000000', message_count = '180000');
CREATE VIEW events AS
  SELECT t, concat('group-', CAST(counter * 7 % 4001 AS TEXT)) AS g, concat('item-', CAST(counter * counter % 97 AS TEXT)) AS item, counter % 1000 AS n FROM left_
  UNION ALL
  SELECT t, concat('group-', CAST(counter * 11 % 4001 AS TEXT)) AS g, concat('item-', CAST(counter * 3 % 89 AS TEXT)) AS item, counter % 999 AS n FROM right_;
";

/// Every shape of window, aggregates that depend on the order of rows and others, numbering and a second aggregation behind.
const QUERIES: [(&str, &str, &str); 4] = [
    (
        "tumbling",
        "g TEXT, answer TEXT",
        "SELECT g, answer FROM (SELECT tumble(INTERVAL '1 hour') AS window, g, approx_top_sum(item, n, 5) AS answer FROM events GROUP BY 1, 2)",
    ),
    (
        "hopping",
        "g TEXT, opened TEXT, answer TEXT",
        "SELECT g, CAST(window.start AS TEXT), answer FROM (SELECT hop(INTERVAL '1 hour', INTERVAL '5 hours') AS window, g,
           approx_top_k_estimate(approx_top_k_accumulate(item, 16), 3) AS answer FROM events GROUP BY 1, 2)",
    ),
    (
        "numbered",
        "opened TEXT, g TEXT, c BIGINT, place BIGINT",
        "SELECT CAST(window.start AS TEXT), g, c, place FROM (SELECT *, row_number() OVER (PARTITION BY window ORDER BY c DESC, g) AS place FROM (
           SELECT hop(INTERVAL '1 hour', INTERVAL '3 hours') AS window, g, count(*) FILTER (WHERE n > 10) AS c, max(n) AS most FROM events GROUP BY 1, 2))
         WHERE place <= 10",
    ),
    (
        "sessions",
        "g TEXT, opened TEXT, c BIGINT, s BIGINT",
        "SELECT g, CAST(window.start AS TEXT), c, s FROM (SELECT session(INTERVAL '30 minutes') AS window, g, count(*) AS c, sum(n) AS s
           FROM events WHERE n < 300 GROUP BY 1, 2)",
    ),
];

fn pipeline(folder: &Path) -> String {
    let mut sql = EVENTS.to_owned();
    for (name, columns, query) in QUERIES {
        sql += &format!(
            "CREATE TABLE {name} ({columns}) WITH (connector = 'single_file', type = 'sink', path = '${{out}}/{name}.ndjson', \
             format = 'json');\nINSERT INTO {name} {query};\n"
        );
    }
    fs::write(folder.join("spill.sql"), sql).unwrap();
    folder.join("spill.sql").display().to_string()
}

/// Runs it; gives its summary and its rows.
fn rows(folder: &Path, name: &str, arguments: &[&str]) -> (serde_json::Value, Vec<String>) {
    let out = folder.join(name);
    fs::create_dir_all(&out).unwrap();
    let sql = pipeline(folder);
    let out_is = format!("out={}", out.display());
    let all = [&["run", "--quiet", "--json", &sql, "--param", &out_is], arguments].concat();
    let ran = run(all).well();
    let summary = serde_json::from_str(&ran.stdout).unwrap();
    let read = |(name, ..): (&str, &str, &str)| fs::read_to_string(out.join(format!("{name}.ndjson"))).unwrap();
    (summary, QUERIES.map(read).to_vec())
}

#[cfg(feature = "rocksdb")]
#[test]
fn rows_are_the_same_whether_state_spills_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_, expected) = rows(folder.path(), "memory", &["--parallelism", "1"]);
    for ((name, ..), rows) in QUERIES.iter().zip(&expected) {
        assert!(rows.lines().count() > 50, "{name}: {rows}");
    }
    let scratch = folder.path().join("scratch").display().to_string();
    for parallelism in ["1", "2"] {
        let spilling = [
            "--state-backend",
            "rocksdb",
            "--state-path",
            &scratch,
            "--memory-limit",
            "24MiB",
        ];
        let more = ["--parallelism", parallelism];
        let (summary, found) = rows(folder.path(), parallelism, &[&spilling[..], &more].concat());
        for ((name, ..), (found, expected)) in QUERIES.iter().zip(found.iter().zip(&expected)) {
            assert!(found == expected, "{name} with {parallelism} workers");
        }
        assert!(summary["peak_disk_bytes"].as_u64().unwrap() > 1 << 20, "{summary}");
        assert!(summary["peak_state_bytes"].as_u64().unwrap() < 24 << 20, "{summary}");
        assert!(!Path::new(&scratch).join("rocksdb").exists(), "scratch is left behind");
    }
}

#[test]
fn a_limit_without_a_disk_is_an_error_that_names_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let (sql, out) = (pipeline(folder.path()), format!("out={}", folder.path().display()));
    let arguments = ["run", "--quiet", &sql, "--param", &out];
    run([&arguments[..], &["--memory-limit", "4MiB"]].concat()).fails(1, &["memory limit", "rocksdb", "[state]"]);
    run([&arguments[..], &["--state-path", "/nowhere"]].concat()).fails(2, &["--state-backend"]);
}

#[cfg(not(feature = "rocksdb"))]
#[test]
fn a_build_without_rocksdb_says_how_to_make_one_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let sql = pipeline(folder.path());
    let out = format!("out={}", folder.path().display());
    run(["run", "--quiet", &sql, "--param", &out, "--state-backend", "rocksdb"]).fails(1, &["--features rocksdb"]);
}
