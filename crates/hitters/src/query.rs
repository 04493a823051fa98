//! `hitters query`: asks a running service, by the API that everybody has.

use crate::cli::Query;
use crate::client::{Client, Question, number, segment};
use crate::failure::Failure;
use crate::show::thousands;
use comfy_table::{CellAlignment, Table};
use serde_json::Value;
use std::io::{Write, stderr, stdout};

/// Runs the command.
pub fn run(arguments: &Query) -> Result<(), Failure> {
    let (client, question) = (Client::new(&arguments.service), question(arguments));
    if arguments.csv {
        write!(stdout(), "{}", client.ask_csv(&question)?)?;
        return Ok(());
    }
    let answer = client.ask(&question)?;
    if arguments.json {
        writeln!(stdout(), "{answer}")?;
        return Ok(());
    }
    if arguments.pipeline.is_none() {
        return pipelines(&answer);
    }
    print(&answer)
}

/// Prints the table of an answer, and on standard error what it is about.
pub fn print(answer: &Value) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    let (header, rows) = match answer["estimates"].as_array() {
        Some(estimates) => (["", "item", "estimate", "lower", "upper", "share"], estimates),
        None => {
            let items = answer["items"].as_array();
            let items =
                items.ok_or_else(|| Failure::Run("the service gave no items; is it of another version?".into()))?;
            (["rank", "item", "estimate", "lower", "upper", "share"], items)
        }
    };
    table.set_header(header);
    for row in rows {
        let item = row["item"].as_str().or(row["item_base64"].as_str()).unwrap_or_default();
        let rank = row["rank"]
            .as_u64()
            .map(|rank| format!("{rank}{}", if row["certain"] == true { "" } else { "?" }));
        let share = row["share"]
            .as_f64()
            .map_or("".into(), |share| format!("{:.2} %", share * 100.0));
        let counts = ["estimate", "lower", "upper"].map(|name| count(&row[name]));
        let [estimate, lower, upper] = counts;
        table.add_row([rank.unwrap_or_default(), item.to_owned(), estimate, lower, upper, share]);
    }
    if answer["other"].is_object() {
        let other = &answer["other"];
        let [estimate, lower, upper] = ["estimate", "lower", "upper"].map(|name| count(&other[name]));
        let share = other["share"]
            .as_f64()
            .map_or("".into(), |share| format!("{:.2} %", share * 100.0));
        table.add_row([String::new(), "(all others)".into(), estimate, lower, upper, share]);
    }
    for column in [0, 2, 3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(stdout(), "{table}")?;
    writeln!(stderr(), "{}", about(answer))?;
    Ok(())
}

/// One line that says what was answered.
fn about(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let range = &answer["range"];
    let mut line = format!(
        "{} to {}, total {}",
        text(&range["from"]),
        text(&range["to"]),
        count(&answer["total"])
    );
    if answer["exact"] == true {
        line.push_str(", exact");
    } else if !answer["max_missed"].is_null() {
        line.push_str(&format!(
            ", nothing else counts more than {}",
            count(&answer["max_missed"])
        ));
    }
    if range["open"] == true {
        line.push_str("; the window is still open: this is what was counted so far");
    } else if range["complete"] == false {
        line.push_str("; a part of the range is unknown");
    }
    line.push_str(&format!(
        "; complete up to {}",
        text(&answer["freshness"]["complete_up_to"])
    ));
    line
}

fn pipelines(answer: &Value) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["pipeline", "version", "sets", "complete up to"]);
    for pipeline in answer["pipelines"].as_array().into_iter().flatten() {
        let sets = pipeline["sets"].as_array().into_iter().flatten();
        let sets: Vec<String> = sets
            .filter_map(|set| Some(format!("{} ({})", set["set"].as_str()?, set["groups"])))
            .collect();
        table.add_row([
            pipeline["pipeline"].as_str().unwrap_or_default().to_owned(),
            pipeline["version"].to_string(),
            sets.join(", "),
            pipeline["freshness"]["complete_up_to"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        ]);
    }
    writeln!(stdout(), "{table}")?;
    Ok(())
}

fn count(value: &Value) -> String {
    number(value).map_or_else(|| "unknown".into(), thousands)
}

/// The path and the parameters.
fn question(arguments: &Query) -> Question {
    let Some(pipeline) = &arguments.pipeline else {
        return ("/v1/pipelines".into(), Vec::new());
    };
    let mut pairs: Vec<(&'static str, String)> = Vec::new();
    let what = match (&arguments.items[..], arguments.phi) {
        ([], None) => {
            pairs.push(("k", arguments.k.to_string()));
            "top"
        }
        ([], Some(phi)) => {
            pairs.push(("phi", phi.to_string()));
            "heavy-hitters"
        }
        (items, _) => {
            pairs.extend(items.iter().map(|item| ("item", item.clone())));
            "estimate"
        }
    };
    pairs.extend(arguments.open.then(|| ("open", "true".into())));
    pairs.extend(arguments.about.filters.iter().map(|filter| ("where", filter.clone())));
    let given = [
        ("set", &arguments.about.set),
        ("last", &arguments.about.last),
        ("from", &arguments.from),
        ("to", &arguments.to),
        ("tz", &arguments.tz),
    ];
    pairs.extend(
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?))),
    );
    (format!("/v1/pipelines/{}/{what}", segment(pipeline)), pairs)
}
