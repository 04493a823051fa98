//! From SQL text to a dataflow plan.
//!
//! The planner owns the dialect (the portable subset of Arroyo's SQL), the catalogue of tables and views of one file, the
//! rewriting of `tumble`, `hop` and `session` into windows, and errors that point at their place in the text. It knows no
//! engine and opens no connection: connectors hand it a [`connector::Connector`] that turns the options of a table into a
//! spec, and engines take the [`plan::Plan`] that comes out.

pub mod connector;
pub mod error;
pub mod plan;
pub mod table;
pub mod window;

pub use error::{Error, Span};
