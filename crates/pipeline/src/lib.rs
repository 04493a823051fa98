//! The pipeline file: one TOML that names a pipeline's SQL, its parameters and its limits.
//!
//! This crate reads it, reports every fault at once with its place, and fills `${name}` into the SQL text before any
//! planner sees it, keeping the way back from the filled text to the files. It opens no connection and knows no engine.
//!
//! Invariant: a [`Pipeline`] holds values that were checked; a [`Script`] never shows a secret but in [`Script::text`].

mod checkpoint;
mod cluster;
mod dead_letter;
mod fault;
mod fill;
mod manifest;
mod parameter;
mod quantity;
mod reader;
mod script;
mod serve;
mod show;
mod state;

pub use checkpoint::Checkpoint;
pub use cluster::{Cluster, Secret};
pub use dead_letter::DeadLetter;
pub use fault::{Fault, FileId, Files, Place};
pub use manifest::{Broken, FunctionFile, Pipeline, Settings};
pub use parameter::{Environment, Overrides, Value};
pub use quantity::{bytes as parse_size, duration as parse_duration};
pub use script::{Script, Secrets};
pub use serve::{Jwt, JwtTrust, Serve};
pub use show::Show;
pub use state::{Backend, State};
