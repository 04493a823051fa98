//! How a service listens and whom it lets in: from flags, and from `[serve]` of the pipeline file where they say nothing.

use crate::cli::Listen;
use crate::failure::Failure;
use clap::Args;
use hitters_pipeline::{Jwt, JwtTrust, Serve, Value};
use hitters_results::Store;
use hitters_service::{KeySource, MOST_BYTES, Options, Tls, TokenOptions, Trust};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{TlsConfig, TlsProvider};

/// Where a service listens if nobody says.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// The claim that holds the scope of a token if nobody says.
const CLAIM: &str = "hitters";
/// How far clocks may be apart if nobody says.
const LEEWAY: Duration = Duration::from_secs(30);
/// How long an identity provider may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// Tokens of an identity provider, beside keys.
#[derive(Clone, Debug, Default, Args)]
pub struct JwtFlags {
    /// Accept JSON web tokens that this issuer makes (claim iss).
    #[arg(long, value_name = "TEXT")]
    pub jwt_issuer: Option<String>,
    /// Whom tokens have to be for (claim aud). Can be given several times: one of them is enough.
    #[arg(long, value_name = "TEXT")]
    pub jwt_audience: Vec<String>,
    /// How tokens may be signed: RS256, PS256, ES256, EdDSA, ... with --jwt-jwks, HS256, ... with --jwt-secret. Can be given several
    /// times.
    #[arg(long, value_name = "NAME")]
    pub jwt_algorithm: Vec<String>,
    /// The public keys of the issuer: a JSON Web Key Set in a file or at an https:// address.
    #[arg(long, value_name = "FILE|URL", conflicts_with = "jwt_secret")]
    pub jwt_jwks: Option<String>,
    /// A secret that is shared with the issuer; write '${env:NAME}', others can read the command line.
    #[arg(long, value_name = "TEXT")]
    pub jwt_secret: Option<String>,
    /// The claim that says what a token may see, in the words of the file of keys. [default: hitters]
    #[arg(long, value_name = "NAME")]
    pub jwt_claim: Option<String>,
    /// How far clocks may be apart. [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = |text: &str| hitters_pipeline::parse_duration(text))]
    pub jwt_leeway: Option<Duration>,
}

/// How to listen.
pub struct Listening {
    /// The service.
    pub service: Options,
    /// Where to speak the PostgreSQL protocol, too.
    pub postgres: Option<SocketAddr>,
}

/// How to listen: flags go before the file.
pub fn options(
    listen: Option<SocketAddr>,
    how: &Listen,
    file: Option<&Serve>,
    stores: Vec<Arc<dyn Store>>,
) -> Result<Listening, Failure> {
    let nothing = Serve::default();
    let file = file.unwrap_or(&nothing);
    let mut options = Options::new(listen.or(file.listen).unwrap_or(ADDRESS), stores);
    options.keys = how.keys.clone().or_else(|| file.keys.clone());
    let tls = how.tls_certificate.clone().zip(how.tls_key.clone());
    let tls = tls.or_else(|| file.tls.clone());
    options.tls = tls.map(|(certificate, key)| Tls { certificate, key });
    options.cors = if how.cors.is_empty() {
        file.cors.clone()
    } else {
        how.cors.clone()
    };
    let defaults = (options.limit_per_second, options.listeners, options.listeners_per_key);
    options.limit_per_second = how.limit_per_second.or(file.limit_per_second).unwrap_or(defaults.0);
    options.listeners = how.listeners.or(file.listeners).unwrap_or(defaults.1);
    options.listeners_per_key = how.listeners_per_key.or(file.listeners_per_key).unwrap_or(defaults.2);
    options.timeout = how.answer_timeout.or(file.timeout).unwrap_or(options.timeout);
    options.cache_bytes = how.answer_cache.or(file.cache).unwrap_or(options.cache_bytes);
    options.audit = how.audit.or(file.audit).unwrap_or(false);
    options.tokens = tokens(&how.jwt, file.jwt.as_ref())?;
    let postgres = how.postgres.or(file.postgres);
    options.beside.extend(postgres);
    Ok(Listening {
        service: options,
        postgres,
    })
}

/// Which tokens are accepted; none if neither the flags nor the file speak of them.
fn tokens(flags: &JwtFlags, file: Option<&Jwt>) -> Result<Option<TokenOptions>, Failure> {
    let said = flags.jwt_issuer.is_some()
        || flags.jwt_jwks.is_some()
        || flags.jwt_secret.is_some()
        || flags.jwt_claim.is_some()
        || flags.jwt_leeway.is_some()
        || !flags.jwt_audience.is_empty()
        || !flags.jwt_algorithm.is_empty();
    if !said && file.is_none() {
        return Ok(None);
    }
    let missing = |flag: &str| Failure::Usage(format!("tokens are spoken of, and --{flag} is missing"));
    let list = |flags: &Vec<String>, file: Option<&Vec<String>>| match flags.is_empty() {
        true => file.cloned(),
        false => Some(flags.clone()),
    };
    let trust = match (&flags.jwt_jwks, &flags.jwt_secret, file) {
        (Some(jwks), ..) => match JwtTrust::keys(jwks, Path::new("")) {
            Ok(keys) => trust(keys)?,
            Err(hint) => return Err(Failure::Usage(format!("--jwt-jwks {jwks}: {hint}"))),
        },
        (None, Some(secret), _) => Trust::Secret(expand("--jwt-secret", secret)?.into_bytes()),
        (None, None, Some(file)) => trust(file.trust.clone())?,
        (None, None, None) => return Err(missing("jwt-jwks")),
    };
    let issuer = flags.jwt_issuer.clone().or_else(|| Some(file?.issuer.clone()));
    let audience = list(&flags.jwt_audience, file.map(|file| &file.audience));
    let algorithms = list(&flags.jwt_algorithm, file.map(|file| &file.algorithms));
    let claim = flags.jwt_claim.clone().or_else(|| file?.claim.clone());
    Ok(Some(TokenOptions {
        issuer: issuer.ok_or_else(|| missing("jwt-issuer"))?,
        audience: audience.ok_or_else(|| missing("jwt-audience"))?,
        algorithms: algorithms.ok_or_else(|| missing("jwt-algorithm"))?,
        trust,
        claim: claim.unwrap_or_else(|| CLAIM.into()),
        leeway: flags.jwt_leeway.or_else(|| file?.leeway).unwrap_or(LEEWAY),
    }))
}

fn trust(given: JwtTrust) -> Result<Trust, Failure> {
    Ok(match given {
        JwtTrust::File(path) => Trust::Keys(KeySource::file(path)),
        JwtTrust::Url(url) => Trust::Keys(KeySource::remote(url.clone(), fetch(url))),
        JwtTrust::Secret(secret) => Trust::Secret(secret?.reveal().as_bytes().to_vec()),
    })
}

/// A text of a flag, with variables of the environment filled in: a password on the command line could be read by everybody on
/// the machine.
pub fn expand(flag: &str, text: &str) -> Result<String, Failure> {
    let value = Value::expand(text, &|name| std::env::var(name).ok());
    let value = value.map_err(|(fault, hint)| Failure::Usage(format!("{flag}: {fault}; {hint}")))?;
    Ok(value.text)
}

/// Fetches a set of keys. Redirects stay encrypted.
fn fetch(url: String) -> impl Fn() -> Result<Vec<u8>, String> + Send + Sync {
    let encrypted = url.starts_with("https://");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .https_only(encrypted)
        .max_redirects(if encrypted { 3 } else { 0 })
        .tls_config(TlsConfig::builder().provider(TlsProvider::NativeTls).build())
        .build()
        .into();
    move || {
        let mut response = agent.get(&url).call().map_err(|error| error.to_string())?;
        let body = response.body_mut().with_config().limit(MOST_BYTES);
        body.read_to_vec().map_err(|error| error.to_string())
    }
}
