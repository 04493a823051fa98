//! The state of the service: stores, what was computed, who asks.
//!
//! Two caches make it fast. `edges` holds the newest state of each pipeline for a second, looked up once however many ask.
//! `kept` holds answers by their resolved question: those over closed windows until memory is wanted, others for a second;
//! concurrent equal questions are computed once.

use crate::access::{Access, Keys};
use crate::compute::{self, Computed, Resolved};
use crate::limit::Limits;
use crate::problem::Problem;
use crate::question::{About, Wanted};
use crate::times;
use crate::types::Freshness;
use bytes::Bytes;
use hitters_results::{Answers, AskError, Edge, Scope, StoreError};
use http::StatusCode;
use jiff::tz::TimeZone;
use moka::Expiry;
use moka::future::Cache;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;

/// How long the newest state is taken for the newest.
const EDGE: Duration = Duration::from_secs(1);
/// How long it is only peeked at before all of it is read again.
const FULL: Duration = Duration::from_secs(10);
/// Answers that are computed at the same time.
const COMPUTING: usize = 32;

/// All that handlers share.
pub struct App {
    /// The stores.
    pub answers: Answers,
    /// Without: everybody may ask.
    pub keys: Option<Keys>,
    /// How often.
    pub limits: Limits,
    /// Questions a second of a key that says nothing else.
    pub limit_per_second: u32,
    /// How long an answer may take.
    pub timeout: Duration,
    /// One line on standard error for each question.
    pub audit: bool,
    edges: Cache<String, Option<Arc<Edge>>>,
    /// The names of all pipelines: to find them a store may look at all of its keys.
    scopes: Cache<(), Arc<Vec<Scope>>>,
    last: Mutex<HashMap<String, (Arc<Edge>, Instant)>>,
    kept: Cache<String, Arc<Kept>>,
    computing: Semaphore,
}

/// An answer that is kept.
pub struct Kept {
    /// Its JSON object without the closing brace: the freshness comes behind it.
    pub head: Bytes,
    /// Weak: the freshness is not part of it.
    pub etag: String,
    /// It will never be another one.
    pub lasting: bool,
}

struct Lifetime;

impl Expiry<String, Arc<Kept>> for Lifetime {
    fn expire_after_create(&self, _: &String, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
        (!kept.lasting).then_some(EDGE)
    }
}

impl Kept {
    fn new(mut computed: Computed) -> Self {
        computed.json.pop();
        let digest = Sha256::digest(computed.json.as_bytes());
        let short: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            head: computed.json.into(),
            etag: format!("W/\"{short}\""),
            lasting: computed.lasting,
        }
    }
}

impl App {
    /// Over these stores; answers may take `bytes` of memory.
    pub fn new(answers: Answers, keys: Option<Keys>, bytes: u64) -> Self {
        let weigh =
            |key: &String, kept: &Arc<Kept>| u32::try_from(key.len() + kept.head.len() + 200).unwrap_or(u32::MAX);
        Self {
            answers,
            keys,
            limits: Limits::default(),
            limit_per_second: 100,
            timeout: Duration::from_secs(10),
            audit: false,
            edges: Cache::builder().max_capacity(10_000).time_to_live(EDGE).build(),
            scopes: Cache::builder().max_capacity(1).time_to_live(EDGE * 5).build(),
            last: Mutex::default(),
            kept: Cache::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .expire_after(Lifetime)
                .build(),
            computing: Semaphore::new(COMPUTING),
        }
    }

    /// The newest state of a pipeline. While stores are away: the last one, which says so.
    ///
    /// # Errors
    /// If there is no such pipeline, or nobody can say.
    pub async fn edge(&self, pipeline: &str) -> Result<Arc<Edge>, Problem> {
        let look = || async {
            let last = self.last().get(pipeline).cloned();
            if let Some((edge, read)) = &last
                && read.elapsed() < FULL
                && self.answers.is_newest(edge).await.unwrap_or(false)
            {
                return Ok::<_, AskError>(Some(edge.clone()));
            }
            match self.answers.edge(pipeline).await {
                Ok(None) => Ok(None),
                Ok(Some(edge)) => {
                    // With a store away, what it said last is still true: windows are only added.
                    let edge = Arc::new(match &last {
                        Some((old, _)) if old.complete_up_to > edge.complete_up_to && !edge.missing.is_empty() => {
                            Edge {
                                missing: edge.missing,
                                ..(**old).clone()
                            }
                        }
                        _ => edge,
                    });
                    self.last().insert(pipeline.to_owned(), (edge.clone(), Instant::now()));
                    Ok(Some(edge))
                }
                Err(AskError::Store(StoreError::Away { store, reason })) => match last {
                    Some((old, _)) => {
                        let mut edge = (*old).clone();
                        if !edge.missing.contains(&store) {
                            edge.missing.push(store);
                        }
                        Ok(Some(Arc::new(edge)))
                    }
                    None => Err(AskError::Store(StoreError::Away { store, reason })),
                },
                Err(error) => Err(error),
            }
        };
        let found = self.edges.try_get_with(pipeline.to_owned(), look()).await;
        match found {
            Ok(Some(edge)) => Ok(edge),
            Ok(None) => Err(self.no_pipeline(pipeline).await),
            Err(error) => Err(Problem::from((*error).clone())),
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Arc<Edge>, Instant)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pipelines that the stores know, by name. A new one may be missing for some seconds.
    ///
    /// # Errors
    /// If no store can be asked.
    pub async fn pipelines(&self) -> Result<Arc<Vec<Scope>>, Problem> {
        let look = async { Ok::<_, AskError>(Arc::new(self.answers.pipelines().await?.0)) };
        let found = self.scopes.try_get_with((), look).await;
        found.map_err(|error| Problem::from((*error).clone()))
    }

    async fn no_pipeline(&self, pipeline: &str) -> Problem {
        // A key must not find out what others may see.
        let names: Vec<String> = match (&self.keys, self.pipelines().await) {
            (None, Ok(scopes)) => scopes.iter().map(|scope| scope.pipeline.clone()).collect(),
            _ => Vec::new(),
        };
        let detail = format!("no store knows a pipeline '{pipeline}'; /v1/pipelines lists those that they know");
        Problem::new(
            StatusCode::NOT_FOUND,
            "no-pipeline",
            "there is no such pipeline",
            detail,
        )
        .allowed(json!(names))
    }

    /// Resolves a question.
    ///
    /// # Errors
    /// If it cannot be answered.
    pub async fn resolve(&self, pipeline: &str, about: About) -> Result<Resolved, Problem> {
        compute::resolve(self.edge(pipeline).await?, about)
    }

    /// The answer, and whether it was kept.
    ///
    /// # Errors
    /// If it cannot be had, or not in time.
    pub async fn answer(&self, resolved: &Resolved, wanted: &Wanted) -> Result<(Arc<Kept>, bool), Problem> {
        let key = resolved.key(wanted);
        if let Some(kept) = self.kept.get(&key).await {
            return Ok((kept, true));
        }
        let computed = AtomicBool::new(false);
        let work = async {
            computed.store(true, Relaxed);
            let busy = || {
                let detail = "too many questions are being computed; ask again";
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too-busy",
                    "the service is busy",
                    detail,
                )
                .retry(1)
            };
            let answer = async {
                let _permit = self.computing.acquire().await.map_err(|_| busy())?;
                compute::compute(&self.answers, resolved, wanted).await
            };
            let late = |_| {
                let detail = format!(
                    "the answer took more than {} s; ask for a shorter range",
                    self.timeout.as_secs()
                );
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "timeout",
                    "the answer took too long",
                    detail,
                )
                .retry(1)
            };
            let answer = tokio::time::timeout(self.timeout, answer).await.map_err(late)??;
            Ok(Arc::new(Kept::new(answer)))
        };
        let kept = self.kept.try_get_with(key, work).await;
        let kept = kept.map_err(|problem: Arc<Problem>| (*problem).clone())?;
        Ok((kept, !computed.load(Relaxed)))
    }

    /// How fresh a set is.
    pub fn freshness(&self, edge: &Edge, set: Option<&str>, zone: &TimeZone) -> Freshness {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let lag = i64::try_from(now)
            .unwrap_or(i64::MAX)
            .saturating_sub(edge.complete_up_to);
        let end = set.and_then(|set| edge.window(set)).map(|(_, end)| end);
        Freshness {
            complete_up_to: times::show(edge.complete_up_to, zone),
            lag_seconds: lag as f64 / 1000.0,
            stale: end.is_some_and(|end| end < edge.complete_up_to),
        }
    }

    /// The JSON of a kept answer with the freshness of now.
    pub fn body(&self, kept: &Kept, resolved: &Resolved) -> Bytes {
        let freshness = self.freshness(&resolved.edge, Some(&resolved.set), &resolved.question.zone);
        let tail = serde_json::to_string(&freshness).unwrap_or_else(|_| "null".into());
        let mut body = Vec::with_capacity(kept.head.len() + tail.len() + 16);
        body.extend_from_slice(&kept.head);
        body.extend_from_slice(b",\"freshness\":");
        body.extend_from_slice(tail.as_bytes());
        body.push(b'}');
        body.into()
    }

    /// Who shows this `Authorization`.
    ///
    /// # Errors
    /// 401 if it is nobody.
    pub fn access(&self, authorization: Option<&str>) -> Result<Access, Problem> {
        let Some(keys) = &self.keys else {
            return Ok(Access::all());
        };
        let none = || {
            let detail = "send Authorization: Bearer and a key of `hitters keys add`";
            Problem::new(StatusCode::UNAUTHORIZED, "no-key", "a key is needed", detail)
        };
        let authorization = authorization.ok_or_else(none)?;
        let (scheme, token) = authorization.split_once(' ').ok_or_else(none)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(none());
        }
        keys.check(token)
    }
}
