//! What the service answers, for whoever speaks another protocol than REST: by the same code, with the same keys, limits and log.

use crate::access::Access;
use crate::app::App;
use crate::asked::Pairs;
use crate::guard::audit;
use crate::http::{self, ask, known};
use crate::limit::too_many;
use crate::problem::Problem;
use crate::question::Parameters;
use ::http::StatusCode;
use hitters_results::{Edge, Scope};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A handle of a service. Cheap to clone.
#[derive(Clone)]
pub struct Questions {
    app: Arc<App>,
}

impl std::fmt::Debug for Questions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Questions")
    }
}

impl Questions {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    /// How long an answer may take.
    pub fn timeout(&self) -> Duration {
        self.app.timeout
    }

    /// How long a client may take nothing of what it is sent.
    pub fn unread(&self) -> Duration {
        self.app.unread
    }

    /// True if everybody may ask.
    pub fn is_open(&self) -> bool {
        self.app.gate.is_open()
    }

    /// What the owner of a key or token may see.
    ///
    /// # Errors
    /// 401 if it is nobody's, 403 if a token says nothing about this service, 503 if nobody can say.
    pub async fn admit(&self, token: &str) -> Result<Access, Problem> {
        self.app.gate.admit(token).await
    }

    /// The pipelines that any store knows, whoever may see them.
    ///
    /// # Errors
    /// If no store can be asked.
    pub async fn pipelines(&self) -> Result<Arc<Vec<Scope>>, Problem> {
        self.app.pipelines().await
    }

    /// The newest state of a pipeline, whoever may see it.
    ///
    /// # Errors
    /// If there is no such pipeline, or nobody can say.
    pub async fn edge(&self, pipeline: &str) -> Result<Arc<Edge>, Problem> {
        self.app.edge(pipeline).await
    }

    /// The answer to `GET /v1/pipelines/<pipeline>/<what>`, and the set that it is from. Counts as one question; `text` is what the log
    /// says of it.
    ///
    /// # Errors
    /// What REST says.
    pub async fn answer(
        &self,
        access: &Access,
        pipeline: &str,
        what: &str,
        pairs: Pairs,
        text: String,
    ) -> Result<(Value, String), Problem> {
        let app = &self.app;
        let answer = async {
            let mut parameters = Parameters::new(pairs);
            let (resolved, wanted) = ask(app, access, pipeline, what, &mut parameters).await?;
            parameters.end(&known(what))?;
            let (kept, _) = app.answer(&resolved, &wanted).await?;
            let value = serde_json::from_slice(&kept.body(&app.freshness_of(&resolved))).unwrap_or(Value::Null);
            Ok((value, resolved.set))
        };
        self.counted(access, text, answer).await
    }

    /// A page of `GET /v1/pipelines/<pipeline>/groups`.
    ///
    /// # Errors
    /// What REST says.
    pub async fn groups(&self, access: &Access, pipeline: &str, pairs: Pairs, text: String) -> Result<Value, Problem> {
        let mut parameters = Parameters::new(pairs);
        let page = http::groups_of(&self.app, access, pipeline, &mut parameters);
        self.counted(access, text, page).await
    }

    /// A page of `GET /v1/pipelines`.
    ///
    /// # Errors
    /// What REST says.
    pub async fn list(&self, access: &Access, pairs: Pairs, text: String) -> Result<Value, Problem> {
        let mut parameters = Parameters::new(pairs);
        let page = http::pipelines_of(&self.app, access, &mut parameters);
        let page = self.counted(access, text, page).await?;
        Ok(serde_json::to_value(page).unwrap_or_default())
    }

    /// Counts, answers and logs one question.
    async fn counted<T>(
        &self,
        access: &Access,
        text: String,
        answer: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let begun = Instant::now();
        let answered = match self.app.count(access, begun) {
            Some((limit, Err(wait))) => Err(too_many(limit, wait)),
            _ => answer.await,
        };
        let status = answered
            .as_ref()
            .map_or_else(|problem| problem.status, |_| StatusCode::OK);
        audit(&self.app, &access.name, text, status, begun);
        answered
    }
}
