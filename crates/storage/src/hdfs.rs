//! HDFS, by its own protocol, without Java.
//!
//! An object is written to a temporary file, synced on its datanodes, and renamed to its name. A rename is one step at the
//! namenode, which does one after the other: for [`Storage::put_new`] it is a rename that fails if the name is taken, so of
//! several writers one wins. An answer to it may be lost after it was done; nobody else renames the temporary file of a call,
//! so that it is gone says that the call has won.
//!
//! Temporary files lie in a folder of their own, [`TEMPORARY`]. A run cannot know whether others still write theirs, so it
//! removes those that are a day old.
//!
//! User and cluster come from Hadoop's own variables: `HADOOP_USER_NAME`, `HADOOP_CONF_DIR`, and Kerberos' cache of tickets.

use crate::caller::Caller;
use crate::location::{HdfsLocation, Location};
use crate::patience::{Fault, Patience};
use crate::{Report, name};
use bytes::Bytes;
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions};
use hitters_dataflow::checkpoint::{Storage, StorageError};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// Folder of the temporary files. No name of an object begins with a dot.
const TEMPORARY: &str = ".temporary";

/// Older temporary files belong to runs that are gone.
const LEFT: Duration = Duration::from_secs(24 * 3600);

/// What is written or read within [`Patience::answer`], in bytes.
const PART: usize = 8 << 20;

/// A store in a folder of HDFS. Its calls block; they must not be made from within an asynchronous runtime.
pub struct Hdfs {
    caller: Caller,
    client: Client,
    location: HdfsLocation,
}

/// Whether an object may take the place of another one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Replace,
    New,
}

impl Hdfs {
    /// Makes the folder if it is not there, and removes what was left in it a day ago. `environment`: variables, of which
    /// `HADOOP_USER_NAME` and `HADOOP_CONF_DIR` are taken.
    ///
    /// # Errors
    /// The namenode cannot be reached within the limit, or refuses.
    pub fn open(
        location: &HdfsLocation,
        environment: impl IntoIterator<Item = (String, String)>,
        patience: Patience,
        report: Report,
    ) -> Result<Self, StorageError> {
        let failed = |error: &dyn fmt::Display| {
            StorageError::new(format!(
                "cannot use {} to store checkpoints: {error}",
                Location::Hdfs(location.clone())
            ))
        };
        let caller = Caller::new("hitters-hdfs", patience, report).map_err(|error| failed(&error))?;
        let mut builder = ClientBuilder::new()
            .with_url(format!("hdfs://{}", location.authority))
            .with_io_runtime(caller.runtime.handle().clone())
            // A try goes to each namenode; further tries are ours, so that the user hears of them.
            .with_config([
                ("dfs.client.failover.max.attempts", "2"),
                ("dfs.client.failover.sleep.base.millis", "1"),
                ("dfs.client.failover.sleep.max.millis", "10"),
            ]);
        for (variable, value) in environment {
            builder = match variable.as_str() {
                "HADOOP_USER_NAME" => builder.with_user(value),
                "HADOOP_CONF_DIR" => builder.with_config_dir(value),
                _ => builder,
            };
        }
        let client = builder.build().map_err(|error| failed(&error))?;
        let hdfs = Self {
            caller,
            client,
            location: location.clone(),
        };
        hdfs.remove_leftovers()?;
        Ok(hdfs)
    }

    fn path(&self, name: &str) -> String {
        match name {
            "" => self.location.folder.clone(),
            _ => format!("{}/{name}", self.location.folder),
        }
    }

    /// Asks until there is an answer.
    fn ask<T>(&self, verb: &str, name: &str, once: impl AsyncFnMut() -> Result<T, Fault>) -> Result<T, StorageError> {
        self.caller.ask(verb, &format!("{}/{name}", self.describe()), once)
    }

    /// One request, within its time.
    async fn within<T>(&self, request: impl Future<Output = hdfs_native::Result<T>>) -> hdfs_native::Result<T> {
        let late = |_| HdfsError::IOError(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"));
        timeout(self.caller.patience.answer, request).await.map_err(late)?
    }

    /// Makes the folders and removes old temporary files.
    fn remove_leftovers(&self) -> Result<(), StorageError> {
        let temporary = self.path(TEMPORARY);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let old = u64::try_from(now.saturating_sub(LEFT).as_millis()).unwrap_or(0);
        self.ask("open", "", async || {
            let clean = async {
                self.within(self.client.mkdirs(&temporary, 0o755, true)).await?;
                for file in self.within(self.client.list_status(&temporary, false)).await? {
                    if file.modification_time < old {
                        self.within(self.client.delete(&file.path, false)).await?;
                    }
                }
                Ok(())
            };
            clean.await.map_err(|error| fault(&error))
        })
    }

    /// Writes a temporary file and renames it. False if there is an object of the name and the mode does not replace it.
    fn write(&self, name: &str, bytes: &[u8], mode: Mode) -> Result<bool, StorageError> {
        name::check(name)?;
        let (bytes, target) = (Bytes::copy_from_slice(bytes), self.path(name));
        let temporary = self.ask("write", name, async || {
            // A new file for each try: the last one may still be open for the namenode.
            let temporary = self.path(&format!("{TEMPORARY}/{}", self.caller.token()));
            match self.fill(&temporary, &bytes).await {
                Ok(()) => Ok(temporary),
                Err(error) => {
                    let _ = self.within(self.client.delete(&temporary, false)).await;
                    Err(fault(&error))
                }
            }
        })?;
        let folder = target.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut lost = false;
        let written = self.ask("write", name, async || {
            let rename = async {
                self.within(self.client.mkdirs(folder, 0o755, true)).await?;
                self.within(self.client.rename(&temporary, &target, mode == Mode::Replace))
                    .await
            };
            let error = match rename.await {
                Ok(()) => return Ok(true),
                Err(error) => error,
            };
            if lost && !self.exists(&temporary).await? {
                return Ok(true);
            }
            match (&error, fault(&error)) {
                (HdfsError::AlreadyExists(_), _) if mode == Mode::New => Ok(false),
                (_, passing @ Fault::Passing(_)) => {
                    lost = true;
                    Err(passing)
                }
                (_, lasting) => Err(lasting),
            }
        });
        if !matches!(written, Ok(true)) {
            // If it cannot be removed now, a later run does it.
            let _ = self
                .caller
                .runtime
                .block_on(self.within(self.client.delete(&temporary, false)));
        }
        written
    }

    /// Writes a file that nobody else has open.
    async fn fill(&self, path: &str, bytes: &Bytes) -> hdfs_native::Result<()> {
        let mut file = self.within(self.client.create(path, WriteOptions::default())).await?;
        for part in bytes.chunks(PART) {
            self.within(file.write_bytes(bytes.slice_ref(part))).await?;
        }
        // Closing alone leaves the bytes in the memory of the datanodes. An empty file has none.
        if !bytes.is_empty() {
            self.within(file.hsync()).await?;
        }
        self.within(file.close()).await
    }

    async fn exists(&self, path: &str) -> Result<bool, Fault> {
        match self.within(self.client.get_file_info(path)).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(fault(&error)),
        }
    }

    async fn read(&self, path: &str) -> hdfs_native::Result<Vec<u8>> {
        let file = self.within(self.client.read(path)).await?;
        let mut bytes = vec![0; file.file_length()];
        for (number, part) in bytes.chunks_mut(PART).enumerate() {
            self.within(file.read_range_buf(part, number * PART)).await?;
        }
        Ok(bytes)
    }
}

/// There is no such file: some calls say it by the namenode's exception.
fn is_missing(error: &HdfsError) -> bool {
    match error {
        HdfsError::FileNotFound(_) => true,
        HdfsError::RPCError(class, _) => class == "java.io.FileNotFoundException",
        _ => false,
    }
}

/// What an error of HDFS means.
fn fault(error: &HdfsError) -> Fault {
    let text = match error {
        // The rest of such a message is where in the namenode's Java it happened.
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => {
            let class = class.rsplit('.').next().unwrap_or(class);
            format!("{class}: {}", message.lines().next().unwrap_or_default())
        }
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    };
    match error {
        HdfsError::IOError(_) => Fault::Passing(format!("HDFS cannot be reached ({text})")),
        HdfsError::DataTransferError(_) | HdfsError::ChecksumError | HdfsError::BlocksNotFound(_) => {
            Fault::Passing(format!("no datanode could do it ({text})"))
        }
        HdfsError::OperationFailed(_) => Fault::Passing(format!("HDFS could not do it ({text})")),
        HdfsError::RPCError(class, _) | HdfsError::FatalRPCError(class, _) => {
            match class.rsplit('.').next().unwrap_or(class) {
                "SafeModeException"
                | "StandbyException"
                | "RetriableException"
                | "ServerTooBusyException"
                | "ObserverRetryOnActiveException" => Fault::Passing(format!("the namenode is not ready ({text})")),
                // Of which kind is not said: too few datanodes, or none with space.
                "IOException" | "NotReplicatedYetException" => Fault::Passing(format!("HDFS could not do it ({text})")),
                "AccessControlException" | "AuthorizationException" => Fault::Lasting(format!(
                    "access is denied; set HADOOP_USER_NAME, or let that user read and write the folder ({text})"
                )),
                "NSQuotaExceededException" | "DSQuotaExceededException" | "QuotaByStorageTypeExceededException" => {
                    Fault::Lasting(format!(
                        "the quota is used up; keep fewer checkpoints, or raise it ({text})"
                    ))
                }
                "ParentNotDirectoryException" => Fault::Lasting(format!(
                    "there is a file where a folder should be; choose another folder ({text})"
                )),
                _ => Fault::Lasting(format!("the namenode refuses it ({text})")),
            }
        }
        HdfsError::SASLError(_) | HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => Fault::Lasting(format!(
            "the cluster wants another login; get a ticket by kinit ({text})"
        )),
        _ => Fault::Lasting(text),
    }
}

impl Storage for Hdfs {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.write(name, bytes, Mode::Replace).map(|_| ())
    }

    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<bool, StorageError> {
        self.write(name, bytes, Mode::New)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        name::check(name)?;
        let path = self.path(name);
        self.ask("read", name, async || match self.read(&path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(fault(&error)),
        })
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        name::check_folder(folder)?;
        let path = self.path(folder);
        let root = format!("{}/", self.location.folder);
        let mut found: Vec<String> = self.ask("list", folder, async || {
            for _ in 0..3 {
                match self.within(self.client.list_status(&path, true)).await {
                    // A file lists itself, and is no folder.
                    Ok(files) => {
                        let objects = files.into_iter().filter(|file| !file.isdir && file.path != path);
                        let names = objects.filter_map(|file| file.path.strip_prefix(&root).map(str::to_owned));
                        return Ok(names.collect());
                    }
                    // It came into being meanwhile, or a folder below it went away: once more.
                    Err(error) if is_missing(&error) && self.exists(&path).await? => {}
                    Err(error) if is_missing(&error) => return Ok(Vec::new()),
                    Err(error) => return Err(fault(&error)),
                }
            }
            Err(Fault::Passing("it changes all the time".into()))
        })?;
        // What others put there, and the temporary files, are no objects.
        found.retain(|name| name::check(name).is_ok());
        found.sort_unstable();
        Ok(found)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        name::check(name)?;
        let path = self.path(name);
        self.ask("delete", name, async || {
            match self.within(self.client.delete(&path, false)).await {
                Ok(_) => Ok(()),
                Err(error) if is_missing(&error) => Ok(()),
                Err(error) => Err(fault(&error)),
            }
        })
    }

    fn describe(&self) -> String {
        Location::Hdfs(self.location.clone()).to_string()
    }
}

impl fmt::Debug for Hdfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hdfs")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}
