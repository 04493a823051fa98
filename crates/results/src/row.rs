//! One row of a sink table: the answer of a closed window and a group.

use crate::store::Scope;
use crate::{Answer, Unreadable};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// A row as pipelines write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its version.
    pub version: u64,
    /// The dimension set: `category,region`, or `*`.
    pub set: String,
    /// The group: `category=shoes|region=eu`, or `*`.
    pub group: String,
    /// First millisecond of the window, since the epoch.
    pub start: i64,
    /// The millisecond behind the window.
    pub end: i64,
    /// The answer, if the row carries one.
    pub answer: Option<Answer>,
    /// The bytes of the sketch, if the row carries one.
    pub sketch: Option<Vec<u8>>,
}

/// The row's JSON. The answer comes nested or as a quoted text, by the engine.
#[derive(Deserialize)]
struct Fields {
    pipeline: String,
    version: u64,
    set: String,
    group_key: String,
    window_start: i64,
    window_end: i64,
    #[serde(default)]
    answer: Value,
    #[serde(default)]
    sketch: Option<String>,
}

/// What a range needs of a row: its answer is left alone.
#[derive(Deserialize)]
struct Sketched<'a> {
    window_start: i64,
    window_end: i64,
    #[serde(borrow, default)]
    sketch: Option<std::borrow::Cow<'a, str>>,
}

impl Row {
    /// Reads the JSON of a row, also if all of it is a quoted text.
    ///
    /// # Errors
    /// If a column is missing, or the answer is none.
    pub fn parse(text: &[u8]) -> Result<Self, Unreadable> {
        let fields: Fields = unquoted(text)?;
        let answer = match fields.answer {
            Value::Null => None,
            value => Some(Answer::read(&value)?),
        };
        Ok(Self {
            pipeline: fields.pipeline,
            version: fields.version,
            set: fields.set,
            group: fields.group_key,
            start: fields.window_start,
            end: fields.window_end,
            answer,
            sketch: fields.sketch.as_deref().map(sketch).transpose()?,
        })
    }

    /// The window's length in milliseconds.
    pub fn width(&self) -> i64 {
        self.end.saturating_sub(self.start)
    }

    /// The version of the pipeline that it is of.
    pub fn scope(&self) -> Scope {
        Scope {
            pipeline: self.pipeline.clone(),
            version: self.version,
        }
    }

    /// The row's JSON, without its sketch: what `latest` holds.
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }

    pub(crate) fn to_value(&self) -> Value {
        json!({
            "pipeline": self.pipeline, "version": self.version, "set": self.set, "group_key": self.group,
            "window_start": self.start, "window_end": self.end,
            "answer": self.answer.as_ref().map(Answer::to_value),
        })
    }
}

/// A window of a group, as ranges read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pane {
    /// First millisecond of the window.
    pub start: i64,
    /// The millisecond behind the window.
    pub end: i64,
    /// The bytes of its sketch; `None` if the pipeline writes none.
    pub sketch: Option<Vec<u8>>,
}

impl Pane {
    /// Reads the JSON of a row.
    ///
    /// # Errors
    /// If the window is missing or the sketch is no base64.
    pub fn parse(text: &[u8]) -> Result<Self, Unreadable> {
        // Rows that are quoted in full are rare, and cost a second look.
        let fields: Sketched<'_> = match serde_json::from_slice(text) {
            Ok(fields) => fields,
            Err(_) => {
                let row = Row::parse(text)?;
                return Ok(Self {
                    start: row.start,
                    end: row.end,
                    sketch: row.sketch,
                });
            }
        };
        Ok(Self {
            start: fields.window_start,
            end: fields.window_end,
            sketch: fields.sketch.as_deref().map(sketch).transpose()?,
        })
    }
}

fn unquoted<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, Unreadable> {
    let unreadable = |error: serde_json::Error| Unreadable::Json(error.to_string());
    match serde_json::from_slice(text) {
        Ok(fields) => Ok(fields),
        Err(error) => match serde_json::from_slice::<String>(text) {
            Ok(inner) => serde_json::from_str(&inner).map_err(unreadable),
            Err(_) => Err(unreadable(error)),
        },
    }
}

fn sketch(text: &str) -> Result<Vec<u8>, Unreadable> {
    BASE64_STANDARD.decode(text).map_err(|_| Unreadable::Field("sketch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"format":1,"kind":"count","k":1,"capacity":8,"total":4,"skipped":0,"exact":true,"certain_leaders":1,"max_missed":1,"items":[{"rank":1,"item":"a","estimate":3,"lower":3,"upper":3,"certain":true}],"other":{"estimate":1,"lower":1,"upper":1}}"#;

    fn text(answer: &Value) -> String {
        json!({"pipeline": "p", "version": 2, "set": "r", "group_key": "r=eu", "window_start": 60_000, "window_end": 120_000, "answer": answer, "sketch": "AQI="}).to_string()
    }

    #[test]
    fn rows_of_both_engines_read_the_same() {
        let nested = Row::parse(text(&serde_json::from_str(ANSWER).unwrap()).as_bytes()).unwrap();
        let quoted = Row::parse(text(&Value::String(ANSWER.into())).as_bytes()).unwrap();
        let whole = Value::String(text(&Value::String(ANSWER.into()))).to_string();
        assert_eq!(nested, quoted);
        assert_eq!(nested, Row::parse(whole.as_bytes()).unwrap());
        assert_eq!(
            (nested.width(), nested.sketch.as_deref()),
            (60_000, Some([1, 2].as_slice()))
        );
        let pane = Pane::parse(whole.as_bytes()).unwrap();
        assert_eq!((pane.start, pane.sketch), (60_000, nested.sketch.clone()));
        let mut again = Row::parse(nested.to_json().as_bytes()).unwrap();
        again.sketch = nested.sketch.clone();
        assert_eq!(again, nested);
    }
}
