//! Tables of names and texts: the properties of a worker's platform, and headers.

use std::{collections::BTreeMap, fmt};

use toml::{Value as Shown, de::DeValue};

use super::{
    misfit::{Located, Misfit},
    value::{Base, Value, describe},
};

/// What a worker must be: REAPI's platform properties, sorted by name as the API wants them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform(pub BTreeMap<String, String>);

impl Value for Platform {
    const EXPECTED: &'static str = "names and texts, NAME=VALUE,...; in a file a table";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        text.split(',')
            .map(|pair| {
                pair.parse()
                    .map(|NamedText(name, value)| (name, value))
                    .map_err(|_| Self::unexpected(format!("{text:?}")))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn from_toml(value: &DeValue<'_>, _: Base<'_>) -> Result<Self, Located> {
        texts::<Self>(value).map(Self)
    }

    fn shown(&self) -> Option<Shown> {
        let texts = self.0.iter();
        Some(Shown::Table(
            texts
                .map(|(name, value)| (name.clone(), Shown::from(value.as_str())))
                .collect(),
        ))
    }
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedText(pub String, pub String);

impl std::str::FromStr for NamedText {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self(name.to_owned(), value.to_owned())),
            _ => Err(Misfit::Expected {
                expected: "NAME=VALUE",
                found: format!("{text:?}"),
            }),
        }
    }
}

/// Headers to send with each call: names in lower case, and values, which may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub BTreeMap<String, String>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Value for Headers {
    const EXPECTED: &'static str = "a table of names and texts";

    fn from_text(_: &str) -> Result<Self, Misfit> {
        Err(Self::unexpected(String::new()))
    }

    fn from_toml(value: &DeValue<'_>, _: Base<'_>) -> Result<Self, Located> {
        let mut headers = BTreeMap::new();
        for (name, text) in texts::<Self>(value)? {
            let name = name.to_ascii_lowercase();
            if !can_be_sent(&name, &text) {
                return Err(Misfit::Header { name }.into());
            }
            headers.insert(name, text);
        }
        Ok(Self(headers))
    }

    fn shown(&self) -> Option<Shown> {
        None
    }

    fn unexpected(_: String) -> Misfit {
        Misfit::Hidden {
            expected: Self::EXPECTED,
        }
    }
}

/// Whether gRPC takes such metadata in text from a caller (the protocol's document: names of
/// `[0-9a-z_.-]`, without its own `grpc-` and the binary `-bin`; values of printable ASCII),
/// and HTTP does not make it itself.
fn can_be_sent(name: &str, value: &str) -> bool {
    let of_http = ["content-type", "te", "host", "connection", "user-agent"];
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !name.starts_with("grpc-")
        && !name.ends_with("-bin")
        && !of_http.contains(&name)
        && value.chars().all(|c| c.is_ascii_graphic() || c == ' ')
}

fn texts<T: Value>(value: &DeValue<'_>) -> Result<BTreeMap<String, String>, Located> {
    let table = value
        .as_table()
        .ok_or_else(|| T::unexpected(describe(value)))?;
    table
        .iter()
        .map(|(name, value)| match value.get_ref() {
            DeValue::String(text) => Ok((name.get_ref().to_string(), text.to_string())),
            other => Err(T::unexpected(describe(other)).at(value.span())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
    fn platforms() {
        let platform = Platform::from_text("os=linux,image=docker://a@b=c").unwrap();
        assert_eq!(platform.0["image"], "docker://a@b=c");
        assert_eq!(
            toml("{ os = 'linux', image = 'docker://a@b=c' }"),
            Ok(platform)
        );
        for wrong in ["linux", "=linux", "os=linux,,"] {
            assert!(Platform::from_text(wrong).is_err(), "{wrong}");
        }
        let told = toml::<Platform>("{ cores = 4 }").unwrap_err();
        assert!(told.ends_with("a table, not 4"), "{told}");
    }

    #[test]
    fn headers_are_never_repeated() {
        let headers: Headers = toml("{ X-Team = 's3cret' }").unwrap();
        assert_eq!(headers.0["x-team"], "s3cret");
        assert!(!format!("{headers:?}").contains("s3cret"));
        for wrong in [
            "{ 'grpc-timeout' = 's3cret' }",
            "{ 'te' = 's3cret' }",
            "{ 'key-bin' = 's3cret' }",
            "{ 'a b' = 's3cret' }",
            "{ a = \"s3cret\\n\" }",
            "{ a = ['s3cret'] }",
            "'s3cret'",
        ] {
            let told = toml::<Headers>(wrong).unwrap_err();
            assert!(!told.contains("s3cret"), "{told}");
        }
    }
}
