//! Calls of table functions in a statement: arguments by name as in PostgreSQL, and parameters of prepared statements.
//!
//! DataFusion takes arguments by place, before parameters have values. So a statement is rewritten before it is planned: an
//! argument goes to its place, a parameter becomes its value, or NULL while there is none. One more argument says whether
//! there was a parameter: then the columns must not depend on its value, since they are described to the client before.

use crate::faults::Refused;
use crate::functions::{self, Function};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, Statement, TableAlias, TableFactor, Value, VisitMut,
    VisitorMut,
};
use datafusion_postgres::pgwire::api::Type;
use hitters_service::Problem;
use http::StatusCode;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Calls of one statement: each may hold an answer in memory.
const MOST: usize = 16;

/// What a statement asks for.
#[derive(Debug, Default, PartialEq)]
pub struct Calls {
    /// Pipelines by name.
    pub pipelines: BTreeSet<String>,
    /// A pipeline's name is no literal: any of them may be meant.
    pub any: bool,
    /// The types of parameters inside of calls, by number.
    pub parameters: BTreeMap<usize, Type>,
    /// The highest number of a parameter.
    pub highest: usize,
    calls: usize,
}

/// Rewrites the calls in a statement. `values`: those of the parameters, by number from 1 on, once they are known.
///
/// # Errors
/// If an argument is unknown or given twice, or there are too many calls.
pub fn rewrite(statement: &mut Statement, values: Option<&[Option<String>]>) -> Result<Calls, Refused> {
    let mut rewriter = Rewriter {
        values,
        calls: Calls::default(),
    };
    match statement.visit(&mut rewriter) {
        ControlFlow::Continue(()) => Ok(rewriter.calls),
        ControlFlow::Break(refused) => Err(refused),
    }
}

struct Rewriter<'a> {
    values: Option<&'a [Option<String>]>,
    calls: Calls,
}

impl VisitorMut for Rewriter<'_> {
    type Break = Refused;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Refused> {
        if query.locks.is_empty() {
            ControlFlow::Continue(())
        } else {
            let detail = "FOR UPDATE and FOR SHARE are not to be had: answers can only be read";
            ControlFlow::Break(Problem::new(StatusCode::FORBIDDEN, "read-only", "read-only", detail).into())
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Refused> {
        if let Some(number) = number(expr) {
            self.calls.highest = self.calls.highest.max(number);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Refused> {
        let (name, alias, arguments) = match factor {
            TableFactor::Table {
                name,
                alias,
                args: Some(arguments),
                ..
            } => (name, alias, &mut arguments.args),
            TableFactor::Function { name, alias, args, .. } => (name, alias, args),
            _ => return ControlFlow::Continue(()),
        };
        let Some(function) = called(name) else {
            return ControlFlow::Continue(());
        };
        match self.call(function, std::mem::take(arguments)) {
            Ok(placed) => *arguments = placed,
            Err(refused) => return ControlFlow::Break(refused),
        }
        *name = ObjectName::from(vec![Ident::new(function.name)]);
        if alias.is_none() {
            // As in PostgreSQL: top_k.item is a name.
            *alias = Some(TableAlias {
                explicit: true,
                name: Ident::new(function.name),
                columns: Vec::new(),
                at: None,
            });
        }
        ControlFlow::Continue(())
    }
}

fn called(name: &ObjectName) -> Option<&'static Function> {
    let last = name.0.last()?.as_ident()?;
    functions::find(&last.value.to_lowercase())
}

/// The number of a parameter, `$1`.
fn number(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(text) => text.strip_prefix('$')?.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

impl Rewriter<'_> {
    fn call(&mut self, function: &'static Function, arguments: Vec<FunctionArg>) -> Result<Vec<FunctionArg>, Refused> {
        self.calls.calls += 1;
        if self.calls.calls > MOST {
            let detail = format!("a statement may call {MOST} of the table functions; this one calls more");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too-many", "too many calls", detail).into());
        }
        let known: Vec<&str> = ["pipeline"]
            .into_iter()
            .chain(function.arguments.iter().copied())
            .collect();
        let mut placed: Vec<Option<Expr>> = vec![None; known.len()];
        let mut next = 0;
        for argument in arguments {
            let (name, value) = match argument {
                FunctionArg::Unnamed(value) => (None, value),
                FunctionArg::Named { name, arg, .. } => (Some(name.value), arg),
                FunctionArg::ExprNamed { name, arg, .. } => (Some(name.to_string().trim_matches('"').to_owned()), arg),
            };
            let place = match &name {
                None => {
                    next += 1;
                    next - 1
                }
                Some(name) => {
                    let name = name.to_lowercase();
                    let found = known.iter().position(|known| *known == name);
                    found.ok_or_else(|| unknown(function, &format!("no argument '{name}'")))?
                }
            };
            let slot = placed
                .get_mut(place)
                .ok_or_else(|| unknown(function, &format!("no more than {} arguments", known.len())))?;
            let FunctionArgExpr::Expr(value) = value else {
                return Err(unknown(function, &format!("no argument {value}")));
            };
            if slot.replace(value).is_some() {
                return Err(unknown(function, &format!("the argument '{}' once", known[place])));
            }
        }
        let mut wide = false;
        for (name, value) in known.iter().zip(&mut placed) {
            let Some(value) = value else { continue };
            let found = self.bind(name, value);
            wide |= found;
        }
        match &placed[0] {
            Some(Expr::Value(value)) if !wide => match &value.value {
                Value::SingleQuotedString(name) => drop(self.calls.pipelines.insert(name.clone())),
                _ => self.calls.any = true,
            },
            _ => self.calls.any = true,
        }
        let null = || Expr::Value(Value::Null.into());
        let wide = Expr::Value(Value::Boolean(wide).into());
        let placed = placed.into_iter().map(|value| value.unwrap_or_else(null));
        let all = placed.chain([wide]);
        Ok(all
            .map(|value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value)))
            .collect())
    }

    /// Puts values in the place of parameters; says whether there were any.
    fn bind(&mut self, name: &str, value: &mut Expr) -> bool {
        struct Binder<'a> {
            values: Option<&'a [Option<String>]>,
            found: Vec<usize>,
        }
        impl VisitorMut for Binder<'_> {
            type Break = ();

            fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                if let Some(number) = number(expr) {
                    let known = self
                        .values
                        .and_then(|values| values.get(number.checked_sub(1)?)?.clone());
                    *expr = Expr::Value(known.map_or(Value::Null, Value::SingleQuotedString).into());
                    self.found.push(number);
                }
                ControlFlow::Continue(())
            }
        }
        let mut binder = Binder {
            values: self.values,
            found: Vec::new(),
        };
        // A binder never breaks.
        let _ = value.visit(&mut binder);
        let kind = match name {
            "k" | "top" => Type::INT8,
            "phi" => Type::FLOAT8,
            _ => Type::TEXT,
        };
        for number in &binder.found {
            self.calls.highest = self.calls.highest.max(*number);
            self.calls.parameters.entry(*number).or_insert_with(|| kind.clone());
        }
        !binder.found.is_empty()
    }
}

fn unknown(function: &Function, what: &str) -> Refused {
    let detail = format!("{} takes {what}; it is {}", function.name, function.signature());
    let problem = Problem::new(
        StatusCode::BAD_REQUEST,
        "unknown-parameter",
        "an argument is unknown",
        detail,
    );
    problem.allowed(json!(function.arguments)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;

    fn rewritten(sql: &str, values: Option<&[Option<String>]>) -> Result<(String, Calls), String> {
        let mut statement = PostgresCompatibilityParser::new().parse(sql).unwrap().remove(0);
        let calls = rewrite(&mut statement, values).map_err(|refused| refused.to_string())?;
        Ok((statement.to_string(), calls))
    }

    #[test]
    fn arguments_go_to_their_places() {
        let places = "'1h', 5, NULL, NULL, NULL, NULL, NULL, false) AS top_k";
        for sql in [
            "SELECT * FROM top_k('shop', '1h', 5)",
            "SELECT * FROM public.TOP_K('shop', k => 5, last => '1h')",
            "SELECT * FROM top_k(pipeline => 'shop', \"last\" => '1h', k => 5)",
        ] {
            let (text, calls) = rewritten(sql, None).unwrap();
            assert_eq!(text, format!("SELECT * FROM top_k('shop', {places}"), "{sql}");
            assert_eq!((calls.pipelines, calls.any), (["shop".to_owned()].into(), false));
        }
        let (text, _) = rewritten(
            "SELECT t.item FROM top_k('a', \"from\" => '2026-01-01', to => now()) t",
            None,
        )
        .unwrap();
        assert!(
            text.contains("'2026-01-01', now(), NULL, false) AS t") || text.contains("false) t"),
            "{text}"
        );
    }

    #[test]
    fn parameters_become_values_and_are_counted() {
        let sql = "SELECT * FROM top_k($1, $3, k => $2) WHERE region = $4";
        let (text, calls) = rewritten(sql, None).unwrap();
        assert!(
            text.contains("top_k(NULL, NULL, NULL") && text.contains("true)") && text.contains("= $4"),
            "{text}"
        );
        assert_eq!((calls.any, calls.highest), (true, 4));
        let expected = [(1, Type::TEXT), (2, Type::INT8), (3, Type::TEXT)];
        assert_eq!(calls.parameters, expected.into());
        let values = ["it's", "7", "1h", "x"].map(|value| Some(value.to_owned()));
        let (text, _) = rewritten(sql, Some(&values)).unwrap();
        assert!(text.contains("top_k('it''s', '1h', '7'"), "{text}");
    }

    #[test]
    fn what_is_wrong_says_how_it_is_called() {
        for sql in [
            "SELECT * FROM top_k('a', kk => 1)",
            "SELECT * FROM top_k('a', '1h', last => '2h')",
            "SELECT * FROM groups('a', 'r', 1, 2)",
        ] {
            let said = rewritten(sql, None).unwrap_err();
            assert!(said.contains("(pipeline, "), "{said}");
        }
        let many = format!("SELECT 1 FROM {}", vec!["top_k('a')"; 17].join(", "));
        assert!(rewritten(&many, None).is_err());
        assert!(rewritten("SELECT * FROM top_k('a') FOR UPDATE", None).is_err());
    }
}
