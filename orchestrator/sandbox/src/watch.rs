//! The first process of a sandbox: runs the action, and sees how each process of it ends.
//!
//! A process that is killed looks like one that says no: a compiler's driver exits 1, a shell takes its
//! other branch, `make` drops an option. So kiln itself stands above the action and traces it, as
//! far as the births and deaths of processes and the signals that reach them. Where somebody outside the sandbox
//! has sent a signal, or one was needed to end what failed, the action ends as if that signal had ended it: exit code
//! 128 and its number. A process that is refused what it asks of the system, such as another process, looks so, too: how
//! such system calls end is looked at, those of all kinds where the machine may run out of something.
//! docs/sandbox.md.

mod shortage;
mod sys;

use std::{
    collections::{HashMap, HashSet},
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{self, Command, ExitCode, ExitStatus},
    sync::OnceLock,
};

use rustix::process::{DumpableBehavior, Pid, Signal};

use super::{BuildUser, View, limits, processes::children_of};
pub use shortage::Shortage;
pub(super) use sys::Libraries;
use sys::{Call, Event, Sender, Step};

/// What kiln is called where it stands above an action.
pub(super) const WATCH_NAME: &str = "kiln-watch";

/// Which system calls of an action are looked at, for what they were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// Those that start processes, and those that ask for room without writing.
    Few,
    /// All, which takes as long as they do themselves, and longer.
    All,
}

impl Attention {
    /// How the watch is told.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Few => "few",
            Self::All => "all",
        }
    }

    fn of_word(word: &OsStr) -> Option<Self> {
        [Self::Few, Self::All]
            .into_iter()
            .find(|attention| word == attention.word())
    }
}

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

/// The program that watches, to be started whoever may get to it; none if this is not kiln.
pub(super) fn open() -> io::Result<Option<fs::File>> {
    PROGRAM.get().map(fs::File::open).transpose()
}

/// Whether this program, by the name that it was called by, stands above an action.
pub fn is_called_to_watch(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new(WATCH_NAME))
}

/// What the watch is told before the program and its arguments: what is looked at, how many processes there may be, and the
/// number of a descriptor with rules that they are under (`landlock.rs`), 0 without.
pub(super) fn words(view: &View, rules: Option<&OwnedFd>) -> [OsString; 3] {
    let processes = view.allowance.processes.to_string();
    let rules = rules.map_or(0, AsRawFd::as_raw_fd).to_string();
    [view.attention.word().into(), processes.into(), rules.into()]
}

/// Runs an action to its end, given [`words`], its program and its arguments. Where it may not be traced, only its own end
/// is seen. None of its processes is left then.
pub fn watch(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    stand_apart();
    limits::fix();
    let attention = words.next().and_then(|word| Attention::of_word(&word));
    let most = words.next().and_then(|word| word.to_str()?.parse().ok());
    let rules = words.next().and_then(|word| word.to_str()?.parse().ok());
    let (Some(attention), Some(most), Some(rules), Some(program)) =
        (attention, most, rules, words.next())
    else {
        return ExitCode::from(126);
    };
    if rules != 0
        && let Err(error) = sys::obey(rules)
    {
        let _ = writeln!(io::stderr(), "the rules cannot be put in force: {error}");
        return ExitCode::from(126);
    }
    let mut command = Command::new(&program);
    command.args(words);
    let code = sys::spawn_traced(&mut command, kiln_trace::stops_for_tracer(&shortage::few()))
        .or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => command_untraced(&command)
                .spawn()
                .map(|child| sys::pid(&child)),
            _ => Err(error),
        })
        .and_then(|child| Vigil::new(child, attention, most).keep());
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}: {error}", program.display());
            ExitCode::from(126)
        }
    }
}

/// Has this process take in the orphans of the action, which can neither trace it nor read its memory, and has all of them
/// die before others where memory runs out.
fn stand_apart() {
    // Each of these only fails on kernels without it.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let _ = fs::write("/proc/self/oom_score_adj", FIRST_TO_DIE);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// The most that there is (proc_pid_oom_score_adj(5)).
const FIRST_TO_DIE: &str = "1000";

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
    /// Those that there ever were, where processes of others have numbers here, too: without a sandbox.
    ever: Option<HashSet<Pid>>,
    /// A signal that came from outside, or ended a process in a way that nothing in the action explains.
    disturbed: Option<i32>,
    /// A signal that ended a process.
    died: Option<i32>,
    attention: Attention,
    /// The system call that a process is in, of those that are looked at.
    calls: HashMap<Pid, i64>,
    /// What a system call was refused for, or kiln does not allow.
    refused: Option<Shortage>,
    /// How many processes and threads there may be at once.
    most: usize,
}

impl Vigil {
    fn new(child: Pid, attention: Attention, most: usize) -> Self {
        Self {
            child,
            known: HashSet::new(),
            ever: (!is_first()).then(HashSet::new),
            disturbed: None,
            died: None,
            attention,
            calls: HashMap::new(),
            refused: None,
            most,
        }
    }

    /// Watches until the action has ended, ends what it has left, and gives the code to end with.
    fn keep(mut self) -> io::Result<u8> {
        let code = self.keep_to_the_end()?;
        // The first process of a namespace takes all others with it.
        if !is_first() {
            self.end_the_rest()?;
        }
        Ok(code)
    }

    fn keep_to_the_end(&mut self) -> io::Result<u8> {
        loop {
            let (pid, event) = sys::next_event()?;
            match event {
                Event::Exited(code) => {
                    self.forget(pid);
                    if pid == self.child {
                        return Ok(self.verdict(code));
                    }
                }
                Event::Killed(signal) => {
                    self.note_death(signal);
                    self.forget(pid);
                    if pid == self.child {
                        return Ok(self.verdict(ended_by(signal)));
                    }
                }
                Event::Stopped(_) if self.known.len() > self.most => {
                    self.refused = Some(Shortage::AllowedProcesses);
                    return Ok(self.verdict(1));
                }
                Event::Stopped(signal) => {
                    let passed_on = self.note_stop(pid, signal);
                    sys::resume(pid, self.next_stop(), passed_on);
                }
                Event::Picked => {
                    self.note_call(pid);
                    sys::resume(pid, Step::Call, 0);
                }
                Event::Call => {
                    self.note_call(pid);
                    sys::resume(pid, self.next_stop(), 0);
                }
                Event::Other => sys::resume(pid, self.next_stop(), 0),
            }
        }
    }

    /// Kills what is left, and waits until nothing is: what is taken out of the action's hands stays as it is.
    fn end_the_rest(&mut self) -> io::Result<()> {
        // It fails for who has ended.
        let kill = |pid| rustix::process::kill_process(pid, Signal::KILL).unwrap_or_default();
        self.known.iter().copied().for_each(kill);
        loop {
            if self.known.is_empty() {
                // Where nothing may be traced.
                children_of(rustix::process::getpid()).for_each(kill);
            }
            match sys::next_event() {
                Ok((pid, Event::Exited(_) | Event::Killed(_))) => self.forget(pid),
                Ok((pid, _)) => {
                    kill(pid);
                    sys::resume(pid, Step::Event, 0);
                }
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn next_stop(&self) -> Step {
        match self.attention {
            Attention::Few => Step::Event,
            Attention::All => Step::Call,
        }
    }

    fn forget(&mut self, pid: Pid) {
        self.known.remove(&pid);
        self.calls.remove(&pid);
    }

    /// Looks at a system call that begins or ends.
    fn note_call(&mut self, pid: Pid) {
        match sys::call(pid) {
            Some(Call::Begins(number)) => {
                self.calls.insert(pid, number);
            }
            Some(Call::Fails(errno)) => {
                let call = self.calls.remove(&pid);
                let refused = call.and_then(|call| Shortage::of(call, errno));
                self.refused = self.refused.or(refused);
            }
            None => {}
        }
    }

    /// Judges a stop of a traced process, and says which signal it is to get.
    fn note_stop(&mut self, pid: Pid, signal: i32) -> i32 {
        if self.known.insert(pid) {
            if let Some(ever) = &mut self.ever {
                ever.insert(pid);
            }
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
                let is_outside = match (sender, &self.ever) {
                    (Sender::Kernel, _) => false,
                    (Sender::Process(sender), Some(ever)) => {
                        sender.is_none_or(|sender| !ever.contains(&sender))
                    }
                    // There is no number here for who is outside.
                    (Sender::Process(sender), None) => sender.is_none(),
                };
                if is_outside && !is_harmless {
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
        let refused = self.refused.map(Shortage::code);
        let disturbed = self.disturbed.map(ended_by).or(refused);
        disturbed.or(died.map(ended_by)).unwrap_or(code)
    }
}

/// What kept an action from an end of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// This signal.
    Killed(i32),
    /// The machine had not enough of something.
    Shortage(Shortage),
}

impl Disturbance {
    /// What a watched action met that ended so, if anything.
    pub fn of(status: ExitStatus) -> Option<Self> {
        match status.code() {
            Some(code) if code > 128 && code < 160 => Some(Self::Killed(code - 128)),
            Some(code) => Shortage::of_exit(code).map(Self::Shortage),
            None => Some(Self::Killed(status.signal().unwrap_or_default())),
        }
    }
}

/// Whether this process is the first of a namespace.
fn is_first() -> bool {
    process::id() == 1
}

fn ended_by(signal: i32) -> u8 {
    u8::try_from(signal).map_or(u8::MAX, |number| number.saturating_add(128))
}
