//! Why a value is not one that its setting takes.

use std::ops::Range;

use super::endpoint::EndpointError;

/// What is wrong with a value: the end of a sentence that begins with the setting's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It is something else.
    #[error("expects {expected}, not {found}")]
    Expected {
        /// What the setting takes.
        expected: &'static str,
        /// What there is.
        found: String,
    },
    /// It is something else, and a secret.
    #[error("expects {expected}; what it is set to is not shown")]
    Hidden {
        /// What the setting takes.
        expected: &'static str,
    },
    /// It begins with `~`, and nobody knows where that is.
    #[error("begins with ~, and HOME is not set")]
    NoHome,
    /// It is in the home directory of somebody by name.
    #[error("begins with ~ and a name; only ~/ is known")]
    NamedHome,
    /// It is no address.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A header is one that gRPC makes itself, or cannot be sent.
    #[error("has the header {name:?}, which cannot be set")]
    Header {
        /// Its name.
        name: String,
    },
    /// A trusted key has a field that there is not.
    #[error("has {name:?} in a key, which has `key`, `not_before` and `not_after`")]
    KeyField {
        /// Its name.
        name: String,
    },
    /// A trusted key names no file.
    #[error("has a table without `key`, the path of a public key")]
    NoKey,
    /// A trusted key is never valid.
    #[error("has a key whose `not_before` is not before its `not_after`")]
    NeverValid,
}

/// A misfit, and where in the value it is.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) misfit: Misfit,
    /// The bytes of the file; none if it is all of the value.
    pub(super) span: Option<Range<usize>>,
}

impl From<Misfit> for Located {
    fn from(misfit: Misfit) -> Self {
        Self { misfit, span: None }
    }
}

impl Misfit {
    /// The same at a place within the value.
    pub(super) fn at(self, span: Range<usize>) -> Located {
        Located {
            misfit: self,
            span: Some(span),
        }
    }
}
