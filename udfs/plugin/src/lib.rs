//! The SQL functions of Hitters as Arroyo takes them: each as one source file that needs nothing but crates.io.
//!
//! Arroyo compiles a function from the text that it is sent. [`bundle`] makes that text: the function (`functions/`), what
//! stands between it and Arroyo's columns (`glue/`), and the sketches (`udfs/sketch`), in one file. So there is no path to mount
//! into the cluster and no image to build, and both engines run the same mathematics.
//!
//! Arroyo compiles a text once and knows it by its content, so each carries a version and a hash of its content: a change of a
//! sketch changes the text of every function.
//!
//! # What comes out where it goes wrong
//!
//! A panic in a function restarts an Arroyo job for ever. So bytes that are no sketch, a `k` of zero and whatever else cannot
//! be answered give `{"format":1,"error":"..."}` where JSON text comes out, and NULL elsewhere; the embedded engine stops with
//! an error instead.
//!
//! # Examples
//!
//! ```
//! let text = hitters_plugin::bundle("approx_top_k_combine")?;
//! assert!(text.contains("fn approx_top_k_combine(sketch: Vec<Option<&[u8]>>) -> Option<Vec<u8>>"));
//! # Ok::<(), hitters_plugin::Error>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod inline;
mod sources;
mod tokens;

use sources::{FUNCTIONS, GLUE, SKETCH};

/// The version that bundles carry.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why there is no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no function of this name.
    #[error("there is no function {name}; there are {}", names.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        names: Vec<&'static str>,
    },
    /// The sources that were built in lack one, which a test excludes.
    #[error("the source {0} is missing in this build")]
    Missing(String),
}

/// The names of all functions, sorted.
pub fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(path, _)| path.trim_end_matches(".rs"))
}

/// The source file of a function.
///
/// # Errors
///
/// If there is no such function.
pub fn bundle(name: &str) -> Result<String, Error> {
    let (_, function) = FUNCTIONS
        .iter()
        .find(|(path, _)| path.trim_end_matches(".rs") == name)
        .ok_or_else(|| Error::Unknown {
            name: name.to_owned(),
            names: functions().collect(),
        })?;
    let mut body = (*function).to_owned();
    let glue = inline::inline(GLUE, "mod.rs", None)?;
    let sketch = inline::inline(SKETCH, "lib.rs", Some("sketch"))?;
    for (module, tree, what) in [
        ("glue", glue, "Between Arroyo's columns and the function"),
        ("sketch", sketch, "The sketches"),
    ] {
        body.push_str(&format!(
            "\n// {what}; the sources with their comments and tests are udfs/plugin and udfs/sketch of Hitters.\n\
             #[allow(dead_code, unused_imports, clippy::all)]\nmod {module} {{\n{tree}}}\n"
        ));
    }
    let dependencies = "/*\n[dependencies]\narroyo-udf-plugin = \"^0.2.0\"\n*/\n";
    Ok(format!(
        "// {name} of Hitters {VERSION}, content {:016x}, for Arroyo: `hitters udf bundle` writes this file; do not edit it.\n\
         // SPDX-License-Identifier: Apache-2.0\n{dependencies}{body}",
        hash(&body)
    ))
}

/// FNV-1a: it tells versions apart, it proves nothing.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
