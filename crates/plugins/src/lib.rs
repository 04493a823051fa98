//! Functions that users wrote for Arroyo, compiled and run in this process.
//!
//! A plugin is one Rust file with one function under an attribute whose last name is `udf`, as Arroyo takes it: with the
//! published attribute of `arroyo-udf-plugin`, or with an attribute that does nothing and a hand-written `__run`. It is compiled
//! once by the user's own `cargo` ([`compile`](self)), loaded, and called through Arroyo's own interface ([`abi`](self)): whole
//! columns over the Arrow C data interface. Scalar functions are called once a batch, aggregates once a group and window, with
//! all of its values.
//!
//! Invariant: the interface hands vectors from one side to the other, each freed by who took it. Both sides must have the same
//! allocator, the system's: a binary that hosts plugins sets no other.
//!
//! Bound: the state of an aggregate is the values of its group; they count towards the memory limit and stand in checkpoints.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod abi;
mod aggregate;
mod compile;
mod scalar;
mod signature;

use abi::Code;
use compile::Compiler;
use datafusion_expr::{AggregateUDF, ScalarUDF};
use sha2::{Digest, Sha256};
use signature::Signature;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// What is wrong with a plugin's file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// In one sentence; the compiler's own words for what it found.
    pub message: String,
    /// Bytes of the file, where the fault has a place in it.
    pub range: Option<Range<usize>>,
    /// What to do.
    pub hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            range: None,
            hint: None,
        }
    }

    pub(crate) fn at(mut self, range: Range<usize>) -> Self {
        self.range = Some(range);
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A function ready to be called in SQL.
#[derive(Clone, Debug)]
pub enum Plugin {
    /// One row in, one value out.
    Scalar(Arc<ScalarUDF>),
    /// All values of a group in, one value out.
    Aggregate(Arc<AggregateUDF>),
}

/// Compiles a file, unless that was done before, and loads it. `cache` is a folder that may be shared by processes; `told` hears
/// what takes long.
///
/// # Errors
/// Every fault of the file: what the interface does not take, or what the compiler says, with its place.
pub fn load(text: &str, cache: &Path, told: &mut dyn FnMut(&str)) -> Result<Plugin, Vec<Fault>> {
    let compiler = Compiler::find(cache).map_err(|fault| vec![fault])?;
    let signature = match signature::read(text) {
        Ok(signature) => signature,
        // The compiler says where a file is no Rust, and says it better.
        Err(signature::Unread::Syntax(fault)) => {
            return Err(match compiler.library("plugin", text, told) {
                Ok(_) => vec![fault],
                Err(faults) => faults,
            });
        }
        Err(signature::Unread::Refused(faults)) => return Err(faults),
    };
    let library = compiler.library(&signature.name, text, told)?;
    let code = Code::load(&library, &signature.name, identity(text)).map_err(|fault| vec![fault])?;
    Ok(plugin(signature, Arc::new(code)))
}

fn plugin(signature: Signature, code: Arc<Code>) -> Plugin {
    match signature.aggregate {
        false => Plugin::Scalar(Arc::new(ScalarUDF::new_from_impl(scalar::Hosted::new(signature, code)))),
        true => Plugin::Aggregate(Arc::new(AggregateUDF::new_from_impl(aggregate::Hosted::new(
            signature, code,
        )))),
    }
}

/// The name of the function in a file, without compiling it: what Arroyo calls it by.
///
/// # Errors
/// What the interface does not take.
pub fn name(text: &str) -> Result<String, Vec<Fault>> {
    match signature::read(text) {
        Ok(signature) => Ok(signature.name),
        Err(signature::Unread::Syntax(fault)) => Err(vec![fault]),
        Err(signature::Unread::Refused(faults)) => Err(faults),
    }
}

/// The first 16 hex digits of the SHA-256 of a text.
fn identity(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
