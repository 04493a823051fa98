//! A real Arroyo cluster: the one at `ARROYO_URL`, or one that is started from the program at `ARROYO_BIN`, with a process for each
//! worker. (With everything in one process, its scheduler ends the pipelines that run when another one starts.)
//!
//! There is none in the registries that the tests fetch from, so that tests which want one are skipped without it, loudly.

use super::{Process, free_port};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A running cluster.
pub struct Arroyo {
    /// `None` for one that is not ours.
    own: Option<Own>,
    url: String,
}

struct Own {
    process: Option<Process>,
    program: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Own {
    /// Workers outlive a controller that is killed alone.
    fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            let group = format!("-{}", process.child.id());
            let killed = Command::new("kill").args(["-KILL", "--", &group]).status();
            assert!(
                killed.is_ok_and(|status| status.success()),
                "Arroyo's processes cannot be killed"
            );
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Arroyo {
    /// The cluster; `None`, said on standard error, if there is none. `test` is who goes without.
    pub fn get(test: &str) -> Option<Self> {
        if let Some(program) = std::env::var_os("ARROYO_BIN") {
            return Some(Self::start(program.into()));
        }
        let url = std::env::var("ARROYO_URL").ok();
        if url.is_none() {
            // Past the capture of the test harness: it must not go unseen.
            let _ = writeln!(
                std::io::stderr(),
                "\nSKIPPED: {test} needs a real Arroyo: set ARROYO_BIN to its program, or ARROYO_URL to its address (make test-arroyo)\n"
            );
        }
        url.map(|url| Self { own: None, url })
    }

    /// Starts the program with a state of its own, and with the settings that sql/README.md tells operators to make.
    fn start(program: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Arroyo");
        let [port, controller, compiler, admin] = [free_port(), free_port(), free_port(), free_port()];
        // What was compiled is known by its text and is kept, since the first function takes minutes.
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/hitters"));
        let cache = std::env::var_os("HITTERS_CACHE").map(PathBuf::from).or_else(home);
        let cache = cache.expect("a home for the cache").join("arroyo");
        let config = format!(
            "disable-telemetry = true\n\
             checkpoint-url = \"file://{here}/checkpoints\"\n\
             [api]\nbind-address = \"127.0.0.1\"\nhttp-port = {port}\n\
             [controller]\nbind-address = \"127.0.0.1\"\nrpc-port = {controller}\nscheduler = \"process\"\n\
             [compiler]\nbind-address = \"127.0.0.1\"\nrpc-port = {compiler}\ninstall-clang = false\ninstall-rustc = false\n\
             build-dir = \"{cache}/build\"\nartifact-url = \"file://{cache}/artifacts\"\n\
             [admin]\nbind-address = \"127.0.0.1\"\nhttp-port = {admin}\n\
             [worker]\nbind-address = \"127.0.0.1\"\n\
             [pipeline]\nsource-batch-size = 8192\nsource-batch-linger = \"8760h\"\nchaining.enabled = false\n\
             [database]\ntype = \"sqlite\"\n[database.sqlite]\npath = \"{here}/cluster.sqlite\"\n",
            here = folder.path().display(),
            cache = cache.display(),
        );
        std::fs::write(folder.path().join("arroyo.toml"), config).expect("the folder of Arroyo can be written");
        let mut arroyo = Self {
            own: Some(Own {
                process: None,
                program,
                folder,
                port,
            }),
            url: format!("http://127.0.0.1:{port}"),
        };
        arroyo.start_again();
        arroyo
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// True if it can be killed and started.
    pub fn is_ours(&self) -> bool {
        self.own.is_some()
    }

    /// Kills everything of it at once; its state stays.
    pub fn kill(&mut self) {
        if let Some(own) = &mut self.own {
            own.kill();
        }
    }

    /// Starts a killed cluster again, at the same address with the same state.
    pub fn start_again(&mut self) {
        let Some(own) = &mut self.own else { return };
        let mut program = Command::new(&own.program);
        program
            .arg("-c")
            .arg(own.folder.path().join("arroyo.toml"))
            .arg("cluster");
        program.current_dir(own.folder.path()).process_group(0);
        // Its compiler is cargo, which is not to write where the tests are built.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let ours = text.starts_with("CARGO_") && text != "CARGO_HOME" || text.starts_with("RUST");
            if ours && text != "RUSTUP_HOME" {
                program.env_remove(&name);
            }
        }
        let port = own.port;
        let ready = move || answers(port).unwrap_or(false);
        let log = own.folder.path().join("arroyo.log");
        own.process = Some(Process::start("Arroyo", &mut program, &log, ready));
    }

    /// The end of what it has written, for a test that fails.
    pub fn log(&self) -> String {
        let text = self
            .own
            .as_ref()
            .map(|own| std::fs::read_to_string(own.folder.path().join("arroyo.log")));
        let text = text.and_then(Result::ok).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(60).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn answers(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /api/v1/pipelines HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(answer.ends_with(b" 200"))
}
