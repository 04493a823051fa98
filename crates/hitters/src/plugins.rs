//! The functions of a pipeline: those of this binary, and those that its files bring, compiled.

use crate::engine;
use hitters_pipeline::{Fault, FunctionFile, Pipeline};
use hitters_planner::Functions;
use hitters_plugins::Plugin;
use std::io::{Write, stderr};
use std::path::PathBuf;

/// Everything that the SQL of a pipeline can call beside DataFusion's functions.
pub fn functions(pipeline: &Pipeline) -> Result<Functions, Vec<Fault>> {
    let mut functions = engine::functions();
    let mut found = Vec::new();
    for file in &pipeline.functions {
        let mut told = |what: &str| {
            // Standard error has gone away: it is compiled all the same.
            let _ = writeln!(stderr(), "{}: {what}", pipeline.name);
        };
        match hitters_plugins::load(&file.text, &cache(), &mut told) {
            Ok(Plugin::Scalar(function)) => functions.scalar.push(function),
            Ok(Plugin::Aggregate(function)) => functions.aggregate.push(function),
            Err(wrong) => found.extend(faults(file, wrong)),
        }
    }
    if found.is_empty() { Ok(functions) } else { Err(found) }
}

/// Faults with their place in the file.
pub fn faults(file: &FunctionFile, found: Vec<hitters_plugins::Fault>) -> Vec<Fault> {
    let one = |fault: hitters_plugins::Fault| Fault {
        message: fault.message,
        place: Some(hitters_pipeline::Place {
            file: file.file,
            range: fault.range.unwrap_or(0..0),
        }),
        hint: fault.hint,
    };
    found.into_iter().map(one).collect()
}

/// Where compiled functions are kept: `HITTERS_CACHE`, or the user's cache folder.
fn cache() -> PathBuf {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let own = variable("HITTERS_CACHE");
    let user = || variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    let shared = own.or_else(|| user().map(|cache| cache.join("hitters")));
    shared.unwrap_or_else(std::env::temp_dir).join("plugins")
}
