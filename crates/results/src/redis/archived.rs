//! What an archive says of the windows of a pipeline's version: the hash `hh:<pipeline>:v<N>:archive`.
//!
//! ```text
//! log               the topic that the rows come from
//! kept              how long windows are kept after their end, in ms
//! <width s>:<set>   {"known":[from,to],"seen":[from,to],"sketched":true}    ms since the epoch; null: nothing yet
//! ```
//!
//! Every window between `from` and `to` of `known` that ended less than `kept` ago is there, or was empty. `seen` is how far rows
//! were written; what lies between may still lack some.

use super::{NAME, base};
use crate::row::Row;
use crate::store::{Scope, StoreError, Tier};
use crate::{Unreadable, store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// From the start of the first window to the end of the last one, ms since the epoch.
pub(super) type Range = Option<(i64, i64)>;

/// Both of them.
pub(super) fn joined(a: Range, b: Range) -> Range {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (one, other) => one.or(other),
    }
}

/// What is said of the windows of one set and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    pub known: Range,
    pub seen: Range,
    /// All of them have sketches.
    pub sketched: bool,
}

/// The hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Archived {
    pub log: String,
    pub kept: i64,
    /// By set and width in ms.
    pub tiers: BTreeMap<(String, i64), Said>,
}

/// The key of the hash.
pub(super) fn key(scope: &Scope) -> String {
    format!("{}:archive", base(scope))
}

/// The field of a set and width in ms.
pub(super) fn field(set: &str, width: i64) -> String {
    format!("{}:{set}", width / 1000)
}

impl Archived {
    /// Reads the hash; `None` if there is none.
    pub(super) fn read(key: &str, fields: &BTreeMap<String, String>) -> Result<Option<Self>, StoreError> {
        let Some(log) = fields.get("log") else { return Ok(None) };
        let wrong = |field: &str, reason| StoreError::Row {
            store: NAME,
            key: format!("{key} {field}"),
            reason,
        };
        let mut archived = Self {
            log: log.clone(),
            ..Self::default()
        };
        for (field, text) in fields {
            match field.split_once(':') {
                Some((width, set)) => {
                    let width: Result<i64, _> = width.parse();
                    let width = width.map_err(|_| wrong(field, Unreadable::Field("width")))?;
                    let said = serde_json::from_str(text);
                    let said = said.map_err(|error| wrong(field, Unreadable::Json(error.to_string())))?;
                    archived
                        .tiers
                        .insert((set.to_owned(), width.saturating_mul(1000)), said);
                }
                None if field == "kept" => {
                    archived.kept = text.parse().map_err(|_| wrong(field, Unreadable::Field("kept")))?;
                }
                None => {}
            }
        }
        Ok(Some(archived))
    }

    /// What is known in full at a time.
    pub(super) fn tiers(&self, now: i64) -> Vec<Tier> {
        let tier = |((set, width), said): (&(String, i64), &Said)| {
            let ((from, to), width) = (said.known?, *width);
            if width <= 0 {
                return None;
            }
            // A window that ended so long ago may be gone.
            let oldest = now.saturating_sub(self.kept).saturating_sub(width);
            let from = -(-from.max(oldest)).div_euclid(width) * width;
            let to = to.div_euclid(width) * width;
            (from < to).then(|| Tier {
                set: set.clone(),
                width,
                from,
                to,
            })
        };
        self.tiers.iter().filter_map(tier).collect()
    }

    /// The newest row of a group, or what stands in for it.
    pub(super) fn given_way(&self, row: Row) -> Option<Row> {
        let said = self.tiers.get(&(row.set.clone(), row.width()))?;
        if said.sketched {
            store::given_way(row, said.known)
        } else {
            Some(row)
        }
    }

    /// The end of the newest known window.
    pub(super) fn end(&self) -> Option<i64> {
        self.tiers.values().filter_map(|said| Some(said.known?.1)).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn archived(said: &str) -> Archived {
        let fields = [("log", "t"), ("kept", "600000"), ("60:a,b", said)];
        let fields = fields.map(|(field, text)| (field.to_owned(), text.to_owned()));
        Archived::read("k", &fields.into()).unwrap().unwrap()
    }

    #[test]
    fn what_may_have_expired_is_not_known_any_more() {
        let archived = archived(r#"{"known":[60000,1200000],"seen":[60000,1260000],"sketched":true}"#);
        let from = |now| archived.tiers(now).first().map(|tier| (tier.from, tier.to));
        assert_eq!(from(0), Some((MINUTE, 20 * MINUTE)));
        // The window from 10 to 11 ended just so long ago as it is kept.
        assert_eq!(from(21 * MINUTE), Some((10 * MINUTE, 20 * MINUTE)));
        assert_eq!(from(21 * MINUTE + 1), Some((11 * MINUTE, 20 * MINUTE)));
        assert_eq!(from(40 * MINUTE), None);
        assert_eq!(archived.end(), Some(20 * MINUTE));
    }

    #[test]
    fn what_is_none_says_where() {
        assert_eq!(Archived::read("k", &BTreeMap::new()), Ok(None));
        let fields = [("log", "t"), ("60:*", "{")].map(|(field, text)| (field.to_owned(), text.to_owned()));
        let error = Archived::read("hh:p:v1:archive", &fields.into())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("redis holds something else under hh:p:v1:archive 60:*"),
            "{error}"
        );
        let empty = archived(r#"{"known":null,"seen":[0,60000],"sketched":true}"#);
        assert_eq!((empty.tiers(0), empty.end()), (vec![], None));
    }
}
