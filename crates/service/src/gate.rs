//! Who may ask: what stands behind a bearer token, be it an API key or a JSON web token.
//!
//! One place for all that listens: REST takes the token from a header, other protocols from where they have it.

use crate::access::Access;
use crate::keys::{self, Keys};
use crate::problem::Problem;
use crate::tokens::Tokens;
use http::StatusCode;
use std::sync::Arc;

/// Keys and tokens. Without any: everybody may ask.
#[derive(Debug, Default)]
pub struct Gate {
    /// API keys.
    pub keys: Option<Keys>,
    /// JSON web tokens.
    pub tokens: Option<Tokens>,
}

impl Gate {
    /// True if everybody may ask.
    pub fn is_open(&self) -> bool {
        self.keys.is_none() && self.tokens.is_none()
    }

    /// Who shows this `Authorization` header.
    ///
    /// # Errors
    /// 401 if it is nobody, 403 if a token says nothing about this service, 503 if nobody can say.
    pub async fn authorize(&self, authorization: Option<&str>) -> Result<Arc<Access>, Problem> {
        if self.is_open() {
            return Ok(Arc::new(Access::all()));
        }
        let token = authorization
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token);
        let token = token.ok_or_else(|| {
            let detail = match (&self.keys, &self.tokens) {
                (_, None) => "send Authorization: Bearer and a key of `hitters keys add`",
                (None, Some(_)) => "send Authorization: Bearer and a token of your identity provider",
                _ => "send Authorization: Bearer and a key of `hitters keys add` or a token of your identity provider",
            };
            Problem::new(StatusCode::UNAUTHORIZED, "no-key", "a key is needed", detail)
        })?;
        self.look_up(token).await
    }

    /// Who has this key or token, for protocols that send nothing around it.
    ///
    /// # Errors
    /// As [`Gate::authorize`].
    pub async fn admit(&self, token: &str) -> Result<Access, Problem> {
        Ok(Access::clone(&*self.look_up(token).await?))
    }

    async fn look_up(&self, token: &str) -> Result<Arc<Access>, Problem> {
        match (&self.keys, &self.tokens) {
            (None, None) => Ok(Arc::new(Access::all())),
            // Keys say what they are, so a token is never looked up as a key nor the other way round.
            (Some(keys), _) if token.starts_with(keys::PREFIX) => keys.check(token),
            (_, Some(tokens)) => Ok(Arc::new(tokens.check(token).await?)),
            (Some(_), None) => Err(keys::wrong()),
        }
    }
}
