//! Reading and checking one pipeline file. Every fault is collected; nothing stops at the first.

use crate::checkpoint::Checkpoint;
use crate::cluster::Cluster;
use crate::dead_letter::DeadLetter;
use crate::fault::{Fault, FileId, Files, Place};
use crate::parameter::{Environment, Overrides, Parameters, RESERVED, Value};
use crate::reader::{Keys, Reader, join};
use crate::script::Script;
use crate::serve::Serve;
use crate::show::Show;
use crate::state::State;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A pipeline that was read and checked: its SQL filled, its settings in range.
#[derive(Debug)]
pub struct Pipeline {
    /// `name`, or the name of the file without its ending. Letters, digits, `-` and `_`.
    pub name: String,
    /// `version`: part of the keys that results are stored under. 1 if not given.
    pub version: u64,
    /// How to run it.
    pub settings: Settings,
    /// `[[show]]`: what to show at the end of a run, in this order. Empty: every table with answers.
    pub shows: Vec<Show>,
    /// `functions`: files with functions in Rust that the SQL calls.
    pub functions: Vec<FunctionFile>,
    /// The SQL.
    pub script: Script,
}

/// A function in Rust, one to a file, as Arroyo takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionFile {
    /// The file, for faults in it.
    pub file: FileId,
    /// Its text.
    pub text: String,
}

impl FunctionFile {
    /// Reads a file.
    ///
    /// # Errors
    /// A fault without a place if it cannot be read.
    pub fn read(path: &Path, files: &mut Files) -> Result<Self, Fault> {
        let text = read(path)?;
        let file = files.add(path.display().to_string(), text.as_str());
        Ok(Self { file, text })
    }
}

/// How to run a pipeline. `None`: the engine's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `parallelism`: workers.
    pub parallelism: Option<usize>,
    /// `memory_limit`: bytes of state.
    pub memory_limit: Option<u64>,
    /// `idle_timeout`: a partition that is silent for so long holds the others up no more.
    pub idle_timeout: Option<Duration>,
    /// `idle_close`: a stream that is read to its end and silent for so long closes its windows.
    pub idle_close: Option<Duration>,
    /// `[checkpoint]`. `None`: the run keeps no state.
    pub checkpoint: Option<Checkpoint>,
    /// `[state]`. `None`: state is kept in memory.
    pub state: Option<State>,
    /// `dead_letter`: where rows go that were dropped as bad.
    pub dead_letter: Option<DeadLetter>,
    /// `[cluster]`: the Arroyo that it is deployed to.
    pub cluster: Option<Cluster>,
    /// `[serve]`: how answers are served.
    pub serve: Option<Serve>,
}

/// A pipeline that cannot run: why, and its SQL as far as it could be put together.
#[derive(Debug)]
pub struct Broken {
    /// What is wrong, in the order of the files and of their text.
    pub faults: Vec<Fault>,
    /// The SQL, if all of it was read and filled: a planner can look for further faults in it.
    pub script: Option<Script>,
}

impl From<Vec<Fault>> for Broken {
    fn from(faults: Vec<Fault>) -> Self {
        Self { faults, script: None }
    }
}

impl Pipeline {
    /// Reads a pipeline file and the SQL files that it names.
    ///
    /// # Errors
    /// All faults of all these files.
    pub fn load(
        path: &Path,
        overrides: Overrides<'_>,
        environment: Environment<'_>,
        files: &mut Files,
    ) -> Result<Self, Broken> {
        Self::load_version(path, None, overrides, environment, files)
    }

    /// The same, as another version than the file says: for a replay.
    ///
    /// # Errors
    /// All faults of all these files.
    pub fn load_version(
        path: &Path,
        version: Option<u64>,
        overrides: Overrides<'_>,
        environment: Environment<'_>,
        files: &mut Files,
    ) -> Result<Self, Broken> {
        let name = path.display().to_string();
        let text = read(path).map_err(|fault| Broken::from(vec![fault]))?;
        let file = files.add(name, text.as_str());
        let (document, errors) = DeTable::parse_recoverable(&text);
        if !errors.is_empty() {
            // What stands behind a syntax error is guesswork, so checking its keys would only confuse.
            let fault = |error: toml::de::Error| {
                Fault::new(error.message().trim_end()).at(file, error.span().unwrap_or_default())
            };
            return Err(Broken::from(errors.into_iter().map(fault).collect::<Vec<_>>()));
        }
        let mut reader = Reader {
            file,
            base: path.parent().unwrap_or(Path::new("")),
            environment,
            faults: Vec::new(),
        };
        let mut top = Keys::new(document.get_ref());
        let known = [
            "name",
            "version",
            "sql",
            "functions",
            "parallelism",
            "memory_limit",
            "idle_timeout",
            "idle_close",
            "checkpoint",
            "cluster",
            "state",
            "serve",
            "dead_letter",
            "parameters",
            "paths",
            "show",
        ];

        let stem = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let name = top.take("name").and_then(|value| reader.name(value)).unwrap_or(stem);
        let in_file = top
            .take("version")
            .and_then(|value| reader.integer(value, 1..=u64::from(u32::MAX)));
        let version = version.or(in_file).unwrap_or(1);
        let settings = Settings {
            parallelism: top
                .take("parallelism")
                .and_then(|value| reader.integer(value, 1..=1024))
                .and_then(|n| usize::try_from(n).ok()),
            memory_limit: top.take("memory_limit").and_then(|value| reader.size(value)),
            idle_timeout: top.take("idle_timeout").and_then(|value| reader.duration(value)),
            idle_close: top.take("idle_close").and_then(|value| reader.duration(value)),
            checkpoint: top
                .take("checkpoint")
                .and_then(|value| reader.checkpoint(value, &name, version)),
            state: top.take("state").and_then(|value| reader.state(value)),
            dead_letter: top.take("dead_letter").and_then(|value| reader.dead_letter(value)),
            cluster: top.take("cluster").and_then(|value| reader.cluster(value)),
            serve: top.take("serve").and_then(|value| reader.serve(value)),
        };
        let mut parameters = Parameters::default();
        if let Some(value) = top.take("parameters") {
            reader.parameters(value, &mut parameters, false);
        }
        if let Some(value) = top.take("paths") {
            reader.parameters(value, &mut parameters, true);
        }
        let shows = top.take("show").map(|value| reader.shows(value)).unwrap_or_default();
        let sql = match top.take("sql") {
            Some(value) => reader.sql(value),
            None => {
                let hint = "add sql = [\"../sql/queries/NAME.sql\"], names relative to this file";
                reader
                    .faults
                    .push(Fault::new("the pipeline file names no SQL").at(file, 0..0).hint(hint));
                Vec::new()
            }
        };
        let functions = top
            .take("functions")
            .map(|value| reader.file_list(value))
            .unwrap_or_default();
        reader.unknown(&top, &known);

        let mut faults = reader.faults;
        parameters.build_in("pipeline", Value::plain(&name));
        parameters.build_in("version", Value::plain(version.to_string()));
        apply(overrides, &mut parameters, &mut faults);
        let (mut script, mut complete) = (Script::default(), !sql.is_empty());
        for (path, place) in sql {
            match read(&path) {
                Ok(text) => {
                    let file = files.add(path.display().to_string(), text);
                    let unfilled = script.push(file, files, &parameters, environment);
                    complete &= unfilled.is_empty();
                    faults.extend(unfilled);
                }
                Err(fault) => {
                    complete = false;
                    faults.push(Fault {
                        place: Some(place),
                        ..fault
                    });
                }
            }
        }
        if let Some(checkpoint) = &settings.checkpoint {
            script.hide(&checkpoint.secrets);
        }
        let mut read_functions = Vec::new();
        for (path, place) in functions {
            match FunctionFile::read(&path, files) {
                Ok(function) => read_functions.push(function),
                Err(fault) => faults.push(Fault {
                    place: Some(place),
                    ..fault
                }),
            }
        }
        if complete {
            faults.extend(parameters.unused());
        }
        faults.sort_by_key(|fault| fault.place.as_ref().map(|place| (place.file, place.range.start)));
        match faults.is_empty() {
            true => Ok(Self {
                name,
                version,
                settings,
                shows,
                functions: read_functions,
                script,
            }),
            false => Err(Broken {
                faults,
                script: complete.then_some(script),
            }),
        }
    }

    /// A pipeline of one SQL text and nothing else: `name` is what messages call it.
    ///
    /// # Errors
    /// All faults in its placeholders.
    pub fn bare(
        name: &str,
        text: &str,
        overrides: Overrides<'_>,
        environment: Environment<'_>,
        files: &mut Files,
    ) -> Result<Self, Broken> {
        let file = files.add(name, text);
        let stem = Path::new(name)
            .file_stem()
            .map_or("query".into(), |stem| stem.to_string_lossy());
        let mut kept: String = stem
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        if kept.chars().all(|c| c == '_') {
            kept = "query".into();
        }
        let (mut parameters, mut faults, mut script) = (Parameters::default(), Vec::new(), Script::default());
        parameters.build_in("pipeline", Value::plain(&kept));
        parameters.build_in("version", Value::plain("1"));
        apply(overrides, &mut parameters, &mut faults);
        let unfilled = script.push(file, files, &parameters, environment);
        let complete = unfilled.is_empty();
        faults.extend(unfilled);
        faults.extend(parameters.unused());
        match faults.is_empty() {
            true => Ok(Self {
                name: kept,
                version: 1,
                settings: Settings::default(),
                shows: Vec::new(),
                functions: Vec::new(),
                script,
            }),
            false => Err(Broken {
                faults,
                script: complete.then_some(script),
            }),
        }
    }
}

/// Sets parameters from the command line.
fn apply(overrides: Overrides<'_>, parameters: &mut Parameters, faults: &mut Vec<Fault>) {
    for (name, value) in overrides {
        if RESERVED.contains(&name.as_str()) {
            faults.push(Fault::new(format!(
                "'{name}' is a parameter of Hitters and cannot be set"
            )));
        } else {
            parameters.set(name, value);
        }
    }
}

/// Reads a text file.
fn read(path: &Path) -> Result<String, Fault> {
    let bytes = fs::read(path).map_err(|error| Fault::new(format!("cannot read {}: {error}", path.display())))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Fault::new(format!("{} is not UTF-8 text (byte {at})", path.display())).hint("save it as UTF-8")
    })
}

impl Reader<'_> {
    fn name(&mut self, value: &Spanned<DeValue<'_>>) -> Option<String> {
        let name = self.text(value)?.text;
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Some(name);
        }
        self.fault(
            value.span(),
            format!("'{name}' cannot be the name of a pipeline"),
            "use letters, digits, - and _: it becomes a part of keys and topics",
        );
        None
    }

    fn sql(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<(PathBuf, Place)> {
        let DeValue::Array(names) = value.get_ref() else {
            return self.sql_file(value).into_iter().collect();
        };
        if names.is_empty() {
            self.fault(value.span(), "the list of SQL files is empty", "name at least one file");
        }
        names.iter().filter_map(|name| self.sql_file(name)).collect()
    }

    /// `functions`: a list of file names.
    fn file_list(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<(PathBuf, Place)> {
        let DeValue::Array(names) = value.get_ref() else {
            let hint = "write functions = [\"../udfs/NAME.rs\"], names relative to this file";
            self.fault(value.span(), "a list of file names was expected here", hint);
            return Vec::new();
        };
        names.iter().filter_map(|name| self.sql_file(name)).collect()
    }

    fn sql_file(&mut self, value: &Spanned<DeValue<'_>>) -> Option<(PathBuf, Place)> {
        let path = self.text(value)?.text;
        Some((
            join(self.base, &path),
            Place {
                file: self.file,
                range: value.span(),
            },
        ))
    }
}
