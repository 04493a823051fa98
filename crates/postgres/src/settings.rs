//! `SET` and `SHOW`: what clients say when they connect. A setting that changes how answers are computed is not among them.

use crate::faults::error;
use crate::session::Session;
use datafusion::sql::sqlparser::ast::{Expr, Set, Statement, Value};
use datafusion_postgres::pgwire;
use pgwire::api::ClientInfo;
use pgwire::error::{PgWireError, PgWireResult};

/// The version that clients are told: what their questions to the catalog are made for.
pub const VERSION: &str = "16.6";

/// Settings that are kept and change how values are written.
const KEPT: [&str; 4] = ["datestyle", "intervalstyle", "bytea_output", "extra_float_digits"];

/// Settings with one value, or with values that change nothing here.
const FIXED: [(&str, &str); 22] = [
    ("application_name", ""),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("escape_string_warning", "on"),
    ("idle_in_transaction_session_timeout", "0"),
    ("integer_datetimes", "on"),
    ("is_superuser", "off"),
    ("jit", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("row_security", "on"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", VERSION),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
];

/// The value of a setting that is the same for all connections.
pub fn fixed(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    match name.as_str() {
        "timezone" => Some("UTC"),
        name if KEPT.contains(&name) => Some(initial(name)),
        name => FIXED.iter().find(|(known, _)| *known == name).map(|(_, value)| *value),
    }
}

fn unknown(name: &str) -> PgWireError {
    let known: Vec<&str> = FIXED.iter().map(|(name, _)| *name).collect();
    let hint = format!(
        "Settings are statement_timeout, timezone, {}; these can be named and change nothing: {}.",
        KEPT.join(", "),
        known.join(", ")
    );
    error(
        "42704",
        format!("unrecognized configuration parameter \"{name}\""),
        &hint,
    )
}

/// Carries out a `SET`.
///
/// # Errors
/// If there is no such setting, or it cannot have this value.
pub fn set<C: ClientInfo>(session: &Session, client: &mut C, statement: &Set) -> PgWireResult<()> {
    match statement {
        Set::SingleAssignment { variable, values, .. } => {
            let name = variable.to_string().to_lowercase();
            let value = values.first().map(text).unwrap_or_default();
            assign(session, client, &name, &value)
        }
        Set::SetTimeZone { value, .. } => assign(session, client, "timezone", &text(value)),
        Set::SetNames { charset_name, .. } => assign(session, client, "client_encoding", &charset_name.value),
        // Isolation and read-only modes: every statement sees the newest closed windows, and nothing writes.
        Set::SetNamesDefault {} | Set::SetTransaction { .. } | Set::SetRole { role_name: None, .. } => Ok(()),
        other => Err(error("0A000", format!("{other} is not to be had here"), "")),
    }
}

fn assign<C: ClientInfo>(session: &Session, client: &mut C, name: &str, value: &str) -> PgWireResult<()> {
    let wrong = |hint: &str| {
        Err(error(
            "22023",
            format!("invalid value for parameter \"{name}\": \"{value}\""),
            hint,
        ))
    };
    match name {
        "statement_timeout" => match milliseconds(value) {
            Some(millis) => session.set_timeout(millis),
            None => return wrong("Write milliseconds, or a number with ms, s or min."),
        },
        "client_encoding" if !matches!(value.to_lowercase().as_str(), "utf8" | "utf-8" | "unicode" | "default") => {
            return wrong("Only UTF8 is spoken.");
        }
        "timezone" => {
            if jiff::tz::TimeZone::get(value).is_err() && value.parse::<f64>().is_err() && !is_default(value) {
                return wrong(
                    "Times are written in UTC with their offset; a name of the IANA database is taken and changes nothing.",
                );
            }
        }
        name if KEPT.contains(&name) => {
            client.metadata_mut().insert(name.into(), value.into());
        }
        name if FIXED.iter().any(|(known, _)| *known == name) => {}
        _ => return Err(unknown(name)),
    }
    Ok(())
}

fn is_default(value: &str) -> bool {
    matches!(value.to_lowercase().as_str(), "default" | "local")
}

/// The value of a `SHOW`.
///
/// # Errors
/// If there is no such setting.
pub fn show<C: ClientInfo>(session: &Session, client: &C, statement: &Statement) -> PgWireResult<(String, String)> {
    let words = match statement {
        Statement::ShowVariable { variable } => variable,
        other => return Err(error("0A000", format!("{other} is not to be had here"), "")),
    };
    let words: Vec<String> = words.iter().map(|word| word.value.to_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let name = match &words[..] {
        ["time", "zone"] => "timezone".to_owned(),
        ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
        ["session", "authorization"] => "session_authorization".to_owned(),
        other => other.join("."),
    };
    let value = match name.as_str() {
        "timezone" => "UTC".to_owned(),
        "statement_timeout" => format!("{}ms", session.timeout().as_millis()),
        "session_authorization" => client.metadata().get("user").cloned().unwrap_or_default(),
        "application_name" => client.metadata().get("application_name").cloned().unwrap_or_default(),
        name => {
            let kept = KEPT.contains(&name).then(|| {
                client
                    .metadata()
                    .get(name)
                    .cloned()
                    .unwrap_or_else(|| initial(name).into())
            });
            let fixed = FIXED.iter().find(|(known, _)| *known == name);
            kept.or_else(|| fixed.map(|(_, value)| (*value).to_owned()))
                .ok_or_else(|| unknown(name))?
        }
    };
    Ok((name, value))
}

fn initial(name: &str) -> &'static str {
    match name {
        "datestyle" => "ISO, MDY",
        "intervalstyle" => "postgres",
        "bytea_output" => "hex",
        _ => "1",
    }
}

fn text(value: &Expr) -> String {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        Expr::Identifier(name) => name.value.clone(),
        other => other.to_string(),
    }
}

/// A time as PostgreSQL writes it in a setting.
fn milliseconds(text: &str) -> Option<u64> {
    if text.eq_ignore_ascii_case("default") {
        return Some(0);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let number: u64 = digits.trim().parse().ok()?;
    let factor = match text[digits.len()..].trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_settings_have_units() {
        let cases = [
            ("0", Some(0)),
            ("250", Some(250)),
            ("5s", Some(5000)),
            ("2 min", Some(120_000)),
            ("default", Some(0)),
        ];
        for (text, expected) in cases {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
        assert_eq!(
            (milliseconds("-1"), milliseconds("5 years"), milliseconds("")),
            (None, None, None)
        );
    }

    #[test]
    fn what_is_fixed_is_sorted_and_known_once() {
        assert!(FIXED.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(KEPT.iter().all(|name| FIXED.iter().all(|(fixed, _)| fixed != name)));
    }
}
