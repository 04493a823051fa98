//! What the stand-in holds, and what the calls of its API do to it.

use serde_json::{Value, json};
use std::collections::VecDeque;

/// What becomes of the jobs of pipelines that are created from now on.
#[derive(Clone, Debug, Default)]
pub enum Behaviour {
    /// They run.
    #[default]
    Runs,
    /// They fail before they run, with this reason.
    Fails(String),
    /// They run, fail at the first row with this error, recover, and so on.
    Loops(String),
    /// They stay in this state.
    Stays(String),
}

/// Functions and pipelines.
#[derive(Default)]
pub struct World {
    /// As `GET /udfs` shows them.
    pub functions: Vec<Value>,
    /// Of the pipelines that are created next.
    pub behaviour: Behaviour,
    /// What the planner says of every text; empty: nothing.
    pub planner: Vec<Value>,
    /// Chaining loses an edge of every graph that is made from now on.
    pub cuts: bool,
    /// Functions whose source holds this text do not compile, with this error.
    pub compiler: Option<(String, String)>,
    pipelines: Vec<Pipeline>,
    number: u64,
}

/// A pipeline with its job.
struct Pipeline {
    shown: Value,
    behaviour: Behaviour,
    state: String,
    /// The states that come, one at each look.
    coming: VecDeque<String>,
    run: u64,
    failure: Option<String>,
    errors: Vec<Value>,
    checkpoints: u64,
}

impl World {
    /// The pipelines as `GET /pipelines` shows them, the newest first.
    pub fn pipelines(&self) -> Vec<Value> {
        self.pipelines.iter().rev().map(|one| one.shown.clone()).collect()
    }

    /// The state of a pipeline's job.
    pub fn state(&self, name: &str) -> Option<String> {
        let found = self.pipelines.iter().rev().find(|one| one.shown["name"] == name)?;
        Some(found.state.clone())
    }

    /// Changes a pipeline as somebody at the console would.
    pub fn by_hand(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        let found = self.pipelines.iter_mut().find(|one| one.shown["name"] == name);
        change(&mut found.expect("there is such a pipeline").shown);
    }

    /// The job of a pipeline fails.
    pub fn break_job(&mut self, name: &str, why: &str) {
        let found = self.pipelines.iter_mut().find(|one| one.shown["name"] == name);
        let found = found.expect("there is such a pipeline");
        found.coming.clear();
        found.fail(why);
    }

    /// A call of the API: its status, and the answer or the error's text.
    pub(super) fn call(&mut self, method: &str, path: &str, query: &str, body: &Value) -> (u16, Value) {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["udfs"]) => (200, json!({ "data": self.functions })),
            ("POST", ["udfs"]) => self.build(body),
            ("POST", ["udfs", "validate"]) => {
                let errors: Vec<String> = self.compile(body).into_iter().collect();
                (200, json!({ "udf_name": name_of(body), "errors": errors }))
            }
            ("DELETE", ["udfs", id]) => {
                let before = self.functions.len();
                self.functions.retain(|one| one["id"] != *id);
                found(before != self.functions.len())
            }
            ("POST", ["pipelines", "validate_query"]) => {
                let graph = if self.planner.is_empty() { self.graph(&json!(1)) } else { Value::Null };
                (200, json!({ "graph": graph, "errors": self.planner }))
            }
            ("GET", ["pipelines"]) => self.list(query),
            ("POST", ["pipelines"]) => self.create(body),
            ("GET", ["pipelines", id]) => self.with(id, |one| one.shown.clone()),
            ("PATCH", ["pipelines", id]) => self.with(id, |one| one.patch(body)),
            ("POST", ["pipelines", id, "restart"]) => self.with(id, |one| {
                one.begin();
                one.shown.clone()
            }),
            ("DELETE", ["pipelines", id]) => {
                let live = |one: &Pipeline| !matches!(one.state.as_str(), "Stopped" | "Failed" | "Finished");
                let before = self.pipelines.len();
                if self.pipelines.iter().any(|one| one.shown["id"] == *id && live(one)) {
                    return (400, "Pipeline's jobs must be in a terminal state".into());
                }
                self.pipelines.retain(|one| one.shown["id"] != *id);
                found(before != self.pipelines.len())
            }
            ("GET", ["pipelines", id, "jobs"]) => self.with(id, |one| json!({ "data": [one.look()] })),
            ("GET", ["pipelines", id, "jobs", _, "errors"]) => {
                self.with(id, |one| json!({ "data": one.errors.iter().rev().collect::<Vec<_>>(), "hasMore": false }))
            }
            ("GET", ["pipelines", id, "jobs", _, "checkpoints"]) => self.with(id, |one| {
                let checkpoint = |epoch| json!({ "epoch": epoch, "backend": "parquet", "start_time": epoch * 1_000_000, "finish_time": epoch * 1_000_000 + 5000, "events": [] });
                json!({ "data": (1..=one.checkpoints).map(checkpoint).collect::<Vec<_>>() })
            }),
            ("GET", ["pipelines", _, "jobs", _, "checkpoints", _, "operator_checkpoint_groups"]) => {
                (200, json!({ "data": [{ "operator_id": "a", "bytes": 700, "subtasks": [] }, { "operator_id": "b", "bytes": 300, "subtasks": [] }] }))
            }
            ("GET", ["pipelines", _, "jobs", _, "operator_metric_groups"]) => (200, metrics()),
            _ => (404, "not here".into()),
        }
    }

    fn compile(&self, body: &Value) -> Option<String> {
        let (holds, error) = self.compiler.as_ref()?;
        body["definition"]
            .as_str()?
            .contains(holds.as_str())
            .then(|| error.clone())
    }

    fn build(&mut self, body: &Value) -> (u16, Value) {
        if self.compile(body).is_some() {
            return (400, "UDF is invalid".into());
        }
        let name = name_of(body);
        if self.functions.iter().any(|one| one["name"] == name.as_str()) {
            return (400, "udf with that name already exists".into());
        }
        self.number += 1;
        let function = json!({
            "id": format!("udf_{}", self.number), "prefix": body["prefix"], "name": name, "language": "rust", "created_at": 1,
            "updated_at": 1, "definition": body["definition"], "description": body["description"], "dylib_url": "file:///x.so",
        });
        self.functions.push(function.clone());
        (200, function)
    }

    fn list(&self, query: &str) -> (u16, Value) {
        let field = |name: &str| {
            let mut fields = query.split('&').filter_map(|field| field.split_once('='));
            fields.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        // Pages of two, whatever is asked for, so that every test of three pipelines is one of pages.
        let after = field("starting_after");
        let all = self.pipelines();
        let start = after.map_or(0, |after| {
            1 + all.iter().position(|one| one["id"] == after.as_str()).unwrap_or(0)
        });
        let page: Vec<&Value> = all.iter().skip(start).take(2).collect();
        (200, json!({ "data": page, "hasMore": start + page.len() < all.len() }))
    }

    fn create(&mut self, body: &Value) -> (u16, Value) {
        if !self.planner.is_empty() {
            return (400, "Failed to plan query:".into());
        }
        self.number += 1;
        let interval = body["checkpoint_interval_micros"].as_u64().unwrap_or(10_000_000);
        let shown = json!({
            "id": format!("pl_{}", self.number), "name": body["name"], "query": body["query"], "udfs": [],
            "checkpoint_interval_micros": interval, "stop": "none", "created_at": self.number, "action": null,
            "action_text": "Stop", "action_in_progress": false, "preview": false, "tags": body["tags"],
            "graph": self.graph(&body["parallelism"]),
        });
        let mut pipeline = Pipeline {
            shown: shown.clone(),
            behaviour: self.behaviour.clone(),
            state: "Created".into(),
            coming: VecDeque::new(),
            run: 0,
            failure: None,
            errors: Vec::new(),
            checkpoints: 0,
        };
        pipeline.begin();
        self.pipelines.push(pipeline);
        (200, shown)
    }

    /// A table that two queries read, chained; the second of them may be cut off.
    fn graph(&self, parallelism: &Value) -> Value {
        let node = |id: u64, operator: &str, description: &str| json!({ "node_id": id, "operator": operator, "description": description, "parallelism": parallelism });
        let edge = |from: u64, to: u64| json!({ "src_id": from, "dest_id": to, "key_type": "()", "value_type": "()", "edge_type": "Forward" });
        let nodes = [
            node(0, "kafka", "KafkaSource<events>"),
            node(1, "chained_op", "events -> watermark"),
            node(2, "value_2", "sink projection"),
            node(3, "redis", "RedisSink<sink>"),
            node(4, "value_4", "minutes"),
            node(5, "kafka", "KafkaSink<results>"),
        ];
        let mut edges = vec![edge(0, 1), edge(1, 2), edge(2, 3), edge(4, 5)];
        if !self.cuts {
            edges.push(edge(1, 4));
        }
        json!({ "nodes": nodes, "edges": edges })
    }

    fn with(&mut self, id: &str, answer: impl FnOnce(&mut Pipeline) -> Value) -> (u16, Value) {
        match self.pipelines.iter_mut().find(|one| one.shown["id"] == id) {
            Some(pipeline) => (200, answer(pipeline)),
            None => (404, "Pipeline not found".into()),
        }
    }
}

impl Pipeline {
    fn begin(&mut self) {
        // The cluster needs a moment to see it; until then the job is as it was.
        if self.state == "Failed" {
            self.coming.push_back("Failed".into());
        }
        let states = match &self.behaviour {
            Behaviour::Stays(state) => vec![state.clone()],
            Behaviour::Fails(_) => ["Compiling", "Scheduling", "Failed"].map(String::from).into(),
            _ => ["Compiling", "Scheduling", "Running"].map(String::from).into(),
        };
        self.coming.extend(states);
    }

    fn fail(&mut self, why: &str) {
        self.state = "Failed".into();
        self.failure = Some(why.into());
    }

    fn patch(&mut self, body: &Value) -> Value {
        let runs = self.state == "Running" || !self.coming.is_empty();
        if let Some(to) = body["parallelism"].as_u64() {
            for node in self.shown["graph"]["nodes"].as_array_mut().into_iter().flatten() {
                node["parallelism"] = to.into();
            }
            if runs {
                self.coming
                    .extend(["Rescaling", "Scheduling", "Running"].map(String::from));
            }
        }
        if let Some(to) = body["checkpoint_interval_micros"].as_u64() {
            self.shown["checkpoint_interval_micros"] = to.into();
        }
        match body["stop"].as_str() {
            Some("none") => {
                self.shown["stop"] = "none".into();
                if self.state == "Stopped" {
                    self.begin();
                }
            }
            Some(stop) => {
                self.shown["stop"] = stop.into();
                if self.state != "Failed" {
                    self.coming.clear();
                    self.coming.extend(["CheckpointStopping", "Stopped"].map(String::from));
                }
            }
            None => {}
        }
        self.shown.clone()
    }

    /// The job as it is now; it moves on by one state.
    fn look(&mut self) -> Value {
        match self.coming.pop_front() {
            // An order that was not seen yet: the state is the old one for one look.
            Some(state) => {
                self.run += u64::from(state == "Scheduling");
                self.checkpoints += u64::from(state == "CheckpointStopping" || state == "Rescaling");
                match (self.behaviour.clone(), state.as_str()) {
                    (Behaviour::Fails(why), "Failed") => self.fail(&why),
                    (_, "Compiling") => self.failure = None,
                    _ => {}
                }
                self.state = state;
            }
            None => {
                if let (Behaviour::Loops(error), "Running") = (self.behaviour.clone(), self.state.as_str()) {
                    let id = format!("error_{}", self.errors.len());
                    self.errors.push(json!({
                        "id": id, "created_at": 1_700_000_000_000_000_u64, "operator_id": "sink_sink_3", "task_index": 0,
                        "level": "error", "message": "task failed", "details": error, "error_domain": "user",
                    }));
                    self.coming
                        .extend(["Recovering", "Scheduling", "Running"].map(String::from));
                }
            }
        }
        let failure = self
            .failure
            .as_ref()
            .map(|error| json!({ "error": error, "domain": "user" }));
        json!({
            "id": format!("job_{}", self.shown["id"].as_str().unwrap_or_default()), "pipeline_id": self.shown["id"],
            "running_desired": self.shown["stop"] == "none", "state": self.state, "run_id": self.run,
            "start_time": 1_700_000_000_000_000_u64, "finish_time": null, "tasks": 2, "failure_reason": failure, "created_at": 1,
            "scheduler_config": {}, "env_vars": {},
        })
    }
}

/// The name of the function in a source: the one behind the attribute.
fn name_of(body: &Value) -> String {
    let source = body["definition"].as_str().unwrap_or_default();
    let (_, behind) = source.split_once("udf]").unwrap_or(("", source));
    let (_, name) = behind.split_once("fn ").unwrap_or(("", "nameless"));
    name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn found(found: bool) -> (u16, Value) {
    match found {
        true => (200, Value::Null),
        false => (404, "not found".into()),
    }
}

/// Two values of each metric; the second is the newer one.
fn metrics() -> Value {
    let metric = |name: &str, values: &[f64]| {
        let subtask = |(index, value): (usize, &f64)| json!({ "index": index, "metrics": [{ "time": 1, "value": 1.0 }, { "time": 2, "value": value }] });
        json!({ "name": name, "subtasks": values.iter().enumerate().map(subtask).collect::<Vec<_>>() })
    };
    json!({ "data": [
        { "node_id": 0, "metric_groups": [metric("messages_sent", &[1000.0, 500.0]), metric("backpressure", &[0.25, 0.75])] },
        { "node_id": 3, "metric_groups": [metric("messages_recv", &[12.0, 8.0]), metric("messages_sent", &[0.0, 0.0])] },
    ] })
}
