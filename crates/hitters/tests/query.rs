//! `hitters query` and `hitters top`, asking a real `hitters serve`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hitters_results::{EmbeddedStore, Row};
use hitters_sketch::{ItemKind, Measure, TopK};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// 2026-01-31T12:00:00Z.
const NOON: i64 = 1_769_860_800_000;

/// A service over a file of answers.
struct Serving {
    service: Child,
    url: String,
    _folder: TempDir,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself: then the test has failed before.
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

impl Serving {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("answers");
        let store = EmbeddedStore::open(&file).unwrap();
        let row = |(set, group, items): (&str, &str, &[(&str, u64)])| {
            let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 100).unwrap();
            items
                .iter()
                .for_each(|(item, count)| sketch.update(item.as_bytes(), *count));
            Row {
                pipeline: "shop".into(),
                version: 1,
                set: set.into(),
                group: group.into(),
                start: NOON,
                end: NOON + 60_000,
                answer: Some(sketch.answer(5).unwrap().into()),
                sketch: Some(sketch.to_bytes()),
            }
        };
        let rows: [(&str, &str, &[(&str, u64)]); 2] = [
            ("*", "*", &[("a", 1234), ("b, \"c\"", 200), ("d", 1)]),
            ("region", "region=eu", &[("a", 1000)]),
        ];
        store.write_now(&rows.map(row)).unwrap();
        drop(store);
        let mut service = Command::new(env!("CARGO_BIN_EXE_hitters"));
        service.args(["serve", "--listen", "127.0.0.1:0", "--embedded", file.to_str().unwrap()]);
        let mut service = service.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(service.stderr.take().unwrap());
        said.read_line(&mut line).unwrap();
        let url = line
            .trim()
            .strip_prefix("answering at ")
            .unwrap_or_else(|| panic!("{line}"));
        Self {
            url: url.to_owned(),
            service,
            _folder: folder,
        }
    }

    /// The exit code, standard output, standard error.
    fn ask(&self, arguments: &[&str]) -> (i32, String, String) {
        ask(&self.url, arguments)
    }
}

fn ask(url: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitters"));
    command.args(arguments).args(["--url", url]).stdin(Stdio::null());
    let done = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code().unwrap(), text(&done.stdout), text(&done.stderr))
}

/// The cells of a table.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn answers_come_as_a_table_json_or_csv() {
    let service = Serving::start();
    let (code, table, about) = service.ask(&["query", "shop", "-k", "1"]);
    assert_eq!(code, 0, "{about}");
    let expected = [
        vec!["rank", "item", "estimate", "lower", "upper", "share"],
        vec!["1", "a", "1,234", "1,234", "1,234", "85.99", "%"],
        vec!["(all", "others)", "201", "201", "201", "14.01", "%"],
    ];
    assert_eq!(cells(&table), expected);
    assert!(
        about.contains("2026-01-31T12:00:00Z to 2026-01-31T12:01:00Z, total 1,435, exact"),
        "{about}"
    );

    let (_, json, _) = service.ask(&["query", "shop", "--json", "--where", "region=eu"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["set"], &json["items"][0]["estimate"]),
        (&"region".into(), &1000.into())
    );

    let (_, csv, said) = service.ask(&["query", "shop", "--csv"]);
    let expected = "rank,item,estimate,lower,upper,certain,share\n1,a,1234,1234,1234,true,0.85993\n2,\"b, \"\"c\"\"\",200,200,200,true,0.139373\n3,d,1,1,1,true,0.000697\n";
    assert_eq!((csv.as_str(), said.as_str()), (expected, ""));

    let (_, table, _) = service.ask(&["query", "shop", "--item", "d", "--item", "none"]);
    assert_eq!(
        cells(&table)[1..],
        [
            vec!["d", "1", "1", "1", "0.07", "%"],
            vec!["none", "0", "0", "0", "0.00", "%"]
        ]
    );
    let (_, csv, _) = service.ask(&["query", "shop", "--phi", "0.5", "--csv"]);
    assert_eq!(csv.lines().count(), 2, "{csv}");
    let (_, list, _) = service.ask(&["query"]);
    assert!(list.contains("shop") && list.contains("region (1)"), "{list}");
    let (_, list, _) = service.ask(&["query", "--csv"]);
    assert!(
        list.starts_with("pipeline,version,") && list.contains("\nshop,1,"),
        "{list}"
    );
}

#[test]
fn what_is_wrong_with_a_question_is_a_fault_of_the_command_line() {
    let service = Serving::start();
    for arguments in [
        &["query", "none"] as &[&str],
        &["query", "shop", "-k", "0"],
        &["query", "shop", "--csv", "--set", "none"],
        &["query", "shop", "--where", "x=1"],
        &["query", "a b/c"],
        &["query", "shop", "--json", "--csv"],
        &["query", "shop", "--open", "--last", "1h"],
        &["query", "shop", "--open", "--from", "2026-01-31"],
        &["top", "none"],
    ] {
        let (code, out, said) = service.ask(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {said}");
    }
    // Nobody has published the window that is open.
    let (code, _, said) = service.ask(&["query", "shop", "--open"]);
    assert!(code == 2 && said.contains("run --serve"), "{said}");
    for arguments in [&["query", "shop"] as &[&str], &["query", "--csv"], &["top"]] {
        let (code, _, said) = ask("http://127.0.0.1:9", arguments);
        assert!(code == 1 && said.contains("hitters serve"), "{said}");
    }
}

#[test]
fn top_prints_one_table_where_nobody_looks() {
    let service = Serving::start();
    let (code, table, about) = service.ask(&["top", "-k", "2"]);
    assert_eq!(code, 0, "{about}");
    assert_eq!(
        (cells(&table).len(), cells(&table)[1][..3].to_vec()),
        (4, vec!["1", "a", "1,234"])
    );
    assert!(!table.contains('\u{1b}'), "{table}");
    let (_, table, _) = service.ask(&["top", "shop", "--where", "region=eu"]);
    assert_eq!(cells(&table)[1][..3], ["1", "a", "1,000"]);
}
