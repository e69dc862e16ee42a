//! A socket where jobs ask, and the threads that answer.

use std::{
    collections::BTreeSet,
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
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::Sender,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Answers, Request, compile::ask};
use crate::{
    plan::BuildSite,
    toolbox::{SEARCH_PATH, SystemRoot},
};

/// What the socket is called where jobs see it.
pub const SOCKET_NAME: &str = "probes";

/// How long a job may take to send a question.
const PATIENCE: Duration = Duration::from_secs(2);

/// A question is a command line.
const LONGEST_QUESTION: u64 = 1 << 20;

/// How many questions are heard at once; further ones go unanswered.
const LISTENERS: usize = 64;

/// Where the probes of one job are answered. Closed when dropped.
pub struct Desk {
    socket: PathBuf,
    given: Arc<Mutex<BTreeSet<String>>>,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    /// Listens on a new socket. Questions are also told to `asked`.
    pub(super) fn open(
        site: &Arc<BuildSite>,
        answers: Arc<Answers>,
        asked: Option<Sender<Request>>,
    ) -> io::Result<Self> {
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
        let closed = Arc::new(AtomicBool::new(false));
        let given = Arc::default();
        let listening = Listening {
            site: Arc::clone(site),
            answers,
            given: Arc::clone(&given),
            asked,
            closed: Arc::clone(&closed),
            busy: AtomicUsize::new(0),
        };
        let thread = thread::Builder::new()
            .name("probes".to_owned())
            .spawn(move || Arc::new(listening).listen(&listener))?;
        Ok(Self {
            socket,
            given,
            closed,
            thread: Some(thread),
        })
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The names of the answers that were given.
    pub(super) fn given(&self) -> BTreeSet<String> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.clone()
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
        if let Some(directory) = self.socket.parent() {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// What the threads of a desk share.
struct Listening {
    site: Arc<BuildSite>,
    answers: Arc<Answers>,
    given: Arc<Mutex<BTreeSet<String>>>,
    asked: Option<Sender<Request>>,
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
        if let Some(asked) = &self.asked {
            let _ = asked.send(request.clone());
        }
        let answer = self.answers.of(&request, || ask(&self.site, &request));
        let Some(answer) = answer else { return Ok(()) };
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.insert(answer.name(&request));
        drop(given);
        stream.write_all(&serde_json::to_vec(&answer)?)
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
