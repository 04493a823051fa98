//! From SQL text to a dataflow plan.
//!
//! The planner owns the dialect (the portable subset of Arroyo's SQL), the catalogue of tables and views of one file, the
//! rewriting of `tumble`, `hop` and `session` into windows, and errors that point at their place in the text. It knows no
//! engine and opens no connection: connectors hand it a [`connector::Connector`] that turns the options of a table into a
//! spec, and engines take the [`plan::Plan`] that comes out.
//!
//! The way of a statement: [`syntax`](self) parses it once; DataFusion's `SqlToRel` resolves names, its analyser types; the
//! windowing pass checks it and resolves windows; chosen rules of the optimiser push filters and projections to the sources;
//! the converter makes nodes. Every step works on trees, none on text.

mod aggregates;
mod arroyo;
mod batch;
mod bound;
mod catalog;
mod convert;
mod create_table;
mod ddl;
mod deployment;
mod explain;
mod expose;
mod fault;
mod fence;
mod functions;
mod insert;
mod nulls;
mod optimize;
mod places;
mod planner;
mod row_time;
mod share;
mod size;
mod sources;
mod sql_text;
mod syntax;
mod types;
mod window_calls;
mod windowing;
mod wording;

pub mod connector;
pub mod error;
pub mod identity;
pub mod plan;
pub mod table;
pub mod window;

pub use arroyo::Cluster;
pub use deployment::{addresses, called_functions, read_from, table_place};
pub use error::{Error, Span};
pub use explain::{aggregate_calls, explain};
pub use functions::Functions;
pub use planner::{PlanOptions, Planner, plan};
pub use types::sql_type;
pub use window_calls::window_type;
