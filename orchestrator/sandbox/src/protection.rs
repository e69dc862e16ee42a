//! What keeps the code of packages from the machine: the words for it.

use std::fmt;

use super::{Isolation, Layout, landlock};

/// How actions are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Namespaces of their own.
    Bubblewrap,
    /// Processes of the machine, under Landlock's rules for files, TCP and signals.
    Landlock,
    /// Processes of the machine: only the build user's permissions hold.
    Permissions,
}

impl Protection {
    /// What actions have here under an isolation.
    pub fn of(isolation: Isolation) -> Self {
        match isolation {
            Isolation::Bubblewrap => Self::Bubblewrap,
            Isolation::Bare if landlock::works() => Self::Landlock,
            Isolation::Bare => Self::Permissions,
        }
    }

    /// What an action with such paths has here.
    pub fn of_layout(layout: &Layout) -> Self {
        Self::of(match layout.is_in_namespaces() {
            true => Isolation::Bubblewrap,
            false => Isolation::Bare,
        })
    }

    /// A word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bubblewrap => "bubblewrap",
            Self::Landlock => "landlock",
            Self::Permissions => "permissions",
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bubblewrap => "bubblewrap: namespaces, and a filter of system calls",
            Self::Landlock => {
                "Landlock: rules for files, TCP and signals, and a filter of system calls; no namespaces"
            }
            Self::Permissions => {
                "the build user's permissions and a filter of system calls; no namespaces, no Landlock"
            }
        })
    }
}
