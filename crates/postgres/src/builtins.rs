//! Functions of PostgreSQL that clients call beside the answers: what is set, how a name is quoted, what a thing of the catalog is.
//! Nothing here has a comment, an index or a function of its own, so that many of them are NULL.

use crate::settings;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion_postgres::pgwire::api::Type;
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

type Texts = [Option<String>];

/// What a function does with its arguments, row by row.
#[derive(Clone, Copy)]
enum Body {
    /// NULL, of type `text`.
    Nothing,
    /// True.
    Yes,
    /// A text of texts.
    Text(fn(&Texts) -> Result<Option<String>>),
    /// A number of texts.
    Number(fn(&Texts) -> Result<Option<i32>>),
}

struct Builtin {
    name: &'static str,
    signature: Signature,
    body: Body,
}

/// What they are, by how many arguments they take.
const ALL: [(&str, RangeInclusive<usize>, Body); 18] = [
    ("col_description", 2..=2, Body::Nothing),
    ("current_setting", 1..=2, Body::Text(setting)),
    ("format", 1..=16, Body::Text(format)),
    ("obj_description", 1..=2, Body::Nothing),
    ("pg_function_is_visible", 1..=1, Body::Yes),
    ("pg_get_function_arguments", 1..=1, Body::Nothing),
    ("pg_get_function_identity_arguments", 1..=1, Body::Nothing),
    ("pg_get_function_result", 1..=1, Body::Nothing),
    ("pg_get_indexdef", 1..=3, Body::Nothing),
    ("pg_get_ruledef", 1..=2, Body::Nothing),
    ("pg_get_serial_sequence", 2..=2, Body::Nothing),
    ("pg_get_triggerdef", 1..=2, Body::Nothing),
    ("pg_get_viewdef", 1..=2, Body::Nothing),
    ("pg_type_is_visible", 1..=1, Body::Yes),
    ("quote_literal", 1..=1, Body::Text(literal)),
    ("quote_nullable", 1..=1, Body::Text(nullable)),
    ("shobj_description", 2..=2, Body::Nothing),
    ("to_regtype", 1..=1, Body::Number(type_number)),
];

/// The functions.
pub fn all() -> impl Iterator<Item = ScalarUDF> {
    ALL.into_iter().map(|(name, arguments, body)| {
        let counts = arguments.map(TypeSignature::Any).collect();
        ScalarUDF::from(Builtin {
            name,
            signature: Signature::one_of(counts, Volatility::Stable),
            body,
        })
    })
}

impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// One name, one function.
impl PartialEq for Builtin {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Builtin {}

impl Hash for Builtin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Builtin {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.body {
            Body::Nothing | Body::Text(_) => DataType::Utf8,
            Body::Yes => DataType::Boolean,
            Body::Number(_) => DataType::Int32,
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = arguments
            .args
            .iter()
            .all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = match self.body {
            Body::Nothing => return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None))),
            Body::Yes => return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true)))),
            _ => Rows::of(&arguments.args)?,
        };
        let found: ArrayRef = match self.body {
            Body::Text(of) => Arc::new(rows.map(of).collect::<Result<StringArray>>()?),
            Body::Number(of) => Arc::new(rows.map(of).collect::<Result<Int32Array>>()?),
            Body::Nothing | Body::Yes => Arc::new(BooleanArray::new_null(0)),
        };
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?));
        }
        Ok(ColumnarValue::Array(found))
    }
}

/// Arguments as texts.
struct Rows {
    columns: Vec<ArrayRef>,
    count: usize,
}

impl Rows {
    fn of(arguments: &[ColumnarValue]) -> Result<Self> {
        let columns = ColumnarValue::values_to_arrays(arguments)?;
        let columns = columns.iter().map(|column| cast(column, &DataType::Utf8));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let count = columns.first().map_or(0, |column| column.len());
        Ok(Self { columns, count })
    }

    fn map<T>(self, of: impl Fn(&Texts) -> Result<Option<T>>) -> impl Iterator<Item = Result<Option<T>>> {
        (0..self.count).map(move |row| {
            let value = |column: &ArrayRef| {
                let texts = column.as_string::<i32>();
                texts.is_valid(row).then(|| texts.value(row).to_owned())
            };
            of(&self.columns.iter().map(value).collect::<Vec<_>>())
        })
    }
}

fn setting(arguments: &Texts) -> Result<Option<String>> {
    let Some(name) = &arguments[0] else { return Ok(None) };
    let may_be_missing = arguments.get(1).is_some_and(|flag| flag.as_deref() == Some("true"));
    match settings::fixed(name) {
        Some(value) => Ok(Some(value.to_owned())),
        None if may_be_missing => Ok(None),
        None => exec_err!("unrecognized configuration parameter \"{name}\""),
    }
}

fn quoted(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') {
        return format!(" E'{}'", doubled.replace('\\', "\\\\"));
    }
    format!("'{doubled}'")
}

fn literal(arguments: &Texts) -> Result<Option<String>> {
    Ok(arguments[0].as_deref().map(quoted))
}

fn nullable(arguments: &Texts) -> Result<Option<String>> {
    Ok(Some(arguments[0].as_deref().map_or_else(|| "NULL".into(), quoted)))
}

/// A name as it has to be written.
fn identifier(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `%s`, `%I`, `%L` and `%%`, in the order of the arguments or with a number (`%2$I`).
fn format(arguments: &Texts) -> Result<Option<String>> {
    let Some(text) = &arguments[0] else { return Ok(None) };
    let (mut out, mut rest, mut next) = (String::new(), text.as_str(), 1);
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = match after[digits..].strip_prefix('$') {
            Some(tail) => (after[..digits].parse().ok(), tail),
            None => (None, after),
        };
        let mut letters = after.chars();
        let kind = letters.next();
        rest = letters.as_str();
        if kind == Some('%') {
            out.push('%');
            continue;
        }
        let place = number.unwrap_or(next);
        next = place + 1;
        let Some(value) = arguments.get(place).filter(|_| place > 0) else {
            return exec_err!("too few arguments for format()");
        };
        match (kind, value) {
            (Some('s'), value) => out.push_str(value.as_deref().unwrap_or_default()),
            (Some('I'), Some(value)) => out.push_str(&identifier(value)),
            (Some('I'), None) => return exec_err!("null values cannot be formatted as an SQL identifier"),
            (Some('L'), value) => {
                let text = value.as_deref().map_or_else(|| "NULL".into(), quoted);
                let _ = write!(out, "{text}");
            }
            _ => return exec_err!("unrecognized format() type specifier; use %s, %I, %L or %%"),
        }
    }
    out.push_str(rest);
    Ok(Some(out))
}

/// The number of a type by its name.
fn type_number(arguments: &Texts) -> Result<Option<i32>> {
    let Some(name) = &arguments[0] else { return Ok(None) };
    let name = name.trim().to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    let short = LONG
        .iter()
        .find(|(long, _)| *long == name)
        .map_or(name, |(_, short)| short);
    // Those of PostgreSQL itself.
    let found = (16..6000)
        .filter_map(Type::from_oid)
        .find(|known| known.name() == short);
    Ok(found.and_then(|found| i32::try_from(found.oid()).ok()))
}

/// Types by the names of the standard, and by those of the catalog.
pub const LONG: [(&str, &str); 9] = [
    ("bigint", "int8"),
    ("boolean", "bool"),
    ("character varying", "varchar"),
    ("double precision", "float8"),
    ("integer", "int4"),
    ("real", "float4"),
    ("smallint", "int2"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Vec<Option<String>> {
        all.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn texts_are_put_together_as_postgresql_does() {
        for (arguments, expected) in [
            (&["%s", "a"][..], "a"),
            (&["%I.%I", "public", "flights.delays"], "public.\"flights.delays\""),
            (&["%L and 100%%", "it's"], "'it''s' and 100%"),
            (&["%2$s %1$s %s", "a", "b"], "b a b"),
        ] {
            assert_eq!(
                format(&texts(arguments)).unwrap().as_deref(),
                Some(expected),
                "{arguments:?}"
            );
        }
        for wrong in [&["%s"][..], &["%d", "1"], &["%"], &["%0$s", "a"], &["%9$s", "a"]] {
            assert!(format(&texts(wrong)).is_err(), "{wrong:?}");
        }
        assert_eq!(format(&[None]).unwrap(), None);
        assert_eq!(literal(&texts(&["a\\b"])).unwrap().as_deref(), Some(" E'a\\\\b'"));
        assert_eq!(nullable(&[None]).unwrap().as_deref(), Some("NULL"));
    }

    #[test]
    fn settings_and_types_are_found_by_name() {
        assert_eq!(
            setting(&texts(&["Server_Version_Num"])).unwrap().as_deref(),
            Some("160006")
        );
        assert_eq!(setting(&texts(&["TimeZone"])).unwrap().as_deref(), Some("UTC"));
        assert!(setting(&texts(&["nothing"])).is_err());
        assert_eq!(setting(&texts(&["nothing", "true"])).unwrap(), None);
        for (name, number) in [
            ("int8", Some(20)),
            ("pg_catalog.text", Some(25)),
            ("timestamp with time zone", Some(1184)),
            ("hstore", None),
        ] {
            assert_eq!(type_number(&texts(&[name])).unwrap(), number, "{name}");
        }
    }
}
