//! The names of a kernel: its release, as `uname -r` would print it, and its
//! machine architecture, as `uname -m` would.
//!
//! Both become path components and words of shell scripts, so a value of these
//! types is known to be one plain path component.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A string that cannot name a kernel, a package or a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} {reason}")]
pub struct InvalidName {
    /// What the string was meant to name, for instance `kernel release`.
    pub what: &'static str,
    /// The string itself.
    pub value: String,
    /// Why it cannot be used.
    pub reason: &'static str,
}

/// Checks that `value` can be one path component of the DKMS tree.
///
/// # Errors
/// Fails if it is empty, starts with a dot or a dash, or holds a slash, white space or a
/// control character. Names with a dot are those of what is unfinished.
pub fn check_component(what: &'static str, value: &str) -> Result<(), InvalidName> {
    let reason = if value.is_empty() {
        "is empty"
    } else if value.contains('/') {
        "contains a slash"
    } else if value.starts_with('.') {
        "starts with a dot"
    } else if value.chars().any(|c| c.is_control() || c.is_whitespace()) {
        "contains white space or a control character"
    } else if value.starts_with('-') {
        "starts with a dash"
    } else {
        return Ok(());
    };
    Err(InvalidName {
        what,
        value: value.to_owned(),
        reason,
    })
}

macro_rules! component_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        component_name!($(#[$doc])* $name, $what, |_| false);
    };
    ($(#[$doc:meta])* $name:ident, $what:literal, $is_taken:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps a name.
            ///
            /// # Errors
            /// Fails where [`check_component`] does, and for what the tree has already of that name.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
                let value = value.into();
                check_component($what, &value)?;
                let is_taken: fn(&str) -> bool = $is_taken;
                if is_taken(&value) {
                    return Err(InvalidName {
                        what: $what,
                        value,
                        reason: "is reserved: the DKMS tree has something of that name itself",
                    });
                }
                Ok(Self(value))
            }

            /// The name as a string.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}
pub(crate) use component_name;

component_name!(
    /// A kernel release, for instance `6.1.0-56-amd64`.
    KernelRelease,
    "kernel release"
);
component_name!(
    /// A machine architecture, for instance `x86_64`.
    Arch,
    "architecture"
);

impl Arch {
    /// The architecture of the running machine (`uname -m`).
    pub fn host() -> Self {
        let machine = rustix::system::uname()
            .machine()
            .to_string_lossy()
            .into_owned();
        Self::new(machine).unwrap_or_else(|_| Self("unknown".to_owned()))
    }

    /// Whether a machine of the architecture `host` runs programs of this one.
    pub fn runs_on(&self, host: &Self) -> bool {
        self == host || (host.as_str() == "x86_64" && matches!(self.as_str(), "i386" | "i686"))
    }
}

impl KernelRelease {
    /// The release of the running kernel (`uname -r`).
    ///
    /// For choosing a default only: nothing inside a build may depend on it.
    pub fn running() -> Option<Self> {
        Self::new(
            rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
        )
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_single_path_components() {
        assert!(KernelRelease::new("6.1.0-56-amd64").is_ok());
        assert!(KernelRelease::new("6.12.117+deb12-rt-amd64").is_ok());
        for bad in ["", ".", "..", "a/b", "a b", "a\nb", "-k"] {
            assert!(KernelRelease::new(bad).is_err(), "{bad:?}");
        }
    }
}
