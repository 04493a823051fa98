//! What somebody may ask, and how often: the scope of a key or of a token.

use crate::problem::Problem;
use hitters_results::Filter;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// What a key may see, and how often it may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// What people call it; it stands in the audit log.
    pub name: String,
    /// Pipelines by name; `*` is all of them.
    pub pipelines: Vec<String>,
    /// By dimension the values that it may ask for. Empty: all groups.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<String>>,
    /// Questions a second; `None`: the service's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_per_second: Option<u32>,
}

impl Access {
    /// Everything: for a service without keys.
    pub fn all() -> Self {
        Self {
            name: "anonymous".into(),
            pipelines: vec!["*".into()],
            groups: BTreeMap::new(),
            limit_per_second: None,
        }
    }

    /// Whether it may see a pipeline.
    pub fn sees(&self, pipeline: &str) -> bool {
        self.pipelines.iter().any(|name| name == "*" || name == pipeline)
    }

    /// Whether it may ask this of a pipeline.
    ///
    /// # Errors
    /// 403 if not, also for a pipeline that is not there: what a key may not see it may not find out about.
    pub fn allows(&self, pipeline: &str, filter: &Filter) -> Result<(), Problem> {
        let forbidden = |kind, title, detail: String| Problem::new(StatusCode::FORBIDDEN, kind, title, detail);
        if !self.sees(pipeline) {
            let detail = format!("the key is not for the pipeline '{pipeline}'");
            let problem = forbidden("not-your-pipeline", "the key is not for this pipeline", detail);
            return Err(problem.allowed(json!(self.pipelines)));
        }
        for (dimension, values) in &self.groups {
            let asked = filter.0.get(dimension).and_then(Option::as_deref);
            if !asked.is_some_and(|value| values.iter().any(|allowed| allowed == value)) {
                let detail =
                    format!("the key is for some values of '{dimension}' only; say which in where={dimension}=...");
                let problem = forbidden("not-your-groups", "the key is not for these groups", detail);
                return Err(problem.of("where", json!({ dimension: values })));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_kept_to() {
        let mut access = Access::all();
        access.pipelines = vec!["shop".into()];
        access.groups = [("region".to_owned(), vec!["eu".to_owned(), "uk".to_owned()])].into();
        let filter = |value: Option<&str>| Filter([("region".to_owned(), value.map(str::to_owned))].into());
        assert!(access.allows("shop", &filter(Some("eu"))).is_ok());
        assert_eq!(
            access.allows("cdn", &filter(Some("eu"))).unwrap_err().kind,
            "not-your-pipeline"
        );
        for filter in [
            filter(Some("us")),
            filter(None),
            filter(Some("")),
            filter(Some("EU")),
            Filter::default(),
        ] {
            assert_eq!(
                access.allows("shop", &filter).unwrap_err().kind,
                "not-your-groups",
                "{filter:?}"
            );
        }
    }
}
