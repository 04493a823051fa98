//! The query service: answers over REST. Its contract stands in README.md of this crate.
//!
//! * `question` reads what was asked, `resolved` finds the groups and windows, `compute`, `over_time`, `compare` and `listing`
//!   answer it over the stores of `hitters-results`, `open` over the window that is still open; `types` is the JSON.
//! * `connections` accepts, `front` gives again what `repeat` remembers, `app` keeps the newest state and answers, `http` has the
//!   paths, `live` the streams, `openapi` the document, `metrics` what it counts.
//! * `questions` is for other protocols: the crate `hitters-postgres` shows the answers as tables over it.
//! * `gate` says who asks (`keys`, `tokens`), `access` what, `limit` and `listeners` how often; `tls` encrypts, `unread` ends
//!   connections that nobody reads.
//!
//! [`Service`] is made from [`Options`], listens, and runs until it is told to end.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod access;
mod app;
mod asked;
mod compare;
mod compute;
mod connections;
mod csv_rows;
mod exposition;
mod front;
mod gate;
mod guard;
mod http;
mod keys;
mod limit;
mod listeners;
mod listing;
mod live;
mod metrics;
mod open;
mod openapi;
mod over_time;
mod page;
mod problem;
mod question;
mod questions;
mod repeat;
mod resolved;
mod service;
mod times;
mod tls;
mod tokens;
pub mod types;
mod unread;

pub use access::Access;
pub use asked::Pairs;
pub use exposition::{Exposition, Kind};
pub use keys::{Key, KeyFile, KeyFileError};
pub use metrics::{Measured, resident};
pub use open::Engine;
pub use problem::Problem;
pub use questions::Questions;
pub use service::{Options, Service, ServiceError, Tls};
pub use tokens::{KeySource, MOST_BYTES, TokenOptions, Trust};
pub use unread::listen;

/// The OpenAPI 3.1 document.
pub fn openapi() -> &'static serde_json::Value {
    openapi::value()
}
