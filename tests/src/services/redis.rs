//! A Redis server that keeps nothing on disk, unless it is asked to.

use super::{Process, free_port};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use tempfile::TempDir;

/// A running server.
pub struct Redis {
    process: Option<Process>,
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts a server.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with further arguments (`--maxmemory`, `1mb`, ...).
    pub fn with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Redis");
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        let mut redis = Self {
            process: None,
            folder,
            port: free_port(),
            arguments,
        };
        redis.start_again();
        redis
    }

    /// `redis://host:port`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server, and with it all that it holds (unless it was started with a file to append to).
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts a stopped server again at the same address.
    pub fn start_again(&mut self) {
        let mut server = Command::new("redis-server");
        server
            .current_dir(self.folder.path())
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &self.port.to_string(),
                "--save",
                "",
                "--daemonize",
                "no",
            ])
            .args(&self.arguments);
        let (port, log) = (self.port, self.folder.path().join("redis.log"));
        let ready = move || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        self.process = Some(Process::start("redis-server", &mut server, &log, ready));
    }

    /// Holds the server still, as if its machine hung.
    pub fn freeze(&self) {
        self.process.iter().for_each(|process| process.signal("STOP"));
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.process.iter().for_each(|process| process.signal("CONT"));
    }
}
