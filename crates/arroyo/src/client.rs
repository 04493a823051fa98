//! One cluster, spoken to over HTTP: its address, its key, its certificate, and how long an answer may take.
//!
//! A call that only asks, or that sets a value however often it is made, is made again when the network or the cluster fails
//! for a moment. One that creates is made once, since its answer may be lost after it was carried out; whoever creates looks
//! afterwards ([`crate::Cluster::apply`]).

use crate::answers::{Collection, Refusal};
use crate::error::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Request, Uri};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};

/// How often a call is made that may be made again.
const TRIES: u32 = 4;
/// The pause before the second of them; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest answer, in bytes: a list of pipelines holds the SQL and the graphs of all.
const LONGEST: u64 = 256 << 20;
/// Of a foreign answer, so many characters are shown.
const SHOWN: usize = 200;
/// How a key begins that needs no password.
const PKCS8: &[u8] = b"-----BEGIN PRIVATE KEY-----";
/// Elements of a page.
const PAGE: usize = 200;

/// How to speak to a cluster.
#[derive(Clone)]
pub struct Options {
    /// `http://host:port` or `https://host:port`, with a path if a proxy has one.
    pub url: String,
    /// The key of a cluster in the mode `static-api-key`.
    pub api_key: Option<String>,
    /// Certificates (PEM) to trust in place of the system's.
    pub ca: Option<PathBuf>,
    /// A certificate with its chain and its key (PEM, one file), for a cluster that wants to know its clients: the mode `mtls`.
    pub identity: Option<PathBuf>,
    /// The longest time for an answer.
    pub timeout: Duration,
    /// The longest time for an answer that has to wait for a compiler: the first function on a new cluster takes minutes.
    pub build_timeout: Duration,
}

impl Options {
    /// A cluster without key, with the system's certificates.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            api_key: None,
            ca: None,
            identity: None,
            timeout: Duration::from_secs(30),
            build_timeout: Duration::from_secs(20 * 60),
        }
    }
}

impl fmt::Debug for Options {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.url)
            .field("api_key", &self.api_key.as_ref().map(|_| "****"))
            .field("ca", &self.ca)
            .field("identity", &self.identity)
            .field("timeout", &self.timeout)
            .field("build_timeout", &self.build_timeout)
            .finish()
    }
}

/// A cluster. Nothing is open between two calls but connections that are kept for the next.
#[derive(Debug)]
pub struct Cluster {
    agent: Agent,
    options: Options,
    /// Without a slash at its end.
    base: String,
}

/// A call.
pub(crate) struct Call<'a> {
    pub method: &'static str,
    /// Behind `/api/v1`.
    pub path: String,
    /// For messages, as `create the pipeline shop-v1`.
    pub what: &'a str,
    pub limit: Limit,
}

/// Which of the limits holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Answer,
    Build,
}

/// How a call failed, and whether the cluster may have carried it out.
struct Broken {
    error: Error,
    /// It may go well the next time.
    passes: bool,
    /// Nothing has been sent.
    unsent: bool,
}

/// The certificates of a file, at least one, and the first key in PKCS #8, which is what TLS takes here.
fn pem(path: &Path) -> Result<(Vec<Certificate<'static>>, Option<PrivateKey<'static>>), Error> {
    let bad = |why: String| Error::Certificate {
        path: path.display().to_string(),
        why,
    };
    let text = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let is_pkcs8 = text.windows(PKCS8.len()).any(|part| part == PKCS8);
    let (mut certificates, mut key) = (Vec::new(), None);
    for item in parse_pem(&text) {
        match item.map_err(|error| bad(error.to_string()))? {
            PemItem::Certificate(certificate) => certificates.push(certificate),
            PemItem::PrivateKey(found) if is_pkcs8 => key = key.or(Some(found)),
            _ => {}
        }
    }
    if certificates.is_empty() {
        return Err(bad("there is no certificate in it".into()));
    }
    Ok((certificates, key))
}

impl Cluster {
    /// Checks the options. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// An address that is none, a certificate that cannot be read.
    pub fn new(options: Options) -> Result<Self, Error> {
        let bad = |why: &str| Error::Url {
            url: options.url.clone(),
            why: why.to_owned(),
        };
        let uri: Uri = options.url.parse().map_err(|_| bad("it cannot be read"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            Some(_) => return Err(bad("only http and https are spoken")),
            None => return Err(bad("it has no scheme")),
        }
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(bad("a password in it would be shown in messages"));
        }
        if uri.query().is_some() {
            return Err(bad("it has a query"));
        }
        let mut tls = TlsConfig::builder()
            .provider(TlsProvider::NativeTls)
            .root_certs(RootCerts::PlatformVerifier);
        if let Some(path) = &options.ca {
            let (certificates, _) = pem(path)?;
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
        }
        if let Some(path) = &options.identity {
            let (chain, key) = pem(path)?;
            let key = key.ok_or_else(|| Error::Certificate {
                path: path.display().to_string(),
                why: "there is no private key in it (BEGIN PRIVATE KEY; `openssl pkcs8 -topk8 -nodes` writes keys so)"
                    .into(),
            })?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_connect(Some(Duration::from_secs(10).min(options.timeout)))
            .timeout_global(Some(options.timeout))
            // The key goes where it was meant to go, and nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("hitters/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let base = options.url.trim_end_matches('/').to_owned();
        Ok(Self { agent, options, base })
    }

    /// The address, for messages.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Asks, and asks again if that may help.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: String, what: &str) -> Result<T, Error> {
        self.again(
            &Call {
                method: "GET",
                path,
                what,
                limit: Limit::Answer,
            },
            None,
        )
    }

    /// Sets values: however often it is done, they are set. `path` takes a body.
    pub(crate) fn patch<T: DeserializeOwned>(
        &self,
        path: String,
        body: &impl Serialize,
        what: &str,
    ) -> Result<T, Error> {
        let call = Call {
            method: "PATCH",
            path,
            what,
            limit: Limit::Answer,
        };
        self.again(&call, Some(json(body)))
    }

    /// Takes away. What is gone already is gone.
    pub(crate) fn delete(&self, path: String, what: &str) -> Result<(), Error> {
        let call = Call {
            method: "DELETE",
            path,
            what,
            limit: Limit::Answer,
        };
        match self.repeat(&call, None) {
            Ok(_) | Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Creates or starts something: once. It is sent again only if nothing of it can have arrived.
    pub(crate) fn post<T: DeserializeOwned>(&self, call: &Call<'_>, body: &impl Serialize) -> Result<T, Error> {
        let body = json(body);
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.once(call, Some(&body)) {
                Ok(answer) => return self.read(call, answer),
                Err(broken) if broken.unsent => std::thread::sleep(pause),
                Err(broken) => return Err(broken.error),
            }
            pause *= 2;
        }
        let answer = self.once(call, Some(&body)).map_err(|broken| broken.error)?;
        self.read(call, answer)
    }

    /// All elements of a list that comes in pages.
    pub(crate) fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        what: &str,
        id: impl Fn(&T) -> String,
    ) -> Result<Vec<T>, Error> {
        let mut all: Vec<T> = Vec::new();
        loop {
            let after = all
                .last()
                .map(|last| format!("&starting_after={}", id(last)))
                .unwrap_or_default();
            let page: Collection<T> = self.get(format!("{path}?limit={PAGE}{after}"), what)?;
            let more = page.has_more && !page.data.is_empty();
            all.extend(page.data);
            if !more {
                return Ok(all);
            }
        }
    }

    fn again<T: DeserializeOwned>(&self, call: &Call<'_>, body: Option<String>) -> Result<T, Error> {
        let answer = self.repeat(call, body.as_deref())?;
        self.read(call, answer)
    }

    fn repeat(&self, call: &Call<'_>, body: Option<&str>) -> Result<(u16, String), Error> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.once(call, body) {
                Ok(answer) => return Ok(answer),
                Err(broken) if broken.passes => std::thread::sleep(pause),
                Err(broken) => return Err(broken.error),
            }
            pause *= 2;
        }
        self.once(call, body).map_err(|broken| broken.error)
    }

    fn read<T: DeserializeOwned>(&self, call: &Call<'_>, (status, text): (u16, String)) -> Result<T, Error> {
        serde_json::from_str(&text).map_err(|error| Error::Answer {
            url: self.base.clone(),
            what: call.what.to_owned(),
            status,
            why: error.to_string(),
        })
    }

    /// One call, and the text of a good answer.
    fn once(&self, call: &Call<'_>, body: Option<&str>) -> Result<(u16, String), Broken> {
        let limit = match call.limit {
            Limit::Answer => self.options.timeout,
            Limit::Build => self.options.build_timeout,
        };
        let broken = |error: ureq::Error| self.broken(call, limit, &error);
        let mut request = Request::builder()
            .method(call.method)
            .uri(format!("{}/api/v1{}", self.base, call.path))
            .header("accept", "application/json");
        if let Some(key) = &self.options.api_key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_owned()),
            None => request.body(String::new()),
        };
        let request = request.map_err(|error| broken(error.into()))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(limit))
            .build();
        let mut answer = self.agent.run(request).map_err(broken)?;
        let status = answer.status().as_u16();
        let text = answer
            .body_mut()
            .with_config()
            .limit(LONGEST)
            .read_to_string()
            .map_err(broken)?;
        if answer.status().is_success() {
            return Ok((status, text));
        }
        Err(self.refused(call, status, &text))
    }

    /// The cluster said no.
    fn refused(&self, call: &Call<'_>, status: u16, text: &str) -> Broken {
        let url = self.base.clone();
        let what = call.what.to_owned();
        let error = match (status, serde_json::from_str::<Refusal>(text)) {
            (401 | 403, _) => Error::Key {
                url,
                given: self.options.api_key.is_some(),
                status,
            },
            (_, Ok(refusal)) => Error::Refused {
                url,
                what,
                status,
                message: refusal.error,
            },
            // A proxy without its cluster, or an Arroyo that has not started its parts yet.
            (500.., Err(_)) => Error::Refused {
                url,
                what,
                status,
                message: shown(text),
            },
            (_, Err(_)) => Error::Answer {
                url,
                what,
                status,
                why: shown(text),
            },
        };
        Broken {
            error,
            passes: status >= 500,
            unsent: false,
        }
    }

    fn broken(&self, call: &Call<'_>, limit: Duration, error: &ureq::Error) -> Broken {
        use std::io::ErrorKind::ConnectionRefused;
        let url = self.base.clone();
        match error {
            ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => Broken {
                error: Error::Unreachable {
                    url,
                    why: "no connection in time".into(),
                },
                passes: true,
                unsent: true,
            },
            ureq::Error::Timeout(_) => Broken {
                error: Error::Slow {
                    url,
                    what: call.what.to_owned(),
                    seconds: limit.as_secs(),
                },
                // It had its time.
                passes: false,
                unsent: false,
            },
            ureq::Error::Io(io) => Broken {
                error: Error::Unreachable {
                    url,
                    why: io.to_string(),
                },
                passes: true,
                unsent: io.kind() == ConnectionRefused,
            },
            other => Broken {
                error: Error::Unreachable {
                    url,
                    why: other.to_string(),
                },
                passes: false,
                unsent: false,
            },
        }
    }
}

/// A body. What is sent are plain structures of this crate, which are always JSON.
fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

/// The beginning of an answer, on one line.
fn shown(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        _ if line.is_empty() => "an empty answer".into(),
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_before_anything_is_sent() {
        for (url, why) in [
            ("localhost:5115", "is no address"),
            ("ftp://cluster", "only http and https"),
            ("http://user:word@cluster", "a password in it"),
            ("http://cluster/?a=b", "a query"),
        ] {
            let error = Cluster::new(Options::new(url)).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(
            Cluster::new(Options::new("http://cluster:5115/")).unwrap().url(),
            "http://cluster:5115"
        );
    }

    #[test]
    fn a_key_is_never_printed() {
        let mut options = Options::new("http://cluster");
        options.api_key = Some("hush".into());
        assert!(!format!("{:?}", Cluster::new(options).unwrap()).contains("hush"));
    }
}
