//! What the service counts about itself, and the page `/metrics` for Prometheus.
//!
//! Labels are names of ours, of stores and of pipelines; never groups, items or keys. Bound: one series for each question and
//! status, one for each pipeline that the key may see, up to [`PIPELINES`].

use crate::asked::Asked;
use crate::exposition::{Exposition, Kind};
use crate::problem::Problem;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the times that answers took, in seconds.
const BOUNDS: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];
/// Pipelines whose freshness is shown.
const PIPELINES: usize = 200;
/// The last parts of the paths that are told apart.
const QUESTIONS: [&str; 10] = [
    "top",
    "estimate",
    "heavy-hitters",
    "series",
    "groups",
    "compare",
    "trends",
    "live",
    "pipelines",
    "metrics",
];

/// Something that runs elsewhere and is measured here, too.
pub trait Measured: Send + Sync + Debug {
    /// The pipeline that it is about: who may not see that is not told.
    fn pipeline(&self) -> &str;

    /// Writes what is known of it, without waiting for anybody.
    fn measure(&self, text: &mut Exposition);
}

/// Counters of a service.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    times: Mutex<BTreeMap<&'static str, Times>>,
    /// Answers that were kept.
    pub hits: AtomicU64,
    /// Answers that were computed.
    pub misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Times {
    /// By bound; what took longer stands only in `count`.
    buckets: [u64; BOUNDS.len()],
    seconds: f64,
    count: u64,
}

impl Metrics {
    /// Counts a request.
    pub fn note(&self, question: &'static str, status: StatusCode, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((question, status.as_u16())).or_default() += 1;
        drop(requests);
        let seconds = took.as_secs_f64();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let times = times.entry(question).or_default();
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            times.buckets[bucket] += 1;
        }
        times.seconds += seconds;
        times.count += 1;
    }

    fn write(&self, text: &mut Exposition) {
        let name = "hitters_service_requests_total";
        text.family(name, Kind::Counter, "Requests by question and status.");
        for ((question, status), count) in self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            text.sample(name, &[("question", question), ("status", &status.to_string())], count);
        }
        let name = "hitters_service_request_seconds";
        let help = "How long answers took; for live updates, until the stream began.";
        text.family(name, Kind::Histogram, help);
        for (question, times) in self.times.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let mut below = 0;
            for (bound, bucket) in BOUNDS.iter().zip(times.buckets) {
                below += bucket;
                let bound = bound.to_string();
                text.sample(
                    &format!("{name}_bucket"),
                    &[("question", question), ("le", &bound)],
                    below,
                );
            }
            let all = [("question", *question), ("le", "+Inf")];
            text.sample(&format!("{name}_bucket"), &all, times.count);
            text.sample(&format!("{name}_sum"), &all[..1], times.seconds);
            text.sample(&format!("{name}_count"), &all[..1], times.count);
        }
        let name = "hitters_service_answers_total";
        text.family(
            name,
            Kind::Counter,
            "Answers by where they came from: kept, or computed.",
        );
        text.sample(name, &[("from", "kept")], self.hits.load(Relaxed));
        text.sample(name, &[("from", "computed")], self.misses.load(Relaxed));
    }
}

/// What a path is counted as.
pub fn question(path: &str) -> &'static str {
    let last = path.rsplit('/').next().unwrap_or_default();
    let under = path.starts_with("/v1/");
    QUESTIONS
        .into_iter()
        .find(|question| *question == last && (under || *question == "metrics"))
        .unwrap_or("other")
}

/// `GET /metrics`.
pub async fn metrics(asked: Asked) -> Result<Response, Problem> {
    let (app, access) = (&asked.app, &asked.access);
    let mut text = Exposition::default();
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.one("hitters_build_info", Kind::Gauge, "The version that runs.", &version, 1);
    if let Some(bytes) = resident() {
        let help = "Memory of the process.";
        text.one("process_resident_memory_bytes", Kind::Gauge, help, &[], bytes);
    }
    app.metrics.write(&mut text);
    let help = "Streams of live updates that are open.";
    text.one("hitters_service_listeners", Kind::Gauge, help, &[], app.listeners.all());
    let help = "Bytes of answers that are kept.";
    text.one("hitters_service_kept_bytes", Kind::Gauge, help, &[], app.kept_bytes());
    let name = "hitters_service_store_up";
    text.family(name, Kind::Gauge, "Whether a store can be asked.");
    for (store, up) in app.stores_up().await {
        text.sample(name, &[("store", store)], u8::from(up));
    }
    let name = "hitters_answers_complete_timestamp_seconds";
    text.family(
        name,
        Kind::Gauge,
        "Up to which event time the answers of a pipeline are complete.",
    );
    if let Ok(scopes) = app.pipelines().await {
        for scope in scopes
            .iter()
            .filter(|scope| access.sees(&scope.pipeline))
            .take(PIPELINES)
        {
            if let Ok(edge) = app.edge(&scope.pipeline).await {
                let version = scope.version.to_string();
                let labels = [("pipeline", scope.pipeline.as_str()), ("version", &version)];
                text.sample(name, &labels, edge.complete_up_to as f64 / 1000.0);
            }
        }
    }
    if let Some(engine) = &app.engine {
        engine.measure(&mut text);
    }
    if let Some(measured) = app.measured.as_ref().filter(|one| access.sees(one.pipeline())) {
        measured.measure(&mut text);
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, text.into_text()).into_response())
}

/// Resident memory of this process in bytes, where the system says it (Linux).
pub fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
