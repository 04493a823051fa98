//! A request as handlers see it: who asks, of which pipeline, with which parameters, in which format.
//!
//! Everything that can be wrong with it before a question is understood is a problem here, so that handlers are the questions
//! alone.

use crate::access::Access;
use crate::app::{App, Kept};
use crate::csv_rows;
use crate::problem::Problem;
use crate::question::{Parameters, When};
use crate::resolved::Resolved;
use crate::types::Freshness;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde_json::json;
use std::sync::Arc;

/// Pairs of a query string.
pub type Pairs = Vec<(String, String)>;

/// Whether an answer was kept (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// It was.
pub const HIT: HeaderValue = HeaderValue::from_static("hitters; hit");
/// What an answer depends on beside its path.
const VARY: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding, Authorization");
const MISS: HeaderValue = HeaderValue::from_static("hitters; fwd=miss");

/// A request of somebody who may ask.
pub struct Asked {
    /// What handlers share.
    pub app: Arc<App>,
    /// Who asks.
    pub access: Arc<Access>,
    /// The pipeline that the path names; empty where it names none.
    pub pipeline: String,
    /// The last part of the path: `top`.
    pub what: String,
    /// The parameters, to be taken out one by one.
    pub parameters: Parameters,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its path and query.
    pub uri: Uri,
}

impl FromRequestParts<Arc<App>> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Pairs>::from_request_parts(parts, app)
            .await
            .map_err(|error| Problem::parameter("query", error.to_string(), json!("name=value&name=value")))?;
        let pipeline = match RawPathParams::from_request_parts(parts, app).await {
            Ok(path) => path
                .iter()
                .find(|(name, _)| *name == "pipeline")
                .map(|(_, value)| value.to_owned())
                .unwrap_or_default(),
            Err(RawPathParamsRejection::InvalidUtf8InPathParam(error)) => {
                return Err(Problem::parameter("pipeline", error.to_string(), json!("UTF-8")));
            }
            Err(_) => String::new(),
        };
        Ok(Self {
            app: app.clone(),
            // The guard has put it there; without it nobody may see anything.
            access: parts.extensions.get::<Arc<Access>>().cloned().ok_or_else(|| {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Problem::new(
                    status,
                    "internal",
                    "nobody looked who asks",
                    "this path is not guarded; please report it",
                )
            })?,
            pipeline,
            what: parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned(),
            parameters: Parameters::new(pairs),
            headers: parts.headers.clone(),
            uri: parts.uri.clone(),
        })
    }
}

impl Asked {
    /// The text of a header.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// JSON or CSV?
    pub fn wants_csv(&mut self) -> Result<bool, Problem> {
        match self.parameters.one("format")?.as_deref() {
            Some("csv") => return Ok(true),
            Some("json") => return Ok(false),
            Some(other) => {
                let detail = format!("format = {other} is not to be had");
                return Err(Problem::parameter("format", detail, json!(["json", "csv"])));
            }
            None => {}
        }
        let accept = self.header(header::ACCEPT).unwrap_or("*/*");
        // The first kind that we have; qualities are rarely sent by those who want one of two.
        for kind in accept
            .split(',')
            .map(|kind| kind.split(';').next().unwrap_or_default().trim())
        {
            match kind {
                "text/csv" => return Ok(true),
                ""
                | "*/*"
                | "application/*"
                | "application/json"
                | "text/html"
                | "text/event-stream"
                | "application/problem+json" => return Ok(false),
                _ => {}
            }
        }
        let detail = format!("'{accept}' is not to be had");
        let problem = Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "format",
            "the format is not to be had",
            detail,
        );
        Err(problem.allowed(json!(["application/json", "text/csv"])))
    }
}

/// True if the reader has this answer already.
pub fn has(headers: &HeaderMap, kept: &Kept) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == kept.etag || tag.trim() == "*"))
}

/// A kept answer, or 304 if the reader has it.
pub fn respond_kept(
    headers: &HeaderMap,
    resolved: &Resolved,
    (kept, hit): (&Kept, bool),
    freshness: &Freshness,
    csv: bool,
) -> Result<Response, Problem> {
    let mut response = if has(headers, kept) {
        (StatusCode::NOT_MODIFIED, [(header::VARY, VARY)]).into_response()
    } else {
        respond(kept.body(freshness), csv)?
    };
    let age = if kept.until.is_none() && matches!(resolved.question.when, When::Range(_, Some(_))) {
        "private, max-age=3600"
    } else {
        "private, max-age=1"
    };
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(age));
    fields.insert(CACHE_STATUS, if hit { HIT } else { MISS });
    if let Ok(etag) = HeaderValue::from_str(&kept.etag) {
        fields.insert(header::ETAG, etag);
    }
    Ok(response)
}

/// JSON, or what CSV has of it.
pub fn respond(json: Bytes, csv: bool) -> Result<Response, Problem> {
    let mut response = if csv {
        let text = csv_rows::csv(std::str::from_utf8(&json).unwrap_or_default())?;
        ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], json).into_response()
    };
    response.headers_mut().insert(header::VARY, VARY);
    Ok(response)
}
