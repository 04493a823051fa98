//! The promises about state, byte for byte: batch cuts, layouts and groups change nothing; state, merge, go on equals never
//! having stopped; memory is counted as it is.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, LargeBinaryArray, LargeStringArray, StringArray,
    StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::{EmitTo, GroupsAccumulator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{Column, Literal};
use hitters_sketch::{ItemKind, Measure, TopK};
use proptest::prelude::*;

/// Small enough that items are evicted in these tests.
const CAPACITY: usize = 8;
const GROUPS: usize = 5;

/// A row as a test thinks of it. The item's number stands for text of some length, or for the integer itself.
#[derive(Debug, Clone, Copy)]
struct Row {
    group: usize,
    item: Option<u32>,
    weight: Option<i64>,
    filter: Option<bool>,
}

impl Row {
    fn text(&self) -> Option<String> {
        // Short ones live inside a view, long ones in a buffer.
        self.item.map(|item| {
            if item % 3 == 0 {
                format!("a rather long item {item}")
            } else {
                format!("i{item}")
            }
        })
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        0..GROUPS,
        prop::option::weighted(0.9, 0u32..30),
        prop::option::weighted(0.9, -2i64..50),
        prop::option::weighted(0.9, prop::bool::weighted(0.8)),
    );
    let row = row.prop_map(|(group, item, weight, filter)| Row {
        group,
        item,
        weight,
        filter,
    });
    prop::collection::vec(row, 0..200)
}

/// How items lie in memory.
#[derive(Debug, Clone, Copy)]
enum Layout {
    Utf8,
    LargeUtf8,
    Utf8View,
    Binary,
    LargeBinary,
    BinaryView,
    Dictionary,
    Int64,
    Int32,
}

const LAYOUTS: [Layout; 9] = [
    Layout::Utf8,
    Layout::LargeUtf8,
    Layout::Utf8View,
    Layout::Binary,
    Layout::LargeBinary,
    Layout::BinaryView,
    Layout::Dictionary,
    Layout::Int64,
    Layout::Int32,
];

impl Layout {
    fn kind(self) -> ItemKind {
        match self {
            Layout::Int64 | Layout::Int32 => ItemKind::Int64,
            Layout::Binary | Layout::LargeBinary | Layout::BinaryView => ItemKind::Bytes,
            _ => ItemKind::Text,
        }
    }

    fn array(self, rows: &[Row]) -> ArrayRef {
        let text: Vec<Option<String>> = rows.iter().map(Row::text).collect();
        let bytes: Vec<Option<&[u8]>> = text
            .iter()
            .map(|text| text.as_ref().map(|text| text.as_bytes()))
            .collect();
        let numbers: Int64Array = rows.iter().map(|row| row.item.map(i64::from)).collect();
        match self {
            Layout::Utf8 => Arc::new(StringArray::from(text)),
            Layout::LargeUtf8 => Arc::new(LargeStringArray::from(text)),
            Layout::Utf8View => Arc::new(StringViewArray::from_iter(text)),
            Layout::Binary => Arc::new(BinaryArray::from(bytes)),
            Layout::LargeBinary => Arc::new(LargeBinaryArray::from(bytes)),
            Layout::BinaryView => {
                cast(&(Arc::new(BinaryArray::from(bytes)) as ArrayRef), &DataType::BinaryView).unwrap()
            }
            Layout::Dictionary => {
                let wanted = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                cast(&(Arc::new(StringArray::from(text)) as ArrayRef), &wanted).unwrap()
            }
            Layout::Int64 => Arc::new(numbers),
            Layout::Int32 => cast(&numbers, &DataType::Int32).unwrap(),
        }
    }
}

/// A call over the columns `item` and, for sums, `weight`.
fn call(function: &str, layout: Layout, sum: bool, last: i64) -> AggregateFunctionExpr {
    let mut fields = vec![Field::new("item", layout.array(&[]).data_type().clone(), true)];
    let mut arguments: Vec<Arc<dyn PhysicalExpr>> = vec![Arc::new(Column::new("item", 0))];
    if sum {
        fields.push(Field::new("weight", DataType::Int64, true));
        arguments.push(Arc::new(Column::new("weight", 1)));
    }
    arguments.push(Arc::new(Literal::new(ScalarValue::from(last))));
    let functions = hitters_functions::aggregate_functions();
    let function = functions.into_iter().find(|f| f.name() == function).unwrap();
    AggregateExprBuilder::new(function, arguments)
        .schema(Arc::new(Schema::new(fields)))
        .alias("call")
        .build()
        .unwrap()
}

fn accumulate(layout: Layout, sum: bool) -> AggregateFunctionExpr {
    let function = if sum {
        "approx_top_sum_accumulate"
    } else {
        "approx_top_k_accumulate"
    };
    call(function, layout, sum, CAPACITY as i64)
}

fn arguments(layout: Layout, sum: bool, rows: &[Row]) -> Vec<ArrayRef> {
    let mut arrays = vec![layout.array(rows)];
    if sum {
        arrays.push(Arc::new(rows.iter().map(|row| row.weight).collect::<Int64Array>()));
    }
    arrays.push(Arc::new(Int64Array::from(vec![CAPACITY as i64; rows.len()])));
    arrays
}

fn update(groups: &mut dyn GroupsAccumulator, layout: Layout, sum: bool, filtered: bool, rows: &[Row]) {
    let indices: Vec<usize> = rows.iter().map(|row| row.group).collect();
    let filter = filtered.then(|| rows.iter().map(|row| row.filter).collect::<BooleanArray>());
    groups
        .update_batch(&arguments(layout, sum, rows), &indices, filter.as_ref(), GROUPS)
        .unwrap();
}

/// What one-by-one updates of a sketch give.
fn reference(layout: Layout, sum: bool, filtered: bool, rows: &[Row]) -> Vec<TopK> {
    let measure = if sum { Measure::Sum } else { Measure::Count };
    let mut sketches: Vec<TopK> = (0..GROUPS)
        .map(|_| TopK::new(layout.kind(), measure, CAPACITY).unwrap())
        .collect();
    for row in rows.iter().filter(|row| !filtered || row.filter == Some(true)) {
        let sketch = &mut sketches[row.group];
        let weight = if sum {
            row.weight.and_then(|weight| u64::try_from(weight).ok())
        } else {
            Some(1)
        };
        match (row.item, row.text(), weight) {
            (Some(item), _, Some(weight)) if layout.kind() == ItemKind::Int64 => sketch.update_i64(item.into(), weight),
            (_, Some(text), Some(weight)) => sketch.update(text.as_bytes(), weight),
            _ => sketch.skip(1),
        }
    }
    sketches
}

fn bytes_of(array: &dyn Array) -> Vec<Vec<u8>> {
    array
        .as_binary_view()
        .iter()
        .map(|bytes| bytes.unwrap().to_vec())
        .collect()
}

/// Cuts rows at random places.
fn cut<'a>(rows: &'a [Row], cuts: &[prop::sample::Index]) -> Vec<&'a [Row]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len() + 1)).collect();
    ends.extend([0, rows.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|ends| &rows[ends[0]..ends[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn grouped_batches_equal_one_by_one_updates(
        rows in rows(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        layout in prop::sample::select(&LAYOUTS[..]), sum in any::<bool>(), filtered in any::<bool>(),
    ) {
        let call = accumulate(layout, sum);
        let mut groups = call.create_groups_accumulator().unwrap();
        for batch in cut(&rows, &cuts) {
            update(groups.as_mut(), layout, sum, filtered, batch);
        }
        let expected: Vec<Vec<u8>> = reference(layout, sum, filtered, &rows).iter().map(TopK::to_bytes).collect();
        prop_assert_eq!(bytes_of(&groups.evaluate(EmitTo::All).unwrap()), expected);
    }

    #[test]
    fn one_group_equals_one_by_one_updates(
        rows in rows(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        layout in prop::sample::select(&LAYOUTS[..]), sum in any::<bool>(), filtered in any::<bool>(),
    ) {
        let rows: Vec<Row> = rows.into_iter().map(|row| Row { group: 0, ..row }).collect();
        let call = accumulate(layout, sum);
        let mut groups = call.create_groups_accumulator().unwrap();
        let mut single = call.create_accumulator().unwrap();
        for batch in cut(&rows, &cuts) {
            update(groups.as_mut(), layout, sum, filtered, batch);
            single.update_batch(&arguments(layout, sum, batch)).unwrap();
        }
        let filtered_bytes = reference(layout, sum, filtered, &rows)[0].to_bytes();
        prop_assert_eq!(&bytes_of(&groups.evaluate(EmitTo::First(1)).unwrap())[0], &filtered_bytes);
        let bytes = reference(layout, sum, false, &rows)[0].to_bytes();
        prop_assert_eq!(single.evaluate().unwrap(), ScalarValue::BinaryView(Some(bytes)));
    }

    #[test]
    fn state_merged_into_an_empty_one_goes_on_as_if_never_stopped(
        rows in rows(), stops in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        layout in prop::sample::select(&LAYOUTS[..]), sum in any::<bool>(),
    ) {
        let call = accumulate(layout, sum);
        let mut groups = call.create_groups_accumulator().unwrap();
        let mut single = call.create_accumulator().unwrap();
        for batch in cut(&rows, &stops) {
            update(groups.as_mut(), layout, sum, true, batch);
            single.update_batch(&arguments(layout, sum, batch)).unwrap();

            let state = groups.state(EmitTo::All).unwrap();
            let fields = call.state_fields().unwrap();
            prop_assert_eq!(state.len(), fields.len());
            prop_assert_eq!(state[0].data_type(), fields[0].data_type());
            groups = call.create_groups_accumulator().unwrap();
            let indices: Vec<usize> = (0..state[0].len()).collect();
            groups.merge_batch(&state, &indices, GROUPS).unwrap();

            let state = single.state().unwrap()[0].to_array().unwrap();
            single = call.create_accumulator().unwrap();
            single.merge_batch(&[state]).unwrap();
        }
        let expected: Vec<Vec<u8>> = reference(layout, sum, true, &rows).iter().map(TopK::to_bytes).collect();
        prop_assert_eq!(bytes_of(&groups.evaluate(EmitTo::All).unwrap()), expected);
        let all: Vec<Row> = rows.iter().map(|row| Row { group: 0, ..*row }).collect();
        let bytes = reference(layout, sum, false, &all)[0].to_bytes();
        prop_assert_eq!(single.evaluate().unwrap(), ScalarValue::BinaryView(Some(bytes)));
    }

    #[test]
    fn the_first_groups_leave_and_the_others_stay(rows in rows(), first in 0..=GROUPS) {
        let (layout, sum) = (Layout::Utf8View, false);
        let call = accumulate(layout, sum);
        let mut groups = call.create_groups_accumulator().unwrap();
        update(groups.as_mut(), layout, sum, false, &rows);
        let mut bytes = bytes_of(&groups.evaluate(EmitTo::First(first)).unwrap());
        prop_assert_eq!(bytes.len(), first);
        bytes.extend(bytes_of(&groups.evaluate(EmitTo::All).unwrap()));
        let expected: Vec<Vec<u8>> = reference(layout, sum, false, &rows).iter().map(TopK::to_bytes).collect();
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn a_state_for_each_row_merges_into_the_state_of_all(rows in rows(), filtered in any::<bool>()) {
        let (layout, sum) = (Layout::Utf8, true);
        let call = call("approx_top_sum_accumulate", layout, sum, 64);
        let mut groups = call.create_groups_accumulator().unwrap();
        let filter = filtered.then(|| rows.iter().map(|row| row.filter).collect::<BooleanArray>());
        let states = groups.convert_to_state(&arguments(layout, sum, &rows), filter.as_ref()).unwrap();
        let indices: Vec<usize> = rows.iter().map(|row| row.group).collect();
        groups.merge_batch(&states, &indices, GROUPS).unwrap();
        let merged = bytes_of(&groups.evaluate(EmitTo::All).unwrap());
        for (bytes, expected) in merged.iter().zip(reference(layout, sum, filtered, &rows)) {
            let merged = TopK::from_bytes(bytes).unwrap();
            // 64 counters hold all items of these rows: counts are exact on both ways. The capacities differ on purpose.
            prop_assert_eq!((merged.total(), merged.skipped()), (expected.total(), expected.skipped()));
        }
    }

    #[test]
    fn memory_is_the_sum_of_the_sketches(rows in rows(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let (layout, sum) = (Layout::Utf8View, false);
        let call = accumulate(layout, sum);
        let mut groups = call.create_groups_accumulator().unwrap();
        let empty = groups.size();
        for batch in cut(&rows, &cuts) {
            update(groups.as_mut(), layout, sum, false, batch);
        }
        let touched: Vec<TopK> = reference(layout, sum, false, &rows)
            .into_iter()
            .filter(|sketch| !sketch.is_empty() || sketch.skipped() > 0)
            .collect();
        let sketches: usize = touched.iter().map(|sketch| size_of::<TopK>() + sketch.size_bytes()).sum();
        let scratch = groups.size() - empty - sketches;
        prop_assert!(scratch < 8 * 16 * GROUPS + 16 * rows.len().max(16), "{scratch} bytes beside the sketches");

        let all = groups.evaluate(EmitTo::All).unwrap().len();
        prop_assert_eq!(all, GROUPS);
        prop_assert!(groups.size() - empty <= scratch, "{} bytes stay", groups.size() - empty);
    }
}

#[test]
fn a_state_of_another_call_is_refused() {
    let rows = [Row {
        group: 0,
        item: Some(1),
        weight: Some(1),
        filter: None,
    }];
    let mut other = call("approx_top_k_accumulate", Layout::Utf8, false, 99)
        .create_groups_accumulator()
        .unwrap();
    update(other.as_mut(), Layout::Utf8, false, false, &rows);
    let state = other.state(EmitTo::All).unwrap();
    let mut groups = accumulate(Layout::Utf8, false).create_groups_accumulator().unwrap();
    let indices: Vec<usize> = (0..state[0].len()).collect();
    let error = groups
        .merge_batch(&state, &indices, GROUPS)
        .unwrap_err()
        .strip_backtrace();
    assert!(
        error.contains("approx_top_k_accumulate: the state is a count of text items with capacity 99"),
        "{error}"
    );
}

#[test]
fn damaged_states_are_errors_and_no_panics() {
    let call = accumulate(Layout::Utf8, false);
    let rows: Vec<Row> = (0..40)
        .map(|i| Row {
            group: 0,
            item: Some(i),
            weight: None,
            filter: None,
        })
        .collect();
    let mut groups = call.create_groups_accumulator().unwrap();
    update(groups.as_mut(), Layout::Utf8, false, false, &rows);
    let state = groups.state(EmitTo::First(1)).unwrap();
    let good = state[0].as_binary_view().value(0).to_vec();
    for length in 0..good.len() {
        let cut = ScalarValue::BinaryView(Some(good[..length].to_vec()))
            .to_array()
            .unwrap();
        let mut groups = call.create_groups_accumulator().unwrap();
        let error = groups.merge_batch(&[cut], &[0], 1).unwrap_err().strip_backtrace();
        assert!(error.contains("approx_top_k_accumulate: not a sketch: "), "{error}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        let bad = ScalarValue::BinaryView(Some(bad)).to_array().unwrap();
        // Some changes give another sketch; none may do worse than an error.
        let mut groups = call.create_groups_accumulator().unwrap();
        if groups.merge_batch(&[bad], &[0], 1).is_ok() {
            groups.evaluate(EmitTo::All).unwrap();
        }
    }
}

#[test]
fn a_wrong_literal_is_found_before_the_first_row() {
    let wrong = call("approx_top_k", Layout::Utf8, false, 0);
    let error = wrong.create_accumulator().unwrap_err().strip_backtrace();
    assert!(
        error.contains("approx_top_k: k must be a literal whole number from 1 to 131072, not 0"),
        "{error}"
    );
    let grouped = wrong.create_groups_accumulator().map(|_| ()).unwrap_err();
    assert_eq!(grouped.strip_backtrace(), error);
    assert_eq!(hitters_functions::cost_of(&wrong), None);
    assert!(hitters_functions::cost_of(&accumulate(Layout::Int64, true)).is_some());
}

#[test]
fn every_function_has_a_page_with_its_arguments_and_an_example() {
    let pages = hitters_functions::scalar_functions()
        .iter()
        .map(|f| (f.name().to_owned(), f.documentation().unwrap().clone()))
        .chain(
            hitters_functions::aggregate_functions()
                .iter()
                .map(|f| (f.name().to_owned(), f.documentation().unwrap().clone())),
        )
        .collect::<Vec<_>>();
    assert_eq!(pages.len(), 17);
    for (name, page) in pages {
        let arguments: Vec<&str> = page
            .arguments
            .as_ref()
            .unwrap()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(page.syntax_example, format!("{name}({})", arguments.join(", ")));
        assert!(page.sql_example.unwrap().contains(&name), "{name}");
    }
}
