//! The public keys of a provider: a JSON Web Key Set, kept and read again when it is old or a token names a key that is not in it.
//!
//! The last good set is kept while the provider is away or says something else. However many tokens name unknown keys, the
//! provider is asked once in a while (`pause`) and by one request at a time. Bound: [`MOST_BYTES`] and [`MOST_KEYS`].

use super::{KeySource, MOST_BYTES};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::Value;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keys of a set.
const MOST_KEYS: usize = 100;
/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the modulus of an RSA key, at least: 2048 bits.
const LEAST_RSA: usize = 256;

/// A key, and for which algorithms.
#[derive(Clone, Debug)]
struct Trusted {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The set as it was read last.
#[derive(Debug, Default)]
struct Held {
    keys: Vec<Trusted>,
    /// Counts the sets that were read; 0: none was.
    generation: u64,
    read: Option<Instant>,
    tried: Option<Instant>,
    /// The last try failed.
    away: bool,
}

/// The keys of a provider.
#[derive(Debug)]
pub struct KeySet {
    source: KeySource,
    held: Mutex<Held>,
    reading: tokio::sync::Mutex<()>,
}

impl KeySet {
    /// Not read yet.
    pub fn new(source: KeySource) -> Self {
        Self {
            source,
            held: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the sets that were read; 0: none was.
    pub fn generation(&self) -> u64 {
        self.held().generation
    }

    /// The key that a token names. Without a name: the only one for this algorithm.
    pub async fn find(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let found = self.held().find(kid, algorithm);
        if found.is_some() {
            self.renew();
            return found;
        }
        // Not there yet, or no more: the provider may have a new one.
        let _ = self.read().await;
        self.held().find(kid, algorithm)
    }

    /// Has the set read beside if it is old, so that nobody waits for it.
    pub fn renew(self: &Arc<Self>) {
        let old = {
            let held = self.held();
            let since = |at: Option<Instant>| at.map_or(Duration::MAX, |at| at.elapsed());
            since(held.read) >= self.source.fresh && since(held.tried) >= self.source.pause
        };
        if old {
            let set = self.clone();
            tokio::spawn(async move {
                let _ = set.read().await;
            });
        }
    }

    /// Reads the set, unless that was tried a short time ago.
    ///
    /// # Errors
    /// If it cannot be had, or is none: the last one is kept.
    pub async fn read(&self) -> Result<(), String> {
        // Those who come while it is being read find that it was tried.
        let _one = self.reading.lock().await;
        {
            let mut held = self.held();
            if held.tried.is_some_and(|at| at.elapsed() < self.source.pause) {
                return Ok(());
            }
            held.tried = Some(Instant::now());
        }
        let load = self.source.load.clone();
        let loaded = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(move || load())).await;
        let loaded = match loaded {
            Ok(Ok(loaded)) => loaded.and_then(|text| parse(&text)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer for {} s", PATIENCE.as_secs())),
        };
        let mut held = self.held();
        match loaded {
            Ok(keys) => {
                if std::mem::take(&mut held.away) {
                    say(&format!("{}: the trusted keys could be read again", self.source.name));
                }
                held.keys = keys;
                held.generation += 1;
                held.read = Some(Instant::now());
                Ok(())
            }
            Err(why) => {
                let message = format!("{}: {why}", self.source.name);
                if !std::mem::replace(&mut held.away, true) {
                    say(&format!(
                        "the trusted keys cannot be read: {message}; the last ones are kept"
                    ));
                }
                Err(message)
            }
        }
    }
}

/// Standard error has gone away: there is nobody to tell.
fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

impl Held {
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let mut fitting = self.keys.iter().filter(|key| key.algorithms.contains(&algorithm));
        match kid {
            Some(_) => fitting.find(|key| key.kid.as_deref() == kid).map(|key| key.key.clone()),
            None => {
                let only = fitting.next()?;
                fitting.next().is_none().then(|| only.key.clone())
            }
        }
    }
}

/// The keys of a set that can check signatures; others are left out, as the standard wants.
fn parse(text: &[u8]) -> Result<Vec<Trusted>, String> {
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("the set of keys has more than {MOST_BYTES} bytes"));
    }
    let set: Value = serde_json::from_slice(text).map_err(|error| format!("this is no set of keys: {error}"))?;
    let keys = set["keys"]
        .as_array()
        .ok_or("this is no set of keys: it has no list 'keys'")?;
    if keys.len() > MOST_KEYS {
        return Err(format!("the set has {} keys; at most {MOST_KEYS} are read", keys.len()));
    }
    let trusted: Vec<Trusted> = keys.iter().filter_map(trusted).collect();
    if trusted.is_empty() {
        return Err("the set has no key that signatures can be checked with".into());
    }
    Ok(trusted)
}

fn trusted(value: &Value) -> Option<Trusted> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let for_signatures = match (&jwk.common.public_key_use, &jwk.common.key_operations) {
        (Some(purpose), _) => *purpose == PublicKeyUse::Signature,
        (None, Some(operations)) => operations.contains(&KeyOperations::Verify),
        (None, None) => true,
    };
    if !for_signatures {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            let modulus = BASE64_URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
            let bytes = modulus.iter().skip_while(|byte| **byte == 0).count();
            (bytes >= LEAST_RSA).then(|| AlgorithmFamily::Rsa.algorithms().to_vec())?
        }
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
        // A secret has no place in a set that everybody can read.
        _ => return None,
    };
    if let Some(only) = &jwk.common.key_algorithm {
        algorithms.retain(|algorithm| format!("{algorithm:?}") == format!("{only:?}"));
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    (!algorithms.is_empty()).then_some(Trusted {
        kid: jwk.common.key_id,
        algorithms,
        key,
    })
}
