//! `hitters udf bundle`: the functions as source files for an Arroyo cluster.

use crate::cli::Bundle;
use crate::failure::Failure;
use std::fs;
use std::io::{Write, stderr, stdout};

/// Runs the command.
pub fn bundle(arguments: &Bundle, quiet: bool) -> Result<(), Failure> {
    let bundled = |name: &str| hitters_plugin::bundle(name).map_err(|error| Failure::Usage(error.to_string()));
    let Some(folder) = &arguments.output else {
        let [name] = &arguments.functions[..] else {
            let names: Vec<&str> = hitters_plugin::functions().collect();
            return Err(Failure::Usage(format!(
                "name one function, or a folder for several with --output; there are {}",
                names.join(", ")
            )));
        };
        write!(stdout().lock(), "{}", bundled(name)?)?;
        return Ok(());
    };
    let names: Vec<&str> = if arguments.functions.is_empty() {
        hitters_plugin::functions().collect()
    } else {
        arguments.functions.iter().map(String::as_str).collect()
    };
    // All of them, or none for a name that is wrong.
    let texts = names
        .iter()
        .map(|name| bundled(name))
        .collect::<Result<Vec<String>, _>>()?;
    let failed = |error: std::io::Error| Failure::Run(format!("writing to '{}': {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    for (name, text) in names.iter().zip(texts) {
        fs::write(folder.join(format!("{name}.rs")), text).map_err(failed)?;
    }
    if !quiet {
        let plural = if names.len() == 1 { "function" } else { "functions" };
        // Standard error has gone away: there is nobody to tell.
        let _ = writeln!(
            stderr(),
            "{} {plural} of version {} in {}",
            names.len(),
            hitters_plugin::VERSION,
            folder.display()
        );
    }
    Ok(())
}
