//! Live updates: server-sent events, one whenever a window closes, and where it is wanted one a second for the window that is
//! still open.
//!
//! Each listener looks once a second; the look is shared by all of them (the cache of `App`), so that a thousand listeners cost
//! one question. What a listener is sent is made when its connection takes it: who is slow gets the newest state later, and
//! nothing waits in memory for it. A key that is revoked or a token that expires ends its streams, and so does the end of the service.
//! A stream that nobody reads ends, and each ends after an hour: its client comes back, or has left a seat that it held for nothing.

use crate::access::Access;
use crate::app::App;
use crate::asked::{Asked, Pairs};
use crate::http::{ask, known};
use crate::listeners::{Full, Seat};
use crate::problem::Problem;
use crate::question::{Parameters, When};
use axum::extract::Query;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream;
use http::{HeaderName, StatusCode, header};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const LOOK: Duration = Duration::from_secs(1);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

struct Listener {
    app: Arc<App>,
    pipeline: String,
    /// The question about closed windows.
    closed: Pairs,
    /// The question about the open one.
    open: Option<Pairs>,
    authorization: Option<String>,
    /// The end of the window that was sent last.
    sent: Option<i64>,
    /// What was sent last of the open one.
    sent_open: String,
    first: bool,
    /// When the stream ends, whether its client reads it or not.
    until: Instant,
    /// Of one look.
    ready: VecDeque<Event>,
    _seat: Seat,
}

impl Listener {
    /// The closed window, if it is another one than last time.
    async fn look(&mut self, access: &Access) -> Result<(), Problem> {
        let mut parameters = Parameters::new(self.closed.clone());
        let (resolved, wanted) = ask(&self.app, access, &self.pipeline, "live", &mut parameters).await?;
        let end = resolved.edge.complete_up_to;
        if self.sent.is_some_and(|sent| sent >= end) {
            return Ok(());
        }
        let (kept, _) = self.app.answer(&resolved, &wanted).await?;
        let body = kept.body(&self.app.freshness_of(&resolved));
        self.sent = Some(end);
        let event = Event::default().event("top").id(end.to_string());
        self.ready.push_back(event.data(String::from_utf8_lossy(&body)));
        Ok(())
    }

    /// The open one, if more was counted.
    async fn look_open(&mut self, access: &Access) -> Result<(), Problem> {
        let Some(pairs) = self.open.clone() else { return Ok(()) };
        let mut parameters = Parameters::new(pairs);
        let (resolved, wanted) = ask(&self.app, access, &self.pipeline, "live", &mut parameters).await?;
        let (kept, _) = self.app.answer(&resolved, &wanted).await?;
        if kept.etag != self.sent_open {
            self.sent_open.clone_from(&kept.etag);
            let body = kept.body(&self.app.freshness_of(&resolved));
            let event = Event::default().event("open");
            self.ready.push_back(event.data(String::from_utf8_lossy(&body)));
        }
        Ok(())
    }

    async fn next(mut self) -> Option<(Event, Self)> {
        let mut ending = self.app.ending();
        loop {
            if *ending.borrow() {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            if Instant::now() >= self.until {
                return None;
            }
            if !std::mem::take(&mut self.first) {
                tokio::select! {
                    () = tokio::time::sleep_until(self.until.min(Instant::now() + LOOK)) => {}
                    _ = ending.changed() => return None,
                }
            }
            // Also a key that was good when the stream began.
            let access = self.app.gate.authorize(self.authorization.as_deref()).await.ok()?;
            for looked in [self.look(&access).await, self.look_open(&access).await] {
                let Err(problem) = looked else { continue };
                // That no window has closed yet, or none is open, is no news to who waits for both.
                if self.open.is_some() && problem.status == StatusCode::NOT_FOUND {
                    continue;
                }
                let data = problem.to_value(&format!("/v1/pipelines/{}/live", self.pipeline));
                self.ready
                    .push_back(Event::default().event("problem").data(data.to_string()));
            }
        }
    }
}

/// `GET /v1/pipelines/P/live`.
pub async fn live(mut asked: Asked, Query(pairs): Query<Pairs>) -> Result<Response, Problem> {
    asked.wants_csv()?;
    let Asked {
        app,
        access,
        pipeline,
        parameters,
        ..
    } = &mut asked;
    let about = parameters.about("live")?;
    parameters.wanted("live", &about.zone)?;
    parameters.end(&known("live"))?;
    let open = about.when == When::Open;
    let closed: Pairs = pairs.iter().filter(|(name, _)| name != "open").cloned().collect();
    // The first answer is asked for here, so that what is wrong is a status and not an event.
    match ask(app, access, pipeline, "live", &mut Parameters::new(closed.clone())).await {
        Ok((resolved, wanted)) => drop(app.answer(&resolved, &wanted).await?),
        // Before the first window has closed there may be one that is open.
        Err(problem) if open && problem.status == StatusCode::NOT_FOUND => {
            ask(app, access, pipeline, "live", &mut Parameters::new(pairs.clone())).await?;
        }
        Err(problem) => return Err(problem),
    }
    let seat = app.listeners.take(&access.name).map_err(full)?;
    let until = Instant::now() + app.stream;
    let listener = Listener {
        authorization: asked.header(header::AUTHORIZATION).map(str::to_owned),
        until,
        sent: asked.header(LAST_EVENT_ID).and_then(|id| id.parse().ok()),
        app: asked.app,
        pipeline: asked.pipeline,
        closed,
        open: open.then_some(pairs),
        sent_open: String::new(),
        first: true,
        ready: VecDeque::new(),
        _seat: seat,
    };
    let events = stream::unfold(listener, Listener::next).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response();
    // Proxies that collect answers would hold events up.
    response
        .headers_mut()
        .insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    Ok(response)
}

fn full(full: Full) -> Problem {
    let title = "too many listen";
    match full {
        Full::Key(most) => {
            let detail = format!("the key has {most} streams of live updates open, which is the most; close one");
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-listeners", title, detail).retry(10)
        }
        Full::All(most) => {
            let detail = format!("{most} streams of live updates are open, which is the most; ask again later");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-listeners", title, detail).retry(10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Gate;
    use hitters_results::{Answers, EmbeddedStore, Row};
    use hitters_sketch::{ItemKind, Measure, TopK};

    fn row(minute: i64) -> Row {
        let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 8).unwrap();
        sketch.update(b"a", 1);
        Row {
            pipeline: "shop".into(),
            version: 1,
            set: "*".into(),
            group: "*".into(),
            start: minute * 60_000,
            end: (minute + 1) * 60_000,
            answer: Some(sketch.answer(1).unwrap().into()),
            sketch: Some(sketch.to_bytes()),
        }
    }

    #[tokio::test]
    async fn a_slow_listener_gets_the_newest_window_and_nothing_waits_for_it() {
        let store = EmbeddedStore::in_memory().unwrap();
        store.write_now(&[row(0)]).unwrap();
        let answers = Answers::new(vec![Arc::new(store.clone())]);
        let app = Arc::new(App::new(answers, Gate::default(), 1 << 20));
        let listener = Listener {
            pipeline: "shop".into(),
            closed: vec![("k".into(), "1".into())],
            open: None,
            authorization: None,
            sent: None,
            sent_open: String::new(),
            first: true,
            until: Instant::now() + app.stream,
            ready: VecDeque::new(),
            _seat: app.listeners.take("x").unwrap(),
            app,
        };
        let (_, listener) = listener.next().await.unwrap();
        assert_eq!((listener.sent, listener.ready.len()), (Some(60_000), 0));
        // Its connection takes nothing for a while, and windows close.
        (1..100).for_each(|minute| store.write_now(&[row(minute)]).unwrap());
        tokio::time::sleep(LOOK).await;
        assert!(listener.ready.is_empty());
        let (_, listener) = listener.next().await.unwrap();
        assert_eq!((listener.sent, listener.ready.len()), (Some(100 * 60_000), 0));
    }
}
