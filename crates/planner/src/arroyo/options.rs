//! `WITH (...)`: which options Arroyo takes for a table, and in which form.
//!
//! The connectors of the embedded engine take some options without a need (`json.*` of another format, `type` of a connector
//! that has one), and values without quotes; Arroyo takes neither.

use super::findings::Findings;
use super::tables::Facts;
use crate::create_table::{CreateTable, TableOption, Written};
use crate::error::Error;

/// What a value must look like.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// In quotes.
    Text,
    /// `true`, `false`, or one of them in quotes.
    Truth,
    /// A number, or one in quotes.
    Number,
    /// The name of a column, or one in quotes.
    Field,
}

/// Connectors that both engines have.
pub(crate) const CONNECTORS: [&str; 6] = ["blackhole", "impulse", "kafka", "redis", "single_file", "stdout"];

const EVERYWHERE: &[(&str, Form)] = &[
    ("connector", Form::Text),
    ("format", Form::Text),
    ("framing", Form::Text),
    ("bad_data", Form::Text),
    ("event_time_field", Form::Field),
    ("watermark_field", Form::Field),
    ("idle_micros", Form::Number),
];
const JSON: &[(&str, Form)] = &[
    ("json.confluent_schema_registry", Form::Truth),
    ("json.include_schema", Form::Truth),
    ("json.unstructured", Form::Truth),
    ("json.timestamp_format", Form::Text),
    ("json.decimal_encoding", Form::Text),
    ("json.compression", Form::Text),
];
const FRAMED: &[(&str, Form)] = &[("framing.newline.max_length", Form::Number)];
const KAFKA: &[(&str, Form)] = &[
    ("type", Form::Text),
    ("bootstrap_servers", Form::Text),
    ("topic", Form::Text),
    ("client_configs", Form::Text),
    ("value.subject", Form::Text),
    ("auth.type", Form::Text),
    ("schema_registry.endpoint", Form::Text),
];
const SASL: &[(&str, Form)] = &[
    ("auth.mechanism", Form::Text),
    ("auth.protocol", Form::Text),
    ("auth.username", Form::Text),
    ("auth.password", Form::Text),
];
const KAFKA_SOURCE: &[(&str, Form)] = &[
    ("source.offset", Form::Text),
    ("source.read_mode", Form::Text),
    ("source.group_id", Form::Text),
    ("source.group_id_prefix", Form::Text),
];
const KAFKA_SINK: &[(&str, Form)] = &[
    ("sink.commit_mode", Form::Text),
    ("sink.timestamp_field", Form::Text),
    ("sink.key_field", Form::Text),
];
const REDIS: &[(&str, Form)] = &[
    ("type", Form::Text),
    ("address", Form::Text),
    ("cluster.addresses", Form::Text),
    ("username", Form::Text),
    ("password", Form::Text),
    ("target", Form::Text),
    ("target.key_prefix", Form::Text),
    ("target.key_column", Form::Text),
];
const REDIS_STRING: &[(&str, Form)] = &[("target.ttl_secs", Form::Number)];
const REDIS_LIST: &[(&str, Form)] = &[("target.max_length", Form::Number), ("target.operation", Form::Text)];
const REDIS_HASH: &[(&str, Form)] = &[("target.field_column", Form::Text)];
const FILE: &[(&str, Form)] = &[
    ("type", Form::Text),
    ("path", Form::Text),
    ("wait_for_control", Form::Truth),
];
const IMPULSE: &[(&str, Form)] = &[
    ("event_rate", Form::Number),
    ("event_time_interval", Form::Number),
    ("message_count", Form::Number),
];

/// Options of a table with its connector, format and role.
fn allowed(facts: &Facts) -> Vec<(&'static str, Form)> {
    let mut all = vec![EVERYWHERE];
    if facts.format.as_deref().is_some_and(|format| format.contains("json")) {
        all.push(JSON);
    }
    if facts.option("framing").is_some() {
        all.push(FRAMED);
    }
    match facts.connector.as_str() {
        "kafka" => {
            all.extend([KAFKA, if facts.sink { KAFKA_SINK } else { KAFKA_SOURCE }]);
            if facts.option("auth.type") == Some("sasl") {
                all.push(SASL);
            }
        }
        "redis" => {
            all.push(REDIS);
            match facts.option("target") {
                Some("string") => all.push(REDIS_STRING),
                Some("list") => all.push(REDIS_LIST),
                Some("hash") => all.push(REDIS_HASH),
                _ => {}
            }
        }
        "single_file" => all.push(FILE),
        "impulse" => all.push(IMPULSE),
        _ => {}
    }
    all.concat()
}

pub(crate) fn check(statement: &CreateTable, facts: &Facts, found: &mut Findings) {
    let allowed = allowed(facts);
    for option in &statement.options {
        match allowed.iter().find(|(name, _)| *name == option.key) {
            Some((_, form)) => {
                if let Some(hint) = misshapen(option, *form) {
                    let message = format!("Arroyo does not take the value of option '{}' in this form", option.key);
                    found.error(Error::new(message).at(option.value_span).hint(hint));
                }
            }
            None => found.error(unknown(option, facts)),
        }
    }
}

fn unknown(option: &TableOption, facts: &Facts) -> Error {
    let key = &option.key;
    let (why, hint) = match key.as_str() {
        "type" => (
            format!("Arroyo's connector {} has no option 'type'", facts.connector),
            "leave it out".to_string(),
        ),
        _ if key.starts_with("json.") => (
            format!("Arroyo takes option '{key}' with format = 'json' only"),
            "leave it out".to_string(),
        ),
        _ if key.starts_with("framing.") => (
            format!("Arroyo takes option '{key}' with framing = 'newline' only"),
            "leave it out, or add framing = 'newline'".to_string(),
        ),
        _ if key.starts_with("auth.") => (
            format!("Arroyo takes option '{key}' with 'auth.type' = 'sasl' only"),
            "add 'auth.type' = 'sasl', or leave it out".to_string(),
        ),
        _ if key.starts_with("target.") => (
            format!(
                "Arroyo takes no option '{key}' with target = '{}'",
                facts.option("target").unwrap_or_default()
            ),
            "leave it out, or take the target that has it".to_string(),
        ),
        _ => (
            format!("Arroyo's connector {} takes no option '{key}' here", facts.connector),
            "leave it out".to_string(),
        ),
    };
    Error::new(why).at(option.key_span).hint(hint)
}

/// How the value should be written, if it is not.
fn misshapen(option: &TableOption, form: Form) -> Option<String> {
    let quoted = || format!("write '{}'", option.value);
    let right = match (form, option.written) {
        (_, Written::Text) => form != Form::Truth || matches!(option.value.as_str(), "true" | "yes" | "false" | "no"),
        (Form::Truth, Written::Boolean) | (Form::Number, Written::Number) | (Form::Field, Written::Word) => true,
        _ => false,
    };
    (!right).then(quoted)
}
