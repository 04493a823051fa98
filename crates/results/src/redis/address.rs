//! Where a Redis is: what its client reads, and `?ca=FILE&cert=FILE&key=FILE` for TLS.

use crate::certificates::Certificates;
use ::redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};

/// `redis://user:password@host:port/database`, or `rediss://...` for TLS.
///
/// The latter may name certificates ([`Certificates`]): `?ca=FILE` the authorities that are trusted in place of the system's,
/// `&cert=FILE&key=FILE` our own.
#[derive(Clone, Debug)]
pub struct RedisAddress {
    bare: ConnectionInfo,
    certificates: Certificates,
}

impl RedisAddress {
    /// Reads a URL, and no file yet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (bare, certificates) = parts(url)?;
        let bare = bare.into_connection_info().map_err(|error| error.to_string())?;
        if !certificates.are_none() && !matches!(bare.addr(), ConnectionAddr::TcpTls { .. }) {
            return Err("ca, cert and key are for TLS: write rediss://".into());
        }
        Ok(Self { bare, certificates })
    }

    /// Whether it names certificates.
    pub fn has_certificates(&self) -> bool {
        !self.certificates.are_none()
    }

    /// What a client takes.
    ///
    /// # Errors
    /// Which file cannot be read, or does not hold what it should.
    pub fn connection(self) -> Result<ConnectionInfo, String> {
        if self.certificates.are_none() {
            return Ok(self.bare);
        }
        let pem = self.certificates.read()?;
        let certificates = TlsCertificates {
            client_tls: pem.own.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert: pem.ca,
        };
        // The client is not used: it is made since it alone reads certificates.
        let client = Client::build_with_tls(self.bare, certificates).map_err(|error| error.to_string())?;
        Ok(client.get_connection_info().clone())
    }
}

/// The address without our own options, and those.
fn parts(url: &str) -> Result<(String, Certificates), String> {
    let mut certificates = Certificates::default();
    let (rest, fragment) = match url.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (url, None),
    };
    let Some((place, query)) = rest.split_once('?') else {
        return Ok((url.to_owned(), certificates));
    };
    let mut others = Vec::new();
    for option in query.split('&') {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        if !certificates.take(name, value)? {
            others.push(option);
        }
    }
    let mut bare = place.to_owned();
    if !others.is_empty() {
        bare += "?";
        bare += &others.join("&");
    }
    if let Some(fragment) = fragment {
        bare += "#";
        bare += fragment;
    }
    Ok((bare, certificates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_options_leave_an_address_as_its_client_reads_it() {
        let (bare, certificates) =
            parts("rediss://me:p%40@host:1/2?ca=%2Fa%20b.pem&protocol=resp3&key=k&cert=c#insecure").unwrap();
        assert_eq!(bare, "rediss://me:p%40@host:1/2?protocol=resp3#insecure");
        assert_eq!(certificates.ca.as_deref(), Some("/a b.pem".as_ref()));
        assert_eq!(
            (certificates.cert, certificates.key),
            (Some("c".into()), Some("k".into()))
        );
        let plain = "redis://host";
        assert_eq!(parts(plain).unwrap().0, plain);
    }

    #[test]
    fn what_is_wrong_with_certificates_is_said_before_anybody_is_asked() {
        for (url, says) in [
            ("redis://host?ca=/no/such.pem", "rediss://"),
            ("rediss://host?ca=/no/such.pem", "/no/such.pem"),
            ("rediss://host?ca=", "no file"),
            ("rediss://host?cert=/dev/null", "key=FILE"),
            ("rediss://host?key=/dev/null", "cert=FILE"),
            ("rediss://host?ca=/dev/null", "no certificates"),
            ("rediss://host?cert=/dev/null&key=/dev/null", "identity"),
        ] {
            let error = RedisAddress::parse(url).and_then(RedisAddress::connection).unwrap_err();
            assert!(error.contains(says), "{url}: {error}");
        }
    }
}
