//! TLS: a real handshake, and what is no handshake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_service::{Options, Service, ServiceError, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use support::{Running, embedded, key};

fn encrypted() -> Running {
    let service = Running::start(vec![embedded()], |options| {
        options.tls = Some(Tls {
            certificate: key("server.crt"),
            key: key("server.key"),
        });
    });
    assert!(service.url.starts_with("https://"), "{}", service.url);
    service
}

fn connect(service: &Running) -> TcpStream {
    let stream = TcpStream::connect(service.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream
}

/// Asks over TLS, trusting this authority, for this host.
fn ask(
    service: &Running,
    authority: &str,
    host: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(key(authority)).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, connect(service));
    stream
        .write_all(b"GET /v1/pipelines/shop/top?k=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    // Whether the end is announced is no matter here.
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn answers_come_over_tls_of_both_versions_to_who_trusts_the_certificate() {
    let service = encrypted();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let answer = ask(&service, "ca.crt", "localhost", &[version]).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"item\":\"b\""),
            "{answer}"
        );
    }
    assert!(ask(&service, "ca.crt", "127.0.0.1", rustls::ALL_VERSIONS).is_ok());
    let error = ask(&service, "other-ca.crt", "localhost", rustls::ALL_VERSIONS).unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    let error = ask(&service, "ca.crt", "elsewhere.example.com", rustls::ALL_VERSIONS).unwrap_err();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn plain_http_gets_nothing_there_and_holds_nobody_up() {
    let service = encrypted();
    let mut plain = connect(&service);
    plain.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.windows(4).any(|bytes| bytes == b"HTTP") && !answer.windows(6).any(|bytes| bytes == b"stores"));
    // Hundreds that say nothing at all, and one that goes on.
    let silent: Vec<TcpStream> = (0..200).map(|_| connect(&service)).collect();
    let answer = ask(&service, "ca.crt", "localhost", rustls::ALL_VERSIONS).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    drop(silent);
}

#[test]
fn files_that_do_not_fit_are_named_before_anything_listens() {
    let refused = |certificate: &str, secret: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut options = Options::new("127.0.0.1:0".parse().unwrap(), vec![embedded()]);
        options.tls = Some(Tls {
            certificate: key(certificate),
            key: key(secret),
        });
        match runtime.block_on(Service::bind(options)) {
            Err(ServiceError::Tls(said)) => said,
            other => panic!("{:?}", other.map(|service| service.url())),
        }
    };
    assert!(refused("nothing.crt", "server.key").contains("nothing.crt"));
    assert!(refused("server.crt", "nothing.key").contains("nothing.key"));
    assert!(refused("server.crt", "ec.pem").contains("certificate and key"));
    assert!(refused("server.crt", "server.crt").contains("server.crt"));
    assert!(!refused("server.key", "server.key").is_empty());
}
