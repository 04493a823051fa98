//! The stand-in's server: one thread a connection, one call after the other on it.

use super::world::World;
use crate::services::{certificate, client_certificate};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A body that is larger is refused, as by Arroyo.
const LARGEST: usize = 2 << 20;

/// What goes wrong with a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is answered with this status and text, and not carried out.
    Status(u16, &'static str),
    /// It is carried out and answered late.
    Slow(Duration),
    /// The connection is closed; it is not carried out.
    Lost,
    /// It is carried out, and the connection is closed in place of an answer.
    AnswerLost,
}

/// A fault that waits for its call.
struct Trap {
    method: &'static str,
    path: &'static str,
    fault: Fault,
    times: usize,
}

/// What the connections share.
#[derive(Default)]
struct Shared {
    world: World,
    traps: Vec<Trap>,
    key: Option<String>,
    calls: Vec<(String, String)>,
}

/// A running stand-in. Its threads end with the process.
pub struct Stub {
    shared: Arc<Mutex<Shared>>,
    scheme: &'static str,
    port: u16,
}

impl Default for Stub {
    fn default() -> Self {
        Self::start()
    }
}

impl Stub {
    /// Starts one.
    pub fn start() -> Self {
        Self::serve(None)
    }

    /// Starts one that speaks TLS only, by the certificate that it puts into this folder as `tls.crt`, which nobody has signed.
    pub fn with_tls(folder: &Path) -> Self {
        certificate(folder);
        let chain = CertificateDer::from_pem_file(folder.join("tls.crt")).expect("a certificate was made");
        let key = PrivateKeyDer::from_pem_file(folder.join("tls.key")).expect("its key was made");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("ring has the default versions").with_no_client_auth();
        Self::serve(Some(Arc::new(
            config.with_single_cert(vec![chain], key).expect("they belong together"),
        )))
    }

    /// Starts one with TLS that speaks only to whoever has a certificate of its authority. Into the folder it puts its own as `tls.crt`, and as
    /// `client.pem` one that it takes, with its key.
    pub fn with_mutual_tls(folder: &Path) -> Self {
        certificate(folder);
        client_certificate(folder);
        let read = |name: &str| CertificateDer::from_pem_file(folder.join(name)).expect("a certificate was made");
        let key = PrivateKeyDer::from_pem_file(folder.join("tls.key")).expect("its key was made");
        let mut authorities = RootCertStore::empty();
        authorities.add(read("authority.crt")).expect("an authority was made");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider.clone());
        let clients = clients.build().expect("there is an authority");
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config
            .expect("ring has the default versions")
            .with_client_cert_verifier(clients);
        Self::serve(Some(Arc::new(
            config
                .with_single_cert(vec![read("tls.crt")], key)
                .expect("they belong together"),
        )))
    }

    fn serve(tls: Option<Arc<ServerConfig>>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no port of the loopback is free");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let serve = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, tls) = (serve.clone(), tls.clone());
                // An error is that of a peer that has gone, or does not trust the certificate.
                std::thread::spawn(move || match tls {
                    None => serve_one(stream, &shared),
                    Some(config) => {
                        let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
                        serve_one(StreamOwned::new(connection, stream), &shared)
                    }
                });
            }
        });
        Self { shared, scheme, port }
    }

    /// `http://host:port`, with TLS `https://host:port`.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// From now on, calls need this key.
    pub fn wants_key(&self, key: &str) {
        self.lock().key = Some(key.into());
    }

    /// The next `times` calls with this method and this beginning of their path (behind `/api/v1`) go wrong.
    pub fn fail(&self, method: &'static str, path: &'static str, fault: Fault, times: usize) {
        self.lock().traps.push(Trap {
            method,
            path,
            fault,
            times,
        });
    }

    /// What it holds.
    pub fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.lock().world)
    }

    /// The calls that have come since the last time, as `POST /udfs`; those that only ask left out.
    pub fn changes(&self) -> Vec<String> {
        let calls = std::mem::take(&mut self.lock().calls);
        let asks = ["/pipelines/validate_query", "/udfs/validate"];
        let changes = calls
            .into_iter()
            .filter(|(method, path)| method != "GET" && !asks.contains(&path.as_str()));
        changes.map(|(method, path)| format!("{method} {path}")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve_one(stream: impl Read + Write, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (method, target) = (method.to_owned(), target.to_owned());
        let (mut length, mut key) = (0, None);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim_end();
            if header.is_empty() {
                break;
            }
            let Some((name, value)) = header.split_once(':') else {
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "authorization" => key = value.trim().strip_prefix("Bearer ").map(str::to_owned),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if length > LARGEST {
            let text = "Failed to buffer the request body: length limit exceeded";
            let head = "HTTP/1.1 413 said\r\ncontent-type: text/plain";
            write!(
                reader.get_mut(),
                "{head}\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            )?;
            reader.get_mut().flush()?;
            continue;
        }
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let Some((status, text)) = answer(&method, &target, key, &body, shared) else {
            return Ok(());
        };
        // In one piece: small ones wait for each other.
        let text = format!(
            "HTTP/1.1 {status} said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        );
        reader.get_mut().write_all(text.as_bytes())?;
        reader.get_mut().flush()?;
    }
}

/// The answer to a call; `None` closes the connection.
fn answer(
    method: &str,
    target: &str,
    key: Option<String>,
    body: &Value,
    shared: &Mutex<Shared>,
) -> Option<(u16, String)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let mut locked = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if locked.key.is_some() && locked.key != key {
        // As Arroyo's middleware does: without a text.
        return Some((401, String::new()));
    }
    locked.calls.push((method.to_owned(), path.to_owned()));
    let trap = locked
        .traps
        .iter_mut()
        .find(|trap| trap.times > 0 && trap.method == method && path.starts_with(trap.path));
    let fault = trap.map(|trap| {
        trap.times -= 1;
        trap.fault.clone()
    });
    match fault {
        Some(Fault::Lost) => return None,
        Some(Fault::Status(status, text)) => return Some((status, text.into())),
        _ => {}
    }
    let (status, value) = locked.world.call(method, path, query, body);
    drop(locked);
    match fault {
        Some(Fault::AnswerLost) => return None,
        Some(Fault::Slow(time)) => std::thread::sleep(time),
        _ => {}
    }
    let text = match status {
        200 => value.to_string(),
        _ => json!({ "error": value }).to_string(),
    };
    Some((status, text))
}
