//! JSON web tokens of an identity provider, as access beside API keys.
//!
//! Only the algorithms that are pinned count, never what a token says of itself; each needs a key of the set with the token's
//! `kid`. `exp`, the issuer and the audience must be there and right. What a token may see stands in its claim `hitters`, in the
//! same shape as a key's: `{"pipelines": ["shop"], "where": {"region": ["eu"]}}`; without it, it may see nothing.

use crate::access::{Access, wrong};
use crate::problem::Problem;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// Which tokens count.
#[derive(Clone, Debug)]
pub struct JwtOptions {
    /// The keys of the issuer: a JSON Web Key Set in a file.
    pub jwks: PathBuf,
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
}

/// Checks tokens.
pub struct Tokens {
    keys: HashMap<String, (DecodingKey, Algorithm)>,
    issuer: String,
    audience: String,
}

/// Signatures by key pairs. Those by a shared secret are left out: whoever can check them can make them.
const PINNED: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    hitters: Scope,
}

#[derive(Default, Deserialize)]
struct Scope {
    #[serde(default)]
    pipelines: Vec<String>,
    #[serde(default, rename = "where")]
    groups: BTreeMap<String, Vec<String>>,
    limit_per_second: Option<u32>,
}

impl Tokens {
    /// Reads the keys.
    ///
    /// # Errors
    /// If the file is none, or has no key that can be used.
    pub fn open(options: JwtOptions) -> Result<Self, String> {
        let path = options.jwks.display();
        let text = std::fs::read(&options.jwks).map_err(|error| format!("{path}: {error}"))?;
        let set: JwkSet = serde_json::from_slice(&text).map_err(|error| format!("{path} is no key set: {error}"))?;
        let mut keys = HashMap::new();
        for jwk in &set.keys {
            let named = jwk.common.key_algorithm.map(|algorithm| algorithm.to_string());
            let algorithm = PINNED
                .into_iter()
                .find(|pinned| named.as_deref() == Some(&format!("{pinned:?}")));
            if let (Some(id), Some(algorithm), Ok(key)) = (&jwk.common.key_id, algorithm, DecodingKey::from_jwk(jwk)) {
                keys.insert(id.clone(), (key, algorithm));
            }
        }
        if keys.is_empty() {
            return Err(format!("{path} has no key with kid and alg RS256, ES256 or EdDSA"));
        }
        Ok(Self {
            keys,
            issuer: options.issuer,
            audience: options.audience,
        })
    }

    /// What a token may see.
    ///
    /// # Errors
    /// 401 if it is none of ours, in words that do not say why.
    pub fn check(&self, token: &str) -> Result<Access, Problem> {
        let header = decode_header(token).map_err(|_| wrong())?;
        let key = header.kid.as_ref().and_then(|id| self.keys.get(id));
        let (key, algorithm) = key.ok_or_else(wrong)?;
        let mut validation = Validation::new(*algorithm);
        validation.leeway = 30;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = decode::<Claims>(token, key, &validation).map_err(|_| wrong())?.claims;
        Ok(Access {
            name: claims.sub,
            pipelines: claims.hitters.pipelines,
            groups: claims.hitters.groups,
            limit_per_second: claims.hitters.limit_per_second,
        })
    }
}
