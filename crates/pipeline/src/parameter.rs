//! Parameters: names with values that are filled into SQL.

use crate::fault::{Fault, Place};
use crate::reader::{Reader, join};
use std::cell::Cell;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::DeValue;

/// Reads a variable of the environment; a test gives its own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// `name=value` from the command line: they go before the values of the file.
pub type Overrides<'a> = &'a [(String, String)];

/// Names with a meaning of their own.
pub const RESERVED: [&str; 3] = ["env", "pipeline", "version"];

/// True for a name that can stand in `${name}`.
pub fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A value, and whether it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// What goes into the SQL.
    pub text: String,
    /// What may be shown: the same, with everything that came from the environment as `****`.
    pub shown: String,
}

impl Value {
    /// A value that is no secret.
    pub fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            shown: text.clone(),
            text,
        }
    }

    /// A value that came from the environment.
    pub fn secret(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            shown: "****".into(),
        }
    }

    /// The value of a string of the pipeline file: `${env:NAME}` and `${env:NAME:default}` in it come from the
    /// environment, `$${` stands for `${`. The error is a message with its hint.
    pub fn expand(text: &str, environment: Environment<'_>) -> Result<Self, (String, String)> {
        let mut value = Value {
            text: String::new(),
            shown: String::new(),
        };
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            let (before, tail) = rest.split_at(dollar);
            value.push(&Value::plain(before));
            if let Some(after) = tail.strip_prefix("$${") {
                value.push(&Value::plain("${"));
                rest = after;
            } else if let Some(after) = tail.strip_prefix("${") {
                let Some(end) = after.find('}') else {
                    return Err((
                        "'${' is never closed".into(),
                        "close it with '}', or write $${ for the two characters".into(),
                    ));
                };
                let Some(variable) = after[..end].strip_prefix("env:") else {
                    let hint =
                        "only the environment can be used here, as ${env:NAME}; write $${ for the two characters";
                    return Err((
                        format!("'${{{}}}' in a value of the pipeline file", &after[..end]),
                        hint.into(),
                    ));
                };
                value.push(&from_environment(variable, environment)?);
                rest = &after[end + 1..];
            } else {
                value.push(&Value::plain("$"));
                rest = &tail[1..];
            }
        }
        value.push(&Value::plain(rest));
        Ok(value)
    }

    fn push(&mut self, part: &Value) {
        self.text.push_str(&part.text);
        self.shown.push_str(&part.shown);
    }
}

/// `NAME` or `NAME:default`. A value from the environment is a secret, a default is not.
pub fn from_environment(variable: &str, environment: Environment<'_>) -> Result<Value, (String, String)> {
    let (name, default) = match variable.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (variable, None),
    };
    match (environment(name), default) {
        (Some(value), _) => Ok(Value::secret(value)),
        (None, Some(default)) => Ok(Value::plain(default)),
        (None, None) => Err((
            format!("the environment has no variable '{name}'"),
            format!("set it (export {name}=...), or give a default: ${{env:{name}:default}}"),
        )),
    }
}

/// The parameters of one pipeline.
#[derive(Debug, Default)]
pub struct Parameters(BTreeMap<String, Parameter>);

#[derive(Debug)]
struct Parameter {
    value: Value,
    /// Where the pipeline file gives it; `None` from the command line or built in.
    place: Option<Place>,
    /// Whether an unused one is a fault.
    must_be_used: bool,
    used: Cell<bool>,
}

impl Parameters {
    /// Sets a value of the pipeline file. False if the name has one already.
    pub fn declare(&mut self, name: &str, value: Value, place: Place) -> bool {
        let parameter = Parameter {
            value,
            place: Some(place),
            must_be_used: true,
            used: Cell::new(false),
        };
        self.0.insert(name.into(), parameter).is_none()
    }

    /// Sets a value that need not be used.
    pub fn build_in(&mut self, name: &str, value: Value) {
        self.0.insert(
            name.into(),
            Parameter {
                value,
                place: None,
                must_be_used: false,
                used: Cell::new(false),
            },
        );
    }

    /// Sets a value from the command line, in the place of one of the file.
    pub fn set(&mut self, name: &str, value: &str) {
        let place = self.0.get(name).and_then(|parameter| parameter.place.clone());
        let value = Value::plain(value);
        self.0.insert(
            name.into(),
            Parameter {
                value,
                place,
                must_be_used: true,
                used: Cell::new(false),
            },
        );
    }

    /// Looks a value up and marks it as used.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let parameter = self.0.get(name)?;
        parameter.used.set(true);
        Some(&parameter.value)
    }

    /// Parameters that no SQL file used.
    pub fn unused(&self) -> impl Iterator<Item = Fault> + '_ {
        let unused = self
            .0
            .iter()
            .filter(|(_, parameter)| parameter.must_be_used && !parameter.used.get());
        unused.map(|(name, parameter)| Fault {
            message: format!("no SQL file uses the parameter '{name}'"),
            place: parameter.place.clone(),
            hint: Some(format!("write ${{{name}}} where its value belongs, or take it out")),
        })
    }
}

impl Reader<'_> {
    /// `[parameters]`, or `[paths]` whose values are file names relative to the pipeline file.
    pub(crate) fn parameters(&mut self, value: &Spanned<DeValue<'_>>, parameters: &mut Parameters, paths: bool) {
        let DeValue::Table(table) = value.get_ref() else {
            let name = if paths { "paths" } else { "parameters" };
            self.fault(
                value.span(),
                format!("'{name}' must be a table"),
                format!("write [{name}], then a line 'key = value' for each"),
            );
            return;
        };
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            if !is_name(name) || RESERVED.contains(&name) {
                let hint = format!(
                    "a name has letters, digits and _, and is none of {}",
                    RESERVED.join(", ")
                );
                self.fault(key.span(), format!("'{name}' cannot be the name of a parameter"), hint);
                continue;
            }
            let filled = match value.get_ref() {
                DeValue::String(_) => self
                    .text(value)
                    .map(|value| if paths { self.path(&value) } else { value }),
                DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) if !paths => {
                    Some(Value::plain(plain(value.get_ref())))
                }
                _ => {
                    let hint = if paths {
                        "a file name in quotes"
                    } else {
                        "a text, a number, true or false"
                    };
                    self.fault(
                        value.span(),
                        format!("the parameter '{name}' has no value that can be filled in"),
                        hint,
                    );
                    None
                }
            };
            let Some(filled) = filled else { continue };
            if !parameters.declare(
                name,
                filled,
                Place {
                    file: self.file,
                    range: key.span(),
                },
            ) {
                self.fault(
                    key.span(),
                    format!("'{name}' stands in [parameters] and in [paths]"),
                    "take one of them out",
                );
            }
        }
    }

    fn path(&self, value: &Value) -> Value {
        let joined = |path: &str| join(self.base, path).display().to_string();
        Value {
            text: joined(&value.text),
            shown: joined(&value.shown),
        }
    }
}

/// A number or truth value as SQL writes it.
fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => number.to_string(),
            Err(_) => number.as_str().to_string(),
        },
        DeValue::Float(number) => number.as_str().to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        _ => String::new(),
    }
}
