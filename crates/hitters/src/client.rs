//! The client of a query service, for `query` and `top`.

use crate::failure::Failure;
use clap::Args;
use serde_json::Value;
use std::time::Duration;

/// Which service to ask, and as whom.
#[derive(Clone, Debug, Default, Args)]
pub struct Service {
    /// Where the service listens. [default: $HITTERS_URL, or http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The API key. [default: $HITTERS_KEY, which other users of the machine cannot see]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

/// Which counts a question is about.
#[derive(Clone, Debug, Default, Args)]
pub struct About {
    /// The group, as region=eu. Again for each dimension; those that are left out are rolled up.
    #[arg(long = "where", short = 'w', value_name = "DIMENSION=VALUE")]
    pub filters: Vec<String>,
    /// The dimension set. [default: the smallest that has all dimensions of --where]
    #[arg(long, value_name = "SET")]
    pub set: Option<String>,
    /// So long up to the newest closed window, as 15m, 1h, 7d. [default: the newest window]
    #[arg(long, value_name = "TIME")]
    pub last: Option<String>,
}

/// Asks a service.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    url: String,
    key: Option<String>,
}

/// A path and its parameters.
pub type Question = (String, Vec<(&'static str, String)>);

impl Client {
    /// Of the service that is named, or of that of the environment.
    pub fn new(service: &Service) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let url = service.url.clone().or_else(|| variable("HITTERS_URL"));
        let url = url.unwrap_or_else(|| "http://127.0.0.1:8080".into());
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        Self {
            agent,
            url: url.trim_end_matches('/').to_owned(),
            key: service.key.clone().or_else(|| variable("HITTERS_KEY")),
        }
    }

    /// The answer to a question.
    ///
    /// # Errors
    /// If nobody answers there, or the question cannot be answered; what can be mended on the command line is a fault of it.
    pub fn ask(&self, question: &Question) -> Result<Value, Failure> {
        let (status, body) = self.send(question)?;
        let value = self.json(status, &body)?;
        self.checked(status, &value)?;
        Ok(value)
    }

    /// The answer as CSV.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_csv(&self, (path, pairs): &Question) -> Result<String, Failure> {
        let mut pairs = pairs.clone();
        pairs.push(("format", "csv".into()));
        let (status, body) = self.send(&(path.clone(), pairs))?;
        if status != 200 {
            let value = self.json(status, &body)?;
            self.checked(status, &value)?;
        }
        Ok(body)
    }

    fn send(&self, (path, pairs): &Question) -> Result<(u16, String), Failure> {
        let url = &self.url;
        let mut request = self.agent.get(format!("{url}{path}"));
        request = request.query_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let asked = request.call();
        let mut response = asked.map_err(|error| {
            Failure::Run(format!(
                "no service answers at {url}: {error}; start one with `hitters serve` or `hitters run --serve`"
            ))
        })?;
        let status = response.status().as_u16();
        let body = response.body_mut().read_to_string();
        let body = body.map_err(|error| Failure::Run(format!("the answer of {url} broke off: {error}")))?;
        Ok((status, body))
    }

    fn json(&self, status: u16, body: &str) -> Result<Value, Failure> {
        let url = &self.url;
        serde_json::from_str(body).map_err(|_| Failure::Run(format!("{url} is no service of Hitters: status {status}")))
    }

    fn checked(&self, status: u16, value: &Value) -> Result<(), Failure> {
        let detail = value["detail"].as_str().unwrap_or("it does not say why").to_owned();
        match status {
            200 => Ok(()),
            400..500 => Err(Failure::Usage(detail)),
            _ => Err(Failure::Run(detail)),
        }
    }
}

/// A count of an answer: a number, or a text above 2^53.
pub fn number(value: &Value) -> Option<u128> {
    match value {
        Value::Number(number) => number.as_u64().map(u128::from),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A name as a part of a path.
pub fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    name.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_into_paths_whatever_is_in_them() {
        assert_eq!(segment("shop.latest"), "shop.latest");
        assert_eq!(segment("a b/ü?"), "a%20b%2F%C3%BC%3F");
    }
}
