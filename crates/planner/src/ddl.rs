//! `CREATE TABLE`: columns, generated expressions, event time, watermark, options.

use crate::catalog::{Catalog, Declared, Entry, Memory, Shape};
use crate::connector::{Connectors, Direction, Options};
use crate::create_table::{ColumnDef, CreateTable, TableOption};
use crate::error::{Error, Span};
use crate::fault;
use crate::optimize;
use crate::plan::Warning;
use crate::row_time;
use crate::syntax::{place, place_known};
use crate::table::{Column, ColumnKind, Table};
use crate::types::{column_type, sql_type};
use crate::window_calls;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, TableReference};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::{self, Spanned};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

const MILLISECONDS: &str = "for epoch milliseconds in a column ts: declare ts BIGINT NOT NULL, t TIMESTAMP NOT NULL GENERATED ALWAYS AS \
     (CAST(to_timestamp_millis(ts) AS TIMESTAMP)), WATERMARK FOR t AS (coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP) - \
     INTERVAL '1 second', TIMESTAMP '1970-01-01 00:00:00'))";

/// A sink without columns. Its connector is asked when the first `INSERT` gives it columns.
pub(crate) struct Unshaped {
    pub name: String,
    pub span: Span,
    pub connector: String,
    pub options: Vec<(String, String, Option<Span>)>,
}

/// SQL's options: spans are collected for errors, TEXT is a string view.
pub(crate) fn parser_options() -> ParserOptions {
    ParserOptions::new().with_collect_spans(true)
}

/// Checks one declaration. All of its mistakes are reported together.
pub(crate) fn create_table(
    catalog: &Catalog,
    connectors: &Connectors,
    statement: &CreateTable,
    warnings: &mut Vec<Warning>,
) -> Result<Entry, Vec<Error>> {
    let mut errors = Vec::new();
    let name = &statement.name.value;
    let span = place(statement.name.span);
    let columns = columns(&statement.columns, &mut errors);
    duplicate_options(&statement.options, &mut errors);
    let option = |key: &str| statement.options.iter().find(|o| o.key == key);

    let Some(connector_option) = option("connector").filter(|o| o.value != "memory") else {
        memory_checks(statement, &columns, span, &mut errors);
        let fields = columns.into_iter().map(|c| c.field).collect();
        return if errors.is_empty() {
            Ok(Entry::Memory(Memory {
                fields,
                written: Vec::new(),
            }))
        } else {
            Err(errors)
        };
    };
    let Some(connector) = connectors.get(&connector_option.value) else {
        let fault =
            Error::new(format!("there is no connector '{}'", connector_option.value)).at(connector_option.value_span);
        let hint = match fault::nearest(&connector_option.value, connectors.names()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("connectors: {}, memory", fault::list(connectors.names())),
        };
        errors.push(fault.hint(hint));
        return Err(errors);
    };
    updating_checks(statement, &mut errors);
    let planner_keys = ["connector", "event_time_field", "watermark_field"];
    let options: Vec<_> = statement
        .options
        .iter()
        .filter(|o| !planner_keys.contains(&o.key.as_str()))
        .map(|o| (o.key.clone(), o.value.clone(), Some(o.value_span)))
        .collect();
    let columns = match (statement.columns.is_empty(), connector.default_columns()) {
        (false, _) => columns,
        (true, Some(defaults)) => defaults,
        (true, None) => {
            if let Some(kind) = option("type").filter(|o| o.value == "source") {
                errors.push(
                    Error::new(format!("source table {name} has no columns"))
                        .at(kind.value_span)
                        .hint("declare its columns"),
                );
            }
            if !errors.is_empty() {
                return Err(errors);
            }
            let connector = connector_option.value.clone();
            return Ok(Entry::Unshaped(Arc::new(Unshaped {
                name: name.clone(),
                span,
                connector,
                options,
            })));
        }
    };
    if !errors.is_empty() {
        return Err(errors);
    }
    let key_spans = statement.options.iter().map(|o| (o.key.as_str(), o.key_span)).collect();
    let table = connect(
        connectors,
        &connector_option.value,
        name,
        span,
        columns,
        options,
        &key_spans,
    )?;
    let declared = times(catalog, statement, table, warnings)?;
    Ok(Entry::Table(Arc::new(declared)))
}

/// Asks the connector, and reports the options that it does not know.
pub(crate) fn connect(
    connectors: &Connectors,
    connector: &str,
    name: &str,
    span: Span,
    columns: Vec<Column>,
    options: Vec<(String, String, Option<Span>)>,
    key_spans: &HashMap<&str, Span>,
) -> Result<Arc<Table>, Vec<Error>> {
    let Some(connector) = connectors.get(connector) else {
        return Err(vec![
            Error::new(format!("there is no connector '{connector}'")).at(span),
        ]);
    };
    let mut options = Options::new(options);
    let spec = connector.table(&columns, &mut options).map_err(|e| vec![e.at(span)])?;
    let mut errors = Vec::new();
    for (key, value_span) in options.unknown() {
        let known = || {
            options
                .known()
                .iter()
                .copied()
                .chain(["connector", "event_time_field", "watermark_field"])
        };
        let hint = match fault::nearest(key, known()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => {
                let mut names: Vec<_> = known().collect();
                names.sort_unstable();
                names.dedup();
                format!("options of {}: {}", connector.name(), names.join(", "))
            }
        };
        let at = key_spans.get(key).copied().or(value_span);
        errors.push(
            Error::new(format!("connector {} has no option '{key}'", connector.name()))
                .at(at)
                .at(span)
                .hint(hint),
        );
    }
    if spec.direction() == Direction::Sink
        && let Some(column) = columns.iter().find(|c| c.kind != ColumnKind::Physical)
    {
        errors.push(
            Error::new(format!(
                "sink {name} cannot have the generated or metadata column {}",
                column.field.name()
            ))
            .at(span)
            .hint("compute it in the query that writes the table"),
        );
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Arc::new(Table {
        name: name.to_string(),
        columns,
        spec,
        span: Some(span),
    }))
}

fn columns(defs: &[ColumnDef], errors: &mut Vec<Error>) -> Vec<Column> {
    let mut seen = HashSet::new();
    let mut columns = Vec::new();
    for def in defs {
        let name = &def.name.value;
        if !seen.insert(name.clone()) {
            errors.push(Error::new(format!("column {name} is declared twice")).at(place(def.name.span)));
        }
        let (data_type, json) = match column_type(&def.data_type) {
            Ok(found) => found,
            Err(e) => {
                errors.push(e.at(def.type_span));
                continue;
            }
        };
        let kind = match (&def.metadata, &def.generated) {
            (Some((_, span)), Some(_)) => {
                errors.push(Error::new(format!("column {name} cannot be both metadata and generated")).at(*span));
                ColumnKind::Generated
            }
            (Some((key, _)), None) => ColumnKind::Metadata(key.clone()),
            (None, Some(_)) => ColumnKind::Generated,
            (None, None) => ColumnKind::Physical,
        };
        columns.push(Column {
            field: Arc::new(Field::new(name, data_type, !def.not_null)),
            kind,
            json,
        });
    }
    columns
}

fn duplicate_options(options: &[TableOption], errors: &mut Vec<Error>) {
    let mut seen = HashSet::new();
    for option in options {
        if !seen.insert(&option.key) {
            errors.push(Error::new(format!("option '{}' is given twice", option.key)).at(option.key_span));
        }
    }
}

fn memory_checks(statement: &CreateTable, columns: &[Column], span: Span, errors: &mut Vec<Error>) {
    let others = statement.options.iter().filter(|o| o.key != "connector");
    for option in others {
        errors.push(
            Error::new(format!("a memory table has no option '{}'", option.key))
                .at(option.key_span)
                .hint("name a connector with connector = '...' for a table outside of this file"),
        );
    }
    if statement.columns.is_empty() {
        errors.push(
            Error::new(format!(
                "table {} has neither columns nor a connector",
                statement.name.value
            ))
            .at(span)
            .hint("declare its columns (a memory table), or add WITH (connector = '...', ...)"),
        );
    }
    if columns.iter().any(|c| c.kind != ColumnKind::Physical) || !statement.watermarks.is_empty() {
        errors.push(
            Error::new("memory tables have no generated columns, metadata or watermark")
                .at(span)
                .hint("compute them in the query that writes it"),
        );
    }
}

fn updating_checks(statement: &CreateTable, errors: &mut Vec<Error>) {
    for option in &statement.options {
        if option.key == "type" && option.value == "lookup" {
            errors.push(
                Error::new("lookup tables are not supported")
                    .at(option.value_span)
                    .hint("declare a source and join it by window"),
            );
        }
        if option.key == "format" && option.value.starts_with("debezium") {
            errors.push(
                Error::new(format!("format '{}' (updating tables) is not supported", option.value))
                    .at(option.value_span)
                    .hint("use format = 'json' and group by a window, so that every row is final"),
            );
        }
    }
}

/// Plans generated columns, event time and watermark.
fn times(
    catalog: &Catalog,
    statement: &CreateTable,
    table: Arc<Table>,
    warnings: &mut Vec<Warning>,
) -> Result<Declared, Vec<Error>> {
    let mut errors = Vec::new();
    let stored = table.stored_schema();
    let scope = Scope {
        catalog,
        table: &table.name,
        schema: stored.clone(),
    };
    let mut generated = HashMap::new();
    for (index, def) in statement.columns.iter().enumerate() {
        let Some((expr, span)) = &def.generated else { continue };
        match scope.plan(expr, Some(table.columns[index].field.data_type())) {
            Ok(expr) => {
                generated.insert(index, expr);
            }
            Err(e) => errors.push(e.at(*span)),
        }
    }
    let mut event_time = None;
    let mut watermark = None;
    for (key, target) in [
        ("event_time_field", &mut event_time),
        ("watermark_field", &mut watermark),
    ] {
        let Some(option) = statement.options.iter().find(|o| o.key == key) else {
            continue;
        };
        match time_column(&table, &option.value, option.value_span) {
            Ok(expr) => *target = Some(expr),
            Err(e) => errors.push(e),
        }
        warnings.push(Warning {
            message: format!(
                "option '{key}' is deprecated: write WATERMARK FOR column [AS expression] among the columns"
            ),
            span: Some(option.key_span),
            hint: None,
        });
    }
    if let Some(second) = statement.watermarks.get(1) {
        errors.push(Error::new("a table has one WATERMARK at most").at(second.span));
    }
    if let Some(mark) = statement.watermarks.first() {
        if let Some(option) = statement
            .options
            .iter()
            .find(|o| o.key == "event_time_field" || o.key == "watermark_field")
        {
            errors.push(
                Error::new(format!("option '{}' contradicts WATERMARK FOR", option.key))
                    .at(option.key_span)
                    .hint("keep WATERMARK FOR"),
            );
        }
        let column = find_column(&table, &mark.column).unwrap_or(&mark.column.value);
        match time_column(&table, column, place(mark.column.span)) {
            Ok(expr) => event_time = Some(expr),
            Err(e) => errors.push(e),
        }
        if let Some(expr) = &mark.expr {
            match watermark_expr(&scope, &table, &generated, expr) {
                Ok((expr, beyond)) => {
                    watermark = Some(expr);
                    if let Some(name) = beyond {
                        warnings.push(Warning {
                            message: format!("Arroyo refuses a watermark over the generated column {name}: repeat its expression there"),
                            span: Some(mark.span),
                            hint: None,
                        });
                    }
                }
                Err(e) => errors.push(e.at(place_known(expr.span())).at(mark.span)),
            }
        } else {
            // As on Arroyo: the column itself, so that a row is late as soon as one of a later window has come.
            watermark = event_time.clone();
        }
    }
    if table.spec.direction() == Direction::Sink && (event_time.is_some() || watermark.is_some()) {
        errors.push(
            Error::new(format!("sink {} has no event time", table.name))
                .at(table.span)
                .hint("leave WATERMARK out"),
        );
    }
    if errors.is_empty() {
        Ok(Declared {
            table,
            generated,
            event_time,
            watermark,
        })
    } else {
        Err(errors)
    }
}

/// The declared name that an identifier means: as SQL does it, unquoted names are lower case, but a declaration in its own
/// letter case is found too.
fn find_column<'t>(table: &'t Table, ident: &ast::Ident) -> Option<&'t str> {
    let names = || table.columns.iter().map(|c| c.field.name().as_str());
    names()
        .find(|name| *name == ident.value)
        .or_else(|| names().find(|name| name.eq_ignore_ascii_case(&ident.value)))
}

fn time_column(table: &Table, name: &str, span: Span) -> Result<Expr, Error> {
    let Some(column) = table.columns.iter().find(|c| c.field.name() == name) else {
        let names = || table.columns.iter().map(|c| c.field.name().as_str());
        let hint = match fault::nearest(name, names()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("columns: {}", fault::list(names())),
        };
        return Err(Error::new(format!("table {} has no column {name}", table.name))
            .at(span)
            .hint(hint));
    };
    match column.field.data_type() {
        t if *t == TIMESTAMP => Ok(Expr::Column(datafusion_common::Column::new(
            Some(TableReference::bare(table.name.as_str())),
            name,
        ))),
        DataType::Timestamp(..) => Err(Error::new(format!(
            "event time column {name} must be TIMESTAMP without a precision"
        ))
        .at(span)
        .hint(MILLISECONDS)),
        other => Err(Error::new(format!(
            "event time column {name} must be TIMESTAMP, but is {}",
            sql_type(other)
        ))
        .at(span)
        .hint(MILLISECONDS)),
    }
}

/// The watermark over stored columns, and the generated column that it names (which Arroyo refuses), if any.
fn watermark_expr(
    scope: &Scope,
    table: &Table,
    generated: &HashMap<usize, Expr>,
    expr: &ast::Expr,
) -> Result<(Expr, Option<String>), Error> {
    let (planned, schema) = match scope.plan(expr, None) {
        Ok(planned) => (planned, scope.schema.clone()),
        Err(first) => {
            let all = Scope {
                catalog: scope.catalog,
                table: scope.table,
                schema: table.schema(),
            };
            (all.plan(expr, None).map_err(|_| first)?, all.schema)
        }
    };
    let schema = DFSchema::try_from_qualified_schema(TableReference::bare(scope.table), &schema)
        .map_err(|e| fault::error(&e))?;
    let (_, field) = planned.to_field(&schema).map_err(|e| fault::error(&e))?;
    if *field.data_type() != TIMESTAMP {
        let found = sql_type(field.data_type());
        return Err(Error::new(format!("the watermark must be TIMESTAMP, but is {found}")).hint(MILLISECONDS));
    }
    if field.is_nullable() {
        return Err(Error::new("the watermark must be NOT NULL").hint(
            "declare the column NOT NULL, or wrap it: coalesce(... - INTERVAL '1 second', TIMESTAMP '1970-01-01 00:00:00')",
        ));
    }
    let beyond = generated
        .keys()
        .map(|i| table.columns[*i].field.name())
        .find(|name| planned.column_refs().iter().any(|c| c.name == **name));
    Ok((computed_once(planned, table, generated)?, beyond.cloned()))
}

/// Arroyo wants the expression of the generated event time repeated in the watermark. It is computed for each row already:
/// the watermark takes the column.
fn computed_once(watermark: Expr, table: &Table, generated: &HashMap<usize, Expr>) -> Result<Expr, Error> {
    let replaced = watermark.transform_down(|e| {
        let same = generated
            .iter()
            .find(|(_, expr)| **expr == e && !matches!(e, Expr::Column(_) | Expr::Literal(..)));
        Ok(match same {
            Some((index, _)) => {
                let name = table.columns[*index].field.name();
                let column = Expr::Column(datafusion_common::Column::new(
                    Some(TableReference::bare(table.name.as_str())),
                    name,
                ));
                Transformed::new(column, true, TreeNodeRecursion::Jump)
            }
            None => Transformed::no(e),
        })
    });
    replaced.map(|t| t.data).map_err(|e| fault::error(&e))
}

/// Where the expressions of a declaration are planned: the columns of one table.
struct Scope<'a, 'c> {
    catalog: &'a Catalog<'c>,
    table: &'a str,
    schema: SchemaRef,
}

impl Scope<'_, '_> {
    /// Plans, types and simplifies an expression, cast to `target` if its type is another.
    fn plan(&self, expr: &ast::Expr, target: Option<&DataType>) -> Result<Expr, Error> {
        let table = TableReference::bare(self.table);
        let schema = DFSchema::try_from_qualified_schema(table.clone(), &self.schema).map_err(|e| fault::error(&e))?;
        let planner = SqlToRel::new_with_options(self.catalog, parser_options());
        let planned = planner
            .sql_to_expr(expr.clone(), &schema, &mut PlannerContext::new())
            .map_err(|e| fault::error(&e))?;
        if let Some(name) = window_calls::inside(&planned) {
            return Err(Error::new(format!(
                "{name}() cannot stand in the declaration of a table"
            )));
        }
        if row_time::called(std::slice::from_ref(&planned)) {
            return Err(Error::new("row_time() cannot stand in the declaration of a table"));
        }
        let per_row = |e: &Expr| {
            Ok(matches!(
                e,
                Expr::AggregateFunction(_)
                    | Expr::WindowFunction(_)
                    | Expr::ScalarSubquery(_)
                    | Expr::Exists(_)
                    | Expr::InSubquery(_)
            ))
        };
        if planned.exists(per_row).unwrap_or(false) {
            return Err(Error::new(
                "a declared expression sees one row: no aggregates, window functions or subqueries",
            ));
        }
        let source = Arc::new(Shape(Arc::new(Schema::clone(&self.schema))));
        let build = || -> datafusion_common::Result<LogicalPlan> {
            let scan = LogicalPlanBuilder::scan(table, source, None)?;
            let expr = match target {
                Some(target) => optimize::cast(planned, target, scan.schema())?,
                None => planned,
            };
            optimize::simplify(optimize::analyse(
                scan.project([expr.alias("expr")])?.build()?,
                self.catalog.registry,
            )?)
        };
        match build().map_err(|e| fault::error(&e))? {
            LogicalPlan::Projection(projection) => match projection.expr.into_iter().next() {
                Some(expr) => Ok(expr.unalias()),
                None => Err(Error::new("the expression has no value")),
            },
            _ => Err(Error::new("the expression cannot be planned")),
        }
    }
}
