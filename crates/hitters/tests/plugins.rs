//! Functions that users wrote for Arroyo run under the real command, compiled by the real compiler.
//!
//! The first function on a machine takes minutes to compile: its dependencies are kept in the cache that all tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use support::run;
use support::running::Running;
use support::state::{EVENTS, Pipeline};
use support::world::World;

/// By the published attribute.
const DOUBLE: &str = "use arroyo_udf_plugin::udf;

#[udf]
fn double_negative(x: i64, by: Option<i64>) -> Option<i64> {
    (x != 13).then_some(-2 * x + by.unwrap_or(1000))
}
";

/// By the published attribute, over all values of a group. The order of the rows matters.
const WEIGHTED: &str = "#[arroyo_udf_plugin::udf]
fn weighted(values: Vec<Option<i64>>, weights: Vec<Option<i64>>) -> Option<i64> {
    assert_eq!(values.len(), weights.len());
    let mut sum = 0i64;
    for (value, weight) in values.iter().zip(&weights) {
        sum = sum.wrapping_mul(31).wrapping_add(value.unwrap_or(-1) * weight.unwrap_or(-1));
    }
    (sum != 0).then_some(sum)
}
";

/// Text, which the published attribute cannot do in lists: the interface by hand, as on Arroyo.
const LONGEST: &str = "use arroyo_udf_plugin::arrow::array::{Array, StringArray};
use arroyo_udf_plugin::{FfiArraySchema, FfiArrays, RunResult};

#[rustfmt::udf]
fn longest(words: Vec<&str>) -> Option<String> {
    words.into_iter().max_by_key(|word| word.len()).map(str::to_string)
}

#[unsafe(no_mangle)]
pub extern \"C-unwind\" fn __run(args: FfiArrays) -> RunResult {
    let args = args.into_vec();
    let words = StringArray::from(args[0].clone());
    let result = StringArray::from_iter([longest(words.iter().flatten().collect())]);
    RunResult::Ok(FfiArraySchema::from_data(result.to_data()))
}
";

const TABLE: &str = "CREATE TABLE e (t TIMESTAMP NOT NULL, g TEXT NOT NULL, x BIGINT, word TEXT, WATERMARK FOR t)
WITH (connector = 'single_file', type = 'source', path = '${input}', format = 'json', wait_for_control = 'false');
";

struct Row {
    second: i64,
    group: &'static str,
    x: Option<i64>,
    word: Option<String>,
}

fn rows() -> Vec<Row> {
    let row = |n: i64| Row {
        second: n / 10,
        group: ["a", "b", "c"][usize::try_from(n % 3).unwrap()],
        x: (n % 7 != 0).then_some(n),
        word: (n % 5 != 0).then(|| "w".repeat(usize::try_from(n * 7 % 23).unwrap())),
    };
    (0..1000).map(row).collect()
}

/// A folder with the input and the functions.
fn folder(functions: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for row in rows() {
        let time = format!("2026-01-01T00:{:02}:{:02}", row.second / 60, row.second % 60);
        let value = serde_json::json!({ "t": time, "g": row.group, "x": row.x, "word": row.word });
        writeln!(text, "{value}").unwrap();
    }
    fs::write(folder.path().join("e.json"), text).unwrap();
    for (name, text) in functions {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn pipeline(folder: &Path, functions: &[&str], query: &str) -> String {
    let list: Vec<_> = functions.iter().map(|name| format!("'{name}'")).collect();
    let manifest = format!(
        "sql = 'q.sql'\nfunctions = [{}]\n[paths]\ninput = 'e.json'\n",
        list.join(", ")
    );
    fs::write(folder.join("q.sql"), format!("{TABLE}{query}")).unwrap();
    fs::write(folder.join("p.toml"), manifest).unwrap();
    folder.join("p.toml").display().to_string()
}

fn printed(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_scalar_function_sees_every_row_and_nulls_as_arroyo_passes_them() {
    let folder = folder(&[("double.rs", DOUBLE)]);
    let query =
        "SELECT x, double_negative(x, CASE WHEN x % 2 = 0 THEN x END) AS y, double_negative(5, 1) AS five FROM e;";
    let path = pipeline(folder.path(), &["double.rs"], query);
    let found = printed(&run(["run", "--quiet", &path]).well().stdout);
    assert_eq!(found.len(), 1000);
    for (found, row) in found.iter().zip(rows()) {
        // NULL where a plain argument is NULL; an Option sees it.
        let expected = row
            .x
            .filter(|x| *x != 13)
            .map(|x| -2 * x + if x % 2 == 0 { x } else { 1000 });
        assert_eq!(
            (found["y"].as_i64(), found["five"].as_i64()),
            (expected, Some(-9)),
            "{found}"
        );
    }
    let explained = run(["explain", &path]).well().stdout;
    assert!(explained.contains("double_negative("), "{explained}");
    run(["check", &path, "--target", "arroyo"]).well();
}

#[test]
fn an_aggregate_gets_the_values_of_its_group_in_order_at_any_parallelism() {
    let folder = folder(&[("weighted.rs", WEIGHTED), ("longest.rs", LONGEST)]);
    let query = "SELECT g, window.start AS s, w, l, none FROM (SELECT g, tumble(INTERVAL '7 seconds') AS window, \
        weighted(x, x) AS w, longest(word) AS l, longest(word) FILTER (WHERE x < 0) AS none FROM e GROUP BY 1, 2);";
    let path = pipeline(folder.path(), &["weighted.rs", "longest.rs"], query);
    let mut answers = Vec::new();
    for workers in ["1", "3"] {
        let mut found = printed(&run(["run", "--quiet", "--parallelism", workers, &path]).well().stdout);
        found.sort_by_key(|row| (row["s"].to_string(), row["g"].to_string()));
        answers.push(found);
    }
    assert_eq!(answers[0], answers[1]);
    // Windows begin at multiples of 7 s since the epoch; 2026-01-01 is not one.
    let phase = 1_767_225_600 % 7;
    let mut expected = std::collections::BTreeMap::<(i64, &str), (i64, Option<String>)>::new();
    for row in rows() {
        let (sum, longest) = expected.entry(((row.second + phase) / 7, row.group)).or_default();
        *sum = sum.wrapping_mul(31).wrapping_add(row.x.map_or(1, |x| x * x));
        if let Some(word) = row.word
            && longest.as_ref().is_none_or(|have| word.len() >= have.len())
        {
            *longest = Some(word);
        }
    }
    let given: Vec<_> = answers[0]
        .iter()
        .map(|r| (r["w"].as_i64().unwrap_or(0), r["l"].as_str().map(str::to_string)))
        .collect();
    assert_eq!(given, expected.into_values().collect::<Vec<_>>());
    assert!(answers[0].iter().all(|row| row["none"].is_null()));
}

#[test]
fn a_hop_merges_the_values_of_its_panes() {
    let folder = folder(&[("longest.rs", LONGEST)]);
    let query = "SELECT window.end AS at, l, n FROM (SELECT hop(INTERVAL '10 seconds', INTERVAL '40 seconds') AS window, \
        character_length(longest(word)) AS l, count(word) AS n FROM e GROUP BY 1);";
    fs::write(
        folder.path().join("bare.sql"),
        format!("{TABLE}{query}").replace("${input}", &folder.path().join("e.json").display().to_string()),
    )
    .unwrap();
    let (sql, udf) = (folder.path().join("bare.sql"), folder.path().join("longest.rs"));
    let found = printed(
        &run(["run", "--quiet", sql.to_str().unwrap(), "--udf", udf.to_str().unwrap()])
            .well()
            .stdout,
    );
    assert_eq!(found.len(), 13);
    assert!(found.iter().all(|row| row["l"].as_i64() == Some(22)), "{found:?}");
    run(["check", sql.to_str().unwrap()]).fails(3, &["there is no function", "longest"]);
}

#[test]
fn the_values_of_an_open_window_survive_a_kill() {
    let mut world = World::new("values", 2);
    let pipeline = |kind: &str| {
        let sql = "CREATE TABLE found (category TEXT NOT NULL, w BIGINT, l TEXT, n BIGINT)
            WITH (connector = 'redis', type = 'sink', address = '${redis}', format = 'json', target = 'hash',
                  'target.key_prefix' = 'KIND', 'target.field_column' = 'category');
            INSERT INTO found SELECT category, w, l, n FROM (SELECT category, tumble(INTERVAL '1 hour') AS window,
                weighted(amount, ts) AS w, longest(item) AS l, count(*) AS n FROM events GROUP BY 1, 2);";
        let sql = format!("{EVENTS}{sql}")
            .replace("KIND", kind)
            .replace("${events}", "values-events");
        let functions = "functions = ['weighted.rs', 'longest.rs']\n";
        let pipeline = Pipeline::with(&world.outside, &format!("values-{kind}"), &sql, functions);
        for (name, text) in [("weighted.rs", WEIGHTED), ("longest.rs", LONGEST)] {
            fs::write(pipeline.folder.path().join(name), text).unwrap();
        }
        pipeline
    };
    let (killed, undisturbed) = (pipeline("killed"), pipeline("undisturbed"));
    // Compiling takes longer than a run may.
    run(["check", killed.file.to_str().unwrap()]).well();
    world.send(0..4, 2);
    world.start_and_read_all(&killed, 2).kill();
    assert!(world.outside.shown("killed").is_empty(), "the window is open");
    world.send(4..7, 2);
    let said = Running::start(killed.bounded(1)).end().code(0);
    assert!(said.contains("going on from checkpoint"), "{said}");
    Running::start(undisturbed.bounded(1)).end().code(0);
    let (found, expected) = (world.outside.shown("killed"), world.outside.shown("undisturbed"));
    assert!(expected[""].len() > 1, "{expected:?}");
    assert_eq!(found, expected);
}

#[test]
fn a_panic_is_an_error_with_the_name_of_the_function() {
    let panics =
        "#[arroyo_udf_plugin::udf]\nfn hurts(x: i64) -> i64 {\n    if x == 500 { panic!(\"not 500\") } else { x }\n}\n";
    let folder = folder(&[("hurts.rs", panics)]);
    let path = pipeline(folder.path(), &["hurts.rs"], "SELECT hurts(x) AS y FROM e;");
    let ran = run(["run", "--quiet", &path]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the function hurts panicked") && ran.stderr.contains("not 500"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_mistake_in_a_function_is_shown_at_its_place() {
    let wrong = "// A comment.\n#[arroyo_udf_plugin::udf]\nfn wrong(x: i64) -> i64 {\n    let y: &str = x;\n    y.len() as i64 + missing\n}\n";
    let asynchronous = "#[arroyo_udf_plugin::udf]\nasync fn later(x: i64) -> i64 {\n    x\n}\n";
    let folder = folder(&[
        ("wrong.rs", wrong),
        ("later.rs", asynchronous),
        ("broken.rs", "#[udf]\nfn broken(x: i64) -> i64 {\n    (x\n}\n"),
    ]);
    let path = pipeline(
        folder.path(),
        &["wrong.rs", "later.rs", "broken.rs"],
        "SELECT wrong(x) AS y FROM e;",
    );
    let ran = run(["check", &path]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    for said in [
        "mismatched types",
        "wrong.rs:4:19",
        "wrong.rs:5:22",
        "later is async",
        "later.rs:2:10",
        "hitters deploy",
        "broken.rs:",
    ] {
        assert!(ran.stderr.contains(said), "{said} is not in\n{}", ran.stderr);
    }
    let gone = pipeline(folder.path(), &["gone.rs"], "SELECT x FROM e;");
    run(["check", &gone]).fails(3, &["gone.rs", "p.toml:2:"]);
}

#[test]
fn no_allocator_but_the_systems_is_linked() {
    // The interface hands vectors over, which the other side frees.
    let root = support::root();
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap();
    for name in ["mimalloc", "jemallocator", "tikv-jemallocator", "snmalloc-rs"] {
        assert!(!lock.contains(&format!("name = \"{name}\"")), "{name}");
    }
    let attribute = concat!("#[global_", "allocator]");
    let rooms = ["crates", "udfs/functions", "udfs/sketch/src"];
    let mut folders: Vec<_> = rooms.iter().map(|room| root.join(room)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && path.components().any(|c| c.as_os_str() == "src") {
                assert!(
                    !fs::read_to_string(&path).unwrap().contains(attribute),
                    "{}",
                    path.display()
                );
            }
        }
    }
}
