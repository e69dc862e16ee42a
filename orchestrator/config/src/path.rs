//! Paths and programs. In a file they are relative to the file and may begin with `~/`; a
//! variable or a flag says them as the shell left them.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use toml::{Value as Shown, de::DeValue};

use super::{
    misfit::{Located, Misfit},
    value::{Base, Value, describe},
};

/// A path of a file, as a path for everybody.
pub(super) fn expand(text: &str, base: Base<'_>) -> Result<PathBuf, Misfit> {
    if text.is_empty() {
        return Err(PathBuf::unexpected("an empty text".to_owned()));
    }
    match text.strip_prefix('~') {
        None => Ok(base.directory.join(text)),
        Some(rest) if rest.is_empty() || rest.starts_with('/') => base
            .home
            .map(|home| home.join(rest.trim_start_matches('/')))
            .ok_or(Misfit::NoHome),
        Some(_) => Err(Misfit::NamedHome),
    }
}

/// A path as text for people.
pub(super) fn shown(path: &Path) -> Shown {
    Shown::from(path.to_string_lossy().into_owned())
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        Ok(Self::from(text))
    }

    fn from_variable(text: &OsStr) -> Result<Self, Misfit> {
        Ok(Self::from(text))
    }

    fn from_toml(value: &DeValue<'_>, base: Base<'_>) -> Result<Self, Located> {
        match value {
            DeValue::String(text) => Ok(expand(text, base)?),
            other => Err(Self::unexpected(describe(other)).into()),
        }
    }

    fn shown(&self) -> Option<Shown> {
        Some(shown(self))
    }
}

/// A program: a path if there is a slash in it, else a name to be looked up in `PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(pub PathBuf);

impl Value for Program {
    const EXPECTED: &'static str = "a program, by its path or its name";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        Ok(Self(PathBuf::from(text)))
    }

    fn from_variable(text: &OsStr) -> Result<Self, Misfit> {
        Ok(Self(PathBuf::from(text)))
    }

    fn from_toml(value: &DeValue<'_>, base: Base<'_>) -> Result<Self, Located> {
        match value {
            DeValue::String(text) if text.contains('/') => Ok(Self(expand(text, base)?)),
            DeValue::String(text) if !text.is_empty() => Ok(Self::from_text(text)?),
            other => Err(Self::unexpected(describe(other)).into()),
        }
    }

    fn shown(&self) -> Option<Shown> {
        Some(shown(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_file_are_relative_to_it() {
        let base = |home| Base {
            directory: Path::new("/etc/kiln"),
            home,
        };
        let me = base(Some(Path::new("/home/me")));
        let path = |text| expand(text, me).map(|path| path.display().to_string());
        assert_eq!(path("ca.pem"), Ok("/etc/kiln/ca.pem".to_owned()));
        assert_eq!(path("/a/b"), Ok("/a/b".to_owned()));
        assert_eq!(path("~/ca.pem"), Ok("/home/me/ca.pem".to_owned()));
        assert_eq!(path("~"), Ok("/home/me/".to_owned()));
        assert_eq!(path("~you/x"), Err(Misfit::NamedHome));
        assert_eq!(expand("~/x", base(None)), Err(Misfit::NoHome));
        assert!(expand("", me).is_err());
        let program = |text: &str| Program::from_toml(&DeValue::String(text.into()), me).unwrap();
        assert_eq!(program("helper").0, Path::new("helper"));
        assert_eq!(program("./helper").0, Path::new("/etc/kiln/./helper"));
    }
}
