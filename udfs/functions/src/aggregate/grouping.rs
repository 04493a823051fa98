//! Rows of a batch by group: a counting sort into slices of row numbers.
//!
//! The sort is stable, so that each group sees its rows in the order of the batch: a sketch is a function of that order. It
//! costs two passes over the group numbers and touches only the counters of groups that have rows, so that a batch of a
//! thousand rows does not walk the counters of a hundred thousand groups. The counters stay allocated from batch to batch:
//! 4 bytes a group and 4 bytes a row of the largest batch.

use arrow::buffer::BooleanBuffer;

/// The scratch space of the sort.
#[derive(Debug, Default)]
pub(crate) struct Grouping {
    /// Rows of each group; all zero between batches.
    counts: Vec<u32>,
    /// Groups that have rows, in the order of their first.
    touched: Vec<u32>,
    /// Row numbers, group by group.
    order: Vec<u32>,
}

impl Grouping {
    /// Sorts the rows for which `keep` is set (all without it) by group, and calls `visit` for each group that has any.
    ///
    /// `groups` holds the group of each row, below `total`. Stops at the first error.
    pub fn visit<E>(
        &mut self,
        groups: &[usize],
        total: usize,
        keep: Option<&BooleanBuffer>,
        mut visit: impl FnMut(usize, &[u32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { counts, touched, order } = self;
        if counts.len() < total {
            counts.resize(total, 0);
        }
        touched.clear();
        let mut rows = 0u32;
        let mut count = |group: usize| {
            let count = &mut counts[group];
            if *count == 0 {
                touched.push(group as u32);
            }
            *count += 1;
            rows += 1;
        };
        match keep {
            None => groups.iter().for_each(|group| count(*group)),
            Some(keep) => keep.set_indices().for_each(|row| count(groups[row])),
        }
        // From counts to the position of each group's first row.
        let mut next = 0;
        for group in touched.iter() {
            let count = &mut counts[*group as usize];
            (*count, next) = (next, next + *count);
        }
        order.resize(rows as usize, 0);
        let mut place = |row: usize| {
            let next = &mut counts[groups[row]];
            order[*next as usize] = row as u32;
            *next += 1;
        };
        match keep {
            None => (0..groups.len()).for_each(&mut place),
            Some(keep) => keep.set_indices().for_each(&mut place),
        }
        // Now each counter holds the end of its group.
        let mut result = Ok(());
        let mut start = 0;
        for group in touched.iter() {
            let end = std::mem::take(&mut counts[*group as usize]);
            if result.is_ok() {
                result = visit(*group as usize, &order[start as usize..end as usize]);
            }
            start = end;
        }
        result
    }

    /// Heap bytes held.
    pub fn size(&self) -> usize {
        4 * (self.counts.capacity() + self.touched.capacity() + self.order.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the sort promises, written the slow way.
    fn expected(groups: &[usize], keep: Option<&[bool]>) -> Vec<(usize, Vec<u32>)> {
        let mut slices: Vec<(usize, Vec<u32>)> = Vec::new();
        for (row, group) in groups.iter().enumerate() {
            if keep.is_some_and(|keep| !keep[row]) {
                continue;
            }
            match slices.iter_mut().find(|(g, _)| g == group) {
                Some((_, rows)) => rows.push(row as u32),
                None => slices.push((*group, vec![row as u32])),
            }
        }
        slices
    }

    proptest! {
        #[test]
        fn each_group_sees_its_rows_in_order_batch_after_batch(
            batches in prop::collection::vec(prop::collection::vec((0usize..9, any::<bool>()), 0..40), 1..5),
            filtered in any::<bool>(),
        ) {
            let mut grouping = Grouping::default();
            for batch in &batches {
                let (groups, keep): (Vec<usize>, Vec<bool>) = batch.iter().copied().unzip();
                let buffer = filtered.then(|| BooleanBuffer::from(keep.clone()));
                let mut seen = Vec::new();
                grouping
                    .visit(&groups, 9, buffer.as_ref(), |group, rows| {
                        seen.push((group, rows.to_vec()));
                        Ok::<_, ()>(())
                    })
                    .unwrap();
                prop_assert_eq!(seen, expected(&groups, filtered.then_some(keep.as_slice())));
            }
        }
    }

    #[test]
    fn counters_are_clean_after_an_error() {
        let mut grouping = Grouping::default();
        assert_eq!(grouping.visit(&[0, 1, 0], 2, None, |_, _| Err(())), Err(()));
        let mut seen = Vec::new();
        grouping
            .visit(&[1, 1, 0], 2, None, |g, rows| {
                Ok::<_, ()>(seen.push((g, rows.to_vec())))
            })
            .unwrap();
        assert_eq!(seen, [(1, vec![0, 1]), (0, vec![2])]);
    }
}
