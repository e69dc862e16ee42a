//! A socket where jobs ask, and the threads that answer.

use std::{
    collections::BTreeSet,
    fs, io,
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
        atomic::{AtomicUsize, Ordering},
        mpsc::Sender,
    },
    thread::{self, JoinHandle},
};

use kiln_kernel::toolbox::{SEARCH_PATH, SystemRoot};
use kiln_scheduler::Bell;

use super::{
    Answers, Request,
    compile::ask,
    hearing::{Hearing, tell},
};
use crate::plan::BuildSite;

/// What the socket is called where jobs see it.
pub const SOCKET_NAME: &str = "probes";

/// How many questions are answered at once; who asks further ones compiles.
const MOST_ANSWERERS: usize = 8;

/// Where the probes of one job are answered. Closed when dropped.
pub struct Desk {
    socket: PathBuf,
    given: Arc<Mutex<BTreeSet<String>>>,
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    /// Listens on a new socket to questions to compilers of these names. They are also told to `asked`.
    pub(super) fn open(
        site: &Arc<BuildSite>,
        answers: Arc<Answers>,
        compilers: Vec<String>,
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
        let bell = Arc::new(Bell::new()?);
        let hearing = Hearing::new(listener, Arc::clone(&bell))?;
        let given = Arc::default();
        let listening = Listening {
            site: Arc::clone(site),
            answers,
            compilers,
            given: Arc::clone(&given),
            asked,
            busy: AtomicUsize::new(0),
        };
        let thread = thread::Builder::new()
            .name("probes".to_owned())
            .spawn(move || Arc::new(listening).listen(hearing))?;
        Ok(Self {
            socket,
            given,
            bell,
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
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
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
    /// The names that lead to the stand-in in this job.
    compilers: Vec<String>,
    given: Arc<Mutex<BTreeSet<String>>>,
    asked: Option<Sender<Request>>,
    busy: AtomicUsize,
}

impl Listening {
    fn listen(self: Arc<Self>, mut hearing: Hearing) {
        while let Some((mut stream, question)) = hearing.next() {
            if self.busy.fetch_add(1, Ordering::Relaxed) >= MOST_ANSWERERS {
                self.busy.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let this = Arc::clone(&self);
            let answered = thread::Builder::new()
                .name("probe".to_owned())
                .spawn(move || {
                    // Whoever gets no answer compiles.
                    let _ = this.answer(&question, &mut stream);
                    this.busy.fetch_sub(1, Ordering::Relaxed);
                });
            if answered.is_err() {
                self.busy.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn answer(&self, question: &[u8], stream: &mut UnixStream) -> io::Result<()> {
        let request: Request = serde_json::from_slice(question)?;
        if !request.is_probe() || !is_compiler(&request.program, &self.compilers) {
            return Ok(());
        }
        if let Some(asked) = &self.asked {
            let _ = asked.send(request.clone());
        }
        let answer = self
            .answers
            .of(&request, |is_known| ask(&self.site, &request, is_known));
        let Some(answer) = answer else { return Ok(()) };
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.insert(answer.name(&request));
        drop(given);
        tell(stream, &serde_json::to_vec(&answer)?)
    }
}

/// Whether a program is one of some compilers, where sandboxes have the host's own, under its name and not a way there.
fn is_compiler(path: &Path, compilers: &[String]) -> bool {
    compilers.iter().any(|name| {
        SEARCH_PATH
            .iter()
            .any(|directory| Path::new(directory).join(name).as_os_str() == path.as_os_str())
            && SystemRoot::host().find_program(name).is_some()
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::Shutdown,
    };

    use kiln_cache::ObjectDigest;

    use super::*;
    use crate::probes::tests::site;

    /// What a desk says to a question, after that has gone through the client's hands.
    fn answer(desk: &Desk, program: &str, writes: bool) -> Vec<u8> {
        let request = Request {
            program: PathBuf::from(program),
            arguments: ["-c", "-x", "c", "/dev/null"].map(str::to_owned).into(),
            writes,
        };
        let mut stream = UnixStream::connect(desk.socket()).unwrap();
        stream
            .write_all(&serde_json::to_vec(&request).unwrap())
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    #[test]
    fn compilers_answer_and_no_other_programs() {
        let (_temp, site) = site();
        let answers = Arc::new(Answers::load(ObjectDigest::of(b"gcc"), None));
        let desk = Desk::open(&site, answers, vec!["gcc".to_owned()], None).unwrap();
        assert!(!answer(&desk, "/usr/bin/gcc", true).is_empty());
        // It ends well, whatever it is asked.
        assert!(answer(&desk, "/usr/bin/true", false).is_empty());
        for program in ["/usr/bin/./gcc", "/usr/bin/../bin/gcc", "gcc", "/tmp/gcc"] {
            assert!(answer(&desk, program, true).is_empty(), "{program}");
        }
    }
}
