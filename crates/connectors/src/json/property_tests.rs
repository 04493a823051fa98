//! The decoder against serde_json, on good messages and on mutated ones.

use super::JsonDecoder;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::Arc;

fn decoder() -> JsonDecoder {
    let field = |name: &str, data_type| (Arc::new(Field::new(name, data_type, true)) as FieldRef, false);
    let wanted = [
        field("a", DataType::Int64),
        field("b", DataType::Utf8View),
        field("c", DataType::Float64),
        field("d", DataType::Boolean),
    ];
    JsonDecoder::new(&wanted).unwrap()
}

/// Any JSON value as text, with white space here and there.
fn value_text() -> impl Strategy<Value = String> {
    let space = || prop::sample::select(vec!["", "", "", " ", "\n\t", "\r\n"]);
    let scalar = prop_oneof![
        Just("null".to_string()),
        Just("true".to_string()),
        Just("false".to_string()),
        any::<i64>().prop_map(|v| v.to_string()),
        any::<u64>().prop_map(|v| v.to_string()),
        (-1000_i64..1000).prop_map(|v| v.to_string()),
        any::<f64>()
            .prop_filter("JSON has no NaN", |v| v.is_finite())
            .prop_map(|v| format!("{v:e}")),
        (-1e6..1e6_f64).prop_map(|v| v.to_string()),
        any::<String>().prop_map(|v| Value::from(v).to_string()),
        "[a-z]{0,20}".prop_map(|v| format!("\"{v}\"")),
        "\\PC{0,12}"
            .prop_map(|v| v
                .chars()
                .map(|c| {
                    let mut units = [0; 2];
                    c.encode_utf16(&mut units)
                        .iter()
                        .map(|unit| format!("\\u{unit:04X}"))
                        .collect::<String>()
                })
                .collect::<String>())
            .prop_map(|v| format!("\"{v}\"")),
    ];
    scalar.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..4), space())
                .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},{s}")))),
            (prop::collection::vec(("[a-e]{1,2}", inner), 0..4), space()).prop_map(|(members, s)| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(key, value)| format!("\"{key}\"{s}:{s}{value}"))
                    .collect();
                format!("{{{s}{}{s}}}", members.join(&format!("{s},{s}")))
            }),
        ]
    })
}

/// An object whose keys are often wanted ones, also twice.
fn object_text() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["a", "b", "c", "d", "e", "another_key", "\\u0061"]);
    (
        prop::collection::vec((key, value_text()), 0..7),
        prop::sample::select(vec!["", " "]),
    )
        .prop_map(|(members, s)| {
            let members: Vec<_> = members
                .into_iter()
                .map(|(key, value)| format!("\"{key}\":{s}{value}"))
                .collect();
            format!("{{{}}}", members.join(&format!(",{s}")))
        })
}

/// Changes, drops, doubles and inserts bytes.
fn mutate(text: &str, edits: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    const BYTES: &[u8] = b"\"\\{}[]:,0123456789.eE+-truefalsn u\x00\x1f\x7f\x80\xc3\xff";
    let mut bytes = text.as_bytes().to_vec();
    for (place, kind, byte) in edits {
        if bytes.is_empty() {
            break;
        }
        let place = place.index(bytes.len());
        let byte = BYTES[*byte as usize % BYTES.len()];
        match kind % 4 {
            0 => bytes[place] = byte,
            1 => bytes.insert(place, byte),
            2 => drop(bytes.remove(place)),
            _ => bytes.truncate(place),
        }
    }
    bytes
}

/// What a row should hold, by serde_json. `None`: the row is bad.
fn expected(message: &[u8]) -> Option<[Value; 4]> {
    let object = match serde_json::from_slice::<Value>(message) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return None,
        // A number too large for a double is good JSON; serde_json does not think so.
        Err(error) if error.to_string().contains("number out of range") => {
            return Some(std::array::from_fn(|_| Value::from("?")));
        }
        Err(_) => return None,
    };
    let get = |key: &str| object.get(key).cloned().unwrap_or(Value::Null);
    Some([get("a"), get("b"), get("c"), get("d")])
}

fn check(decoder: &mut JsonDecoder, message: &[u8]) -> Result<(), TestCaseError> {
    let pushed = decoder.push(message);
    let text = String::from_utf8_lossy(message).into_owned();
    let Some([a, b, c, d]) = expected(message) else {
        prop_assert!(pushed.is_err(), "accepted {text:?}");
        return Ok(());
    };
    if a == "?" {
        if pushed.is_ok() {
            decoder.finish().unwrap();
        }
        return Ok(());
    }
    if let Err(reason) = pushed {
        // Good JSON may still be of the wrong type.
        prop_assert!(reason.starts_with("column '"), "refused {text:?}: {reason}");
        let whole = a.is_null() || a.as_i64().is_some() || a.as_str().is_some_and(|s| s.parse::<i64>().is_ok());
        let number =
            c.is_null() || c.is_number() || c.as_str().is_some_and(|s| s.parse::<f64>().is_ok_and(f64::is_finite));
        let fits = whole && (b.is_null() || b.is_string()) && number && (d.is_null() || d.is_boolean());
        prop_assert!(!fits, "refused {text:?}: {reason}");
        return Ok(());
    }
    let columns = decoder.finish().unwrap();
    let null = |column: usize| columns[column].is_null(0);
    prop_assert_eq!(a.is_null(), null(0));
    if let Some(value) = a.as_i64() {
        prop_assert_eq!(columns[0].as_primitive::<Int64Type>().value(0), value, "{}", text);
    }
    prop_assert_eq!(
        b.as_str(),
        (!null(1)).then(|| columns[1].as_string_view().value(0)),
        "{}",
        text
    );
    prop_assert_eq!(c.is_null(), null(2));
    if let Some(value) = c.as_f64() {
        let got = columns[2].as_primitive::<Float64Type>().value(0);
        // serde_json's fast parser may be one unit off in the last place.
        prop_assert!(
            (got - value).abs() <= value.abs() * 1e-15,
            "{}: {} {}",
            text,
            got,
            value
        );
    }
    prop_assert_eq!(
        d.as_bool(),
        (!null(3)).then(|| columns[3].as_boolean().value(0)),
        "{}",
        text
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn accepts_and_reads_what_serde_json_does(
        message in object_text(),
        edits in prop::collection::vec(any::<(prop::sample::Index, u8, u8)>(), 0..3),
    ) {
        check(&mut decoder(), &mutate(&message, &edits))?;
    }

    #[test]
    fn reads_a_message_the_same_after_any_others(
        messages in prop::collection::vec((object_text(), prop::collection::vec(any::<(prop::sample::Index, u8, u8)>(), 0..2), any::<bool>()), 1..12),
    ) {
        // One decoder, whose memory of shapes must never change an answer; some messages come twice.
        let mut decoder = decoder();
        for (message, edits, twice) in messages {
            let message = mutate(&message, &edits);
            check(&mut decoder, &message)?;
            if twice {
                check(&mut decoder, &message)?;
            }
        }
    }

    #[test]
    fn never_panics_on_any_bytes(message in prop::collection::vec(any::<u8>(), 0..60)) {
        check(&mut decoder(), &message)?;
    }
}
