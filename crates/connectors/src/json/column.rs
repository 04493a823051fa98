//! One column of a JSON table: checks a value, then takes it.
//!
//! A row is bad as a whole, so nothing is appended before every column has accepted its value: [`Column::check`] turns a
//! token into a [`Cell`], [`Column::append`] cannot fail any more. What is accepted follows arrow-json, which Arroyo
//! decodes with: numbers in quotes for number columns, whole numbers for TIMESTAMP (in the unit of the column), no numbers
//! for TEXT. Stricter than arrow-json in one point: a number with a fraction is no BIGINT (arrow-json cuts it off).

use super::scan::{Kind, Scanner, Token, unescape};
use super::time;
use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, ListArray, NullBufferBuilder,
    StringViewBuilder, StructArray, UInt64Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::{Parser, parse_decimal};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Fields, Time64NanosecondType, TimeUnit};
use arrow::error::ArrowError;
use hitters_planner::sql_type;
use std::sync::Arc;

/// A value that its column has accepted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    /// Integers up to 64 bits, times, dates.
    Whole(i64),
    Unsigned(u64),
    Float(f64),
    Decimal(i128),
    /// Bytes of the message, known to be UTF-8.
    Span(usize, usize),
    Text(String),
    List(Vec<Cell>),
    Struct(Vec<Cell>),
}

/// Collects the values of a column.
pub(crate) struct Column {
    /// For messages: `name`, or `name.field` and `name[]` inside of structs and lists.
    path: String,
    field: FieldRef,
    cells: Cells,
}

enum Cells {
    Bool(BooleanBuilder),
    /// Stored as 64 bits, cut to the column's type at the end; both ends of its range.
    Whole(Int64Builder, i64, i64),
    Unsigned(UInt64Builder),
    Float(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    /// A point in time in ticks of so many nanoseconds.
    Time(Int64Builder, i64),
    Date(Int64Builder),
    Clock(Int64Builder),
    Text(StringViewBuilder),
    Json(StringViewBuilder),
    List(Box<Column>, Vec<i32>, NullBufferBuilder),
    Struct(Vec<Column>, Fields, NullBufferBuilder),
}

/// Whether values of this type can be decoded from JSON.
pub(crate) fn decodable(data_type: &DataType) -> bool {
    Column::new("", &Arc::new(Field::new("", data_type.clone(), true)), false).is_some()
}

impl Column {
    /// `None` if the type cannot be decoded from JSON.
    pub(crate) fn new(path: &str, field: &FieldRef, json: bool) -> Option<Self> {
        let whole = |low, high| Cells::Whole(Int64Builder::new(), low, high);
        let cells = match field.data_type() {
            DataType::Boolean => Cells::Bool(BooleanBuilder::new()),
            DataType::Int8 => whole(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => whole(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => whole(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => whole(i64::MIN, i64::MAX),
            DataType::UInt8 => whole(0, u8::MAX.into()),
            DataType::UInt16 => whole(0, u16::MAX.into()),
            DataType::UInt32 => whole(0, u32::MAX.into()),
            DataType::UInt64 => Cells::Unsigned(UInt64Builder::new()),
            DataType::Float32 | DataType::Float64 => Cells::Float(Float64Builder::new()),
            DataType::Decimal128(precision, scale) => Cells::Decimal(Decimal128Builder::new(), *precision, *scale),
            DataType::Timestamp(unit, _) => Cells::Time(Int64Builder::new(), tick(*unit)),
            DataType::Date32 => Cells::Date(Int64Builder::new()),
            DataType::Time64(TimeUnit::Nanosecond) => Cells::Clock(Int64Builder::new()),
            DataType::Utf8View if json => Cells::Json(StringViewBuilder::new()),
            DataType::Utf8View => Cells::Text(StringViewBuilder::new()),
            DataType::List(item) => Cells::List(
                Box::new(Column::new(&format!("{path}[]"), item, false)?),
                vec![0],
                NullBufferBuilder::new(0),
            ),
            DataType::Struct(fields) => {
                let children: Option<Vec<_>> = fields
                    .iter()
                    .map(|f| Column::new(&format!("{path}.{}", f.name()), f, false))
                    .collect();
                Cells::Struct(children?, fields.clone(), NullBufferBuilder::new(0))
            }
            _ => return None,
        };
        Some(Self {
            path: path.to_string(),
            field: field.clone(),
            cells,
        })
    }

    /// Checks a value of the message `text`. The error says what is wrong with the row.
    #[inline]
    pub(crate) fn check(&self, token: Token, text: &[u8]) -> Result<Cell, String> {
        match (&self.cells, token.kind) {
            (Cells::Whole(_, low, high), Kind::Integer(value)) if (*low..=*high).contains(&value) => {
                Ok(Cell::Whole(value))
            }
            (Cells::Text(_), Kind::Text) => Ok(Cell::Span(token.start, token.end)),
            _ => self.check_slowly(token, text),
        }
    }

    fn check_slowly(&self, token: Token, text: &[u8]) -> Result<Cell, String> {
        if matches!(token.kind, Kind::Null | Kind::Missing) {
            if self.field.is_nullable() {
                return Ok(Cell::Null);
            }
            let what = if token.kind == Kind::Null { "null" } else { "missing" };
            return Err(format!("column '{}' is {what}, but declared NOT NULL", self.path));
        }
        let span = text.get(token.start..token.end).unwrap_or_default();
        let spelled = || match token.kind {
            Kind::Escaped => unescape(span),
            _ => String::from_utf8_lossy(span).into_owned(),
        };
        let wrong = || Err(self.wrong(token, text));
        match &self.cells {
            Cells::Bool(_) => match token.kind {
                Kind::True => Ok(Cell::Bool(true)),
                Kind::False => Ok(Cell::Bool(false)),
                _ => wrong(),
            },
            Cells::Whole(_, low, high) => match whole(token.kind, &spelled()) {
                Some(value) if (i128::from(*low)..=i128::from(*high)).contains(&value) => Ok(Cell::Whole(value as i64)),
                _ => wrong(),
            },
            Cells::Unsigned(_) => match whole(token.kind, &spelled()).map(u64::try_from) {
                Some(Ok(value)) => Ok(Cell::Unsigned(value)),
                _ => wrong(),
            },
            Cells::Float(_) => match (token.kind, self.field.data_type()) {
                (Kind::Integer(_) | Kind::Number | Kind::Text | Kind::Escaped, DataType::Float32) => spelled()
                    .parse::<f32>()
                    .ok()
                    .filter(|v| v.is_finite())
                    .map(|v| Cell::Float(v.into()))
                    .ok_or_else(|| self.wrong(token, text)),
                (Kind::Integer(_) | Kind::Number | Kind::Text | Kind::Escaped, _) => spelled()
                    .parse::<f64>()
                    .ok()
                    .filter(|v| v.is_finite())
                    .map(Cell::Float)
                    .ok_or_else(|| self.wrong(token, text)),
                _ => wrong(),
            },
            Cells::Decimal(_, precision, scale) => match token.kind {
                Kind::Integer(_) | Kind::Number | Kind::Text | Kind::Escaped => {
                    parse_decimal::<Decimal128Type>(&spelled(), *precision, *scale)
                        .map(Cell::Decimal)
                        .map_err(|_| self.wrong(token, text))
                }
                _ => wrong(),
            },
            Cells::Time(_, tick) => match token.kind {
                Kind::Integer(ticks) => Ok(Cell::Whole(ticks)),
                Kind::Text | Kind::Escaped => {
                    let Some((seconds, nanos)) = time::timestamp(spelled().as_bytes()) else {
                        return wrong();
                    };
                    let ticks = (i128::from(seconds) * 1_000_000_000 + i128::from(nanos)).div_euclid(i128::from(*tick));
                    i64::try_from(ticks).map(Cell::Whole).map_err(|_| {
                        format!(
                            "column '{}': {} is outside of the years 1677 to 2262, which 64-bit nanoseconds reach",
                            self.path,
                            said(token, text)
                        )
                    })
                }
                _ => wrong(),
            },
            Cells::Date(_) => match token.kind {
                Kind::Integer(days) if i32::try_from(days).is_ok() => Ok(Cell::Whole(days)),
                Kind::Text => time::date(span).map(Cell::Whole).ok_or_else(|| self.wrong(token, text)),
                _ => wrong(),
            },
            Cells::Clock(_) => match token.kind {
                Kind::Text => Time64NanosecondType::parse(&spelled())
                    .map(Cell::Whole)
                    .ok_or_else(|| self.wrong(token, text)),
                _ => wrong(),
            },
            Cells::Text(_) => match token.kind {
                Kind::Text => Ok(Cell::Span(token.start, token.end)),
                Kind::Escaped => Ok(Cell::Text(unescape(span))),
                _ => wrong(),
            },
            Cells::Json(_) => match token.kind {
                // The quotes belong to the JSON text.
                Kind::Text | Kind::Escaped => Ok(Cell::Span(token.start - 1, token.end + 1)),
                _ => Ok(Cell::Span(token.start, token.end)),
            },
            Cells::List(item, ..) if token.kind == Kind::Array => list(item, token, text),
            Cells::Struct(children, fields, _) if token.kind == Kind::Object => {
                fields_of(children, fields, token, text)
            }
            Cells::List(..) | Cells::Struct(..) => wrong(),
        }
    }

    #[cold]
    fn wrong(&self, token: Token, text: &[u8]) -> String {
        format!(
            "column '{}': expected {}, found {}",
            self.path,
            sql_type(self.field.data_type()),
            said(token, text)
        )
    }

    /// Takes a value that [`Column::check`] made of this message.
    #[inline]
    pub(crate) fn append(&mut self, cell: &Cell, text: &[u8]) {
        match (&mut self.cells, cell) {
            (Cells::Whole(b, ..) | Cells::Time(b, _) | Cells::Date(b) | Cells::Clock(b), Cell::Whole(value)) => {
                b.append_value(*value)
            }
            (Cells::Text(b) | Cells::Json(b), Cell::Span(start, end)) => {
                append_text(b, text.get(*start..*end).unwrap_or_default())
            }
            (cells, cell) => append_slowly(cells, cell, text),
        }
    }

    /// The values taken since the last time, as an array of the column's type.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let array: ArrayRef = match &mut self.cells {
            Cells::Bool(b) => Arc::new(b.finish()),
            Cells::Whole(b, ..) | Cells::Time(b, _) | Cells::Clock(b) => Arc::new(b.finish()),
            Cells::Date(b) => cast(&b.finish(), &DataType::Int32)?,
            Cells::Unsigned(b) => Arc::new(b.finish()),
            Cells::Float(b) => Arc::new(b.finish()),
            Cells::Decimal(b, precision, scale) => Arc::new(b.finish().with_precision_and_scale(*precision, *scale)?),
            Cells::Text(b) | Cells::Json(b) => Arc::new(b.finish()),
            Cells::List(item, offsets, nulls) => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                Arc::new(ListArray::try_new(
                    item.field.clone(),
                    offsets,
                    item.finish()?,
                    nulls.finish(),
                )?)
            }
            Cells::Struct(children, fields, nulls) => {
                let rows = nulls.len();
                let arrays = children.iter_mut().map(Column::finish).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new_with_length(
                    fields.clone(),
                    arrays,
                    nulls.finish(),
                    rows,
                )?)
            }
        };
        if array.data_type() == self.field.data_type() {
            Ok(array)
        } else {
            cast(&array, self.field.data_type())
        }
    }
}

#[inline]
fn append_text(builder: &mut StringViewBuilder, bytes: &[u8]) {
    // The scanner has checked every string, so this is a second look at few bytes, for want of `unsafe`.
    builder.append_value(std::str::from_utf8(bytes).unwrap_or_default());
}

fn append_slowly(cells: &mut Cells, cell: &Cell, text: &[u8]) {
    match (cells, cell) {
        (Cells::Bool(b), Cell::Bool(value)) => b.append_value(*value),
        (Cells::Bool(b), _) => b.append_null(),
        (Cells::Unsigned(b), Cell::Unsigned(value)) => b.append_value(*value),
        (Cells::Unsigned(b), _) => b.append_null(),
        (Cells::Float(b), Cell::Float(value)) => b.append_value(*value),
        (Cells::Float(b), _) => b.append_null(),
        (Cells::Decimal(b, ..), Cell::Decimal(value)) => b.append_value(*value),
        (Cells::Decimal(b, ..), _) => b.append_null(),
        (Cells::Text(b) | Cells::Json(b), Cell::Text(value)) => b.append_value(value),
        (Cells::Text(b) | Cells::Json(b), _) => b.append_null(),
        (Cells::Whole(b, ..) | Cells::Time(b, _) | Cells::Date(b) | Cells::Clock(b), _) => b.append_null(),
        (Cells::List(item, offsets, nulls), cell) => {
            let values: &[Cell] = if let Cell::List(values) = cell { values } else { &[] };
            values.iter().for_each(|value| item.append(value, text));
            // A message is far smaller than 2 GiB, and so is a batch: the sum fits.
            offsets.push(offsets.last().copied().unwrap_or(0) + values.len() as i32);
            nulls.append(matches!(cell, Cell::List(_)));
        }
        (Cells::Struct(children, _, nulls), cell) => {
            for (i, child) in children.iter_mut().enumerate() {
                let value = if let Cell::Struct(values) = cell {
                    values.get(i).unwrap_or(&Cell::Null)
                } else {
                    &Cell::Null
                };
                child.append(value, text);
            }
            nulls.append(matches!(cell, Cell::Struct(_)));
        }
    }
}

fn list(item: &Column, token: Token, text: &[u8]) -> Result<Cell, String> {
    let mut scanner = Scanner::new(text);
    scanner.at = token.start + 1;
    let mut values = Vec::new();
    loop {
        scanner.skip_space();
        match scanner.peek() {
            b']' => return Ok(Cell::List(values)),
            b',' => scanner.at += 1,
            _ => {
                let value = scanner.value(1).map_err(|fault| fault.what.to_string())?;
                values.push(item.check(value, text)?);
            }
        }
    }
}

fn fields_of(children: &[Column], fields: &Fields, token: Token, text: &[u8]) -> Result<Cell, String> {
    let mut scanner = Scanner::new(text);
    scanner.at = token.start + 1;
    let mut found = vec![Token::MISSING; children.len()];
    loop {
        scanner.skip_space();
        match scanner.peek() {
            b'}' => break,
            b',' => scanner.at += 1,
            _ => {
                let mut member = || {
                    let key = scanner.key()?;
                    Ok((key, scanner.value(1)?))
                };
                let (key, value) = member().map_err(|fault: super::scan::Fault| fault.what.to_string())?;
                let name = text.get(key.start..key.end).unwrap_or_default();
                let place = match key.kind {
                    Kind::Escaped => fields.iter().position(|f| *f.name() == unescape(name)),
                    _ => fields.iter().position(|f| f.name().as_bytes() == name),
                };
                if let Some(place) = place {
                    found[place] = value;
                }
            }
        }
    }
    children
        .iter()
        .zip(found)
        .map(|(child, token)| child.check(token, text))
        .collect::<Result<_, _>>()
        .map(Cell::Struct)
}

/// Nanoseconds of a unit.
fn tick(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// A whole number, also one in quotes or written as `1.0` or `1e3`. `i128` holds the ranges of both `i64` and `u64`.
fn whole(kind: Kind, text: &str) -> Option<i128> {
    match kind {
        Kind::Integer(value) => Some(value.into()),
        Kind::Text | Kind::Escaped => text.parse().ok(),
        Kind::Number => text.parse().ok().or_else(|| {
            // Below 2^53 a double holds every whole number exactly.
            text.parse::<f64>()
                .ok()
                .filter(|v| v.fract() == 0.0 && v.abs() < 9_007_199_254_740_992.0)
                .map(|v| v as i128)
        }),
        _ => None,
    }
}

/// What stands in the message, for an error.
fn said(token: Token, text: &[u8]) -> String {
    let span = String::from_utf8_lossy(text.get(token.start..token.end).unwrap_or_default()).into_owned();
    let short = if span.chars().count() > 60 {
        format!("{}...", span.chars().take(57).collect::<String>())
    } else {
        span
    };
    match token.kind {
        Kind::Text | Kind::Escaped => format!("the string \"{short}\""),
        Kind::Integer(_) | Kind::Number => format!("the number {short}"),
        Kind::Object => format!("the object {short}"),
        Kind::Array => format!("the list {short}"),
        _ => short,
    }
}
