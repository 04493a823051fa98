//! An answer, format 1: read from JSON, taken from a sketch, written as JSON.

use hitters_sketch::Measure;
use serde_json::{Map, Value, json};

/// A count with what is proven about it: `lower <= true <= upper`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The likely count.
    pub estimate: u128,
    /// The true count is at least this.
    pub lower: u128,
    /// The true count is at most this.
    pub upper: u128,
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// 1 for the first.
    pub rank: u64,
    /// The item as text; bytes that are no text as base64.
    pub item: String,
    /// The item is bytes in base64.
    pub base64: bool,
    /// How often, or how much.
    pub count: Bounds,
    /// Proven to be among the true top.
    pub certain: bool,
}

/// The top items of a window and group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether rows were counted or weights added.
    pub kind: Measure,
    /// How many items were asked for.
    pub k: u64,
    /// How many items the sketch tracks.
    pub capacity: u64,
    /// Rows or weight that was counted.
    pub total: u128,
    /// Rows that could not be counted (NULL item, NULL or negative weight).
    pub skipped: u128,
    /// True if nothing was ever evicted: every number is the true one.
    pub exact: bool,
    /// So many leading items are proven to be the true top.
    pub certain_leaders: u64,
    /// No item that is not listed counts more than this.
    pub max_missed: u128,
    /// The items, best first.
    pub items: Vec<Item>,
    /// All other items together.
    pub other: Bounds,
    /// Of an answer about a share: whether every item above it is listed.
    pub complete: Option<bool>,
}

/// Why a text is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The text is no JSON, or no object.
    #[error("not a JSON object: {0}")]
    Json(String),
    /// Another version wrote it.
    #[error("the answer has format {0}, this version reads format 1: update the reader")]
    Format(String),
    /// A field is missing or has another type.
    #[error("the answer has no {0} that can be read")]
    Field(&'static str),
}

impl Answer {
    /// Reads JSON text.
    ///
    /// # Errors
    /// If it is no answer of format 1. Fields that this version does not know are ignored: format 1 may get more of them.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let value: Value = serde_json::from_str(text).map_err(|error| Unreadable::Json(error.to_string()))?;
        Self::read(&value)
    }

    /// Reads a JSON value: the answer itself, or a string that holds it.
    ///
    /// # Errors
    /// As [`Answer::parse`].
    pub fn read(value: &Value) -> Result<Self, Unreadable> {
        match value {
            Value::String(text) => {
                let inner: Value = serde_json::from_str(text).map_err(|error| Unreadable::Json(error.to_string()))?;
                // One level only: a string in a string was never written by an engine.
                if inner.is_string() {
                    Err(Unreadable::Json("a string".into()))
                } else {
                    Self::read(&inner)
                }
            }
            Value::Object(_) => Self::object(value),
            _ => Err(Unreadable::Json("neither an object nor a string".into())),
        }
    }

    fn object(value: &Value) -> Result<Self, Unreadable> {
        match value.get("format") {
            Some(Value::Number(format)) if format.as_u64() == Some(1) => {}
            Some(other) => return Err(Unreadable::Format(other.to_string())),
            None => return Err(Unreadable::Field("format")),
        }
        let items = value
            .get("items")
            .and_then(Value::as_array)
            .ok_or(Unreadable::Field("items"))?;
        Ok(Self {
            kind: match value.get("kind").and_then(Value::as_str) {
                Some("count") => Measure::Count,
                Some("sum") => Measure::Sum,
                _ => return Err(Unreadable::Field("kind")),
            },
            k: small(value, "k")?,
            capacity: small(value, "capacity")?,
            total: number(value, "total")?,
            skipped: number(value, "skipped")?,
            exact: truth(value, "exact")?,
            certain_leaders: small(value, "certain_leaders")?,
            max_missed: number(value, "max_missed")?,
            items: items.iter().map(item).collect::<Result<_, _>>()?,
            other: bounds(value.get("other").ok_or(Unreadable::Field("other"))?)?,
            complete: value.get("complete").and_then(Value::as_bool),
        })
    }

    /// The answer of a window without rows.
    pub fn empty(kind: Measure, k: u64, capacity: u64) -> Self {
        Self {
            kind,
            k,
            capacity,
            total: 0,
            skipped: 0,
            exact: true,
            certain_leaders: 0,
            max_missed: 0,
            items: Vec::new(),
            other: Bounds::default(),
            complete: None,
        }
    }

    /// The first `k` of its items: what is proven stays proven.
    #[must_use]
    pub fn first(mut self, k: u64) -> Self {
        let kept = usize::try_from(k).unwrap_or(usize::MAX).min(self.items.len());
        self.k = self.k.min(k);
        for dropped in self.items.drain(kept..) {
            self.max_missed = self.max_missed.max(dropped.count.upper);
            self.other.estimate = self.other.estimate.saturating_add(dropped.count.estimate);
        }
        let sum = |of: fn(&Item) -> u128| self.items.iter().map(of).fold(0, u128::saturating_add);
        self.other.upper = self.total.saturating_sub(sum(|item| item.count.lower));
        self.other.lower = self.total.saturating_sub(sum(|item| item.count.upper));
        self.other.estimate = self.other.estimate.clamp(self.other.lower, self.other.upper);
        self.certain_leaders = self.certain_leaders.min(kept as u64);
        for (place, item) in self.items.iter_mut().enumerate() {
            // "Among the true top k" of a larger k says nothing of a smaller one; certain leaders are that in order.
            item.certain = (place as u64) < self.certain_leaders;
        }
        self
    }

    /// The answer as a JSON value, format 1.
    pub fn to_value(&self) -> Value {
        let items: Vec<Value> = self.items.iter().map(Item::to_value).collect();
        let mut value = json!({
            "format": 1, "kind": self.kind.to_string(), "k": self.k, "capacity": self.capacity,
            "total": count(self.total), "skipped": count(self.skipped), "exact": self.exact,
            "certain_leaders": self.certain_leaders, "max_missed": count(self.max_missed),
            "items": items, "other": self.other.to_value(),
        });
        if let Some(complete) = self.complete {
            value["complete"] = complete.into();
        }
        value
    }
}

/// An integer as JSON: a number while a double holds it, else a string.
pub fn count(value: u128) -> Value {
    match u64::try_from(value) {
        Ok(small) if small <= 1 << 53 => small.into(),
        _ => value.to_string().into(),
    }
}

impl Bounds {
    /// Bounds of a sketch, in which the largest count reads as "this or more": the total then.
    pub fn of(estimate: hitters_sketch::Estimate, total: u128) -> Self {
        Self {
            estimate: estimate.estimate.into(),
            lower: estimate.lower.into(),
            upper: saturated(estimate.upper, total),
        }
    }

    /// As JSON.
    pub fn to_value(&self) -> Value {
        json!({ "estimate": count(self.estimate), "lower": count(self.lower), "upper": count(self.upper) })
    }
}

impl Item {
    /// As JSON.
    pub fn to_value(&self) -> Value {
        let mut value = Map::new();
        value.insert("rank".into(), self.rank.into());
        let name = if self.base64 { "item_base64" } else { "item" };
        value.insert(name.into(), self.item.clone().into());
        value.insert("estimate".into(), count(self.count.estimate));
        value.insert("lower".into(), count(self.count.lower));
        value.insert("upper".into(), count(self.count.upper));
        value.insert("certain".into(), self.certain.into());
        value.into()
    }
}

fn saturated(upper: u64, total: u128) -> u128 {
    if upper == u64::MAX { total } else { upper.into() }
}

impl From<hitters_sketch::Answer> for Answer {
    fn from(answer: hitters_sketch::Answer) -> Self {
        let total = answer.total;
        let item = |item: hitters_sketch::AnswerItem| Item {
            rank: item.rank as u64,
            item: item.item.to_text(),
            base64: matches!(item.item, hitters_sketch::Item::Bytes(_)),
            count: Bounds {
                estimate: item.estimate.into(),
                lower: item.lower.into(),
                upper: saturated(item.upper, total),
            },
            certain: item.certain,
        };
        Self {
            kind: answer.kind,
            k: answer.k as u64,
            capacity: answer.capacity as u64,
            total,
            skipped: answer.skipped.into(),
            exact: answer.exact,
            certain_leaders: answer.certain_leaders as u64,
            max_missed: saturated(answer.max_missed, total),
            items: answer.items.into_iter().map(item).collect(),
            other: Bounds {
                estimate: answer.other.estimate,
                lower: answer.other.lower,
                upper: answer.other.upper,
            },
            complete: answer.share.map(|share| share.complete),
        }
    }
}

fn item(value: &Value) -> Result<Item, Unreadable> {
    let text = value
        .get("item")
        .or_else(|| value.get("item_base64"))
        .and_then(Value::as_str);
    Ok(Item {
        rank: small(value, "rank")?,
        item: text.ok_or(Unreadable::Field("item"))?.to_owned(),
        base64: value.get("item").is_none(),
        count: bounds(value)?,
        certain: truth(value, "certain")?,
    })
}

fn bounds(value: &Value) -> Result<Bounds, Unreadable> {
    Ok(Bounds {
        estimate: number(value, "estimate")?,
        lower: number(value, "lower")?,
        upper: number(value, "upper")?,
    })
}

/// An integer, or a string that holds one: JSON readers keep numbers in doubles, so those above 2^53 are written as text.
fn number(value: &Value, field: &'static str) -> Result<u128, Unreadable> {
    let number = match value.get(field) {
        Some(Value::Number(number)) => number.as_u64().map(u128::from),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    number.ok_or(Unreadable::Field(field))
}

fn small(value: &Value, field: &'static str) -> Result<u64, Unreadable> {
    number(value, field).and_then(|number| u64::try_from(number).map_err(|_| Unreadable::Field(field)))
}

fn truth(value: &Value, field: &'static str) -> Result<bool, Unreadable> {
    value
        .get(field)
        .and_then(Value::as_bool)
        .ok_or(Unreadable::Field(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer() -> Value {
        json!({
            "format": 1, "kind": "count", "k": 1, "capacity": 8, "total": "9007199254740993", "skipped": 2, "exact": false,
            "certain_leaders": 1, "max_missed": 17, "later": [],
            "items": [{"rank": 1, "item": "/index.html", "estimate": 5120, "lower": 5118, "upper": 5120, "certain": true}],
            "other": {"estimate": 1, "lower": 0, "upper": 2}
        })
    }

    #[test]
    fn nested_and_quoted_answers_read_the_same() {
        let nested = Answer::read(&answer()).expect("an answer");
        let quoted = Answer::read(&Value::String(answer().to_string())).expect("an answer");
        assert_eq!(nested, quoted);
        assert_eq!(nested.total, (1 << 53) + 1);
        assert_eq!(
            nested.items[0].count,
            Bounds {
                estimate: 5120,
                lower: 5118,
                upper: 5120
            }
        );
    }

    #[test]
    fn an_answer_is_written_as_it_was_read() {
        let mut value = answer();
        value.as_object_mut().unwrap().remove("later");
        assert_eq!(Answer::read(&value).unwrap().to_value(), value);
        let mut sketch = hitters_sketch::TopK::new(hitters_sketch::ItemKind::Text, Measure::Count, 8).unwrap();
        for (item, weight) in [("a", 5), ("b", 3), ("c", 1)] {
            sketch.update(item.as_bytes(), weight);
        }
        let answer = sketch.answer(3).unwrap();
        assert_eq!(Answer::parse(&answer.to_json()).unwrap(), answer.clone().into());
        let first = Answer::from(answer).first(2);
        assert_eq!(Answer::from(sketch.answer(2).unwrap()), first);
    }

    #[test]
    fn what_is_no_answer_says_why() {
        let without = |field: &str| {
            let mut value = answer();
            value.as_object_mut().and_then(|object| object.remove(field));
            Answer::read(&value)
        };
        assert_eq!(without("total"), Err(Unreadable::Field("total")));
        assert_eq!(without("other"), Err(Unreadable::Field("other")));
        let mut later = answer();
        later["format"] = json!(2);
        assert_eq!(Answer::read(&later), Err(Unreadable::Format("2".into())));
        let negative = answer().to_string().replace("\"max_missed\":17", "\"max_missed\":-1");
        assert_eq!(Answer::parse(&negative), Err(Unreadable::Field("max_missed")));
        assert!(matches!(Answer::parse("[]"), Err(Unreadable::Json(_))));
        assert!(matches!(Answer::parse("\"\\\"x\\\"\""), Err(Unreadable::Json(_))));
    }
}
