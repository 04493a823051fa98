//! A Redis server that keeps nothing on disk, unless it is asked to.

use super::{Process, Slot, certificate, client_certificate, free_port};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A running server.
pub struct Redis {
    process: Slot,
    folder: TempDir,
    port: u16,
    tls: bool,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts a server.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with further arguments (`--maxmemory`, `1mb`, ...).
    pub fn with(arguments: &[&str]) -> Self {
        Self::launch(arguments, false)
    }

    /// Starts a server that speaks TLS only, by the certificate at [`Redis::certificate`], which nobody has signed.
    pub fn with_tls() -> Self {
        Self::launch(
            &[
                "--tls-cert-file",
                "tls.crt",
                "--tls-key-file",
                "tls.key",
                "--tls-auth-clients",
                "no",
            ],
            true,
        )
    }

    /// The same, for clients with a certificate that the authority of [`Redis::file`] `authority.crt` has signed, as that in `client.crt`
    /// with the key `client.key`: what Redis asks for unless it is told otherwise.
    pub fn with_tls_of_both() -> Self {
        Self::launch(
            &[
                "--tls-cert-file",
                "tls.crt",
                "--tls-key-file",
                "tls.key",
                "--tls-ca-cert-file",
                "authority.crt",
            ],
            true,
        )
    }

    fn launch(arguments: &[&str], tls: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Redis");
        if tls {
            certificate(folder.path());
            client_certificate(folder.path());
        }
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        let redis = Self {
            process: Slot::default(),
            folder,
            port: free_port(),
            tls,
            arguments,
        };
        redis.start_again();
        redis
    }

    /// `redis://host:port`, with TLS `rediss://host:port`.
    pub fn url(&self) -> String {
        format!("redis{}://127.0.0.1:{}", if self.tls { "s" } else { "" }, self.port)
    }

    /// The certificate of a server with TLS.
    pub fn certificate(&self) -> PathBuf {
        self.file("tls.crt")
    }

    /// A file of a server with TLS.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server, and with it all that it holds (unless it was started with a file to append to).
    pub fn stop(&self) {
        self.process.put(None);
    }

    /// Starts a stopped server again at the same address.
    pub fn start_again(&self) {
        let port = self.port.to_string();
        let mut server = Command::new("redis-server");
        server
            .current_dir(self.folder.path())
            .args(["--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
            // A server that was built without TLS does not know its options.
            .args(if self.tls {
                vec!["--port", "0", "--tls-port", &port]
            } else {
                vec!["--port", &port]
            })
            .args(&self.arguments);
        let (port, log) = (self.port, self.folder.path().join("redis.log"));
        let ready = move || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        let process = Process::start("redis-server", &mut server, &log, ready);
        self.process.put(Some(process));
    }

    /// Holds the server still, as if its machine hung.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.process.signal("CONT");
    }
}
