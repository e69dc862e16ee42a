//! Times as RFC 3339 writes them: all that a credential helper's `expires` may hold.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads such a time, fractions of a second left out; `None` for anything else, or before 1970.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 {
        return None;
    }
    let shape = [(4, b"-"), (7, b"-"), (13, b":"), (16, b":")];
    if shape.iter().any(|(at, mark)| bytes[*at] != mark[0]) || !b"Tt ".contains(&bytes[10]) {
        return None;
    }
    let year = number(&text[0..4])?;
    let month = number(&text[5..7]).filter(|month| (1..=12).contains(month))?;
    let day = number(&text[8..10]).filter(|day| (1..=31).contains(day))?;
    let hour = number(&text[11..13]).filter(|hour| *hour < 24)?;
    let minute = number(&text[14..16]).filter(|minute| *minute < 60)?;
    let second = number(&text[17..19]).filter(|second| *second <= 60)?;
    let rest = match text[19..].strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => &text[19..],
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = seconds - offset(rest)?;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

fn number(digits: &str) -> Option<i64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    Some(sign * (number(hours)? * 3600 + number(minutes)? * 60))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, the year begun in March so that the leap day
/// is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        // Checked with `date -u -d TEXT +%s`.
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-23T19:15:15Z", 1_795_461_315),
            ("2026-11-23t19:15:15.123456z", 1_795_461_315),
            ("2026-11-23T20:45:15+01:30", 1_795_461_315),
            ("2026-11-23T11:15:15.5-08:00", 1_795_461_315),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            let expected = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_others() {
        for text in [
            "",
            "tomorrow",
            "2026-11-23",
            "2026-11-23T19:15:15",
            "2026-13-23T19:15:15Z",
            "2026-11-23T24:15:15Z",
            "2026-11-23T19:15:15+1:00",
            "1969-12-31T23:59:59Z",
            "+026-11-23T19:15:15Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
