//! S3, and services that speak its protocol.
//!
//! [`Storage::put_new`] is a PUT with `If-None-Match: *`. An answer to it may be lost after the object was written, and the
//! next try then meets our own object: each object carries the name of its writer, which settles who won. A service that does
//! not know the condition and ignores it would let two runs write one state, so the first object that is new is put a second
//! time, which must be refused.
//!
//! Objects above [`PART`] are written and read in parts, so that a broken connection costs a part and not the whole; the service
//! shows them when they are complete. Parts of a run that was killed are not seen by anyone, but kept by the service: a lifecycle
//! rule of the bucket (`AbortIncompleteMultipartUpload`) removes them.
//!
//! Every try is `object_store`'s without retries of its own; [`Patience`] asks again, and tells the user.

mod answer;
mod crypto;

use crate::caller::Caller;
use crate::location::{Location, S3Location};
use crate::patience::{Fault, Patience};
use crate::{Report, name};
use answer::{Cause, Connector, cause};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use hitters_dataflow::checkpoint::{Storage, StorageError};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, RetryConfig,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Size of a part, and of the largest object that is written or read at once, in bytes. One takes [`Patience::answer`] at most,
/// so the way to the service must carry 280 kB/s. S3 wants 5 MiB at least, and takes 10,000
/// parts: objects of up to 80 GiB.
const PART: usize = 8 << 20;

/// Parts under way at once.
const PARTS_AT_ONCE: usize = 4;

/// The metadata that names the writer of an object.
const WRITER: &str = "hitters-writer";

/// A store in a bucket. Its calls block; they must not be made from within an asynchronous runtime.
pub struct S3 {
    caller: Caller,
    store: AmazonS3,
    location: S3Location,
    /// The service was seen to refuse a second object of a name.
    refuses: AtomicBool,
}

/// What a lookup of an object's writer found.
#[derive(PartialEq, Eq)]
enum Winner {
    Us,
    Other,
    Gone,
}

impl S3 {
    /// Prepares the way to a bucket; nothing is asked yet. `environment`: variables, of which those that begin with `AWS_`
    /// are taken; what the URL says goes first.
    ///
    /// # Errors
    /// Settings that do not fit together.
    pub fn open(
        location: &S3Location,
        environment: impl IntoIterator<Item = (String, String)>,
        patience: Patience,
        report: Report,
    ) -> Result<Self, StorageError> {
        let failed = |error: &dyn fmt::Display| {
            StorageError::new(format!(
                "cannot use {} to store checkpoints: {error}",
                Location::S3(location.clone())
            ))
        };
        let client = ClientOptions::new()
            .with_timeout(patience.answer)
            .with_connect_timeout(patience.answer.min(Duration::from_secs(5)))
            .with_allow_http(location.allow_http)
            // The pool may hold a connection that the service has closed meanwhile; most close after a minute.
            .with_pool_idle_timeout(Duration::from_secs(20));
        let mut builder = AmazonS3Builder::new().with_client_options(client);
        for (variable, value) in environment {
            let key = variable.starts_with("AWS_").then(|| variable.to_ascii_lowercase());
            if let Some(key) = key.and_then(|key| key.parse::<AmazonS3ConfigKey>().ok()) {
                builder = builder.with_config(key, value);
            }
        }
        let retry = RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        let metadata = builder.get_config_value(&AmazonS3ConfigKey::MetadataEndpoint);
        builder = builder
            .with_bucket_name(&location.bucket)
            .with_http_connector(Connector::new(metadata.as_deref()))
            .with_crypto_provider(Arc::new(crypto::Sha2))
            .with_retry(retry)
            // One request for an object, which every service knows.
            .with_disable_bulk_delete(true);
        if let Some(region) = &location.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &location.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        Ok(Self {
            caller: Caller::new("hitters-s3", patience, report).map_err(|error| failed(&error))?,
            store: builder.build().map_err(|error| failed(&error))?,
            location: location.clone(),
            refuses: AtomicBool::new(false),
        })
    }

    fn path(&self, name: &str) -> Result<Path, StorageError> {
        let full = if self.location.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.location.prefix)
        };
        Path::parse(full)
            .map_err(|error| StorageError::new(format!("cannot store {name:?} in {}: {error}", self.describe())))
    }

    /// Asks the service until it answers.
    fn ask<T>(&self, verb: &str, name: &str, once: impl AsyncFnMut() -> Result<T, Fault>) -> Result<T, StorageError> {
        self.caller.ask(verb, &format!("{}/{name}", self.describe()), once)
    }

    fn cause(&self, error: &object_store::Error) -> Cause {
        cause(error, &self.location)
    }

    /// A fault of a request that is not answered by what is there.
    fn fault(&self, error: &object_store::Error) -> Fault {
        match self.cause(error) {
            Cause::Passing { text, .. } => Fault::Passing(text),
            Cause::Lasting(text) => Fault::Lasting(text),
            Cause::Missing | Cause::Exists | Cause::Empty => {
                Fault::Lasting(format!("an answer without sense ({error})"))
            }
        }
    }

    /// Who wrote the object that stands there now.
    async fn winner(&self, path: &Path, token: &str) -> Result<Winner, Fault> {
        let head = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match self.store.get_opts(path, head).await {
            Ok(found) => {
                let writer = found.attributes.get(&Attribute::Metadata(WRITER.into()));
                Ok(if writer.is_some_and(|writer| writer.as_ref() == token) {
                    Winner::Us
                } else {
                    Winner::Other
                })
            }
            Err(error) => match self.cause(&error) {
                Cause::Missing => Ok(Winner::Gone),
                _ => Err(self.fault(&error)),
            },
        }
    }

    /// One try to put an object that must be new.
    async fn try_new(&self, path: &Path, bytes: &Bytes, token: &str) -> Result<(), object_store::Error> {
        let options = PutOptions {
            mode: PutMode::Create,
            attributes: written_by(token),
            ..PutOptions::default()
        };
        self.store
            .put_opts(path, PutPayload::from(bytes.clone()), options)
            .await
            .map(|_| ())
    }

    /// Makes sure, once, that the service knows the condition: an object that is there now is refused.
    fn check_condition(&self, name: &str, path: &Path, bytes: &Bytes, token: &str) -> Result<(), StorageError> {
        if self.refuses.load(Relaxed) {
            return Ok(());
        }
        self.ask("write", name, async || match self.try_new(path, bytes, token).await {
            Ok(()) => Err(Fault::Lasting(
                "the service ignores If-None-Match: *, so it cannot keep two runs from writing one state; use one that knows it"
                    .into(),
            )),
            Err(error) => match self.cause(&error) {
                Cause::Exists => Ok(()),
                _ => Err(self.fault(&error)),
            },
        })?;
        self.refuses.store(true, Relaxed);
        Ok(())
    }

    /// Reads a part of an object and the size of the whole. `None` if there is no such object.
    async fn read_part(&self, path: &Path, from: u64) -> Result<Option<(Bytes, u64)>, Fault> {
        let read = async |range| {
            let got = self
                .store
                .get_opts(
                    path,
                    GetOptions {
                        range,
                        ..GetOptions::default()
                    },
                )
                .await?;
            let size = got.meta.size;
            Ok::<_, object_store::Error>((got.bytes().await?, size))
        };
        let mut got = read(Some(GetRange::Bounded(from..from + PART as u64))).await;
        if got.as_ref().is_err_and(|error| self.cause(error) == Cause::Empty) {
            got = read(None).await;
        }
        match got {
            Ok(got) => Ok(Some(got)),
            Err(error) => match self.cause(&error) {
                Cause::Missing => Ok(None),
                _ => Err(self.fault(&error)),
            },
        }
    }

    /// Writes an object in parts.
    fn put_parts(&self, name: &str, path: &Path, bytes: &Bytes) -> Result<(), StorageError> {
        loop {
            let token = self.caller.token();
            let options = || PutMultipartOptions {
                attributes: written_by(&token),
                ..PutMultipartOptions::default()
            };
            let id = self.ask("write", name, async || {
                self.store
                    .create_multipart_opts(path, options())
                    .await
                    .map_err(|error| self.fault(&error))
            })?;
            let what = format!("write {}/{name}", self.describe());
            let parts = bytes.chunks(PART).enumerate().map(|(number, part)| {
                let (id, part, what) = (&id, bytes.slice_ref(part), &what);
                async move {
                    let once = async || {
                        let put = self.store.put_part(path, id, number, PutPayload::from(part.clone()));
                        put.await.map_err(|error| self.fault(&error))
                    };
                    self.caller.patience.ask(&self.caller.report, what, once).await
                }
            });
            let parts = stream::iter(parts).buffered(PARTS_AT_ONCE).try_collect::<Vec<PartId>>();
            let done = self.caller.runtime.block_on(parts).and_then(|parts| {
                self.ask("write", name, async || {
                    match self.store.complete_multipart(path, &id, parts.clone()).await {
                        Ok(_) => Ok(true),
                        Err(error) => match self.cause(&error) {
                            // Completed by a try whose answer was lost, or taken away from us.
                            Cause::Missing => Ok(self.winner(path, &token).await? == Winner::Us),
                            _ => Err(self.fault(&error)),
                        },
                    }
                })
            });
            match done {
                Ok(true) => return Ok(()),
                Ok(false) => (self.caller.report)(&format!(
                    "the parts of {}/{name} are gone; writing it again",
                    self.describe()
                )),
                Err(error) => {
                    // Once: the service may be the reason why it failed.
                    let _ = self.caller.runtime.block_on(self.store.abort_multipart(path, &id));
                    return Err(error);
                }
            }
        }
    }
}

fn written_by(token: &str) -> Attributes {
    Attributes::from_iter([(Attribute::Metadata(WRITER.into()), token.to_owned())])
}

impl Storage for S3 {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        name::check(name)?;
        let (path, bytes) = (self.path(name)?, Bytes::copy_from_slice(bytes));
        if bytes.len() > PART {
            return self.put_parts(name, &path, &bytes);
        }
        self.ask("write", name, async || {
            let put = self.store.put(&path, PutPayload::from(bytes.clone()));
            put.await.map(|_| ()).map_err(|error| self.fault(&error))
        })
    }

    /// One request whatever the size, S3's limit for which is 5 GiB: only the last step of a write in parts could carry the
    /// condition, and few services know it there.
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<bool, StorageError> {
        name::check(name)?;
        let (path, bytes, token) = (self.path(name)?, Bytes::copy_from_slice(bytes), self.caller.token());
        let mut lost = false;
        let won = self.ask("write", name, async || {
            let Err(error) = self.try_new(&path, &bytes, &token).await else {
                return Ok(true);
            };
            match self.cause(&error) {
                Cause::Exists if !lost => Ok(false),
                // One of our tries may have been done although its answer did not come.
                Cause::Exists => match self.winner(&path, &token).await? {
                    Winner::Us => Ok(true),
                    Winner::Other => Ok(false),
                    Winner::Gone => Err(Fault::Passing("it was deleted meanwhile".into())),
                },
                Cause::Passing { undone, .. } => {
                    lost |= !undone;
                    Err(self.fault(&error))
                }
                _ => Err(self.fault(&error)),
            }
        })?;
        if won {
            self.check_condition(name, &path, &bytes, &token)?;
        }
        Ok(won)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        name::check(name)?;
        let path = self.path(name)?;
        let what = format!("read {}/{name}", self.describe());
        let ask = |from: u64| {
            let (path, what) = (&path, &what);
            async move {
                self.caller
                    .patience
                    .ask(&self.caller.report, what, async || self.read_part(path, from).await)
                    .await
            }
        };
        self.caller.runtime.block_on(async {
            let Some((first, size)) = ask(0).await? else {
                return Ok(None);
            };
            let mut bytes = Vec::from(first);
            let rest = stream::iter((PART as u64..size).step_by(PART))
                .map(ask)
                .buffered(PARTS_AT_ONCE);
            let rest: Option<Vec<_>> = rest.try_collect::<Vec<_>>().await?.into_iter().collect();
            // Deleted while it was read: as if it had been before.
            let Some(rest) = rest else { return Ok(None) };
            for (part, _) in rest {
                bytes.extend_from_slice(&part);
            }
            Ok(Some(bytes))
        })
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        name::check_folder(folder)?;
        let path = match (folder, self.location.prefix.as_str()) {
            ("", "") => None,
            ("", prefix) => Some(Path::parse(prefix).map_err(|error| StorageError::new(error.to_string()))?),
            _ => Some(self.path(folder)?),
        };
        let skipped = if self.location.prefix.is_empty() {
            0
        } else {
            self.location.prefix.len() + 1
        };
        let mut found: Vec<String> = self.ask("list", folder, async || {
            let objects = self.store.list(path.as_ref()).map(|object| match object {
                Ok(object) => Ok(object.location.as_ref().get(skipped..).unwrap_or_default().to_owned()),
                Err(error) => Err(self.fault(&error)),
            });
            objects.try_collect().await
        })?;
        // What others put there is no object of ours.
        found.retain(|name| name::check(name).is_ok());
        found.sort_unstable();
        Ok(found)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        name::check(name)?;
        let path = self.path(name)?;
        self.ask("delete", name, async || match self.store.delete(&path).await {
            Ok(()) => Ok(()),
            Err(error) => match self.cause(&error) {
                Cause::Missing => Ok(()),
                _ => Err(self.fault(&error)),
            },
        })
    }

    fn describe(&self) -> String {
        Location::S3(self.location.clone()).to_string()
    }
}

impl fmt::Debug for S3 {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}
