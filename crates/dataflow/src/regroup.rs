//! A second aggregation over rows that have a window: the window is one of the keys, and a group is complete when the
//! window is.

use crate::Error;
use crate::batch::{assemble, take_rows};
use crate::groups::{GroupTable, Grouping};
use crate::operator::{Bounds, Operator, Saved, WindowRows};
use crate::publish::key_order;
use arrow::datatypes::SchemaRef;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Groups by window and keys.
pub struct Regroup {
    grouping: Arc<Grouping>,
    schema: SchemaRef,
    waiting: BTreeMap<Bounds, GroupTable>,
}

impl Regroup {
    /// `schema` is that of the rows that come out.
    pub fn new(grouping: Arc<Grouping>, schema: SchemaRef) -> Self {
        Self {
            grouping,
            schema,
            waiting: BTreeMap::new(),
        }
    }

    fn table(&mut self, window: Bounds) -> Result<&mut GroupTable, Error> {
        Ok(match self.waiting.entry(window) {
            std::collections::btree_map::Entry::Occupied(table) => table.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(GroupTable::new(self.grouping.clone())?),
        })
    }
}

impl Operator for Regroup {
    fn rows(&mut self, _input: usize, WindowRows { window, rows }: WindowRows) -> Result<Vec<WindowRows>, Error> {
        let window =
            window.ok_or_else(|| Error::State("a second aggregation got rows without a window".to_string()))?;
        let inputs = self.grouping.inputs(&rows, None)?;
        self.table(window)?.update(&inputs)?;
        Ok(Vec::new())
    }

    fn watermark(&mut self, time: i64) -> Result<Vec<WindowRows>, Error> {
        let mut ready = Vec::new();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().end <= time) {
            let (window, mut table) = entry.remove_entry();
            let groups = table.len();
            let (keys, results) = table.take_results()?;
            let order = key_order(&keys)?;
            let rows = assemble(&self.schema, keys.into_iter().chain(results).collect(), groups)?;
            let rows = order.map_or(Ok(rows.clone()), |order| take_rows(&rows, &order))?;
            ready.push(WindowRows {
                window: Some(window),
                rows,
            });
        }
        Ok(ready)
    }

    fn save(&mut self) -> Result<Vec<Saved>, Error> {
        let save = |(window, table): (&Bounds, &mut GroupTable)| {
            Ok(Saved {
                tag: (window.start, window.end),
                rows: table.freeze()?.into_partial()?,
            })
        };
        self.waiting.iter_mut().map(save).collect()
    }

    fn load(&mut self, saved: Vec<Saved>) -> Result<(), Error> {
        saved.into_iter().try_for_each(
            |Saved {
                 tag: (start, end),
                 rows,
             }| self.table(Bounds { end, start })?.merge(&rows),
        )
    }

    fn size(&self) -> usize {
        self.waiting.values().map(GroupTable::size).sum()
    }
}
