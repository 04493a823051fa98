//! TLS to the nodes: whom we trust, and who we are.
//!
//! The driver knows nodes by their addresses and has OpenSSL look for those in the certificates. Many certificates name hosts
//! instead, so a host that stands in our own address counts, too, for all nodes: what one of them is told by, its certificate is
//! trusted for. With `tls=ca` the authority alone is looked at.

use crate::certificates::Certificates;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Ref, X509VerifyResult};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// `X509_V_ERR_IP_ADDRESS_MISMATCH` of OpenSSL's `x509_vfy.h`.
const ADDRESS_MISMATCH: i32 = 64;

/// What is asked of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// An authority that is trusted has signed it, and it is that of the node.
    Name,
    /// An authority that is trusted has signed it.
    Authority,
}

/// How the way to the nodes is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// What is asked of the certificates of nodes.
    pub check: Check,
    /// Whom we trust, and who we are.
    pub certificates: Certificates,
}

/// Why a certificate was refused: OpenSSL's errors say only that one was.
#[derive(Clone, Default)]
pub(super) struct Refused(Arc<Mutex<Option<String>>>);

impl Refused {
    fn set(&self, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    pub(super) fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tls {
    /// What the driver opens connections by.
    ///
    /// # Errors
    /// Which file cannot be read, or does not hold what it should.
    pub(super) fn connector(&self, nodes: &[String], refused: &Refused) -> Result<SslConnectorBuilder, String> {
        let pem = self.certificates.read()?;
        let failed = |error: ErrorStack| format!("TLS cannot be set up: {error}");
        let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(failed)?;
        if let Some(pem) = pem.ca {
            let mut trusted = X509StoreBuilder::new().map_err(failed)?;
            for certificate in certificates("ca", &pem)? {
                trusted.add_cert(certificate).map_err(failed)?;
            }
            builder.set_cert_store(trusted.build());
        }
        if let Some((cert, key)) = pem.own {
            let mut chain = certificates("cert", &cert)?.into_iter();
            if let Some(own) = chain.next() {
                builder.set_certificate(&own).map_err(failed)?;
            }
            for between in chain {
                builder.add_extra_chain_cert(between).map_err(failed)?;
            }
            // Without an answer to it OpenSSL would ask for a password at the terminal.
            let key = PKey::private_key_from_pem_callback(&key, |_| Ok(0));
            let key = key.map_err(|error| {
                format!("the file of key= holds no private key in PEM that opens without a password: {error}")
            })?;
            let fits = builder.set_private_key(&key).and_then(|()| builder.check_private_key());
            fits.map_err(|error| format!("the key of key= is not that of the certificate of cert=: {error}"))?;
        }
        self.verify(&mut builder, nodes, refused.clone());
        Ok(builder)
    }

    fn verify(&self, builder: &mut SslConnectorBuilder, nodes: &[String], refused: Refused) {
        let hosts: Vec<String> = nodes.iter().filter_map(|node| host(node)).collect();
        let check = self.check;
        builder.set_verify_callback(SslVerifyMode::PEER, move |accepted, chain| {
            if accepted {
                return true;
            }
            let excused = chain.error().as_raw() == ADDRESS_MISMATCH
                && match check {
                    Check::Authority => true,
                    Check::Name => chain.current_cert().is_some_and(|found| names(found, &hosts)),
                };
            if excused {
                chain.set_error(X509VerifyResult::OK);
            } else {
                refused.set(reason(chain.error(), chain.current_cert()));
            }
            excused
        });
    }
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<X509>, String> {
    let found = X509::stack_from_pem(pem);
    let found = found.map_err(|error| format!("the file of {name}= holds no certificates in PEM: {error}"))?;
    if found.is_empty() {
        return Err(format!("the file of {name}= holds no certificates in PEM"));
    }
    Ok(found)
}

fn reason(error: X509VerifyResult, certificate: Option<&X509Ref>) -> String {
    let way = if error.as_raw() == ADDRESS_MISMATCH {
        "it names neither the node's IP address nor a host of ours; have both signed, or check the authority alone by tls=ca"
    } else {
        "name the authority that signed it by ca=FILE"
    };
    let named = certificate.map(|certificate| format!(" ({:?})", certificate.subject_name()));
    format!(
        "the node's certificate{} is refused: {}; {way}",
        named.unwrap_or_default(),
        error.error_string()
    )
}

/// The name of a host, of `host:port`.
fn host(node: &str) -> Option<String> {
    let host = node.rsplit_once(':').map_or(node, |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_err().then(|| host.to_owned())
}

/// Whether a certificate is for one of these hosts.
fn names(certificate: &X509Ref, hosts: &[String]) -> bool {
    let names = certificate.subject_alt_names();
    names.iter().flatten().filter_map(|name| name.dnsname()).any(|pattern| {
        let covers = |host: &String| covers(pattern, host);
        hosts.iter().any(covers)
    })
}

/// Whether a name of a certificate, with a `*` for its first part or without, is that of a host.
fn covers(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((first, rest))) => {
            !first.is_empty() && domain.contains('.') && domain.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ssl::{Ssl, SslAcceptor, SslFiletype};
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    /// A handshake as the driver makes it with a node at this address, whose certificate names 127.0.0.1.
    fn handshake(folder: &Path, tls: &Tls, node: &str) -> Result<(), String> {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor
            .set_certificate_chain_file(folder.join("tls.crt"))
            .and_then(|()| acceptor.set_private_key_file(folder.join("tls.key"), SslFiletype::PEM))
            .unwrap();
        let acceptor = acceptor.build();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let node_side = std::thread::spawn(move || acceptor.accept(theirs).map(drop).map_err(drop));
        let refused = Refused::default();
        let context = tls.connector(&[node.to_owned()], &refused)?.build().into_context();
        let mut ssl = Ssl::new(&context).unwrap();
        ssl.param_mut().set_ip(host_address(node)).unwrap();
        let shaken = ssl.connect(ours).map(drop).map_err(|_| refused.reason().unwrap());
        let _ = node_side.join().unwrap();
        shaken
    }

    fn host_address(node: &str) -> IpAddr {
        node.rsplit_once(':').unwrap().0.parse().unwrap()
    }

    #[test]
    fn a_node_is_known_by_its_address_or_by_its_authority_alone() {
        let folder = tempfile::tempdir().unwrap();
        hitters_tests::services::certificate(folder.path());
        let certificates = Certificates {
            ca: Some(folder.path().join("tls.crt")),
            ..Certificates::default()
        };
        let strict = Tls {
            check: Check::Name,
            certificates: certificates.clone(),
        };
        handshake(folder.path(), &strict, "127.0.0.1:9042").unwrap();
        let refused = handshake(folder.path(), &strict, "127.0.0.2:9042").unwrap_err();
        assert!(refused.contains("mismatch") && refused.contains("tls=ca"), "{refused}");
        let by_authority = Tls {
            check: Check::Authority,
            certificates,
        };
        handshake(folder.path(), &by_authority, "127.0.0.2:9042").unwrap();
        let unknown = Tls {
            check: Check::Authority,
            certificates: Certificates::default(),
        };
        let refused = handshake(folder.path(), &unknown, "127.0.0.1:9042").unwrap_err();
        assert!(
            refused.contains("hitters-tests") && refused.contains("ca=FILE"),
            "{refused}"
        );
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        hitters_tests::services::certificate(one.path());
        hitters_tests::services::certificate(two.path());
        let fault = |ca: Option<&str>, cert: &str, key: &Path| {
            let certificates = Certificates {
                ca: ca.map(|name| one.path().join(name)),
                cert: Some(one.path().join(cert)),
                key: Some(key.to_owned()),
            };
            let tls = Tls {
                check: Check::Name,
                certificates,
            };
            tls.connector(&[], &Refused::default()).map(drop)
        };
        let key = one.path().join("tls.key");
        fault(None, "tls.crt", &key).unwrap();
        let says = |fault: Result<(), String>, what: &str| {
            let error = fault.unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        says(fault(Some("tls.key"), "tls.crt", &key), "ca=");
        says(fault(None, "tls.key", &key), "cert=");
        says(fault(None, "tls.crt", &one.path().join("tls.crt")), "private key");
        says(fault(None, "tls.crt", &two.path().join("tls.key")), "is not that of");
    }

    #[test]
    fn a_name_of_a_certificate_is_that_of_a_host() {
        for (pattern, host, same) in [
            ("db.example.org", "DB.example.org", true),
            ("*.example.org", "db.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "a.db.example.org", false),
            ("*.org", "example.org", false),
            ("*", "db", false),
            ("db.example.org", "db.example.com", false),
        ] {
            assert_eq!(covers(pattern, host), same, "{pattern} {host}");
        }
        let hosts: Vec<_> = ["db:1", "10.0.0.1:1", "[::1]:1"].into_iter().filter_map(host).collect();
        assert_eq!(hosts, ["db"]);
    }
}
