//! A stand-in for an Arroyo cluster, in the process of the test.
//!
//! It is for what a real one does not do when it is asked to: errors of the network, slow answers, wrong keys, jobs that fail, and
//! for a machine without one. It holds functions and pipelines and answers the calls of the API that hitters makes, with the
//! states that a job goes through, one a look. It plans and computes nothing: that a real one takes what is sent is what the
//! conformance test is for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test whose stand-in breaks has to fail"
)]

mod http;
mod world;

pub use http::{Fault, Stub};
pub use world::{Behaviour, World};
