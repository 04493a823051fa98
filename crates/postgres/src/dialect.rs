//! What PostgreSQL says otherwise than DataFusion, rewritten in the parsed statement: patterns of times, the character that escapes others in a
//! pattern of LIKE, comments on things of the catalog (there are none).

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Statement, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::ops::ControlFlow;

/// Rewrites a statement.
pub fn rewrite(statement: &mut Statement) {
    // It never breaks.
    let _ = statement.visit(&mut Dialect);
}

/// An expression of its text; `None` if it is none.
pub fn expression(text: &str) -> Option<Expr> {
    let parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text);
    parser.ok()?.parse_expr().ok()
}

struct Dialect;

impl VisitorMut for Dialect {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Like {
                pattern, escape_char, ..
            }
            | Expr::ILike {
                pattern, escape_char, ..
            } => {
                let other = match escape_char.as_ref().map(|value| &value.value) {
                    Some(Value::SingleQuotedString(text)) if text.chars().count() == 1 && text != "\\" => text.clone(),
                    _ => return ControlFlow::Continue(()),
                };
                let other = Value::SingleQuotedString(other);
                if let Some(rewritten) =
                    expression(&format!("replace(replace({pattern}, '\\', '\\\\'), {other}, '\\')"))
                {
                    (**pattern, *escape_char) = (rewritten, None);
                }
            }
            // What `datafusion-pg-catalog` makes of Grafana's look at the search path, which is always the same.
            Expr::InList { expr, list, .. } => {
                if let (Expr::Function(function), [Expr::Value(value)]) = (&**expr, &mut list[..])
                    && name(function).as_deref() == Some("quote_ident")
                    && value.value == Value::SingleQuotedString(String::new())
                {
                    value.value = Value::SingleQuotedString("public".into());
                }
            }
            Expr::Function(function) => match name(function).as_deref() {
                Some("to_timestamp" | "to_date" | "to_char") => pattern_of_times(function),
                Some("col_description" | "obj_description" | "shobj_description") => {
                    // What it asks about cannot always be planned.
                    if let Some(nothing) = expression("CAST(NULL AS TEXT)") {
                        *expr = nothing;
                    }
                }
                _ => {}
            },
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The name of a function without its schema.
pub fn name(function: &Function) -> Option<String> {
    let last = function.name.0.last()?.as_ident()?;
    Some(last.value.to_lowercase())
}

fn pattern_of_times(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else {
        return;
    };
    if let [_, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] = &mut list.args[..]
        && let Value::SingleQuotedString(pattern) = &value.value
    {
        value.value = Value::SingleQuotedString(of_times(pattern));
    }
}

/// A pattern of PostgreSQL as chrono has it. One with a percent sign is one already.
fn of_times(pattern: &str) -> String {
    const FIELDS: [(&str, &str); 16] = [
        ("YYYY", "%Y"),
        ("MM", "%m"),
        ("DDD", "%j"),
        ("DD", "%d"),
        ("HH24", "%H"),
        ("HH12", "%I"),
        ("HH", "%I"),
        ("MI", "%M"),
        ("SS", "%S"),
        ("US", "%6f"),
        ("MS", "%3f"),
        ("AM", "%p"),
        ("PM", "%p"),
        ("MON", "%b"),
        ("DY", "%a"),
        ("IW", "%V"),
    ];
    if pattern.contains('%') {
        return pattern.to_owned();
    }
    let (mut out, mut rest) = (String::new(), pattern);
    while let Some(first) = rest.chars().next() {
        // Text in quotes stays as it is.
        if first == '"' {
            let (text, after) = rest[1..].split_once('"').unwrap_or((&rest[1..], ""));
            out.push_str(text);
            rest = after;
            continue;
        }
        let field = FIELDS.iter().find(|(name, _)| {
            let begin = rest.get(..name.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(name))
        });
        match field {
            Some((name, ours)) => {
                out.push_str(ours);
                rest = &rest[name.len()..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_times_are_those_of_chrono() {
        for (pattern, expected) in [
            ("YYYY-MM-DD HH24:MI:SS.US", "%Y-%m-%d %H:%M:%S.%6f"),
            ("YYYY-MM-DD\"T\"HH24:MI:SS", "%Y-%m-%dT%H:%M:%S"),
            ("yyyy-mm", "%Y-%m"),
            ("%Y", "%Y"),
        ] {
            assert_eq!(of_times(pattern), expected);
        }
    }

    #[test]
    fn statements_say_the_same_in_other_words() {
        let rewritten = |sql: &str| {
            let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
            rewrite(&mut statements[0]);
            statements[0].to_string()
        };
        for (sql, expected) in [
            (
                "SELECT a NOT LIKE 'pg/_' || '%' ESCAPE '/'",
                "SELECT a NOT LIKE replace(replace('pg/_' || '%', '\\', '\\\\'), '/', '\\')",
            ),
            ("SELECT a LIKE 'b' ESCAPE '\\'", "SELECT a LIKE 'b' ESCAPE '\\'"),
            ("SELECT to_date(a, 'YYYY')", "SELECT to_date(a, '%Y')"),
            (
                "SELECT pg_catalog.col_description(CAST('a' AS REGCLASS), 1) AS c",
                "SELECT CAST(NULL AS TEXT) AS c",
            ),
        ] {
            assert_eq!(rewritten(sql), expected);
        }
    }
}
