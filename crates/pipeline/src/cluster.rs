//! `[cluster]`: the Arroyo cluster that a pipeline is deployed to.

use crate::fault::Fault;
use crate::parameter::Value;
use crate::reader::{Keys, Reader, join};
use std::fmt;
use std::path::PathBuf;
use toml::Spanned;
use toml::de::DeValue;

/// A cluster and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// `url`: `http://host:5115` or `https://host:5115`.
    pub url: String,
    /// `api_key`, as `${env:NAME}`. It is needed only where the cluster is spoken to, so that a variable that is not set is a fault
    /// there and not of every command.
    pub api_key: Option<Result<Secret, Fault>>,
    /// `ca`: a file of certificates (PEM) to trust, relative to the pipeline file.
    pub ca: Option<PathBuf>,
    /// `identity`: a file with a certificate and its key (PEM) to be known by, relative to the pipeline file.
    pub identity: Option<PathBuf>,
    /// `parallelism`: subtasks of each operator there.
    pub parallelism: Option<u64>,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl Reader<'_> {
    /// Reads the table. `None` if something in it is wrong.
    pub(crate) fn cluster(&mut self, table: &Spanned<DeValue<'_>>) -> Option<Cluster> {
        let DeValue::Table(keys) = table.get_ref() else {
            self.fault(
                table.span(),
                "'cluster' must be a table",
                "write [cluster], then url = \"http://host:5115\" below it",
            );
            return None;
        };
        let mut keys = Keys::new(keys);
        let (url, api_key) = (keys.take("url"), keys.take("api_key"));
        let (ca, identity, parallelism) = (keys.take("ca"), keys.take("identity"), keys.take("parallelism"));
        self.unknown(&keys, &["url", "api_key", "ca", "identity", "parallelism"]);
        if url.is_none() {
            self.fault(table.span(), "[cluster] has no 'url'", "add url = \"http://host:5115\"");
        }
        // Every key is read, so that each says what is wrong with it.
        let url = url.and_then(|value| self.text(value)).map(|value| value.text);
        let api_key = api_key.map_or(Some(None), |value| self.api_key(value).map(Some));
        let mut file = |value: Option<&Spanned<DeValue<'_>>>| {
            value.map_or(Some(None), |value| {
                let path = self.text(value)?.text;
                Some(Some(join(self.base, &path)))
            })
        };
        let (ca, identity) = (file(ca), file(identity));
        let parallelism = parallelism.map_or(Some(None), |value| self.integer(value, 1..=1024).map(Some));
        Some(Cluster {
            url: url?,
            api_key: api_key?,
            ca: ca?,
            identity: identity?,
            parallelism: parallelism?,
        })
    }

    fn api_key(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Result<Secret, Fault>> {
        let DeValue::String(text) = value.get_ref() else {
            self.fault(
                value.span(),
                "a text was expected here",
                "write api_key = \"${env:NAME}\"",
            );
            return None;
        };
        Some(match Value::expand(text, self.environment) {
            Ok(key) => Ok(Secret(key.text)),
            Err((message, hint)) => Err(Fault::new(message).at(self.file, value.span()).hint(hint)),
        })
    }
}
