//! An S3 service: moto (`tests/s3/serve.py`), which keeps everything in memory and checks signatures and permissions.

use super::{Process, cached, certificate, free_port};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A running service with the bucket [`S3::BUCKET`].
pub struct S3 {
    process: Option<Process>,
    folder: TempDir,
    port: u16,
    options: &'static [&'static str],
}

impl S3 {
    /// The bucket that is there.
    pub const BUCKET: &str = "hitters";

    /// Starts a service.
    pub fn start() -> Self {
        Self::launch(&[])
    }

    /// Starts a service as older ones are: it ignores `If-None-Match`. (It checks no signatures, since they cover the header.)
    pub fn start_without_conditions() -> Self {
        Self::launch(&["--without-conditions"])
    }

    /// Starts a service that speaks TLS, by the certificate at [`S3::certificate`], which nobody has signed.
    pub fn start_with_tls() -> Self {
        Self::launch(&["--tls"])
    }

    fn launch(options: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for S3");
        certificate(folder.path());
        let mut s3 = Self {
            process: None,
            folder,
            port: free_port(),
            options,
        };
        s3.start_again();
        s3
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The variables of the environment that hold the credentials of a user: `writer` may do everything, `stranger` nothing.
    pub fn credentials(&self, user: &str) -> Vec<(String, String)> {
        let keys = std::fs::read_to_string(self.keys()).expect("the service wrote its keys");
        let line = keys
            .lines()
            .find_map(|line| line.strip_prefix(user))
            .expect("the service has this user");
        let (key, secret) = line.trim().split_once(' ').expect("a key and a secret");
        [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    /// The certificate of a service with TLS.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    /// Kills the service, and with it all that it holds.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts a stopped service again at the same address, empty and with new credentials.
    pub fn start_again(&mut self) {
        let _ = std::fs::remove_file(self.keys());
        let python = cached("HITTERS_MOTO", "moto-5.2.5", "bin/python").join("bin/python");
        let mut server = Command::new(python);
        server
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("s3/serve.py"))
            .arg(self.port.to_string())
            .arg(self.keys())
            .args(self.options)
            .current_dir(self.folder.path());
        let (port, log) = (self.port, self.folder.path().join("s3.log"));
        let ready = move || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        self.process = Some(Process::start("the S3 service", &mut server, &log, ready));
    }

    /// Holds the service still, as if its machine hung.
    pub fn freeze(&self) {
        self.process.iter().for_each(|process| process.signal("STOP"));
    }

    /// Lets a frozen service go on.
    pub fn thaw(&self) {
        self.process.iter().for_each(|process| process.signal("CONT"));
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }
}
