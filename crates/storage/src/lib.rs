//! Where state is kept: checkpoints in a folder of this machine, S3 or HDFS; what outgrows memory while it is in use, in RocksDB
//! ([`spill`]).
//!
//! This crate owns the ways to these stores and nothing of what is stored: objects are names and bytes. All stores keep the
//! same promises (`tests/promises`): an object is seen whole or not at all, [`Storage::put_new`] has one winner, lists are
//! in order.
//!
//! [`Storage::put_new`]: hitters_dataflow::checkpoint::Storage::put_new

#[cfg(any(feature = "s3", feature = "hdfs"))]
mod caller;
#[cfg(feature = "hdfs")]
mod hdfs;
mod local;
mod location;
mod lock;
mod name;
#[cfg(any(feature = "s3", feature = "hdfs"))]
mod patience;
#[cfg(feature = "s3")]
mod s3;
pub mod spill;

#[cfg(feature = "hdfs")]
pub use hdfs::Hdfs;
pub use local::Local;
pub use location::{HdfsLocation, Location, S3Location};
#[cfg(any(feature = "s3", feature = "hdfs"))]
pub use patience::Patience;
#[cfg(feature = "s3")]
pub use s3::S3;

use hitters_dataflow::checkpoint::{Storage, StorageError};
use std::sync::Arc;

/// Tells a person that a store does not answer and is asked again.
pub type Report = Arc<dyn Fn(&str) + Send + Sync>;

/// Opens the store that a URL or a path stands for: `/var/lib/hitters/shop`, `file:///var/lib/hitters/shop`,
/// `s3://bucket/prefix?region=eu-central-1`, `hdfs://namenode:8020/hitters/shop`.
///
/// A local folder is made if it is not there, and is held: no second run can open it.
///
/// # Errors
/// A URL of no known kind, a kind that this build leaves out, a folder that cannot be made or that another run holds.
pub fn open(url: &str, report: Report) -> Result<Box<dyn Storage>, StorageError> {
    open_at(&Location::parse(url)?, report)
}

/// Checks that [`open`] knows such a store and that this build holds its client. Nothing is opened.
///
/// # Errors
/// A URL of no known kind, or a kind that this build leaves out.
pub fn check(url: &str) -> Result<(), StorageError> {
    match Location::parse(url)? {
        #[cfg(not(feature = "s3"))]
        Location::S3(_) => Err(left_out("S3", "s3")),
        #[cfg(not(feature = "hdfs"))]
        Location::Hdfs(_) => Err(left_out("HDFS", "hdfs")),
        _ => Ok(()),
    }
}

/// Opens a store.
///
/// # Errors
/// As [`open`].
pub fn open_at(location: &Location, report: Report) -> Result<Box<dyn Storage>, StorageError> {
    match location {
        Location::Local(folder) => {
            // Nothing to wait for: a disk that fails does not come back by itself.
            drop(report);
            Ok(Box::new(Local::open(folder)?))
        }
        #[cfg(feature = "s3")]
        Location::S3(s3) => Ok(Box::new(S3::open(s3, environment(), Patience::default(), report)?)),
        #[cfg(not(feature = "s3"))]
        Location::S3(_) => Err(left_out("S3", "s3")),
        #[cfg(feature = "hdfs")]
        Location::Hdfs(hdfs) => Ok(Box::new(Hdfs::open(hdfs, environment(), Patience::default(), report)?)),
        #[cfg(not(feature = "hdfs"))]
        Location::Hdfs(_) => Err(left_out("HDFS", "hdfs")),
    }
}

/// The variables of this process that are text.
#[cfg(any(feature = "s3", feature = "hdfs"))]
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// This build cannot.
#[cfg(not(all(feature = "s3", feature = "hdfs", feature = "rocksdb")))]
fn left_out(what: &str, feature: &str) -> StorageError {
    StorageError::new(format!(
        "this build of Hitters has no {what}: build it with the cargo feature '{feature}' (cargo build --release --package hitters \
         --features {feature})"
    ))
}
