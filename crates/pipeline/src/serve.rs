//! `[serve]`: how answers are served, by `hitters run --serve` and `hitters serve`. Flags go before it.

use crate::cluster::Secret;
use crate::fault::Fault;
use crate::parameter::Value;
use crate::reader::{Keys, Reader, join};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// Algorithms of tokens, by the kind of key that they go with.
const SECRET: [&str; 3] = ["HS256", "HS384", "HS512"];
const PUBLIC: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

const KNOWN: [&str; 15] = [
    "listen",
    "keys",
    "tls",
    "cors",
    "limit_per_second",
    "listeners",
    "listeners_per_key",
    "timeout",
    "cache",
    "audit",
    "answers",
    "redis",
    "embedded",
    "postgres",
    "jwt",
];

/// `[serve]`. `None`: the service's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serve {
    /// `listen`: `127.0.0.1:8080`.
    pub listen: Option<SocketAddr>,
    /// `keys`: the file of API keys, relative to the pipeline file.
    pub keys: Option<PathBuf>,
    /// `tls`: certificate chain and key, PEM, relative to the pipeline file.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// `cors`: origins whose pages may ask.
    pub cors: Vec<String>,
    /// `limit_per_second`: questions of a key that has no limit of its own; 0 is no limit.
    pub limit_per_second: Option<u32>,
    /// `listeners`: streams of live updates that may be open at once.
    pub listeners: Option<usize>,
    /// `listeners_per_key`: how many of one key.
    pub listeners_per_key: Option<usize>,
    /// `timeout`: how long an answer may take.
    pub timeout: Option<Duration>,
    /// `cache`: bytes of answers that are kept.
    pub cache: Option<u64>,
    /// `audit`: one line on standard error for each question.
    pub audit: Option<bool>,
    /// `answers`: the file that `run --serve` keeps answers in, relative to the pipeline file.
    pub answers: Option<PathBuf>,
    /// `redis`: the URL of recent answers, for `hitters serve`. What its text needs of the environment is needed only there.
    pub redis: Option<Result<Secret, Fault>>,
    /// `embedded`: a file that `answers` has made, for `hitters serve`.
    pub embedded: Option<PathBuf>,
    /// `postgres`: where to speak the PostgreSQL protocol, too: `127.0.0.1:5432`.
    pub postgres: Option<SocketAddr>,
    /// `[serve.jwt]`.
    pub jwt: Option<Jwt>,
}

/// `[serve.jwt]`: tokens of an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// `issuer`: the claim `iss`.
    pub issuer: String,
    /// `audience`: one of these is in the claim `aud`.
    pub audience: Vec<String>,
    /// `algorithms`.
    pub algorithms: Vec<String>,
    /// `jwks` or `secret`.
    pub trust: JwtTrust,
    /// `claim`: what holds the scope.
    pub claim: Option<String>,
    /// `leeway`: how far clocks may be apart.
    pub leeway: Option<Duration>,
}

/// Whose signatures are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtTrust {
    /// `jwks = "https://..."`.
    Url(String),
    /// `jwks = "FILE"`, relative to the pipeline file.
    File(PathBuf),
    /// `secret = "${env:NAME}"`.
    Secret(Result<Secret, Fault>),
}

impl JwtTrust {
    /// Public keys at an address, or in a file that is named from a folder.
    ///
    /// # Errors
    /// What to write instead.
    pub fn keys(text: &str, base: &Path) -> Result<Self, &'static str> {
        let loopback = |rest: &str| {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = match authority.rsplit_once(':') {
                Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
                _ => authority,
            };
            ["127.0.0.1", "localhost", "[::1]"].contains(&host)
        };
        match text.split_once("://") {
            None if text.is_empty() => Err("name a file, or an https:// address"),
            None => Ok(Self::File(join(base, text))),
            Some(("https", _)) => Ok(Self::Url(text.to_owned())),
            // A provider on this machine, to try things.
            Some(("http", rest)) if loopback(rest) => Ok(Self::Url(text.to_owned())),
            Some(_) => Err("https://..., or a file: keys that came over plain HTTP could be anybody's"),
        }
    }
}

impl Reader<'_> {
    /// Reads the table. `None` if something in it is wrong.
    pub(crate) fn serve(&mut self, table: &Spanned<DeValue<'_>>) -> Option<Serve> {
        let DeValue::Table(keys) = table.get_ref() else {
            let hint = "write [serve], then listen = \"127.0.0.1:8080\" below it";
            self.fault(table.span(), "'serve' must be a table", hint);
            return None;
        };
        let before = self.faults();
        let mut keys = Keys::new(keys);
        let file = |reader: &mut Self, keys: &mut Keys<'_>, key: &'static str| {
            let value = keys.take(key)?;
            Some(join(reader.base, &reader.text(value)?.text))
        };
        let (key_file, answers, embedded) = (
            file(self, &mut keys, "keys"),
            file(self, &mut keys, "answers"),
            file(self, &mut keys, "embedded"),
        );
        let serve = Serve {
            listen: keys.take("listen").and_then(|value| self.address(value)),
            keys: key_file,
            tls: keys.take("tls").and_then(|value| self.tls(value)),
            cors: keys.take("cors").map(|value| self.origins(value)).unwrap_or_default(),
            limit_per_second: self.count(keys.take("limit_per_second"), 0, 1_000_000),
            listeners: self.count(keys.take("listeners"), 1, 100_000),
            listeners_per_key: self.count(keys.take("listeners_per_key"), 1, 100_000),
            timeout: keys
                .take("timeout")
                .and_then(|value| self.time_from(value, Duration::from_millis(100))),
            cache: keys.take("cache").and_then(|value| self.size(value)),
            audit: keys.take("audit").and_then(|value| self.truth(value)),
            answers,
            redis: keys.take("redis").and_then(|value| self.secret(value, "redis")),
            embedded,
            postgres: keys.take("postgres").and_then(|value| self.address(value)),
            jwt: keys.take("jwt").and_then(|value| self.jwt(value)),
        };
        self.unknown(&keys, &KNOWN);
        (self.faults() == before).then_some(serve)
    }

    fn address(&mut self, value: &Spanned<DeValue<'_>>) -> Option<SocketAddr> {
        let text = self.text(value)?.text;
        let address = text.parse();
        if address.is_err() {
            let hint =
                "an IP address and a port, as \"127.0.0.1:8080\"; \"0.0.0.0:8080\" is every address of this machine";
            self.fault(value.span(), format!("'{text}' is no address to listen at"), hint);
        }
        address.ok()
    }

    fn tls(&mut self, value: &Spanned<DeValue<'_>>) -> Option<(PathBuf, PathBuf)> {
        let hint = "write tls = { certificate = \"chain.pem\", key = \"key.pem\" }";
        let DeValue::Table(table) = value.get_ref() else {
            self.fault(value.span(), "'tls' must be a table of two files", hint);
            return None;
        };
        let mut keys = Keys::new(table);
        let (certificate, key) = (keys.take("certificate"), keys.take("key"));
        self.unknown(&keys, &["certificate", "key"]);
        if certificate.is_none() || key.is_none() {
            self.fault(value.span(), "'tls' names one file of two", hint);
        }
        let certificate = certificate.and_then(|value| self.text(value));
        let key = key.and_then(|value| self.text(value));
        Some((join(self.base, &certificate?.text), join(self.base, &key?.text)))
    }

    fn origins(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<String> {
        let mut origins = Vec::new();
        for (text, place) in self.texts(value, "cors", "[\"https://dash.example.com\"]") {
            let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
            if host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' '])) {
                origins.push(text);
            } else {
                let hint = "write https://host or https://host:port, without a path";
                self.fault(place, format!("'{text}' is no origin"), hint);
            }
        }
        origins
    }

    fn jwt(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Jwt> {
        let DeValue::Table(table) = value.get_ref() else {
            let hint = "write [serve.jwt], then issuer, audience, algorithms and jwks below it";
            self.fault(value.span(), "'jwt' must be a table", hint);
            return None;
        };
        let before = self.faults();
        let mut keys = Keys::new(table);
        let (issuer, audience) = (keys.take("issuer"), keys.take("audience"));
        let (algorithms, jwks, secret) = (keys.take("algorithms"), keys.take("jwks"), keys.take("secret"));
        let (claim, leeway) = (keys.take("claim"), keys.take("leeway"));
        let known = ["issuer", "audience", "algorithms", "jwks", "secret", "claim", "leeway"];
        self.unknown(&keys, &known);
        for (key, given, example) in [
            ("issuer", issuer, "\"https://id.example.com\": who makes the tokens"),
            ("audience", audience, "\"hitters\": whom they are made for"),
            ("algorithms", algorithms, "[\"ES256\"]: how they are signed"),
        ] {
            if given.is_none() {
                self.fault(
                    value.span(),
                    format!("[serve.jwt] has no '{key}'"),
                    format!("add {key} = {example}"),
                );
            }
        }
        let issuer = issuer.and_then(|value| self.text(value)).map(|value| value.text);
        let audience = audience.map(|value| match value.get_ref() {
            DeValue::String(_) => self.text(value).map(|value| vec![value.text]).unwrap_or_default(),
            _ => self
                .texts(value, "audience", "[\"hitters\"]")
                .into_iter()
                .map(|(text, _)| text)
                .collect(),
        });
        let fitting: &[&str] = if secret.is_some() { &SECRET } else { &PUBLIC };
        let mut names = Vec::new();
        for (name, place) in algorithms
            .map(|value| self.texts(value, "algorithms", "[\"ES256\"]"))
            .unwrap_or_default()
        {
            if fitting.contains(&name.as_str()) {
                names.push(name);
                continue;
            }
            let hint = format!(
                "with {}: {}",
                if secret.is_some() { "a secret" } else { "public keys" },
                fitting.join(", ")
            );
            self.fault(place, format!("the algorithm '{name}' cannot stand here"), hint);
        }
        let trust = match (jwks, secret) {
            (Some(jwks), Some(_)) => {
                let hint = "take one of them out: with both, a public key could be taken for a secret";
                self.fault(jwks.span(), "'jwks' and 'secret' do not go together", hint);
                None
            }
            (None, None) => {
                let hint = "add jwks = \"https://id.example.com/jwks.json\" or a file, or secret = \"${env:NAME}\"";
                self.fault(value.span(), "[serve.jwt] names neither 'jwks' nor 'secret'", hint);
                None
            }
            (None, Some(secret)) => self.secret(secret, "secret").map(JwtTrust::Secret),
            (Some(jwks), None) => self.text(jwks).and_then(|value| {
                let keys = JwtTrust::keys(&value.text, self.base);
                keys.map_err(|hint| self.fault(jwks.span(), format!("'{}' is no place for keys", value.text), hint))
                    .ok()
            }),
        };
        let jwt = Jwt {
            issuer: issuer.unwrap_or_default(),
            audience: audience.unwrap_or_default(),
            algorithms: names,
            trust: trust?,
            claim: claim.and_then(|value| self.text(value)).map(|value| value.text),
            leeway: leeway.and_then(|value| self.time_from(value, Duration::ZERO)),
        };
        (self.faults() == before).then_some(jwt)
    }

    /// A text that is not shown, and whose variables are needed only where it is used.
    fn secret(&mut self, value: &Spanned<DeValue<'_>>, key: &str) -> Option<Result<Secret, Fault>> {
        let DeValue::String(text) = value.get_ref() else {
            let hint = format!("write {key} = \"${{env:NAME}}\"");
            self.fault(value.span(), "a text was expected here", hint);
            return None;
        };
        Some(match Value::expand(text, self.environment) {
            Ok(value) => Ok(Secret::new(value.text)),
            Err((message, hint)) => Err(Fault::new(message).at(self.file, value.span()).hint(hint)),
        })
    }

    /// A list of texts, each with its place. It may not be empty.
    fn texts(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        key: &str,
        example: &str,
    ) -> Vec<(String, std::ops::Range<usize>)> {
        let hint = format!("write {key} = {example}");
        let list = match value.get_ref() {
            DeValue::Array(list) if !list.is_empty() => list,
            _ => {
                self.fault(value.span(), "a list of texts was expected here", hint);
                return Vec::new();
            }
        };
        let text = |value: &Spanned<DeValue<'_>>| Some((self.text(value)?.text, value.span()));
        list.iter().filter_map(text).collect()
    }

    fn count<N: TryFrom<u64>>(&mut self, value: Option<&Spanned<DeValue<'_>>>, least: u64, most: u64) -> Option<N> {
        let number = self.integer(value?, least..=most)?;
        N::try_from(number).ok()
    }

    fn time_from(&mut self, value: &Spanned<DeValue<'_>>, least: Duration) -> Option<Duration> {
        let time = self.duration(value)?;
        if time < least {
            self.fault(
                value.span(),
                "this is too short",
                format!("{} ms at least", least.as_millis()),
            );
            return None;
        }
        Some(time)
    }

    fn truth(&mut self, value: &Spanned<DeValue<'_>>) -> Option<bool> {
        let DeValue::Boolean(truth) = value.get_ref() else {
            self.fault(value.span(), "true or false was expected here", "without quotes");
            return None;
        };
        Some(*truth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_encrypted_or_from_this_machine() {
        for good in [
            "https://id.example.com/keys",
            "http://127.0.0.1:9/keys",
            "http://localhost/keys",
            "http://[::1]:80/k",
        ] {
            assert!(
                matches!(JwtTrust::keys(good, Path::new("")), Ok(JwtTrust::Url(_))),
                "{good}"
            );
        }
        for wrong in [
            "http://id.example.com/keys",
            "http://127.0.0.1.example.com/keys",
            "http://localhost@example.com/keys",
            "http://localhost:80@example.com/keys",
            "http://example.com/?http://localhost",
            "ftp://localhost/keys",
            "",
        ] {
            assert!(JwtTrust::keys(wrong, Path::new("")).is_err(), "{wrong}");
        }
        let file = JwtTrust::keys("keys.json", Path::new("folder"));
        assert_eq!(file, Ok(JwtTrust::File("folder/keys.json".into())));
    }
}
