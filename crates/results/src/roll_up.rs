//! Rolls windows up to longer ones: 10 s to minutes, minutes to hours, hours to days.
//!
//! A long window is made when the set is complete up to its end, from all the short ones that the store itself has, so that
//! making it again gives the same row. Which are due is seen from the store alone: what lies between the last long window and
//! the newest short one. Rows that come late, out of order between the partitions of a topic, make theirs again.

use crate::ask::AskError;
use crate::row::Row;
use crate::store::{Archive, Scope, Span, StoreError};
use hitters_sketch::TopK;
use std::collections::BTreeSet;

/// The lengths that are rolled up to, in ms.
const LENGTHS: [i64; 3] = [60_000, 3_600_000, 86_400_000];

/// The next length that windows of a width fill.
fn next(width: i64) -> Option<i64> {
    LENGTHS
        .into_iter()
        .find(|length| *length > width && length % width == 0)
}

/// What has to be made again.
#[derive(Clone, Debug, Default)]
pub struct RollUp {
    /// Set, length, start.
    late: BTreeSet<(Scope, String, i64, i64)>,
}

impl RollUp {
    /// Looks at rows that were written.
    pub fn wrote(&mut self, rows: &[Row]) {
        for row in rows {
            if let Some(length) = next(row.width()).filter(|_| row.start.rem_euclid(row.width()) == 0) {
                let scope = Scope {
                    pipeline: row.pipeline.clone(),
                    version: row.version,
                };
                let start = row.start.div_euclid(length) * length;
                self.late.insert((scope, row.set.clone(), length, start));
            }
        }
    }

    /// Makes what is due of the scopes that were written to; says how many rows it wrote.
    ///
    /// # Errors
    /// If the store is away; what was not done is done the next time.
    pub async fn run(&mut self, store: &dyn Archive) -> Result<usize, AskError> {
        let scopes: BTreeSet<Scope> = self.late.iter().map(|(scope, ..)| scope.clone()).collect();
        let mut rows = 0;
        for scope in scopes {
            // From the shortest on: hours of minutes that were just made.
            for length in LENGTHS {
                rows += self.length(store, &scope, length).await?;
            }
        }
        Ok(rows)
    }

    async fn length(&mut self, store: &dyn Archive, scope: &Scope, length: i64) -> Result<usize, AskError> {
        let tiers = store.tiers(scope).await?;
        let mut written = 0;
        for tier in tiers.iter().filter(|tier| next(tier.width) == Some(length)) {
            let done = tiers.iter().find(|long| long.set == tier.set && long.width == length);
            let first = -(-tier.from).div_euclid(length) * length;
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
                let mut rows = Vec::new();
                for group in &groups {
                    rows.extend(roll_up(store, scope, &tier.set, group, (tier.width, length), start).await?);
                }
                store.write(&rows).await?;
                self.wrote(&rows);
                written += rows.len();
                self.late.remove(&(scope.clone(), tier.set.clone(), length, start));
            }
        }
        Ok(written)
    }
}

/// The row of a long window; `None` if the short ones have none.
///
/// # Errors
/// If the store is away, or a sketch cannot be used.
pub async fn roll_up(
    store: &dyn Archive,
    scope: &Scope,
    set: &str,
    group: &str,
    (width, length): (i64, i64),
    start: i64,
) -> Result<Option<Row>, AskError> {
    let span = Span {
        group: group.to_owned(),
        width,
        from: start,
        to: start + length,
    };
    let panes = store
        .read(scope, set, &[span])
        .await
        .map_err(|error: StoreError| AskError::Store(error))?;
    let mut all: Option<TopK> = None;
    for (_, pane) in panes {
        // Rows without sketches cannot be rolled up, and questions over them say so.
        let Some(bytes) = &pane.sketch else { return Ok(None) };
        let sketch = TopK::from_bytes(bytes)?;
        match &mut all {
            Some(all) => all.merge(&sketch)?,
            none => *none = Some(sketch),
        }
    }
    Ok(all.map(|sketch| Row {
        pipeline: scope.pipeline.clone(),
        version: scope.version,
        set: set.to_owned(),
        group: group.to_owned(),
        start,
        end: start + length,
        answer: None,
        sketch: Some(sketch.to_bytes()),
    }))
}
