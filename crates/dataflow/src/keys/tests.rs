//! Random keys of every type, held against a plain map and against DataFusion's own groups.

use super::*;
use arrow::array::{
    AsArray, Float16Array, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    UInt32Array, new_null_array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::{ArrowPrimitiveType, Field, Float16Type, Int64Type, Schema, TimeUnit, UInt32Type};
use arrow::row::{RowConverter, SortField};
use arrow::util::pretty::pretty_format_columns;
use datafusion_common::utils::normalize_float_zero;
use datafusion_physical_plan::aggregates::group_values::new_group_values;
use datafusion_physical_plan::aggregates::order::GroupOrdering;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// Every type that keys may have in SQL, and some that only functions give.
fn types() -> Vec<DataType> {
    let list = |of: DataType| DataType::List(Arc::new(Field::new("item", of, true)));
    vec![
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Date32,
        DataType::Date64,
        DataType::Time32(TimeUnit::Second),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Timestamp(TimeUnit::Millisecond, Some("+02:00".into())),
        DataType::Duration(TimeUnit::Microsecond),
        DataType::Interval(IntervalUnit::YearMonth),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Decimal128(30, 3),
        DataType::Decimal256(60, 3),
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
        DataType::FixedSizeBinary(3),
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        list(DataType::Int64),
        DataType::Struct(
            vec![
                Field::new("a", DataType::Int64, true),
                Field::new("b", DataType::Utf8View, true),
            ]
            .into(),
        ),
    ]
}

/// Some values of a type; the last one is NULL.
fn some_values(data_type: &DataType) -> ArrayRef {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![
        "",
        "a",
        "b",
        "a\0",
        "twelve bytes",
        "thirteen byte",
        "thirteen bytf",
        "thirteen, too, and more of it",
        "thirteen, too, and more of iu",
        "\u{e9}\u{df}",
    ]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 2, 3, 17, 100, 101, 126, 127]));
    let floats = [
        0.0,
        -0.0,
        1.5,
        -1.5,
        f32::NAN,
        -f32::NAN,
        f32::INFINITY,
        f32::MIN_POSITIVE,
    ];
    let values: ArrayRef = match data_type {
        DataType::Float16 => Arc::new(floats.map(Half::from_f32).into_iter().collect::<Float16Array>()),
        DataType::Float32 => Arc::new(Float32Array::from(floats.to_vec())),
        DataType::Float64 => Arc::new(Float64Array::from(floats.map(f64::from).to_vec())),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            cast(&texts, data_type).unwrap()
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => cast(&texts, data_type).unwrap(),
        DataType::FixedSizeBinary(_) => {
            let bytes = [[0u8, 0, 0], [0, 0, 1], [255, 0, 0]];
            Arc::new(arrow::array::FixedSizeBinaryArray::try_from_iter(bytes.iter()).unwrap())
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let interval = |n| arrow::datatypes::IntervalMonthDayNano::new(n % 2, n % 3, i64::from(n));
            Arc::new(arrow::array::IntervalMonthDayNanoArray::from(
                (0..9).map(interval).collect::<Vec<_>>(),
            ))
        }
        DataType::Interval(_) => cast(&cast(&numbers, &DataType::Int32).unwrap(), data_type).unwrap(),
        DataType::Date32 | DataType::Time32(_) => cast(&cast(&numbers, &DataType::Int32).unwrap(), data_type).unwrap(),
        DataType::List(_) => Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![]),
            Some(vec![Some(1)]),
            Some(vec![None]),
            Some(vec![Some(1), Some(2)]),
        ])),
        DataType::Struct(fields) => {
            let texts = cast(&texts.slice(0, 9), &DataType::Utf8View).unwrap();
            Arc::new(StructArray::new(fields.clone(), vec![numbers, texts], None))
        }
        _ => cast(&numbers, data_type).unwrap(),
    };
    concat(&[values.as_ref(), new_null_array(data_type, 1).as_ref()]).unwrap()
}

/// Rows of these types at random; sliced, as rows on their way often are.
fn some_rows(types: &[DataType], picks: &[Vec<u32>]) -> Vec<ArrayRef> {
    let column = |(at, data_type): (usize, &DataType)| {
        let values = some_values(data_type);
        let picks = picks.iter().map(|row| row[at] % values.len() as u32);
        let places = UInt32Array::from_iter_values([0, 1].into_iter().chain(picks).chain([2]));
        let rows = take(&values, &places, None).unwrap();
        rows.slice(2, rows.len() - 3)
    };
    types.iter().enumerate().map(column).collect()
}

/// Keys in comparable form.
fn comparable(columns: &[ArrayRef]) -> Vec<Vec<u8>> {
    let columns: Vec<ArrayRef> = columns.iter().map(normalize_float_zero).collect();
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
    let rows = RowConverter::new(fields.collect())
        .unwrap()
        .convert_columns(&columns)
        .unwrap();
    rows.iter().map(|row| row.as_ref().to_vec()).collect()
}

/// What keys should do: the same one step at a time.
#[derive(Default)]
struct Model {
    groups: HashMap<Vec<u8>, usize>,
    keys: Vec<Vec<u8>>,
}

impl Model {
    fn find(&mut self, columns: &[ArrayRef]) -> Vec<usize> {
        let find = |key: Vec<u8>| {
            *self.groups.entry(key.clone()).or_insert_with(|| {
                self.keys.push(key);
                self.keys.len() - 1
            })
        };
        comparable(columns).into_iter().map(find).collect()
    }
}

fn check(types: &[DataType], batches: &[Vec<Vec<u32>>], collide: bool) {
    let mut keys = GroupKeys::new(types).unwrap();
    let fields: Vec<Field> = types
        .iter()
        .enumerate()
        .map(|(at, t)| Field::new(at.to_string(), t.clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    for _ in 0..2 {
        let mut model = Model::default();
        let mut theirs = new_group_values(schema.clone(), &GroupOrdering::None).unwrap();
        let (mut groups, mut their_groups) = (Vec::new(), Vec::new());
        let mut names = BTreeMap::new();
        for picks in batches {
            let rows = some_rows(types, picks);
            if collide {
                // Some keys of one hash.
                keys.load(&rows).unwrap();
                keys.columns[0].hash(&keys.seed, &mut keys.hashes);
                keys.hashes.iter_mut().for_each(|hash| *hash %= 5);
                if !keys.look_up(&mut groups).unwrap() {
                    keys.look_up_each(&mut groups).unwrap();
                }
            } else {
                keys.find(&rows, &mut groups).unwrap();
            }
            assert_eq!(
                groups,
                model.find(&rows),
                "{types:?}\n{}",
                pretty_format_columns("keys", &rows).unwrap()
            );
            theirs.intern(&rows, &mut their_groups).unwrap();
            // Theirs get their numbers in another order where hashes are the same, as those of some keys with NULLs are.
            for (ours, theirs) in groups.iter().zip(&their_groups) {
                assert_eq!(
                    names.insert(*ours, *theirs as u32).unwrap_or(*theirs as u32),
                    *theirs as u32
                );
            }
            assert_eq!(keys.len(), model.keys.len());
            assert_eq!(comparable(&keys.copy().arrays().unwrap()), model.keys);
        }
        let their_keys = match theirs.is_empty() {
            true => continue,
            false => theirs.emit(datafusion_expr::EmitTo::All).unwrap(),
        };
        let taken = keys.take().arrays().unwrap();
        assert!(keys.is_empty());
        let order = UInt32Array::from_iter_values(names.into_values());
        let their_keys = their_keys
            .iter()
            .map(|keys| take(keys, &order, None).unwrap())
            .collect();
        // As rows, so that a column which says that it has NULLs and has none would be found.
        let rows = |columns| RecordBatch::try_new(schema.clone(), columns).unwrap();
        assert_eq!(comparable(&taken), model.keys);
        assert_eq!(rows(taken), rows(their_keys));
    }
}

fn some_batches(columns: usize) -> impl Strategy<Value = Vec<Vec<Vec<u32>>>> {
    let row = prop::collection::vec(0..12u32, columns);
    prop::collection::vec(prop::collection::vec(row, 0..40), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn one_column_of_any_type_groups_as_a_map_does(batches in some_batches(1), collide: bool) {
        for data_type in types() {
            check(&[data_type], &batches, collide);
        }
    }

    #[test]
    fn several_columns_group_as_a_map_does(
        batches in some_batches(3),
        picks in prop::collection::vec(0..33usize, 2..4),
        collide: bool,
    ) {
        let all = types();
        let types: Vec<DataType> = picks.iter().map(|pick| all[pick % all.len()].clone()).collect();
        check(&types, &batches, collide);
    }
}

#[test]
fn groups_are_numbered_as_they_are_first_seen_and_come_back_so() {
    let mut keys = GroupKeys::new(&[DataType::Utf8View, DataType::UInt32]).unwrap();
    let mut groups = Vec::new();
    // More than the largest block of text, with keys that are longer than a block.
    let text = |number: u32| match number % 50_000 {
        49_999 => format!("{number}").repeat(300_000),
        _ => format!("the key of the group with number {number}"),
    };
    let batch = |numbers: std::ops::Range<u32>| -> Vec<ArrayRef> {
        let texts = numbers.clone().map(|number| Some(text(number)));
        vec![
            Arc::new(texts.collect::<arrow::array::StringViewArray>()),
            Arc::new(UInt32Array::from_iter_values(numbers)),
        ]
    };
    for from in (0..100_000).step_by(5000) {
        keys.find(&batch(from..from + 5000), &mut groups).unwrap();
        assert!(groups.iter().copied().eq(from as usize..from as usize + 5000));
        if from % 15_000 == 0 {
            let copy = keys.copy().arrays().unwrap();
            assert_eq!(
                copy[1].as_primitive::<UInt32Type>().values(),
                &(0..from + 5000).collect::<Vec<u32>>()
            );
            assert_eq!(copy[0].as_string_view().value(from as usize), text(from));
        }
    }
    let size = keys.size();
    keys.find(&batch(49_000..51_000), &mut groups).unwrap();
    assert!(groups.iter().copied().eq(49_000..51_000));
    assert_eq!((keys.len(), keys.size()), (100_000, size));
    let copy = keys.copy().arrays().unwrap();
    assert_eq!(copy, keys.take().arrays().unwrap());
    assert_eq!(
        copy[1].as_primitive::<UInt32Type>().values(),
        &(0..100_000).collect::<Vec<u32>>()
    );
    let texts = copy[0].as_string_view();
    assert!((0..100_000).all(|number| texts.value(number as usize) == text(number)));
    assert!(keys.size() < size && keys.copy().arrays().unwrap()[0].is_empty());
}

#[test]
fn memory_is_that_of_the_keys() {
    let mut keys = GroupKeys::new(&[DataType::Int64]).unwrap();
    let numbers: ArrayRef = Arc::new((0..1000i64).collect::<Int64Array>());
    keys.find(&[numbers], &mut Vec::new()).unwrap();
    // A number, a slot and its mark, twice as many of each at most; and a hash and a number of each row.
    let least = 1000 * (8 + 13 + 8 + 4);
    assert!((least..3 * least).contains(&keys.size()), "{} bytes", keys.size());
}

#[test]
fn keys_of_another_shape_are_refused() {
    let mut keys = GroupKeys::new(&[DataType::Int64, DataType::Utf8View]).unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let error = keys.find(&[numbers.clone()], &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "state: 1 columns for keys of 2");
    // Another type that can be taken for it is.
    let mut groups = Vec::new();
    keys.find(
        &[
            cast(&numbers, &DataType::Int32).unwrap(),
            Arc::new(StringArray::from(vec!["1"])),
        ],
        &mut groups,
    )
    .unwrap();
    keys.find(&[numbers, Arc::new(StringArray::from(vec!["1"]))], &mut groups)
        .unwrap();
    assert_eq!((groups, keys.len()), (vec![0], 1));
}
