//! The embedded dataflow engine.
//!
//! Operators are step functions: they own no thread, clock, socket or file. Sources, sinks and the clock come in as
//! traits, so that threads can drive them in production and a simulation in tests.

pub mod sink;
pub mod source;

/// The error of the engine.
pub mod error;
pub use error::Error;
