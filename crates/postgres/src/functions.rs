//! The table functions: their arguments, their columns, and how the answer of REST becomes rows.
//!
//! An argument has the name of the parameter of REST that it is, and is read by the same code: what is said about parameters in
//! README.md of this crate is true of arguments.

use crate::faults::Refused;
use crate::rows::Kind::{self, Bool, Float, Int, Text, Time};
use crate::rows::{Cell, Row, count, float, text, time, truth};
use serde_json::Value;

/// A table function.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// What SQL calls it.
    pub name: &'static str,
    /// The question of REST that answers it.
    pub what: &'static str,
    /// Its arguments after the pipeline, in order.
    pub arguments: &'static [&'static str],
    /// Columns that differ by row, before those of [`ABOUT`].
    columns: &'static [(&'static str, Kind)],
}

/// Columns that say what was answered; the dimensions come behind them.
const ABOUT: [(&str, Kind); 7] = [
    ("complete", Bool),
    ("window_start", Time),
    ("window_end", Time),
    ("complete_up_to", Time),
    ("panes", Int),
    ("set", Text),
    ("group_key", Text),
];

const TOP: &[(&str, Kind)] = &[
    ("rank", Int),
    ("item", Text),
    ("count", Int),
    ("lower", Int),
    ("upper", Int),
    ("share", Float),
    ("certain", Bool),
    ("total", Int),
    ("max_missed", Int),
    ("exact", Bool),
];

const LINES: &[(&str, Kind)] = &[
    ("time", Time),
    ("rank", Int),
    ("item", Text),
    ("count", Int),
    ("lower", Int),
    ("upper", Int),
    ("total", Int),
];

static FUNCTIONS: [Function; 8] = [
    Function {
        name: "compare",
        what: "compare",
        arguments: &["last", "k", "against", "set", "group_key", "from", "to", "tz"],
        columns: &[
            ("item", Text),
            ("status", Text),
            ("proven", Bool),
            ("rank", Int),
            ("rank_before", Int),
            ("count", Int),
            ("lower", Int),
            ("upper", Int),
            ("count_before", Int),
            ("lower_before", Int),
            ("upper_before", Int),
            ("change", Int),
            ("change_lower", Int),
            ("change_upper", Int),
            ("share", Float),
            ("share_before", Float),
            ("total", Int),
            ("total_before", Int),
        ],
    },
    Function {
        name: "estimate",
        what: "estimate",
        arguments: &["item", "last", "set", "group_key", "from", "to", "tz"],
        columns: &[
            ("item", Text),
            ("count", Int),
            ("lower", Int),
            ("upper", Int),
            ("share", Float),
            ("total", Int),
        ],
    },
    Function {
        name: "groups",
        what: "groups",
        arguments: &["set", "top"],
        columns: GROUPS,
    },
    Function {
        name: "heavy_hitters",
        what: "heavy-hitters",
        arguments: &["last", "phi", "set", "group_key", "from", "to", "tz"],
        columns: TOP,
    },
    Function {
        name: "item_history",
        what: "series",
        arguments: &["item", "last", "step", "set", "group_key", "from", "to", "tz"],
        columns: LINES,
    },
    Function {
        name: "series",
        what: "series",
        arguments: &["last", "k", "step", "set", "group_key", "from", "to", "tz"],
        columns: LINES,
    },
    Function {
        name: "top_k",
        what: "top",
        arguments: &["last", "k", "set", "group_key", "from", "to", "tz"],
        columns: TOP,
    },
    Function {
        name: "trends",
        what: "trends",
        arguments: &["last", "k", "step", "set", "group_key", "from", "to", "tz"],
        columns: &[
            ("item", Text),
            ("direction", Text),
            ("slope", Float),
            ("slope_share", Float),
            ("share_first", Float),
            ("share_last", Float),
        ],
    },
];

/// The newest window of groups: also the columns of a pipeline's own table.
const GROUPS: &[(&str, Kind)] = &[
    ("rank", Int),
    ("item", Text),
    ("count", Int),
    ("lower", Int),
    ("upper", Int),
    ("share", Float),
    ("certain", Bool),
    ("total", Int),
    ("exact", Bool),
    ("stale", Bool),
    ("window_start", Time),
    ("window_end", Time),
    ("set", Text),
    ("group_key", Text),
];

/// All of them, by name.
pub fn all() -> impl Iterator<Item = &'static Function> {
    FUNCTIONS.iter()
}

/// The function of that name.
pub fn find(name: &str) -> Option<&'static Function> {
    all().find(|function| function.name == name)
}

impl Function {
    /// Whether its rows are about groups, and not about one answer.
    pub fn is_groups(&self) -> bool {
        self.what == "groups"
    }

    /// Its columns, without the dimensions.
    pub fn columns(&self) -> Vec<(&'static str, Kind)> {
        let mut columns = self.columns.to_vec();
        if !self.is_groups() {
            columns.extend(ABOUT);
        }
        columns
    }

    /// Its arguments in words.
    pub fn signature(&self) -> String {
        format!("{}(pipeline, {})", self.name, self.arguments.join(", "))
    }

    /// The rows of an answer, without the dimensions.
    ///
    /// # Errors
    /// If a count is beyond `bigint`.
    pub fn rows(&self, answer: &Value, group: &str) -> Result<Vec<Row>, Refused> {
        let mut rows = match self.name {
            "top_k" | "heavy_hitters" => top(answer)?,
            "estimate" => estimates(answer)?,
            "series" => lines(answer, true)?,
            "item_history" => lines(answer, false)?,
            "compare" => compared(answer)?,
            "trends" => list(answer, "items").map(trend).collect(),
            _ => return groups(answer),
        };
        let range = &answer["range"];
        let about = [
            truth(&range["complete"]),
            time(&range["from"]),
            time(&range["to"]),
            time(&answer["freshness"]["complete_up_to"]),
            count(&answer["source"]["panes"])?,
            text(&answer["set"]),
            Cell::Text(group.into()),
        ];
        rows.iter_mut().for_each(|row| row.extend(about.iter().cloned()));
        Ok(rows)
    }
}

fn list<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer[name].as_array().into_iter().flatten()
}

/// Bytes come as base64, as they do over REST.
fn item(line: &Value) -> Cell {
    match text(&line["item"]) {
        Cell::Null => text(&line["item_base64"]),
        item => item,
    }
}

fn bounds(value: &Value) -> Result<[Cell; 3], Refused> {
    Ok([
        count(&value["estimate"])?,
        count(&value["lower"])?,
        count(&value["upper"])?,
    ])
}

fn ranked(line: &Value, total: &Value) -> Result<Row, Refused> {
    let mut row = vec![count(&line["rank"])?, item(line)];
    row.extend(bounds(line)?);
    row.extend([float(&line["share"]), truth(&line["certain"]), count(total)?]);
    Ok(row)
}

fn top(answer: &Value) -> Result<Vec<Row>, Refused> {
    let end = [count(&answer["max_missed"])?, truth(&answer["exact"])];
    let one = |line| {
        let mut row = ranked(line, &answer["total"])?;
        row.extend(end.iter().cloned());
        Ok(row)
    };
    list(answer, "items").map(one).collect()
}

fn estimates(answer: &Value) -> Result<Vec<Row>, Refused> {
    let one = |line: &Value| {
        let mut row = vec![item(line)];
        row.extend(bounds(line)?);
        row.extend([float(&line["share"]), count(&answer["total"])?]);
        Ok(row)
    };
    list(answer, "estimates").map(one).collect()
}

/// A row for each step and item, and one for all others, whose item and rank are NULL.
fn lines(answer: &Value, others: bool) -> Result<Vec<Row>, Refused> {
    let series: Vec<(Cell, Cell, &Value)> = list(answer, "series")
        .map(|line| Ok((count(&line["rank"])?, item(line), line)))
        .chain(others.then(|| Ok((Cell::Null, Cell::Null, &answer["other"]))))
        .collect::<Result<_, Refused>>()?;
    let mut rows = Vec::new();
    for (at, start) in list(answer, "times").enumerate() {
        let start = start.as_i64().map_or(Cell::Null, Cell::Time);
        let total = count(&answer["total"][at])?;
        for (rank, item, columns) in &series {
            rows.push(vec![
                start.clone(),
                rank.clone(),
                item.clone(),
                count(&columns["estimate"][at])?,
                count(&columns["lower"][at])?,
                count(&columns["upper"][at])?,
                total.clone(),
            ]);
        }
    }
    Ok(rows)
}

fn compared(answer: &Value) -> Result<Vec<Row>, Refused> {
    let one = |line: &Value| {
        let mut row = vec![
            item(line),
            text(&line["status"]),
            truth(&line["proven"]),
            count(&line["rank"])?,
            count(&line["rank_before"])?,
        ];
        row.extend(bounds(&line["now"])?);
        row.extend(bounds(&line["before"])?);
        row.extend(bounds(&line["change"])?);
        row.extend([
            float(&line["share"]),
            float(&line["share_before"]),
            count(&answer["total"])?,
            count(&answer["total_before"])?,
        ]);
        Ok(row)
    };
    list(answer, "items").map(one).collect()
}

fn trend(line: &Value) -> Row {
    vec![
        item(line),
        text(&line["direction"]),
        float(&line["slope"]),
        float(&line["slope_share"]),
        float(&line["share_first"]),
        float(&line["share_last"]),
    ]
}

/// A row for each item of each group; a group without items has none.
fn groups(answer: &Value) -> Result<Vec<Row>, Refused> {
    let mut rows = Vec::new();
    for group in list(answer, "groups") {
        for line in list(group, "items") {
            let mut row = ranked(line, &group["total"])?;
            row.extend([
                truth(&group["exact"]),
                truth(&group["stale"]),
                time(&group["window"]["from"]),
                time(&group["window"]["to"]),
                text(&answer["set"]),
                text(&group["group_key"]),
            ]);
            rows.push(row);
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_have_the_columns_that_are_named() {
        let bounds = json!({"estimate": 2, "lower": 1, "upper": 3});
        let line = json!({"item": "a", "rank": 1, "estimate": 2, "lower": 1, "upper": 3, "share": 0.5, "certain": true,
            "now": bounds, "before": bounds, "change": {"estimate": -1, "lower": -2, "upper": 0}, "status": "faller"});
        let columns = json!({"estimate": [2, null], "lower": [1, null], "upper": [3, null]});
        let mut series = columns.clone();
        series["item"] = "a".into();
        let group = json!({"items": [line], "total": 4, "group_key": "r=eu", "window": {}});
        let answer = json!({"items": [line], "estimates": [line], "groups": [group], "times": [0, 60_000], "series": [series],
            "other": columns, "total": [4, null], "set": "r", "source": {"panes": 2}});
        for function in all() {
            let rows = function.rows(&answer, "r=eu").unwrap();
            let expected = match function.name {
                "series" => 4,
                "item_history" => 2,
                _ => 1,
            };
            assert_eq!(rows.len(), expected, "{}", function.name);
            assert!(
                rows.iter().all(|row| row.len() == function.columns().len()),
                "{}",
                function.name
            );
            assert_eq!(find(function.name), Some(function));
        }
        let history = find("item_history").unwrap().rows(&answer, "r=eu").unwrap();
        assert_eq!(
            history[1][..4],
            [Cell::Time(60_000), Cell::Null, Cell::Text("a".into()), Cell::Null]
        );
    }
}
