//! Questions that come again. A dashboard asks the same every second, a page that many look at a thousand times a second: what a
//! question means is read and resolved once for each newest state. If its answer is kept, too, it needs no more than a look at
//! who asks and how often.
//!
//! Bound: [`MOST`] questions of at most [`LONGEST`] bytes, and one state for each of their pipelines.

use crate::access::Access;
use crate::app::App;
use crate::asked::respond_kept;
use crate::guard::admit;
use crate::question::Wanted;
use crate::resolved::Resolved;
use crate::types::Freshness;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, Method, Uri, header};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::Ordering::Relaxed;
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
pub struct Repeats {
    read: RwLock<HashMap<String, Arc<Read>>>,
    /// Secrets are told apart by their hashes.
    secrets: RandomState,
}

impl Repeats {
    /// The text of a question: all that its reading depends on but the state. `None`: it is read each time.
    pub fn text(&self, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        let question = uri.path_and_query()?.as_str();
        let accept = text(headers, &header::ACCEPT)?;
        let secret = self.secrets.hash_one(text(headers, &header::AUTHORIZATION)?);
        // No header has a line break in it.
        (question.len() + accept.len() <= LONGEST).then(|| format!("{secret:x}\n{accept}\n{question}"))
    }

    /// Remembers a question; those of an older state of its pipeline are forgotten, and with them that state.
    pub fn keep(&self, text: String, read: Read) {
        let mut all = self.read.write().unwrap_or_else(PoisonError::into_inner);
        let edge = &read.resolved.edge;
        all.retain(|_, old| {
            let old = &old.resolved.edge;
            Arc::ptr_eq(old, edge) || old.scope.pipeline != edge.scope.pipeline
        });
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(text, Arc::new(read));
    }

    fn find(&self, text: &str) -> Option<Arc<Read>> {
        let all = self.read.read().unwrap_or_else(PoisonError::into_inner);
        all.get(text).cloned()
    }
}

/// The text of a header, empty if it is not there; `None` if it is no text.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).map_or(Some(""), |value| value.to_str().ok())
}

/// The answer to a question that was read for the newest state and whose answer is kept. `None`: it goes the long way.
pub async fn answer(app: &App, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
    if method != Method::GET {
        return None;
    }
    let read = app.repeats.find(&app.repeats.text(uri, headers)?)?;
    let edge = app.edge(&read.resolved.edge.scope.pipeline).await.ok()?;
    if !Arc::ptr_eq(&edge, &read.resolved.edge) {
        return None;
    }
    // What is worth to be compressed is compressed on the long way.
    let kept = app.kept(&read.key).await?;
    if kept.head.len() >= crate::http::WORTH_COMPRESSING && text(headers, &header::ACCEPT_ENCODING)?.contains("gzip") {
        return None;
    }
    let admitted = match admit(app, uri, headers).await {
        Ok(admitted) => admitted,
        Err(response) => return Some(response),
    };
    if *admitted.access != *read.access {
        return None;
    }
    app.metrics.hits.fetch_add(1, Relaxed);
    let response = respond_kept(app, headers, &read, &kept, true);
    let mut response = response.unwrap_or_else(IntoResponse::into_response);
    admitted.leave(app, uri, &mut response);
    Some(response)
}
