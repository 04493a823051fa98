//! Times and durations as questions write them, and steps that follow the days of a time zone.

use crate::problem::Problem;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};
use serde_json::json;

/// A day in ms.
pub const DAY: i64 = 86_400_000;

/// The time zone of that name.
///
/// # Errors
/// If there is none.
pub fn zone(name: &str) -> Result<TimeZone, Problem> {
    TimeZone::get(name).map_err(|_| {
        let detail = format!("tz = {name} is no time zone; use a name of the IANA database");
        Problem::parameter("tz", detail, json!(["UTC", "Europe/Berlin", "America/New_York", "..."]))
    })
}

/// A time in ms since the epoch: such a number, RFC 3339, or a day or time in the zone.
///
/// # Errors
/// If it is none of these.
pub fn time(parameter: &str, text: &str, zone: &TimeZone) -> Result<i64, Problem> {
    if let Ok(millis) = text.parse::<i64>()
        && Timestamp::from_millisecond(millis).is_ok()
    {
        return Ok(millis);
    }
    // A plus in a URL is a space.
    let text = text.replace(' ', "+");
    let local = |at: DateTime| at.to_zoned_datetime(zone.clone()).map(|at| at.timestamp());
    let found = match text.parse::<Timestamp>() {
        Ok(at) => Ok(at),
        Err(_) => match text.parse::<DateTime>() {
            Ok(at) => local(at),
            Err(_) => text.parse::<Date>().and_then(|day| local(day.at(0, 0, 0, 0))),
        },
    };
    found.map(Timestamp::as_millisecond).map_err(|_| {
        let detail = format!("{parameter} = {text} is no time; write RFC 3339, a day, or milliseconds since the epoch");
        Problem::parameter(
            parameter,
            detail,
            json!([
                "2026-01-31T12:00:00Z",
                "2026-01-31",
                "2026-01-31T12:00",
                "1769860800000"
            ]),
        )
    })
}

/// A duration in ms: `90s`, `15m`, `1h`, `7d`, `2w`.
///
/// # Errors
/// If it is none, or 0.
pub fn duration(parameter: &str, text: &str) -> Result<i64, Problem> {
    let units = [("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", DAY), ("w", 7 * DAY)];
    let found = units.iter().find_map(|(unit, millis)| {
        let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
        number
            .checked_mul(*millis)
            .filter(|millis| (1..=4000 * DAY).contains(millis))
    });
    found.ok_or_else(|| {
        let detail = format!("{parameter} = {text} is no duration; write a number and s, m, h, d or w, up to 4000d");
        Problem::parameter(parameter, detail, json!(["90s", "15m", "1h", "7d", "2w"]))
    })
}

/// RFC 3339 with the offset of the zone.
pub fn show(millis: i64, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_millisecond(millis) else {
        return millis.to_string();
    };
    let offset = zone.to_offset(at);
    if offset == Offset::UTC {
        at.to_string()
    } else {
        at.display_with_offset(offset).to_string()
    }
}

/// Cuts a range into steps: at multiples of the step since the epoch, those of whole days at the days of the zone. The first
/// and the last may be shorter. `None` if there are more than `most`.
pub fn steps(from: i64, to: i64, step: i64, zone: &TimeZone, most: usize) -> Option<Vec<(i64, i64)>> {
    let mut parts = Vec::new();
    let mut at = from;
    while at < to {
        let next = if step % DAY == 0 {
            next_day(at, step / DAY, zone).unwrap_or(to)
        } else {
            (at.div_euclid(step) + 1) * step
        };
        let end = next.clamp(at + 1, to);
        parts.push((at, end));
        if parts.len() > most {
            return None;
        }
        at = end;
    }
    Some(parts)
}

/// The beginning of the next run of `days` days, counted from 1970-01-01 (for seven: from the Monday after it).
fn next_day(at: i64, days: i64, zone: &TimeZone) -> Option<i64> {
    let day = Timestamp::from_millisecond(at)
        .ok()?
        .to_zoned_datetime(zone.clone())
        .date();
    let first = Date::new(1970, 1, if days % 7 == 0 { 5 } else { 1 }).ok()?;
    let passed = i64::from(first.until(day).ok()?.get_days());
    let next = (passed.div_euclid(days) + 1) * days;
    let next = first.checked_add(Span::new().try_days(next).ok()?).ok()?;
    Some(
        next.at(0, 0, 0, 0)
            .to_zoned_datetime(zone.clone())
            .ok()?
            .timestamp()
            .as_millisecond(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_in_every_form() {
        let utc = TimeZone::UTC;
        let new_york = zone("America/New_York").unwrap();
        let noon = 1_769_860_800_000;
        for text in [
            "1769860800000",
            "2026-01-31T12:00:00Z",
            "2026-01-31T13:00:00+01:00",
            "2026-01-31T13:00:00 01:00",
            "2026-01-31T12:00",
        ] {
            assert_eq!(time("from", text, &utc), Ok(noon), "{text}");
        }
        assert_eq!(time("from", "2026-01-31", &new_york), Ok(noon - 7 * 3_600_000));
        assert_eq!(time("from", "2026-01-31T07:00", &new_york), Ok(noon));
        assert_eq!(show(noon, &new_york), "2026-01-31T07:00:00-05:00");
        assert_eq!(show(noon, &utc), "2026-01-31T12:00:00Z");
        assert!(time("from", "tomorrow", &utc).is_err());
        assert_eq!(
            (duration("last", "15m"), duration("last", "2w")),
            (Ok(900_000), Ok(14 * DAY))
        );
        for wrong in ["", "m", "0s", "-1h", "1y", "99999999999999999999s"] {
            assert!(duration("last", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn days_follow_the_zone_through_a_change_of_its_clocks() {
        let berlin = zone("Europe/Berlin").unwrap();
        let at = |text: &str| time("from", text, &berlin).unwrap();
        let days = steps(at("2026-03-28T12:00"), at("2026-03-31"), DAY, &berlin, 10).unwrap();
        let hours: Vec<_> = days.iter().map(|(from, to)| (to - from) / 3_600_000).collect();
        assert_eq!(hours, [12, 23, 24]);
        let weeks = steps(at("2026-03-01"), at("2026-03-17"), 7 * DAY, &berlin, 10).unwrap();
        assert_eq!(weeks[0].1, at("2026-03-02"));
        assert_eq!(
            steps(10, 100, 40, &TimeZone::UTC, 10),
            Some(vec![(10, 40), (40, 80), (80, 100)])
        );
        assert_eq!(steps(0, 100, 1, &TimeZone::UTC, 10), None);
    }
}
