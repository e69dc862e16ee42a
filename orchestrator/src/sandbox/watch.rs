//! The first process of a sandbox: runs the action, and sees how each process of it ends.
//!
//! A process that is killed looks like one that says no: a compiler's driver exits 1, a shell takes its
//! other branch, `make` drops an option. So kiln itself stands above the action and traces it, as
//! far as the births and deaths of processes and the signals that reach them. Where somebody outside the sandbox
//! has sent a signal, or one was needed to end what failed, the action ends as if that signal had ended it: exit code
//! 128 and its number. docs/sandbox.md.

mod sys;

use std::{
    collections::HashSet,
    env,
    ffi::{OsStr, OsString},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::OnceLock,
};

use rustix::process::{Pid, Signal};

use super::{BuildUser, limits};
use sys::{Event, Sender};

/// What kiln is called where it stands above an action.
pub(super) const WATCH_NAME: &str = "kiln-watch";

/// The program that can do so: kiln, once it has said where it is.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Signals that end nothing: to be stopped and continued only takes time.
const HARMLESS: [Signal; 8] = [
    Signal::CHILD,
    Signal::CONT,
    Signal::STOP,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
    Signal::URG,
    Signal::WINCH,
];

/// Has actions watched by this program from now on. Only kiln can say so: other programs that use
/// this crate do not know how to watch.
pub fn watch_with_this_program() {
    if let Ok(path) = env::current_exe() {
        let _ = PROGRAM.set(path);
    }
}

/// Where the program that watches is, if the build user can run it.
pub(super) fn program(user: BuildUser) -> Option<&'static Path> {
    let program = PROGRAM.get()?;
    (program.is_file() && user.barrier(program).is_none()).then_some(program.as_path())
}

/// Whether this program stands above an action.
pub fn is_called_to_watch() -> bool {
    env::current_exe().is_ok_and(|path| path.file_name() == Some(OsStr::new(WATCH_NAME)))
}

/// Runs an action to its end. Where it may not be traced, only its own end is seen.
pub fn watch(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    limits::fix();
    let Some(program) = words.next() else {
        return ExitCode::from(126);
    };
    let mut command = Command::new(&program);
    command.args(words);
    let code = sys::spawn_traced(&mut command)
        .or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => command_untraced(&command)
                .spawn()
                .map(|child| sys::pid(&child)),
            _ => Err(error),
        })
        .and_then(|child| Vigil::new(child).keep());
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}: {error}", program.display());
            ExitCode::from(126)
        }
    }
}

fn command_untraced(traced: &Command) -> Command {
    let mut command = Command::new(traced.get_program());
    command.args(traced.get_args());
    command
}

/// What has been seen of an action so far.
struct Vigil {
    child: Pid,
    /// Processes and threads whose first stop is behind them.
    known: HashSet<Pid>,
    /// A signal that came from outside, or ended a process in a way that nothing in the action explains.
    disturbed: Option<i32>,
    /// A signal that ended a process.
    died: Option<i32>,
}

impl Vigil {
    fn new(child: Pid) -> Self {
        Self {
            child,
            known: HashSet::new(),
            disturbed: None,
            died: None,
        }
    }

    /// Watches until the action has ended, and gives the code to end with.
    fn keep(mut self) -> io::Result<u8> {
        loop {
            let (pid, event) = sys::next_event()?;
            match event {
                Event::Exited(code) => {
                    self.known.remove(&pid);
                    if pid == self.child {
                        return Ok(self.verdict(code));
                    }
                }
                Event::Killed(signal) => {
                    self.note_death(signal);
                    self.known.remove(&pid);
                    if pid == self.child {
                        return Ok(self.verdict(ended_by(signal)));
                    }
                }
                Event::Stopped(signal) => {
                    let passed_on = self.note_stop(pid, signal);
                    sys::resume(pid, passed_on);
                }
                Event::Other => sys::resume(pid, 0),
            }
        }
    }

    /// Judges a stop of a traced process, and says which signal it is to get.
    fn note_stop(&mut self, pid: Pid, signal: i32) -> i32 {
        if self.known.insert(pid) {
            if pid == self.child {
                sys::follow_descendants(pid);
            }
            // What starts traced starts stopped.
            return 0;
        }
        match sys::sender(pid) {
            // It has got a signal that stops it, and is stopped by this one already.
            None => 0,
            Some(sender) => {
                let is_harmless = HARMLESS.iter().any(|other| other.as_raw() == signal);
                if sender == Sender::Outside && !is_harmless {
                    self.disturbed.get_or_insert(signal);
                }
                signal
            }
        }
    }

    fn note_death(&mut self, signal: i32) {
        // Nobody can tell who sent SIGKILL; it is how the kernel makes room when memory runs out. SIGBUS is how a
        // file system says that it has none.
        let is_sudden = signal == Signal::KILL.as_raw() || signal == Signal::BUS.as_raw();
        if is_sudden {
            self.disturbed.get_or_insert(signal);
        }
        if signal != Signal::PIPE.as_raw() {
            self.died.get_or_insert(signal);
        }
    }

    fn verdict(&self, code: u8) -> u8 {
        let died = self.died.filter(|_| code != 0);
        self.disturbed.or(died).map_or(code, ended_by)
    }
}

fn ended_by(signal: i32) -> u8 {
    u8::try_from(signal).map_or(u8::MAX, |number| number.saturating_add(128))
}
