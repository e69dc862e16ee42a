//! The outer side: listens on a socket that jobs can reach, and asks the real compiler.
//!
//! The compiler runs in a sandbox of its own that shows nothing of any job. A job may send what it
//! likes: what is no probe of a system compiler is not answered.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use kiln_cache::{Index, ObjectDigest};

use super::{Answer, Answers, Request};
use crate::{
    plan::BuildSite,
    sandbox::View,
    toolbox::{SEARCH_PATH, SystemRoot},
};

/// What the socket is called where jobs see it.
pub const SOCKET_NAME: &str = "probes";

/// How long a job may take to send a question.
const PATIENCE: Duration = Duration::from_secs(2);

/// A question is a command line.
const LONGEST_QUESTION: u64 = 1 << 20;

/// The largest answer that is kept; the object of nothing takes some hundred bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// How many questions are heard at once; further ones go unanswered.
const LISTENERS: usize = 64;

/// How long the index is waited for.
const INDEX_WAIT: Duration = Duration::from_millis(100);

/// Answers the probes of the jobs of one run, one socket for each toolbox.
pub struct ProbeServer {
    site: Arc<BuildSite>,
    desks: Mutex<Vec<Desk>>,
}

/// Where the probes of one toolbox are answered.
struct Desk {
    toolbox: ObjectDigest,
    socket: PathBuf,
    answers: Arc<Answers>,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ProbeServer {
    /// A server that listens nowhere yet.
    pub fn new(site: Arc<BuildSite>) -> Self {
        Self {
            site,
            desks: Mutex::new(Vec::new()),
        }
    }

    /// The socket for jobs with this toolbox.
    ///
    /// # Errors
    /// Fails if a socket cannot be made; jobs then do without.
    pub fn socket(&self, toolbox: ObjectDigest) -> io::Result<PathBuf> {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(desk) = desks.iter().find(|desk| desk.toolbox == toolbox) {
            return Ok(desk.socket.clone());
        }
        let desk = Desk::open(&self.site, toolbox)?;
        let socket = desk.socket.clone();
        desks.push(desk);
        Ok(socket)
    }

    /// Hears no more questions, and keeps the answers for the next run.
    pub fn close(&self) {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if desks.is_empty() {
            return;
        }
        let index = Index::burst(&self.site.store, INDEX_WAIT).unwrap_or_default();
        for desk in desks.drain(..) {
            if let Some(index) = &index {
                desk.answers.save(index);
            }
        }
    }
}

impl Desk {
    fn open(site: &Arc<BuildSite>, toolbox: ObjectDigest) -> io::Result<Self> {
        let base = site.base().map_err(io::Error::other)?;
        let directory = base.directory("probes")?;
        let socket = directory.join(SOCKET_NAME);
        let listener = {
            // The address of a socket is short; its directory's name may be long.
            let handle = fs::File::open(&directory)?;
            UnixListener::bind(format!(
                "/proc/self/fd/{}/{SOCKET_NAME}",
                handle.as_raw_fd()
            ))?
        };
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777))?;
        let index = Index::burst(&site.store, INDEX_WAIT).unwrap_or_default();
        let answers = Arc::new(Answers::load(toolbox, index.as_ref()));
        let closed = Arc::new(AtomicBool::new(false));
        let listening = Listening {
            site: Arc::clone(site),
            answers: Arc::clone(&answers),
            closed: Arc::clone(&closed),
            busy: AtomicUsize::new(0),
        };
        let thread = thread::Builder::new()
            .name("probes".to_owned())
            .spawn(move || Arc::new(listening).listen(&listener))?;
        Ok(Self {
            toolbox,
            socket,
            answers,
            closed,
            thread: Some(thread),
        })
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Wakes the thread; should that not be possible it ends with the process.
        let directory = self.socket.parent().map(fs::File::open);
        let woken = directory.and_then(Result::ok).is_some_and(|handle| {
            let path = format!("/proc/self/fd/{}/{SOCKET_NAME}", handle.as_raw_fd());
            UnixStream::connect(path).is_ok()
        });
        if woken && let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the threads of a desk share.
struct Listening {
    site: Arc<BuildSite>,
    answers: Arc<Answers>,
    closed: Arc<AtomicBool>,
    busy: AtomicUsize,
}

impl Listening {
    fn listen(self: Arc<Self>, listener: &UnixListener) {
        for stream in listener.incoming() {
            if self.closed.load(Ordering::Acquire) {
                return;
            }
            let Ok(stream) = stream else { continue };
            if self.busy.fetch_add(1, Ordering::Relaxed) >= LISTENERS {
                self.busy.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let this = Arc::clone(&self);
            let heard = thread::Builder::new()
                .name("probe".to_owned())
                .spawn(move || {
                    // Whoever gets no answer compiles.
                    let _ = this.hear(stream);
                    this.busy.fetch_sub(1, Ordering::Relaxed);
                });
            if heard.is_err() {
                self.busy.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn hear(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut question = Vec::new();
        (&mut stream)
            .take(LONGEST_QUESTION)
            .read_to_end(&mut question)?;
        let request: Request = serde_json::from_slice(&question)?;
        if !request.is_probe() || !is_system_program(&request.program) {
            return Ok(());
        }
        let answer = self
            .answers
            .of(&request, || compile(&self.site, &request).ok()?);
        match answer {
            Some(answer) => stream.write_all(&serde_json::to_vec(&answer)?),
            None => Ok(()),
        }
    }
}

/// Whether a program is where sandboxes have the host's own, under a name and not a way there.
fn is_system_program(path: &Path) -> bool {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return false;
    };
    SEARCH_PATH
        .iter()
        .any(|search| directory == Path::new(search))
        && directory.join(name) == path
        && name
            .to_str()
            .is_some_and(|name| SystemRoot::host().find_program(name).is_some())
}

/// Asks the compiler itself.
fn compile(site: &BuildSite, request: &Request) -> io::Result<Option<Answer>> {
    let name = "probe";
    let scratch = site.scratch(name).map_err(io::Error::other)?;
    let layout = site.layout(name);
    fs::create_dir_all(scratch.run().join("bin"))?;
    fs::write(scratch.run().join("bin/uname"), [])?;
    let output = layout.out.join("output");
    let mut arguments: Vec<&OsStr> = request.arguments.iter().map(OsStr::new).collect();
    if request.writes {
        arguments.extend([OsStr::new("-o"), output.as_os_str()]);
    }
    let view = View::new(&layout, layout.out.clone());
    let program = request.program.as_os_str();
    let run = site
        .isolation
        .command(site.user, &layout, &view, &scratch, program, &arguments)?
        .stdin(Stdio::null())
        .output()?;
    let Some(code) = run.status.code().and_then(|code| u8::try_from(code).ok()) else {
        return Ok(None);
    };
    let path = scratch.out().join("output");
    let output = match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => Some(fs::read(&path)?),
        _ => None,
    };
    let answer = Answer {
        code,
        out: run.stdout,
        err: run.stderr,
        output,
    };
    let size = answer.out.len() + answer.err.len() + answer.output.as_ref().map_or(0, Vec::len);
    // A message that names where this ran is no answer to somebody else.
    let place = layout.out.as_os_str().as_encoded_bytes();
    let named = [&answer.out, &answer.err]
        .iter()
        .any(|text| text.windows(place.len()).any(|part| part == place));
    Ok((size <= LONGEST_ANSWER && !named && code < 126).then_some(answer))
}
