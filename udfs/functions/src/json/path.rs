//! The functions by JSONPath: `extract_json`, `extract_json_string` and `get_first_json_object`.
//!
//! They take JSON text and a literal path (RFC 9535), as Arroyo's do. Text that is no JSON gives NULL, a path that is none is
//! an error of the plan. The path is parsed once a batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{Documentation, ScalarUDF};
use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use jsonpath_rust::query::queryable::Queryable;

use super::value::Value;
use crate::argument::{self, plan_error};
use crate::manual;
use crate::scalar::{Arguments, Function, scalar};

/// All functions of this family.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    [PathFunction::All, PathFunction::FirstString, PathFunction::First]
        .into_iter()
        .map(scalar)
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PathFunction {
    /// `extract_json`: all matches, as JSON text.
    All,
    /// `extract_json_string`: the first match, if it is a string, without its quotes.
    FirstString,
    /// `get_first_json_object`: the first match, as JSON text.
    First,
}

impl PathFunction {
    fn path(&self, literal: &ScalarValue) -> Result<JpQuery> {
        let name = self.name();
        let Some(Some(path)) = literal.try_as_str() else {
            return Err(plan_error(
                name,
                format!("the path must be a TEXT literal, not {literal}"),
            ));
        };
        parse_json_path(path).map_err(|error| {
            let error = error.to_string();
            let reason = error
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>()
                .join(" ");
            let hint = "a path looks like '$.store.books[0].title' or '$..price'; see RFC 9535";
            plan_error(name, format!("'{path}' is no JSONPath ({hint}): {reason}"))
        })
    }
}

/// The parts of a document that a path leads to.
fn matches<'a>(path: &JpQuery, document: &'a Value) -> Vec<&'a Value> {
    // The error is a query that ends in a value of its own making, which leads to no part of the document.
    js_path_process(path, document)
        .map(|parts| parts.into_iter().map(|part| part.val()).collect())
        .unwrap_or_default()
}

impl Function for PathFunction {
    fn name(&self) -> &'static str {
        match self {
            PathFunction::All => "extract_json",
            PathFunction::FirstString => "extract_json_string",
            PathFunction::First => "get_first_json_object",
        }
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        argument::count(name, &["json", "path"], types)?;
        Ok(vec![
            argument::text(name, "json", &types[0])?,
            argument::text(name, "path", &types[1])?,
        ])
    }

    fn returns(&self) -> DataType {
        match self {
            PathFunction::All => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true))),
            PathFunction::FirstString | PathFunction::First => DataType::Utf8View,
        }
    }

    fn nullable(&self) -> bool {
        true
    }

    fn check(&self, literals: &[Option<&ScalarValue>]) -> Result<()> {
        match literals.get(1) {
            Some(Some(path)) => self.path(path).map(drop),
            _ => Ok(()),
        }
    }

    fn evaluate(&self, arguments: &Arguments) -> Result<ArrayRef> {
        let Some(path) = arguments.literal(1) else {
            return Err(plan_error(self.name(), "the path must be a TEXT literal, not a column"));
        };
        let path = self.path(&ScalarValue::try_from_array(path, 0)?)?;
        let documents = (0..arguments.rows()).map(|row| {
            let text = (!arguments.is_null(0, row)).then(|| arguments.bytes(0, row))?;
            Value::parse(std::str::from_utf8(text).ok()?)
        });
        Ok(match self {
            PathFunction::All => {
                let mut lists = ListBuilder::new(StringViewBuilder::new());
                for document in documents {
                    let parts = document.as_ref().map(|document| matches(&path, document));
                    lists.append_option(parts.map(|parts| parts.into_iter().map(Value::to_text)));
                }
                Arc::new(lists.finish())
            }
            PathFunction::First => Arc::new(
                documents
                    .map(|document| {
                        matches(&path, document.as_ref()?)
                            .first()
                            .and_then(|part| part.to_text())
                    })
                    .collect::<StringViewArray>(),
            ),
            PathFunction::FirstString => Arc::new(
                documents
                    .map(|document| Some(matches(&path, document.as_ref()?).first()?.as_str()?.to_owned()))
                    .collect::<StringViewArray>(),
            ),
        })
    }

    fn documentation(&self) -> Documentation {
        let (description, syntax, example) = match self {
            PathFunction::All => (
                "Returns all parts of a JSON text that a path leads to, as a list of JSON texts; an empty list where it leads \
                 to none, NULL where the text is NULL or no JSON.",
                "extract_json(json, path)",
                "SELECT unnest(extract_json(answer, '$.items[*]')) FROM answers",
            ),
            PathFunction::FirstString => (
                "Returns the first part of a JSON text that a path leads to, if it is a string, as TEXT without quotes; NULL \
                 otherwise.",
                "extract_json_string(json, path)",
                "SELECT extract_json_string(answer, '$.items[0].item') FROM answers",
            ),
            PathFunction::First => (
                "Returns the first part of a JSON text that a path leads to, as JSON text; NULL where it leads to none or the \
                 text is no JSON.",
                "get_first_json_object(json, path)",
                "SELECT get_first_json_object(answer, '$.items[0]') FROM answers",
            ),
        };
        manual::json_page(description, syntax)
            .with_sql_example(example)
            .with_argument("json", "TEXT that holds JSON.")
            .with_argument(
                "path",
                "Literal TEXT: a JSONPath (RFC 9535), such as `$.items[*].item`.",
            )
            .with_related_udf("json_get")
            .build()
    }
}
