//! Pipelines on an Arroyo cluster: `hitters deploy`, and `status`, `scale`, `stop` and `replay` with `--to` or `[cluster]`; and what `serve` measures of them.
//!
//! [`hitters_arroyo`] speaks to the cluster. Here stands what it does not know: the pipeline file, the functions and where their
//! sources are, Kafka (partitions, the end of the log), Redis (which version readers look at, how far it is), and people.
//!
//! Secrets of the pipeline file go to the cluster in its SQL and are masked in everything that is printed, whoever said it.

mod deploy;
mod faults;
mod functions;
mod lag;
mod measures;
mod nearby;
mod orders;
mod partitions;
mod replay;
mod shown;
mod site;

pub use deploy::deploy;
pub use measures::Watched;
pub use replay::replay;
pub use site::{Site, open};
