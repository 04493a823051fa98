//! Certificates that an address names: `?ca=FILE&cert=FILE&key=FILE`, in PEM.

use std::path::{Path, PathBuf};

/// Files of whom we trust, and of who we are. What is not named is the system's, and nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// The authorities that are trusted, in place of those of the system.
    pub ca: Option<PathBuf>,
    /// Our own certificate, and those between it and an authority.
    pub cert: Option<PathBuf>,
    /// The key of that, without a password.
    pub key: Option<PathBuf>,
}

/// What those files hold.
pub(crate) struct Pem {
    pub ca: Option<Vec<u8>>,
    /// Certificate and key.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    /// Takes one option of an address; false if it is about something else.
    ///
    /// # Errors
    /// If it names no file.
    pub(crate) fn take(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let place = match name {
            "ca" => &mut self.ca,
            "cert" => &mut self.cert,
            "key" => &mut self.key,
            _ => return Ok(false),
        };
        if value.is_empty() {
            return Err(format!("{name}= names no file"));
        }
        *place = Some(PathBuf::from(decoded(value)?));
        Ok(true)
    }

    pub(crate) fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// Which of them cannot be read, or is missing.
    pub(crate) fn read(&self) -> Result<Pem, String> {
        let own = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((read("cert", cert)?, read("key", key)?)),
            (Some(_), None) => return Err("cert= needs the file of its key: &key=FILE".into()),
            (None, Some(_)) => return Err("key= needs the file of its certificate: &cert=FILE".into()),
            (None, None) => None,
        };
        Ok(Pem {
            ca: self.ca.as_deref().map(|path| read("ca", path)).transpose()?,
            own,
        })
    }
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read the file of {name}=, {}: {error}", path.display()))
}

/// Undoes percent-encoding.
pub(crate) fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = || {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            u8::from_str_radix(digits, 16).ok()
        };
        match (first, escaped()) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| "what is percent-encoded in the address is no text".into())
}
