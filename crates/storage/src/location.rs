//! What a URL or a path says about where a store is.

use hitters_dataflow::checkpoint::StorageError;
use std::fmt;
use std::path::PathBuf;

/// Where a store is. It is read without opening anything, so that a wrong one is found by `hitters check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Local(PathBuf),
    /// A bucket of S3, or of a service that speaks its protocol.
    S3(S3Location),
    /// A folder of HDFS.
    Hdfs(HdfsLocation),
}

/// `s3://bucket/prefix?region=...&endpoint=...&allow_http=true`. Credentials are never a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with, without slashes at its ends. Empty: nothing.
    pub prefix: String,
    /// The region; if not given, that of the environment (`AWS_REGION`).
    pub region: Option<String>,
    /// Another service than Amazon's, as `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// Whether the endpoint may be spoken to without TLS.
    pub allow_http: bool,
}

/// `hdfs://namenode:port/folder` or `hdfs://nameservice/folder`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HdfsLocation {
    /// `host:port` of the namenode, or the name of a nameservice.
    pub authority: String,
    /// The folder, absolute, without a slash at its end.
    pub folder: String,
}

impl Location {
    /// Reads a URL, or a path of this machine.
    ///
    /// # Errors
    /// A URL of no known kind, or with parts that cannot be. Nothing is opened.
    pub fn parse(text: &str) -> Result<Self, StorageError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            if text.is_empty() {
                return Err(wrong("an empty text", "name a folder or a URL"));
            }
            return Ok(Location::Local(PathBuf::from(text)));
        };
        if text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(wrong(
                "a URL with spaces or control characters",
                "write %20 for a space",
            ));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            // The text is not repeated: it may hold a password.
            return Err(wrong(
                "a URL with a user or a password in it",
                "take them out; credentials come from the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3)",
            ));
        }
        match scheme {
            "file" => match authority {
                "" | "localhost" if !path.is_empty() && query.is_empty() => {
                    Ok(Location::Local(PathBuf::from(format!("/{}", decode(path)?))))
                }
                _ => Err(wrong(
                    &format!("'{text}'"),
                    "write file:///path, with three slashes and no '?'",
                )),
            },
            "s3" | "s3a" => S3Location::parse(authority, path, query).map(Location::S3),
            "hdfs" => HdfsLocation::parse(authority, path, query).map(Location::Hdfs),
            _ => Err(wrong(
                &format!("'{scheme}://'"),
                "known are paths, file:///path, s3://bucket/prefix and hdfs://host:port/path",
            )),
        }
    }
}

impl S3Location {
    fn parse(bucket: &str, path: &str, query: &str) -> Result<Self, StorageError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
        if bucket.is_empty() || !bucket.chars().all(allowed) {
            return Err(wrong(
                &format!("the bucket '{bucket}'"),
                "write s3://bucket/prefix; a bucket has lower case letters, digits, '-' and '.'",
            ));
        }
        let mut location = Self {
            bucket: bucket.into(),
            prefix: decode(path)?.trim_matches('/').into(),
            region: None,
            endpoint: None,
            allow_http: false,
        };
        if location.prefix.split('/').any(|part| matches!(part, "." | "..")) || location.prefix.contains("//") {
            return Err(wrong(
                &format!("the prefix '{}'", location.prefix),
                "write it without '.', '..' and empty parts",
            ));
        }
        for (name, value) in query.split('&').filter(|part| !part.is_empty()).map(pair) {
            let value = decode(value)?;
            match name {
                "region" if !value.is_empty() => location.region = Some(value),
                "endpoint" if value.starts_with("http://") || value.starts_with("https://") => {
                    location.endpoint = Some(value.trim_end_matches('/').into());
                }
                "endpoint" => {
                    return Err(wrong(
                        &format!("the endpoint '{value}'"),
                        "begin it with http:// or https://",
                    ));
                }
                "allow_http" if value == "true" || value == "false" => location.allow_http = value == "true",
                "allow_http" => return Err(wrong(&format!("allow_http={value}"), "write true or false")),
                _ => {
                    // Without its value: it may be a secret.
                    return Err(wrong(
                        &format!("'{name}' in the URL"),
                        "known are region, endpoint and allow_http; credentials come from the environment (AWS_ACCESS_KEY_ID, \
                         AWS_SECRET_ACCESS_KEY)",
                    ));
                }
            }
        }
        if location
            .endpoint
            .as_deref()
            .is_some_and(|endpoint| endpoint.starts_with("http:"))
            && !location.allow_http
        {
            return Err(wrong(
                "an endpoint without TLS",
                "write https://, or add allow_http=true if the way to it is safe",
            ));
        }
        Ok(location)
    }
}

impl HdfsLocation {
    fn parse(authority: &str, path: &str, query: &str) -> Result<Self, StorageError> {
        let port = authority.rsplit_once(':').map(|(_, port)| port);
        if authority.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_err()) || !query.is_empty() {
            return Err(wrong(
                &format!("'hdfs://{authority}/{path}'"),
                "write hdfs://host:port/path, or hdfs://nameservice/path with HADOOP_CONF_DIR set",
            ));
        }
        let path = decode(path)?;
        let folder = path.trim_matches('/');
        if folder.is_empty() || folder.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(wrong(
                &format!("the folder '/{path}' of HDFS"),
                "name a folder below the root, without '.', '..' and empty parts",
            ));
        }
        Ok(Self {
            authority: authority.into(),
            folder: format!("/{folder}"),
        })
    }
}

/// As people know it: without what does not tell one store from another.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Local(folder) => write!(f, "{}", folder.display()),
            Location::S3(s3) if s3.prefix.is_empty() => write!(f, "s3://{}", s3.bucket),
            Location::S3(s3) => write!(f, "s3://{}/{}", s3.bucket, s3.prefix),
            Location::Hdfs(hdfs) => write!(f, "hdfs://{}{}", hdfs.authority, hdfs.folder),
        }
    }
}

fn wrong(what: &str, hint: &str) -> StorageError {
    StorageError::new(format!("checkpoints cannot be stored at {what}: {hint}"))
}

fn pair(part: &str) -> (&str, &str) {
    part.split_once('=').unwrap_or((part, ""))
}

/// Replaces `%20` and its like.
fn decode(text: &str) -> Result<String, StorageError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let code = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
            // `from_str_radix` takes a sign.
            let code = code
                .filter(|digits| !digits.starts_with('+'))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok());
            let code =
                code.ok_or_else(|| wrong("a URL with a '%' that begins no code", "write %25 for the character"))?;
            bytes.push(code);
            rest = &tail[2..];
        } else {
            bytes.push(first);
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text),
        _ => Err(wrong("a URL with codes that are no text", "write UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(url: &str) -> String {
        Location::parse(url).unwrap_err().message
    }

    #[test]
    fn paths_and_urls_are_read() {
        assert_eq!(Location::parse("state/shop"), Ok(Location::Local("state/shop".into())));
        assert_eq!(
            Location::parse("file:///var/my%20state"),
            Ok(Location::Local("/var/my state".into()))
        );
        let s3 = S3Location {
            bucket: "my-bucket".into(),
            prefix: "a/b".into(),
            region: Some("eu-central-1".into()),
            endpoint: Some("http://127.0.0.1:9000".into()),
            allow_http: true,
        };
        let url = "s3://my-bucket/a/b/?region=eu-central-1&endpoint=http%3A%2F%2F127.0.0.1:9000/&allow_http=true";
        assert_eq!(Location::parse(url), Ok(Location::S3(s3)));
        let hdfs = HdfsLocation {
            authority: "namenode:8020".into(),
            folder: "/hitters/shop".into(),
        };
        assert_eq!(
            Location::parse("hdfs://namenode:8020/hitters/shop/"),
            Ok(Location::Hdfs(hdfs))
        );
        for same in ["s3://bucket", "s3://bucket/p/q", "hdfs://nameservice/p", "/var/lib/x"] {
            assert_eq!(Location::parse(same).unwrap().to_string(), same);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_way_out() {
        for (url, part) in [
            ("", "name a folder"),
            ("gs://bucket/x", "'gs://': known are"),
            ("file://host/x", "three slashes"),
            ("s3:///x", "the bucket ''"),
            ("s3://Bucket/x", "lower case"),
            ("s3://bucket/../x", "without '.', '..'"),
            ("s3://bucket/x?endpoint=127.0.0.1", "begin it with http"),
            ("s3://bucket/x?endpoint=http://127.0.0.1", "allow_http=true"),
            ("s3://bucket/x?allow_http=yes", "true or false"),
            ("hdfs:///x", "hdfs://host:port/path"),
            ("hdfs://host:http/x", "hdfs://host:port/path"),
            ("hdfs://host:8020/", "below the root"),
            ("s3://bucket/%zz", "%25"),
            ("s3://bucket/a b", "%20"),
        ] {
            assert!(said(url).contains(part), "{url}: {}", said(url));
        }
    }

    #[test]
    fn a_secret_in_a_url_is_refused_and_not_repeated() {
        for url in [
            "s3://key:hush@bucket/x",
            "s3://bucket/x?secret_access_key=hush",
            "hdfs://me:hush@host:1/x",
        ] {
            assert!(
                said(url).contains("environment") && !said(url).contains("hush"),
                "{}",
                said(url)
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "(s3|file|hdfs|x)?(://)?[a-z/.:?&=%@\0é0-9]{0,30}") {
            if let Ok(Location::S3(s3)) = Location::parse(&text) {
                prop_assert!(!s3.bucket.is_empty() && !s3.prefix.starts_with('/'));
            }
        }
    }
}
