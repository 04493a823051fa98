//! The JSON of answers, as OpenAPI describes it. README.md of this crate shows them by example.

use hitters_results::{Answer, Bounds, Item};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A count: an integer; above 2^53 a string, since readers keep numbers in doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u128);

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match u64::try_from(self.0) {
            Ok(small) if small <= 1 << 53 => serializer.serialize_u64(small),
            _ => serializer.serialize_str(&self.0.to_string()),
        }
    }
}

/// A change of a count; integers beyond 2^53 are strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change(pub i128);

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(small) if small.unsigned_abs() <= 1 << 53 => serializer.serialize_i64(small),
            _ => serializer.serialize_str(&self.0.to_string()),
        }
    }
}

/// A count with what is proven about it: `lower <= true <= upper`.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct Interval {
    /// The likely count.
    #[schema(value_type = CountSchema)]
    pub estimate: Count,
    /// The true count is at least this.
    #[schema(value_type = CountSchema)]
    pub lower: Count,
    /// The true count is at most this.
    #[schema(value_type = CountSchema)]
    pub upper: Count,
}

impl From<Bounds> for Interval {
    fn from(bounds: Bounds) -> Self {
        Self {
            estimate: Count(bounds.estimate),
            lower: Count(bounds.lower),
            upper: Count(bounds.upper),
        }
    }
}

/// An integer, or a string that holds one above 2^53.
#[derive(Serialize, ToSchema)]
#[schema(as = Count)]
#[serde(untagged)]
pub enum CountSchema {
    /// Up to 2^53.
    Number(i64),
    /// Above.
    Text(String),
}

/// Part of a range.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Gap {
    /// RFC 3339.
    pub from: String,
    /// RFC 3339, not included.
    pub to: String,
}

/// What was answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Range {
    /// RFC 3339.
    pub from: String,
    /// RFC 3339, not included.
    pub to: String,
    /// False if a part of it is unknown, or it is still open.
    pub complete: bool,
    /// It is a window that is still open: everything is about the rows that were counted so far.
    pub open: bool,
    /// Parts that are unknown.
    pub gaps: Vec<Gap>,
}

/// Where an answer came from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Origin {
    /// Windows that were merged.
    pub panes: usize,
    /// Groups that were rolled up.
    pub groups: usize,
    /// Bytes of sketches that were read.
    pub bytes: usize,
    /// Lengths of the windows in seconds.
    pub widths: Vec<i64>,
    /// The stores that they came from.
    pub stores: Vec<&'static str>,
    /// Stores that are away.
    pub missing_stores: Vec<&'static str>,
}

/// How fresh the stores are.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Freshness {
    /// RFC 3339: the end of the newest closed window.
    pub complete_up_to: String,
    /// The clock less that.
    pub lag_seconds: f64,
    /// Others of the pipeline have a newer window than this set.
    pub stale: bool,
}

/// What every answer begins with.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct About {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its version.
    pub version: u64,
    /// The dimension set.
    pub set: String,
    /// What the group has to be; null is NULL.
    pub r#where: BTreeMap<String, Option<String>>,
    /// What was answered.
    pub range: Range,
    /// Where it came from.
    pub source: Origin,
}

/// One item.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TopItem {
    /// 1 for the first.
    pub rank: u64,
    /// The item as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// In place of `item`, if it is bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_base64: Option<String>,
    /// How often.
    #[serde(flatten)]
    pub count: Interval,
    /// Proven to be among the true top (or above the share).
    pub certain: bool,
    /// `estimate / total`.
    pub share: Option<f64>,
}

/// Everything else.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Other {
    /// How often.
    #[serde(flatten)]
    pub count: Interval,
    /// `estimate / total`.
    pub share: Option<f64>,
}

/// The top K, or the items above a share.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Top {
    /// What was asked and where it came from.
    #[serde(flatten)]
    pub about: About,
    /// `count` (rows) or `sum` (weights).
    pub kind: String,
    /// How many were asked for.
    pub k: u64,
    /// The share that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phi: Option<f64>,
    /// Whether no item above the share can be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// How many items the sketches track.
    pub capacity: u64,
    /// All that was counted; null if nothing is known.
    #[schema(value_type = Option<CountSchema>)]
    pub total: Option<Count>,
    /// Rows that could not be counted.
    #[schema(value_type = CountSchema)]
    pub skipped: Count,
    /// Every number is the true one.
    pub exact: bool,
    /// So many leading items are proven to be the true top.
    pub certain_leaders: u64,
    /// No item that is not listed counts more.
    #[schema(value_type = Option<CountSchema>)]
    pub max_missed: Option<Count>,
    /// Best first.
    pub items: Vec<TopItem>,
    /// All others together.
    pub other: Option<Other>,
}

/// The bounds of any items.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Estimates {
    /// What was asked and where it came from.
    #[serde(flatten)]
    pub about: About,
    /// All that was counted.
    #[schema(value_type = Option<CountSchema>)]
    pub total: Option<Count>,
    /// In the order of the question.
    pub estimates: Vec<ItemEstimate>,
}

/// The bounds of one item.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ItemEstimate {
    /// The item.
    pub item: String,
    /// How often; null if nothing is known.
    #[schema(value_type = Option<CountSchema>)]
    pub estimate: Option<Count>,
    /// At least.
    #[schema(value_type = Option<CountSchema>)]
    pub lower: Option<Count>,
    /// At most.
    #[schema(value_type = Option<CountSchema>)]
    pub upper: Option<Count>,
    /// `estimate / total`.
    pub share: Option<f64>,
}

/// Items over time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Series {
    /// What was asked and where it came from.
    #[serde(flatten)]
    pub about: About,
    /// Seconds of a step.
    pub step_seconds: i64,
    /// `count` or `sum`.
    pub kind: String,
    /// Starts of the steps, ms since the epoch.
    pub times: Vec<i64>,
    /// A line for each item.
    pub series: Vec<Line>,
    /// Everything else.
    pub other: Columns,
    /// All that was counted.
    #[schema(value_type = Vec<Option<CountSchema>>)]
    pub total: Vec<Option<Count>>,
}

/// Counts by step: 0 is known to be empty, null is unknown.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Columns {
    /// Likely counts.
    #[schema(value_type = Vec<Option<CountSchema>>)]
    pub estimate: Vec<Option<Count>>,
    /// At least.
    #[schema(value_type = Vec<Option<CountSchema>>)]
    pub lower: Vec<Option<Count>>,
    /// At most.
    #[schema(value_type = Vec<Option<CountSchema>>)]
    pub upper: Vec<Option<Count>>,
}

impl Columns {
    /// Adds a step.
    pub fn push(&mut self, count: Option<Bounds>) {
        self.estimate.push(count.map(|count| Count(count.estimate)));
        self.lower.push(count.map(|count| Count(count.lower)));
        self.upper.push(count.map(|count| Count(count.upper)));
    }
}

/// An item over time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Line {
    /// The item.
    pub item: String,
    /// Its rank over the whole range, if it is listed.
    pub rank: Option<u64>,
    /// Its counts.
    #[serde(flatten)]
    pub columns: Columns,
}

/// Groups, a page of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Groups {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its version.
    pub version: u64,
    /// The dimension set.
    pub set: String,
    /// What the groups have to be.
    pub r#where: BTreeMap<String, Option<String>>,
    /// By key.
    pub groups: Vec<Group>,
    /// Pass it as `cursor` for the next page.
    pub next: Option<String>,
}

/// A group and its newest window.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Group {
    /// Its values; null is NULL.
    pub group: BTreeMap<String, Option<String>>,
    /// Its canonical text.
    pub group_key: String,
    /// All that was counted.
    #[schema(value_type = Option<CountSchema>)]
    pub total: Option<Count>,
    /// Every number is the true one.
    pub exact: bool,
    /// Others have a newer window.
    pub stale: bool,
    /// The window.
    pub window: Gap,
    /// Its leading items.
    pub items: Vec<TopItem>,
}

/// Two ranges compared.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Compare {
    /// What was asked and where it came from.
    #[serde(flatten)]
    pub about: About,
    /// The other range.
    pub against: Range,
    /// All that was counted.
    #[schema(value_type = Option<CountSchema>)]
    pub total: Option<Count>,
    /// The same of the other range.
    #[schema(value_type = Option<CountSchema>)]
    pub total_before: Option<Count>,
    /// The largest change first.
    pub items: Vec<Compared>,
}

/// An item in two ranges.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Compared {
    /// The item.
    pub item: String,
    /// `new`, `gone`, `riser`, `faller`, `steady`.
    pub status: &'static str,
    /// The interval of `change` leaves out 0.
    pub proven: bool,
    /// Now; null if not among the top.
    pub rank: Option<u64>,
    /// In the other range.
    pub rank_before: Option<u64>,
    /// Now.
    pub now: Interval,
    /// In the other range.
    pub before: Interval,
    /// The difference.
    pub change: Difference,
    /// Of the total.
    pub share: Option<f64>,
    /// Of the other total.
    pub share_before: Option<f64>,
}

/// A change with what is proven about it.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Difference {
    /// The likely change.
    #[schema(value_type = CountSchema)]
    pub estimate: Change,
    /// At least.
    #[schema(value_type = CountSchema)]
    pub lower: Change,
    /// At most.
    #[schema(value_type = CountSchema)]
    pub upper: Change,
}

/// Where items are going.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Trends {
    /// What was asked and where it came from.
    #[serde(flatten)]
    pub about: About,
    /// Seconds of a step.
    pub step_seconds: i64,
    /// Starts of the steps, ms since the epoch.
    pub times: Vec<i64>,
    /// Best of the whole range first.
    pub items: Vec<Trend>,
}

/// Where an item is going.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Trend {
    /// The item.
    pub item: String,
    /// Count a step, by least squares.
    pub slope: Option<f64>,
    /// The same of its share.
    pub slope_share: Option<f64>,
    /// Share of the first known step.
    pub share_first: Option<f64>,
    /// Share of the last known step.
    pub share_last: Option<f64>,
    /// Likely counts by step.
    #[schema(value_type = Vec<Option<CountSchema>>)]
    pub estimate: Vec<Option<Count>>,
    /// `up`, `down`, `unclear`.
    pub direction: &'static str,
}

/// Pipelines, a page of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Pipelines {
    /// By name.
    pub pipelines: Vec<Pipeline>,
    /// Pass it as `cursor` for the next page.
    pub next: Option<String>,
}

/// A pipeline and what can be asked of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Pipeline {
    /// Its name.
    pub pipeline: String,
    /// Its version.
    pub version: u64,
    /// Its dimension sets.
    pub sets: Vec<Set>,
    /// Length of its newest window in seconds.
    pub window_seconds: f64,
    /// How many items its rows list.
    pub k: u64,
    /// Whether ranges can be asked for.
    pub ranges: bool,
    /// Whether the window that is still open can be asked for.
    pub open: bool,
    /// How fresh it is.
    pub freshness: Freshness,
}

/// A dimension set.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Set {
    /// Its name.
    pub set: String,
    /// Its dimensions.
    pub dimensions: Vec<String>,
    /// How many groups.
    pub groups: usize,
    /// What is kept.
    pub windows: Vec<Kept>,
}

/// The windows of one length that are kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Kept {
    /// Their length.
    pub width_seconds: f64,
    /// Start of the first.
    pub from: String,
    /// End of the last.
    pub to: String,
    /// Where.
    pub store: &'static str,
}

/// `part / total`.
pub fn share(part: u128, total: u128) -> Option<f64> {
    (total > 0).then(|| (part as f64 / total as f64 * 1e6).round() / 1e6)
}

/// The items of an answer.
pub fn items(answer: &Answer) -> Vec<TopItem> {
    let one = |item: &Item| TopItem {
        rank: item.rank,
        item: (!item.base64).then(|| item.item.clone()),
        item_base64: item.base64.then(|| item.item.clone()),
        count: item.count.into(),
        certain: item.certain,
        share: share(item.count.estimate, answer.total),
    };
    answer.items.iter().map(one).collect()
}
