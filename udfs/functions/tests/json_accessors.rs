//! Holds the JSON functions to those of `datafusion-functions-json`, which Arroyo has: the same types, values and plans for the same calls.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, ListArray, StringArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_common::ScalarValue;
use datafusion_common::config::ConfigOptions;
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};
use datafusion_functions_json::udfs as theirs;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn pairs() -> Vec<(Arc<ScalarUDF>, Arc<ScalarUDF>)> {
    let theirs = [
        theirs::json_get_udf(),
        theirs::json_as_text_udf(),
        theirs::json_get_str_udf(),
        theirs::json_get_int_udf(),
        theirs::json_get_float_udf(),
        theirs::json_get_bool_udf(),
        theirs::json_get_json_udf(),
        theirs::json_get_array_udf(),
        theirs::json_contains_udf(),
        theirs::json_length_udf(),
        theirs::json_object_keys_udf(),
        theirs::json_from_scalar_udf(),
        theirs::json_union_to_text_udf(),
    ];
    let ours = hitters_functions::json_functions();
    let pair = |their: Arc<ScalarUDF>| {
        let our = ours.iter().find(|our| our.name() == their.name()).unwrap();
        let (mut names, mut aliases) = (our.aliases().to_vec(), their.aliases().to_vec());
        names.push(our.name().to_owned());
        names.sort();
        aliases.sort();
        assert_eq!(names, aliases, "every name stands for the same function");
        (Arc::clone(our), their)
    };
    theirs.into_iter().map(pair).collect()
}

/// The type, and the column, that a call gives; `None` for an error.
fn call(function: &ScalarUDF, args: &[ColumnarValue], rows: usize) -> Option<(Field, ArrayRef)> {
    let fields: Vec<_> = args
        .iter()
        .enumerate()
        .map(|(i, arg)| Arc::new(Field::new(format!("c{i}"), arg.data_type(), true)))
        .collect();
    let literals: Vec<Option<&ScalarValue>> = args
        .iter()
        .map(|arg| match arg {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(_) => None,
        })
        .collect();
    let field = function
        .return_field_from_args(ReturnFieldArgs {
            arg_fields: &fields,
            scalar_arguments: &literals,
        })
        .ok()?;
    let value = function
        .invoke_with_args(ScalarFunctionArgs {
            args: args.to_vec(),
            arg_fields: fields,
            number_rows: rows,
            return_field: Arc::clone(&field),
            config_options: Arc::new(ConfigOptions::default()),
        })
        .ok()?;
    Some((field.as_ref().clone(), value.into_array(rows).unwrap()))
}

/// Calls that both refuse or answer alike; returns whether they answered.
fn agree(pair: &(Arc<ScalarUDF>, Arc<ScalarUDF>), args: &[ColumnarValue], rows: usize) -> bool {
    let (ours, theirs) = (call(&pair.0, args, rows), call(&pair.1, args, rows));
    match (&ours, &theirs) {
        (Some((our_field, ours)), Some((their_field, theirs))) => {
            assert_eq!(our_field, their_field, "{} of {args:?}", pair.0.name());
            assert_eq!(ours.data_type(), our_field.data_type(), "{} of {args:?}", pair.0.name());
            let dictionary = match ours.data_type() {
                DataType::Dictionary(_, values) if !matches!(**values, DataType::Union(..)) => Some(&**values),
                _ => None,
            };
            // How a dictionary numbers its values is its own affair.
            let plain = |column: &ArrayRef| dictionary.map_or(Arc::clone(column), |of| cast(column, of).unwrap());
            assert_eq!(&plain(ours), &plain(theirs), "{} of {args:?}", pair.0.name());
        }
        (None, None) => {}
        _ => panic!("{} of {args:?}: ours {ours:?}, theirs {theirs:?}", pair.0.name()),
    }
    ours.is_some()
}

/// A JSON text, now and then a broken one.
fn document(random: &mut StdRng, depth: u32) -> String {
    const PLAIN: [&str; 30] = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "7",
        "-12",
        "1.5",
        "2e3",
        "-0.25",
        "1e400",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "123456789012345678901234567890",
        "1.0",
        "\"\"",
        "\"text\"",
        "\"7\"",
        "\"-3\"",
        "\"1.25\"",
        "\"true\"",
        "\"a\\nb\"",
        "\"\\u00e9\\ud83d\\ude00\"",
        "\"[1,2]\"",
        "NaN",
        "Infinity",
        "-Infinity",
        "\"é\"",
        "nul",
    ];
    match random.random_range(0..if depth == 0 { 4 } else { 12 }) {
        0..4 => PLAIN[random.random_range(0..PLAIN.len())].to_owned(),
        4..8 => {
            let names = ["a", "b", "c", "0", "1", "é", "a\\\"b"];
            let members: Vec<String> = (0..random.random_range(0..5))
                .map(|_| {
                    format!(
                        "\"{}\": {}",
                        names[random.random_range(0..names.len())],
                        document(random, depth - 1)
                    )
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
        8..11 => {
            let elements: Vec<String> = (0..random.random_range(0..5))
                .map(|_| document(random, depth - 1))
                .collect();
            format!("[{}]", elements.join(" , "))
        }
        _ => {
            let mut text = document(random, depth - 1);
            let at = (0..=text.len())
                .filter(|i| text.is_char_boundary(*i))
                .nth(random.random_range(0..=text.chars().count()));
            text.truncate(at.unwrap_or(0));
            text
        }
    }
}

fn texts(random: &mut StdRng, rows: usize) -> StringArray {
    (0..rows)
        .map(|_| (random.random_range(0..8) > 0).then(|| document(random, 3)))
        .collect()
}

/// JSON in one of its forms; the union is what `json_get` made of it.
fn json(random: &mut StdRng, get: &ScalarUDF, rows: usize) -> ColumnarValue {
    let column: ArrayRef = Arc::new(texts(random, rows));
    let dictionary = |of| DataType::Dictionary(Box::new(DataType::Int32), Box::new(of));
    let to = |of| cast(&column, &of).unwrap();
    let column = match random.random_range(0..9) {
        0..2 => column,
        2 => to(DataType::LargeUtf8),
        3..5 => to(DataType::Utf8View),
        5 => to(dictionary(DataType::Utf8)),
        6 => to(dictionary(DataType::Utf8View)),
        7 => call(get, &[ColumnarValue::Array(column)], rows).unwrap().1,
        _ => {
            call(get, &[ColumnarValue::Array(to(dictionary(DataType::LargeUtf8)))], rows)
                .unwrap()
                .1
        }
    };
    if random.random_bool(0.2) {
        let row = random.random_range(0..rows);
        ColumnarValue::Scalar(ScalarValue::try_from_array(&column, row).unwrap())
    } else {
        ColumnarValue::Array(column)
    }
}

fn literal(random: &mut StdRng) -> ScalarValue {
    let keys = ["a", "b", "c", "0", "1", "-1", "é", "a\"b", "none"];
    let key = keys[random.random_range(0..keys.len())].to_owned();
    match random.random_range(0..12) {
        0..3 => ScalarValue::Utf8(Some(key)),
        3..5 => ScalarValue::Utf8View(Some(key)),
        5 => ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(ScalarValue::Utf8(Some(key)))),
        6..8 => ScalarValue::Int64(Some(random.random_range(-3..4))),
        8 => ScalarValue::UInt64(Some(if random.random_bool(0.1) {
            u64::MAX
        } else {
            random.random_range(0..4)
        })),
        9 => ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(ScalarValue::Int64(Some(0)))),
        10 => ScalarValue::Utf8(None),
        _ => match random.random_range(0..3) {
            0 => ScalarValue::List(ScalarValue::new_list_nullable(
                &[
                    ScalarValue::Utf8(Some(key)),
                    ScalarValue::Utf8(None),
                    ScalarValue::Utf8(Some("0".to_owned())),
                ][..random.random_range(0..3)],
                &DataType::Utf8,
            )),
            1 => ScalarValue::List(Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some([
                Some(1),
                Some(-1),
            ])]))),
            // No step at all: an integer of a type that none takes.
            _ => ScalarValue::Int32(Some(1)),
        },
    }
}

fn path(random: &mut StdRng, rows: usize) -> Vec<ColumnarValue> {
    if random.random_bool(0.75) {
        return (0..random.random_range(0..4))
            .map(|_| ColumnarValue::Scalar(literal(random)))
            .collect();
    }
    let keys: StringArray = (0..rows)
        .map(|_| Some(["a", "b", "0", "1"][random.random_range(0..4)]).filter(|_| random.random_bool(0.9)))
        .collect();
    let keys: ArrayRef = Arc::new(keys);
    let dictionary = |of| DataType::Dictionary(Box::new(DataType::Int8), Box::new(of));
    let column: ArrayRef = match random.random_range(0..7) {
        0 => keys,
        1 => cast(&keys, &DataType::Utf8View).unwrap(),
        2 => cast(&keys, &DataType::LargeUtf8).unwrap(),
        3 => cast(&keys, &dictionary(DataType::Utf8)).unwrap(),
        4 => Arc::new(
            (0..rows)
                .map(|_| random.random_bool(0.9).then(|| random.random_range(-2..3)))
                .collect::<Int64Array>(),
        ),
        5 => Arc::new(
            (0..rows)
                .map(|_| random.random_bool(0.9).then(|| random.random_range(0..3)))
                .collect::<UInt64Array>(),
        ),
        _ => Arc::new(
            (0..rows)
                .map(|_| Some(random.random_range(-2..3)))
                .collect::<Int64Array>(),
        ),
    };
    let mut path = vec![ColumnarValue::Array(column)];
    if random.random_bool(0.1) {
        // More than one step, of which one is a column: refused.
        path.push(ColumnarValue::Scalar(literal(random)));
    }
    path
}

#[test]
fn the_accessors_give_what_those_of_arroyo_give() {
    let pairs = pairs();
    let get = Arc::clone(&pairs[0].1);
    let mut answered = 0;
    for seed in 0..3000 {
        let mut random = StdRng::seed_from_u64(seed);
        let rows = random.random_range(1..12);
        let mut args = vec![json(&mut random, &get, rows)];
        args.extend(path(&mut random, rows));
        for pair in &pairs[..11] {
            answered += u32::from(agree(pair, &args, rows));
        }
    }
    assert!(answered > 20_000, "{answered} calls were answered");
}

#[test]
fn texts_of_unions_and_unions_of_scalars_are_those_of_arroyo() {
    let pairs = pairs();
    let (get, from_scalar, to_text) = (Arc::clone(&pairs[0].1), &pairs[11], &pairs[12]);
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let column: ArrayRef = Arc::new(texts(&mut random, 9));
        let union = call(&get, &[ColumnarValue::Array(Arc::clone(&column))], 9).unwrap().1;
        let scalar = ScalarValue::try_from_array(&union, 0).unwrap();
        assert!(agree(to_text, &[ColumnarValue::Array(union)], 9));
        assert!(agree(to_text, &[ColumnarValue::Scalar(scalar)], 9));
        assert!(!agree(to_text, &[ColumnarValue::Array(column)], 9));
    }
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(0), Some(100)]));
    let (floats, mut of) = (cast(&numbers, &DataType::Float64).unwrap(), Vec::new());
    use DataType::*;
    for to in [
        Null, Boolean, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Float32, Float64, Utf8, LargeUtf8,
        Utf8View,
    ] {
        of.push(if to == Null {
            arrow::array::new_null_array(&Null, 4)
        } else {
            cast(&numbers, &to).unwrap()
        });
    }
    of.push(floats);
    for column in &of {
        assert!(agree(from_scalar, &[ColumnarValue::Array(Arc::clone(column))], 4));
        let scalar = ScalarValue::try_from_array(column, 0).unwrap();
        assert!(agree(from_scalar, &[ColumnarValue::Scalar(scalar)], 4));
    }
    let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    assert!(!agree(from_scalar, &[ColumnarValue::Array(large)], 1), "no BIGINT");
    assert!(!agree(
        from_scalar,
        &[ColumnarValue::Array(cast(&numbers, &Date64).unwrap())],
        4
    ));
}

#[test]
fn operators_and_casts_become_the_plans_of_arroyo() {
    let runtime = feature_tokio::runtime::Builder::new_current_thread().build().unwrap();
    let session = || SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let (mut ours, mut theirs) = (session(), session());
    hitters_functions::register(&mut ours).unwrap();
    datafusion_functions_json::register_all(&mut theirs).unwrap();
    runtime.block_on(async {
        for context in [&ours, &theirs] {
            let table = r#"CREATE TABLE t AS SELECT * FROM (VALUES (1, '{"a": {"b": [1, 2.5, "x", null, true]}, "n": 7}'), (2, '{"n": "8"}'), (3, 'no')) AS t (i, j)"#;
            context.sql(table).await.unwrap().collect().await.unwrap();
        }
        for query in [
            "SELECT j->'a', j->>'a', j->'a'->'b', j->'a'->>'b' FROM t",
            "SELECT j #> array['a', 'b'], j #>> array['a', 'b', '0'], j #>> array['a'] FROM t",
            "SELECT j ? 'a', (j->'a') ? 'b', NOT j ? 'n' FROM t",
            "SELECT (j->'n')::bigint, (j->'n')::int, (j->'n')::double, (j->'n')::real, (j->'n')::text, (j->'n')::boolean FROM t",
            "SELECT (j->'n')::decimal(10, 2), TRY_CAST(j->'n' AS int), (j->'n')::smallint FROM t",
            "SELECT arrow_cast(j->'n', 'Int64'), arrow_cast(j->'n', 'Int16'), arrow_cast(j->'n', 'Utf8View'), arrow_try_cast(j->'n', 'Int32') FROM t",
            "SELECT json_get_int(json_get(j, 'a'), 'b', 0), json_as_text(j->'a', 'b'), json_length(j->'a'), json_length(j->'a', 'b') FROM t",
            "SELECT json_get_str(json_get(j, 'a'), j), json_get(json_as_text(j, 'a'), 'b') FROM t",
            "SELECT json_object_keys(j), json_keys(j, 'a'), json_len(j), json_get_array(j, 'a', 'b') FROM t",
            "SELECT i FROM t WHERE (j->'n')::bigint > 6 ORDER BY j->>'n'",
            "SELECT j->>i, j->-1, (j->'a'->'b')->2 FROM t",
            "SELECT json_union_to_text(j->'a'), json_get_bool(j, 'a', 'b', 4), json_get_float(j, 'a', 'b', 1), json_get_json(j, 'a') FROM t",
            "SELECT count(*), j->>'n' AS n FROM t GROUP BY n ORDER BY n",
            "SELECT json_contains(j) FROM t",
            "SELECT json_get(i, 'a') FROM t",
            "SELECT json_get(j, true) FROM t",
        ] {
            let mut results = Vec::new();
            for context in [&ours, &theirs] {
                let plan = match context.sql(query).await {
                    Ok(frame) => frame.clone().into_optimized_plan().map(|plan| (plan.display_indent().to_string(), frame)),
                    Err(error) => Err(error),
                };
                results.push(match plan {
                    Ok((plan, frame)) => Some((plan, frame.collect().await.map_err(|error| error.strip_backtrace()))),
                    Err(_) => None,
                });
            }
            assert_eq!(results[0], results[1], "{query}");
        }
    });
}
