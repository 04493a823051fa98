//! What was asked: the parameters of a request, read strictly. An unknown parameter is an error, since a misspelled one that
//! is ignored gives a wrong answer without a word.

use crate::problem::Problem;
use crate::times;
use hitters_results::Filter;
use http::StatusCode;
use jiff::tz::TimeZone;
use serde_json::json;
use std::collections::BTreeMap;

/// Items of one question, and of one answer.
pub const MOST_K: u64 = 1000;
/// Items of `item=`.
pub const MOST_ITEMS: usize = 100;
/// Questions that the window which is still open can be asked.
pub const OPEN: [&str; 4] = ["top", "estimate", "heavy-hitters", "live"];
/// Steps of a series.
pub const MOST_STEPS: usize = 2000;

/// Which events a question is about.
#[derive(Clone, Debug)]
pub struct About {
    /// `where`.
    pub filter: Filter,
    /// `set`.
    pub set: Option<String>,
    /// Of which time.
    pub when: When,
    /// `tz`.
    pub zone: TimeZone,
    /// Its name.
    pub zone_name: String,
}

/// Of which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The newest closed window.
    Newest,
    /// So many ms up to its end.
    Last(i64),
    /// From, to; without an end up to that of the newest window.
    Range(i64, Option<i64>),
    /// The window that is still open.
    Open,
}

/// The other range of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// Just before.
    Previous,
    /// So many ms earlier.
    Earlier(i64),
    /// From that time on.
    Time(i64),
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// The top K.
    Top { k: u64 },
    /// The bounds of items.
    Estimate { items: Vec<String> },
    /// All items above a share.
    Heavy { phi: f64 },
    /// Items over time.
    Series {
        k: u64,
        items: Vec<String>,
        step: Option<i64>,
    },
    /// Two ranges.
    Compare { k: u64, against: Against },
    /// Where items are going.
    Trends {
        k: u64,
        items: Vec<String>,
        step: Option<i64>,
    },
}

/// The parameters of a request, taken out one by one.
pub struct Parameters(BTreeMap<String, Vec<String>>);

impl Parameters {
    /// Of these pairs.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in pairs {
            all.entry(name).or_default().push(value);
        }
        Self(all)
    }

    /// A parameter that may be given once. An empty value is an error: it is mostly a variable of a dashboard that was not filled.
    pub fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.0.remove(name).unwrap_or_default();
        if values.len() > 1 {
            let detail = format!("{name} is given {} times; give it once", values.len());
            return Err(Problem::parameter(name, detail, json!(values)));
        }
        match values.pop() {
            Some(empty) if empty.is_empty() => {
                let detail = format!("{name} is empty; give it a value, or leave it out");
                Err(Problem::parameter(name, detail, json!({ "min_length": 1 })))
            }
            value => Ok(value),
        }
    }

    /// A parameter that may be given several times.
    pub fn many(&mut self, name: &str) -> Vec<String> {
        self.0.remove(name).unwrap_or_default()
    }

    /// A whole number in a range.
    pub fn number(&mut self, name: &str, default: u64, least: u64, most: u64) -> Result<u64, Problem> {
        let Some(text) = self.one(name)? else {
            return Ok(default);
        };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| {
            let detail = format!("{name} = {text} is no whole number from {least} to {most}");
            Problem::parameter(name, detail, json!({ "min": least, "max": most }))
        })
    }

    /// Yes or no; no if it is not given.
    fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.one(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(text) => {
                let detail = format!("{name} = {text} is neither true nor false");
                Err(Problem::parameter(name, detail, json!(["true", "false"])))
            }
        }
    }

    /// A page of something sorted by name: how many, and those behind which.
    pub fn cursor(&mut self) -> Result<(usize, Option<String>), Problem> {
        let limit = self.number("limit", 100, 1, 1000)?;
        Ok((usize::try_from(limit).unwrap_or(100), self.one("cursor")?))
    }

    /// `item`, again and again.
    fn items(&mut self) -> Result<Vec<String>, Problem> {
        let mut items = self.many("item");
        let mut seen = std::collections::BTreeSet::new();
        items.retain(|item| seen.insert(item.clone()));
        if items.len() > MOST_ITEMS {
            let detail = format!(
                "{} items are asked for; at most {MOST_ITEMS} go in one question",
                items.len()
            );
            return Err(Problem::parameter("item", detail, json!({ "max": MOST_ITEMS })));
        }
        Ok(items)
    }

    fn step(&mut self) -> Result<Option<i64>, Problem> {
        self.one("step")?.map(|text| times::duration("step", &text)).transpose()
    }

    /// The time zone `tz`, UTC by default, and its name.
    pub fn zone(&mut self) -> Result<(String, TimeZone), Problem> {
        let name = self.one("tz")?.unwrap_or_else(|| "UTC".into());
        let zone = times::zone(&name)?;
        Ok((name, zone))
    }

    /// `where`, `set`, `last`, `from`, `to`, `tz`, and for some questions `open`.
    pub fn about(&mut self, what: &str) -> Result<About, Problem> {
        let (zone_name, zone) = self.zone()?;
        let filter = self.filter()?;
        let set = self.one("set")?;
        let (last, from, to) = (self.one("last")?, self.one("from")?, self.one("to")?);
        let open = OPEN.contains(&what) && self.flag("open")?;
        let when = match (last, from, to) {
            (None, None, None) if open => When::Open,
            _ if open => {
                let detail = "open goes without last, from and to: it is the window that is still open";
                return Err(Problem::parameter("open", detail, json!(["open", "last", "from, to"])));
            }
            (None, None, None) => When::Newest,
            (Some(last), None, None) => When::Last(times::duration("last", &last)?),
            (None, Some(from), to) => {
                let from = times::time("from", &from, &zone)?;
                let to = to.map(|to| times::time("to", &to, &zone)).transpose()?;
                if to.is_some_and(|to| to <= from) {
                    let detail = "to is not after from; a range needs a beginning and a later end";
                    return Err(Problem::parameter(
                        "to",
                        detail,
                        json!({ "after": times::show(from, &zone) }),
                    ));
                }
                When::Range(from, to)
            }
            (Some(_), ..) => {
                let detail = "last goes without from and to: it is the time up to the newest closed window";
                return Err(Problem::parameter("last", detail, json!(["last", "from", "from, to"])));
            }
            (None, None, Some(_)) => {
                let detail = "to goes with from";
                return Err(Problem::parameter("to", detail, json!(["last", "from", "from, to"])));
            }
        };
        Ok(About {
            filter,
            set,
            when,
            zone,
            zone_name,
        })
    }

    /// `where`, again for each dimension.
    pub fn filter(&mut self) -> Result<Filter, Problem> {
        let mut filter = Filter::default();
        for part in self.many("where") {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (part, None),
            };
            if filter.0.insert(name.clone(), value).is_some() {
                let detail = format!("where names the dimension '{name}' twice; a group has one value for each");
                return Err(Problem::parameter("where", detail, json!(["region=eu"])));
            }
        }
        Ok(filter)
    }

    /// `k`.
    pub fn k(&mut self, default: u64) -> Result<u64, Problem> {
        self.number("k", default, 1, MOST_K)
    }

    /// The question of a path.
    pub fn wanted(&mut self, what: &str, zone: &TimeZone) -> Result<Wanted, Problem> {
        Ok(match what {
            "estimate" => {
                let items = self.items()?;
                if items.is_empty() {
                    let detail = "item is missing: name the item whose count is wanted";
                    return Err(Problem::parameter(
                        "item",
                        detail,
                        json!({ "min": 1, "max": MOST_ITEMS }),
                    ));
                }
                Wanted::Estimate { items }
            }
            "heavy-hitters" => {
                let text = self.one("phi")?.unwrap_or_else(|| "0.01".into());
                let phi = text.parse().ok().filter(|phi: &f64| *phi >= 1e-4 && *phi < 1.0);
                let phi = phi.ok_or_else(|| {
                    let detail = format!("phi = {text} is no share from 0.0001 to below 1");
                    Problem::parameter("phi", detail, json!({ "min": 0.0001, "below": 1 }))
                })?;
                Wanted::Heavy { phi }
            }
            "series" => Wanted::Series {
                k: self.k(5)?,
                items: self.items()?,
                step: self.step()?,
            },
            "trends" => Wanted::Trends {
                k: self.k(10)?,
                items: self.items()?,
                step: self.step()?,
            },
            "compare" => {
                let against = match self.one("against")?.as_deref() {
                    None | Some("previous") => Against::Previous,
                    Some("day") => Against::Earlier(times::DAY),
                    Some("week") => Against::Earlier(7 * times::DAY),
                    Some(text) => Against::Time(times::time("against", text, zone)?),
                };
                Wanted::Compare {
                    k: self.k(10)?,
                    against,
                }
            }
            _ => Wanted::Top { k: self.k(10)? },
        })
    }

    /// Nothing may be left.
    pub fn end(&self, known: &[&str]) -> Result<(), Problem> {
        let Some(name) = self.0.keys().next() else {
            return Ok(());
        };
        let there = match known {
            [] => "this path has none".to_owned(),
            known => format!("those of this path are {}", known.join(", ")),
        };
        let detail = format!("there is no parameter '{name}' here; {there}");
        let title = "a parameter is unknown";
        let problem = Problem::new(StatusCode::BAD_REQUEST, "unknown-parameter", title, detail);
        Err(problem.of(name, json!(known)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(text: &str) -> Parameters {
        let pair = |pair: &str| {
            pair.split_once(':')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .unwrap()
        };
        Parameters::new(text.split('&').filter(|text| !text.is_empty()).map(pair).collect())
    }

    #[test]
    fn a_filter_tells_the_empty_text_from_null() {
        let filter = parameters("where:a=&where:b&where:c=x=y").filter().unwrap();
        let expected = [("a", Some("")), ("b", None), ("c", Some("x=y"))];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        assert_eq!(filter.0, expected.into());
        assert!(parameters("where:a=1&where:a=2").filter().is_err());
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_allowed() {
        let error = |text: &str| {
            let mut all = parameters(text);
            let about = all.about("top")?;
            all.wanted("top", &about.zone)?;
            all.end(&["k", "where"])
        };
        for (text, parameter) in [
            ("k:0", "k"),
            ("k:1001", "k"),
            ("k:ten", "k"),
            ("k:", "k"),
            ("tz:", "tz"),
            ("k:1&k:2", "k"),
            ("last:1h&from:2026-01-01", "last"),
            ("to:2026-01-01", "to"),
            ("from:2026-01-02&to:2026-01-01", "to"),
            ("tz:Mars", "tz"),
            ("where:a=1&where:a=2", "where"),
            ("kk:1", "kk"),
            ("open:yes", "open"),
            ("open:true&last:1h", "open"),
        ] {
            let problem = error(text).unwrap_err();
            assert_eq!(problem.more["parameter"], parameter, "{text}");
            assert!(!problem.more["allowed"].is_null(), "{text}");
        }
        assert_eq!(error("k:7&last:1h&where:a=1"), Ok(()));
    }
}
