//! From what the command line names to a pipeline.

use crate::cli::Target;
use crate::engine;
use crate::failure::Failure;
use hitters_pipeline::{Fault, Files, FunctionFile, Pipeline};
use std::fs;
use std::io::Read;
use std::path::Path;

/// Folder of the pipeline files.
const PIPELINES: &str = "pipelines";

/// Reads the target: a pipeline file, a SQL file, SQL from standard input, or the name of a pipeline.
pub fn load(target: &Target, files: &mut Files) -> Result<Pipeline, Failure> {
    load_version(target, None, files)
}

/// The same, as another version than the pipeline file says.
pub fn load_version(target: &Target, version: Option<u64>, files: &mut Files) -> Result<Pipeline, Failure> {
    let mut pipeline = read(target, version, files)?;
    for path in &target.udfs {
        pipeline.functions.push(FunctionFile::read(path, files)?);
    }
    Ok(pipeline)
}

fn read(target: &Target, version: Option<u64>, files: &mut Files) -> Result<Pipeline, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    if target.target == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| Failure::Usage(format!("cannot read SQL from standard input: {error}")))?;
        return Pipeline::bare("<stdin>", &text, &target.params, &environment, files).map_err(engine::faults);
    }
    let path = match target.path() {
        Some(path) => path,
        None => {
            let path = Path::new(PIPELINES).join(format!("{}.toml", target.target));
            if !path.is_file() {
                return Err(Failure::Usage(format!(
                    "there is no pipeline '{}': {}",
                    target.target,
                    known_pipelines(&path)
                )));
            }
            path
        }
    };
    if path.extension().is_some_and(|extension| extension == "toml") {
        return Pipeline::load_version(&path, version, &target.params, &environment, files).map_err(engine::faults);
    }
    let bytes = fs::read(&path).map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Fault::new(format!("{} is not UTF-8 text (byte {at})", path.display())).hint("save it as UTF-8")
    })?;
    Pipeline::bare(&path.display().to_string(), &text, &target.params, &environment, files).map_err(engine::faults)
}

/// What to say when a name leads nowhere.
fn known_pipelines(path: &Path) -> String {
    let mut names: Vec<String> = fs::read_dir(PIPELINES).map_or_else(
        |_| Vec::new(),
        |folder| {
            let paths = folder.filter_map(|entry| Some(entry.ok()?.path()));
            let manifests = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
            manifests
                .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
                .collect()
        },
    );
    names.sort();
    match names.is_empty() {
        true => format!(
            "{} does not exist, and the folder {PIPELINES} holds no pipelines",
            path.display()
        ),
        false => format!("the folder {PIPELINES} has {}", names.join(", ")),
    }
}
