//! A running query service.

use super::command;
use super::running::Running;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A command that answers questions; it is killed with this.
pub struct Serving {
    pub running: Running,
    pub url: String,
}

impl Serving {
    /// Waits until it listens.
    pub fn spawn(command: Command) -> Self {
        let mut running = Running::spawn(command);
        assert!(running.says("answering at "), "{}", running.said);
        let line = running.said.lines().find_map(|line| line.strip_prefix("answering at "));
        let url = line.unwrap().trim().to_owned();
        Self { running, url }
    }

    /// `hitters serve` over the answers of the flights, which a run has put into a file of this folder.
    pub fn of_flights(folder: &Path, more: &[&str]) -> Self {
        let answers = flights(folder);
        let arguments = ["serve", "--embedded", &answers, "--listen", "127.0.0.1:0"];
        Self::spawn(command(arguments.iter().chain(more)))
    }

    /// Status, headers and body of a path.
    pub fn get(&self, path: &str, key: Option<&str>) -> (u16, ureq::http::HeaderMap, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = agent.get(format!("{}{path}", self.url));
        if let Some(key) = key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let mut response = request.call().unwrap();
        let body = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), response.headers().clone(), body)
    }

    /// An answer.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.get(path, None);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// Runs the flights into a file of answers; gives its path.
pub fn flights(folder: &Path) -> String {
    let results = format!("results={}", folder.display());
    let answers = folder.join("answers.redb").display().to_string();
    let arguments = [
        "run",
        "flights",
        "--param",
        &results,
        "--serve",
        "127.0.0.1:0",
        "--answers",
        &answers,
    ];
    let mut filling = Running::start(arguments);
    assert!(filling.says("the input has ended"), "{}", filling.said);
    filling.signal("TERM");
    filling.end();
    answers
}
