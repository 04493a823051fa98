//! Apache Hadoop's HDFS 3.5.0: a namenode and a datanode in one process, with permissions checked.

use super::{Process, cached, free_port};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tempfile::TempDir;

/// A running cluster.
pub struct Hdfs {
    process: Option<Process>,
    folder: TempDir,
    port: u16,
    web: u16,
}

impl Hdfs {
    /// Starts an empty cluster. It runs as the user of this process, who may do everything there; others may only read.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for HDFS");
        let mut hdfs = Self {
            process: None,
            folder,
            port: free_port(),
            web: free_port(),
        };
        hdfs.launch(true);
        hdfs
    }

    /// A cluster that the tests of this process share, each with folders of its own, since a start takes seconds. It stops
    /// with the last of them.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Hdfs>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *shared = Arc::downgrade(&started);
            started
        })
    }

    /// `host:port` of the namenode.
    pub fn namenode(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port of the namenode.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the cluster; its data stays.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts a stopped cluster again, at the same address with the same data.
    pub fn start_again(&mut self) {
        self.launch(false);
    }

    /// Holds the cluster still, as if its machine hung.
    pub fn freeze(&self) {
        self.process.iter().for_each(|process| process.signal("STOP"));
    }

    /// Lets a frozen cluster go on.
    pub fn thaw(&self) {
        self.process.iter().for_each(|process| process.signal("CONT"));
    }

    fn launch(&mut self, format: bool) {
        let jars: PathBuf = cached("HITTERS_HDFS_LIB", "hdfs-3.5.0", "hadoop-client-minicluster-3.5.0.jar");
        let (log, details) = (
            self.folder.path().join("hdfs.log"),
            self.folder.path().join("details.json"),
        );
        let _ = std::fs::remove_file(&details);
        let mut java = Command::new("java");
        java.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .env_remove("HADOOP_USER_NAME")
            .arg(format!("-Dtest.build.data={}", self.folder.path().display()))
            .arg("-cp")
            .arg(format!("{}/*", jars.display()))
            .arg("org.apache.hadoop.test.MiniDFSClusterManager")
            .args(["-datanodes", "1", "-nnport", &self.port.to_string()])
            .args(["-httpport", &self.web.to_string()])
            .args(["-D", "dfs.replication=1", "-D", "dfs.permissions.enabled=true"])
            // Small pages, so that a list of a hundred files has several.
            .args(["-D", "dfs.ls.limit=50"])
            .arg("-writeDetails")
            .arg(&details)
            .args(format.then_some("-format"));
        // The manager writes its details when the cluster is up.
        let ready = move || std::fs::metadata(&details).is_ok_and(|details| details.len() > 0);
        self.process = Some(Process::start("HDFS", &mut java, &log, ready));
    }
}
