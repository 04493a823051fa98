//! Connectors for tests: they know a few options and open nothing.

use arrow::datatypes::{DataType, Field};
use hitters_planner::connector::{Connector, Connectors, Direction, Options, TableSpec};
use hitters_planner::table::{Column, ColumnKind};
use hitters_planner::{Error, Functions};
use std::any::Any;
use std::sync::Arc;

#[derive(Debug)]
struct Spec {
    connector: &'static str,
    direction: Direction,
    text: String,
}

impl TableSpec for Spec {
    fn connector(&self) -> &'static str {
        self.connector
    }
    fn direction(&self) -> Direction {
        self.direction
    }
    fn describe(&self) -> String {
        self.text.clone()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Options that must stand, and options that may.
struct Known {
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    direction: Option<Direction>,
}

impl Connector for Known {
    fn name(&self) -> &'static str {
        self.name
    }
    fn table(&self, _: &[Column], options: &mut Options) -> Result<Arc<dyn TableSpec>, Error> {
        let direction = match self.direction {
            Some(direction) => direction,
            None => options
                .one_of("type", &[("source", Direction::Source), ("sink", Direction::Sink)])?
                .unwrap_or(Direction::Source),
        };
        let mut text = self.name.to_string();
        for name in self.required {
            text = format!("{text} {}", options.required(name)?);
        }
        for name in self.optional {
            options.text(name);
        }
        Ok(Arc::new(Spec {
            connector: self.name,
            direction,
            text,
        }))
    }
    fn default_columns(&self) -> Option<Vec<Column>> {
        (self.name == "impulse").then(|| {
            let column = |name: &str| Column {
                field: Arc::new(Field::new(name, DataType::UInt64, false)),
                kind: ColumnKind::Physical,
                json: false,
            };
            vec![column("counter"), column("subtask_index")]
        })
    }
}

pub fn connectors() -> Connectors {
    let mut connectors = Connectors::default();
    connectors.register(Known {
        name: "kafka",
        required: &["topic"],
        optional: &[
            "bootstrap_servers",
            "format",
            "bad_data",
            "source.offset",
            "client_configs",
            "framing.newline.max_length",
            "auth.username",
            "json.unstructured",
            "json.timestamp_format",
        ],
        direction: None,
    });
    connectors.register(Known {
        name: "single_file",
        required: &["path"],
        optional: &["format", "wait_for_control", "bad_data"],
        direction: None,
    });
    connectors.register(Known {
        name: "redis",
        required: &["target"],
        optional: &[
            "address",
            "format",
            "target.key_prefix",
            "target.key_column",
            "target.field_column",
            "target.ttl_secs",
            "type",
        ],
        direction: Some(Direction::Sink),
    });
    connectors.register(Known {
        name: "impulse",
        required: &[],
        optional: &["event_rate", "event_time_interval", "message_count", "type"],
        direction: Some(Direction::Source),
    });
    connectors.register(Known {
        name: "stdout",
        required: &[],
        optional: &["format", "type"],
        direction: Some(Direction::Sink),
    });
    connectors
}

pub fn functions() -> Functions {
    Functions::hitters()
}

/// The files of a folder beside this one, by name, in order.
pub fn files(folder: &str) -> Vec<(String, String)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut files: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sql"))
        .map(|path| {
            (
                path.file_stem().unwrap().to_str().unwrap().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}
