//! Rolls windows up to longer ones: 10 s to minutes, minutes to hours, hours to days.
//!
//! A long window is made when the set is complete up to its end, from all the short ones that the store itself has, so that
//! making it again gives the same row. Which are due is seen from the store alone: what lies between the last long window and
//! the newest short one. Rows that come late, out of order between the partitions of a topic, make theirs again.

use crate::ask::AskError;
use crate::row::Row;
use crate::store::{Archive, Scope, Span};
use hitters_sketch::TopK;
use std::collections::BTreeSet;

/// The lengths that are rolled up to, in ms.
const LENGTHS: [i64; 3] = [60_000, 3_600_000, 86_400_000];

/// The next length that windows of a width fill.
pub(crate) fn next(width: i64) -> Option<i64> {
    LENGTHS
        .into_iter()
        .find(|length| *length > width && length % width == 0)
}

/// Groups that are read at once: some dozen windows of each.
const GROUPS: usize = 32;

/// What has to be made again.
#[derive(Clone, Debug, Default)]
pub struct RollUp {
    /// Set, length, start.
    late: BTreeSet<(Scope, String, i64, i64)>,
    /// Scopes that are looked at once, whether rows were written or not.
    resumed: BTreeSet<Scope>,
}

impl RollUp {
    /// Has a scope looked at for what a run before this one left.
    pub fn resume(&mut self, scope: Scope) {
        self.resumed.insert(scope);
    }

    /// Looks at rows that were written.
    pub fn wrote(&mut self, rows: &[Row]) {
        for row in rows {
            if let Some(length) = next(row.width()).filter(|_| row.start.rem_euclid(row.width()) == 0) {
                let start = row.start.div_euclid(length) * length;
                self.late.insert((row.scope(), row.set.clone(), length, start));
            }
        }
    }

    /// Makes what is due of the scopes that were written to; says how many rows it wrote.
    ///
    /// # Errors
    /// If the store is away; what was not done is done the next time.
    pub async fn run(&mut self, store: &dyn Archive) -> Result<usize, AskError> {
        let mut scopes: BTreeSet<Scope> = self.late.iter().map(|(scope, ..)| scope.clone()).collect();
        scopes.extend(self.resumed.iter().cloned());
        let mut rows = 0;
        for scope in scopes {
            // From the shortest on: hours of minutes that were just made.
            for length in LENGTHS {
                rows += self.length(store, &scope, length).await?;
            }
            self.resumed.remove(&scope);
        }
        Ok(rows)
    }

    async fn length(&mut self, store: &dyn Archive, scope: &Scope, length: i64) -> Result<usize, AskError> {
        let tiers = store.tiers(scope).await?;
        let mut written = 0;
        for tier in tiers.iter().filter(|tier| next(tier.width) == Some(length)) {
            let done = tiers.iter().find(|long| long.set == tier.set && long.width == length);
            let first = -(-tier.from).div_euclid(length) * length;
            if done.is_some_and(|long| long.to < first) {
                // Short windows between them were never rolled up and are gone: their time is unknown, not empty.
                store.forget(scope, &tier.set, length).await?;
            }
            let mut start = done.map_or(first, |long| long.to.max(first));
            let mut starts = BTreeSet::new();
            while start + length <= tier.to {
                starts.insert(start);
                start += length;
            }
            let again = self.late.iter().filter(|(of, set, long, start)| {
                (of, set, *long) == (scope, &tier.set, length) && *start >= first && start + length <= tier.to
            });
            starts.extend(again.map(|(.., start)| *start));
            if starts.is_empty() {
                continue;
            }
            let groups: Vec<String> = {
                let newest = store.newest(scope).await?;
                newest
                    .into_iter()
                    .filter(|row| row.set == tier.set)
                    .map(|row| row.group)
                    .collect()
            };
            for start in starts {
                for groups in groups.chunks(GROUPS) {
                    let rows = roll_up(store, scope, &tier.set, groups, (tier.width, length), start).await?;
                    store.write(&rows).await?;
                    self.wrote(&rows);
                    written += rows.len();
                }
                self.late.remove(&(scope.clone(), tier.set.clone(), length, start));
            }
        }
        Ok(written)
    }
}

/// The rows of a long window, of the groups whose short ones have rows with sketches.
///
/// # Errors
/// If the store is away, or a sketch cannot be used.
async fn roll_up(
    store: &dyn Archive,
    scope: &Scope,
    set: &str,
    groups: &[String],
    (width, length): (i64, i64),
    start: i64,
) -> Result<Vec<Row>, AskError> {
    let span = |group: &String| Span {
        group: group.clone(),
        width,
        from: start,
        to: start + length,
    };
    let spans: Vec<Span> = groups.iter().map(span).collect();
    let panes = store.read(scope, set, &spans).await?;
    let mut all: Vec<Option<TopK>> = groups.iter().map(|_| None).collect();
    // Rows without sketches cannot be rolled up, and questions over them say so.
    let mut bare: BTreeSet<usize> = BTreeSet::new();
    for (place, pane) in panes {
        let Some(bytes) = &pane.sketch else {
            bare.insert(place);
            continue;
        };
        let sketch = TopK::from_bytes(bytes)?;
        match &mut all[place] {
            Some(all) => all.merge(&sketch)?,
            none => *none = Some(sketch),
        }
    }
    let row = |(place, (group, sketch)): (usize, (&String, Option<TopK>))| {
        let sketch = sketch.filter(|_| !bare.contains(&place))?;
        Some(Row {
            pipeline: scope.pipeline.clone(),
            version: scope.version,
            set: set.to_owned(),
            group: group.clone(),
            start,
            end: start + length,
            answer: None,
            sketch: Some(sketch.to_bytes()),
        })
    };
    Ok(groups.iter().zip(all).enumerate().filter_map(row).collect())
}
