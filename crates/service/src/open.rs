//! The window that is still open: its rows as far as they were counted.
//!
//! An engine in the same process gives them. It is asked at most once a second however many ask, and not at all while nobody
//! does. Bounds hold for the rows that were counted so far; `complete` is false.

use crate::exposition::Exposition;
use crate::problem::Problem;
use hitters_results::{AskError, Edge, Filter, Merged, Row, Scope, StoreError};
use hitters_sketch::TopK;
use http::StatusCode;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

/// What open rows come from, as answers name it.
const NAME: &str = "engine";

/// An engine that runs in the process of the service.
pub trait Engine: Send + Sync + Debug {
    /// Whether this name is one of its pipelines.
    fn runs(&self, pipeline: &str) -> bool;

    /// The rows of its open windows, with their sketches. It may block for a moment. `None`: there are none now, since the
    /// run has ended, or they are too many for memory.
    fn open(&self) -> Option<Vec<Row>>;

    /// Writes what it counts.
    fn measure(&self, text: &mut Exposition);
}

/// Rows of open windows at one time.
#[derive(Debug)]
pub struct Opened {
    /// By set, window and group.
    rows: Vec<Row>,
    /// Tells one look from others.
    pub number: u64,
}

impl Opened {
    /// What an engine gave.
    pub fn new(mut rows: Vec<Row>, number: u64) -> Self {
        rows.sort_by(|a, b| (&a.set, a.start, a.end, &a.group).cmp(&(&b.set, b.start, b.end, &b.group)));
        Self { rows, number }
    }

    /// The part of one pipeline, if it has any.
    pub fn of(&self, pipeline: &str) -> Option<Self> {
        let rows: Vec<Row> = self
            .rows
            .iter()
            .filter(|row| row.pipeline == pipeline)
            .cloned()
            .collect();
        (!rows.is_empty()).then_some(Self {
            rows,
            number: self.number,
        })
    }

    /// The sets that have rows.
    pub fn sets(&self) -> Vec<&str> {
        let sets: BTreeSet<&str> = self.rows.iter().map(|row| row.set.as_str()).collect();
        sets.into_iter().collect()
    }

    /// The window of a set: of the width of its closed ones; the shortest, if several are open.
    pub fn window(&self, set: &str, edge: &Edge) -> Option<(i64, i64)> {
        let closed = edge.window(set).map(|(from, to)| to - from);
        let of_set = self.rows.iter().filter(|row| row.set == set);
        let found = of_set.min_by_key(|row| (Some(row.width()) != closed, row.width(), row.start))?;
        Some((found.start, found.end))
    }

    fn in_window(&self, set: &str, window: (i64, i64)) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |row| row.set == set && (row.start, row.end) == window)
    }

    /// The groups of a window that the filter takes.
    pub fn groups(&self, set: &str, window: (i64, i64), filter: &Filter) -> Vec<String> {
        let rows = self.in_window(set, window).filter(|row| filter.takes(&row.group));
        rows.map(|row| row.group.clone()).collect()
    }

    /// The row of one group.
    pub fn row(&self, set: &str, window: (i64, i64), group: &str) -> Option<&Row> {
        self.in_window(set, window).find(|row| row.group == group)
    }

    /// The state of a pipeline none of whose windows has closed yet: it is complete up to where the first one begins.
    pub fn edge(&self) -> Option<Edge> {
        let row = self.rows.first()?;
        Some(Edge {
            scope: Scope {
                pipeline: row.pipeline.clone(),
                version: row.version,
            },
            newest: Vec::new(),
            tiers: Vec::new(),
            complete_up_to: self.rows.iter().map(|row| row.start).min()?,
            missing: Vec::new(),
        })
    }

    /// Merges the sketches of groups.
    ///
    /// # Errors
    /// If the rows have none.
    pub async fn merge(
        self: &Arc<Self>,
        set: &str,
        window: (i64, i64),
        groups: &[String],
    ) -> Result<Vec<Merged>, AskError> {
        let (opened, set) = (self.clone(), set.to_owned());
        let groups: BTreeSet<String> = groups.iter().cloned().collect();
        let merge = move || {
            let mut merged = Merged::default();
            for row in opened.in_window(&set, window).filter(|row| groups.contains(&row.group)) {
                let bytes = row.sketch.as_deref().ok_or(AskError::NoSketches)?;
                let sketch = TopK::from_bytes(bytes)?;
                match &mut merged.sketch {
                    Some(all) => all.merge(&sketch)?,
                    none => *none = Some(sketch),
                }
                merged.source.bytes += bytes.len();
                merged.source.groups += 1;
            }
            merged.source.panes = usize::from(merged.sketch.is_some());
            merged.source.widths.insert(window.1 - window.0);
            merged.source.stores.insert(NAME);
            Ok(vec![merged])
        };
        let done = tokio::task::spawn_blocking(merge).await;
        done.unwrap_or_else(|error| {
            Err(AskError::Store(StoreError::Away {
                store: NAME,
                reason: error.to_string(),
            }))
        })
    }
}

/// 404: there is no such window.
pub fn none(engine: bool) -> Problem {
    let detail = if engine {
        "no window with rows is open now, or its groups are too many to look at while they are counted"
    } else {
        "the window that is still open is known to `hitters run --serve` only; this service reads what was published"
    };
    let title = "there is no open window";
    Problem::new(StatusCode::NOT_FOUND, "no-open-window", title, detail)
}
