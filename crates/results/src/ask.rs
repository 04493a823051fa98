//! Questions over several stores at once: what is there, and the merged sketch of any groups over any range.
//!
//! Stores come in the order in which they are preferred (recent ones first). One that is away is left out and named; what only
//! it knows becomes a gap, never a zero. A merge is a function of the windows alone: by time, then by group, so that the
//! same question has the same answer from any store.

use crate::cover::{Cover, cover};
use crate::group::{ALL, Filter, dimensions};
use crate::row::{Pane, Row};
use crate::store::{Scope, Span, Store, StoreError, Tier};
use hitters_sketch::TopK;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Windows that one question may read; what is above is refused before it is read.
const MOST_PANES: usize = 200_000;
/// Windows of one call of a store: bounds the memory of a question.
const CHUNK: usize = 2048;

/// Stores, and the questions to them.
#[derive(Clone, Debug)]
pub struct Answers {
    stores: Vec<Arc<dyn Store>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AskError {
    /// No store can be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows have no sketches.
    #[error(
        "the pipeline writes no sketches, so that only its newest window can be asked for; add a column sketch BYTEA to its sink table"
    )]
    NoSketches,
    /// Too much to read.
    #[error(
        "the question reads {panes} windows, and {most} is the most; ask for a shorter range, fewer groups, or let longer windows be kept"
    )]
    TooMany {
        /// Windows.
        panes: usize,
        /// The most.
        most: usize,
    },
    /// Sketches that do not belong together, or are none.
    #[error("a stored sketch cannot be used: {0}")]
    Sketch(#[from] hitters_sketch::Error),
}

/// What is known of a pipeline now.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The pipeline and the version to look at.
    pub scope: Scope,
    /// The newest window of each set and group, by set and group.
    pub newest: Vec<Newest>,
    /// What is known, each with the place of its store.
    pub tiers: Vec<(usize, Tier)>,
    /// The end of the newest closed window, ms since the epoch.
    pub complete_up_to: i64,
    /// Stores that are away.
    pub missing: Vec<&'static str>,
}

/// The newest window of a group.
#[derive(Clone, Debug)]
pub struct Newest {
    /// The row, without its sketch.
    pub row: Arc<Row>,
    /// Others of the pipeline have a newer one.
    pub stale: bool,
}

/// One part of a range, for which a sketch is wanted.
pub type Asked = (i64, i64);

/// What is known of one part of a range.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// The merged sketch; `None` if no window of it has rows.
    pub sketch: Option<TopK>,
    /// Parts that nobody knows.
    pub gaps: Vec<(i64, i64)>,
    /// Where it came from.
    pub source: Source,
}

/// Where an answer came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Windows with rows that were merged.
    pub panes: usize,
    /// Bytes of their sketches.
    pub bytes: usize,
    /// Groups that were rolled up.
    pub groups: usize,
    /// Widths of the windows, in ms.
    pub widths: BTreeSet<i64>,
    /// Names of the stores.
    pub stores: BTreeSet<&'static str>,
    /// Stores that are away.
    pub missing: BTreeSet<&'static str>,
}

impl Edge {
    /// The sets that have rows, by name.
    pub fn sets(&self) -> Vec<&str> {
        let sets: BTreeSet<&str> = self.newest.iter().map(|newest| newest.row.set.as_str()).collect();
        sets.into_iter().collect()
    }

    /// The set to answer from: the one with the fewest dimensions that has all those of the filter.
    pub fn set_for(&self, filter: &Filter) -> Option<&str> {
        let fitting = self.sets().into_iter().filter(|set| filter.fits(set));
        fitting.min_by_key(|set| (dimensions(set).len(), *set))
    }

    /// The groups of a set that the filter takes.
    pub fn groups(&self, set: &str, filter: &Filter) -> Vec<&Newest> {
        let of_set = self.newest.iter().filter(|newest| newest.row.set == set);
        of_set.filter(|newest| filter.takes(&newest.row.group)).collect()
    }

    /// The window that the newest rows of a set are about.
    pub fn window(&self, set: &str) -> Option<(i64, i64)> {
        let of_set = self.newest.iter().filter(|newest| newest.row.set == set);
        let newest = of_set.max_by_key(|newest| newest.row.end)?;
        Some((newest.row.start, newest.row.end))
    }

    /// The tiers of a set.
    pub fn tiers_of(&self, set: &str) -> Vec<(usize, Tier)> {
        self.tiers.iter().filter(|(_, tier)| tier.set == set).cloned().collect()
    }
}

impl Answers {
    /// Over these stores, the preferred first.
    pub fn new(stores: Vec<Arc<dyn Store>>) -> Self {
        Self { stores }
    }

    /// The stores.
    pub fn stores(&self) -> &[Arc<dyn Store>] {
        &self.stores
    }

    /// The pipelines that any store knows, by name, and the stores that are away.
    ///
    /// # Errors
    /// If no store can be asked.
    pub async fn pipelines(&self) -> Result<(Vec<Scope>, Vec<&'static str>), AskError> {
        let (mut found, mut missing, mut last) = (BTreeMap::new(), Vec::new(), None);
        for store in &self.stores {
            match store.pipelines().await {
                Ok(scopes) => scopes.into_iter().for_each(|scope| {
                    found.entry(scope.pipeline.clone()).or_insert(scope);
                }),
                Err(error) => {
                    missing.push(store.name());
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if missing.len() == self.stores.len() => Err(error.into()),
            _ => Ok((found.into_values().collect(), missing)),
        }
    }

    /// What is known of a pipeline now; `None` if no store knows it.
    ///
    /// # Errors
    /// If no store can be asked, or the only ones that can do not know it.
    pub async fn edge(&self, pipeline: &str) -> Result<Option<Edge>, AskError> {
        let (mut missing, mut last) = (Vec::new(), None);
        let mut version = None;
        for store in &self.stores {
            match store.active(pipeline).await {
                Ok(found) => version = version.or(found),
                Err(error) => {
                    missing.push(store.name());
                    last = Some(error);
                }
            }
        }
        let Some(version) = version else {
            // Whether it is there nobody can say while a store is away.
            return last.map_or(Ok(None), |error| Err(error.into()));
        };
        let scope = Scope {
            pipeline: pipeline.to_owned(),
            version,
        };
        let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
        let mut tiers = Vec::new();
        for (place, store) in self.stores.iter().enumerate() {
            if missing.contains(&store.name()) {
                continue;
            }
            let of_store = async { Ok::<_, StoreError>((store.newest(&scope).await?, store.tiers(&scope).await?)) };
            match of_store.await {
                Ok((newest, known)) => {
                    tiers.extend(known.into_iter().map(|tier| (place, extended(tier, &newest))));
                    for row in newest {
                        let key = (row.set.clone(), row.group.clone());
                        match rows.get(&key) {
                            Some(old) if old.end >= row.end => {}
                            _ => drop(rows.insert(key, row)),
                        }
                    }
                }
                Err(error @ StoreError::Away { .. }) => {
                    missing.push(store.name());
                    last = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let Some(complete_up_to) = rows.values().map(|row| row.end).max() else {
            return last.map_or(Ok(None), |error| Err(error.into()));
        };
        let newest = rows.into_values().map(|row| Newest {
            stale: row.end < complete_up_to,
            row: Arc::new(row),
        });
        Ok(Some(Edge {
            scope,
            newest: newest.collect(),
            tiers,
            complete_up_to,
            missing,
        }))
    }

    /// Whether an edge is still the newest: one cheap look, where the pipeline has a row over all.
    ///
    /// # Errors
    /// If the preferred store is away.
    pub async fn is_newest(&self, edge: &Edge) -> Result<bool, AskError> {
        let over_all = edge.newest.iter().find(|newest| newest.row.set == ALL);
        let (Some(over_all), Some(store)) = (over_all, self.stores.first()) else {
            return Ok(false);
        };
        if store.active(&edge.scope.pipeline).await? != Some(edge.scope.version) {
            return Ok(false);
        }
        let row = store.newest_of(&edge.scope, ALL, &over_all.row.group).await?;
        Ok(row.is_some_and(|row| row.end == over_all.row.end) && edge.missing.is_empty())
    }

    /// Merges the sketches of groups over each part of a range. Parts follow each other in time.
    ///
    /// # Errors
    /// If no store can be asked, the rows have no sketches, or there are too many of them.
    pub async fn merge(
        &self,
        edge: &Edge,
        set: &str,
        groups: &[String],
        parts: &[Asked],
    ) -> Result<Vec<Merged>, AskError> {
        let mut away: Vec<&'static str> = edge.missing.clone();
        loop {
            match self.try_merge(edge, set, groups, parts, &away).await {
                // Once more without it.
                Err(AskError::Store(StoreError::Away { store, .. })) if !away.contains(&store) => away.push(store),
                other => return other,
            }
        }
    }

    async fn try_merge(
        &self,
        edge: &Edge,
        set: &str,
        groups: &[String],
        parts: &[Asked],
        away: &[&'static str],
    ) -> Result<Vec<Merged>, AskError> {
        let mut tiers = edge.tiers_of(set);
        tiers.retain(|(store, _)| !away.contains(&self.stores[*store].name()));
        let covers: Vec<Cover> = parts
            .iter()
            .map(|(from, to)| self.cover(edge, set, &tiers, *from, *to))
            .collect();
        let panes = covers
            .iter()
            .map(Cover::windows)
            .sum::<usize>()
            .saturating_mul(groups.len());
        if panes > MOST_PANES {
            return Err(AskError::TooMany {
                panes,
                most: MOST_PANES,
            });
        }
        let mut merged: Vec<Merged> = covers
            .iter()
            .map(|cover| Merged {
                gaps: cover.gaps.clone(),
                source: Source {
                    groups: groups.len(),
                    missing: away.iter().copied().collect(),
                    ..Source::default()
                },
                ..Merged::default()
            })
            .collect();
        let mut waiting: Vec<(usize, Span)> = Vec::new();
        let (mut store, mut windows) = (0, 0);
        for (part, cover) in covers.iter().enumerate() {
            for piece in &cover.pieces {
                if piece.store != store {
                    merged = self
                        .read(edge, set, store, std::mem::take(&mut waiting), merged)
                        .await?;
                    (store, windows) = (piece.store, 0);
                }
                // Time before groups: in pieces of a length that fits one call.
                let step = piece
                    .width
                    .saturating_mul(i64::try_from(CHUNK.div_ceil(groups.len().max(1))).unwrap_or(1));
                let mut from = piece.from;
                while from < piece.to {
                    let to = piece.to.min(from.saturating_add(step));
                    for group in groups {
                        let span = Span {
                            group: group.clone(),
                            width: piece.width,
                            from,
                            to,
                        };
                        windows += span.windows();
                        waiting.push((part, span));
                        if windows >= CHUNK {
                            merged = self
                                .read(edge, set, store, std::mem::take(&mut waiting), merged)
                                .await?;
                            windows = 0;
                        }
                    }
                    from = to;
                }
            }
        }
        self.read(edge, set, store, waiting, merged).await
    }

    /// A range by the tiers; the newest window itself as that one window, since those of a hop begin anywhere.
    fn cover(&self, edge: &Edge, set: &str, tiers: &[(usize, Tier)], from: i64, to: i64) -> Cover {
        let cover = cover(tiers, from, to);
        let known = tiers.iter().find(|(_, tier)| tier.width == to - from);
        match known {
            Some((store, _)) if !cover.gaps.is_empty() && edge.window(set) == Some((from, to)) => Cover {
                pieces: vec![crate::cover::Piece {
                    store: *store,
                    width: to - from,
                    from,
                    to,
                }],
                gaps: Vec::new(),
            },
            _ => cover,
        }
    }

    async fn read(
        &self,
        edge: &Edge,
        set: &str,
        store: usize,
        spans: Vec<(usize, Span)>,
        mut merged: Vec<Merged>,
    ) -> Result<Vec<Merged>, AskError> {
        if spans.is_empty() {
            return Ok(merged);
        }
        let store = &self.stores[store];
        let (parts, spans): (Vec<usize>, Vec<Span>) = spans.into_iter().unzip();
        let mut panes = store.read(&edge.scope, set, &spans).await?;
        // By time, then by group: the same order from any store, however the spans were cut.
        panes.sort_by_key(|(span, pane)| (parts[*span], pane.start, *span));
        let name = store.name();
        let merge = move || {
            for (span, pane) in panes {
                add(&mut merged[parts[span]], &pane, name)?;
            }
            Ok(merged)
        };
        let done = tokio::task::spawn_blocking(merge).await;
        done.unwrap_or_else(|error| {
            Err(AskError::Store(StoreError::Away {
                store: name,
                reason: error.to_string(),
            }))
        })
    }
}

fn add(merged: &mut Merged, pane: &Pane, store: &'static str) -> Result<(), AskError> {
    let bytes = pane.sketch.as_deref().ok_or(AskError::NoSketches)?;
    let sketch = TopK::from_bytes(bytes)?;
    match &mut merged.sketch {
        Some(all) => all.merge(&sketch)?,
        none => *none = Some(sketch),
    }
    merged.source.panes += 1;
    merged.source.bytes += bytes.len();
    merged.source.widths.insert(pane.end - pane.start);
    merged.source.stores.insert(store);
    Ok(())
}

/// The newest row says up to when the windows of its width are known: those without a row since the last one are empty.
fn extended(mut tier: Tier, newest: &[Row]) -> Tier {
    let end = newest.iter().map(|row| row.end).max().unwrap_or(i64::MIN);
    let own = newest
        .iter()
        .any(|row| row.set == tier.set && row.width() == tier.width);
    if own {
        tier.to = tier.to.max(end.div_euclid(tier.width) * tier.width);
    }
    tier
}

impl Source {
    /// Adds another's.
    pub fn absorb(&mut self, other: &Source) {
        self.panes += other.panes;
        self.bytes += other.bytes;
        self.groups = self.groups.max(other.groups);
        self.widths.extend(&other.widths);
        self.stores.extend(&other.stores);
        self.missing.extend(&other.missing);
    }
}

impl Merged {
    /// Merges parts that follow each other into one.
    ///
    /// # Errors
    /// If their sketches do not belong together.
    pub fn whole(parts: &[Merged]) -> Result<Merged, AskError> {
        let mut whole = Merged::default();
        for part in parts {
            match (&mut whole.sketch, &part.sketch) {
                (Some(all), Some(sketch)) => all.merge(sketch)?,
                (none @ None, Some(sketch)) => *none = Some(sketch.clone()),
                (_, None) => {}
            }
            for (from, to) in &part.gaps {
                match whole.gaps.last_mut() {
                    Some((_, end)) if end == from => *end = *to,
                    _ => whole.gaps.push((*from, *to)),
                }
            }
            whole.source.absorb(&part.source);
        }
        Ok(whole)
    }
}
