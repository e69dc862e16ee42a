//! Values as they are written: in a file as TOML, in a variable or a flag as text.
//!
//! Each type of value knows how to read both, what to say about anything else, and how it is
//! shown. Units are in the types: nothing here is a bare number.

use std::{
    ffi::OsStr,
    num::{NonZeroU32, NonZeroUsize},
    path::Path,
    str::FromStr,
    time::Duration,
};

use toml::{Value as Shown, de::DeValue};

use super::misfit::{Located, Misfit};

/// What a value is read relative to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base<'a> {
    /// The directory of the file, for relative paths.
    pub(super) directory: &'a Path,
    /// What `~` is.
    pub(super) home: Option<&'a Path>,
}

/// A type of value.
pub(super) trait Value: Sized {
    /// What a setting of this type takes, to be told to who wrote something else.
    const EXPECTED: &'static str;

    /// Reads text, as a variable or a flag has it.
    fn from_text(text: &str) -> Result<Self, Misfit>;

    /// Reads a variable.
    fn from_variable(text: &OsStr) -> Result<Self, Misfit> {
        match text.to_str() {
            Some(text) => Self::from_text(text),
            None => Err(Self::unexpected(format!("{text:?}"))),
        }
    }

    /// Reads a value of a file.
    fn from_toml(value: &DeValue<'_>, _: Base<'_>) -> Result<Self, Located> {
        match value {
            DeValue::String(text) => Ok(Self::from_text(text)?),
            other => Err(Self::unexpected(describe(other)).into()),
        }
    }

    /// As TOML; none if it is never shown.
    fn shown(&self) -> Option<Shown>;

    /// That something else was found.
    fn unexpected(found: String) -> Misfit {
        Misfit::Expected {
            expected: Self::EXPECTED,
            found,
        }
    }
}

/// A value of a file, for an error.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A whole number that is not below zero.
fn number(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn shown_number(number: u64) -> Option<Shown> {
    Some(i64::try_from(number).map_or_else(|_| Shown::from(number.to_string()), Shown::from))
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(Self::unexpected(format!("{other:?}"))),
        }
    }

    fn from_toml(value: &DeValue<'_>, _: Base<'_>) -> Result<Self, Located> {
        value
            .as_bool()
            .ok_or_else(|| Self::unexpected(describe(value)).into())
    }

    fn shown(&self) -> Option<Shown> {
        Some(Shown::from(*self))
    }
}

impl Value for NonZeroUsize {
    const EXPECTED: &'static str = "a whole number above 0";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        text.parse()
            .map_err(|_| Self::unexpected(format!("{text:?}")))
    }

    fn from_toml(value: &DeValue<'_>, _: Base<'_>) -> Result<Self, Located> {
        number(value)
            .and_then(|number| Self::new(usize::try_from(number).ok()?))
            .ok_or_else(|| Self::unexpected(describe(value)).into())
    }

    fn shown(&self) -> Option<Shown> {
        shown_number(self.get() as u64)
    }
}

/// A size in bytes; written as bytes, or with a unit K, M, G or T (powers of 1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl Value for Size {
    const EXPECTED: &'static str = "a size, for instance \"10G\" (units K, M, G and T)";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        text.parse()
    }

    fn from_toml(value: &DeValue<'_>, _: Base<'_>) -> Result<Self, Located> {
        match value {
            DeValue::String(text) => Ok(text.parse()?),
            other => number(other)
                .map(Self)
                .ok_or_else(|| Self::unexpected(describe(other)).into()),
        }
    }

    fn shown(&self) -> Option<Shown> {
        let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
        let whole = units
            .iter()
            .find(|(_, shift)| self.0 > 0 && self.0.trailing_zeros() >= *shift);
        match whole {
            Some((unit, shift)) => Some(Shown::from(format!("{}{unit}", self.0 >> shift))),
            None => shown_number(self.0),
        }
    }
}

impl FromStr for Size {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let number_end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(number_end);
        let shift = match suffix.trim_end_matches("iB").trim_end_matches('B') {
            "" => Some(0),
            "K" | "k" => Some(10),
            "M" => Some(20),
            "G" => Some(30),
            "T" => Some(40),
            _ => None,
        };
        number
            .parse::<u64>()
            .ok()
            .zip(shift)
            .and_then(|(number, shift)| number.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| Self::unexpected(format!("{text:?}")))
    }
}

/// Whole seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub NonZeroU32);

impl Seconds {
    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0.get()))
    }
}

impl Value for Seconds {
    const EXPECTED: &'static str = "a whole number of seconds above 0";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        text.parse()
    }

    fn from_toml(value: &DeValue<'_>, _: Base<'_>) -> Result<Self, Located> {
        number(value)
            .and_then(|number| NonZeroU32::new(u32::try_from(number).ok()?))
            .map(Self)
            .ok_or_else(|| Self::unexpected(describe(value)).into())
    }

    fn shown(&self) -> Option<Shown> {
        shown_number(u64::from(self.0.get()))
    }
}

impl FromStr for Seconds {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        text.parse()
            .map(Self)
            .map_err(|_| Self::unexpected(format!("{text:?}")))
    }
}

/// Whole seconds, or 0 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimit(pub u32);

impl TimeLimit {
    /// The limit, if there is one.
    pub fn duration(self) -> Option<Duration> {
        (self.0 > 0).then(|| Duration::from_secs(u64::from(self.0)))
    }
}

impl Value for TimeLimit {
    const EXPECTED: &'static str = "a whole number of seconds, or 0 for no limit";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        text.parse()
    }

    fn from_toml(value: &DeValue<'_>, _: Base<'_>) -> Result<Self, Located> {
        number(value)
            .and_then(|number| u32::try_from(number).ok())
            .map(Self)
            .ok_or_else(|| Self::unexpected(describe(value)).into())
    }

    fn shown(&self) -> Option<Shown> {
        shown_number(u64::from(self.0))
    }
}

impl FromStr for TimeLimit {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        text.parse()
            .map(Self)
            .map_err(|_| Self::unexpected(format!("{text:?}")))
    }
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Value for Color {
    const EXPECTED: &'static str = "\"auto\", \"always\" or \"never\"";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            other => Err(Self::unexpected(format!("{other:?}"))),
        }
    }

    fn shown(&self) -> Option<Shown> {
        Some(Shown::from(match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml<T: Value>(text: &str) -> Result<T, String> {
        let value = DeValue::parse(text).unwrap();
        let base = Base {
            directory: Path::new("/d"),
            home: None,
        };
        T::from_toml(value.get_ref(), base).map_err(|located| located.misfit.to_string())
    }

    #[test]
    fn sizes() {
        assert_eq!("10G".parse(), Ok(Size(10 << 30)));
        assert_eq!("512MiB".parse(), Ok(Size(512 << 20)));
        for wrong in ["10X", "G", "", "-1", "99999999999999T"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        assert_eq!(toml("4096"), Ok(Size(4096)));
        assert_eq!(toml("\"2K\""), Ok(Size(2048)));
        assert!(toml::<Size>("1.5").unwrap_err().contains("not 1.5"));
        assert_eq!(Size(3 << 30).shown(), Some("3G".into()));
        assert_eq!(Size(1000).shown(), Some(1000.into()));
        assert_eq!(Size(0).shown(), Some(0.into()));
    }

    #[test]
    fn times() {
        assert_eq!(toml::<TimeLimit>("0").unwrap().duration(), None);
        let minute = toml::<TimeLimit>("60").unwrap().duration();
        assert_eq!(minute, Some(Duration::from_secs(60)));
        assert_eq!(
            toml::<Seconds>("0").unwrap_err(),
            "expects a whole number of seconds above 0, not 0"
        );
        assert!(toml::<Seconds>("\"30\"").is_err(), "a string is no number");
        assert!("30s".parse::<Seconds>().is_err());
    }

    #[test]
    fn numbers_and_words() {
        assert_eq!(toml("0x10"), Ok(NonZeroUsize::new(16).unwrap()));
        assert_eq!(
            toml::<NonZeroUsize>("-2").unwrap_err(),
            "expects a whole number above 0, not -2"
        );
        assert_eq!(toml("\"never\""), Ok(Color::Never));
        assert!(toml::<Color>("true").is_err());
        assert_eq!(bool::from_text("0"), Ok(false));
        assert!(bool::from_text("yes").is_err() && toml::<bool>("1").is_err());
    }
}
