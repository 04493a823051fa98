//! The paths of the service, and what is the same for all of their responses.

use crate::access::Access;
use crate::app::App;
use crate::asked::{Asked, respond, respond_kept};
use crate::guard::guard;
use crate::listing;
use crate::metrics;
use crate::problem::{Problem, documented};
use crate::question::{Parameters, Wanted};
use crate::repeat::Answered;
use crate::resolved::Resolved;
use crate::types::Pipelines;
use crate::{live, openapi, page};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hitters_results::{Filter, group};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// The longest path and query that is read.
const LONGEST: usize = 16 << 10;
/// Bytes of an answer from which on it is compressed for those who can read that.
pub const WORTH_COMPRESSING: usize = 1024;

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
        .route("/metrics", get(metrics::metrics))
        .layer(middleware::from_fn_with_state(app.clone(), guard));
    // Small answers and streams go as they are.
    let worth = SizeAbove::new(WORTH_COMPRESSING as u16).and(NotForContentType::new("text/event-stream"));
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
        .layer(middleware::from_fn_with_state(app.clone(), frame))
        .with_state(app)
}

async fn method() -> Response {
    let detail = "this path is read by GET";
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        "the method is not allowed",
        detail,
    );
    ([(header::ALLOW, "GET, HEAD")], problem.allowed(json!(["GET", "HEAD"]))).into_response()
}

async fn no_path() -> Problem {
    let detail = "there is nothing at this path; /docs lists the paths";
    let problem = Problem::new(StatusCode::NOT_FOUND, "no-path", "there is no such path", detail);
    problem.allowed(json!(openapi::paths()))
}

/// What is the same for every response: documents of problems, headers of safety, a limit on what is read, and that it is counted.
async fn frame(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let uri = request.uri();
    let question = metrics::question(uri.path());
    let path = uri.path().to_owned();
    let length = path.len() + uri.query().map_or(0, str::len);
    let response = if length > LONGEST {
        let detail = format!("the path and its query have {length} bytes; at most {LONGEST} are read");
        Problem::new(StatusCode::URI_TOO_LONG, "too-long", "the question is too long", detail).into_response()
    } else {
        next.run(request).await
    };
    framed(&app, response, &path, question, begun)
}

/// Puts that around a response.
pub fn framed(app: &App, response: Response, path: &str, question: &'static str, begun: Instant) -> Response {
    app.metrics.note(question, response.status(), begun.elapsed());
    let mut response = documented(response, path);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Reads the question, looks whether it is allowed, and resolves it.
pub async fn ask(
    app: &App,
    access: &Access,
    pipeline: &str,
    what: &str,
    parameters: &mut Parameters,
) -> Result<(Resolved, Wanted), Problem> {
    let about = parameters.about(what)?;
    let wanted = parameters.wanted(what, &about.zone)?;
    access.allows(pipeline, &about.filter)?;
    Ok((app.resolve(pipeline, about).await?, wanted))
}

/// The parameters of a question, for errors.
pub fn known(what: &str) -> Vec<&'static str> {
    let mut known = vec!["where", "set", "last", "from", "to", "tz", "format"];
    known.extend_from_slice(match what {
        "top" | "live" => &["k", "open"],
        "estimate" => &["item", "open"],
        "heavy-hitters" => &["phi", "open"],
        "series" | "trends" => &["k", "item", "step"],
        "compare" => &["k", "against"],
        _ => &[],
    });
    known
}

async fn question(mut asked: Asked) -> Result<Response, Problem> {
    let csv = asked.wants_csv()?;
    let Asked {
        app,
        access,
        pipeline,
        what,
        parameters,
        headers,
        uri,
    } = &mut asked;
    let (resolved, wanted) = ask(app, access, pipeline, what, parameters).await?;
    parameters.end(&known(what))?;
    let (kept, hit) = app.answer(&resolved, &wanted).await?;
    let freshness = app.freshness_of(&resolved);
    let response = respond_kept(headers, &resolved, (&kept, hit), &freshness, csv)?;
    // An open window is another one at each look, and CSV is made for who asks.
    if resolved.open.is_none()
        && !csv
        && response.status() == StatusCode::OK
        && let Some(newest) = app.newest_until(&resolved.edge).await
    {
        let answered = Answered {
            access,
            kept: &kept,
            freshness,
            complete_up_to: resolved.edge.complete_up_to,
            fields: response.headers(),
        };
        let until = kept.until.map_or(newest, |until| until.min(newest));
        app.repeats.keep(uri, headers, answered, until);
    }
    Ok(response)
}

async fn groups(mut asked: Asked) -> Result<Response, Problem> {
    let csv = asked.wants_csv()?;
    let Asked {
        app,
        access,
        pipeline,
        parameters,
        ..
    } = &mut asked;
    let page = groups_of(app, access, pipeline, parameters).await?;
    respond(page.to_string().into(), csv)
}

/// A page of the groups of a set.
///
/// # Errors
/// If there is no such set, or the key may not see these groups.
pub async fn groups_of(
    app: &App,
    access: &Access,
    pipeline: &str,
    parameters: &mut Parameters,
) -> Result<serde_json::Value, Problem> {
    let (limit, after) = parameters.cursor()?;
    let (_, zone) = parameters.zone()?;
    let (filter, set) = (parameters.filter()?, parameters.one("set")?);
    let top = parameters.number("top", 1, 1, 100)?;
    parameters.end(&["set", "where", "top", "limit", "cursor", "tz", "format"])?;
    access.allows(pipeline, &filter)?;
    let edge = app.edge(pipeline).await?;
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
    let body = listing::groups(&edge, &set, &found, top, &zone, next, &filter);
    let mut value = serde_json::to_value(&body).unwrap_or_default();
    value["freshness"] = serde_json::to_value(app.freshness(&edge, Some(&set), &zone)).unwrap_or_default();
    Ok(value)
}

async fn pipelines(mut asked: Asked) -> Result<Response, Problem> {
    let csv = asked.wants_csv()?;
    let page = pipelines_of(&asked.app, &asked.access, &mut asked.parameters).await?;
    respond(serde_json::to_vec(&page).unwrap_or_default().into(), csv)
}

/// A page of the pipelines that a key may see.
///
/// # Errors
/// If no store can be asked.
pub async fn pipelines_of(app: &App, access: &Access, parameters: &mut Parameters) -> Result<Pipelines, Problem> {
    let (limit, after) = parameters.cursor()?;
    let (_, zone) = parameters.zone()?;
    parameters.end(&["limit", "cursor", "tz", "format"])?;
    let mut scopes = (*app.pipelines().await?).clone();
    scopes.retain(|scope| access.sees(&scope.pipeline) && after.as_ref().is_none_or(|after| scope.pipeline > *after));
    let next = scopes.get(limit).is_some().then(|| scopes[limit - 1].pipeline.clone());
    scopes.truncate(limit);
    let mut pipelines = Vec::with_capacity(scopes.len());
    for scope in scopes {
        pipelines.push(describe(app, &scope.pipeline, &zone).await?);
    }
    Ok(Pipelines { pipelines, next })
}

async fn pipeline(mut asked: Asked) -> Result<Response, Problem> {
    let Asked {
        app,
        access,
        pipeline,
        parameters,
        ..
    } = &mut asked;
    let (_, zone) = parameters.zone()?;
    parameters.end(&["tz"])?;
    // What may be asked of it is said by the list of its dimensions, no count.
    if !access.sees(pipeline) {
        access.allows(pipeline, &Filter::default())?;
    }
    let body = describe(app, pipeline, &zone).await?;
    respond(serde_json::to_vec(&body).unwrap_or_default().into(), false)
}

async fn describe(app: &App, pipeline: &str, zone: &jiff::tz::TimeZone) -> Result<crate::types::Pipeline, Problem> {
    let edge = app.edge(pipeline).await?;
    let freshness = app.freshness(&edge, None, zone);
    Ok(listing::pipeline(
        &edge,
        &app.answers,
        freshness,
        app.has_open(pipeline),
        zone,
    ))
}

async fn me(asked: Asked) -> Result<Response, Problem> {
    asked.parameters.end(&[])?;
    let access = &asked.access;
    let body = json!({
        "name": access.name, "pipelines": access.pipelines, "where": access.groups,
        "limit_per_second": asked.app.limit_of(access),
    });
    respond(body.to_string().into(), false)
}

async fn health(State(app): State<Arc<App>>) -> Response {
    let up = app.stores_up().await;
    let away = up.iter().filter(|(_, ok)| !ok).count();
    // What is wrong stands in the log of the service; strangers learn only that it is.
    let one = |(name, ok): &(&str, bool)| json!({ "store": name, "ok": ok, "error": (!ok).then_some("away") });
    let stores: Vec<_> = up.iter().map(one).collect();
    let status = if away == 0 { "ok" } else { "degraded" };
    let code = if away > 0 && away == up.len() {
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
