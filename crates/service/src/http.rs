//! Requests and responses: paths, who may ask, how often, formats, caching headers.

use crate::access::Access;
use crate::app::{App, Kept};
use crate::compute::{self, Resolved};
use crate::problem::Problem;
use crate::question::{Parameters, Wanted};
use crate::types::Pipelines;
use crate::{csv_rows, live, openapi, page, times};
use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use hitters_results::{Filter, group};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// Pairs of a query string.
pub type Pairs = Vec<(String, String)>;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// The longest path and query that is read.
const LONGEST: usize = 16 << 10;

/// The paths of the service.
pub fn router(app: Arc<App>) -> Router {
    let questions = Router::new()
        .route("/v1/pipelines", get(pipelines))
        .route("/v1/pipelines/{pipeline}", get(pipeline))
        .route("/v1/pipelines/{pipeline}/top", get(question))
        .route("/v1/pipelines/{pipeline}/estimate", get(question))
        .route("/v1/pipelines/{pipeline}/heavy-hitters", get(question))
        .route("/v1/pipelines/{pipeline}/series", get(question))
        .route("/v1/pipelines/{pipeline}/compare", get(question))
        .route("/v1/pipelines/{pipeline}/trends", get(question))
        .route("/v1/pipelines/{pipeline}/groups", get(groups))
        .route("/v1/pipelines/{pipeline}/live", get(live::live))
        .route("/v1/me", get(me))
        .layer(middleware::from_fn_with_state(app.clone(), guard));
    // Small answers and streams go as they are.
    let worth = SizeAbove::new(1024).and(NotForContentType::new("text/event-stream"));
    let open = Router::new()
        .route("/v1/health", get(health))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::docs))
        .merge(page::router());
    questions
        .merge(open)
        .method_not_allowed_fallback(method)
        .fallback(no_path)
        .layer(CompressionLayer::new().gzip(true).compress_when(worth))
        .layer(middleware::from_fn(frame))
        .with_state(app)
}

async fn method(uri: Uri) -> Response {
    let detail = "this path is read by GET";
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        "the method is not allowed",
        detail,
    );
    let mut response = problem.allowed(json!(["GET", "HEAD"])).respond(uri.path());
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

async fn no_path(uri: Uri) -> Response {
    let detail = "there is nothing at this path; /docs lists the paths";
    let problem = Problem::new(StatusCode::NOT_FOUND, "no-path", "there is no such path", detail);
    problem.allowed(json!(openapi::paths())).respond(uri.path())
}

/// What is the same for every response: headers of safety, and a limit on what is read.
async fn frame(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let length = uri.path().len() + uri.query().map_or(0, str::len);
    let mut response = if length > LONGEST {
        let detail = format!("the path and its query have {length} bytes; at most {LONGEST} are read");
        Problem::new(StatusCode::URI_TOO_LONG, "too-long", "the question is too long", detail).respond(uri.path())
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Lets through who may ask, as often as they may.
async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let path = request.uri().path().to_owned();
    let authorization = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().unwrap_or_default());
    let access = match app.access(authorization) {
        Ok(access) => access,
        Err(problem) => {
            audit(&app, "-", request.uri(), problem.status, begun);
            return problem.respond(&path);
        }
    };
    let limit = access.limit_per_second.unwrap_or(app.limit_per_second);
    let name = access.name.clone();
    // 0 is no limit.
    let left = if limit == 0 {
        None
    } else {
        Some(app.limits.take(&name, limit, begun))
    };
    if let Some(Err(wait)) = left {
        let seconds = wait.as_secs() + 1;
        let detail = format!("the key may ask {limit} questions a second; ask again in {seconds} s");
        let problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate-limit",
            "too many questions",
            detail,
        )
        .retry(seconds);
        audit(&app, &name, request.uri(), problem.status, begun);
        let mut response = problem.respond(&path);
        limits(response.headers_mut(), limit, 0, wait);
        return response;
    }
    let uri = request.uri().clone();
    request.extensions_mut().insert(Arc::new(access));
    let mut response = next.run(request).await;
    if let Some(Ok(left)) = left {
        limits(response.headers_mut(), limit, left.remaining, left.reset);
    }
    audit(&app, &name, &uri, response.status(), begun);
    response
}

/// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
fn limits(headers: &mut HeaderMap, limit: u32, remaining: u32, reset: Duration) {
    let policy = format!("\"key\";q={limit};w=1");
    let left = format!("\"key\";r={remaining};t={}", reset.as_millis().div_ceil(1000));
    for (name, text) in [("ratelimit-policy", policy), ("ratelimit", left)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// One line for each question: when, who, what, how it went. Never the key.
fn audit(app: &App, name: &str, uri: &Uri, status: StatusCode, begun: Instant) {
    if app.audit {
        let at = crate::access::now();
        let line = json!({
            "time": times::show(i64::try_from(at).unwrap_or(0).saturating_mul(1000), &jiff::tz::TimeZone::UTC),
            "key": name, "question": uri.to_string(), "status": status.as_u16(), "ms": begun.elapsed().as_secs_f64() * 1000.0,
        });
        // Standard error has gone away: there is nobody to tell.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
    }
}

/// JSON or CSV?
fn wants_csv(parameters: &mut Parameters, headers: &HeaderMap) -> Result<bool, Problem> {
    match parameters.one("format")?.as_deref() {
        Some("csv") => return Ok(true),
        Some("json") => return Ok(false),
        Some(other) => {
            let detail = format!("format = {other} is not to be had");
            return Err(Problem::parameter("format", detail, json!(["json", "csv"])));
        }
        None => {}
    }
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or("*/*");
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

fn respond(json: Bytes, csv: bool) -> Result<Response, Problem> {
    let mut response = if csv {
        let text = csv_rows::csv(std::str::from_utf8(&json).unwrap_or_default())?;
        ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], json).into_response()
    };
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("Accept, Authorization"));
    Ok(response)
}

/// A kept answer, or 304 if the reader has it.
fn respond_kept(
    app: &App,
    kept: &Kept,
    resolved: &Resolved,
    hit: bool,
    csv: bool,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let same = known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == kept.etag || tag.trim() == "*"));
    let mut response = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        respond(app.body(kept, resolved), csv)?
    };
    let age = if kept.lasting && matches!(resolved.question.when, crate::question::When::Range(_, Some(_))) {
        "private, max-age=3600"
    } else {
        "private, max-age=1"
    };
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(age));
    fields.insert(
        CACHE_STATUS,
        HeaderValue::from_static(if hit { "hitters; hit" } else { "hitters; fwd=miss" }),
    );
    if let Ok(etag) = HeaderValue::from_str(&kept.etag) {
        fields.insert(header::ETAG, etag);
    }
    Ok(response)
}

/// Reads the question, looks whether it is allowed, and resolves it.
pub async fn ask(
    app: &App,
    access: &Access,
    pipeline: &str,
    what: &str,
    parameters: &mut Parameters,
) -> Result<(Resolved, Wanted), Problem> {
    let about = parameters.about()?;
    let wanted = parameters.wanted(what, &about.zone)?;
    access.allows(pipeline, &about.filter)?;
    Ok((app.resolve(pipeline, about).await?, wanted))
}

/// The parameters of a question, for errors.
pub fn known(what: &str) -> Vec<&'static str> {
    let mut known = vec!["where", "set", "last", "from", "to", "tz", "format"];
    known.extend_from_slice(match what {
        "top" | "live" => &["k"],
        "estimate" => &["item"],
        "heavy-hitters" => &["phi"],
        "series" | "trends" => &["k", "item", "step"],
        "compare" => &["k", "against"],
        _ => &[],
    });
    known
}

async fn question(
    State(app): State<Arc<App>>,
    Path(pipeline): Path<String>,
    Query(pairs): Query<Pairs>,
    uri: Uri,
    headers: HeaderMap,
    axum::Extension(access): axum::Extension<Arc<Access>>,
) -> Response {
    let what = uri.path().rsplit('/').next().unwrap_or_default();
    let answer = async {
        let mut parameters = Parameters::new(pairs);
        let csv = wants_csv(&mut parameters, &headers)?;
        let (resolved, wanted) = ask(&app, &access, &pipeline, what, &mut parameters).await?;
        parameters.end(&known(what))?;
        let (kept, hit) = app.answer(&resolved, &wanted).await?;
        respond_kept(&app, &kept, &resolved, hit, csv, &headers)
    };
    answer
        .await
        .unwrap_or_else(|problem: Problem| problem.respond(uri.path()))
}

/// A page of something sorted by name: those behind the cursor.
fn cursor(parameters: &mut Parameters) -> Result<(usize, Option<String>), Problem> {
    let limit = parameters.number("limit", 100, 1, 1000)?;
    let cursor = parameters.one("cursor")?;
    Ok((usize::try_from(limit).unwrap_or(100), cursor))
}

async fn groups(
    State(app): State<Arc<App>>,
    Path(pipeline): Path<String>,
    Query(pairs): Query<Pairs>,
    uri: Uri,
    headers: HeaderMap,
    axum::Extension(access): axum::Extension<Arc<Access>>,
) -> Response {
    let answer = async {
        let mut parameters = Parameters::new(pairs);
        let csv = wants_csv(&mut parameters, &headers)?;
        let (_, zone) = parameters.zone()?;
        let (filter, set) = (parameters.filter()?, parameters.one("set")?);
        let top = parameters.number("top", 1, 1, 100)?;
        let (limit, after) = cursor(&mut parameters)?;
        parameters.end(&["set", "where", "top", "limit", "cursor", "tz", "format"])?;
        access.allows(&pipeline, &filter)?;
        let edge = app.edge(&pipeline).await?;
        let set = match set {
            Some(set) => set,
            // Without a wish: the finest set, since drilling down is what groups are for.
            None => {
                let fitting = edge.sets().into_iter().filter(|set| filter.fits(set));
                fitting
                    .max_by_key(|set| group::dimensions(set).len())
                    .unwrap_or_default()
                    .to_owned()
            }
        };
        if !edge.sets().contains(&set.as_str()) || !filter.fits(&set) {
            let detail = format!(
                "no set '{set}' with these dimensions; the sets are {}",
                edge.sets().join("; ")
            );
            let problem = Problem::new(StatusCode::NOT_FOUND, "no-set", "there is no such set", detail);
            return Err(problem.allowed(json!(edge.sets())));
        }
        let mut found = edge.groups(&set, &filter);
        if let Some(after) = &after {
            found.retain(|newest| newest.row.group > *after);
        }
        let next = found.get(limit).is_some().then(|| found[limit - 1].row.group.clone());
        found.truncate(limit);
        let body = compute::groups(&edge, &set, &found, top, &zone, next, &filter);
        let value = serde_json::to_value(&body).unwrap_or_default();
        let freshness = app.freshness(&edge, Some(&set), &zone);
        respond(with_freshness(value, &freshness), csv)
    };
    answer
        .await
        .unwrap_or_else(|problem: Problem| problem.respond(uri.path()))
}

fn with_freshness(mut value: serde_json::Value, freshness: &crate::types::Freshness) -> Bytes {
    value["freshness"] = serde_json::to_value(freshness).unwrap_or_default();
    value.to_string().into()
}

async fn pipelines(
    State(app): State<Arc<App>>,
    Query(pairs): Query<Pairs>,
    uri: Uri,
    headers: HeaderMap,
    axum::Extension(access): axum::Extension<Arc<Access>>,
) -> Response {
    let answer = async {
        let mut parameters = Parameters::new(pairs);
        let csv = wants_csv(&mut parameters, &headers)?;
        let (_, zone) = parameters.zone()?;
        let (limit, after) = cursor(&mut parameters)?;
        parameters.end(&["limit", "cursor", "tz", "format"])?;
        let mut scopes = (*app.pipelines().await?).clone();
        scopes
            .retain(|scope| access.sees(&scope.pipeline) && after.as_ref().is_none_or(|after| scope.pipeline > *after));
        let next = scopes.get(limit).is_some().then(|| scopes[limit - 1].pipeline.clone());
        scopes.truncate(limit);
        let mut pipelines = Vec::with_capacity(scopes.len());
        for scope in scopes {
            let edge = app.edge(&scope.pipeline).await?;
            pipelines.push(compute::pipeline(
                &edge,
                &app.answers,
                app.freshness(&edge, None, &zone),
                &zone,
            ));
        }
        let body = serde_json::to_vec(&Pipelines { pipelines, next }).unwrap_or_default();
        respond(body.into(), csv)
    };
    answer
        .await
        .unwrap_or_else(|problem: Problem| problem.respond(uri.path()))
}

async fn pipeline(
    State(app): State<Arc<App>>,
    Path(pipeline): Path<String>,
    Query(pairs): Query<Pairs>,
    uri: Uri,
    axum::Extension(access): axum::Extension<Arc<Access>>,
) -> Response {
    let answer = async {
        let mut parameters = Parameters::new(pairs);
        let (_, zone) = parameters.zone()?;
        parameters.end(&["tz"])?;
        // What may be asked of it is said by the list of its dimensions, no count.
        if !access.sees(&pipeline) {
            access.allows(&pipeline, &Filter::default())?;
        }
        let edge = app.edge(&pipeline).await?;
        let body = compute::pipeline(&edge, &app.answers, app.freshness(&edge, None, &zone), &zone);
        respond(serde_json::to_vec(&body).unwrap_or_default().into(), false)
    };
    answer
        .await
        .unwrap_or_else(|problem: Problem| problem.respond(uri.path()))
}

async fn me(axum::Extension(access): axum::Extension<Arc<Access>>, State(app): State<Arc<App>>) -> Response {
    let body = json!({
        "name": access.name, "pipelines": access.pipelines, "where": access.groups,
        "limit_per_second": access.limit_per_second.unwrap_or(app.limit_per_second),
    });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn health(State(app): State<Arc<App>>) -> Response {
    let mut stores = Vec::new();
    let mut away = 0;
    for store in app.answers.stores() {
        let asked = tokio::time::timeout(Duration::from_secs(2), store.active("")).await;
        // What is wrong stands in the log of the service; strangers learn only that it is.
        let ok = matches!(asked, Ok(Ok(_)));
        away += usize::from(!ok);
        stores.push(json!({ "store": store.name(), "ok": ok, "error": (!ok).then_some("away") }));
    }
    let status = if away == 0 { "ok" } else { "degraded" };
    let code = if away > 0 && away == app.answers.stores().len() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let body = json!({ "status": status, "stores": stores }).to_string();
    (
        code,
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        body,
    )
        .into_response()
}
