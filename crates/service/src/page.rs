//! The page at `/`: files of `page/` that are part of the program, so that it needs nothing beside it and loads nothing from
//! elsewhere.
//!
//! Invariant: a browser is told to load nothing but what this service sends (Content-Security-Policy), so a name of an item
//! can never become a program on the page. Files have an ETag of their content and are asked for again each time: the page of
//! a new version is there at once. They are served without a key, since they hold no answer.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

struct File {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
}

macro_rules! files {
    ($($kind:ident $name:literal $path:literal,)*) => {
        &[$(File { name: $name, kind: $kind, content: include_str!(concat!("../page/", $path)) },)*]
    };
}

const FILES: &[File] = files! {
    HTML "index.html" "index.html",
    CSS "style.css" "style.css",
    SVG "icon.svg" "icon.svg",
    SCRIPT "theme.js" "theme.js",
    SCRIPT "app.js" "app.js",
    SCRIPT "api.js" "api.js",
    SCRIPT "chart.js" "chart.js",
    SCRIPT "compare.js" "compare.js",
    SCRIPT "dom.js" "dom.js",
    SCRIPT "format.js" "format.js",
    SCRIPT "groups.js" "groups.js",
    SCRIPT "item.js" "item.js",
    SCRIPT "ranking.js" "ranking.js",
    SCRIPT "series.js" "series.js",
    SCRIPT "state.js" "state.js",
    SCRIPT "uPlot.iife.min.js" "vendor/uPlot.iife.min.js",
    CSS "uPlot.min.css" "vendor/uPlot.min.css",
    TEXT "LICENSE-uPlot" "vendor/LICENSE-uPlot",
};

/// An ETag for each of [`FILES`].
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |file: &File| {
        let digest = Sha256::digest(file.content.as_bytes());
        let short: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("\"{short}\"")
    };
    FILES.iter().map(tag).collect()
});

/// `/` and `/page/NAME`.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(
            "/",
            get(|headers: HeaderMap| async move { file("index.html", &headers) }),
        )
        .route(
            "/page/{name}",
            get(|Path(name): Path<String>, headers: HeaderMap| async move { file(&name, &headers) }),
        )
}

fn file(name: &str, headers: &HeaderMap) -> Response {
    let Some((at, file)) = FILES.iter().enumerate().find(|(_, file)| file.name == name) else {
        return (StatusCode::NOT_FOUND, "there is no such file of the page\n").into_response();
    };
    let tag = TAGS[at].as_str();
    let common = [
        (ETAG, tag),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // An address of the page names groups and items.
        (REFERRER_POLICY, "no-referrer"),
    ];
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|value| {
        let tags = value.to_str().unwrap_or_default();
        // A proxy that compresses makes it weak, for comparison that is the same.
        tags.split(',')
            .any(|given| given.trim().trim_start_matches("W/") == tag)
    });
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(CONTENT_TYPE, file.kind)], file.content).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use std::collections::BTreeSet;

    fn named(text: &str, before: &str) -> BTreeSet<String> {
        text.split(before)
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn every_file_that_the_page_names_is_part_of_the_program_and_nothing_else_is() {
        let index = FILES[0].content;
        let mut wanted = named(index, "\"/page/");
        for file in FILES.iter().filter(|file| file.kind == SCRIPT) {
            wanted.extend(named(file.content, " from \"./"));
        }
        let mut there: BTreeSet<String> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert!(there.remove("index.html") && there.remove("LICENSE-uPlot"));
        assert_eq!(there, wanted);
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        for file in FILES.iter().filter(|file| [HTML, CSS].contains(&file.kind)) {
            for foreign in ["http:", "https:", "src=\"//", "url("] {
                assert!(!file.content.contains(foreign), "{} holds {foreign}", file.name);
            }
            assert!(
                !file.content.contains(" style=\"") && !file.content.contains(" onclick"),
                "{}",
                file.name
            );
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = file("app.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(file("app.js", &headers).status(), StatusCode::NOT_MODIFIED);
        headers.insert(IF_NONE_MATCH, format!("\"x\", W/{}", TAGS[4]).parse().unwrap());
        assert_eq!(file("app.js", &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(file("style.css", &headers).status(), StatusCode::OK);
        assert_eq!(file("../lib.rs", &headers).status(), StatusCode::NOT_FOUND);
    }
}
