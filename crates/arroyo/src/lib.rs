//! The client of an Arroyo cluster: plan a deployment, carry it out, watch, rescale and stop what was deployed.
//!
//! It speaks Arroyo's REST API (`/api/v1`, as its public OpenAPI description and the types behind it say) and nothing else:
//! it opens no Kafka, no Redis and no file but the certificate of an authority. It knows no SQL: a text goes to the cluster as it
//! is, followed by a comment that says what was deployed ([`Mark`]), which is how a second deployment knows that there is
//! nothing to do, and how a pipeline that hitters did not deploy is told apart.
//!
//! Invariant: what is planned ([`Cluster::plan`]) asks only; what changes the cluster ([`Cluster::apply`] and the orders) does
//! what the plan says, and repeats no call that the cluster may have carried out already.
//!
//! Bound: no call waits longer than [`Options::timeout`], those that compile a function not longer than
//! [`Options::build_timeout`]; waits for a state end with the patience that is given to them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answers;
mod apply;
mod client;
mod deployed;
mod error;
mod graph;
mod mark;
mod orders;
mod plan;
mod status;
mod wait;

pub use answers::Diagnostic;
pub use apply::Done;
pub use client::{Cluster, Options};
pub use deployed::Deployed;
pub use error::{Error, Trouble};
pub use graph::Cut;
pub use mark::Mark;
pub use plan::{Change, Function, FunctionChange, Plan, Wanted};
pub use status::{Checkpoint, Operator, Status};
pub use wait::{Event, Patience};
