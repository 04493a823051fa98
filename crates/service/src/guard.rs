//! Lets through who may ask, as often as they may, and writes down what was asked.

use crate::access::Access;
use crate::app::App;
use crate::keys::now;
use crate::limit::{Left, too_many};
use crate::times;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Somebody who may ask now.
pub struct Admitted {
    /// What they may see.
    pub access: Arc<Access>,
    counted: Option<(u32, Left)>,
    begun: Instant,
}

/// What stands in the header in which one says who one is.
pub fn authorization(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    Some(value.to_str().unwrap_or_default())
}

/// Looks who asks, and how often.
///
/// # Errors
/// The response that says why it is not answered.
async fn admit(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Admitted, Response> {
    let begun = Instant::now();
    match app.gate.authorize(authorization(headers)).await {
        Ok(access) => count(app, access, uri, begun).map_err(|response| *response),
        Err(problem) => {
            audit(app, "-", uri, problem.status, begun);
            Err(problem.into_response())
        }
    }
}

/// Counts a question of somebody who may ask.
///
/// # Errors
/// The response that says that it is one too many.
pub fn count(app: &App, access: Arc<Access>, uri: &Uri, begun: Instant) -> Result<Admitted, Box<Response>> {
    let counted = match app.count(&access, begun) {
        Some((limit, Err(wait))) => {
            let problem = too_many(limit, wait);
            audit(app, &access.name, uri, problem.status, begun);
            let mut response = problem.into_response();
            let none = Left {
                remaining: 0,
                reset: wait,
            };
            limits(response.headers_mut(), limit, none);
            return Err(Box::new(response));
        }
        Some((limit, Ok(left))) => Some((limit, left)),
        None => None,
    };
    Ok(Admitted { access, counted, begun })
}

impl Admitted {
    /// Says in the response how often more may be asked, and writes down what was.
    pub fn leave(&self, app: &App, uri: &Uri, response: &mut Response) {
        if let Some((limit, left)) = self.counted {
            limits(response.headers_mut(), limit, left);
        }
        audit(app, &self.access.name, uri, response.status(), self.begun);
    }
}

/// Stands before every path that tells something.
pub async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let admitted = match admit(&app, request.uri(), request.headers()).await {
        Ok(admitted) => admitted,
        Err(response) => return response,
    };
    let uri = request.uri().clone();
    request.extensions_mut().insert(admitted.access.clone());
    let mut response = next.run(request).await;
    admitted.leave(&app, &uri, &mut response);
    response
}

/// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
fn limits(headers: &mut HeaderMap, limit: u32, left: Left) {
    let policy = format!("\"key\";q={limit};w=1");
    let reset = left.reset.as_millis().div_ceil(1000);
    let left = format!("\"key\";r={};t={reset}", left.remaining);
    for (name, text) in [("ratelimit-policy", policy), ("ratelimit", left)] {
        // The header takes the text over, without a copy.
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// Writes a line of the log, if one is wanted.
pub fn audit(app: &App, name: &str, question: impl std::fmt::Display, status: StatusCode, begun: Instant) {
    if app.audit {
        let line = format!(
            "{}\n",
            line(now(), name, &question.to_string(), status, begun.elapsed())
        );
        // Standard error has gone away: there is nobody to tell.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }
}

/// One line for each question: when, who, what, how it went. Never the key.
fn line(at: u64, name: &str, question: &str, status: StatusCode, took: Duration) -> Value {
    let at = i64::try_from(at).unwrap_or(0).saturating_mul(1000);
    json!({
        "time": times::show(at, &jiff::tz::TimeZone::UTC), "key": name, "question": question, "status": status.as_u16(),
        "ms": took.as_secs_f64() * 1000.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_stays_one_line() {
        let told = line(
            1_769_860_800,
            "jwt:a\n\"b\"",
            "/v1/pipelines/x/top?where=a%0A",
            StatusCode::OK,
            Duration::from_micros(1500),
        );
        let text = told.to_string();
        assert_eq!(text.lines().count(), 1);
        assert_eq!(
            (&told["time"], &told["key"], &told["ms"]),
            (&"2026-01-31T12:00:00Z".into(), &"jwt:a\n\"b\"".into(), &1.5.into())
        );
    }
}
