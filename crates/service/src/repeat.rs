//! Questions that come again. A dashboard asks the same every second, a page that many look at a thousand times a second: what a
//! question means is read and resolved once for each newest state. Who asks, and how often, is looked at each time, before.
//!
//! Bound: [`MOST`] questions of at most [`LONGEST`] bytes, and one state for each of their pipelines.

use crate::access::Access;
use crate::question::Wanted;
use crate::resolved::Resolved;
use crate::types::Freshness;
use http::header;
use http::request::Parts;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Questions that are remembered.
const MOST: usize = 1000;
/// Longer ones are read each time.
const LONGEST: usize = 1 << 10;

/// A question as it was read.
pub struct Read {
    /// Who asked.
    pub access: Arc<Access>,
    /// What it means.
    pub resolved: Resolved,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// Whether CSV is wanted.
    pub csv: bool,
    /// The name under which its answer is kept.
    pub key: String,
    /// How fresh its state is; the lag is that of when it was read.
    pub freshness: Freshness,
}

/// Questions by their text.
#[derive(Default)]
pub struct Repeats(RwLock<HashMap<String, Arc<Read>>>);

impl Repeats {
    /// The text of a question: all that its reading depends on but the state. `None`: it is read each time.
    pub fn text(access: &Access, parts: &Parts) -> Option<String> {
        let question = parts.uri.path_and_query()?.as_str();
        let accept = match parts.headers.get(header::ACCEPT) {
            Some(accept) => accept.to_str().ok()?,
            None => "",
        };
        let all = [access.name.as_str(), accept, question];
        let short = all.iter().map(|part| part.len()).sum::<usize>() <= LONGEST;
        // No header has a line break in it.
        short.then(|| all.join("\n"))
    }

    /// The question, if this was read for the same scope. The caller looks whether the state is still the same.
    pub fn find(&self, text: &str, access: &Access) -> Option<Arc<Read>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(text).filter(|read| *read.access == *access).cloned()
    }

    /// Remembers a question; those of an older state of its pipeline are forgotten, and with them that state.
    pub fn keep(&self, text: String, read: Arc<Read>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let edge = &read.resolved.edge;
        all.retain(|_, old| {
            let old = &old.resolved.edge;
            Arc::ptr_eq(old, edge) || old.scope.pipeline != edge.scope.pipeline
        });
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(text, read);
    }
}
