//! A proxy that breaks connections, for what services do on a bad day. It takes part in the first request of a connection
//! only; a service that answers by HTTP/1.0, as that of the tests does, gets a connection for each request.
#![allow(clippy::expect_used, reason = "a test that cannot start its proxy has to fail")]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What happens to a connection.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The request is answered with this status of HTTP, and does not reach the service.
    Status(u16),
    /// It is never answered.
    Hang,
    /// The connection is closed when the request has come.
    Cut,
    /// The service gets the request and does it; its answer is lost.
    LoseAnswer,
    /// None: the connection is let through, so that a later one is broken.
    Pass,
    /// The connection is closed as soon as it is made.
    Refuse,
    /// The connection is let through, in any protocol, until a request names this; the service gets it, its answer is lost.
    LoseAnswerTo(&'static str),
}

/// A proxy before a port of this machine, open until it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    target: u16,
    faults: Mutex<VecDeque<Fault>>,
    /// After those.
    always: Mutex<Option<Fault>>,
    /// Both ends of all connections, to cut them.
    open: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
}

impl Proxy {
    /// Opens a proxy before a port.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no port of the loopback is free");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared {
            target,
            ..Shared::default()
        });
        let accepting = shared.clone();
        // Ends with the process: a listener cannot be woken without a connection.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.connections.fetch_add(1, Relaxed);
                let fault = lock(&accepting.faults).pop_front().or(*lock(&accepting.always));
                let shared = accepting.clone();
                thread::spawn(move || shared.serve(client, fault));
            }
        });
        Self { port, shared }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets what happens to the next connections, in order.
    pub fn break_next(&self, faults: impl IntoIterator<Item = Fault>) {
        *lock(&self.shared.faults) = faults.into_iter().collect();
    }

    /// Sets what happens to all connections from now on.
    pub fn break_all(&self, fault: Fault) {
        *lock(&self.shared.always) = Some(fault);
    }

    /// Lets all connections through from now on.
    pub fn mend(&self) {
        lock(&self.shared.faults).clear();
        *lock(&self.shared.always) = None;
    }

    /// Faults of [`Proxy::break_next`] that no connection has met yet.
    pub fn left(&self) -> usize {
        lock(&self.shared.faults).len()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Relaxed)
    }

    /// Breaks all connections that are open.
    pub fn cut_all(&self) {
        for stream in lock(&self.shared.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut_all();
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream, fault: Option<Fault>) {
        // A broken connection is what the tests ask for.
        let _ = self.pass_on(&mut client, fault);
        // There are copies of it, which would keep it open.
        let _ = client.shutdown(Shutdown::Both);
    }

    fn keep(&self, stream: &TcpStream) -> std::io::Result<()> {
        lock(&self.open).push(stream.try_clone()?);
        Ok(())
    }

    fn pass_on(&self, client: &mut TcpStream, fault: Option<Fault>) -> std::io::Result<()> {
        self.keep(client)?;
        match fault {
            Some(Fault::Refuse) => return Ok(()),
            // Until the other side has had enough.
            Some(Fault::Hang) => return std::io::copy(client, &mut std::io::sink()).map(|_| ()),
            Some(Fault::Cut) => return request(client).map(|_| ()),
            Some(Fault::Status(status)) => {
                request(client)?;
                let body = "<Error><Code>Broken</Code><Message>by the proxy</Message></Error>";
                let length = body.len();
                let head = format!("HTTP/1.1 {status} Broken\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                return client.write_all((head + body).as_bytes());
            }
            Some(Fault::LoseAnswer | Fault::LoseAnswerTo(_) | Fault::Pass) | None => {}
        }
        let mut service = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target))?;
        self.keep(&service)?;
        if let Some(Fault::LoseAnswer) = fault {
            service.write_all(&request(client)?)?;
            return std::io::copy(&mut service, &mut std::io::sink()).map(|_| ());
        }
        let needle = match fault {
            Some(Fault::LoseAnswerTo(needle)) => needle.as_bytes(),
            _ => &[],
        };
        let losing = Arc::new(AtomicBool::new(false));
        let (mut from, mut to, lose) = (client.try_clone()?, service.try_clone()?, losing.clone());
        thread::spawn(move || {
            let _ = pass(&mut from, &mut to, |bytes| {
                // Before the service can answer.
                if !needle.is_empty() && bytes.windows(needle.len()).any(|window| window == needle) {
                    lose.store(true, Relaxed);
                }
                true
            });
            let _ = to.shutdown(Shutdown::Write);
        });
        pass(&mut service, client, |_| !losing.load(Relaxed))?;
        service.shutdown(Shutdown::Both)
    }
}

/// Passes bytes on until their end, or until `goes_on` refuses some.
fn pass(from: &mut TcpStream, to: &mut TcpStream, goes_on: impl Fn(&[u8]) -> bool) -> std::io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut bytes)?;
        if read == 0 || !goes_on(&bytes[..read]) {
            return Ok(());
        }
        to.write_all(&bytes[..read])?;
    }
}

/// Reads a request of HTTP, with its body.
fn request(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = vec![0; 1 << 16];
    loop {
        if let Some(end) = head_end(&bytes) {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
            if bytes.len() >= end + length {
                return Ok(bytes);
            }
        }
        match client.read(&mut part)? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(&part[..read]),
        }
    }
}

/// Where the head of a request ends.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
