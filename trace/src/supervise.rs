//! The thread beside a traced command: takes each stopped call, notes its paths, lets it go on.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::MetadataExt,
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, JoinHandle},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::{Mode, OFlags},
};

use crate::{
    answers::{self, ANSWERED},
    bpf,
    calls::{PathArgument, REMOUNTING, path_call},
    filter,
    interpreter::{Interpreter, interpreter},
    judge::{Judge, Machine},
    lookup::{Gap, Trace, Use, is_indirect, joined, leads_to_indirect},
    resolve::{has_link, open_inside, resolve, root_of},
    sockets::{self, SOCKET_CALLS},
    sys,
};

/// Whether the kernel lacks the quick way of answering. It is found out by tracing.
static SLOW: AtomicBool = AtomicBool::new(false);

/// How deep Linux follows interpreters that are scripts.
const INTERPRETERS: usize = 5;

/// A command that is traced from its first program on, once it is started.
#[derive(Debug)]
pub struct Tracing {
    thread: JoinHandle<Trace>,
}

/// Prepares a command for being traced. Its programs are told of `machine`, and `judge` says which paths count.
///
/// # Errors
/// Fails if no thread or channel can be made, or if an earlier trace has shown that this kernel traces too slowly.
pub fn trace(command: &mut Command, machine: Machine, judge: impl Judge) -> io::Result<Tracing> {
    if SLOW.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let (here, there) = UnixStream::pair()?;
    let thread = thread::Builder::new()
        .name("trace".to_owned())
        .spawn(move || listen(&here, &machine, &judge))?;
    // Once there is somebody who listens: without, every call that the filter stops would fail.
    sys::filter_child(command, filter::program(), there.into());
    Ok(Tracing { thread })
}

impl Tracing {
    /// What was looked up. Waits until every traced process has ended; the command must have been dropped.
    pub fn finish(self) -> Trace {
        self.thread
            .join()
            .unwrap_or_else(|_| Trace::of_gap(Gap::Unreadable))
    }
}

fn listen(mut channel: &UnixStream, machine: &Machine, judge: &dyn Judge) -> Trace {
    let Some(listener) = sys::receive_descriptor(channel.as_fd()) else {
        // The child waits for a word, and has this end open itself.
        let _ = channel.shutdown(Shutdown::Both);
        return Trace::of_gap(Gap::Unsupported);
    };
    // It fails if the child has ended.
    let _ = channel.write_all(sys::LISTENING);
    let mut watch = Watch {
        trace: Trace::default(),
        seen: Seen::default(),
        has_links: false,
        machine,
        judge,
        executed: HashSet::new(),
    };
    if sys::answer_synchronously(listener.as_fd()).is_err() {
        SLOW.store(true, Ordering::Relaxed);
        watch.trace.lacks(Gap::Unsupported);
    }
    watch.serve(listener.as_fd());
    watch.trace
}

/// Waits until something is stopped, or nothing has the filter any more; and whether that took waiting.
///
/// The kernel wakes this thread where the stopped process runs, and has that run on in this one's place. Where something was
/// stopped while this thread was busy it is on another processor, and has to go on there.
fn next_events(listener: BorrowedFd<'_>) -> rustix::io::Result<(PollFlags, bool)> {
    const AT_ONCE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    for (timeout, has_slept) in [(Some(&AT_ONCE), false), (None, true)] {
        let mut ready = [PollFd::new(&listener, PollFlags::IN)];
        match rustix::event::poll(&mut ready, timeout) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok((ready[0].revents(), has_slept)),
            Err(error) => return Err(error),
        }
    }
    Ok((PollFlags::empty(), true))
}

struct Watch<'j> {
    trace: Trace,
    /// Absolute paths that were judged already, and are to be judged the same from here on.
    seen: Seen,
    /// Whether a link has been made, or moved: a path that went through none may go through one now.
    has_links: bool,
    machine: &'j Machine,
    judge: &'j dyn Judge,
    /// Programs outside the traced command's own files whose interpreters are known.
    executed: HashSet<Vec<u8>>,
}

/// Paths, as many as fit into some megabytes.
#[derive(Default)]
struct Seen {
    paths: HashSet<(Vec<u8>, Use)>,
    bytes: usize,
}

impl Seen {
    /// What all of them may have, in bytes: those beyond are judged each time.
    const LIMIT: usize = 32 << 20;

    fn insert(&mut self, look: &(Vec<u8>, Use)) {
        let bytes = self.bytes + look.0.len() + size_of::<(Vec<u8>, Use)>();
        if bytes <= Self::LIMIT && self.paths.insert(look.clone()) {
            self.bytes = bytes;
        }
    }
}

impl Watch<'_> {
    /// Answers until no process has the filter.
    fn serve(&mut self, listener: BorrowedFd<'_>) {
        loop {
            let Ok((events, has_slept)) = next_events(listener) else {
                return self.trace.lacks(Gap::Unreadable);
            };
            if !events.contains(PollFlags::IN) {
                if events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                    return;
                }
                continue;
            }
            let call = match sys::receive(listener) {
                Ok(call) => call,
                // The process has ended, or a signal came.
                Err(_) => continue,
            };
            let answer = answers::answer(&call, self.machine);
            if answer.is_none() {
                self.note(&call);
            }
            let send = || match answer {
                Some(answer) => sys::answer(listener, call.id, answer),
                None => sys::let_go_on(listener, call.id),
            };
            // Answers fail only if the process has ended meanwhile.
            let _ = match has_slept {
                true => send(),
                false => sys::answer_in_its_place(listener, send),
            };
        }
    }

    fn note(&mut self, call: &libc::seccomp_notif) {
        if call.data.arch != bpf::ARCHITECTURE {
            return self.trace.lacks(Gap::Architecture);
        }
        if REMOUNTING.contains(&libc::c_long::from(call.data.nr)) {
            if !self.judge.makes_sandbox(call.pid) {
                self.trace.lacks(Gap::View);
            }
            return;
        }
        if ANSWERED.contains(&libc::c_long::from(call.data.nr)) {
            return;
        }
        if SOCKET_CALLS.contains(&libc::c_long::from(call.data.nr)) {
            return self.note_socket(call);
        }
        let Some(known) = path_call(call.data.nr) else {
            return self.trace.lacks(Gap::Call {
                number: call.data.nr,
            });
        };
        if let (Use::Link, [target, link]) = (known.usage, known.paths) {
            return self.note_link(call, *target, *link);
        }
        for (index, argument) in known.paths.iter().enumerate() {
            let path = self.note_path(call, *argument, known.usage);
            match (known.usage, path) {
                (Use::Execute, Some(program)) => self.note_interpreters(call.pid, program),
                (Use::Execute, None) => self.note_interpreters_of_open(call),
                // Something gets another name.
                (_, Some(path)) if known.paths.len() > 1 && index == 0 => {
                    self.has_links |= !is_file(call.pid, &path);
                }
                _ => {}
            }
        }
    }

    /// Notes the interpreters of a program that is executed by its descriptor.
    fn note_interpreters_of_open(&mut self, call: &libc::seccomp_notif) {
        let descriptor = call.data.args[0] as u32 as libc::c_int;
        let program = format!("/proc/{}/fd/{descriptor}", call.pid);
        if let Ok(file) = open_regular(Path::new(&program)) {
            self.note_interpreter(call.pid, file, Path::new(&program));
        }
    }

    /// Notes what the kernel opens by itself to run a program: a script's interpreter, and that one's.
    fn note_interpreters(&mut self, pid: u32, program: Vec<u8>) {
        let mut next = Some(program);
        let mut depth = 0;
        while let Some(program) = next.take() {
            let is_lasting = !has_parent(&program)
                && self
                    .judge
                    .counts(pid, Use::Execute, &joined(Path::new("/"), &program))
                    == Some(true);
            if depth > INTERPRETERS || is_lasting && !self.executed.insert(program.clone()) {
                return;
            }
            depth += 1;
            // What cannot be opened here is not there, or cannot be executed there.
            let opened = root_of(pid).and_then(|root| open_inside(root.as_fd(), &program));
            let Ok(file) = opened.and_then(regular) else {
                return;
            };
            let path = PathBuf::from(OsString::from_vec(program));
            next = self.note_interpreter(pid, file, &path);
        }
    }

    /// Notes the interpreter of a program; gives it absolute.
    fn note_interpreter(&mut self, pid: u32, program: File, path: &Path) -> Option<Vec<u8>> {
        match interpreter(program) {
            Interpreter::None => None,
            Interpreter::At(name) => {
                let whole = match name.first() {
                    Some(b'/') => name,
                    _ => below(&self.directory(pid, None)?, &name),
                };
                Some(self.keep(pid, whole, Use::Execute))
            }
            Interpreter::Unknown => {
                let path = path.to_owned();
                self.trace.lacks(Gap::Interpreter { path });
                None
            }
        }
    }

    /// Notes the path of an argument; gives it back absolute.
    fn note_path(
        &mut self,
        call: &libc::seccomp_notif,
        argument: PathArgument,
        usage: Use,
    ) -> Option<Vec<u8>> {
        let path = self.read(call, argument)?;
        self.keep_from(call, argument.directory, path, usage)
    }

    /// Keeps a path as a call has it, relative to the directory in an argument of the call, or to the process's own; gives it
    /// back absolute.
    fn keep_from(
        &mut self,
        call: &libc::seccomp_notif,
        directory: Option<usize>,
        path: Vec<u8>,
        usage: Use,
    ) -> Option<Vec<u8>> {
        let whole = match path.first() {
            Some(b'/') => path,
            _ => {
                let descriptor = directory
                    .map(|index| call.data.args[index] as u32 as libc::c_int)
                    .filter(|descriptor| *descriptor != libc::AT_FDCWD);
                below(&self.directory(call.pid, descriptor)?, &path)
            }
        };
        Some(self.keep(call.pid, whole, usage))
    }

    /// Notes the path of a socket that a call names, if it names one that has a path.
    fn note_socket(&mut self, call: &libc::seccomp_notif) {
        let addresses = match sockets::addresses(call) {
            Ok(addresses) => addresses,
            Err(_) => return self.trace.lacks(Gap::Unreadable),
        };
        for path in addresses {
            self.keep_from(call, None, path, Use::Look);
        }
    }

    /// Notes where a new link is, and what it leads to.
    fn note_link(&mut self, call: &libc::seccomp_notif, target: PathArgument, link: PathArgument) {
        let Some(link) = self.note_path(call, link, Use::Look) else {
            return;
        };
        let Some(target) = self.read(call, target) else {
            return;
        };
        let end = link.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let directory = Path::new(OsStr::from_bytes(&link[..end]));
        let start = if target.starts_with(b"/") {
            Path::new("/")
        } else {
            directory
        };
        let makes_sandbox = self.judge.makes_sandbox(call.pid);
        self.has_links |= !makes_sandbox;
        self.keep(call.pid, joined(start, &target), Use::Link);
    }

    /// Keeps an absolute path if it counts; gives it back.
    fn keep(&mut self, pid: u32, path: Vec<u8>, usage: Use) -> Vec<u8> {
        let look = (path, usage);
        if self.seen.paths.contains(&look) {
            return look.0;
        }
        let plain = joined(Path::new("/"), &look.0);
        let leads_on = usage == Use::Link
            && leads_to_indirect(&plain)
            // It makes those of /dev.
            && !self.judge.makes_sandbox(pid);
        if is_indirect(&look.0) || leads_on {
            self.is_indirect(plain);
        } else if has_parent(&look.0) {
            // What is above a directory is told by its name only if no link leads there.
            if !self.follow(pid, &look.0, usage) {
                return look.0;
            }
        } else {
            match self.judge.counts(pid, usage, &plain) {
                None => return look.0,
                Some(true) => self.trace.add(&look.0, usage),
                Some(false) if usage == Use::Link => {}
                Some(false) => {
                    let has_link = root_of(pid).is_ok_and(|root| has_link(root.as_fd(), &plain));
                    let lasts = match has_link {
                        true => self.follow(pid, &look.0, usage),
                        false => !self.has_links,
                    };
                    if !lasts {
                        return look.0;
                    }
                }
            }
        }
        self.seen.insert(&look);
        look.0
    }

    /// Keeps what counts of where a path leads, and of the links on its way; says whether it leads there as long as the command runs.
    fn follow(&mut self, pid: u32, path: &[u8], usage: Use) -> bool {
        if self.judge.makes_sandbox(pid) {
            return false;
        }
        let Ok(root) = root_of(pid) else {
            // The process has ended, and its call will fail.
            return false;
        };
        let found = resolve(root.as_fd(), path);
        if found.is_indirect {
            self.is_indirect(found.end);
            return true;
        }
        for link in &found.links {
            if self.judge.counts(pid, Use::Look, link) == Some(true) {
                self.trace.add(link, Use::Look);
            }
        }
        let counts = self.judge.counts(pid, usage, &found.end);
        if counts == Some(true) {
            self.trace.add(&found.end, usage);
        }
        // Where the system is, nobody makes links meanwhile.
        let is_of_system = counts == Some(true) && !found.is_back_at_root;
        counts.is_some() && (is_of_system || !self.has_links)
    }

    fn is_indirect(&mut self, path: Vec<u8>) {
        let path = PathBuf::from(OsString::from_vec(path));
        self.trace.lacks(Gap::Indirect { path });
    }

    /// The path of an argument; none if the call speaks of a descriptor, or will fail.
    fn read(&mut self, call: &libc::seccomp_notif, argument: PathArgument) -> Option<Vec<u8>> {
        let address = call.data.args[argument.path];
        if address == 0 {
            return None;
        }
        match path_at(call.pid, address) {
            Ok(path) => path.filter(|path| !path.is_empty()),
            Err(_) => {
                self.trace.lacks(Gap::Unreadable);
                None
            }
        }
    }

    /// The directory that a relative path starts from: of a descriptor, or the process's own; none if it is none, or the
    /// process has ended.
    fn directory(&mut self, pid: u32, descriptor: Option<libc::c_int>) -> Option<PathBuf> {
        let link = match descriptor {
            Some(descriptor) => format!("/proc/{pid}/fd/{descriptor}"),
            None => format!("/proc/{pid}/cwd"),
        };
        match std::fs::read_link(&link) {
            // Its name is one no more, and what is above it has one.
            Ok(directory)
                if directory.as_os_str().as_bytes().ends_with(b" (deleted)")
                    && std::fs::metadata(&link).is_ok_and(|found| found.nlink() == 0) =>
            {
                self.is_indirect(directory.into_os_string().into_vec());
                None
            }
            Ok(directory) if directory.is_absolute() => Some(directory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            _ => {
                self.trace.lacks(Gap::Unreadable);
                None
            }
        }
    }
}

/// A path below a directory, as it was given: what is on the way counts.
fn below(directory: &Path, path: &[u8]) -> Vec<u8> {
    [directory.as_os_str().as_bytes(), b"/", path].concat()
}

/// Whether a path has `..` in it.
fn has_parent(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| part == b"..")
}

/// Whether a regular file is at a path as a process sees it.
fn is_file(pid: u32, path: &[u8]) -> bool {
    let inside = [format!("/proc/{pid}/root").as_bytes(), path].concat();
    std::fs::symlink_metadata(Path::new(OsStr::from_bytes(&inside)))
        .is_ok_and(|found| found.is_file())
}

/// Opens a file for reading, if it is one that cannot block.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    regular(rustix::fs::open(path, flags, Mode::empty())?)
}

/// A file that is open, if it is one.
fn regular(opened: OwnedFd) -> io::Result<File> {
    let file = File::from(opened);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// Reads a path from a process; none if it is not to be had where the call says.
fn path_at(pid: u32, mut address: u64) -> io::Result<Option<Vec<u8>>> {
    let mut path = Vec::new();
    let mut piece = [0; 256];
    while path.len() <= libc::PATH_MAX as usize {
        let count = match sys::read_memory(pid, address, &mut piece)? {
            0 => return Ok(None),
            count => count,
        };
        if let Some(end) = piece[..count].iter().position(|byte| *byte == 0) {
            path.extend_from_slice(&piece[..end]);
            return Ok(Some(path));
        }
        path.extend_from_slice(&piece[..count]);
        address += count as u64;
    }
    // Longer than any path may be: the call fails.
    Ok(None)
}
