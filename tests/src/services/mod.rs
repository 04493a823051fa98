//! Real services on free ports of the loopback, each with a folder of its own, stopped when dropped (also by a failing test).
//!
//! A test that cannot have its service fails; it never passes by leaving something out.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot start its service has to fail"
)]

mod arroyo;
mod cassandra;
mod hdfs;
mod kafka;
mod redis;
mod s3;

pub use arroyo::Arroyo;
pub use cassandra::Cassandra;
pub use hdfs::Hdfs;
pub use kafka::{Cluster, Kafka};
pub use redis::Redis;
pub use s3::S3;

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no port of the loopback is free");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Makes `tls.key` and `tls.crt` in a folder: a certificate for 127.0.0.1 that nobody has signed.
pub fn certificate(folder: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder);
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=hitters-tests",
    ]);
    openssl.args([
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "tls.key",
        "-out",
        "tls.crt",
    ]);
    let made = openssl
        .output()
        .expect("openssl makes certificates; `make test` installs it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Makes `authority.crt` in a folder, and `client.pem` with a certificate of that authority and its key.
pub(crate) fn client_certificate(folder: &Path) {
    let script = "set -e
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hitters-tests-authority -keyout authority.key -out authority.crt
        openssl req -newkey rsa:2048 -nodes -subj /CN=hitters-tests-client -keyout client.key -out client.csr
        printf 'extendedKeyUsage=clientAuth\n' > client.ext
        openssl x509 -req -in client.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 2 -extfile client.ext -out client.crt
        cat client.crt client.key > client.pem";
    let mut shell = Command::new("sh");
    let made = shell.current_dir(folder).args(["-c", script]).output();
    let made = made.expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Makes `node.pem` in that folder: a certificate of the same authority for a server with this name (`DNS:...`, `IP:...`), and its key.
pub(crate) fn node_certificate(folder: &Path, name: &str) {
    let script = format!(
        "set -e
        openssl req -newkey rsa:2048 -nodes -subj /CN=hitters-tests-node -keyout node.key -out node.csr
        printf 'subjectAltName={name}\n' > node.ext
        openssl x509 -req -in node.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 2 -extfile node.ext -out node.crt
        cat node.key node.crt > node.pem"
    );
    let mut shell = Command::new("sh");
    let made = shell.current_dir(folder).args(["-c", &script]).output();
    let made = made.expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A folder that scripts/services.sh leaves, with this file in it: `variable` names it, or it has this name in the cache.
pub fn cached(variable: &str, name: &str, file: &str) -> PathBuf {
    let cache = || {
        let root = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let root = root.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
        Some(root.join("hitters"))
    };
    let given = std::env::var_os(variable).map(PathBuf::from);
    let in_cache = || {
        let cache = std::env::var_os("HITTERS_CACHE").map(PathBuf::from).or_else(cache)?;
        Some(cache.join(name))
    };
    let folder = given.or_else(in_cache).unwrap_or_default();
    assert!(
        folder.join(file).exists(),
        "there is no {file} in '{}': run the tests by `make test`, or fetch it by scripts/services.sh and set {variable}",
        folder.display()
    );
    folder
}

/// A process that can be killed and started again by whoever shares its service.
#[derive(Default)]
struct Slot(Mutex<Option<Process>>);

impl Slot {
    fn put(&self, process: Option<Process>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = process;
    }

    fn signal(&self, signal: &str) {
        let process = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        process.iter().for_each(|process| process.signal(signal));
    }
}

/// A process that ends with its owner.
struct Process {
    child: Child,
    name: &'static str,
}

impl Process {
    /// Starts `command` with its output in `log`, and waits until `ready` says so.
    fn start(name: &'static str, command: &mut Command, log: &Path, mut ready: impl FnMut() -> bool) -> Self {
        let output = File::create(log).expect("the folder of a service can be written");
        let errors = output.try_clone().expect("a file can be shared");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = child
            .unwrap_or_else(|error| panic!("{name} does not start: {error}; `make test` installs what the tests need"));
        let mut process = Self { child, name };
        let until = Instant::now() + Duration::from_secs(120);
        while !ready() {
            let ended = process.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > until {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                let end = log.lines().rev().take(30).collect::<Vec<_>>();
                panic!(
                    "{name} is not ready ({ended:?}); its log ends:\n{}",
                    end.into_iter().rev().collect::<Vec<_>>().join("\n")
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// Stops the process as a broken machine would: without a chance to say goodbye.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Holds the process still (`STOP`) or lets it go on (`CONT`): a machine that hangs.
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "{} cannot be sent {signal}",
            self.name
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
