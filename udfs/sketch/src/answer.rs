//! The answer: the leading items with their bounds, and its JSON (format 1).
//!
//! A summary hands over its *candidates*, the items whose keys it knows, each with `lower <= true <= upper`, and one
//! number for all the others: an upper bound on any item that is no candidate. Everything that the answer claims follows
//! from these alone:
//!
//! * `max_missed` is the larger of that number and of the upper bounds of the candidates that are not listed.
//! * `certain_leaders` is the largest `j` such that the smallest lower bound among the first `j` exceeds every upper bound
//!   after them, listed or not: then no other item can reach any of the first `j`.
//! * an item is `certain` when fewer than `k` others can reach its lower bound: then it is in the true top `k`.
//! * `other`, what the items that are not listed weigh together, is `total` less the listed; its bounds swap.
//!
//! The last three are strict, so that a tie proves nothing; only an `exact` summary, which knows all counts, decides
//! ties by the item's bytes and is certain of everything.

use std::fmt::Write;

use crate::{Error, ItemKind, Measure};

/// A count and what is proven about it: `lower <= true <= upper`, always.
///
/// `u64::MAX` reads as "this or more": counters saturate and never wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// The likely count.
    pub estimate: u64,
    /// The item was seen at least this often.
    pub lower: u64,
    /// The item was seen at most this often.
    pub upper: u64,
}

/// An item as answers show it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// Text.
    Text(String),
    /// Bytes, or text that is no UTF-8.
    Bytes(Vec<u8>),
    /// An integer.
    Int64(i64),
}

impl Item {
    pub(crate) fn from_key(kind: ItemKind, key: &[u8]) -> Self {
        match kind {
            ItemKind::Text => match std::str::from_utf8(key) {
                Ok(text) => Item::Text(text.to_owned()),
                Err(_) => Item::Bytes(key.to_vec()),
            },
            ItemKind::Bytes => Item::Bytes(key.to_vec()),
            ItemKind::Int64 => Item::Int64(key.try_into().map_or(0, i64::from_le_bytes)),
        }
    }

    /// The bytes that the item was made from.
    pub(crate) fn into_key(self) -> Vec<u8> {
        match self {
            Item::Text(text) => text.into_bytes(),
            Item::Bytes(bytes) => bytes,
            Item::Int64(value) => value.to_le_bytes().to_vec(),
        }
    }

    /// The item as text: integers in decimal, bytes in base64.
    pub fn to_text(&self) -> String {
        match self {
            Item::Text(text) => text.clone(),
            Item::Bytes(bytes) => base64(bytes),
            Item::Int64(value) => value.to_string(),
        }
    }

    /// What ties are broken by: the bytes of the item's text, or of the byte string itself.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Item::Int64(a), Item::Int64(b)) => a.to_string().cmp(&b.to_string()),
            (a, b) => a.raw().cmp(b.raw()),
        }
    }

    fn raw(&self) -> &[u8] {
        match self {
            Item::Text(text) => text.as_bytes(),
            Item::Bytes(bytes) => bytes,
            Item::Int64(_) => &[],
        }
    }
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerItem {
    /// 1 for the first.
    pub rank: usize,
    /// The item.
    pub item: Item,
    /// The likely count.
    pub estimate: u64,
    /// Proven: at least this.
    pub lower: u64,
    /// Proven: at most this; `u64::MAX` is "this or more", and shown as the total.
    pub upper: u64,
    /// Proven to be in the true top `k`, or above the share asked for.
    pub certain: bool,
}

/// What all the items that are not listed weigh together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Other {
    /// The likely weight.
    pub estimate: u128,
    /// Proven: at least this.
    pub lower: u128,
    /// Proven: at most this.
    pub upper: u128,
}

/// The share that [`heavy_hitters`](crate::TopK::heavy_hitters) was asked for, and whether no item above it can be missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// The share of the total.
    pub phi: f64,
    /// Whether every item above the share is proven to be listed.
    pub complete: bool,
}

/// The leading items of a stream, with bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Rows or weights.
    pub kind: Measure,
    /// How many items were asked for (for a share: how many are listed).
    pub k: usize,
    /// How many items the summary tracks.
    pub capacity: usize,
    /// The weight of all rows counted.
    pub total: u128,
    /// Rows that were not counted: NULL items, NULL or negative weights.
    pub skipped: u64,
    /// Whether nothing was ever evicted: then every number is the true one.
    pub exact: bool,
    /// That many leading items are proven to be the true top.
    pub certain_leaders: usize,
    /// Proven: no item that is not listed was seen more often.
    pub max_missed: u64,
    /// The items, best first; ties by the item's bytes.
    pub items: Vec<AnswerItem>,
    /// Everything that is not listed.
    pub other: Other,
    /// Set by [`heavy_hitters`](crate::TopK::heavy_hitters) only.
    pub share: Option<Share>,
}

/// What a summary knows when it is asked.
pub(crate) struct Knowledge {
    pub measure: Measure,
    pub capacity: usize,
    pub total: u128,
    pub skipped: u64,
    pub exact: bool,
    /// The items whose keys are known.
    pub candidates: Vec<(Item, Estimate)>,
    /// An upper bound on every item that is no candidate.
    pub elsewhere: u64,
}

impl Knowledge {
    /// The top `k`.
    pub(crate) fn top(mut self, k: usize) -> Result<Answer, Error> {
        if k == 0 || k > self.capacity {
            return Err(Error::K {
                k,
                capacity: self.capacity,
            });
        }
        self.sort();
        let listed = k.min(self.candidates.len());
        Ok(self.list(k, listed))
    }

    /// Every item that may exceed the share `phi` of the total.
    pub(crate) fn above(mut self, phi: f64) -> Result<Answer, Error> {
        if !(phi > 0.0 && phi < 1.0) {
            return Err(Error::Share {
                name: "phi",
                value: phi,
            });
        }
        // "More than phi of the total", in integers. The product in f64 is off by a few units in its last place; widened
        // by more than that, an item at the edge is listed as possible instead of lost or declared certain.
        let product = phi * self.total as f64;
        let surely_below = (product * (1.0 - 8.0 * f64::EPSILON)) as u128;
        let surely_above = (product * (1.0 + 8.0 * f64::EPSILON)).ceil() as u128;
        self.sort();
        let (mut candidates, below): (Vec<_>, Vec<_>) = self
            .candidates
            .into_iter()
            .partition(|(_, e)| u128::from(e.upper) > surely_below);
        let listed = candidates.len();
        candidates.extend(below);
        self.candidates = candidates;
        let mut answer = self.list(listed, listed);
        for item in &mut answer.items {
            item.certain = u128::from(item.lower) > surely_above;
        }
        let complete = u128::from(answer.max_missed) <= surely_below && answer.max_missed < u64::MAX;
        answer.share = Some(Share { phi, complete });
        Ok(answer)
    }

    fn sort(&mut self) {
        self.candidates
            .sort_unstable_by(|(a, x), (b, y)| y.estimate.cmp(&x.estimate).then_with(|| a.order(b)));
    }

    /// Lists the first `listed` candidates of a sorted list.
    fn list(self, k: usize, listed: usize) -> Answer {
        let Knowledge {
            measure,
            capacity,
            total,
            skipped,
            exact,
            candidates,
            elsewhere,
        } = self;
        // The largest upper bound after each position: backwards from `elsewhere`.
        let mut after = elsewhere;
        for (_, e) in &candidates[listed..] {
            after = after.max(e.upper);
        }
        let max_missed = after;
        let mut rivals = vec![max_missed; listed];
        for i in (0..listed).rev() {
            rivals[i] = after;
            after = after.max(candidates[i].1.upper);
        }
        let mut weakest = u64::MAX;
        let mut certain_leaders = 0;
        for (i, (_, e)) in candidates[..listed].iter().enumerate() {
            weakest = weakest.min(e.lower);
            if weakest > rivals[i] {
                certain_leaders = i + 1;
            }
        }
        let mut uppers: Vec<u64> = candidates.iter().map(|(_, e)| e.upper).collect();
        uppers.sort_unstable();
        let in_top = |lower: u64| {
            let reach = uppers.len() - uppers.partition_point(|upper| *upper < lower);
            elsewhere < lower && reach <= k
        };
        let (mut estimates, mut lowers, mut uppers_sum, mut open) = (0u128, 0u128, 0u128, false);
        let items: Vec<AnswerItem> = candidates
            .into_iter()
            .take(listed)
            .enumerate()
            .map(|(i, (item, e))| {
                estimates += u128::from(e.estimate);
                lowers += u128::from(e.lower);
                uppers_sum += u128::from(e.upper);
                open |= e.upper == u64::MAX;
                AnswerItem {
                    rank: i + 1,
                    item,
                    estimate: e.estimate,
                    lower: e.lower,
                    upper: e.upper,
                    certain: exact || in_top(e.lower),
                }
            })
            .collect();
        Answer {
            kind: measure,
            k,
            capacity,
            total,
            skipped,
            exact,
            certain_leaders: if exact { listed } else { certain_leaders },
            max_missed,
            items,
            other: Other {
                estimate: total.saturating_sub(estimates),
                lower: if open { 0 } else { total.saturating_sub(uppers_sum) },
                upper: total.saturating_sub(lowers),
            },
            share: None,
        }
    }
}

impl Answer {
    /// The answer as JSON, format 1.
    ///
    /// Integers above 2^53 are strings, since readers keep numbers in doubles. Bytes, and text that is no UTF-8, stand in
    /// `item_base64` in place of `item`. Answers of a share carry `phi` and `complete` behind `k`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hitters_sketch::{ItemKind, Measure, TopK};
    ///
    /// let mut top = TopK::new(ItemKind::Text, Measure::Count, 8)?;
    /// top.update(b"/index.html", 3);
    /// top.update(b"/about.html", 1);
    /// assert_eq!(
    ///     top.answer(1)?.to_json(),
    ///     r#"{"format":1,"kind":"count","k":1,"capacity":8,"total":4,"skipped":0,"exact":true,"certain_leaders":1,"max_missed":1,"items":[{"rank":1,"item":"/index.html","estimate":3,"lower":3,"upper":3,"certain":true}],"other":{"estimate":1,"lower":1,"upper":1}}"#
    /// );
    /// # Ok::<(), hitters_sketch::Error>(())
    /// ```
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(256 + 112 * self.items.len());
        let bound = |upper: u64| {
            if upper == u64::MAX {
                self.total
            } else {
                u128::from(upper)
            }
        };
        let _ = write!(out, r#"{{"format":1,"kind":"{}","k":"#, self.kind);
        digits(&mut out, self.k as u128);
        if let Some(share) = self.share {
            let _ = write!(out, r#","phi":{},"complete":{}"#, share.phi, share.complete);
        }
        out.push_str(r#","capacity":"#);
        digits(&mut out, self.capacity as u128);
        out.push_str(r#","total":"#);
        number(&mut out, self.total);
        out.push_str(r#","skipped":"#);
        number(&mut out, self.skipped.into());
        out.push_str(r#","exact":"#);
        out.push_str(truth(self.exact));
        out.push_str(r#","certain_leaders":"#);
        digits(&mut out, self.certain_leaders as u128);
        out.push_str(r#","max_missed":"#);
        number(&mut out, bound(self.max_missed));
        out.push_str(r#","items":["#);
        for (i, item) in self.items.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            out.push_str(r#"{"rank":"#);
            digits(&mut out, item.rank as u128);
            match &item.item {
                Item::Bytes(bytes) => {
                    let _ = write!(out, r#","item_base64":"{}""#, base64(bytes));
                }
                Item::Text(text) => {
                    out.push_str(r#","item":"#);
                    string(&mut out, text);
                }
                Item::Int64(value) => {
                    let _ = write!(out, r#","item":"{value}""#);
                }
            }
            out.push_str(r#","estimate":"#);
            number(&mut out, item.estimate.into());
            out.push_str(r#","lower":"#);
            number(&mut out, item.lower.into());
            out.push_str(r#","upper":"#);
            number(&mut out, bound(item.upper));
            out.push_str(r#","certain":"#);
            out.push_str(truth(item.certain));
            out.push('}');
        }
        out.push_str(r#"],"other":{"estimate":"#);
        number(&mut out, self.other.estimate);
        out.push_str(r#","lower":"#);
        number(&mut out, self.other.lower);
        out.push_str(r#","upper":"#);
        number(&mut out, self.other.upper);
        out.push_str("}}");
        out
    }
}

impl Estimate {
    /// The estimate as JSON: `{"estimate":3,"lower":3,"upper":3}`; integers above 2^53 are strings.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(64);
        for (name, value) in [
            ("{\"estimate\":", self.estimate),
            (",\"lower\":", self.lower),
            (",\"upper\":", self.upper),
        ] {
            out.push_str(name);
            number(&mut out, value.into());
        }
        out.push('}');
        out
    }
}

/// Writes an integer: as a number while a double holds it, else as a string.
pub(crate) fn number(out: &mut String, value: u128) {
    let quote = if value > 1 << 53 { "\"" } else { "" };
    out.push_str(quote);
    digits(out, value);
    out.push_str(quote);
}

/// Writes the digits of an integer. An answer has some fifty of them, and `write!` takes half of the time that it costs.
fn digits(out: &mut String, value: u128) {
    let Ok(mut rest) = u64::try_from(value) else {
        let _ = write!(out, "{value}");
        return;
    };
    let (mut digits, mut n) = (['0'; 20], 0);
    for digit in &mut digits {
        *digit = char::from(b'0' + (rest % 10) as u8);
        rest /= 10;
        n += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits.iter().take(n).rev());
}

/// JSON's word for it.
fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Writes a JSON string (RFC 8259, section 7).
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Standard base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .enumerate()
            .fold(0u32, |bits, (i, b)| bits | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63] as char;
            out.push(if i <= chunk.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_as_in_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn json_escapes_what_would_break_it_and_quotes_what_a_double_would_round() {
        let mut out = String::new();
        string(&mut out, "a\"\\\n\u{1}\u{e9}");
        assert_eq!(out, "\"a\\\"\\\\\\n\\u0001\u{e9}\"");
        let mut out = String::new();
        number(&mut out, 1 << 53);
        number(&mut out, (1 << 53) + 1);
        assert_eq!(out, "9007199254740992\"9007199254740993\"");
        for value in [0, 7, 10, u64::MAX.into(), 1 << 64, u128::MAX] {
            let mut out = String::new();
            digits(&mut out, value);
            assert_eq!(out, value.to_string());
        }
    }

    fn known(list: &[(&str, u64, u64, u64)], elsewhere: u64, total: u128) -> Knowledge {
        Knowledge {
            measure: Measure::Count,
            capacity: 10,
            total,
            skipped: 0,
            exact: false,
            candidates: list
                .iter()
                .map(|(item, lower, estimate, upper)| {
                    (
                        Item::Text((*item).into()),
                        Estimate {
                            estimate: *estimate,
                            lower: *lower,
                            upper: *upper,
                        },
                    )
                })
                .collect(),
            elsewhere,
        }
    }

    #[test]
    fn leaders_are_certain_only_when_nobody_can_reach_them() {
        let list = [
            ("a", 90, 95, 100),
            ("b", 50, 50, 60),
            ("c", 48, 49, 55),
            ("d", 10, 20, 30),
        ];
        let answer = known(&list, 25, 1000).top(3).unwrap();
        // b and c can swap, but no other item reaches them: the first and the first three are certain as sets.
        assert_eq!(answer.certain_leaders, 3);
        assert_eq!(answer.max_missed, 30);
        assert!(answer.items.iter().all(|item| item.certain));
        let answer = known(&list, 49, 1000).top(2).unwrap();
        assert_eq!((answer.certain_leaders, answer.max_missed), (1, 55));
        assert_eq!(
            answer.items.iter().map(|i| i.certain).collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!(
            answer.other,
            Other {
                estimate: 855,
                lower: 840,
                upper: 860
            }
        );
    }

    #[test]
    fn heavy_hitters_are_complete_only_when_nothing_above_the_share_can_be_missing() {
        let list = [("a", 90, 95, 100), ("b", 5, 50, 60)];
        let answer = known(&list, 40, 1000).above(0.05).unwrap();
        assert_eq!(answer.items.len(), 2);
        assert_eq!(
            answer.items.iter().map(|i| i.certain).collect::<Vec<_>>(),
            [true, false]
        );
        assert!(answer.share.unwrap().complete);
        assert!(!known(&list, 51, 1000).above(0.05).unwrap().share.unwrap().complete);
    }
}
