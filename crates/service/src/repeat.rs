//! Answers that were just given. A dashboard asks the same every second, a page that many look at a thousand times a second: as long
//! as the newest state is taken for the newest, who asks in the same words gets the answer again after no more than a look at who asks
//! and how often.
//!
//! Bound: [`MOST`] questions of at most [`LONGEST`] bytes. Their answers are those that `App` keeps; what it forgets is gone here, too.

use crate::access::Access;
use crate::app::{App, Kept, lag_seconds};
use crate::asked::{CACHE_STATUS, HIT, has};
use crate::guard::{authorization, count};
use crate::http::WORTH_COMPRESSING;
use crate::types::Freshness;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Instant;

/// Answers that are remembered.
const MOST: usize = 1000;
/// Longer questions are read each time.
const LONGEST: usize = 1 << 10;

/// An answer that was given.
struct Given {
    question: String,
    accept: String,
    /// Who asked. That somebody shows the same secret is no proof: all are asked for it again.
    access: Arc<Access>,
    kept: Weak<Kept>,
    /// The lag is that of when it was given.
    freshness: Freshness,
    complete_up_to: i64,
    fields: HeaderMap,
    /// From then on the newest state may be another one.
    until: Instant,
}

/// What is remembered of an answer.
pub struct Answered<'a> {
    /// Who asked.
    pub access: &'a Arc<Access>,
    /// The answer.
    pub kept: &'a Arc<Kept>,
    /// How fresh it was.
    pub freshness: Freshness,
    /// Event time.
    pub complete_up_to: i64,
    /// The header fields of the response.
    pub fields: &'a HeaderMap,
}

/// What a question depends on but the state of its pipeline.
#[derive(Clone, Copy)]
struct Words<'a> {
    question: &'a str,
    accept: &'a str,
    secret: &'a str,
}

impl<'a> Words<'a> {
    /// `None`: it is read each time.
    fn new(uri: &'a Uri, headers: &'a HeaderMap) -> Option<Self> {
        let words = Self {
            question: uri.path_and_query()?.as_str(),
            accept: text(headers, &header::ACCEPT)?,
            secret: text(headers, &header::AUTHORIZATION)?,
        };
        (words.question.len() + words.accept.len() <= LONGEST).then_some(words)
    }
}

/// Answers by the words of their questions.
#[derive(Default)]
pub struct Repeats {
    given: RwLock<HashMap<u64, Arc<Given>>>,
    /// Secrets are not kept; their hashes tell them apart.
    hashes: RandomState,
}

impl Repeats {
    fn hash(&self, words: Words<'_>) -> u64 {
        self.hashes.hash_one((words.question, words.accept, words.secret))
    }

    /// Remembers the answer to a question until some time.
    pub fn keep(&self, uri: &Uri, headers: &HeaderMap, answered: Answered<'_>, until: Instant) {
        let Some(words) = Words::new(uri, headers) else { return };
        let mut fields = answered.fields.clone();
        fields.insert(CACHE_STATUS, HIT);
        let given = Given {
            question: words.question.to_owned(),
            accept: words.accept.to_owned(),
            access: answered.access.clone(),
            kept: Arc::downgrade(answered.kept),
            freshness: answered.freshness,
            complete_up_to: answered.complete_up_to,
            fields,
            until,
        };
        let hash = self.hash(words);
        let mut all = self.given.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&hash) {
            let now = Instant::now();
            all.retain(|_, given| now < given.until);
            // A thousand within a second: what is asked often is soon here again.
            if all.len() >= MOST {
                all.clear();
            }
        }
        all.insert(hash, Arc::new(given));
    }

    fn find(&self, words: Words<'_>) -> Option<Arc<Given>> {
        let all = self.given.read().unwrap_or_else(PoisonError::into_inner);
        let given = all.get(&self.hash(words))?;
        (given.question == words.question && given.accept == words.accept).then(|| given.clone())
    }
}

/// The text of a header, empty if it is not there; `None` if it is no text.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).map_or(Some(""), |value| value.to_str().ok())
}

/// The answer to a question that was answered a moment ago. `None`: it goes the long way, and nothing was counted.
pub async fn answer(app: &App, method: &Method, uri: &Uri, headers: &HeaderMap, begun: Instant) -> Option<Response> {
    if method != Method::GET {
        return None;
    }
    let given = app.repeats.find(Words::new(uri, headers)?)?;
    if begun >= given.until {
        return None;
    }
    let kept = given.kept.upgrade()?;
    // What is worth to be compressed is compressed on the long way.
    if kept.head.len() >= WORTH_COMPRESSING && text(headers, &header::ACCEPT_ENCODING)?.contains("gzip") {
        return None;
    }
    let access = app.gate.authorize(authorization(headers)).await.ok()?;
    // The key may see something else since.
    if *access != *given.access {
        return None;
    }
    let admitted = match count(app, access, uri, begun) {
        Ok(admitted) => admitted,
        Err(response) => return Some(*response),
    };
    app.metrics.hits.fetch_add(1, Relaxed);
    let mut response = Response::new(Body::empty());
    response.headers_mut().clone_from(&given.fields);
    if has(headers, &kept) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
    } else {
        let freshness = Freshness {
            lag_seconds: lag_seconds(given.complete_up_to),
            ..given.freshness.clone()
        };
        *response.body_mut() = kept.body(&freshness).into();
    }
    admitted.leave(app, uri, &mut response);
    Some(response)
}
