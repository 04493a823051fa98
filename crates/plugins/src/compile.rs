//! A plugin's file compiled: once for each text and compiler, by the user's own `cargo`.
//!
//! Layout of the cache: `NAME-HASH.so` is a finished library; `build/NAME-HASH/` the package that it was made from (the file as
//! it stands is `src/lib.rs`, so that the compiler's places are those of the user's file); `target/` what all of them share.
//! A library appears under its name whole or not at all, so that processes may share the folder.

use crate::{Fault, identity};
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The interface that [`crate::abi`] speaks.
const INTERFACE: &str = "arroyo-udf-plugin = \"0.2.0\"";

/// The compiler of this machine with its cache.
pub(crate) struct Compiler {
    cargo: String,
    version: String,
    cache: PathBuf,
}

impl Compiler {
    pub(crate) fn find(cache: &Path) -> Result<Self, Fault> {
        let variable = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_string());
        let missing = || {
            Fault::new("functions in Rust need a Rust compiler, and there is none on this machine")
                .hint("install it from https://rustup.rs; functions that were compiled before need it, too")
        };
        let asked = Command::new(variable("RUSTC", "rustc")).arg("-vV").output();
        let version = asked.ok().filter(|ran| ran.status.success()).ok_or_else(missing)?;
        Ok(Self {
            cargo: variable("CARGO", "cargo"),
            version: String::from_utf8_lossy(&version.stdout).into_owned(),
            cache: cache.to_path_buf(),
        })
    }

    /// The library of a file.
    pub(crate) fn library(&self, name: &str, text: &str, told: &mut dyn FnMut(&str)) -> Result<PathBuf, Vec<Fault>> {
        let one = |fault: Fault| vec![fault];
        let dependencies = dependencies(text, &|name| std::env::var(name).ok()).map_err(one)?;
        let hash = identity(&format!("{}\n{dependencies}\n{text}", self.version));
        let package = format!("{name}-{hash}");
        let library = self.cache.join(format!("{package}.so"));
        if library.is_file() {
            return Ok(library);
        }
        told(&format!("compiling the function {name} (the first one takes minutes)"));
        let folder = self.cache.join("build").join(&package);
        let manifest = format!(
            "[package]\nname = \"udf_{hash}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n[workspace]\n\n{dependencies}"
        );
        let failed = |error: io::Error| {
            vec![
                Fault::new(format!("cannot compile into {}: {error}", self.cache.display()))
                    .hint("set HITTERS_CACHE to a folder that can be written"),
            ]
        };
        fs::create_dir_all(folder.join("src")).map_err(failed)?;
        fs::write(folder.join("Cargo.toml"), manifest).map_err(failed)?;
        fs::write(folder.join("src/lib.rs"), text).map_err(failed)?;
        let target = self.cache.join("target");
        let output = Command::new(&self.cargo)
            .args(["build", "--release", "--message-format=json"])
            .arg("--manifest-path")
            .arg(folder.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .output()
            .map_err(|error| one(Fault::new(format!("cannot run {}: {error}", self.cargo))))?;
        if !output.status.success() {
            return Err(said(&output.stdout, &output.stderr, text));
        }
        let made = built(&output.stdout).ok_or_else(|| one(Fault::new("the compiler made no library")))?;
        let whole = self.cache.join(format!("{package}.{}.new", std::process::id()));
        fs::copy(made, &whole)
            .and_then(|_| fs::rename(&whole, &library))
            .map_err(failed)?;
        Ok(library)
    }
}

/// `[dependencies]` of the package: the table in the file's comment, and the interface, whatever the table says of that.
fn dependencies(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, Fault> {
    const OPEN: &str = "/*\n[dependencies]\n";
    let Some(start) = text.find(OPEN) else {
        return Ok(format!("[dependencies]\n{INTERFACE}\n"));
    };
    let body = &text[start + OPEN.len()..];
    let body = &body[..body.find("*/").unwrap_or(body.len())];
    let at = start + 3..start + OPEN.len() - 1;
    if text[start + OPEN.len()..].contains(OPEN) {
        return Err(Fault::new("a file has one comment with dependencies").at(at));
    }
    let table = format!(
        "[dependencies]\n{}",
        filled(body, environment).map_err(|fault| fault.at(at.clone()))?
    );
    let parsed: toml::Table = table.parse().map_err(|error: toml::de::Error| {
        Fault::new(format!("the dependencies are no TOML: {}", error.message())).at(at.clone())
    })?;
    let named = parsed.get("dependencies").and_then(|d| d.as_table());
    if named.is_some_and(|names| names.contains_key("arroyo-udf-plugin")) {
        return Err(
            Fault::new("the dependencies name arroyo-udf-plugin, which is always there")
                .at(at)
                .hint("leave it out: Arroyo takes its own version, and so does this"),
        );
    }
    Ok(table.replacen("[dependencies]\n", &format!("[dependencies]\n{INTERFACE}\n"), 1))
}

/// `{{ NAME }}` from the environment, as Arroyo's compiler service does it.
fn filled(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, Fault> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let Some(close) = rest[open..].find("}}").map(|close| open + close) else {
            break;
        };
        let name = rest[open + 2..close].trim();
        let value = environment(name).ok_or_else(|| {
            Fault::new(format!("the environment has no {name}, which the dependencies name"))
                .hint(format!("export {name}=..."))
        })?;
        out.push_str(&rest[..open]);
        out.push_str(&value);
        rest = &rest[close + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

fn messages(stdout: &[u8]) -> impl Iterator<Item = Value> + '_ {
    stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
}

/// The library among the artifacts: the package's own comes last.
fn built(stdout: &[u8]) -> Option<PathBuf> {
    let artifacts = messages(stdout).filter(|message| message["reason"] == "compiler-artifact");
    let own = artifacts.filter(|message| {
        message["target"]["crate_types"]
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(|k| k == "cdylib"))
    });
    let file = own.last()?["filenames"].as_array()?.first()?.as_str()?.to_string();
    Some(PathBuf::from(file))
}

/// What the compiler says of the user's file; what cargo says where it got no further.
fn said(stdout: &[u8], stderr: &[u8], text: &str) -> Vec<Fault> {
    let mut faults: Vec<Fault> = messages(stdout)
        .filter(|message| message["reason"] == "compiler-message" && message["message"]["level"] == "error")
        .filter_map(|message| fault(&message["message"], text))
        .collect();
    faults.dedup();
    if faults.is_empty() {
        let stderr = String::from_utf8_lossy(stderr);
        let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(12)..].join("\n");
        faults.push(Fault::new(format!("cargo cannot build the function:\n{last}")));
    }
    faults
}

fn fault(message: &Value, text: &str) -> Option<Fault> {
    let words = message["message"].as_str()?;
    // "aborting due to 2 previous errors" has no place and says nothing.
    let primary = message["spans"]
        .as_array()?
        .iter()
        .find(|span| span["is_primary"] == true)?;
    let mut span = primary;
    // Inside of a macro: where the file calls it.
    while span["file_name"]
        .as_str()
        .is_none_or(|file| !file.ends_with("src/lib.rs") || file.contains("registry"))
        && !span["expansion"].is_null()
    {
        span = &span["expansion"]["span"];
    }
    let offset = |name: &str| {
        span[name]
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(0)
            .min(text.len())
    };
    let mut fault = Fault::new(words).at(offset("byte_start")..offset("byte_end"));
    let label = primary["label"].as_str().filter(|label| !label.is_empty());
    let help = message["children"].as_array().and_then(|children| {
        let helps = children
            .iter()
            .filter(|child| child["level"] == "help" || child["level"] == "note");
        helps.filter_map(|child| child["message"].as_str()).next()
    });
    if let Some(hint) = label.or(help) {
        fault = fault.hint(hint);
    }
    Some(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_from_the_comment_with_the_interface_before_them() {
        assert_eq!(
            dependencies("fn f() {}", &|_| None).unwrap(),
            format!("[dependencies]\n{INTERFACE}\n")
        );
        let text = "/*\n[dependencies]\nregex = \"1\"\ncore = { path = \"{{ DIR }}/core\" }\n*/\nfn f() {}";
        let found = dependencies(text, &|name| (name == "DIR").then(|| "/d".to_string())).unwrap();
        assert_eq!(
            found,
            format!("[dependencies]\n{INTERFACE}\nregex = \"1\"\ncore = {{ path = \"/d/core\" }}\n")
        );
        for (text, why) in [
            (text, "the environment has no DIR"),
            ("/*\n[dependencies]\nregex = \n*/", "no TOML"),
            ("/*\n[dependencies]\narroyo-udf-plugin = \"0.1\"\n*/", "always there"),
            ("/*\n[dependencies]\n*/\n/*\n[dependencies]\n*/", "one comment"),
        ] {
            let fault = dependencies(text, &|_| None).unwrap_err();
            assert!(fault.message.contains(why), "{}", fault.message);
            assert_eq!(&text[fault.range.unwrap()], "[dependencies]", "{text}");
        }
    }
}
