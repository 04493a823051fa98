//! Filling `${name}` and `${name:default}` into one SQL text.
//!
//! Comments stay as they are. Inside a quoted literal a quote in the value is doubled, so that no value ends the literal.
//! `$${` stands for `${`. `${env:NAME}` takes a variable of the environment.

use crate::parameter::{Environment, Parameters, Value, from_environment, is_name};
use std::ops::Range;

/// A part of a filled text.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// What goes into the filled text.
    pub value: Value,
    /// Where it comes from in the source text.
    pub source: Range<usize>,
    /// True if it was copied character by character, false if it was filled in.
    pub copied: bool,
}

/// A filled text in pieces, and whether its last statement is closed by a `;`.
#[derive(Debug, Default)]
pub struct Filled {
    /// In order, without gaps.
    pub pieces: Vec<Piece>,
    /// False if a further statement after this text would become a part of its last one.
    pub closed: bool,
}

/// Something that cannot be filled: place, message, hint.
pub type Unfilled = (Range<usize>, String, String);

/// Where the reader is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    /// Inside quotes of this kind.
    Quoted(char),
    LineComment,
    /// Nested this deep.
    BlockComment(u32),
}

/// Fills all placeholders of a text. Reports every one that has no value.
pub fn fill(text: &str, parameters: &Parameters, environment: Environment<'_>) -> (Filled, Vec<Unfilled>) {
    let mut filled = Filled {
        pieces: Vec::new(),
        closed: true,
    };
    let mut faults = Vec::new();
    let mut state = State::Code;
    let mut copied_to = 0;
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        let mut width = next.len_utf8();
        match state {
            State::LineComment if next == '\n' => state = State::Code,
            State::LineComment => {}
            State::BlockComment(depth) if rest.starts_with("*/") => {
                width = 2;
                state = if depth == 1 {
                    State::Code
                } else {
                    State::BlockComment(depth - 1)
                };
            }
            State::BlockComment(depth) if rest.starts_with("/*") => {
                width = 2;
                state = State::BlockComment(depth + 1);
            }
            State::BlockComment(_) => {}
            State::Code | State::Quoted(_) if rest.starts_with("$${") => {
                filled.copy(text, copied_to..at);
                filled.pieces.push(Piece {
                    value: Value::plain("${"),
                    source: at..at + 3,
                    copied: false,
                });
                filled.closed = false;
                width = 3;
                copied_to = at + width;
            }
            State::Code | State::Quoted(_) if rest.starts_with("${") => {
                filled.copy(text, copied_to..at);
                filled.closed = false;
                let (end, value) = placeholder(text, at, parameters, environment);
                match value {
                    Ok(mut value) => {
                        if let State::Quoted(quote) = state {
                            let doubled = String::from_iter([quote, quote]);
                            value.text = value.text.replace(quote, &doubled);
                            value.shown = value.shown.replace(quote, &doubled);
                        }
                        filled.pieces.push(Piece {
                            value,
                            source: at..end,
                            copied: false,
                        });
                    }
                    Err((message, hint)) => faults.push((at..end, message, hint)),
                }
                width = end - at;
                copied_to = end;
            }
            State::Quoted(quote) => {
                if next == quote {
                    state = State::Code;
                }
            }
            State::Code if rest.starts_with("--") => state = State::LineComment,
            State::Code if rest.starts_with("/*") => {
                width = 2;
                state = State::BlockComment(1);
            }
            State::Code => {
                if next == '\'' || next == '"' {
                    state = State::Quoted(next);
                }
                if !next.is_whitespace() {
                    filled.closed = next == ';';
                }
            }
        }
        at += width;
    }
    filled.copy(text, copied_to..text.len());
    (filled, faults)
}

impl Filled {
    fn copy(&mut self, text: &str, source: Range<usize>) {
        if !source.is_empty() {
            self.pieces.push(Piece {
                value: Value::plain(&text[source.clone()]),
                source,
                copied: true,
            });
        }
    }
}

/// The placeholder that begins at `start`: where it ends, and its value or what is wrong with it.
fn placeholder(
    text: &str,
    start: usize,
    parameters: &Parameters,
    environment: Environment<'_>,
) -> (usize, Result<Value, (String, String)>) {
    let inner_start = start + 2;
    let Some(length) = text[inner_start..]
        .find(['}', '\n'])
        .filter(|length| text[inner_start + length..].starts_with('}'))
    else {
        let hint = "close it with '}' on the same line, or write $${ for the two characters";
        return (inner_start, Err(("'${' is never closed".into(), hint.into())));
    };
    let inner = &text[inner_start..inner_start + length];
    let end = inner_start + length + 1;
    if let Some(variable) = inner.strip_prefix("env:") {
        return (end, from_environment(variable, environment));
    }
    let (name, default) = match inner.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if !is_name(name) {
        let hint = "a name has letters, digits and _; write $${ for the two characters";
        return (
            end,
            Err((format!("'{name}' is not the name of a parameter"), hint.into())),
        );
    }
    let value = match (parameters.get(name), default) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(default)) => Ok(Value::plain(default)),
        (None, None) => Err((
            format!("the parameter '{name}' has no value"),
            format!(
                "give it in [parameters] of the pipeline file, by --param {name}=..., or a default here: ${{{name}:...}}"
            ),
        )),
    };
    (end, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, values: &[(&str, &str)]) -> Result<String, Vec<Unfilled>> {
        let mut parameters = Parameters::default();
        values.iter().for_each(|(name, value)| parameters.set(name, value));
        let (filled, faults) = fill(text, &parameters, &|name| (name == "SECRET").then(|| "hush".into()));
        if faults.is_empty() {
            Ok(filled.pieces.iter().map(|piece| piece.value.text.as_str()).collect())
        } else {
            Err(faults)
        }
    }

    #[test]
    fn values_and_defaults_are_filled_in() {
        let text = "SELECT ${k}, ${n:7}, '${path:a/b}' FROM ${table:t}";
        assert_eq!(
            filled(text, &[("k", "5"), ("path", "c:d")]),
            Ok("SELECT 5, 7, 'c:d' FROM t".into())
        );
    }

    #[test]
    fn a_quote_in_a_value_does_not_end_the_literal() {
        assert_eq!(filled("x = '${v}'", &[("v", "it's")]), Ok("x = 'it''s'".into()));
        assert_eq!(filled("\"${v}\"", &[("v", "a\"b'c")]), Ok("\"a\"\"b'c\"".into()));
    }

    #[test]
    fn comments_and_escapes_stay() {
        let text = "-- ${a}\n/* ${b} /* */ ${c} */ SELECT '$${d} -- ${e:1}' -- '\n, ${f:2}";
        assert_eq!(
            filled(text, &[]),
            Ok("-- ${a}\n/* ${b} /* */ ${c} */ SELECT '${d} -- 1' -- '\n, 2".into())
        );
    }

    #[test]
    fn every_missing_value_is_reported_with_its_place() {
        let faults = filled("SELECT ${a}, ${b}, ${", &[]).unwrap_err();
        let places: Vec<_> = faults.iter().map(|(place, ..)| place.clone()).collect();
        assert_eq!(places, [7..11, 13..17, 19..21]);
    }

    #[test]
    fn a_variable_of_the_environment_is_a_secret() {
        let (filled, _) = fill(
            "'${env:SECRET}' '${env:NONE:public}'",
            &Parameters::default(),
            &|name| (name == "SECRET").then(|| "hush".into()),
        );
        let shown: String = filled.pieces.iter().map(|piece| piece.value.shown.as_str()).collect();
        assert_eq!(shown, "'****' 'public'");
        assert!(
            fill("${env:NONE}", &Parameters::default(), &|_| None).1[0]
                .1
                .contains("NONE")
        );
    }

    #[test]
    fn it_is_known_whether_the_last_statement_is_closed() {
        let closed = |text| fill(text, &Parameters::default(), &|_| None).0.closed;
        assert!(closed("") && closed("SELECT 1;") && closed("SELECT 1; -- done\n"));
        assert!(!closed("SELECT 1") && !closed("SELECT 1 -- ;") && !closed("SELECT ';'") && !closed("SELECT ${k:1}"));
    }
}
