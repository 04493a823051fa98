//! Timestamps and dates as JSON strings hold them: RFC 3339, also with a blank for the `T` and without a zone (then UTC).

/// Seconds since the epoch and nanoseconds within the second.
pub(crate) type Instant = (i64, u32);

/// Parses `2023-09-18T14:23:10`, with an optional fraction (digits after the ninth are cut) and zone (`Z`, `+02:00`,
/// `+0200`, `+02`); a date alone is its midnight. Years 0 to 9999, as RFC 3339 has them; a leap second counts as the
/// first of the next minute.
pub(crate) fn timestamp(text: &[u8]) -> Option<Instant> {
    let day = date(text.get(..10)?)?;
    let mut seconds = day * 86_400;
    let mut nanos = 0;
    let mut rest = &text[10..];
    if rest.is_empty() {
        return Some((seconds, nanos));
    }
    if !matches!(rest[0], b'T' | b't' | b' ') {
        return None;
    }
    let clock = rest.get(1..9)?;
    if clock[2] != b':' || clock[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (two(&clock[0..2])?, two(&clock[3..5])?, two(&clock[6..8])?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    seconds += hour * 3600 + minute * 60 + second;
    rest = &rest[9..];
    if let Some(b'.') = rest.first() {
        let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let mut unit = 100_000_000;
        for digit in rest[1..].iter().take(digits.min(9)) {
            nanos += u32::from(digit - b'0') * unit;
            unit /= 10;
        }
        rest = &rest[1 + digits..];
    }
    seconds -= zone(rest)?;
    Some((seconds, nanos))
}

/// Seconds east of UTC.
fn zone(text: &[u8]) -> Option<i64> {
    let sign = match text {
        [] | b"Z" | b"z" => return Some(0),
        [b' ', rest @ ..] => return zone(rest),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (hours, minutes) = match &text[1..] {
        [h @ .., b':', _, _] if h.len() == 2 => (two(h)?, two(&text[4..6])?),
        [_, _, _, _] => (two(&text[1..3])?, two(&text[3..5])?),
        [_, _] => (two(&text[1..3])?, 0),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since the epoch of `2023-09-18`.
pub(crate) fn date(text: &[u8]) -> Option<i64> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = two(&text[0..2])? * 100 + two(&text[2..4])?;
    let (month, day) = (two(&text[5..7])?, two(&text[8..10])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    // Days from civil, by Howard Hinnant: years begin in March, so that the leap day is a year's last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Two digits.
fn two(text: &[u8]) -> Option<i64> {
    match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i64::from(a - b'0') * 10 + i64::from(b - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;

    fn nanos(text: &str) -> Option<i128> {
        timestamp(text.as_bytes()).map(|(s, n)| i128::from(s) * 1_000_000_000 + i128::from(n))
    }

    #[test]
    fn reads_what_arrow_reads() {
        for text in [
            "1997-01-31T09:26:56.123Z",
            "1997-01-31T09:26:56.123-05:00",
            "1997-01-31 09:26:56.123-05:00",
            "1997-01-31T09:26:56.123",
            "1997-01-31 09:26:56",
            "1997-01-31",
            "2023-01-01 04:05:06.789 -08",
            "2024-02-29T23:59:59.999999999+0530",
            "1969-12-31T23:59:59.5Z",
            "1900-03-01T00:00:00Z",
            "2000-02-29t00:00:00z",
            "2016-12-31T23:59:60Z",
        ] {
            assert_eq!(
                nanos(text),
                string_to_timestamp_nanos(text).ok().map(i128::from),
                "{text}"
            );
        }
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut expected = date(b"1600-01-01").unwrap();
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=31 {
                    let text = format!("{year:04}-{month:02}-{day:02}");
                    if let Some(days) = date(text.as_bytes()) {
                        assert_eq!(days, expected, "{text}");
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(date(b"1970-01-01"), Some(0));
        assert_eq!(expected, date(b"2400-01-01").unwrap());
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "x",
            "2023",
            "2023-13-01",
            "2023-02-29",
            "2023-00-10",
            "2023-01-32",
            "2023-01-01T",
            "2023-01-01T10:00",
            "2023-01-01T24:00:00",
            "2023-01-01T10:61:00",
            "2023-01-01X10:00:00",
            "2023-01-01T10:00:00.",
            "2023-01-01T10:00:00+1",
            "2023-01-01T10:00:00+25:00",
            "2023-01-01T10:00:00 UTC",
            "2023-01-01T10:00:00Zx",
            "2023/01/01",
        ] {
            assert_eq!(timestamp(text.as_bytes()), None, "{text}");
        }
    }
}
