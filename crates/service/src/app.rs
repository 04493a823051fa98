//! The state of the service: stores, what was computed, who asks.
//!
//! Two caches make it fast. `edges` holds the newest state of each pipeline for a second, looked up once however many ask.
//! `kept` holds answers by their resolved question: those over closed windows until memory is wanted, others for a second and
//! until they are computed again, two seconds at most; concurrent equal questions are computed once.

use crate::access::Access;
use crate::compute::{self, Computed};
use crate::gate::Gate;
use crate::limit::{Left, Limits};
use crate::listeners::Listeners;
use crate::metrics::{Measured, Metrics};
use crate::open::{self, Engine, Opened};
use crate::problem::Problem;
use crate::question::{About, Wanted, When};
use crate::repeat::Repeats;
use crate::resolved::{self, Resolved};
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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, watch};

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
    /// Who may ask.
    pub gate: Gate,
    /// How often.
    pub limits: Limits,
    /// Questions a second of a key that says nothing else.
    pub limit_per_second: u32,
    /// How long an answer may take.
    pub timeout: Duration,
    /// One line on standard error for each question.
    pub audit: bool,
    /// Who listens to live updates.
    pub listeners: Arc<Listeners>,
    /// How long a stream of them lasts at most.
    pub stream: Duration,
    /// How long a client may take nothing of what it is sent.
    pub unread: Duration,
    /// What it counts.
    pub metrics: Metrics,
    /// What computes answers in this process.
    pub engine: Option<Arc<dyn Engine>>,
    /// What is measured beside it.
    pub measured: Option<Arc<dyn Measured>>,
    /// The windows that are still open, for a second.
    opened: Cache<(), Option<Arc<Opened>>>,
    /// True when the service ends: streams end by themselves then.
    ending: watch::Sender<bool>,
    looks: AtomicU64,
    /// With when they were looked up.
    edges: Cache<String, Option<(Arc<Edge>, Instant)>>,
    /// The names of all pipelines: to find them a store may look at all of its keys.
    scopes: Cache<(), Arc<Vec<Scope>>>,
    last: Mutex<HashMap<String, (Arc<Edge>, Instant)>>,
    kept: Cache<String, Arc<Kept>>,
    /// Answers that were just given.
    pub repeats: Repeats,
    computing: Semaphore,
}

/// An answer that is kept.
pub struct Kept {
    /// Its JSON object without the closing brace: the freshness comes behind it.
    pub head: Bytes,
    /// Weak: the freshness is not part of it.
    pub etag: String,
    /// When it has to be computed again; `None`: it will never be another one.
    pub until: Option<Instant>,
    /// Somebody does so.
    renewed: AtomicBool,
}

struct Lifetime;

impl Expiry<String, Arc<Kept>> for Lifetime {
    fn expire_after_create(&self, _: &String, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
        // The second half is for those who ask while it is computed again.
        kept.until.map(|_| EDGE * 2)
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
            until: (!computed.lasting).then(|| Instant::now() + EDGE),
            renewed: AtomicBool::new(false),
        }
    }

    /// True for the first who asks after its time, and for nobody after that one.
    fn claims_renewal(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until) && !self.renewed.swap(true, Relaxed)
    }

    /// Its JSON with this freshness.
    pub fn body(&self, freshness: &Freshness) -> Bytes {
        let tail = serde_json::to_string(freshness).unwrap_or_else(|_| "null".into());
        let mut body = Vec::with_capacity(self.head.len() + tail.len() + 16);
        body.extend_from_slice(&self.head);
        body.extend_from_slice(b",\"freshness\":");
        body.extend_from_slice(tail.as_bytes());
        body.push(b'}');
        body.into()
    }
}

impl App {
    /// Over these stores; answers may take `bytes` of memory.
    pub fn new(answers: Answers, gate: Gate, bytes: u64) -> Self {
        let weigh =
            |key: &String, kept: &Arc<Kept>| u32::try_from(key.len() + kept.head.len() + 200).unwrap_or(u32::MAX);
        Self {
            answers,
            gate,
            limits: Limits::default(),
            limit_per_second: 100,
            timeout: Duration::from_secs(10),
            audit: false,
            listeners: Arc::new(Listeners::new(1000, 100)),
            stream: Duration::from_secs(3600),
            unread: Duration::from_secs(60),
            metrics: Metrics::default(),
            engine: None,
            measured: None,
            opened: Cache::builder().max_capacity(1).time_to_live(EDGE).build(),
            ending: watch::Sender::new(false),
            looks: AtomicU64::new(0),
            edges: Cache::builder().max_capacity(10_000).time_to_live(EDGE).build(),
            scopes: Cache::builder().max_capacity(1).time_to_live(EDGE * 5).build(),
            last: Mutex::default(),
            kept: Cache::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .expire_after(Lifetime)
                .build(),
            repeats: Repeats::default(),
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
        let looked = async { Ok::<_, AskError>(look().await?.map(|edge| (edge, Instant::now()))) };
        let found = self.edges.try_get_with(pipeline.to_owned(), looked).await;
        match found {
            Ok(Some((edge, _))) => Ok(edge),
            Ok(None) => Err(self.no_pipeline(pipeline).await),
            Err(error) => Err(Problem::from((*error).clone())),
        }
    }

    /// Until when this state is taken for the newest of its pipeline; `None` if it is not.
    pub async fn newest_until(&self, edge: &Arc<Edge>) -> Option<Instant> {
        let (newest, looked) = self.edges.get(&edge.scope.pipeline).await??;
        Arc::ptr_eq(&newest, edge).then(|| looked + EDGE)
    }

    fn last(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Arc<Edge>, Instant)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Questions a second that may be asked; 0 is no limit.
    pub fn limit_of(&self, access: &Access) -> u32 {
        access.limit_per_second.unwrap_or(self.limit_per_second)
    }

    /// Counts one question: the limit, and what is left or how long to wait. `None` where there is no limit.
    pub fn count(&self, access: &Access, at: Instant) -> Option<(u32, Result<Left, Duration>)> {
        let limit = self.limit_of(access);
        (limit > 0).then(|| (limit, self.limits.take(&access.name, limit, at)))
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
        let names: Vec<String> = match (self.gate.is_open(), self.pipelines().await) {
            (true, Ok(scopes)) => scopes.iter().map(|scope| scope.pipeline.clone()).collect(),
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
        if about.when != When::Open {
            return resolved::resolve(self.edge(pipeline).await?, about);
        }
        let opened = self.opened().await.and_then(|opened| opened.of(pipeline));
        match (opened, self.edge(pipeline).await) {
            (Some(opened), Ok(edge)) => resolved::resolve_open(edge, about, Arc::new(opened)),
            (None, Ok(_)) => Err(open::none(self.engine.is_some())),
            // Before the first window has closed nobody has published anything.
            (Some(opened), Err(problem)) => match opened.edge().filter(|_| problem.status == StatusCode::NOT_FOUND) {
                Some(edge) => resolved::resolve_open(Arc::new(edge), about, Arc::new(opened)),
                None => Err(problem),
            },
            (None, Err(problem)) => Err(problem),
        }
    }

    /// The rows of the open windows, not older than a second.
    async fn opened(&self) -> Option<Arc<Opened>> {
        let engine = self.engine.clone()?;
        let look = async {
            let rows = tokio::task::spawn_blocking(move || engine.open()).await.ok().flatten();
            rows.map(|rows| Arc::new(Opened::new(rows, self.looks.fetch_add(1, Relaxed))))
        };
        self.opened.get_with((), look).await
    }

    /// Whether the open window of a pipeline can be asked for.
    pub fn has_open(&self, pipeline: &str) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.runs(pipeline))
    }

    /// The stores, and whether they can be asked.
    pub async fn stores_up(&self) -> Vec<(&'static str, bool)> {
        let mut stores = Vec::new();
        for store in self.answers.stores() {
            // A name that no pipeline has, and for which no store looks at all of its keys.
            let asked = tokio::time::timeout(Duration::from_secs(2), store.active("*")).await;
            stores.push((store.name(), matches!(asked, Ok(Ok(_)))));
        }
        stores
    }

    /// Ends streams.
    pub fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Turns true when streams have to end.
    pub fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// Bytes of answers that are kept.
    pub fn kept_bytes(&self) -> u64 {
        self.kept.weighted_size()
    }

    /// The answer, and whether it was kept. One that is due is computed again by one of those who ask for it; the others need not
    /// wait for that.
    ///
    /// # Errors
    /// If it cannot be had, or not in time.
    pub async fn answer(&self, resolved: &Resolved, wanted: &Wanted) -> Result<(Arc<Kept>, bool), Problem> {
        let key = &resolved.key(wanted);
        let computed = AtomicBool::new(false);
        let work = async {
            computed.store(true, Relaxed);
            self.compute(resolved, wanted).await
        };
        let kept = match self.kept.get(key).await {
            Some(old) if old.claims_renewal() => {
                let kept = work.await?;
                self.kept.insert(key.clone(), kept.clone()).await;
                kept
            }
            Some(kept) => kept,
            None => {
                let kept = self.kept.try_get_with_by_ref(key, work).await;
                kept.map_err(|problem: Arc<Problem>| (*problem).clone())?
            }
        };
        let hit = !computed.load(Relaxed);
        let counter = if hit { &self.metrics.hits } else { &self.metrics.misses };
        counter.fetch_add(1, Relaxed);
        Ok((kept, hit))
    }

    async fn compute(&self, resolved: &Resolved, wanted: &Wanted) -> Result<Arc<Kept>, Problem> {
        let unavailable = |kind, title, detail| {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, detail);
            problem.retry(1)
        };
        let answer = async {
            let permit = self.computing.acquire().await;
            let _permit = permit.map_err(|_| {
                let detail = "too many questions are being computed; ask again".to_owned();
                unavailable("too-busy", "the service is busy", detail)
            })?;
            compute::compute(&self.answers, resolved, wanted).await
        };
        let answer = tokio::time::timeout(self.timeout, answer).await.map_err(|_| {
            let seconds = self.timeout.as_secs();
            let detail = format!("the answer took more than {seconds} s; ask for a shorter range");
            unavailable("timeout", "the answer took too long", detail)
        })??;
        Ok(Arc::new(Kept::new(answer)))
    }

    /// How fresh a set is.
    pub fn freshness(&self, edge: &Edge, set: Option<&str>, zone: &TimeZone) -> Freshness {
        let end = set.and_then(|set| edge.window(set)).map(|(_, end)| end);
        Freshness {
            complete_up_to: times::show(edge.complete_up_to, zone),
            lag_seconds: lag_seconds(edge.complete_up_to),
            stale: end.is_some_and(|end| end < edge.complete_up_to),
        }
    }

    /// How fresh the set is that answers a question.
    pub fn freshness_of(&self, resolved: &Resolved) -> Freshness {
        self.freshness(&resolved.edge, Some(&resolved.set), &resolved.question.zone)
    }
}

/// From this event time until now.
pub fn lag_seconds(complete_up_to: i64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    now.saturating_sub(complete_up_to) as f64 / 1000.0
}
