//! A secret: held, handed on, never shown.

use std::fmt;

use toml::Value as Shown;
use zeroize::Zeroizing;

use super::{misfit::Misfit, value::Value};

/// A text that no output of kiln may contain; wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text, for who sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Value for Secret {
    const EXPECTED: &'static str = "a token: printable ASCII without spaces";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        if text.chars().all(|c| c.is_ascii_graphic()) {
            Ok(Self(text.to_owned().into()))
        } else {
            Err(Self::unexpected(String::new()))
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_shown() {
        let secret = Secret::from_text("s3cret").unwrap();
        assert_eq!(secret.expose(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret") && secret.shown().is_none());
        let told = Secret::from_text("s3cret\n").unwrap_err().to_string();
        assert!(!told.contains("s3cret"), "{told}");
    }
}
