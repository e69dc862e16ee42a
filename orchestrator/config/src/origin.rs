//! Where a value comes from.

use std::{fmt, path::Path, sync::Arc};

/// The layers that values come from; a later one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// What holds if nothing is said.
    Default,
    /// The machine's file, /etc/kiln/config.toml.
    System,
    /// The user's file.
    User,
    /// The environment.
    Environment,
    /// The command line.
    CommandLine,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file.
    pub path: Arc<Path>,
    /// What the file is.
    pub layer: Layer,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

/// Where a value comes from. Displayed as the file and line, the variable or the flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing was said.
    Default,
    /// A file says so.
    File(Position),
    /// A variable says so.
    Variable(&'static str),
    /// A flag says so.
    Flag(&'static str),
}

impl Origin {
    /// The layer that it belongs to.
    pub fn layer(&self) -> Layer {
        match self {
            Self::Default => Layer::Default,
            Self::File(position) => position.layer,
            Self::Variable(_) => Layer::Environment,
            Self::Flag(_) => Layer::CommandLine,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(position) => {
                write!(f, "{}:{}", position.path.display(), position.line)
            }
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}
