//! The OpenAPI 3.1 document, from the types of the answers, and a page that shows it and loads nothing from other hosts.

use crate::types;
use axum::response::{Html, IntoResponse, Response};
use http::header;
use serde_json::{Value, json};
use std::sync::OnceLock;
use utoipa::OpenApi;

/// The schemas come from the types; paths and parameters are few and alike, so that a table says them best.
#[derive(OpenApi)]
#[openapi(components(schemas(
    types::Top,
    types::Estimates,
    types::Series,
    types::Groups,
    types::Compare,
    types::Trends,
    types::Pipelines,
    types::Pipeline,
    types::Freshness,
)))]
struct Schemas;

/// A path, what it answers, its schema, its own parameters.
struct Described {
    path: &'static str,
    summary: &'static str,
    schema: &'static str,
    parameters: &'static [&'static str],
}

const ABOUT: [&str; 7] = ["where", "set", "last", "from", "to", "tz", "format"];

const PATHS: [Described; 13] = [
    Described {
        path: "/v1/pipelines",
        summary: "The pipelines, their sets, and how fresh they are",
        schema: "Pipelines",
        parameters: &["limit", "cursor", "tz", "format"],
    },
    Described {
        path: "/v1/pipelines/{pipeline}",
        summary: "One pipeline",
        schema: "Pipeline",
        parameters: &["tz"],
    },
    Described {
        path: "/v1/pipelines/{pipeline}/top",
        summary: "The top K of any range and groups",
        schema: "Top",
        parameters: &["k", "open"],
    },
    Described {
        path: "/v1/pipelines/{pipeline}/estimate",
        summary: "The bounds of any items, listed or not",
        schema: "Estimates",
        parameters: &["item!", "open"],
    },
    Described {
        path: "/v1/pipelines/{pipeline}/heavy-hitters",
        summary: "All items above a share",
        schema: "Top",
        parameters: &["phi", "open"],
    },
    Described {
        path: "/v1/pipelines/{pipeline}/series",
        summary: "Items over time, and everything else",
        schema: "Series",
        parameters: &["k", "item", "step"],
    },
    Described {
        path: "/v1/pipelines/{pipeline}/groups",
        summary: "Groups with their newest windows",
        schema: "Groups",
        parameters: &["set", "where", "top", "limit", "cursor", "tz", "format"],
    },
    Described {
        path: "/v1/pipelines/{pipeline}/compare",
        summary: "Two ranges: risers, fallers, new, gone",
        schema: "Compare",
        parameters: &["k", "against"],
    },
    Described {
        path: "/v1/pipelines/{pipeline}/trends",
        summary: "Where items are going",
        schema: "Trends",
        parameters: &["k", "item", "step"],
    },
    Described {
        path: "/v1/pipelines/{pipeline}/live",
        summary: "The top K whenever a window closes, and of the open one (server-sent events)",
        schema: "",
        parameters: &["k", "open"],
    },
    Described {
        path: "/v1/me",
        summary: "What the key may see",
        schema: "Me",
        parameters: &[],
    },
    Described {
        path: "/metrics",
        summary: "What the service counts, for Prometheus",
        schema: "",
        parameters: &[],
    },
    Described {
        path: "/v1/health",
        summary: "Whether the stores can be asked",
        schema: "Health",
        parameters: &[],
    },
];

/// The paths, for errors.
pub fn paths() -> Vec<&'static str> {
    PATHS.iter().map(|described| described.path).collect()
}

fn parameter(name: &str, many: bool) -> Value {
    let required = name.ends_with('!');
    let name = name.trim_end_matches('!');
    let text = |description: &str, example: Value| {
        (
            description.to_owned(),
            json!({ "type": "string", "minLength": 1 }),
            example,
        )
    };
    let number = |description: &str, least: u64, most: u64, default: u64| {
        let schema = json!({ "type": "integer", "minimum": least, "maximum": most, "default": default });
        (description.to_owned(), schema, Value::Null)
    };
    let list = |description: &str, most: u64, example: Value| {
        (
            description.to_owned(),
            json!({ "type": "array", "items": { "type": "string" }, "maxItems": most }),
            example,
        )
    };
    let duration = json!({ "type": "string", "pattern": "^[1-9][0-9]{0,8}[smhdw]$" });
    let (description, schema, example) = match name {
        "where" => list(
            "What the group must be, `dimension=value`, again for each dimension; without `=` NULL",
            64,
            json!(["region=eu"]),
        ),
        "item" => list("An item; again for several", 100, json!(["BOS"])),
        "set" => text(
            "The dimension set; by default the smallest that has all dimensions of `where`",
            json!("*"),
        ),
        "last" => ("So long up to the newest closed window".into(), duration, json!("1h")),
        "step" => (
            "Length of a step, a multiple of the windows; whole days follow `tz`".into(),
            duration,
            json!("1h"),
        ),
        "from" => text(
            "Begin of the range: RFC 3339, a day or time in `tz`, or ms since the epoch",
            json!("2026-01-31"),
        ),
        "to" => text("End of the range, not included", json!("2026-02-01")),
        "tz" => text(
            "Time zone of days, and of the times that are shown",
            json!("America/New_York"),
        ),
        "against" => text(
            "`previous`, `day`, `week`, or the time at which the other range begins",
            json!("previous"),
        ),
        "cursor" => text("`next` of the page before", Value::Null),
        "format" => (
            "In place of the header Accept".into(),
            json!({ "type": "string", "enum": ["json", "csv"] }),
            Value::Null,
        ),
        "phi" => (
            "The share".into(),
            json!({ "type": "number", "minimum": 0.0001, "exclusiveMaximum": 1, "default": 0.01 }),
            Value::Null,
        ),
        "open" => (
            "The window that is still open, where the service runs beside the engine; goes without `last`, `from`, `to`".into(),
            json!({ "type": "boolean", "default": false }),
            Value::Null,
        ),
        "limit" => number("Entries of a page", 1, 1000, 100),
        "top" => number("Items of a group", 1, 100, 1),
        _ => number(
            "How many items; at most the capacity of the sketches",
            1,
            1000,
            if many { 5 } else { 10 },
        ),
    };
    let mut parameter =
        json!({ "name": name, "in": "query", "description": description, "required": required, "schema": schema });
    if schema["type"] == "array" {
        parameter["style"] = "form".into();
        parameter["explode"] = true.into();
    }
    if !example.is_null() {
        parameter["example"] = example;
    }
    parameter
}

fn operation(described: &Described) -> Value {
    let questions = described.path.rsplit('/').next().unwrap_or_default();
    let mut parameters = Vec::new();
    if described.path.contains("{pipeline}") {
        parameters.push(json!({
            "name": "pipeline", "in": "path", "required": true, "description": "Name of the pipeline", "schema": { "type": "string", "minLength": 1 }
        }));
    }
    let asks_about = [
        "top",
        "estimate",
        "heavy-hitters",
        "series",
        "compare",
        "trends",
        "live",
    ]
    .contains(&questions);
    let own = described
        .parameters
        .iter()
        .map(|name| parameter(name, questions == "series"));
    parameters.extend(own);
    if asks_about {
        parameters.extend(ABOUT.iter().map(|name| parameter(name, false)));
    }
    let content = match described.schema {
        "" if described.path == "/metrics" => json!({ "text/plain": { "schema": { "type": "string" } } }),
        "" => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
        schema => {
            let mut content =
                json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } });
            if asks_about || described.parameters.contains(&"format") {
                content["text/csv"] = json!({ "schema": { "type": "string" } });
            }
            content
        }
    };
    let problem = |description: &str| json!({ "description": description, "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
    let mut responses = json!({ "200": { "description": described.summary, "content": content } });
    if described.path == "/v1/health" {
        responses["503"] = json!({ "description": "No store can be asked", "content": content_of("Health") });
    } else {
        for (status, description) in [
            ("400", "A parameter is wrong or unknown"),
            ("401", "A key is needed, or is not valid"),
            ("403", "The key is not for this"),
            ("404", "There is no such pipeline or set"),
            ("406", "The format is not to be had"),
            ("414", "The question is too long"),
            ("422", "The question cannot be answered"),
            ("429", "Too many questions"),
            ("503", "The stores are away, or the answer took too long"),
        ] {
            responses[status] = problem(description);
        }
        if asks_about {
            responses["304"] = json!({ "description": "The reader has it (If-None-Match)" });
        }
    }
    let name = described
        .path
        .trim_start_matches("/v1/")
        .replace(['/', '{', '}', '-'], "_");
    let mut operation = json!({
        "operationId": name.trim_matches('_').replace("__", "_"), "summary": described.summary, "parameters": parameters, "responses": responses,
    });
    if described.path == "/v1/health" {
        operation["security"] = json!([]);
    }
    operation
}

fn content_of(schema: &str) -> Value {
    json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}

/// The document.
pub fn value() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let schemas = serde_json::to_value(Schemas::openapi()).unwrap_or_default();
        let mut schemas = schemas["components"]["schemas"].clone();
        // Freshness comes behind what is kept, so it stands in no type of an answer.
        for name in ["Top", "Estimates", "Series", "Groups", "Compare", "Trends"] {
            let schema = schemas[name].take();
            schemas[name] = json!({ "allOf": [schema, {
                "type": "object", "required": ["freshness"], "properties": { "freshness": { "$ref": "#/components/schemas/Freshness" } }
            }] });
        }
        schemas["Problem"] = json!({
            "type": "object", "required": ["type", "title", "status", "detail", "instance"],
            "properties": {
                "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" }, "detail": { "type": "string" },
                "instance": { "type": "string" }, "parameter": { "type": "string" }, "allowed": {},
            }
        });
        schemas["Me"] = json!({ "type": "object", "required": ["name", "pipelines", "where", "limit_per_second"] });
        schemas["Health"] = json!({ "type": "object", "required": ["status", "stores"] });
        let mut document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Hitters", "version": env!("CARGO_PKG_VERSION"),
                "description": "The top K of endless event streams, by window and dimension, with proven bounds: lower <= true <= upper for every count. 0 is known to be empty, null is unknown.",
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "security": [{ "key": [] }, {}],
            "components": { "schemas": schemas, "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } } },
            "paths": {},
        });
        for described in &PATHS {
            document["paths"][described.path] = json!({ "get": operation(described) });
        }
        document
    })
}

/// `GET /openapi.json`.
pub async fn document() -> Response {
    (
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "public, max-age=300"),
        ],
        value().to_string(),
    )
        .into_response()
}

/// `GET /docs`.
pub async fn docs() -> Response {
    static PAGE: OnceLock<String> = OnceLock::new();
    let page = PAGE.get_or_init(|| render(value()));
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page.as_str())).into_response()
}

fn render(document: &Value) -> String {
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let mut page = String::from(include_str!("docs_head.html"));
    page.push_str(&format!(
        "<h1>{}</h1><p>{}</p>",
        text(&document["info"]["title"]),
        text(&document["info"]["description"])
    ));
    page.push_str("<p>The document itself: <a href=\"/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>");
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let operation = &item["get"];
        page.push_str(&format!(
            "<section><h2><b>GET</b> {}</h2><p>{}</p>",
            escaped(path),
            text(&operation["summary"])
        ));
        page.push_str("<table><tr><th>parameter</th><th></th><th>type</th></tr>");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let schema = &parameter["schema"];
            let mut kind = text(&schema["type"]);
            for (name, sign) in [("minimum", "≥"), ("maximum", "≤"), ("default", "default")] {
                if !schema[name].is_null() {
                    kind.push_str(&format!(", {sign} {}", escaped(&schema[name].to_string())));
                }
            }
            let example = &parameter["example"];
            let example = if example.is_null() {
                String::new()
            } else {
                format!(" <code>{}</code>", escaped(&example.to_string()))
            };
            page.push_str(&format!(
                "<tr><td><code>{}</code></td><td>{}{example}</td><td>{kind}</td></tr>",
                text(&parameter["name"]),
                text(&parameter["description"])
            ));
        }
        page.push_str("</table><p class=\"answers\">");
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            page.push_str(&format!(
                "<span><b>{status}</b> {}</span> ",
                text(&response["description"])
            ));
        }
        page.push_str("</p></section>");
    }
    page.push_str("<h1>Shapes</h1>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let pretty = serde_json::to_string_pretty(schema).unwrap_or_default();
        page.push_str(&format!(
            "<details><summary>{}</summary><pre>{}</pre></details>",
            escaped(name),
            escaped(&pretty)
        ));
    }
    page.push_str("</main></body></html>");
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_str() {
                    Some(text) if name == "$ref" => found.push(text.to_owned()),
                    _ => references(value, found),
                }),
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        references(value(), &mut found);
        assert!(found.len() > 20);
        for reference in found {
            assert!(value().pointer(&reference[1..]).is_some(), "{reference}");
        }
        assert!(render(value()).contains("heavy-hitters"));
    }
}
