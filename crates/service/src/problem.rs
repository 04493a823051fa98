//! Errors as RFC 9457 problem documents: a stable type, what is wrong, and what is allowed.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

/// A problem document.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The last part of `type`, stable: `k-too-large`.
    pub kind: &'static str,
    /// What kind of problem it is, the same for all of this type.
    pub title: &'static str,
    /// What is wrong here, and what is allowed.
    pub detail: String,
    /// `parameter`, `allowed`.
    pub more: Map<String, Value>,
    /// Seconds after which it is worth another try.
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A problem without further members.
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            title,
            detail: detail.into(),
            more: Map::new(),
            retry_after: None,
        }
    }

    /// A parameter whose value is wrong.
    pub fn parameter(name: &str, detail: impl Into<String>, allowed: Value) -> Self {
        let title = "a parameter has a wrong value";
        Self::new(StatusCode::BAD_REQUEST, "bad-parameter", title, detail).of(name, allowed)
    }

    /// Names the parameter and what it may be.
    #[must_use]
    pub fn of(mut self, parameter: &str, allowed: Value) -> Self {
        self.more.insert("parameter".into(), parameter.into());
        self.more.insert("allowed".into(), allowed);
        self
    }

    /// Lists what is there.
    #[must_use]
    pub fn allowed(mut self, allowed: impl Into<Value>) -> Self {
        self.more.insert("allowed".into(), allowed.into());
        self
    }

    /// Worth another try after so many seconds.
    #[must_use]
    pub fn retry(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The document; `instance` is the path that was asked for.
    pub fn to_value(&self, instance: &str) -> Value {
        let mut value = json!({
            "type": format!("/problems/{}", self.kind), "title": self.title, "status": self.status.as_u16(),
            "detail": self.detail, "instance": instance,
        });
        for (name, more) in &self.more {
            value[name] = more.clone();
        }
        value
    }

    /// The response to a request for this path.
    fn respond(&self, instance: &str) -> Response {
        let mut response = (self.status, self.to_value(instance).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }

    /// What a client should know about access (RFC 6750).
    fn challenge(&self) -> Option<&'static str> {
        match (self.status, self.kind) {
            (StatusCode::UNAUTHORIZED, "no-key") => Some("Bearer realm=\"hitters\""),
            (StatusCode::UNAUTHORIZED, _) => Some("Bearer realm=\"hitters\", error=\"invalid_token\""),
            (StatusCode::FORBIDDEN, _) => Some("Bearer realm=\"hitters\", error=\"insufficient_scope\""),
            _ => None,
        }
    }
}

/// Puts the document of a problem into a response that has one.
pub fn documented(mut response: Response, instance: &str) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let mut document = problem.respond(instance);
    document.headers_mut().extend(std::mem::take(response.headers_mut()));
    document
}

/// Without the path that was asked for, which the router adds.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<hitters_results::AskError> for Problem {
    fn from(error: hitters_results::AskError) -> Self {
        use hitters_results::{AskError, StoreError};
        let detail = error.to_string();
        match error {
            AskError::Store(StoreError::Away { .. }) => {
                let title = "the stores that know the answer are away";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "stores-away", title, detail).retry(1)
            }
            AskError::NoSketches => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "no-sketches",
                "ranges need sketches, and the pipeline writes none",
                detail,
            ),
            AskError::TooMany { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "range-too-large",
                "the range is too large",
                detail,
            ),
            AskError::Store(
                StoreError::Row { .. }
                | StoreError::Fenced { .. }
                | StoreError::Refused { .. }
                | StoreError::Lost { .. },
            )
            | AskError::Sketch(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "stored-data",
                "what is stored cannot be read",
                detail,
            ),
        }
    }
}
