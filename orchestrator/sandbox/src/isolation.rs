//! Whether actions run under bubblewrap or in bare processes, and how a command is wrapped.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use kiln_durable::regular;
use rustix::io::Errno;

use super::layout::{RUN, Trees};
use super::{
    BuildUser, Layout, Scratch, View, bare, bubblewrap, landlock, proc, refusals, sys, watch,
};

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
    /// It failed for a reason that may pass.
    #[error("bubblewrap failed: {message}")]
    Failed {
        /// Its own words, or the system's.
        message: String,
    },
}

impl IsolationError {
    fn message(self) -> String {
        match self {
            Self::NotInstalled => String::new(),
            Self::Refused { message } | Self::Failed { message } => message,
        }
    }
}

/// How long is waited before each try.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(20),
    Duration::from_millis(200),
    Duration::from_millis(800),
];

/// Whether a message gives as its reason, in the system's words, that something has run out.
fn names_shortage(message: &str) -> bool {
    // No name space left is said like no space left.
    let may_have_none = regular::text_of_system("/proc/sys/user/max_user_namespaces")
        .is_ok_and(|most| most.trim() == "0");
    shortages()
        .filter(|(errno, _)| !(may_have_none && *errno == Errno::NOSPC))
        .any(|(_, words)| message.contains(&words))
}

/// What the system says when something has run out that comes back: the error, and its words in the C locale.
pub fn shortages() -> impl Iterator<Item = (Errno, String)> {
    SHORTAGES.into_iter().map(|errno| {
        let text = io::Error::from(errno).to_string();
        let words = text.split(" (os error").next().unwrap_or_default();
        (errno, words.to_owned())
    })
}

/// Whether an error says that something has run out.
pub fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|errno| SHORTAGES.contains(&errno))
}

const SHORTAGES: [Errno; 11] = [
    Errno::AGAIN,
    Errno::NOMEM,
    Errno::NFILE,
    Errno::MFILE,
    Errno::NOBUFS,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::FBIG,
    Errno::IO,
    Errno::INTR,
    Errno::TIMEDOUT,
];

impl Isolation {
    /// Where bubblewrap is looked for.
    pub const PROGRAM: &'static str = "/usr/bin/bwrap";

    /// The one in use, by what [`Isolation::probe`] has told.
    pub fn after(bubblewrap: &Result<(), IsolationError>) -> Self {
        match bubblewrap {
            Ok(()) => Self::Bubblewrap,
            Err(_) => Self::Bare,
        }
    }

    /// Tries bubblewrap. A refusal is one only if it is repeated in the same words, and is not for want of
    /// something that comes back.
    ///
    /// # Errors
    /// Gives the reason why only [`Isolation::Bare`] is possible; with [`IsolationError::Failed`] nobody knows whether
    /// it is.
    pub fn probe(user: BuildUser) -> Result<(), IsolationError> {
        if !Path::new(Self::PROGRAM).exists() {
            return Err(IsolationError::NotInstalled);
        }
        let mut before = None;
        for pause in PAUSES {
            thread::sleep(pause);
            let error = match Self::try_once(user) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if matches!(error, IsolationError::Refused { .. }) && before.as_ref() == Some(&error) {
                return Err(error);
            }
            before = Some(error);
        }
        let message = before.map_or_else(String::new, |error| error.message());
        Err(IsolationError::Failed { message })
    }

    fn try_once(user: BuildUser) -> Result<(), IsolationError> {
        let mut command = bubblewrap::namespaces();
        command.args(["--ro-bind", "/", "/", "--proc", "/proc", "true"]);
        user.apply(&mut command);
        let output = command.stdin(Stdio::null()).output().map_err(|error| {
            let message = error.to_string();
            match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::ACCESS | Errno::PERM | Errno::NOENT | Errno::NOEXEC | Errno::NOSYS) => {
                    IsolationError::Refused { message }
                }
                _ => IsolationError::Failed { message },
            }
        })?;
        if output.status.success() {
            return Ok(());
        }
        let mut message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if message.is_empty() {
            message = format!("it ended with {}", output.status);
        }
        let has_refused = output.status.code().is_some_and(|code| code < 126);
        Err(if has_refused && !names_shortage(&message) {
            IsolationError::Refused { message }
        } else {
            IsolationError::Failed { message }
        })
    }

    /// The paths inside for an action whose scratch directory is `scratch`.
    ///
    /// `trees` says where things are on the real system.
    pub fn layout(self, trees: Trees<'_>, scratch: &Path) -> Layout {
        match self {
            Self::Bubblewrap => Layout {
                dkms_tree: trees.dkms.to_owned(),
                source_tree: trees.source.to_owned(),
                install_tree: trees.install.to_owned(),
                run: PathBuf::from(RUN),
                out: Path::new(RUN).join("out"),
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
    /// kiln watches how the action's processes end, where it can: if one was killed, the
    /// command's exit code is 128 and the signal; it is another of the watch's if one was refused what it asked of the system.
    /// [`Disturbance::of`] tells them.
    ///
    /// [`Disturbance::of`]: super::Disturbance::of
    ///
    /// # Errors
    /// Fails if links of the view cannot be made in a bare scratch directory, or nothing where kiln is to appear.
    pub fn command(
        self,
        user: BuildUser,
        layout: &Layout,
        view: &View,
        scratch: &Scratch,
        program: &OsStr,
        arguments: &[&OsStr],
    ) -> io::Result<Command> {
        let mut command = match self {
            Self::Bubblewrap => {
                proc::write(&scratch.run(), &view.release)?;
                let mut view = view.clone();
                let watch = show_watch(user, layout, scratch, &mut view)?;
                let mut command = bubblewrap::command(layout, &view, scratch)?;
                command.args(watch).arg(program);
                command
            }
            Self::Bare => match watch::open()? {
                None => bare::command(layout, view, scratch, program)?,
                Some(watcher) => {
                    let rules = landlock::rules(layout, view, scratch).map_err(io::Error::other)?;
                    // The build user may not get to its path.
                    let path = format!("/proc/self/fd/{}", watcher.as_raw_fd());
                    let mut command = bare::command(layout, view, scratch, OsStr::new(&path))?;
                    sys::keep_until_exec(&mut command, watcher.into());
                    command.arg0(watch::WATCH_NAME);
                    command
                        .args(watch::words(view, rules.as_ref()))
                        .arg(program);
                    if let Some(rules) = rules {
                        sys::inherit(&mut command, rules);
                    }
                    command
                }
            },
        };
        command.args(arguments);
        match self {
            Self::Bubblewrap => user.apply_apart(&mut command),
            Self::Bare => {
                user.apply(&mut command);
                sys::refuse(&mut command, refusals::program(false));
            }
        }
        Ok(command)
    }
}

/// Shows the watch in a sandbox, with its libraries if the system there is another, and gives the words that call it; none if
/// the build user cannot run it.
fn show_watch(
    user: BuildUser,
    layout: &Layout,
    scratch: &Scratch,
    view: &mut View,
) -> io::Result<Vec<OsString>> {
    const LIBRARIES: &str = "watch-libraries";
    let Some(watcher) = watch::program(user) else {
        return Ok(Vec::new());
    };
    let is_host = view.system.is_host();
    // Where something appears something must be.
    let run = scratch.run();
    let mut show = |host: &Path, name: &Path| -> io::Result<PathBuf> {
        fs::write(run.join(name), [])?;
        let inside = layout.run.join(name);
        view.show_at(host, &inside);
        Ok(inside)
    };
    let mut words: Vec<OsString> = Vec::new();
    if !is_host {
        let libraries = watch::Libraries::of_this_program();
        fs::create_dir_all(run.join(LIBRARIES))?;
        for path in &libraries.paths {
            let name = path.file_name().unwrap_or_default();
            show(path, &Path::new(LIBRARIES).join(name))?;
        }
        if let Some(loader) = libraries.loader {
            // ld.so(8)
            let directory = layout.run.join(LIBRARIES);
            words.push(directory.join(loader).into());
            words.extend(["--library-path".into(), directory.into()]);
        }
    }
    words.push(show(watcher, Path::new(watch::WATCH_NAME))?.into());
    words.extend(watch::words(view, None));
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_from_a_refusal() {
        for message in [
            "bwrap: Can't open /proc: Too many open files",
            "bwrap: Creating new namespace failed: Cannot allocate memory",
            "bwrap: fork: Resource temporarily unavailable",
        ] {
            assert!(names_shortage(message), "{message}");
        }
        for message in [
            "bwrap: No permissions to create new namespace",
            "bwrap: setting up uid map: Permission denied",
            "it ended with exit status: 1",
        ] {
            assert!(!names_shortage(message), "{message}");
        }
    }
}
