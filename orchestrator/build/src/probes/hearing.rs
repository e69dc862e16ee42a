//! Hears many callers in one thread, each for a limited time, so that slow ones keep nobody waiting.
//!
//! It knows nothing of what is asked. Invariant: a caller that has not ended its question after [`PATIENCE`] is gone, and so is
//! the one that has been heard for longest where there are more than [`MOST_CALLERS`].

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    sync::Arc,
    time::{Duration, Instant},
};

use kiln_scheduler::Bell;
use rustix::event::{PollFd, PollFlags, Timespec};

/// How long a caller may take for the whole question, and then for the whole answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A question is a command line, and no compiler takes a longer one.
const LONGEST_QUESTION: usize = 128 << 10;

/// How many callers are heard at once.
const MOST_CALLERS: usize = 64;

/// All callers at a socket.
pub(super) struct Hearing {
    listener: UnixListener,
    /// Ends the hearing.
    bell: Arc<Bell>,
    /// In the order of their coming.
    callers: VecDeque<Caller>,
}

/// Who has not ended their question yet.
struct Caller {
    stream: UnixStream,
    question: Vec<u8>,
    until: Instant,
}

/// What a caller has come to.
enum Heard {
    Part,
    Whole,
    /// They broke off, or went on for too long.
    Nothing,
}

impl Hearing {
    pub(super) fn new(listener: UnixListener, bell: Arc<Bell>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            bell,
            callers: VecDeque::new(),
        })
    }

    /// Waits for the next whole question; none when the bell has rung.
    pub(super) fn next(&mut self) -> Option<(UnixStream, Vec<u8>)> {
        loop {
            let now = Instant::now();
            self.callers.retain(|caller| caller.until > now);
            let (has_rung, has_come) = self.wait(now)?;
            if has_rung {
                return None;
            }
            let mut place = 0;
            while let Some(caller) = self.callers.get_mut(place) {
                match caller.hear() {
                    Heard::Part => place += 1,
                    Heard::Whole => {
                        let caller = self.callers.remove(place)?;
                        return Some((caller.stream, caller.question));
                    }
                    Heard::Nothing => drop(self.callers.remove(place)),
                }
            }
            if has_come {
                self.admit(now);
            }
        }
    }

    /// Sleeps until there is something to hear; tells whether the bell has rung, and whether somebody has come.
    fn wait(&self, now: Instant) -> Option<(bool, bool)> {
        let ends = [self.bell.as_fd(), self.listener.as_fd()].into_iter();
        let mut all: Vec<PollFd<'_>> = ends
            .chain(self.callers.iter().map(|caller| caller.stream.as_fd()))
            .map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN))
            .collect();
        let first = self.callers.front();
        let left = first.map(|caller| caller.until.saturating_duration_since(now));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut all, left.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Some((false, false)),
            Err(_) => return None,
        }
        let is_ready = |place: usize| !all[place].revents().is_empty();
        Some((is_ready(0), is_ready(1)))
    }

    /// Takes in who has come, for those who have been there for longest if there is no room.
    fn admit(&mut self, now: Instant) {
        for _ in 0..MOST_CALLERS {
            let Ok((stream, _)) = self.listener.accept() else {
                return;
            };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.callers.len() == MOST_CALLERS {
                self.callers.pop_front();
            }
            self.callers.push_back(Caller {
                stream,
                question: Vec::new(),
                until: now + PATIENCE,
            });
        }
    }
}

impl Caller {
    /// Takes in what they have said by now.
    fn hear(&mut self) -> Heard {
        let mut part = [0; 4096];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => return Heard::Whole,
                Ok(count) if self.question.len() + count > LONGEST_QUESTION => {
                    return Heard::Nothing;
                }
                Ok(count) => self.question.extend_from_slice(&part[..count]),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Heard::Part,
                    io::ErrorKind::Interrupted => {}
                    _ => return Heard::Nothing,
                },
            }
        }
    }
}

/// Gives a caller an answer, if they take it in time.
pub(super) fn tell(stream: &mut UnixStream, mut answer: &[u8]) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let until = Instant::now() + PATIENCE;
    while !answer.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        let count = stream.write(answer)?;
        answer = &answer[count..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{net::Shutdown, path::PathBuf, thread};

    use super::*;

    /// A socket whose callers are told what they said.
    struct Echo {
        _directory: tempfile::TempDir,
        socket: PathBuf,
        bell: Arc<Bell>,
        thread: Option<thread::JoinHandle<()>>,
    }

    impl Echo {
        fn open() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let socket = directory.path().join("socket");
            let bell = Arc::new(Bell::new().unwrap());
            let listener = UnixListener::bind(&socket).unwrap();
            let mut hearing = Hearing::new(listener, Arc::clone(&bell)).unwrap();
            let thread = thread::spawn(move || {
                while let Some((mut stream, question)) = hearing.next() {
                    tell(&mut stream, &question).unwrap();
                }
            });
            Self {
                _directory: directory,
                socket,
                bell,
                thread: Some(thread),
            }
        }

        fn call(&self) -> UnixStream {
            UnixStream::connect(&self.socket).unwrap()
        }
    }

    impl Drop for Echo {
        fn drop(&mut self) {
            self.bell.ring();
            let ended = self.thread.take().unwrap().join();
            assert!(ended.is_ok() || thread::panicking());
        }
    }

    /// Ends a question, and gives what comes back.
    fn end(mut caller: UnixStream) -> Vec<u8> {
        caller.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = caller.read_to_end(&mut answer);
        answer
    }

    #[test]
    fn slow_callers_keep_nobody_waiting() {
        let echo = Echo::open();
        let slow: Vec<_> = (0..70).map(|_| echo.call()).collect();
        let mut caller = echo.call();
        caller.write_all(b"question").unwrap();
        assert_eq!(end(caller), b"question");
        let answers = slow.into_iter().map(|mut caller| {
            let _ = caller.write_all(b"late");
            end(caller)
        });
        let heard = answers.filter(|answer| answer == b"late").count();
        assert_eq!(heard, MOST_CALLERS - 1, "the first had to go");
    }

    #[test]
    fn a_question_has_an_end() {
        let echo = Echo::open();
        let mut caller = echo.call();
        let began = Instant::now();
        while caller.write_all(b"word by word ").is_ok() {
            assert!(began.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(100));
        }
        let mut caller = echo.call();
        while caller.write_all(&[b'w'; 4096]).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(60));
        }
    }
}
