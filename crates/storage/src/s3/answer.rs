//! What a service said, as a value: `object_store` hands errors on as text only, and whether to ask again, and what to tell
//! the user, hangs on the status and the code in the body.
//!
//! [`Connector`] stands between `object_store` and its HTTP client, and turns every answer that reports a fault into an
//! [`Answer`], which [`cause`] finds again at the end of the chain of errors.

use crate::location::S3Location;
use async_trait::async_trait;
use futures_util::TryStreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use std::error::Error;
use std::fmt;

/// The address that a machine of Amazon's gets its credentials from.
const METADATA: &str = "http://169.254.169.254";

/// An answer that reports a fault, or none from the service of credentials.
#[derive(Debug)]
pub struct Answer {
    /// HTTP's status; 0 if there was no answer.
    status: u16,
    /// S3's code, as `NoSuchBucket`. Answers without a body have none.
    code: Option<String>,
    message: String,
    /// The region of the bucket, in answers of another one.
    region: Option<String>,
    /// It is not about an object: the machine has no credentials.
    credentials: bool,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.status > 0 {
            write!(f, "{}", self.status)?;
        }
        for (before, text) in [(" ", self.code.as_deref()), (": ", Some(self.message.as_str()))] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                write!(f, "{}{text}", if self.status > 0 { before } else { "" })?;
            }
        }
        Ok(())
    }
}

impl Error for Answer {}

/// Makes HTTP clients whose errors hold an [`Answer`].
#[derive(Debug)]
pub struct Connector {
    metadata: String,
}

impl Connector {
    /// `metadata`: another service of credentials than Amazon's.
    pub fn new(metadata: Option<&str>) -> Self {
        Self {
            metadata: metadata.unwrap_or(METADATA).trim_end_matches('/').to_owned(),
        }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Service {
            client,
            metadata: self.metadata.clone(),
        }))
    }
}

#[derive(Debug)]
struct Service {
    client: HttpClient,
    metadata: String,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let credentials = request.uri().to_string().starts_with(&self.metadata);
        // Amazon may begin an answer to a POST with 200 and find later that it cannot do it.
        let late = request.method().as_str() == "POST";
        let response = match self.client.execute(request).await {
            Err(error) if credentials => {
                let answer = Answer {
                    status: 0,
                    code: None,
                    message: deepest(&error),
                    region: None,
                    credentials,
                };
                return Err(HttpError::new(HttpErrorKind::Unknown, answer));
            }
            other => other?,
        };
        let status = response.status().as_u16();
        if status < 300 && !late {
            return Ok(response);
        }
        let region = response
            .headers()
            .get("x-amz-bucket-region")
            .and_then(|value| value.to_str().ok());
        let region = region.map(str::to_owned);
        let (parts, body) = response.into_parts();
        let body: Vec<u8> = body
            .bytes_stream()
            .try_fold(Vec::new(), async |mut all, part| {
                all.extend_from_slice(&part);
                Ok(all)
            })
            .await?;
        let text = String::from_utf8_lossy(&body);
        if status < 300 && !text.contains("<Error>") {
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)));
        }
        let answer = Answer {
            status,
            code: tag(&text, "Code"),
            message: tag(&text, "Message").unwrap_or_default(),
            region: region.or_else(|| tag(&text, "Region")),
            credentials,
        };
        Err(HttpError::new(HttpErrorKind::Unknown, answer))
    }
}

/// The text of an element of an error, which holds no element of the same name.
fn tag(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(text.replace("&apos;", "'").replace("&amp;", "&"))
}

/// What to make of an error.
#[derive(Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no such object, or no such upload.
    Missing,
    /// There is an object of the name already.
    Exists,
    /// The object has no such bytes: it is empty.
    Empty,
    /// Another try may succeed. `undone`: it is certain that the request changed nothing.
    Passing { text: String, undone: bool },
    /// Another try fails too.
    Lasting(String),
}

/// Finds out what an error means for a store.
pub fn cause(error: &object_store::Error, location: &S3Location) -> Cause {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let mut transport = None;
    while let Some(error) = next {
        if let Some(answer) = error.downcast_ref::<Answer>() {
            return answered(answer, location);
        }
        transport = transport.or(error.downcast_ref::<HttpError>());
        next = error.source();
    }
    match transport.map(|error| (error.kind(), deepest(error))) {
        Some((_, text)) if text.contains("certificate") => Cause::Lasting(format!(
            "the certificate of {} is not trusted; name a file with that of its authority in SSL_CERT_FILE ({text})",
            service(location)
        )),
        Some((HttpErrorKind::Connect, text)) => Cause::Passing {
            text: format!("{} cannot be reached ({text})", service(location)),
            undone: true,
        },
        Some((HttpErrorKind::Timeout, _)) => Cause::Passing {
            text: format!("{} did not answer in time", service(location)),
            undone: false,
        },
        Some((
            HttpErrorKind::Request | HttpErrorKind::Interrupted | HttpErrorKind::Unknown | HttpErrorKind::Decode,
            text,
        )) => Cause::Passing {
            text: format!("{} broke the connection off ({text})", service(location)),
            undone: false,
        },
        _ => Cause::Lasting(format!(
            "{} gave no answer of S3: {}",
            service(location),
            deepest(error)
        )),
    }
}

fn answered(answer: &Answer, location: &S3Location) -> Cause {
    let code = answer.code.as_deref().unwrap_or_default();
    let lasting = |text: &str| Cause::Lasting(format!("{text} ({answer})"));
    if answer.credentials {
        return lasting(
            "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where the machine has a role",
        );
    }
    match (answer.status, code) {
        (_, "NoSuchBucket") => lasting(&format!(
            "{} has no bucket '{}'; create it, or correct the URL",
            service(location),
            location.bucket
        )),
        (404, _) => Cause::Missing,
        (412, _) => Cause::Exists,
        (416, _) => Cause::Empty,
        (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "AuthFailure") => {
            lasting("the credentials are refused; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN")
        }
        (_, "ExpiredToken" | "TokenRefreshRequired") => lasting("the credentials have run out; get new ones"),
        (_, "RequestTimeTooSkewed") => lasting("the clock of this machine is wrong; set it"),
        (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException")
        | (300..400, _) => {
            let region = answer.region.as_deref();
            lasting(&match region {
                Some(region) => format!("the bucket is in the region {region}; write ?region={region} behind the URL"),
                None => "the bucket is in another region; write ?region=... behind the URL, or set AWS_REGION".into(),
            })
        }
        (401 | 403, _) => lasting(
            "access is denied; allow s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject and \
             s3:AbortMultipartUpload on its objects",
        ),
        (501, _) | (_, "NotImplemented") => {
            lasting("the service cannot do this; it must know If-None-Match: * and multipart uploads")
        }
        (409, _) => Cause::Passing {
            text: format!("another writer was busy with it ({answer})"),
            undone: true,
        },
        (408 | 429, _) | (400, "RequestTimeout") | (200, _) | (500.., _) => Cause::Passing {
            text: format!("{} is busy or broken ({answer})", service(location)),
            undone: false,
        },
        _ => lasting(&format!("{} refuses it", service(location))),
    }
}

/// Who answers.
fn service(location: &S3Location) -> &str {
    location.endpoint.as_deref().unwrap_or("S3")
}

/// The last error of a chain: those before it only say that something failed.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location() -> S3Location {
        S3Location {
            bucket: "shop".into(),
            prefix: String::new(),
            region: None,
            endpoint: None,
            allow_http: false,
        }
    }

    fn of(status: u16, code: &str) -> Cause {
        let answer = Answer {
            status,
            code: (!code.is_empty()).then(|| code.to_owned()),
            message: "because".into(),
            region: Some("eu-north-1".into()),
            credentials: false,
        };
        let error = HttpError::new(HttpErrorKind::Unknown, answer);
        cause(
            &object_store::Error::Generic {
                store: "S3",
                source: Box::new(error),
            },
            &location(),
        )
    }

    #[test]
    fn only_what_waiting_helps_is_asked_again() {
        for (status, code) in [
            (500, "InternalError"),
            (503, "SlowDown"),
            (503, ""),
            (429, ""),
            (400, "RequestTimeout"),
            (200, "InternalError"),
        ] {
            assert!(
                matches!(of(status, code), Cause::Passing { undone: false, .. }),
                "{status} {code}"
            );
        }
        assert!(matches!(
            of(409, "ConditionalRequestConflict"),
            Cause::Passing { undone: true, .. }
        ));
        assert_eq!(
            (of(404, "NoSuchKey"), of(404, ""), of(412, "PreconditionFailed")),
            (Cause::Missing, Cause::Missing, Cause::Exists)
        );
    }

    #[test]
    fn what_lasts_says_what_to_do() {
        for (status, code, advice) in [
            (404, "NoSuchBucket", "S3 has no bucket 'shop'; create it"),
            (403, "AccessDenied", "allow s3:ListBucket"),
            (403, "", "allow s3:ListBucket"),
            (403, "SignatureDoesNotMatch", "check AWS_ACCESS_KEY_ID"),
            (400, "ExpiredToken", "get new ones"),
            (403, "RequestTimeTooSkewed", "the clock"),
            (301, "PermanentRedirect", "?region=eu-north-1"),
            (501, "NotImplemented", "If-None-Match"),
            (400, "EntityTooLarge", "refuses it (400 EntityTooLarge: because)"),
        ] {
            assert!(
                matches!(of(status, code), Cause::Lasting(text) if text.contains(advice)),
                "{status} {code}: {:?}",
                of(status, code)
            );
        }
    }

    #[test]
    fn codes_are_read_from_the_body() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>a &lt; b &amp;amp; c</Message></Error>";
        assert_eq!(
            (tag(xml, "Code"), tag(xml, "Message")),
            (Some("NoSuchKey".into()), Some("a < b &amp; c".into()))
        );
        assert_eq!((tag(xml, "Region"), tag("<Code>x", "Code")), (None, None));
    }
}
