//! The query service: answers over REST.

pub mod page;
