//! Durations and sizes as people write them: `10s`, `1h 30m`, `512MB`, `1.5GiB`.

use std::time::Duration;

/// A duration: numbers with `ms`, `s`, `m` (`min`), `h`, `d`, added up. The error says what is allowed.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    const ALLOWED: &str = "a duration is a number with ms, s, m, h or d, as '10s' or '1h 30m'";
    let mut millis: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(ALLOWED);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(ALLOWED)?;
        let number: u64 = rest[..digits].parse().map_err(|_| ALLOWED)?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(ALLOWED),
        };
        millis = number
            .checked_mul(unit)
            .and_then(|part| millis.checked_add(part))
            .ok_or(ALLOWED)?;
        rest = rest[letters..].trim_start();
    }
    Ok(Duration::from_millis(millis))
}

/// A number of bytes: with `kB`, `MB`, `GB` (powers of 1000) or `KiB`, `MiB`, `GiB` (powers of 1024), or bare.
pub fn bytes(text: &str) -> Result<u64, &'static str> {
    const ALLOWED: &str = "a size is a number of bytes or a number with kB, MB, GB, KiB, MiB or GiB, as '512MB'";
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| ALLOWED)?;
    let unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(ALLOWED),
    };
    let bytes = number * unit as f64;
    // Above 2^53 a product of floats is no exact number of bytes, and no machine has so many.
    if bytes.is_finite() && (1.0..9_007_199_254_740_992.0).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err(ALLOWED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250 ms"), Ok(Duration::from_millis(250)));
        for wrong in [
            "",
            "10",
            "s",
            "1.5s",
            "10 parsecs",
            "-1s",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_know_both_kinds_of_units() {
        assert_eq!(bytes("512MB"), Ok(512_000_000));
        assert_eq!(bytes("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(bytes("4096"), Ok(4096));
        for wrong in ["", "MB", "0", "-1", "1TBB", "1e400", "nan"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
