//! Whether actions run under bubblewrap or in bare processes, and how a command is wrapped.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{BuildUser, Layout, Scratch, View, bare, bubblewrap, proc};
use crate::conf::Framework;

/// How actions are kept from the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Each action in namespaces of its own.
    Bubblewrap,
    /// No namespaces: only another user (under root), a clean environment and a scratch tree.
    Bare,
}

/// Why bubblewrap is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsolationError {
    /// The program is not there.
    #[error("bubblewrap (bwrap) is not installed")]
    NotInstalled,
    /// It is there and may not make namespaces.
    #[error("bubblewrap may not run here: {message}")]
    Refused {
        /// Its own words.
        message: String,
    },
}

impl Isolation {
    /// Where bubblewrap is looked for.
    pub const PROGRAM: &'static str = "/usr/bin/bwrap";

    /// Tries bubblewrap once.
    ///
    /// # Errors
    /// Gives the reason why only [`Isolation::Bare`] is possible.
    pub fn probe(user: BuildUser) -> Result<(), IsolationError> {
        if !Path::new(Self::PROGRAM).exists() {
            return Err(IsolationError::NotInstalled);
        }
        let mut command = bubblewrap::namespaces();
        command.args(["--ro-bind", "/", "/", "--proc", "/proc", "true"]);
        user.apply(&mut command);
        let output =
            command
                .stdin(Stdio::null())
                .output()
                .map_err(|e| IsolationError::Refused {
                    message: e.to_string(),
                })?;
        if output.status.success() {
            return Ok(());
        }
        let mut message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if message.is_empty() {
            message = format!("it ended with {}", output.status);
        }
        Err(IsolationError::Refused { message })
    }

    /// The paths inside for an action whose scratch directory is `scratch`.
    ///
    /// `framework` says where things are on the real system.
    pub fn layout(self, framework: &Framework, scratch: &Path) -> Layout {
        match self {
            Self::Bubblewrap => Layout {
                dkms_tree: framework.dkms_tree.clone(),
                source_tree: framework.source_tree.clone(),
                install_tree: framework.install_tree.clone(),
                run: PathBuf::from("/run/kiln"),
                out: PathBuf::from("/run/kiln/out"),
            },
            Self::Bare => Layout {
                dkms_tree: scratch.join("dkms"),
                source_tree: scratch.join("src"),
                install_tree: scratch.join("modules"),
                run: scratch.join("run"),
                out: scratch.join("out"),
            },
        }
    }

    /// Wraps `program` with `arguments`, as seen inside, into a command to start outside.
    ///
    /// # Errors
    /// Fails if links of the view cannot be made in a bare scratch directory.
    pub fn command(
        self,
        user: BuildUser,
        layout: &Layout,
        view: &View,
        scratch: &Scratch,
        program: &OsStr,
        arguments: &[&OsStr],
    ) -> std::io::Result<Command> {
        let mut command = match self {
            Self::Bubblewrap => {
                proc::write(&scratch.run(), &view.release)?;
                bubblewrap::command(layout, view, scratch)
            }
            Self::Bare => bare::command(layout, view, program)?,
        };
        if self == Self::Bubblewrap {
            command.arg(program);
        }
        command.args(arguments);
        user.apply(&mut command);
        Ok(command)
    }
}
