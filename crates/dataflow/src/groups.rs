//! Aggregates by group: the state of one pane, and the partial form in which it travels and is saved.
//!
//! Keys are found by [`GroupKeys`], aggregates are DataFusion's `GroupsAccumulator`s. Group ids are given in the order in
//! which keys are first seen. A partial is a record batch with one row a group: keys, then the first and last
//! event time where the window needs them (sessions), then the state columns of every aggregate. Taking a partial out of a
//! table and merging it into an empty one gives the same table.

use crate::Error;
use crate::batch::{assemble, record_batch};
use crate::expr::{evaluate, evaluate_predicate};
use crate::keys::{GroupKeys, KeyColumns};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use datafusion_expr::{EmitTo, GroupsAccumulator};
use datafusion_physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use hitters_functions::{Frozen, freeze};
use hitters_planner::plan::{Aggregate, NamedExpr};
use std::sync::Arc;

/// What is grouped and aggregated.
pub struct Grouping {
    keys: Vec<NamedExpr>,
    aggregates: Vec<Aggregate>,
    key_types: Vec<DataType>,
    partial: SchemaRef,
    /// Arguments of each aggregate, its ORDER BY expressions after them (ordered aggregates sort by themselves).
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    state_counts: Vec<usize>,
    with_times: bool,
}

/// The columns that a grouping needs of some rows.
#[derive(Clone)]
pub struct Inputs {
    rows: usize,
    keys: Vec<ArrayRef>,
    arguments: Vec<Vec<ArrayRef>>,
    filters: Vec<Option<BooleanArray>>,
    times: Option<Int64Array>,
}

impl Grouping {
    /// `input` is the schema of the rows; `with_times` keeps first and last event time by group.
    pub fn new(input: &Schema, keys: &[NamedExpr], aggregates: &[Aggregate], with_times: bool) -> Result<Self, Error> {
        let key_fields: Vec<FieldRef> = keys
            .iter()
            .map(|key| Ok(Arc::new(Field::new(&key.name, key.expr.data_type(input)?, true))))
            .collect::<Result<_, Error>>()?;
        let mut partial = key_fields.clone();
        if with_times {
            partial.push(Arc::new(Field::new("first_time", DataType::Int64, false)));
            partial.push(Arc::new(Field::new("last_time", DataType::Int64, false)));
        }
        let mut state_counts = Vec::with_capacity(aggregates.len());
        for (ordinal, aggregate) in aggregates.iter().enumerate() {
            let state = aggregate.function.state_fields()?;
            state_counts.push(state.len());
            // Two calls may bear one name, and states are found by position anyway.
            partial.extend(state.iter().map(|field| {
                Arc::new(Field::new(
                    format!("{ordinal} {}", field.name()),
                    field.data_type().clone(),
                    true,
                ))
            }));
        }
        let arguments = aggregates
            .iter()
            .map(|aggregate| {
                let ordering = aggregate.function.order_bys().iter().map(|sort| sort.expr.clone());
                aggregate.function.expressions().into_iter().chain(ordering).collect()
            })
            .collect();
        Ok(Self {
            keys: keys.to_vec(),
            aggregates: aggregates.to_vec(),
            key_types: key_fields.iter().map(|field| field.data_type().clone()).collect(),
            partial: Arc::new(Schema::new(partial)),
            arguments,
            state_counts,
            with_times,
        })
    }

    /// The schema of a partial.
    pub fn partial_schema(&self) -> &SchemaRef {
        &self.partial
    }

    /// How many columns of a partial are keys.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Whether the result is the same in whatever order rows come.
    pub fn is_commutative(&self) -> bool {
        self.aggregates.iter().all(|aggregate| aggregate.commutative)
    }

    /// Evaluates keys, arguments and filters over rows.
    pub fn inputs(&self, rows: &RecordBatch, times: Option<&Int64Array>) -> Result<Inputs, Error> {
        let all =
            |exprs: &[Arc<dyn PhysicalExpr>]| exprs.iter().map(|e| evaluate(e, rows)).collect::<Result<Vec<_>, _>>();
        Ok(Inputs {
            rows: rows.num_rows(),
            keys: self
                .keys
                .iter()
                .map(|key| evaluate(&key.expr, rows))
                .collect::<Result<_, _>>()?,
            arguments: self
                .arguments
                .iter()
                .map(|exprs| all(exprs))
                .collect::<Result<_, _>>()?,
            filters: self
                .aggregates
                .iter()
                .map(|a| {
                    a.filter
                        .as_ref()
                        .map(|filter| evaluate_predicate(filter, rows))
                        .transpose()
                })
                .collect::<Result<_, _>>()?,
            times: if self.with_times { times.cloned() } else { None },
        })
    }
}

impl Grouping {
    /// The inputs that [`Inputs::to_rows`] wrote.
    pub fn inputs_of(&self, rows: &RecordBatch) -> Result<Inputs, Error> {
        let mut columns = rows.columns().iter().cloned();
        let mut next = || {
            columns
                .next()
                .ok_or_else(|| Error::State("rows of another grouping".into()))
        };
        let mut some = |count: usize| (0..count).map(|_| next()).collect::<Result<Vec<_>, Error>>();
        let keys = some(self.keys.len())?;
        let arguments = self.arguments.iter().map(|arguments| some(arguments.len()));
        let arguments = arguments.collect::<Result<_, _>>()?;
        let filter = |aggregate: &Aggregate| match &aggregate.filter {
            Some(_) => Ok(Some(next()?.as_boolean().clone())),
            None => Ok(None),
        };
        let filters = self.aggregates.iter().map(filter).collect::<Result<_, Error>>()?;
        let times = match self.with_times {
            true => Some(next()?.as_primitive::<Int64Type>().clone()),
            false => None,
        };
        Ok(Inputs {
            rows: rows.num_rows(),
            keys,
            arguments,
            filters,
            times,
        })
    }
}

impl Inputs {
    /// All columns as rows, keys first.
    pub fn to_rows(&self) -> Result<RecordBatch, Error> {
        let mut columns = self.keys.clone();
        columns.extend(self.arguments.iter().flatten().cloned());
        let filters = self.filters.iter().flatten();
        columns.extend(filters.map(|filter| Arc::new(filter.clone()) as ArrayRef));
        columns.extend(self.times.iter().map(|times| Arc::new(times.clone()) as ArrayRef));
        let field = |(at, column): (usize, &ArrayRef)| Field::new(at.to_string(), column.data_type().clone(), true);
        let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
        record_batch(Arc::new(Schema::new(fields)), columns, self.rows)
    }

    /// The inputs of rows at these positions.
    pub fn take(&self, positions: &UInt32Array) -> Result<Self, Error> {
        let all = |columns: &[ArrayRef]| {
            columns
                .iter()
                .map(|c| Ok(take(c, positions, None)?))
                .collect::<Result<Vec<_>, Error>>()
        };
        Ok(Self {
            rows: positions.len(),
            keys: all(&self.keys)?,
            arguments: self
                .arguments
                .iter()
                .map(|columns| all(columns))
                .collect::<Result<_, _>>()?,
            filters: self
                .filters
                .iter()
                .map(|f| {
                    f.as_ref()
                        .map(|f| Ok::<_, Error>(take(f, positions, None)?.as_boolean().clone()))
                        .transpose()
                })
                .collect::<Result<_, _>>()?,
            times: self
                .times
                .as_ref()
                .map(|t| Ok::<_, Error>(take(t, positions, None)?.as_primitive::<Int64Type>().clone()))
                .transpose()?,
        })
    }
}

/// Groups with their aggregates.
pub struct GroupTable {
    grouping: Arc<Grouping>,
    /// `None` if there is nothing to group by: all rows are one group.
    keys: Option<GroupKeys>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// First and last event time by group.
    times: Vec<(i64, i64)>,
    groups: usize,
    ids: Vec<usize>,
}

impl GroupTable {
    /// An empty table.
    pub fn new(grouping: Arc<Grouping>) -> Result<Self, Error> {
        let keys = match grouping.key_types.as_slice() {
            [] => None,
            types => Some(GroupKeys::new(types)?),
        };
        let accumulators = grouping.aggregates.iter().map(accumulator).collect::<Result<_, _>>()?;
        Ok(Self {
            grouping,
            keys,
            accumulators,
            times: Vec::new(),
            groups: 0,
            ids: Vec::new(),
        })
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.groups
    }

    /// True before the first row.
    pub fn is_empty(&self) -> bool {
        self.groups == 0
    }

    /// Adds rows.
    pub fn update(&mut self, inputs: &Inputs) -> Result<(), Error> {
        if inputs.rows == 0 {
            return Ok(());
        }
        self.intern(&inputs.keys, inputs.rows)?;
        for ((accumulator, arguments), filter) in
            self.accumulators.iter_mut().zip(&inputs.arguments).zip(&inputs.filters)
        {
            accumulator.update_batch(arguments, &self.ids, filter.as_ref(), self.groups)?;
        }
        if let Some(times) = &inputs.times {
            self.widen(times.values(), times.values());
        }
        Ok(())
    }

    /// Adds a partial of the same grouping.
    pub fn merge(&mut self, partial: &RecordBatch) -> Result<(), Error> {
        if partial.num_rows() == 0 {
            return Ok(());
        }
        let mut at = self.grouping.keys.len();
        self.intern(&partial.columns()[..at], partial.num_rows())?;
        if self.grouping.with_times {
            let bound = |column: usize| partial.column(column).as_primitive::<Int64Type>().clone();
            self.widen(bound(at).values(), bound(at + 1).values());
            at += 2;
        }
        for (accumulator, count) in self.accumulators.iter_mut().zip(&self.grouping.state_counts) {
            accumulator.merge_batch(&partial.columns()[at..at + count], &self.ids, self.groups)?;
            at += count;
        }
        Ok(())
    }

    /// Takes everything out as a partial; the table is empty afterwards.
    pub fn take_partial(&mut self) -> Result<RecordBatch, Error> {
        let (mut columns, groups) = (self.take_keys()?, self.groups);
        columns.extend(self.time_columns());
        self.times.clear();
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        self.groups = 0;
        // States come in the types of the accumulators, which for views and dictionaries may differ from the declared.
        assemble(&self.grouping.partial, columns, groups)
    }

    /// A copy of everything, with the table as it was. Keys are shared with copies before; sketches are shared until they
    /// change, which costs a pointer each. The states of other aggregates are given away by their owners and have to be put
    /// back.
    pub fn freeze(&mut self) -> Result<FrozenPartial, Error> {
        let groups = self.groups;
        let keys = self.keys.as_mut().map(GroupKeys::copy);
        self.ids.clear();
        self.ids.extend(0..groups);
        let times = self.time_columns();
        let mut states = Vec::with_capacity(self.accumulators.len());
        for accumulator in &mut self.accumulators {
            states.push(match freeze(accumulator.as_ref()) {
                Some(frozen) => States::Shared(frozen),
                None => {
                    let state = accumulator.state(EmitTo::All)?;
                    accumulator.merge_batch(&state, &self.ids, groups)?;
                    States::Copied(state)
                }
            });
        }
        Ok(FrozenPartial {
            grouping: self.grouping.clone(),
            keys,
            times,
            states,
            groups,
        })
    }

    /// Keys and results of all groups; the table is empty afterwards.
    pub fn take_results(&mut self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>), Error> {
        let keys = self.take_keys()?;
        let results = self
            .accumulators
            .iter_mut()
            .map(|a| Ok(a.evaluate(EmitTo::All)?))
            .collect::<Result<_, Error>>()?;
        self.times.clear();
        self.groups = 0;
        Ok((keys, results))
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let keys = self.keys.as_ref().map_or(0, |keys| keys.size());
        let accumulators: usize = self.accumulators.iter().map(|a| a.size()).sum();
        keys + accumulators + self.times.capacity() * size_of::<(i64, i64)>() + self.ids.capacity() * size_of::<usize>()
    }

    /// Finds or makes the group of each row, into `self.ids`.
    fn intern(&mut self, keys: &[ArrayRef], rows: usize) -> Result<(), Error> {
        match &mut self.keys {
            Some(of_groups) => {
                of_groups.find(keys, &mut self.ids)?;
                self.groups = of_groups.len();
            }
            None => {
                self.ids.clear();
                self.ids.resize(rows, 0);
                self.groups = 1;
            }
        }
        Ok(())
    }

    fn take_keys(&mut self) -> Result<Vec<ArrayRef>, Error> {
        match &mut self.keys {
            Some(keys) => keys.take().arrays(),
            None => Ok(Vec::new()),
        }
    }

    fn time_columns(&self) -> Vec<ArrayRef> {
        if !self.grouping.with_times {
            return Vec::new();
        }
        let first: Int64Array = self.times.iter().map(|t| t.0).collect();
        let last: Int64Array = self.times.iter().map(|t| t.1).collect();
        vec![Arc::new(first), Arc::new(last)]
    }

    fn widen(&mut self, first: &[i64], last: &[i64]) {
        self.times.resize(self.groups, (i64::MAX, i64::MIN));
        for ((id, first), last) in self.ids.iter().zip(first).zip(last) {
            let times = &mut self.times[*id];
            *times = (times.0.min(*first), times.1.max(*last));
        }
    }
}

/// What [`GroupTable::freeze`] copied. It becomes a partial on whatever thread has the time.
pub struct FrozenPartial {
    grouping: Arc<Grouping>,
    keys: Option<KeyColumns>,
    times: Vec<ArrayRef>,
    states: Vec<States>,
    groups: usize,
}

enum States {
    Shared(Box<dyn Frozen>),
    Copied(Vec<ArrayRef>),
}

impl FrozenPartial {
    /// The partial that [`GroupTable::take_partial`] would have given.
    pub fn into_partial(self) -> Result<RecordBatch, Error> {
        let mut columns = match self.keys {
            Some(keys) => keys.arrays()?,
            None => Vec::new(),
        };
        columns.extend(self.times);
        for states in self.states {
            columns.extend(match states {
                States::Shared(frozen) => frozen.states(),
                States::Copied(columns) => columns,
            });
        }
        assemble(&self.grouping.partial, columns, self.groups)
    }
}

/// DataFusion's own choice: the vectorised accumulator of a function, or one plain accumulator for each group.
fn accumulator(aggregate: &Aggregate) -> Result<Box<dyn GroupsAccumulator>, Error> {
    let function = aggregate.function.clone();
    if function.groups_accumulator_supported() {
        Ok(function.create_groups_accumulator()?)
    } else {
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || {
            function.create_accumulator()
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use datafusion_physical_expr::expressions::Column;

    /// Rows of two keys, of which one may be NULL.
    fn rows(numbers: &[i64]) -> RecordBatch {
        let texts = numbers
            .iter()
            .map(|n| (n % 3 > 0).then(|| format!("a text of number {n}")));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(texts.collect::<StringViewArray>()),
            Arc::new(Int64Array::from(numbers.to_vec())),
        ];
        let field = |name: &str, column: &ArrayRef| Field::new(name, column.data_type().clone(), true);
        let schema = Schema::new(vec![field("text", &columns[0]), field("number", &columns[1])]);
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    #[test]
    fn a_table_goes_on_after_it_was_frozen_or_emptied() {
        let key = |at, name: &str| NamedExpr {
            expr: Arc::new(Column::new(name, at)),
            name: name.into(),
        };
        let schema = rows(&[]).schema();
        let grouping = Grouping::new(&schema, &[key(0, "text"), key(1, "number")], &[], false).unwrap();
        let mut table = GroupTable::new(Arc::new(grouping)).unwrap();
        for _ in 0..2 {
            let mut add = |numbers: &[i64]| {
                let inputs = table.grouping.inputs(&rows(numbers), None).unwrap();
                table.update(&inputs).unwrap();
                table.freeze().unwrap().into_partial().unwrap()
            };
            assert_eq!(add(&[3, 1, 2, 1]), rows(&[3, 1, 2]));
            assert_eq!(add(&[2, 4, 3, 5]), rows(&[3, 1, 2, 4, 5]));
            assert_eq!(table.take_partial().unwrap(), rows(&[3, 1, 2, 4, 5]));
            assert!(table.is_empty());
        }
    }
}
