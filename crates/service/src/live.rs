//! Live updates: server-sent events, one whenever a window closes.
//!
//! Each listener looks once a second; the look is shared by all of them (the cache of `App`), so that a thousand listeners cost
//! one question. A key that is revoked ends its streams.

use crate::access::Access;
use crate::app::App;
use crate::http::{Pairs, ask, known};
use crate::problem::Problem;
use crate::question::Parameters;
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use http::{HeaderMap, Uri, header};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

const LOOK: Duration = Duration::from_secs(1);

struct Listener {
    app: Arc<App>,
    pipeline: String,
    pairs: Pairs,
    authorization: Option<String>,
    /// The end of the window that was sent last.
    sent: Option<i64>,
    first: bool,
}

impl Listener {
    async fn look(&self, access: &Access) -> Result<Option<(i64, String)>, Problem> {
        let mut parameters = Parameters::new(self.pairs.clone());
        let (resolved, wanted) = ask(&self.app, access, &self.pipeline, "top", &mut parameters).await?;
        let end = resolved.edge.complete_up_to;
        if self.sent.is_some_and(|sent| sent >= end) {
            return Ok(None);
        }
        let (kept, _) = self.app.answer(&resolved, &wanted).await?;
        let body = self.app.body(&kept, &resolved);
        Ok(Some((end, String::from_utf8_lossy(&body).into_owned())))
    }

    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            if !std::mem::take(&mut self.first) {
                tokio::time::sleep(LOOK).await;
            }
            // Also a key that was good when the stream began.
            let access = self.app.access(self.authorization.as_deref()).ok()?;
            match self.look(&access).await {
                Ok(None) => {}
                Ok(Some((end, data))) => {
                    self.sent = Some(end);
                    return Some((Event::default().event("top").id(end.to_string()).data(data), self));
                }
                Err(problem) => {
                    let data = problem
                        .to_value(&format!("/v1/pipelines/{}/live", self.pipeline))
                        .to_string();
                    return Some((Event::default().event("problem").data(data), self));
                }
            }
        }
    }
}

/// `GET /v1/pipelines/P/live`.
pub async fn live(
    State(app): State<Arc<App>>,
    Path(pipeline): Path<String>,
    Query(pairs): Query<Pairs>,
    uri: Uri,
    headers: HeaderMap,
    axum::Extension(access): axum::Extension<Arc<Access>>,
) -> Response {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
            .map(str::to_owned)
    };
    let authorization = text(header::AUTHORIZATION);
    // The first answer is asked for here, so that what is wrong is a status and not an event.
    let first = async {
        let mut parameters = Parameters::new(pairs.clone());
        let (resolved, wanted) = ask(&app, &access, &pipeline, "top", &mut parameters).await?;
        parameters.end(&known("live"))?;
        app.answer(&resolved, &wanted).await
    };
    if let Err(problem) = first.await {
        return problem.respond(uri.path());
    }
    let listener = Listener {
        app,
        pipeline,
        pairs,
        authorization,
        sent: text(http::HeaderName::from_static("last-event-id")).and_then(|id| id.parse().ok()),
        first: true,
    };
    let events = stream::unfold(listener, Listener::next);
    Sse::new(wrapped(events))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

fn wrapped(events: impl Stream<Item = Event>) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::StreamExt::map(events, Ok)
}
