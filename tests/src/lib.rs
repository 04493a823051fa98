//! What the end-to-end tests stand on: real services, started for a test and stopped after it.

pub mod arroyo;
pub mod proxy;
pub mod services;
