//! Whose signatures are taken: public keys, each with the time in which it signs.

use std::{
    ffi::OsStr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use toml::{
    Spanned, Value as Shown,
    de::{DeTable, DeValue},
    value::{Datetime, Offset},
};

use super::{
    misfit::{Located, Misfit},
    path,
    value::{Base, Value, describe},
};

/// A moment: RFC 3339 with an offset, or a date alone, which is its midnight in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    written: Datetime,
    /// The time.
    pub time: SystemTime,
}

impl Moment {
    fn new(written: Datetime) -> Option<Self> {
        let date = written.date?;
        let offset_minutes = match (&written.time, &written.offset) {
            (None, None) | (Some(_), Some(Offset::Z)) => 0,
            (Some(_), Some(Offset::Custom { minutes })) => i64::from(*minutes),
            _ => return None,
        };
        let of_day = written.time.map_or(0, |time| {
            i64::from(time.hour) * 3600
                + i64::from(time.minute) * 60
                + i64::from(time.second.unwrap_or(0))
        });
        let days = days_since_1970(
            i64::from(date.year),
            i64::from(date.month),
            i64::from(date.day),
        );
        let seconds = days * 86_400 + of_day - offset_minutes * 60;
        let since = Duration::from_secs(seconds.unsigned_abs());
        let time = if seconds < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(since)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(since)
        };
        Some(Self {
            written,
            time: time?,
        })
    }
}

/// The days from 1970-01-01 to a date of the Gregorian calendar. Years are taken to begin in
/// March, so that the day that only some years have is their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let months_since_march = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    // 719468 days before 1970-01-01 the year 0 of this counting began.
    year * 365 + leap_days + day_of_year - 719_468
}

/// A public key that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// Its file, an Ed25519 public key in PEM.
    pub path: PathBuf,
    /// What it signed before is not taken.
    pub not_before: Option<Moment>,
    /// What it signed at or after this is not taken.
    pub not_after: Option<Moment>,
}

impl TrustedKey {
    fn always(path: PathBuf) -> Self {
        Self {
            path,
            not_before: None,
            not_after: None,
        }
    }

    fn from_table(table: &DeTable<'_>, base: Base<'_>) -> Result<Self, Located> {
        let mut path = None;
        let (mut not_before, mut not_after) = (None, None);
        for (name, value) in table {
            match name.get_ref().as_ref() {
                "key" => path = Some(PathBuf::from_toml(value.get_ref(), base)?),
                "not_before" => not_before = Some(moment(value)?),
                "not_after" => not_after = Some(moment(value)?),
                other => {
                    let name_of = other.to_owned();
                    return Err(Misfit::KeyField { name: name_of }.at(name.span()));
                }
            }
        }
        if let (Some(from), Some(to)) = (not_before, not_after)
            && from.time >= to.time
        {
            return Err(Misfit::NeverValid.into());
        }
        Ok(Self {
            path: path.ok_or(Misfit::NoKey)?,
            not_before,
            not_after,
        })
    }

    fn shown(&self) -> Shown {
        let mut table = toml::Table::new();
        table.insert("key".to_owned(), path::shown(&self.path));
        for (name, moment) in [
            ("not_before", self.not_before),
            ("not_after", self.not_after),
        ] {
            if let Some(moment) = moment {
                table.insert(name.to_owned(), Shown::from(moment.written.to_string()));
            }
        }
        Shown::Table(table)
    }
}

/// A moment, as a date and time of TOML or as text.
fn moment(value: &Spanned<DeValue<'_>>) -> Result<Moment, Located> {
    let written = match value.get_ref() {
        DeValue::Datetime(written) => Some(*written),
        DeValue::String(text) => text.parse().ok(),
        _ => None,
    };
    written.and_then(Moment::new).ok_or_else(|| {
        Misfit::Expected {
            expected: "a time of RFC 3339 with its offset, for instance 2026-01-31T00:00:00Z",
            found: describe(value.get_ref()),
        }
        .at(value.span())
    })
}

/// All keys that are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trust(pub(super) Vec<TrustedKey>);

impl Value for Trust {
    const EXPECTED: &'static str =
        "paths of public keys, or tables with `key`, `not_before` and `not_after`";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        Self::from_variable(OsStr::new(text))
    }

    fn from_variable(text: &OsStr) -> Result<Self, Misfit> {
        let paths = std::env::split_paths(text).filter(|path| !path.as_os_str().is_empty());
        Ok(Self(paths.map(TrustedKey::always).collect()))
    }

    fn from_toml(value: &DeValue<'_>, base: Base<'_>) -> Result<Self, Located> {
        let list = value
            .as_array()
            .ok_or_else(|| Self::unexpected(describe(value)))?;
        list.iter()
            .map(|item| {
                let key = match item.get_ref() {
                    DeValue::String(text) => Ok(TrustedKey::always(path::expand(text, base)?)),
                    DeValue::Table(table) => TrustedKey::from_table(table, base),
                    other => Err(Self::unexpected(describe(other)).into()),
                };
                key.map_err(|located: Located| Located {
                    span: located.span.or_else(|| Some(item.span())),
                    ..located
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn shown(&self) -> Option<Shown> {
        Some(Shown::Array(self.0.iter().map(TrustedKey::shown).collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn trust(text: &str) -> Result<Trust, String> {
        let value = DeValue::parse(text).unwrap();
        let base = Base {
            directory: Path::new("/etc/kiln"),
            home: None,
        };
        Trust::from_toml(value.get_ref(), base).map_err(|located| located.misfit.to_string())
    }

    fn seconds(text: &str) -> Option<i64> {
        let time = Moment::new(text.parse().ok()?)?.time;
        Some(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_secs() as i64,
            Err(before) => -(before.duration().as_secs() as i64),
        })
    }

    #[test]
    fn moments() {
        assert_eq!(seconds("1970-01-01"), Some(0));
        assert_eq!(seconds("1970-01-01T00:00:00+01:00"), Some(-3600));
        assert_eq!(seconds("2000-02-29T12:00:00Z"), Some(951_825_600));
        assert_eq!(seconds("2026-01-31T23:59:59Z"), Some(1_769_903_999));
        assert_eq!(seconds("2100-03-01"), Some(4_107_542_400));
        assert_eq!(seconds("2026-01-31T23:59:59"), None, "no offset");
        assert_eq!(seconds("23:59:59"), None, "no date");
    }

    #[test]
    fn keys() {
        let keys = trust(
            "['a.pub', { key = '/b.pub', not_before = 2026-01-01T00:00:00Z, not_after = '2027-01-01' }]",
        );
        let keys = keys.unwrap().0;
        assert_eq!(keys[0], TrustedKey::always("/etc/kiln/a.pub".into()));
        assert_eq!(keys[1].path, Path::new("/b.pub"));
        assert!(keys[1].not_before.unwrap().time < keys[1].not_after.unwrap().time);
        let listed = Trust::from_text("/a.pub:/b.pub").unwrap().0;
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[1], TrustedKey::always("/b.pub".into()));
    }

    #[test]
    fn what_is_no_key() {
        for (wrong, told) in [
            ("'a.pub'", "expects paths"),
            ("[3]", "expects paths"),
            ("[{ not_before = 2026-01-01 }]", "without `key`"),
            ("[{ key = 'a', until = 2026-01-01 }]", "has \"until\""),
            ("[{ key = 'a', not_after = 2026 }]", "RFC 3339"),
            ("[{ key = 'a', not_after = 2026-01-01T00:00:00 }]", "offset"),
            (
                "[{ key = 'a', not_before = 2027-01-01, not_after = 2026-01-01 }]",
                "is not before",
            ),
        ] {
            let said = trust(wrong).unwrap_err();
            assert!(said.contains(told), "{wrong}: {said}");
        }
    }
}
