//! What can be wrong with settings.
//!
//! Every problem names its place: the file with line and column, the variable or the flag.
//! A reader of settings goes on after one, so that all are reported at once.

use std::{io, path::PathBuf};

use kiln_files::Suspicion;

use super::{
    catalog::Setting,
    misfit::Misfit,
    origin::{Layer, Origin, Position},
};

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A file is there and cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is larger than any file of settings.
    #[error("{path} is larger than {limit} bytes, which no file of settings is")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// A file is not UTF-8.
    #[error("{at}: not UTF-8")]
    NotText {
        /// Where.
        at: Position,
    },
    /// A file is not TOML; the words are those of the parser.
    #[error("{at}: {message}")]
    Syntax {
        /// Where.
        at: Position,
        /// What the parser says.
        message: String,
    },
    /// A file has a table that kiln does not know.
    #[error("{at}: there is no table [{name}]{}; the tables are {tables}", suggestion(.nearest))]
    UnknownTable {
        /// Where.
        at: Position,
        /// What it is called.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
        /// What there is.
        tables: String,
    },
    /// A file has a key that kiln does not know.
    #[error("{at}: there is no setting {key}{}; [{table}] has {keys}", suggestion(.nearest))]
    UnknownKey {
        /// Where.
        at: Position,
        /// What it is called.
        key: String,
        /// What may have been meant.
        nearest: Option<String>,
        /// The table.
        table: &'static str,
        /// What there is in it.
        keys: String,
    },
    /// A table is something else.
    #[error("{at}: {name} is a table: write its keys below a line [{name}]")]
    NotATable {
        /// Where.
        at: Position,
        /// The table.
        name: &'static str,
    },
    /// A file holds what belongs into no file of settings.
    #[error("{at}: {key} is a secret and is not taken from a file of settings")]
    NotInFiles {
        /// Where.
        at: Position,
        /// The setting.
        key: &'static str,
    },
    /// A value is not what its setting takes.
    #[error("{}: {key} {misfit}", precisely(.origin))]
    Value {
        /// Where.
        origin: Origin,
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        misfit: Misfit,
    },
    /// A file that others may change says whom to trust.
    #[error("{at}: {key} is not taken from this file: {suspicion}")]
    Untrusted {
        /// The first such setting.
        at: Position,
        /// Its name.
        key: &'static str,
        /// What is wrong with the file.
        suspicion: Suspicion,
    },
    /// One of two settings that belong together is missing.
    #[error("{}: {key} is of no use without {missing}", precisely(.origin))]
    Incomplete {
        /// Where the one is that is there.
        origin: Origin,
        /// The one that is there.
        key: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// Two settings exclude each other.
    #[error("{}: {key} and {other} exclude each other", precisely(.origin))]
    Alternatives {
        /// Where the one is.
        origin: Origin,
        /// The one.
        key: &'static str,
        /// The other.
        other: &'static str,
    },
    /// A secret would be readable on the network.
    #[error("{}: {key} would be sent to {url} unencrypted", precisely(.origin))]
    Cleartext {
        /// Where the server is named.
        origin: Origin,
        /// What would be sent.
        key: &'static str,
        /// The server.
        url: String,
    },
    /// A file that a setting names cannot be read, or is not believed; or the cache is no directory. Only looked at by
    /// `kiln config check`; others find out when they need it.
    #[error("{}: {key} names {path}, which cannot be used", precisely(.origin))]
    Named {
        /// Where.
        origin: Origin,
        /// The setting.
        key: &'static str,
        /// The file that it names.
        path: PathBuf,
        /// What is wrong with it.
        source: Suspicion,
    },
}

/// All that is wrong with the settings; at least one problem.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is not usable")]
pub struct ConfigError {
    /// What is wrong, the weakest layer first.
    pub problems: Vec<Problem>,
}

impl Problem {
    /// Where it is, for an order: the layer, the line and the column. A file that cannot be
    /// read has no lines and comes first.
    pub(super) fn place(&self) -> (Layer, usize, usize) {
        let of = |position: &Position| (position.layer, position.line, position.column);
        match self {
            Self::Unreadable { .. } | Self::TooLarge { .. } => (Layer::Default, 0, 0),
            Self::NotText { at }
            | Self::Syntax { at, .. }
            | Self::UnknownTable { at, .. }
            | Self::UnknownKey { at, .. }
            | Self::NotATable { at, .. }
            | Self::NotInFiles { at, .. }
            | Self::Untrusted { at, .. } => of(at),
            Self::Value { origin, .. }
            | Self::Incomplete { origin, .. }
            | Self::Alternatives { origin, .. }
            | Self::Cleartext { origin, .. }
            | Self::Named { origin, .. } => match origin {
                Origin::File(position) => of(position),
                other => (other.layer(), 0, 0),
            },
        }
    }
}

impl Problem {
    /// Whether a file may say something of a setting, which cannot be read because of this.
    pub(super) fn may_hide(&self, setting: &Setting) -> bool {
        match self {
            Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::NotText { .. }
            | Self::Syntax { .. }
            | Self::UnknownTable { .. } => true,
            Self::UnknownKey { table, .. } => *table == setting.table(),
            Self::NotATable { name, .. } => *name == setting.table(),
            Self::Value { key, .. } => *key == setting.key,
            Self::NotInFiles { .. }
            | Self::Untrusted { .. }
            | Self::Incomplete { .. }
            | Self::Alternatives { .. }
            | Self::Cleartext { .. }
            | Self::Named { .. } => false,
        }
    }
}

fn suggestion(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!(", did you mean {name}?"),
        None => String::new(),
    }
}

fn precisely(origin: &Origin) -> String {
    match origin {
        Origin::File(position) => position.to_string(),
        other => other.to_string(),
    }
}
