use super::*;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Schema, Time64NanosecondType, TimeUnit, TimestampMillisecondType, TimestampNanosecondType, UInt64Type,
};
use std::sync::Arc;

fn field(name: &str, data_type: DataType) -> (FieldRef, bool) {
    (Arc::new(Field::new(name, data_type, true)), false)
}

fn decoder(fields: &[(FieldRef, bool)]) -> JsonDecoder {
    JsonDecoder::new(fields).unwrap()
}

/// Decodes one message into one column `v`.
fn one(data_type: DataType, message: &str) -> Result<ArrayRef, String> {
    let mut decoder = decoder(&[field("v", data_type)]);
    decoder.push(message.as_bytes())?;
    Ok(decoder.finish().unwrap().remove(0))
}

fn error(data_type: DataType, value: &str) -> String {
    one(data_type, &format!("{{\"v\":{value}}}")).unwrap_err()
}

fn good(data_type: DataType, value: &str) -> ArrayRef {
    one(data_type, &format!("{{\"v\":{value}}}")).unwrap()
}

const NANOS: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

#[test]
fn every_type_reads_its_values() {
    assert!(good(DataType::Boolean, "true").as_boolean().value(0));
    assert_eq!(good(DataType::Int8, "-128").as_primitive::<Int8Type>().value(0), -128);
    assert_eq!(
        good(DataType::Int16, "32767").as_primitive::<Int16Type>().value(0),
        32767
    );
    assert_eq!(good(DataType::Int32, "-7").as_primitive::<Int32Type>().value(0), -7);
    assert_eq!(
        good(DataType::Int64, "-9223372036854775808")
            .as_primitive::<Int64Type>()
            .value(0),
        i64::MIN
    );
    assert_eq!(
        good(DataType::UInt64, "18446744073709551615")
            .as_primitive::<UInt64Type>()
            .value(0),
        u64::MAX
    );
    assert_eq!(
        good(DataType::Float32, "1.5e3").as_primitive::<Float32Type>().value(0),
        1500.0
    );
    assert_eq!(
        good(DataType::Float64, "-0.1").as_primitive::<Float64Type>().value(0),
        -0.1
    );
    assert_eq!(
        good(DataType::Decimal128(10, 2), "12.34")
            .as_primitive::<Decimal128Type>()
            .value(0),
        1234
    );
    assert_eq!(
        good(DataType::Utf8View, r#""a long text of more than twelve bytes""#)
            .as_string_view()
            .value(0),
        "a long text of more than twelve bytes"
    );
    assert_eq!(
        good(DataType::Utf8View, r#""\u00e9\n\"\ud83d\ude00\/""#)
            .as_string_view()
            .value(0),
        "é\n\"😀/"
    );
    assert_eq!(
        good(DataType::Date32, r#""1970-01-11""#)
            .as_primitive::<Date32Type>()
            .value(0),
        10
    );
    assert_eq!(
        good(DataType::Time64(TimeUnit::Nanosecond), r#""00:00:01""#)
            .as_primitive::<Time64NanosecondType>()
            .value(0),
        1_000_000_000
    );
}

#[test]
fn numbers_in_quotes_and_whole_doubles_are_integers() {
    for text in ["\"42\"", "42.0", "4.2e1", "42"] {
        assert_eq!(
            good(DataType::Int64, text).as_primitive::<Int64Type>().value(0),
            42,
            "{text}"
        );
    }
}

#[test]
fn timestamps_read_rfc_3339_and_whole_ticks() {
    let nanos = |text| good(NANOS, text).as_primitive::<TimestampNanosecondType>().value(0);
    assert_eq!(nanos(r#""2023-09-18T14:23:10Z""#), 1_695_046_990_000_000_000);
    assert_eq!(nanos(r#""2023-10-09T17:13:20+00:00""#), 1_696_871_600_000_000_000);
    assert_eq!(nanos(r#""2023-10-09T17:13:20.25""#), 1_696_871_600_250_000_000);
    assert_eq!(nanos("1700000000000"), 1_700_000_000_000);
    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
    assert_eq!(
        good(millis.clone(), r#""1970-01-01T00:00:01.5""#)
            .as_primitive::<TimestampMillisecondType>()
            .value(0),
        1500
    );
    // The year 9999 is beyond 64-bit nanoseconds, not beyond milliseconds.
    assert_eq!(
        good(millis, r#""9999-12-31T23:59:59Z""#)
            .as_primitive::<TimestampMillisecondType>()
            .value(0),
        253_402_300_799_000
    );
    assert!(error(NANOS, r#""9999-12-31T23:59:59Z""#).contains("outside of the years 1677 to 2262"));
    assert!(error(NANOS, r#""yesterday""#).contains("expected TIMESTAMP, found the string \"yesterday\""));
}

#[test]
fn wrong_types_name_the_column_and_what_stood_there() {
    for (data_type, value, message) in [
        (
            DataType::Int64,
            r#""many""#,
            "column 'v': expected BIGINT, found the string \"many\"",
        ),
        (
            DataType::Int64,
            "1.5",
            "column 'v': expected BIGINT, found the number 1.5",
        ),
        (
            DataType::Int64,
            "9223372036854775808",
            "column 'v': expected BIGINT, found the number 9223372036854775808",
        ),
        (
            DataType::Int16,
            "70000",
            "column 'v': expected SMALLINT, found the number 70000",
        ),
        (
            DataType::UInt32,
            "-1",
            "column 'v': expected INT UNSIGNED, found the number -1",
        ),
        (
            DataType::UInt64,
            "-1",
            "column 'v': expected BIGINT UNSIGNED, found the number -1",
        ),
        (DataType::Int64, "true", "column 'v': expected BIGINT, found true"),
        (
            DataType::Float64,
            "1e400",
            "column 'v': expected DOUBLE, found the number 1e400",
        ),
        (
            DataType::Float32,
            "1e39",
            "column 'v': expected FLOAT, found the number 1e39",
        ),
        (
            DataType::Decimal128(4, 2),
            "12345.6",
            "column 'v': expected DECIMAL(4, 2), found the number 12345.6",
        ),
        (DataType::Utf8View, "7", "column 'v': expected TEXT, found the number 7"),
        (
            DataType::Utf8View,
            r#"{"a":1}"#,
            "column 'v': expected TEXT, found the object {\"a\":1}",
        ),
        (
            DataType::Boolean,
            "1",
            "column 'v': expected BOOLEAN, found the number 1",
        ),
        (
            DataType::Date32,
            r#""2023-02-30""#,
            "column 'v': expected DATE, found the string \"2023-02-30\"",
        ),
    ] {
        assert_eq!(error(data_type, value), message);
    }
}

#[test]
fn null_and_missing_are_null_where_allowed_and_bad_where_not() {
    for message in ["{}", r#"{"v":null}"#, r#"{"w":1}"#] {
        assert!(one(DataType::Utf8View, message).unwrap().is_null(0), "{message}");
    }
    let mut strict = decoder(&[(Arc::new(Field::new("v", DataType::Int64, false)), false)]);
    assert_eq!(
        strict.push(b"{}").unwrap_err(),
        "column 'v' is missing, but declared NOT NULL"
    );
    assert_eq!(
        strict.push(br#"{"v":null}"#).unwrap_err(),
        "column 'v' is null, but declared NOT NULL"
    );
}

#[test]
fn of_a_key_that_stands_twice_the_last_value_counts() {
    let array = one(DataType::Int64, r#"{"v":1,"w":2,"v":3}"#).unwrap();
    assert_eq!(array.as_primitive::<Int64Type>().value(0), 3);
}

#[test]
fn what_comes_after_the_wanted_keys_is_checked_too() {
    let ending = r#"{"v":1,"w":2,"x":[1,{"y":null}]}"#;
    one(DataType::Int64, ending).unwrap();
    for length in 0..ending.len() {
        assert!(
            one(DataType::Int64, &ending[..length]).is_err(),
            "{}",
            &ending[..length]
        );
    }
    for broken in [
        r#"{"v":1} x"#,
        r#"{"v":1}{"v":2}"#,
        r#"{"v":1,}"#,
        r#"{"v":1 "w":2}"#,
        r#"{"v":01}"#,
        r#"{"v":1.}"#,
        r#"{"v":.5}"#,
        r#"{"v":+1}"#,
        r#"{"v":1,"w":nul}"#,
        r#"{"v":1,"w":'a'}"#,
        r#"{"v":1,w:2}"#,
        r#"{"v":1,"w":"\x"}"#,
        r#"{"v":1,"w":"\ud800"}"#,
        r#"{"v":1,"w":NaN}"#,
        "{\"v\":1,\"w\":\"a\nb\"}",
        r#"{"v":1,"w":[1,]}"#,
        r#"{"v":1,"w":{"a"}}"#,
        "[1]",
        "1",
        "null",
        "\"v\"",
        " ",
        "",
        "\u{feff}{}",
    ] {
        assert!(one(DataType::Int64, broken).is_err(), "{broken}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_make_a_row_bad() {
    let mut decoder = decoder(&[field("v", DataType::Int64)]);
    for message in [
        &b"{\"v\":1,\"w\":\"\xFF\"}"[..],
        b"{\"v\":1,\"\xC3\":2}",
        b"{\"v\":1,\"w\":\"\xE2\x82\"}",
        b"{\"v\":1\xC3\xA9}",
    ] {
        assert!(decoder.push(message).is_err(), "{message:?}");
    }
    decoder.push("{\"v\":1,\"w\":\"€é😀\"}".as_bytes()).unwrap();
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow_of_the_stack() {
    let nested = |depth: usize| format!("{{\"v\":1,\"w\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    one(DataType::Int64, &nested(100)).unwrap();
    assert!(
        one(DataType::Int64, &nested(1_000_000))
            .unwrap_err()
            .contains("nested too deeply")
    );
}

#[test]
fn a_bad_row_leaves_no_trace() {
    let mut decoder = decoder(&[field("a", DataType::Utf8View), field("b", DataType::Int64)]);
    decoder.push(br#"{"a":"one","b":1}"#).unwrap();
    decoder.push(br#"{"a":"two","b":"x"}"#).unwrap_err();
    decoder.push(br#"{"a":"three","b":3}"#).unwrap();
    let columns = decoder.finish().unwrap();
    assert_eq!(
        columns[0].as_string_view().iter().flatten().collect::<Vec<_>>(),
        ["one", "three"]
    );
    assert_eq!(columns[1].as_primitive::<Int64Type>().values(), &[1, 3]);
}

#[test]
fn messages_may_change_their_shape() {
    let mut decoder = decoder(&[field("a", DataType::Int64), field("b", DataType::Utf8View)]);
    let messages = [
        r#"{"a":1,"b":"x"}"#,
        r#"{"a": 1,"b":"x"}"#,
        r#"{ "a":1 , "b":"x" }"#,
        r#"{"b":"x","a":1}"#,
        r#"{"a":1,"c":[],"b":"x"}"#,
        r#"{"a":1,"b":"x","a_very_long_key_that_no_word_holds":null}"#,
        r#"{"\u0061":1,"b":"\u0078"}"#,
    ];
    for _ in 0..2 {
        messages
            .iter()
            .for_each(|message| decoder.push(message.as_bytes()).unwrap());
    }
    let columns = decoder.finish().unwrap();
    assert_eq!(columns[0].as_primitive::<Int64Type>().values(), &[1; 14]);
    assert!(columns[1].as_string_view().iter().all(|value| value == Some("x")));
}

#[test]
fn json_columns_hold_the_text_of_whatever_stands_there() {
    let json: (FieldRef, bool) = (Arc::new(Field::new("v", DataType::Utf8View, true)), true);
    for value in [r#"{"a":[1, 2]}"#, r#""text""#, "17", "true", "[]"] {
        let mut decoder = decoder(std::slice::from_ref(&json));
        decoder.push(format!("{{\"v\": {value} }}").as_bytes()).unwrap();
        assert_eq!(decoder.finish().unwrap()[0].as_string_view().value(0), value);
    }
}

#[test]
fn lists_and_structs_are_read() {
    let inner = DataType::Struct(
        vec![
            Field::new("a", DataType::Int64, false),
            Field::new("b", DataType::Utf8View, true),
        ]
        .into(),
    );
    let list = DataType::List(Arc::new(Field::new("item", inner, true)));
    let array = good(list.clone(), r#"[{"b":"x","a":1},{"a":2,"c":[]},null]"#);
    let rows = array.as_list::<i32>().value(0);
    assert_eq!(
        rows.as_struct().column(0).as_primitive::<Int64Type>().values()[..2],
        [1, 2]
    );
    assert_eq!(rows.as_struct().column(1).as_string_view().value(0), "x");
    assert!(rows.is_null(2));
    assert_eq!(
        error(list.clone(), r#"[{"b":"x"}]"#),
        "column 'v[].a' is missing, but declared NOT NULL"
    );
    assert!(error(list, "{}").contains("found the object {}"));
}

#[test]
fn types_that_json_cannot_hold_are_named() {
    let interval = field("v", DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano));
    assert!(JsonDecoder::new(&[interval]).is_err_and(|field| field.name() == "v"));
    assert!(!decodable(&DataType::BinaryView));
}

#[test]
fn rows_are_written_as_arroyo_writes_them() {
    let fields = vec![
        field("end", NANOS),
        field("rows", DataType::Int64),
        field("note", DataType::Utf8View),
        field("rate", DataType::Float64),
        field("price", DataType::Decimal128(10, 2)),
    ];
    let mut decoder = decoder(&fields);
    decoder
        .push(br#"{"end":"2023-10-09T17:13:40.200","rows":1,"rate":150.6811,"price":"2.50"}"#)
        .unwrap();
    decoder
        .push(br#"{"end":"2023-09-18T15:00:00","note":"a\"b","rate":1}"#)
        .unwrap();
    let schema = Arc::new(Schema::new(
        fields.iter().map(|(field, _)| field.clone()).collect::<Vec<_>>(),
    ));
    let batch = RecordBatch::try_new(schema, decoder.finish().unwrap()).unwrap();
    let lines = |encoder: JsonEncoder| {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        encoder.encode(&batch, &mut out, &mut ends).unwrap();
        let out = String::from_utf8(out).unwrap();
        vec![out[..ends[0]].to_string(), out[ends[0]..ends[1]].to_string()]
    };
    assert_eq!(
        lines(JsonEncoder::default()),
        [
            r#"{"end":"2023-10-09T17:13:40.200","rows":1,"note":null,"rate":150.6811,"price":2.50}"#,
            r#"{"end":"2023-09-18T15:00:00","rows":null,"note":"a\"b","rate":1.0,"price":null}"#
        ]
    );
    assert_eq!(
        lines(JsonEncoder::new(Timestamps::UnixMillis, Decimals::String))[0],
        r#"{"end":1696871620200,"rows":1,"note":null,"rate":150.6811,"price":"2.50"}"#
    );
    assert!(
        lines(JsonEncoder::new(Timestamps::Rfc3339, Decimals::Bytes))[0]
            .ends_with(r#""price":"AAAAAAAAAAAAAAAAAAAA+g=="}"#)
    );
}

#[test]
fn bytes_are_written_as_base64() {
    let values = arrow::array::BinaryViewArray::from_iter_values([&b"\x00\xFFsketch"[..]]);
    let batch = RecordBatch::try_from_iter([("sketch", Arc::new(values) as ArrayRef)]).unwrap();
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    JsonEncoder::default().encode(&batch, &mut out, &mut ends).unwrap();
    assert_eq!(out, br#"{"sketch":"AP9za2V0Y2g="}"#);
}

/// `cargo test --release -p hitters-connectors -- --ignored --nocapture decoder_speed`
#[test]
#[ignore = "a measurement"]
fn decoder_speed() {
    let options = crate::generate::Generate {
        events: 100_000,
        ..Default::default()
    };
    let mut events = crate::generate::Events::new(&options).unwrap();
    let mut messages = Vec::new();
    while let Some(event) = events.next_event() {
        messages.push(event.json.to_vec());
    }
    let bytes: usize = messages.iter().map(Vec::len).sum();
    for names in [
        &["ts", "item"][..],
        &["item"],
        &["ts", "item", "category", "region", "user", "amount"],
        &[],
    ] {
        let fields: Vec<_> = names
            .iter()
            .map(|name| {
                field(
                    name,
                    if matches!(*name, "ts" | "amount") {
                        DataType::Int64
                    } else {
                        DataType::Utf8View
                    },
                )
            })
            .collect();
        let mut decoder = decoder(&fields);
        let mut best = f64::MAX;
        for _ in 0..20 {
            let begun = std::time::Instant::now();
            for chunk in messages.chunks(8192) {
                chunk.iter().for_each(|message| decoder.push(message).unwrap());
                std::hint::black_box(decoder.finish().unwrap());
            }
            best = best.min(begun.elapsed().as_secs_f64());
        }
        let each = best / messages.len() as f64 * 1e9;
        println!("{names:?}: {each:.1} ns a message of {} bytes", bytes / messages.len());
    }
    let begun = std::time::Instant::now();
    #[derive(serde::Deserialize)]
    struct Wanted<'a> {
        ts: i64,
        #[serde(borrow)]
        item: &'a str,
    }
    for message in &messages {
        let wanted: Wanted<'_> = serde_json::from_slice(message).unwrap();
        std::hint::black_box((wanted.ts, wanted.item));
    }
    println!(
        "serde_json, ts and item, no columns: {:.1} ns a message",
        begun.elapsed().as_secs_f64() / messages.len() as f64 * 1e9
    );
}
