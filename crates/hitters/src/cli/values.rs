//! Values of flags that clap does not know.

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use hitters_connectors::Bound;
use hitters_pipeline::Backend;
use std::time::Duration;

/// `NAME=VALUE`.
pub fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

/// `earliest`, `latest`, milliseconds since the epoch, or RFC 3339 (without a zone: UTC).
pub fn bound(text: &str) -> Result<Bound, String> {
    match text {
        "earliest" => return Ok(Bound::Earliest),
        "latest" => return Ok(Bound::Latest),
        _ => {}
    }
    if let Ok(millis) = text.parse() {
        return Ok(Bound::Time(millis));
    }
    let nanos = string_to_timestamp_nanos(text);
    nanos
        .map(|nanos| Bound::Time(nanos.div_euclid(1_000_000)))
        .map_err(|_| "use earliest, latest, a time as 2026-01-31T12:00:00Z, or milliseconds since the epoch".into())
}

/// A time, as `10s`.
pub fn time(text: &str) -> Result<Duration, String> {
    hitters_pipeline::parse_duration(text).map_err(str::to_owned)
}

/// `memory` or `rocksdb`.
pub fn backend(text: &str) -> Result<Backend, String> {
    let known = || Backend::ALL.map(Backend::name).join(" or ");
    let found = Backend::ALL.into_iter().find(|backend| backend.name() == text);
    found.ok_or_else(|| format!("it is {}", known()))
}

/// Bytes, as `512MB`.
pub fn size(text: &str) -> Result<u64, String> {
    hitters_pipeline::parse_size(text).map_err(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_words_milliseconds_or_times() {
        assert_eq!(bound("earliest"), Ok(Bound::Earliest));
        assert_eq!(bound("1700000000000"), Ok(Bound::Time(1_700_000_000_000)));
        assert_eq!(bound("2023-11-14T22:13:20Z"), Ok(Bound::Time(1_700_000_000_000)));
        assert_eq!(bound("2023-11-14 23:13:20+01:00"), Ok(Bound::Time(1_700_000_000_000)));
        assert!(bound("yesterday").is_err());
    }

    #[test]
    fn parameters_are_split_at_the_first_equals_sign() {
        assert_eq!(name_and_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(name_and_value("a").is_err() && name_and_value("=b").is_err());
    }
}
