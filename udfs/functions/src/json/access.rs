//! The functions that look into JSON text: `json_get` and its kin.
//!
//! They take JSON and a path: keys and indexes, each an argument of its own, or one list. What a path does not lead to, JSON's `null`, a value that the
//! function does not give, and text that is no JSON are all NULL; nothing in the data is an error.
//!
//! A dictionary of texts is looked into once a distinct value, and functions that give text return a dictionary again.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, DictionaryArray, Float64Builder, Int64Array, Int64Builder, ListBuilder,
    StringBuilder, UInt64Builder,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use jiter::{Jiter, NumberAny, NumberInt, Peek};

use super::find::{Step, elements, find, raw};
use super::input::{self, Paths, Steps, Texts};
use super::union::{UnionBuilder, Value, is_null, json_union, metadata};
use crate::argument::{plan_error, run_error};

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Access {
    /// `json_get`, `->`, `#>`: the value of any kind, as the union.
    Get,
    /// `json_as_text`, `->>`, `#>>`: a string without its quotes, anything else as JSON text.
    AsText,
    /// `json_get_str`: a string.
    Str,
    /// `json_get_int`: a whole number, also where it is written as a fraction or in a string.
    Int,
    /// `json_get_float`: a number, also in a string.
    Float,
    /// `json_get_bool`: true or false, also in a string.
    Bool,
    /// `json_get_json`: the value as JSON text.
    Json,
    /// `json_get_array`: the elements of an array as JSON texts.
    Array,
    /// `json_contains`, `?`: whether the path leads anywhere.
    Contains,
    /// `json_length`: how many elements an array has, or members an object.
    Length,
    /// `json_object_keys`: the names of an object's members.
    Keys,
}

/// What a function finds.
enum Found<'a> {
    Value(Value<'a>),
    Length(u64),
    Texts(Vec<Cow<'a, str>>),
}

impl Access {
    pub const ALL: [Access; 11] = [
        Access::Get,
        Access::AsText,
        Access::Str,
        Access::Int,
        Access::Float,
        Access::Bool,
        Access::Json,
        Access::Array,
        Access::Contains,
        Access::Length,
        Access::Keys,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Access::Get => "json_get",
            Access::AsText => "json_as_text",
            Access::Str => "json_get_str",
            Access::Int => "json_get_int",
            Access::Float => "json_get_float",
            Access::Bool => "json_get_bool",
            Access::Json => "json_get_json",
            Access::Array => "json_get_array",
            Access::Contains => "json_contains",
            Access::Length => "json_length",
            Access::Keys => "json_object_keys",
        }
    }

    fn alias(self) -> Option<&'static str> {
        match self {
            Access::Length => Some("json_len"),
            Access::Keys => Some("json_keys"),
            _ => None,
        }
    }

    /// The type that comes out of texts that are no dictionary.
    fn returns(self) -> DataType {
        let list = |field: Field| DataType::List(Arc::new(field));
        let item = Field::new("item", DataType::Utf8, true);
        match self {
            Access::Get => json_union().clone(),
            Access::AsText | Access::Str | Access::Json => DataType::Utf8,
            Access::Int => DataType::Int64,
            Access::Float => DataType::Float64,
            Access::Bool | Access::Contains => DataType::Boolean,
            Access::Length => DataType::UInt64,
            Access::Array => list(item.with_metadata(metadata())),
            Access::Keys => list(item),
        }
    }

    /// Whether a dictionary gives a dictionary: where values cost more than keys.
    fn keeps_dictionaries(self) -> bool {
        matches!(
            self,
            Access::Get | Access::AsText | Access::Str | Access::Json | Access::Keys
        )
    }

    /// Looks into one text.
    fn look(self, json: Option<&str>, path: &[Step<'_>], column: &mut Column) {
        let place = json.and_then(|json| Some((json, find(json, path)?)));
        if self == Access::Contains {
            column.append(Some(Found::Value(Value::Bool(place.is_some()))));
            return;
        }
        match place {
            None => column.append(None),
            Some((json, (mut jiter, peek))) => column.append(self.read(json, &mut jiter, peek)),
        }
    }

    /// What the function gives of the value that begins here.
    fn read<'a, 'j: 'a>(self, json: &'j str, jiter: &'a mut Jiter<'j>, peek: Peek) -> Option<Found<'a>> {
        if self == Access::Keys {
            return (peek == Peek::Object).then(|| keys(jiter)).flatten().map(Found::Texts);
        }
        Some(Found::Value(match self {
            Access::Get => match peek {
                Peek::Null => {
                    jiter.known_null().ok()?;
                    Value::Null
                }
                Peek::True | Peek::False => Value::Bool(jiter.known_bool(peek).ok()?),
                Peek::String => Value::Text(jiter.known_str().ok()?),
                Peek::Array => Value::Array(raw(json, jiter, peek)?),
                Peek::Object => Value::Object(raw(json, jiter, peek)?),
                _ => match jiter.known_number(peek).ok()? {
                    NumberAny::Int(value) => Value::Int(integer(value)?),
                    NumberAny::Float(value) => Value::Float(value),
                },
            },
            Access::AsText => match peek {
                Peek::Null => return None,
                Peek::String => Value::Text(jiter.known_str().ok()?),
                _ => Value::Text(raw(json, jiter, peek)?),
            },
            Access::Json => Value::Text(raw(json, jiter, peek)?),
            Access::Str if peek == Peek::String => Value::Text(jiter.known_str().ok()?),
            Access::Bool => match peek {
                Peek::True | Peek::False => Value::Bool(jiter.known_bool(peek).ok()?),
                Peek::String => Value::Bool(jiter.known_str().ok()?.parse().ok()?),
                _ => return None,
            },
            Access::Int if peek == Peek::String => Value::Int(jiter.known_str().ok()?.parse().ok()?),
            Access::Int if is_number(peek) => Value::Int(match jiter.known_number(peek).ok()? {
                NumberAny::Int(value) => integer(value)?,
                NumberAny::Float(value) => whole(value)?,
            }),
            Access::Float if peek == Peek::String => Value::Float(jiter.known_str().ok()?.parse().ok()?),
            Access::Float if is_number(peek) => Value::Float(match jiter.known_number(peek).ok()? {
                NumberAny::Int(value) => value.into(),
                NumberAny::Float(value) => value,
            }),
            Access::Array if peek == Peek::Array => return texts(json, jiter).map(Found::Texts),
            Access::Length if peek == Peek::Array => return Some(Found::Length(elements(jiter)? as u64)),
            Access::Length if peek == Peek::Object => return members(jiter).map(Found::Length),
            _ => return None,
        }))
    }
}

/// JSON's numbers; the parser knows `Infinity` and `NaN` too, which are none.
fn is_number(peek: Peek) -> bool {
    !matches!(
        peek,
        Peek::Null | Peek::True | Peek::False | Peek::Infinity | Peek::NaN | Peek::Array | Peek::Object | Peek::String
    )
}

/// A whole number, if BIGINT can hold it; the parser takes some for large that are not.
fn integer(value: NumberInt) -> Option<i64> {
    match value {
        NumberInt::Int(value) => Some(value),
        NumberInt::BigInt(value) => value.try_into().ok(),
    }
}

/// A whole number that is written as a fraction, such as `2e3`. No other is rounded, nor cut to BIGINT's range.
fn whole(value: f64) -> Option<i64> {
    // Both ends are exact in 64-bit floating point, so that the comparison is.
    let range = i64::MIN as f64..-(i64::MIN as f64);
    (value.fract() == 0.0 && range.contains(&value)).then_some(value as i64)
}

/// The elements of the array that begins here.
fn texts<'j>(json: &'j str, jiter: &mut Jiter<'j>) -> Option<Vec<Cow<'j, str>>> {
    let (mut texts, mut next) = (Vec::new(), jiter.known_array().ok()?);
    while let Some(peek) = next {
        texts.push(Cow::Borrowed(raw(json, jiter, peek)?));
        next = jiter.array_step().ok()?;
    }
    Some(texts)
}

/// The names of the members of the object that begins here.
fn keys<'a>(jiter: &mut Jiter<'_>) -> Option<Vec<Cow<'a, str>>> {
    let mut keys = Vec::new();
    let mut next = jiter.known_object().ok()?.map(str::to_owned);
    while let Some(key) = next {
        keys.push(Cow::Owned(key));
        jiter.next_skip().ok()?;
        next = jiter.next_key().ok()?.map(str::to_owned);
    }
    Some(keys)
}

/// How many members the object that begins here has.
fn members(jiter: &mut Jiter<'_>) -> Option<u64> {
    let mut count = 0;
    let mut more = jiter.known_object().ok()?.is_some();
    while more {
        jiter.next_skip().ok()?;
        more = jiter.next_key().ok()?.is_some();
        count += 1;
    }
    Some(count)
}

/// The column that a function fills. What it finds is always of its column's kind; anything else would be NULL.
enum Column {
    Union(Box<UnionBuilder>),
    Text(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Length(UInt64Builder),
    List(ListBuilder<StringBuilder>),
}

impl Column {
    fn new(access: Access, rows: usize) -> Self {
        match access.returns() {
            DataType::Int64 => Column::Int(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Column::Float(Float64Builder::with_capacity(rows)),
            DataType::Boolean => Column::Bool(BooleanBuilder::with_capacity(rows)),
            DataType::UInt64 => Column::Length(UInt64Builder::with_capacity(rows)),
            DataType::List(field) => {
                let lists = ListBuilder::with_capacity(StringBuilder::new(), rows);
                Column::List(lists.with_field(field))
            }
            DataType::Utf8 => Column::Text(StringBuilder::with_capacity(rows, 0)),
            _ => Column::Union(Box::default()),
        }
    }

    fn append(&mut self, found: Option<Found<'_>>) {
        match (self, found) {
            (Column::Union(column), Some(Found::Value(value))) => column.append(value),
            (Column::Union(column), _) => column.append(Value::Null),
            (Column::Text(column), Some(Found::Value(Value::Text(value)))) => column.append_value(value),
            (Column::Text(column), _) => column.append_null(),
            (Column::Int(column), Some(Found::Value(Value::Int(value)))) => column.append_value(value),
            (Column::Int(column), _) => column.append_null(),
            (Column::Float(column), Some(Found::Value(Value::Float(value)))) => column.append_value(value),
            (Column::Float(column), _) => column.append_null(),
            (Column::Bool(column), Some(Found::Value(Value::Bool(value)))) => column.append_value(value),
            (Column::Bool(column), _) => column.append_null(),
            (Column::Length(column), Some(Found::Length(value))) => column.append_value(value),
            (Column::Length(column), _) => column.append_null(),
            (Column::List(column), Some(Found::Texts(texts))) => column.append_value(texts.iter().map(Some)),
            (Column::List(column), _) => column.append_null(),
        }
    }

    fn finish(self) -> Result<ArrayRef> {
        Ok(match self {
            Column::Union(column) => return column.finish(),
            Column::Text(mut column) => Arc::new(column.finish()),
            Column::Int(mut column) => Arc::new(column.finish()),
            Column::Float(mut column) => Arc::new(column.finish()),
            Column::Bool(mut column) => Arc::new(column.finish()),
            Column::Length(mut column) => Arc::new(column.finish()),
            Column::List(mut column) => Arc::new(column.finish()),
        })
    }
}

/// A dictionary in which NULL is a matter of the keys, as Arrow wants it.
fn dictionary(keys: impl Iterator<Item = Option<i64>>, values: ArrayRef) -> Result<ArrayRef> {
    let union = values.as_union_opt();
    let valid = |key: &i64| {
        let row = *key as usize;
        !union.map_or_else(|| values.is_null(row), |union| is_null(union, row))
    };
    let keys: Int64Array = keys.map(|key| key.filter(valid)).collect();
    Ok(Arc::new(DictionaryArray::<Int64Type>::try_new(keys, values)?))
}

fn one_key_a_row(values: ArrayRef) -> Result<ArrayRef> {
    dictionary((0..values.len() as i64).map(Some), values)
}

/// The DataFusion function of an [`Access`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Accessor {
    pub access: Access,
    signature: Signature,
    aliases: Vec<String>,
}

impl Accessor {
    pub fn new(access: Access) -> Self {
        Accessor {
            access,
            signature: Signature::variadic_any(Volatility::Immutable),
            aliases: access.alias().map(str::to_owned).into_iter().collect(),
        }
    }

    fn is_dictionary(&self, json: &DataType) -> bool {
        self.access.keeps_dictionaries() && matches!(json, DataType::Dictionary(..))
    }

    /// Looks into every row; NULL where a row's step is NULL.
    fn column(&self, texts: &Texts<'_>, paths: &Paths<'_>) -> Result<ArrayRef> {
        match paths {
            Paths::Same(path) => {
                let rows = texts.rows().unwrap_or(1);
                let mut column = Column::new(self.access, rows);
                for row in 0..rows {
                    self.access.look(texts.get(row), path, &mut column);
                }
                column.finish()
            }
            Paths::Each(steps) => {
                let rows = steps.len();
                let steps = Steps::new(self.name(), steps)?;
                let mut column = Column::new(self.access, rows);
                for row in 0..rows {
                    match steps.get(row) {
                        Some(step) => self.access.look(texts.get(row), &[step], &mut column),
                        None => column.append(None),
                    }
                }
                column.finish()
            }
        }
    }

    /// Looks into a column of texts, or into each value of a dictionary.
    fn column_of(&self, json: &ArrayRef, paths: &Paths<'_>) -> Result<ArrayRef> {
        let texts = |column| Texts::of_column(self.name(), column, paths.by_key());
        let Some(json) = json.as_any_dictionary_opt() else {
            return self.column(&texts(json)?, paths);
        };
        let keep = self.access.keeps_dictionaries();
        match paths {
            Paths::Same(_) => {
                let values = self.column(&texts(json.values())?, paths)?;
                if !keep {
                    return Ok(take(&values, json.keys(), None)?);
                }
                let keys = cast(json.keys(), &DataType::Int64)?;
                dictionary(keys.as_primitive::<Int64Type>().iter(), values)
            }
            Paths::Each(_) => {
                let json = take(json.values(), json.keys(), None)?;
                let column = self.column(&texts(&json)?, paths)?;
                if keep { one_key_a_row(column) } else { Ok(column) }
            }
        }
    }
}

impl ScalarUDFImpl for Accessor {
    fn name(&self) -> &str {
        self.access.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if self.access == Access::Contains && types.len() < 2 {
            return Err(plan_error(self.name(), "takes JSON and a path of at least one step"));
        }
        input::check(self.name(), types)?;
        let returns = self.access.returns();
        Ok(match types.first() {
            Some(json) if self.is_dictionary(json) => {
                DataType::Dictionary(Box::new(DataType::Int64), Box::new(returns))
            }
            _ => returns,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(self.name(), self.return_type(&types)?, true);
        Ok(Arc::new(match self.access {
            Access::Json => field.with_metadata(metadata()),
            _ => field,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((json, path)) = args.args.split_first() else {
            return Err(run_error(self.name(), "takes JSON and a path, not nothing"));
        };
        let paths = Paths::new(self.name(), path)?;
        let json = match json {
            ColumnarValue::Array(json) => return Ok(ColumnarValue::Array(self.column_of(json, &paths)?)),
            ColumnarValue::Scalar(json) => json,
        };
        let is_dictionary = self.is_dictionary(&json.data_type());
        let column = self.column(&Texts::of_scalar(self.name(), json)?, &paths)?;
        if let Paths::Each(_) = paths {
            let column = if is_dictionary { one_key_a_row(column)? } else { column };
            return Ok(ColumnarValue::Array(column));
        }
        // A list as it is, since the scalar of one would lose what its field says.
        let value = match column.as_list_opt::<i32>() {
            Some(list) => ScalarValue::List(Arc::new(list.clone())),
            None => ScalarValue::try_from_array(&column, 0)?,
        };
        Ok(ColumnarValue::Scalar(if is_dictionary {
            ScalarValue::Dictionary(Box::new(DataType::Int64), Box::new(value))
        } else {
            value
        }))
    }

    /// A part of a column is smaller than the column: better computed where that is read.
    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        match args {
            [ExpressionPlacement::Column, path @ ..]
                if !path.is_empty() && path.iter().all(|step| matches!(step, ExpressionPlacement::Literal)) =>
            {
                ExpressionPlacement::MoveTowardsLeafNodes
            }
            _ => ExpressionPlacement::KeepInPlace,
        }
    }
}
