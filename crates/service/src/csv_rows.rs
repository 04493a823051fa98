//! Answers as CSV: their items, one a row; series by time, one row for each step and item.

use crate::problem::Problem;
use http::StatusCode;
use serde_json::Value;
use std::collections::BTreeSet;

/// The lists that make rows, by their names in the JSON.
const LISTS: [&str; 4] = ["items", "estimates", "groups", "pipelines"];

/// Columns that come first, in this order; others follow by name.
const FIRST: [&str; 11] = [
    "time", "kind", "pipeline", "version", "rank", "item", "estimate", "lower", "upper", "certain", "share",
];

/// The rows of an answer, with a header.
///
/// # Errors
/// If the answer has no rows.
pub fn csv(json: &str) -> Result<String, Problem> {
    let problem = |why: String| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the answer cannot be written",
            why,
        )
    };
    let value: Value = serde_json::from_str(json).map_err(|error| problem(error.to_string()))?;
    let rows: Vec<Vec<(String, String)>> =
        if let Some(times) = value["times"].as_array().filter(|_| value["series"].is_array()) {
            series(&value, times)
        } else {
            let list = LISTS.iter().find_map(|name| value[*name].as_array());
            let list = list.ok_or_else(|| {
                let detail = "this path has no rows; ask for application/json";
                Problem::new(
                    StatusCode::NOT_ACCEPTABLE,
                    "format",
                    "the format is not to be had",
                    detail,
                )
            })?;
            list.iter().map(flat).collect()
        };
    let columns: BTreeSet<&String> = rows.iter().flatten().map(|(name, _)| name).collect();
    let mut columns: Vec<&String> = columns.into_iter().collect();
    columns.sort_by_key(|name| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| problem(error.to_string());
    if !columns.is_empty() {
        writer.write_record(&columns).map_err(failed)?;
    }
    for row in &rows {
        let cell = |name: &&String| {
            row.iter()
                .find(|(column, _)| column == *name)
                .map_or("", |(_, cell)| cell.as_str())
        };
        writer.write_record(columns.iter().map(cell)).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| problem(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| problem(error.to_string()))
}

fn series(value: &Value, times: &[Value]) -> Vec<Vec<(String, String)>> {
    let mut lines: Vec<(&str, &Value)> = Vec::new();
    for line in value["series"].as_array().into_iter().flatten() {
        lines.push((line["item"].as_str().unwrap_or_default(), line));
    }
    lines.push(("", &value["other"]));
    let mut rows = Vec::new();
    for (at, time) in times.iter().enumerate() {
        for (item, columns) in &lines {
            let kind = if item.is_empty() { "other" } else { "item" };
            let mut row = vec![
                ("time".to_owned(), time.to_string()),
                ("kind".to_owned(), kind.to_owned()),
                ("item".to_owned(), cell(&Value::from(*item))),
            ];
            for name in ["estimate", "lower", "upper"] {
                row.push((name.to_owned(), cell(&columns[name][at])));
            }
            rows.push(row);
        }
    }
    rows
}

/// An object as cells: what is nested gets the names of both; lists are JSON.
fn flat(value: &Value) -> Vec<(String, String)> {
    let mut cells = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => cells.extend(
                flat(value)
                    .into_iter()
                    .map(|(inner, cell)| (format!("{name}_{inner}"), cell)),
            ),
            value => cells.push((name.clone(), cell(value))),
        }
    }
    cells
}

/// A text that a spreadsheet would run as a formula gets an apostrophe: items come from anybody.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_rows_and_no_formula_gets_through() {
        let json =
            r#"{"items":[{"rank":1,"item":"=1+1","now":{"lower":-3}},{"rank":2,"item":"a,\"b\"","share":null}]}"#;
        let text = csv(json).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let cell = |row: usize, name: &str| &rows[row][header.iter().position(|column| column == name).unwrap()];
        assert_eq!(
            (cell(0, "item"), cell(0, "now_lower"), cell(0, "share")),
            ("'=1+1", "-3", "")
        );
        assert_eq!(
            (cell(1, "item"), cell(1, "now_lower"), cell(1, "rank")),
            ("a,\"b\"", "", "2")
        );
        let series = r#"{"times":[0,60],"series":[{"item":"a","estimate":[1,null],"lower":[1,null],"upper":[1,null]}],"other":{"estimate":[5,0],"lower":[5,0],"upper":[5,0]}}"#;
        assert_eq!(
            csv(series).unwrap(),
            "time,kind,item,estimate,lower,upper\n0,item,a,1,1,1\n0,other,,5,5,5\n60,item,a,,,\n60,other,,0,0,0\n"
        );
        assert_eq!(csv("{}").unwrap_err().kind, "format");
    }
}
