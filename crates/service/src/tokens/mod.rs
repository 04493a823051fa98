//! JSON web tokens of an identity provider, beside API keys.
//!
//! What is accepted is said by the configuration and by nothing in a token: its algorithm has to be one of those that are
//! pinned, its key one that is trusted already. Symmetric and public keys never stand beside each other, so that a public key
//! cannot be taken for a secret. The claims `iss`, `aud`, `exp` and `sub` are required; `nbf` is kept to if it is there. What
//! the token may see stands in one claim, in the words of the file of keys:
//!
//! ```json
//! "hitters": { "pipelines": ["shop"], "where": { "region": ["eu"] }, "limit_per_second": 20 }
//! ```
//!
//! Signatures are checked by the crate `jsonwebtoken` (cargo feature `jwt`).

#[cfg(feature = "jwt")]
mod check;
#[cfg(feature = "jwt")]
mod trusted;

#[cfg(feature = "jwt")]
pub use check::Tokens;

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a set of public keys that are read at most.
pub const MOST_BYTES: u64 = 256 << 10;

/// Which tokens are accepted.
#[derive(Clone, Debug)]
pub struct TokenOptions {
    /// Who makes them: the claim `iss`.
    pub issuer: String,
    /// Whom they are for: one of these is in the claim `aud`.
    pub audience: Vec<String>,
    /// By which algorithms they may be signed: `HS256`, `HS384`, `HS512` with a secret; `RS256`, `RS384`, `RS512`, `PS256`, `PS384`,
    /// `PS512`, `ES256`, `ES384`, `EdDSA` with public keys.
    pub algorithms: Vec<String>,
    /// Whose signatures.
    pub trust: Trust,
    /// The claim that says what a token may see.
    pub claim: String,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

/// Whose signatures are trusted.
#[derive(Clone)]
pub enum Trust {
    /// A secret that the provider shares with us, at least as long as the hash of the algorithm.
    Secret(Vec<u8>),
    /// Public keys: a JSON Web Key Set (RFC 7517).
    Keys(KeySource),
}

/// Where a set of public keys comes from.
#[derive(Clone)]
pub struct KeySource {
    /// What people call it: a path or a URL.
    pub name: String,
    /// Reads the set; at most [`MOST_BYTES`]. It may block.
    pub load: Arc<dyn Fn() -> Result<Vec<u8>, String> + Send + Sync>,
    /// After so long it is read again: what the provider has taken out of it ends then.
    pub fresh: Duration,
    /// So long it is not read again at least, however many unknown keys tokens name.
    pub pause: Duration,
}

impl KeySource {
    /// A file. It is looked at again each second while tokens come.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.display().to_string();
        let load = move || {
            let mut text = Vec::new();
            let file = std::fs::File::open(&path).map_err(|error| error.to_string())?;
            file.take(MOST_BYTES + 1)
                .read_to_end(&mut text)
                .map_err(|error| error.to_string())?;
            Ok(text)
        };
        Self {
            name,
            load: Arc::new(load),
            fresh: Duration::from_secs(1),
            pause: Duration::from_secs(1),
        }
    }

    /// The address of a provider, read by `load`: again after 15 minutes, and for keys that are not known at most every 10 s.
    pub fn remote(name: impl Into<String>, load: impl Fn() -> Result<Vec<u8>, String> + Send + Sync + 'static) -> Self {
        Self {
            name: name.into(),
            load: Arc::new(load),
            fresh: Duration::from_secs(900),
            pause: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("Secret(****)"),
            Self::Keys(source) => source.fmt(f),
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySource").field(&self.name).finish()
    }
}

/// Stands where tokens would be checked: this build has no such code.
#[cfg(not(feature = "jwt"))]
#[derive(Debug)]
pub enum Tokens {}

#[cfg(not(feature = "jwt"))]
impl Tokens {
    /// Never.
    ///
    /// # Errors
    /// Always: says how to get a build that can.
    pub fn new(_: &TokenOptions) -> Result<Self, String> {
        Err("this build knows no JSON web tokens; build with the cargo feature jwt".into())
    }

    /// Reads the trusted keys.
    ///
    /// # Errors
    /// Never.
    pub async fn begin(&self) -> Result<(), String> {
        match *self {}
    }

    /// Who has this token.
    ///
    /// # Errors
    /// Never.
    pub async fn check(&self, _: &str) -> Result<crate::access::Access, crate::problem::Problem> {
        match *self {}
    }
}
