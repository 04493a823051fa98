//! What the service says, as it is shown.

use serde_json::Value;

/// A pipeline and its sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Names of its dimension sets.
    pub sets: Vec<String>,
    /// Length of its newest window in seconds.
    pub window: f64,
    /// Whether ranges can be asked for.
    pub ranges: bool,
}

/// Which groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// As the command line says.
    Given(Vec<String>),
    /// All of the set, rolled up.
    All,
    /// One, by its key.
    One(String),
}

/// How an item moved since the window before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing is known of the window before.
    Unknown,
    /// It was not listed.
    New,
    /// By so many ranks, up is positive.
    By(i64),
}

/// A line of the ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// 1 for the first.
    pub rank: u64,
    /// The item.
    pub item: String,
    /// The likely count.
    pub estimate: u128,
    /// At least.
    pub lower: u128,
    /// At most.
    pub upper: u128,
    /// Of the total.
    pub share: Option<f64>,
    /// Proven to be among the true top.
    pub certain: bool,
    /// Since the window before.
    pub change: Change,
}

/// The ranking.
#[derive(Clone, Debug, Default)]
pub struct Ranking {
    /// Its lines, best first.
    pub lines: Vec<Line>,
    /// The answer itself, for all that is said about it.
    pub answer: Value,
}

/// The counts of an item over time.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The item.
    pub item: String,
    /// By step; `None` is unknown.
    pub counts: Vec<Option<u64>>,
    /// Seconds of a step.
    pub step: u64,
}
