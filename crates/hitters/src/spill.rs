//! Where state goes that outgrows memory: whether it may, to which folder, and how the memory limit is divided then.

use crate::cli::Run;
use crate::failure::Failure;
use crate::show;
use hitters_dataflow::spill::{Shares, Spill};
use hitters_pipeline::{Backend, Pipeline};
use hitters_planner::plan::{NodeKind, Plan};
use hitters_storage::{Location, spill};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The memory limit of state that can spill, if none is given.
const LIMIT: usize = 1 << 30;
/// RocksDB is given this part of the limit, within these bytes.
const PART: usize = 8;
const LEAST: usize = 4 << 20;
const MOST: usize = 256 << 20;
/// Divides so many bytes instead of the memory limit, so that little state spills as much would. For tests (CONTRIBUTING.md).
const TEST: &str = "HITTERS_SPILL_SHARE";

/// The backend that the command line or the pipeline file asks for.
pub fn backend(arguments: &Run, pipeline: &Pipeline) -> Backend {
    let in_file = pipeline.settings.state.as_ref().map(|state| state.backend);
    arguments.state_backend.or(in_file).unwrap_or(Backend::Memory)
}

/// Opens RocksDB, if state may spill. `limit` is the memory limit, and is set if it is not.
pub fn open(
    arguments: &Run,
    pipeline: &Pipeline,
    plan: &Plan,
    limit: &mut Option<usize>,
) -> Result<Option<Arc<Spill>>, Failure> {
    if backend(arguments, pipeline) == Backend::Memory {
        return match &arguments.state_path {
            Some(_) => Err(Failure::Usage(
                "--state-path names a folder for state that outgrows memory, and the backend is memory: add --state-backend \
                 rocksdb"
                    .into(),
            )),
            None => Ok(None),
        };
    }
    let limit = *limit.get_or_insert(LIMIT);
    let memory = (limit / PART).clamp(LEAST, MOST);
    let store = spill::open(&folder(arguments, pipeline), memory).map_err(|error| Failure::Run(error.message))?;
    let windows = plan
        .nodes
        .iter()
        .filter(|node| matches!(node.kind, NodeKind::Window(_)));
    let shared = std::env::var(TEST).ok().and_then(|bytes| bytes.parse().ok());
    let shares = match shared {
        Some(bytes) => Shares::of(bytes, 0, windows.count()),
        None => Shares::of(limit, memory, windows.count()),
    };
    Ok(Some(Spill::new(store, shares)))
}

/// For `hitters explain`: what a pipeline file says of state in use; `None` for state in memory without a limit.
pub fn describe(pipeline: &Pipeline) -> Option<String> {
    let settings = &pipeline.settings;
    let limit = settings.memory_limit.and_then(|limit| usize::try_from(limit).ok());
    let size = |bytes: usize| show::size(bytes as u64);
    if settings
        .state
        .as_ref()
        .is_none_or(|state| state.backend == Backend::Memory)
    {
        return limit.map(|limit| format!("\nstate in memory: over {} the run ends with an error\n", size(limit)));
    }
    let limit = limit.unwrap_or(LIMIT);
    let memory = (limit / PART).clamp(LEAST, MOST);
    let shares = Shares::of(limit, memory, 1);
    Some(format!(
        "\nstate in memory up to {}: open panes {}, closed panes {}, RocksDB {}, the rest for what is in motion; beyond that in \
         RocksDB\n  a closed pane of a hop takes about one and a half times its bytes a group on disk: itself, and what is merged \
         from it\n",
        size(limit),
        size(shares.open),
        size(shares.closed),
        size(memory),
    ))
}

/// The folder that is named; or one in that of the checkpoints, if they are on this machine; or one in the user's cache.
fn folder(arguments: &Run, pipeline: &Pipeline) -> PathBuf {
    let settings = &pipeline.settings;
    if let Some(path) = &arguments.state_path {
        return path.clone();
    }
    if let Some(path) = settings.state.as_ref().and_then(|state| state.path.as_ref()) {
        return PathBuf::from(path);
    }
    let storage = settings.checkpoint.as_ref().map(|checkpoint| &checkpoint.storage);
    match arguments.state.as_ref().or(storage).map(|place| Location::parse(place)) {
        Some(Ok(Location::Local(folder))) => folder.join("spill"),
        _ => cache()
            .join("spill")
            .join(format!("{}-v{}", pipeline.name, pipeline.version)),
    }
}

fn cache() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    cache.unwrap_or_else(std::env::temp_dir).join("hitters")
}
