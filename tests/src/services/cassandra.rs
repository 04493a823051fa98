//! Apache Cassandra 5.0.8: one node with small memory, without JMX.

use super::{Process, Slot, cached, client_certificate, free_port, node_certificate};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tempfile::TempDir;

/// Packages of the JDK that Cassandra looks into.
const EXPORTS: [&str; 8] = [
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
];
const OPENS: [&str; 16] = [
    "java.base/java.lang.module",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.net",
    "jdk.management/com.sun.management.internal",
];

/// A running node.
pub struct Cassandra {
    process: Slot,
    folder: TempDir,
    port: u16,
    /// It may be started again.
    lasting: bool,
}

impl Cassandra {
    /// Starts an empty node that can be stopped and started again: takes some seconds, and half a gigabyte.
    pub fn start() -> Self {
        Self::with("", true)
    }

    /// Starts a node that wants a login: the user is `cassandra`, and so is the password. It also speaks TLS, with clients that have a
    /// certificate of its authority ([`Cassandra::file`] `authority.crt`), as `client.crt` with `client.key`; its own names `localhost` alone.
    pub fn with_login() -> Self {
        let folder = tempfile::tempdir().expect("a folder for Cassandra");
        client_certificate(folder.path());
        node_certificate(folder.path(), "DNS:localhost");
        let files = folder.path().display();
        let settings = format!(
            "authenticator: PasswordAuthenticator\nauthorizer: CassandraAuthorizer\nrole_manager: CassandraRoleManager\n\
             client_encryption_options:\n  enabled: true\n  optional: true\n  require_client_auth: true\n  \
             keystore: {files}/node.pem\n  truststore: {files}/authority.crt\n  \
             ssl_context_factory:\n    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory\n"
        );
        Self::in_folder(folder, &settings, false)
    }

    /// Starts a node with further lines of cassandra.yaml. One that is not `lasting` makes tables faster, since it does not write to its
    /// disk that they are there: it must not be started again.
    fn with(settings: &str, lasting: bool) -> Self {
        Self::in_folder(tempfile::tempdir().expect("a folder for Cassandra"), settings, lasting)
    }

    fn in_folder(folder: TempDir, settings: &str, lasting: bool) -> Self {
        let (port, storage) = (free_port(), free_port());
        let data = folder.path().display();
        let yaml = format!(
            "cluster_name: tests\nnum_tokens: 1\npartitioner: org.apache.cassandra.dht.Murmur3Partitioner\n\
             data_file_directories: [\"{data}/data\"]\ncommitlog_directory: \"{data}/commitlog\"\n\
             saved_caches_directory: \"{data}/caches\"\nhints_directory: \"{data}/hints\"\ncdc_raw_directory: \"{data}/cdc\"\n\
             commitlog_sync: periodic\ncommitlog_sync_period: 1000ms\ncommitlog_total_space: 64MiB\ncommitlog_segment_size: 8MiB\n\
             memtable_heap_space: 48MiB\nmemtable_offheap_space: 48MiB\nfile_cache_size: 32MiB\nkey_cache_size: 8MiB\n\
             concurrent_reads: 8\nconcurrent_writes: 8\nconcurrent_counter_writes: 2\nconcurrent_compactors: 1\n\
             hinted_handoff_enabled: false\nauto_snapshot: false\nendpoint_snitch: SimpleSnitch\n\
             listen_address: 127.0.0.1\nrpc_address: 127.0.0.1\nnative_transport_port: {port}\nstorage_port: {storage}\n\
             seed_provider:\n  - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n    parameters:\n      - seeds: \"127.0.0.1:{storage}\"\n{settings}"
        );
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("Cassandra's folder can be written");
        };
        write("cassandra.yaml", &yaml);
        write(
            "logback.xml",
            "<configuration><appender name=\"OUT\" class=\"ch.qos.logback.core.ConsoleAppender\"><encoder>\
             <pattern>%-5level %d{HH:mm:ss.SSS} %msg%n</pattern></encoder></appender>\
             <root level=\"INFO\"><appender-ref ref=\"OUT\"/></root></configuration>",
        );
        let cassandra = Self {
            process: Slot::default(),
            folder,
            port,
            lasting,
        };
        cassandra.start_again();
        cassandra
    }

    /// A node that the tests of this process share, each with keyspaces of its own. It stops with the last of them, and is never started
    /// again.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cassandra>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::with("", false));
            *shared = Arc::downgrade(&started);
            started
        })
    }

    /// `cassandra://host:port/keyspace`.
    pub fn url(&self, keyspace: &str) -> String {
        format!("cassandra://127.0.0.1:{}/{keyspace}", self.port)
    }

    /// The port of the native protocol.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where a table's files are.
    pub fn data(&self, keyspace: &str) -> PathBuf {
        self.folder.path().join("data").join(keyspace)
    }

    /// A file of a node with TLS.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Kills the node; what it has synced (every second) stays.
    pub fn stop(&self) {
        self.process.put(None);
    }

    /// Starts a stopped node again, at the same address with the same data.
    pub fn start_again(&self) {
        let jars = cached("HITTERS_CASSANDRA_LIB", "cassandra-5.0.8", "cassandra-all-5.0.8.jar");
        let log = self.folder.path().join("cassandra.log");
        let mut java = Command::new("java");
        java.args(["-Xms256m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-javaagent:{}", jars.join("jamm-0.4.0.jar").display()))
            .arg("-Djdk.attach.allowAttachSelf=true");
        for (option, names) in [("--add-exports", &EXPORTS[..]), ("--add-opens", &OPENS[..])] {
            for name in names {
                java.arg(option).arg(format!("{name}=ALL-UNNAMED"));
            }
        }
        java.arg(format!(
            "-Dcassandra.config=file://{}/cassandra.yaml",
            self.folder.path().display()
        ))
        .arg(format!(
            "-Dlogback.configurationFile=file://{}/logback.xml",
            self.folder.path().display()
        ))
        .arg(format!("-Dcassandra.storagedir={}", self.folder.path().display()))
        .args([
            "-Dcassandra-foreground=yes",
            "-Dcassandra.skip_wait_for_gossip_to_settle=0",
            "-Dcassandra.ring_delay_ms=1",
            "-Dcassandra.load_ring_state=false",
            "-Dcassandra.superuser_setup_delay_ms=0",
            if self.lasting {
                "-Dcassandra.unsafesystem=false"
            } else {
                "-Dcassandra.unsafesystem=true"
            },
            "-Djava.net.preferIPv4Stack=true",
            "-cp",
        ])
        .arg(format!("{}/*", jars.display()))
        .arg("org.apache.cassandra.service.CassandraDaemon");
        let ready = {
            let log = log.clone();
            move || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Startup complete"))
        };
        self.process
            .put(Some(Process::start("Cassandra", &mut java, &log, ready)));
    }

    /// Holds the node still, as if its machine hung.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// Lets a frozen node go on.
    pub fn thaw(&self) {
        self.process.signal("CONT");
    }
}
