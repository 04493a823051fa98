//! Messages to columns: each message is one JSON object and becomes one row, or is bad as a whole.
//!
//! Only wanted columns are converted, but the whole message is checked: broken JSON after the last wanted key makes the
//! row bad too. Of a key that stands twice the last value counts.

use super::column::{Cell, Column};
use super::scan::{Fault, Kind, Scanner, Token, unescape};
use super::shape::{Shape, UNWANTED};
use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;
use arrow::error::ArrowError;
use std::collections::HashMap;

/// Decodes the wanted columns of JSON objects.
pub(crate) struct JsonDecoder {
    names: Vec<Box<[u8]>>,
    /// Only filled for many columns; few are found faster one by one.
    by_name: HashMap<Box<[u8]>, u32>,
    columns: Vec<Column>,
    found: Vec<Token>,
    cells: Vec<Cell>,
    shape: Shape,
}

impl JsonDecoder {
    /// For these fields, the flag being true for columns of type JSON. `Err` holds the first field that JSON cannot give.
    pub(crate) fn new(fields: &[(FieldRef, bool)]) -> Result<Self, FieldRef> {
        let mut columns = Vec::with_capacity(fields.len());
        for (field, json) in fields {
            columns.push(Column::new(field.name(), field, *json).ok_or_else(|| field.clone())?);
        }
        let names: Vec<Box<[u8]>> = fields.iter().map(|(field, _)| field.name().as_bytes().into()).collect();
        let by_name = if names.len() > 16 {
            names.iter().cloned().zip(0..).collect()
        } else {
            HashMap::new()
        };
        let width = columns.len();
        Ok(Self {
            names,
            by_name,
            columns,
            found: vec![Token::MISSING; width],
            cells: Vec::with_capacity(width),
            shape: Shape::default(),
        })
    }

    /// Takes one message as a row. After an error (which says what is wrong with the message) no column has changed.
    #[inline]
    pub(crate) fn push(&mut self, text: &[u8]) -> Result<(), String> {
        if let Err(fault) = self.scan(text) {
            return Err(broken(fault, text));
        }
        self.cells.clear();
        for (column, token) in self.columns.iter().zip(&self.found) {
            self.cells.push(column.check(*token, text)?);
        }
        for (column, cell) in self.columns.iter_mut().zip(&self.cells) {
            column.append(cell, text);
        }
        Ok(())
    }

    /// Checks that a message is JSON of any kind (`json.unstructured`). The error says what is wrong with it.
    pub(crate) fn any(&self, text: &[u8]) -> Result<(), String> {
        let mut scanner = Scanner::new(text);
        scanner.skip_space();
        scanner
            .value(0)
            .and_then(|_| scanner.end())
            .map_err(|fault| broken(fault, text))
    }

    /// The columns taken since the last time.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.columns.iter_mut().map(Column::finish).collect()
    }

    /// Finds the wanted values of a message and checks all of it.
    #[inline]
    fn scan(&mut self, text: &[u8]) -> Result<(), Fault> {
        self.found.fill(Token::MISSING);
        let mut scanner = Scanner::new(text);
        let mut number = 0;
        loop {
            let column = match self.shape.matches(number, text, scanner.at) {
                Some((bytes, column)) => {
                    scanner.at += bytes;
                    // A message that has a blank here where the one before had none.
                    scanner.skip_space();
                    column
                }
                None => {
                    let begin = scanner.at;
                    match self.step(&mut scanner, number, text)? {
                        Some(column) => {
                            self.shape.learn(number, &text[begin..scanner.at], column);
                            column
                        }
                        None => break,
                    }
                }
            };
            let value = scanner.value(1)?;
            if let Some(place) = self.found.get_mut(column as usize) {
                *place = value;
            }
            number += 1;
            if scanner.peek() == b'}' {
                scanner.at += 1;
                break;
            }
        }
        scanner.end()
    }

    /// From the end of a value (or the start of the message) to the next value. `None`: the object ends instead.
    fn step(&self, scanner: &mut Scanner<'_>, number: usize, text: &[u8]) -> Result<Option<u32>, Fault> {
        scanner.skip_space();
        match (scanner.peek(), number) {
            (b'{', 0) => {
                scanner.at += 1;
                scanner.skip_space();
                if scanner.peek() == b'}' {
                    scanner.at += 1;
                    return Ok(None);
                }
            }
            (_, 0) => return scanner.fault("a JSON object is expected here"),
            (b',', _) => {
                scanner.at += 1;
                scanner.skip_space();
            }
            (b'}', _) => {
                scanner.at += 1;
                return Ok(None);
            }
            _ => return scanner.fault("a comma or a closing brace is expected here"),
        }
        let key = scanner.key()?;
        Ok(Some(self.find(key, &text[key.start..key.end])))
    }

    fn find(&self, key: Token, bytes: &[u8]) -> u32 {
        let spelled;
        let bytes = if key.kind == Kind::Escaped {
            spelled = unescape(bytes);
            spelled.as_bytes()
        } else {
            bytes
        };
        let place = if self.by_name.is_empty() {
            self.names
                .iter()
                .position(|name| **name == *bytes)
                .map(|place| place as u32)
        } else {
            self.by_name.get(bytes).copied()
        };
        place.unwrap_or(UNWANTED)
    }
}

#[cold]
fn broken(fault: Fault, text: &[u8]) -> String {
    let from = fault.at.saturating_sub(20);
    let to = text.len().min(fault.at + 20);
    let around = String::from_utf8_lossy(text.get(from..to).unwrap_or_default()).into_owned();
    if text.is_empty() {
        return "the message is empty, a JSON object is expected".into();
    }
    format!(
        "not JSON: {} (byte {} of {}, near {around:?})",
        fault.what,
        fault.at,
        text.len()
    )
}
