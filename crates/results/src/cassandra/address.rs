//! Where a Cassandra is: `cassandra://user:password@host:port,host:port/keyspace?dc=dc1&consistency=local_quorum&tls=true&ca=ca.pem`.

use super::tls::{Check, Refused, Tls};
use crate::certificates::{Certificates, decoded};
use scylla::statement::Consistency;
use std::fmt;

/// Port of the native protocol.
const PORT: u16 = 9042;
/// The keyspace, if none is named.
const KEYSPACE: &str = "hitters";

/// Contact points, keyspace, and how to get in.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// `host:port` of some nodes; the others are found by them.
    pub nodes: Vec<String>,
    /// The keyspace.
    pub keyspace: String,
    /// User and password.
    pub login: Option<(String, String)>,
    /// The data centre whose nodes are asked. Without one all are.
    pub data_centre: Option<String>,
    /// How many copies have to agree.
    pub consistency: Consistency,
    /// How the way there is encrypted, if it is.
    pub tls: Option<Tls>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.nodes.join(","), self.keyspace)
    }
}

impl Address {
    /// Reads a URL. Percent-encoding is undone in user, password and the names of files.
    ///
    /// `tls=true` asks for a certificate of the node that a trusted authority signed for its IP address, or for a host that stands in the
    /// URL; `tls=ca` for one that it signed at all. `ca`, `cert` and `key` are files in PEM ([`Certificates`]), and mean `tls=true`
    /// where nothing else is said.
    ///
    /// # Errors
    /// What is wrong with it, without the password.
    pub fn parse(url: &str) -> Result<Self, String> {
        const FORM: &str = "write cassandra://user:password@host:port,host:port/keyspace?dc=NAME&consistency=local_quorum&tls=true&ca=FILE&cert=FILE&key=FILE";
        let rest = url
            .strip_prefix("cassandra://")
            .ok_or_else(|| format!("this is no address of a Cassandra; {FORM}"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let (hosts, keyspace) = rest.split_once('/').unwrap_or((rest, ""));
        let keyspace = if keyspace.is_empty() { KEYSPACE } else { keyspace };
        // The rules of Cassandra; so nothing in it needs quotes.
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if keyspace.len() > 48
            || !keyspace.chars().all(plain)
            || !keyspace.starts_with(|c: char| c.is_ascii_lowercase())
        {
            return Err(format!(
                "'{keyspace}' is no name of a keyspace: small letters, digits and _, a letter first, at most 48"
            ));
        }
        let nodes: Result<Vec<String>, String> = hosts.split(',').map(node).collect();
        let mut address = Self {
            nodes: nodes?,
            keyspace: keyspace.to_owned(),
            login: login.map(pair).transpose()?,
            data_centre: None,
            consistency: Consistency::LocalQuorum,
            tls: None,
        };
        let (mut check, mut certificates) = (None, Certificates::default());
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("dc", name)) if !name.is_empty() => address.data_centre = Some(name.to_owned()),
                Some(("consistency", name)) => address.consistency = consistency(name)?,
                Some(("tls", how)) => check = Some(checked(how)?),
                Some((name, value)) if certificates.take(name, value)? => {}
                _ => {
                    return Err(format!(
                        "there is no option '{option}' in an address of a Cassandra; {FORM}"
                    ));
                }
            }
        }
        address.tls = tls(check, certificates)?;
        if let Some(tls) = &address.tls {
            // They are read again for each session; what is wrong with them is said now.
            tls.connector(&address.nodes, &Refused::default())?;
        }
        Ok(address)
    }
}

fn node(text: &str) -> Result<String, String> {
    let text = text.trim();
    // An IPv6 address stands in brackets.
    let bare = text.rsplit_once(']').map_or(text, |(_, rest)| rest);
    let with_port = match bare.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok_and(|port| port > 0) => text.to_owned(),
        Some((_, port)) => return Err(format!("'{port}' is no port of a Cassandra; its own is {PORT}")),
        None => format!("{text}:{PORT}"),
    };
    if with_port.starts_with(':') {
        return Err("the address names no host: cassandra://host:port/keyspace".into());
    }
    Ok(with_port)
}

fn pair(login: &str) -> Result<(String, String), String> {
    let (user, password) = login
        .split_once(':')
        .ok_or("the address has a user without a password: user:password@host")?;
    Ok((decoded(user)?, decoded(password)?))
}

fn consistency(name: &str) -> Result<Consistency, String> {
    match name {
        "one" => Ok(Consistency::One),
        "local_one" => Ok(Consistency::LocalOne),
        "quorum" => Ok(Consistency::Quorum),
        "local_quorum" => Ok(Consistency::LocalQuorum),
        "all" => Ok(Consistency::All),
        _ => Err(format!(
            "there is no consistency '{name}': one, local_one, quorum, local_quorum, all"
        )),
    }
}

fn checked(how: &str) -> Result<Option<Check>, String> {
    match how {
        "true" => Ok(Some(Check::Name)),
        "ca" => Ok(Some(Check::Authority)),
        "false" => Ok(None),
        _ => Err(format!(
            "there is no tls={how}: true, ca (the authority of certificates alone is checked), false"
        )),
    }
}

fn tls(check: Option<Option<Check>>, certificates: Certificates) -> Result<Option<Tls>, String> {
    let check = match check {
        Some(None) if !certificates.are_none() => {
            return Err("ca, cert and key are for TLS, and it says tls=false".into());
        }
        Some(check) => check,
        None => (!certificates.are_none()).then_some(Check::Name),
    };
    Ok(check.map(|check| Tls { check, certificates }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_nodes_keyspace_login_and_data_centre() {
        let address = Address::parse("cassandra://me:p%40ss%3A@a:1,b/history?dc=dc1&consistency=one").unwrap();
        assert_eq!(address.nodes, ["a:1", "b:9042"]);
        assert_eq!(address.login, Some(("me".into(), "p@ss:".into())));
        assert_eq!(address.data_centre.as_deref(), Some("dc1"));
        assert_eq!(address.consistency, Consistency::One);
        assert_eq!(format!("{address:?}"), "a:1,b:9042/history");
        assert_eq!(address.tls, None);
        let encrypted = Address::parse("cassandra://a?tls=ca").unwrap().tls.unwrap();
        assert_eq!(encrypted.check, Check::Authority);
        let plain = Address::parse("cassandra://[::1]:9043?tls=false").unwrap();
        assert_eq!(
            (plain.nodes, plain.keyspace),
            (vec!["[::1]:9043".to_owned()], "hitters".to_owned())
        );
    }

    #[test]
    fn what_is_no_address_says_why_and_keeps_the_password() {
        for wrong in [
            "redis://a",
            "cassandra://",
            "cassandra://a:b",
            "cassandra://me:hush@a/UPPER",
            "cassandra://me:hush@a/k?tls=yes",
            "cassandra://me@a/k",
            "cassandra://me:hush@a/k?consistency=some",
            "cassandra://me:hush@a/k?ca=/no/such.pem",
            "cassandra://me:hush@a/k?ca=/dev/null",
            "cassandra://me:hush@a/k?tls=true&cert=/dev/null",
            "cassandra://me:hush@a/k?tls=false&ca=/dev/null",
        ] {
            let error = Address::parse(wrong).unwrap_err();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
