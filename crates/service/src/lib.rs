//! The query service: answers over REST. Its contract stands in README.md of this crate.
//!
//! * `question` reads what was asked, `compute` answers it over the stores of `hitters-results`, `types` is the JSON.
//! * `app` keeps the newest state and answers, `http` has the paths, `live` the streams, `openapi` the document.
//! * `access` and `limit` say who may ask what, and how often; `tls` encrypts.
//!
//! [`Service`] is made from [`Options`], listens, and runs until it is told to end.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod access;
mod app;
mod compute;
mod csv_rows;
mod http;
mod limit;
mod live;
mod openapi;
mod page;
mod problem;
mod question;
mod service;
mod times;
mod tls;
pub mod types;

pub use access::{Access, Key, KeyFile, KeyFileError};
pub use service::{Options, Service, ServiceError, Tls};

/// The OpenAPI 3.1 document.
pub fn openapi() -> &'static serde_json::Value {
    openapi::value()
}
