//! Whether a token is to be believed, and what it may see.
//!
//! Order: its size, its algorithm, its key, its signature, its claims; only then is the claim with its scope read. A signature
//! that was found good is not computed again for some seconds, as long as its key is trusted and the token has not expired.

use super::trusted::KeySet;
use super::{TokenOptions, Trust};
use crate::access::Access;
use crate::keys::now;
use crate::problem::Problem;
use http::StatusCode;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header};
use moka::future::Cache;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a token. Those of large providers have two or three thousand.
const LONGEST: usize = 8 << 10;
/// How long a good signature is remembered, and of how many tokens.
const REMEMBERED: (Duration, u64) = (Duration::from_secs(10), 10_000);
/// Characters of a subject that stand in the audit log.
const NAME: usize = 200;

/// Checks tokens.
#[derive(Debug)]
pub struct Tokens {
    algorithms: Vec<Algorithm>,
    issuer: String,
    audience: Vec<String>,
    leeway: u64,
    claim: String,
    trust: Trusting,
    /// By the hash of the token.
    good: Cache<[u8; 32], Arc<Good>>,
}

#[derive(Debug)]
enum Trusting {
    Secret(DecodingKey),
    Set(Arc<KeySet>),
}

/// A token whose signature is good.
#[derive(Debug)]
struct Good {
    access: Access,
    /// Seconds since the epoch.
    expires: u64,
    /// Of the set that its key was in.
    generation: u64,
}

/// The claim: the same words as in the file of keys. A word that is not known is an error, since a restriction that is misspelled
/// would be none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    pipelines: Vec<String>,
    #[serde(default, rename = "where")]
    groups: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    limit_per_second: Option<u32>,
}

impl Tokens {
    /// Checks the options. Nothing is read yet.
    ///
    /// # Errors
    /// If they do not fit together: what to write instead.
    pub fn new(options: &TokenOptions) -> Result<Self, String> {
        if options.issuer.is_empty() || options.audience.is_empty() || options.audience.iter().any(String::is_empty) {
            return Err("tokens need an issuer and an audience: those of others must not open this service".into());
        }
        let algorithm = |name: &String| {
            name.parse::<Algorithm>()
                .map_err(|_| format!("'{name}' is no algorithm; ES256, RS256 and EdDSA are usual ones"))
        };
        let algorithms: Vec<Algorithm> = options.algorithms.iter().map(algorithm).collect::<Result<_, _>>()?;
        let symmetric = |algorithm: &Algorithm| algorithm.family() == AlgorithmFamily::Hmac;
        let trust = match &options.trust {
            _ if algorithms.is_empty() => return Err("no algorithm is named; the usual one is ES256 or RS256".into()),
            Trust::Secret(_) if !algorithms.iter().all(symmetric) => {
                return Err(
                    "a secret goes with HS256, HS384 or HS512 only; public keys come from a set of keys".into(),
                );
            }
            Trust::Keys(_) if algorithms.iter().any(symmetric) => {
                let what = "HS256, HS384 and HS512 go with a secret only: with a set of public keys, which everybody has, \
                            everybody could sign";
                return Err(what.into());
            }
            Trust::Secret(secret) => {
                let least = |algorithm: &Algorithm| match algorithm {
                    Algorithm::HS256 => 32,
                    Algorithm::HS384 => 48,
                    _ => 64,
                };
                let least = algorithms.iter().map(least).max().unwrap_or(64);
                if secret.len() < least {
                    let have = secret.len();
                    return Err(format!(
                        "the secret has {have} bytes, and its algorithm needs {least} at least (RFC 7518)"
                    ));
                }
                Trusting::Secret(DecodingKey::from_secret(secret).map_err(|error| error.to_string())?)
            }
            Trust::Keys(source) => Trusting::Set(Arc::new(KeySet::new(source.clone()))),
        };
        let (ttl, most) = REMEMBERED;
        Ok(Self {
            algorithms,
            issuer: options.issuer.clone(),
            audience: options.audience.clone(),
            leeway: options.leeway.as_secs(),
            claim: options.claim.clone(),
            trust,
            good: Cache::builder().max_capacity(most).time_to_live(ttl).build(),
        })
    }

    /// Reads the trusted keys.
    ///
    /// # Errors
    /// If they cannot be had. They will be tried again when tokens come.
    pub async fn begin(&self) -> Result<(), String> {
        match &self.trust {
            Trusting::Secret(_) => Ok(()),
            Trusting::Set(set) => set.read().await,
        }
    }

    fn generation(&self) -> u64 {
        match &self.trust {
            Trusting::Secret(_) => 1,
            Trusting::Set(set) => {
                set.renew();
                set.generation()
            }
        }
    }

    /// Who has this token, and what it may see.
    ///
    /// # Errors
    /// 401 if it is not to be believed, 403 if it says nothing about this service, 503 if no key could be read yet.
    pub async fn check(&self, token: &str) -> Result<Access, Problem> {
        if token.len() > LONGEST {
            return Err(wrong(&format!("it has more than {LONGEST} bytes")));
        }
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(good) = self.good.get(&hash).await
            && good.generation == self.generation()
            && now() <= good.expires.saturating_add(self.leeway)
        {
            return Ok(good.access.clone());
        }
        // Also `none` ends here: it is no algorithm that can be read.
        let header = decode_header(token).map_err(|_| wrong("it is none, or signed by no algorithm that is known"))?;
        if !self.algorithms.contains(&header.alg) {
            return Err(wrong("it is signed by an algorithm that is not accepted here"));
        }
        // Asked before the key is: a set that changes in between makes the signature be checked once more, not once less.
        let generation = self.generation();
        let key = match &self.trust {
            Trusting::Secret(key) => key.clone(),
            Trusting::Set(set) => {
                let found = set.find(header.kid.as_deref(), header.alg).await;
                if found.is_none() && set.generation() == 0 {
                    return Err(away());
                }
                found.ok_or_else(|| wrong("it is signed by a key that is not trusted"))?
            }
        };
        let mut validation = Validation::new(header.alg);
        validation.leeway = self.leeway;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&self.audience);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let decoded = decode::<Map<String, Value>>(token, &key, &validation);
        let claims = decoded.map_err(|error| wrong(&reason(error.kind())))?.claims;
        let access = self.access(&claims)?;
        let expires = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        let good = Good {
            access: access.clone(),
            expires: expires as u64,
            generation,
        };
        self.good.insert(hash, Arc::new(good)).await;
        Ok(access)
    }

    fn access(&self, claims: &Map<String, Value>) -> Result<Access, Problem> {
        let no_scope = |why: String| {
            let title = "the token may see nothing here";
            let problem = Problem::new(StatusCode::FORBIDDEN, "no-scope", title, why);
            problem.allowed(json!({ &self.claim: { "pipelines": ["*"], "where": { "region": ["eu"] } } }))
        };
        let claim = &self.claim;
        let value = claims.get(claim).ok_or_else(|| {
            no_scope(format!(
                "the token has no claim '{claim}' that says which pipelines it may see"
            ))
        })?;
        let scope = Scope::deserialize(value)
            .map_err(|error| no_scope(format!("the claim '{claim}' of the token cannot be read: {error}")))?;
        if scope.limit_per_second == Some(0) {
            return Err(no_scope(format!(
                "the claim '{claim}' of the token allows 0 questions a second"
            )));
        }
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        let name: String = subject.chars().take(NAME).collect();
        Ok(Access {
            // No key has such a name in the log by chance, nor its limit.
            name: format!("jwt:{name}"),
            pipelines: scope.pipelines,
            groups: scope.groups,
            limit_per_second: scope.limit_per_second,
        })
    }
}

/// What may be said to who shows a token: before its signature is known to be good, nothing of what is in it.
fn reason(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::ExpiredSignature => "it has expired".into(),
        ErrorKind::ImmatureSignature => "it is not valid yet".into(),
        ErrorKind::InvalidIssuer => "somebody else has issued it".into(),
        ErrorKind::InvalidAudience => "it is for somebody else".into(),
        ErrorKind::MissingRequiredClaim(claim) => format!("it has no claim '{claim}'"),
        ErrorKind::InvalidClaimFormat(claim) => format!("its claim '{claim}' cannot be read"),
        _ => "its signature is wrong".into(),
    }
}

/// 401: a token that is not to be believed.
fn wrong(why: &str) -> Problem {
    let detail = format!("the token is not valid: {why}");
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "wrong-token",
        "the token is not valid",
        detail,
    )
}

/// 503: nobody can say.
fn away() -> Problem {
    let detail = "the keys of the identity provider could not be read yet; ask again";
    let title = "tokens cannot be checked now";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "keys-away", title, detail).retry(10)
}
