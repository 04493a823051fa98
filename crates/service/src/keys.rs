//! API keys: the file that has them, and the keys as a running service sees them.
//!
//! A key is `hk_<id>_<secret>`: 8 hex digits that name it and 256 random bits. The file holds the SHA-256 of the whole key
//! and never the key: it has too much entropy to be guessed, so that a slow hash would only slow down answers. Comparison
//! takes constant time. The file is read again when it changes, so that a revoked key ends within a second.

use crate::access::Access;
use crate::problem::Problem;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// What keys begin with.
pub const PREFIX: &str = "hk_";
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A key as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// 8 hex digits.
    pub id: String,
    /// SHA-256 of the key, in hex.
    pub sha256: String,
    /// Seconds since the epoch.
    pub created: u64,
    /// Seconds since the epoch; `None`: it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// What it may see.
    #[serde(flatten)]
    pub access: Access,
}

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Others could let themselves in.
    #[error("{path}: other users can write to it, so that its keys are worth nothing; chmod 600 {path}")]
    Rights {
        /// The file.
        path: String,
    },
    /// It is no such file.
    #[error("{path} is no file of keys: {error}; make one with `hitters keys add`")]
    Format {
        /// The file.
        path: String,
        /// Why.
        error: serde_json::Error,
    },
}

/// A file of keys.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// At this path, where it may not be yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The keys; none if there is no file.
    ///
    /// # Errors
    /// If it cannot be read, or others can write to it.
    pub fn read(&self) -> Result<Vec<Key>, KeyFileError> {
        let path = || self.path.display().to_string();
        #[cfg(unix)]
        if std::fs::metadata(&self.path)
            .is_ok_and(|file| std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o022 != 0)
        {
            return Err(KeyFileError::Rights { path: path() });
        }
        match std::fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| KeyFileError::Format { path: path(), error }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(KeyFileError::Io { path: path(), error }),
        }
    }

    /// Makes a key, and returns it: nobody can see it again.
    ///
    /// # Errors
    /// If the file cannot be written, or the machine has no random numbers.
    pub fn add(&self, access: Access, expires: Option<u64>) -> Result<String, KeyFileError> {
        let io = |error| KeyFileError::Io {
            path: self.path.display().to_string(),
            error,
        };
        let mut random = [0; 36];
        OsRng
            .try_fill_bytes(&mut random)
            .map_err(|error| io(std::io::Error::other(error.to_string())))?;
        let id: String = random[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("hk_{id}_{}", BASE64_URL_SAFE_NO_PAD.encode(&random[4..]));
        let key = Key {
            id,
            sha256: hex(&Sha256::digest(text.as_bytes())),
            created: now(),
            expires,
            access,
        };
        self.change(|keys| keys.push(key))?;
        Ok(text)
    }

    /// Takes a key away, by its id or its name; says how many it were.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn revoke(&self, id_or_name: &str) -> Result<usize, KeyFileError> {
        let mut revoked = 0;
        self.change(|keys| {
            let before = keys.len();
            keys.retain(|key| key.id != id_or_name && key.access.name != id_or_name);
            revoked = before - keys.len();
        })?;
        Ok(revoked)
    }

    /// Reads, changes and replaces the file while nobody else does. The lock is a file of its own beside it, since the file itself is
    /// another one after each change; it goes with the process that holds it.
    fn change(&self, change: impl FnOnce(&mut Vec<Key>)) -> Result<(), KeyFileError> {
        let path = self.beside("lock");
        let lock = || {
            if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)?;
            }
            let lock = own().truncate(false).open(&path)?;
            lock.lock()?;
            Ok(lock)
        };
        let _held = lock().map_err(|error| KeyFileError::Io {
            path: path.display().to_string(),
            error,
        })?;
        let mut keys = self.read()?;
        change(&mut keys);
        self.write(&keys).map_err(|error| KeyFileError::Io {
            path: self.path.display().to_string(),
            error,
        })
    }

    /// The name with this behind it.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }

    /// Replaces the file in one step, readable by its owner only.
    fn write(&self, keys: &[Key]) -> std::io::Result<()> {
        let fresh = self.beside("new");
        let mut file = own().truncate(true).open(&fresh)?;
        file.write_all(serde_json::to_string_pretty(keys)?.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)
    }
}

/// How files are made that their owner alone may read.
fn own() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The keys as the service sees them.
#[derive(Debug)]
pub struct Keys {
    file: KeyFile,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    keys: Arc<BTreeMap<String, Held>>,
    changed: Option<SystemTime>,
    looked: Instant,
}

/// A key in the form in which it is looked at.
#[derive(Debug)]
struct Held {
    sha256: Vec<u8>,
    expires: Option<u64>,
    access: Arc<Access>,
}

impl Keys {
    /// Of a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let file = KeyFile::new(path);
        let keys = by_id(file.read()?);
        let seen = Seen {
            keys: Arc::new(keys),
            changed: changed(path),
            looked: Instant::now(),
        };
        Ok(Self {
            file,
            seen: Mutex::new(seen),
        })
    }

    fn current(&self) -> Arc<BTreeMap<String, Held>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.looked.elapsed() >= LOOK {
            seen.looked = Instant::now();
            let changed = changed(&self.file.path);
            // A file that cannot be read leaves the old keys; one that is gone leaves none.
            if changed != seen.changed
                && let Ok(keys) = self.file.read()
            {
                seen.keys = Arc::new(by_id(keys));
                seen.changed = changed;
            }
        }
        seen.keys.clone()
    }

    /// What a key may see.
    ///
    /// # Errors
    /// If it is none, or has expired: 401, in the same words.
    pub fn check(&self, text: &str) -> Result<Arc<Access>, Problem> {
        let keys = self.current();
        let id = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('_'))
            .map(|(id, _)| id);
        let key = id.and_then(|id| keys.get(id));
        let expected = key.map(|key| &key.sha256[..]).unwrap_or_default();
        let same: bool = Sha256::digest(text.as_bytes())[..].ct_eq(expected).into();
        match key {
            Some(key) if same && key.expires.is_none_or(|expires| now() < expires) => Ok(key.access.clone()),
            _ => Err(wrong()),
        }
    }
}

fn by_id(keys: Vec<Key>) -> BTreeMap<String, Held> {
    let held = |key: Key| Held {
        // What is no digest is that of no key.
        sha256: unhex(&key.sha256).unwrap_or_default(),
        expires: key.expires,
        access: Arc::new(key.access),
    };
    keys.into_iter().map(|key| (key.id.clone(), held(key))).collect()
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}

/// Seconds since the epoch.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// 401: a key that is none.
pub fn wrong() -> Problem {
    let detail = "the key is unknown, revoked or expired; `hitters keys add` makes one";
    Problem::new(StatusCode::UNAUTHORIZED, "wrong-key", "the key is not valid", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_made_and_revoked_at_the_same_moment_are_all_there_and_all_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/keys.json");
        let all = |work: &(dyn Fn(usize) + Sync)| {
            std::thread::scope(|scope| {
                (0..8).for_each(|thread| drop(scope.spawn(move || (0..5).for_each(|turn| work(thread * 5 + turn)))));
            });
        };
        all(&|number| {
            let mut access = Access::all();
            access.name = format!("key {number}");
            KeyFile::new(&path).add(access, None).unwrap();
        });
        assert_eq!(KeyFile::new(&path).read().unwrap().len(), 40);
        all(&|number| assert_eq!(KeyFile::new(&path).revoke(&format!("key {number}")).unwrap(), 1));
        assert_eq!(KeyFile::new(&path).read().unwrap(), []);
    }

    #[test]
    fn only_the_whole_key_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let file = KeyFile::new(&path);
        let mut access = Access::all();
        access.name = "wall".into();
        let key = file.add(access.clone(), None).unwrap();
        let old = file.add(Access::all(), Some(now() - 1)).unwrap();
        let keys = Keys::open(&path).unwrap();
        assert_eq!(keys.check(&key), Ok(Arc::new(access)));
        let stored = file.read().unwrap();
        let (id, secret) = key[3..].split_once('_').unwrap();
        assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(secret).unwrap().len(), 32);
        for wrong in [
            "",
            "hk_",
            id,
            &key[..key.len() - 1],
            &key[3..],
            &key.to_uppercase(),
            &format!("{key} "),
            &format!("hk_{id}_"),
            &stored[0].sha256,
            &format!("hk_{id}_{}", stored[0].sha256),
            &format!("hk_{}_{secret}", stored[1].id),
            &old,
        ] {
            assert!(keys.check(wrong).is_err(), "{wrong}");
        }
        assert!(!std::fs::read_to_string(&path).unwrap().contains(secret));
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions()) & 0o777,
            0o600
        );
        assert_eq!(file.revoke("wall").unwrap(), 1);
        std::thread::sleep(LOOK);
        assert!(keys.check(&key).is_err());
    }
}
