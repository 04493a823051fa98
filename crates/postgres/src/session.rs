//! One connection: who it is, and what it may see.

use crate::calls::Calls;
use crate::faults::Refused;
use hitters_results::{Edge, Filter, group};
use hitters_service::{Access, Problem, Questions};
use http::StatusCode;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// Pipelines whose dimensions are looked up when any of them may be meant.
const MOST_PIPELINES: usize = 200;

/// What a connection knows of itself.
pub struct Session {
    /// The service.
    pub questions: Questions,
    /// The key or token, once the connection is let in; `None` where nobody has to show one.
    password: OnceLock<Option<String>>,
    /// Its place among the connections.
    place: Mutex<Option<OwnedSemaphorePermit>>,
    known: RwLock<Known>,
    /// The longest a statement may take, in ms.
    timeout: AtomicU64,
    begun: Instant,
    /// When its client took a row, or said something, in ms from then on.
    moved: AtomicU64,
}

/// What was looked up before the statement was planned: planning cannot wait.
struct Known {
    names: Result<Vec<String>, Problem>,
    edges: HashMap<String, Result<Arc<Edge>, Problem>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// A connection that is not let in yet.
    pub fn new(questions: Questions) -> Self {
        let longest = questions.timeout();
        Self {
            questions,
            password: OnceLock::new(),
            place: Mutex::new(None),
            known: RwLock::new(Known {
                names: Ok(Vec::new()),
                edges: HashMap::new(),
            }),
            timeout: AtomicU64::new(millis(longest)),
            begun: Instant::now(),
            moved: AtomicU64::new(0),
        }
    }

    /// Lets the connection in.
    ///
    /// # Errors
    /// If the password is no key.
    pub async fn admit(&self, password: Option<&str>, place: OwnedSemaphorePermit) -> Result<(), Problem> {
        self.questions.admit(password.unwrap_or_default()).await?;
        // A second password on one connection changes nothing.
        let _ = self.password.set(password.map(str::to_owned));
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        Ok(())
    }

    /// Whether it was let in.
    pub fn admitted(&self) -> bool {
        self.password.get().is_some()
    }

    /// What it may see. Asked for each statement: a key that was revoked ends its connections.
    ///
    /// # Errors
    /// If nothing any more.
    pub async fn access(&self) -> Result<Access, Refused> {
        match self.password.get() {
            Some(password) => Ok(self.questions.admit(password.as_deref().unwrap_or_default()).await?),
            None => {
                let detail = "the connection was not let in; give an API key as the password";
                Err(Problem::new(StatusCode::UNAUTHORIZED, "no-key", "a key is needed", detail).into())
            }
        }
    }

    /// Looks up what the plan of a statement depends on.
    ///
    /// # Errors
    /// If the connection may see nothing any more.
    pub async fn look(&self, calls: &Calls) -> Result<(), Refused> {
        let access = self.access().await?;
        let visible = |name: &String| access.sees(name);
        let names = self.questions.pipelines().await.map(|scopes| {
            let names = scopes.iter().map(|scope| scope.pipeline.clone());
            names.filter(visible).collect::<Vec<_>>()
        });
        let mut wanted: Vec<String> = calls.pipelines.iter().cloned().collect();
        if calls.any {
            let all = names.as_ref().map(Vec::as_slice).unwrap_or_default();
            wanted.extend(all.iter().take(MOST_PIPELINES).cloned());
        }
        let mut edges = HashMap::new();
        for name in wanted {
            let edge = match access.sees(&name) {
                true => self.questions.edge(&name).await,
                // In the same words whether it is there or not.
                false => Err(access
                    .allows(&name, &Filter::default())
                    .err()
                    .unwrap_or_else(|| self.nothing(&name))),
            };
            edges.insert(name, edge);
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Known { names, edges };
        Ok(())
    }

    fn nothing(&self, name: &str) -> Problem {
        let detail = format!("no store knows a pipeline '{name}'; SELECT * FROM pipelines lists those that they know");
        Problem::new(
            StatusCode::NOT_FOUND,
            "no-pipeline",
            "there is no such pipeline",
            detail,
        )
    }

    /// The pipelines that it may see, by name.
    ///
    /// # Errors
    /// If no store can be asked.
    pub fn names(&self) -> Result<Vec<String>, Problem> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.names.clone()
    }

    /// The dimensions of a pipeline that was looked up; without a name those of all that were.
    ///
    /// # Errors
    /// If there is no such pipeline, or the stores are away.
    pub fn dimensions(&self, pipeline: Option<&str>) -> Result<Vec<String>, Problem> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match pipeline {
            Some(name) => match known.edges.get(name) {
                Some(edge) => Ok(dimensions(edge.as_ref().map_err(Clone::clone)?)),
                None => Err(self.nothing(name)),
            },
            None => {
                let mut all: Vec<String> = Vec::new();
                let mut names: Vec<&String> = known.edges.keys().collect();
                names.sort();
                for edge in names.into_iter().filter_map(|name| known.edges[name].as_ref().ok()) {
                    for dimension in dimensions(edge) {
                        if !all.contains(&dimension) {
                            all.push(dimension);
                        }
                    }
                }
                Ok(all)
            }
        }
    }

    /// Its client took a row, or said something.
    pub fn moves(&self) {
        self.moved.store(millis(self.begun.elapsed()), Relaxed);
    }

    /// How long it has not.
    pub fn still(&self) -> Duration {
        let moved = Duration::from_millis(self.moved.load(Relaxed));
        self.begun.elapsed().saturating_sub(moved)
    }

    /// The longest a statement may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout.load(Relaxed))
    }

    /// Shortens it; 0 stands for the longest that the service allows.
    pub fn set_timeout(&self, wanted: u64) {
        let most = millis(self.questions.timeout());
        let chosen = if wanted == 0 { most } else { wanted.min(most) };
        self.timeout.store(chosen, Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The dimensions of all sets of a pipeline, each once, in the order of the sets.
pub fn dimensions(edge: &Edge) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for set in edge.sets() {
        for dimension in group::dimensions(set) {
            if !all.iter().any(|known| known == dimension) {
                all.push(dimension.to_owned());
            }
        }
    }
    all
}
