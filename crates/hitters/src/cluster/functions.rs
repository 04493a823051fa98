//! The functions of ours that a SQL text calls, with the sources that Arroyo takes.

use crate::failure::Failure;
use crate::plugins;
use hitters_arroyo::Function;
use hitters_pipeline::Pipeline;
use std::path::Path;

/// All that a pipeline needs: its own functions as they stand, and those of ours that its SQL calls.
pub fn needed(pipeline: &Pipeline, folder: Option<&Path>) -> Result<Vec<Function>, Failure> {
    let mut functions = Vec::new();
    for file in &pipeline.functions {
        let name =
            hitters_plugins::name(&file.text).map_err(|faults| Failure::Faults(plugins::faults(file, faults)))?;
        functions.push(Function {
            name,
            source: file.text.clone(),
        });
    }
    for function in called(pipeline.script.text(), folder)? {
        if functions.iter().all(|own| own.name != function.name) {
            functions.push(function);
        }
    }
    Ok(functions)
}

/// The sources of the functions that a text calls: of `folder` where it has a file for one, else of this binary.
fn called(sql: &str, folder: Option<&Path>) -> Result<Vec<Function>, Failure> {
    let mut functions = Vec::new();
    for name in hitters_planner::called_functions(sql) {
        let given = folder
            .map(|folder| folder.join(format!("{name}.rs")))
            .filter(|path| path.is_file());
        let source = match given {
            Some(path) => Some(
                std::fs::read_to_string(&path)
                    .map_err(|error| Failure::Usage(format!("cannot read the function {}: {error}", path.display())))?,
            ),
            None => bundled(&name),
        };
        if let Some(source) = source {
            functions.push(Function { name, source });
        }
    }
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(Failure::Usage(format!(
            "--functions names {}, and there is no such folder",
            folder.display()
        )));
    }
    Ok(functions)
}

/// The source of one of our functions; `None` for a function of somebody else.
fn bundled(name: &str) -> Option<String> {
    hitters_plugin::bundle(name).ok()
}
