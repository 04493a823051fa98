//! The schema `information_schema`: that of DataFusion, but for the columns, whose types have the names of PostgreSQL here, and for constraints,
//! of which there are none.

use crate::builtins::LONG;
use crate::rows::{self, Cell, Kind, Row};
use async_trait::async_trait;
use datafusion::arrow::datatypes::Field;
use datafusion::catalog::information_schema::{INFORMATION_SCHEMA, InformationSchemaProvider};
use datafusion::catalog::{CatalogProviderList, MemTable, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion_postgres::arrow_pg::datatypes::into_pg_type;
use std::sync::{Arc, Weak};

const COLUMNS: [(&str, Kind); 24] = [
    ("table_catalog", Kind::Text),
    ("table_schema", Kind::Text),
    ("table_name", Kind::Text),
    ("column_name", Kind::Text),
    ("ordinal_position", Kind::Int),
    ("column_default", Kind::Text),
    ("is_nullable", Kind::Text),
    ("data_type", Kind::Text),
    ("character_maximum_length", Kind::Int),
    ("character_octet_length", Kind::Int),
    ("numeric_precision", Kind::Int),
    ("numeric_precision_radix", Kind::Int),
    ("numeric_scale", Kind::Int),
    ("datetime_precision", Kind::Int),
    ("interval_type", Kind::Text),
    ("collation_name", Kind::Text),
    ("domain_name", Kind::Text),
    ("udt_catalog", Kind::Text),
    ("udt_schema", Kind::Text),
    ("udt_name", Kind::Text),
    ("is_identity", Kind::Text),
    ("identity_generation", Kind::Text),
    ("is_generated", Kind::Text),
    ("is_updatable", Kind::Text),
];

/// Tables about constraints, and their columns, all of which are texts.
const CONSTRAINTS: [(&str, &[&str]); 4] = [
    (
        "constraint_column_usage",
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
        ],
    ),
    (
        "key_column_usage",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "position_in_unique_constraint",
        ],
    ),
    (
        "referential_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "unique_constraint_catalog",
            "unique_constraint_schema",
            "unique_constraint_name",
            "match_option",
            "update_rule",
            "delete_rule",
        ],
    ),
    (
        "table_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
            "is_deferrable",
            "initially_deferred",
        ],
    ),
];

/// The schema. It is a part of what it describes: held weakly, or a connection would never be forgotten.
#[derive(Debug)]
pub struct Information {
    database: &'static str,
    list: Weak<dyn CatalogProviderList>,
}

impl Information {
    /// Of a database in a list.
    pub fn new(database: &'static str, list: Weak<dyn CatalogProviderList>) -> Self {
        Self { database, list }
    }

    fn of_datafusion(&self) -> Option<InformationSchemaProvider> {
        Some(InformationSchemaProvider::new(self.list.upgrade()?))
    }

    async fn columns(&self) -> Result<Vec<Row>> {
        let mut all = Vec::new();
        let catalog = self.list.upgrade().and_then(|list| list.catalog(self.database));
        let Some(catalog) = catalog else { return Ok(all) };
        for schema in catalog.schema_names() {
            let Some(provider) = catalog.schema(&schema).filter(|_| schema != INFORMATION_SCHEMA) else {
                continue;
            };
            for table in provider.table_names() {
                // A pipeline may be gone between its name and its columns.
                let Some(found) = provider.table(&table).await? else {
                    continue;
                };
                for (at, field) in found.schema().fields().iter().enumerate() {
                    all.push(self.column(&schema, &table, at, field)?);
                }
            }
        }
        Ok(all)
    }

    fn column(&self, schema: &str, table: &str, at: usize, field: &Field) -> Result<Row> {
        let kind = into_pg_type(field.data_type()).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let short = kind.name();
        let long = LONG
            .iter()
            .find(|(_, name)| *name == short)
            .map_or(short, |(long, _)| long);
        let (precision, radix, scale) = match short {
            "int2" => (Some(16), Some(2), Some(0)),
            "int4" => (Some(32), Some(2), Some(0)),
            "int8" => (Some(64), Some(2), Some(0)),
            "float4" => (Some(24), Some(2), None),
            "float8" => (Some(53), Some(2), None),
            _ => (None, None, None),
        };
        let number = |value: Option<i64>| value.map_or(Cell::Null, Cell::Int);
        let text = |value: &str| Cell::Text(value.into());
        let yes = |truth: bool| text(if truth { "YES" } else { "NO" });
        Ok(vec![
            text(self.database),
            text(schema),
            text(table),
            text(field.name()),
            number(i64::try_from(at + 1).ok()),
            Cell::Null,
            yes(field.is_nullable()),
            text(long),
            Cell::Null,
            Cell::Null,
            number(precision),
            number(radix),
            number(scale),
            number(short.starts_with("timestamp").then_some(6)),
            Cell::Null,
            Cell::Null,
            Cell::Null,
            text(self.database),
            text("pg_catalog"),
            text(short),
            yes(false),
            Cell::Null,
            text("NEVER"),
            yes(false),
        ])
    }
}

#[async_trait]
impl SchemaProvider for Information {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.of_datafusion().map_or_else(Vec::new, |own| own.table_names());
        names.extend(CONSTRAINTS.iter().map(|(name, _)| (*name).to_owned()));
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let (schema, rows) = if name == "columns" {
            (rows::schema(COLUMNS), self.columns().await?)
        } else if let Some((_, columns)) = CONSTRAINTS.iter().find(|(known, _)| *known == name) {
            (rows::schema(columns.iter().map(|name| (*name, Kind::Text))), Vec::new())
        } else {
            return match self.of_datafusion() {
                Some(own) => own.table(name).await,
                None => Ok(None),
            };
        };
        let batch = rows::batch(&schema, &rows)?;
        Ok(Some(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        CONSTRAINTS.iter().any(|(known, _)| *known == name)
            || self.of_datafusion().is_some_and(|own| own.table_exist(name))
    }
}
