//! The right to keep a core busy, as tokens in a pipe that every `make` below reads too (the GNU make jobserver).
//!
//! It owns the pipe, hands out tokens without ever blocking, and restores their number when nobody can hold one.
//! Invariant: tokens in the pipe + tokens handed out here + tokens held by children = size, up to what children lose
//! or forge; [`TokenPool::repair`] brings it back. The accounting is explained in docs/scheduling.md.

mod pipe;
mod watcher;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::Arc;

use pipe::{Announcement, TokenPipe};
use watcher::Watcher;

use crate::descriptors::Numbers;
use crate::process::keep_all;

/// The pool could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The jobserver's pipe could not be made or filled.
    #[error("cannot make the jobserver pipe")]
    Pipe(#[source] io::Error),
    /// The pipe could not be opened a second time through `/proc/self/fd`.
    #[error("cannot reopen the jobserver pipe through /proc")]
    Reopen(#[source] io::Error),
    /// The thread that waits for tokens could not be started.
    #[error("cannot start the token thread")]
    Thread(#[source] io::Error),
}

/// A fixed number of tokens, shared with child processes as a GNU make jobserver.
///
/// It may be used from several threads and by several runs at once.
pub struct TokenPool {
    size: NonZeroUsize,
    /// Keeps the ends open that children inherit.
    _client: jobserver::Client,
    announced: Announcement,
    pipe: Arc<TokenPipe>,
    watcher: Watcher,
}

/// One token; dropping it puts it back into the pipe.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct Token {
    pipe: Arc<TokenPipe>,
    byte: u8,
}

/// What a repair had to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Tokens that had been lost, as by a `make` that was killed.
    pub added: usize,
    /// Tokens that nobody had taken out, as written by a child that miscounts.
    pub removed: usize,
}

impl TokenPool {
    /// Makes a pool with all its tokens in the pipe.
    ///
    /// # Errors
    /// When the system refuses the pipe, a second handle on it, or a thread.
    pub fn new(size: NonZeroUsize) -> Result<Self, TokenError> {
        let client = jobserver::Client::new(size.get()).map_err(TokenError::Pipe)?;
        let announced = Announcement::of(&client).ok_or_else(|| {
            let kind = io::ErrorKind::Unsupported;
            TokenError::Reopen(io::Error::new(kind, "the jobserver is not a pipe"))
        })?;
        let pipe = Arc::new(TokenPipe::reopen(&announced).map_err(TokenError::Reopen)?);
        let watcher = Watcher::start(Arc::clone(&pipe)).map_err(TokenError::Thread)?;
        Ok(Self {
            size,
            _client: client,
            announced,
            pipe,
            watcher,
        })
    }

    /// Returns the number of tokens.
    #[must_use]
    pub fn size(&self) -> NonZeroUsize {
        self.size
    }

    /// Returns how many tokens lie in the pipe now; children may change that at any time.
    #[must_use]
    pub fn available(&self) -> usize {
        self.pipe.available()
    }

    /// Returns the variables that let a `make` below find the pool: `MAKEFLAGS`. A command also needs
    /// [`inherit`](Self::inherit).
    #[must_use]
    pub fn make_env(&self) -> Vec<(OsString, OsString)> {
        let flags = self.announced.flags_in_child(Numbers::new());
        vec![("MAKEFLAGS".into(), flags.into())]
    }

    /// Makes a command's process inherit both ends of the pipe, under the numbers that `MAKEFLAGS` names. It leaves
    /// the command's environment as it is.
    pub fn inherit(&self, command: &mut Command) {
        let numbers = Numbers::new();
        let Announcement { read, write, .. } = self.announced;
        let all = [(read, numbers.tokens_out), (write, numbers.tokens_in)];
        keep_all(command, all);
    }

    /// Takes a token if one lies in the pipe. Never blocks.
    #[must_use]
    pub fn try_acquire(&self) -> Option<Token> {
        let byte = self.pipe.take()?;
        Some(Token {
            pipe: Arc::clone(&self.pipe),
            byte,
        })
    }

    /// Calls `notify` once, from another thread, when a token lies in the pipe. Somebody else may be faster: the
    /// caller must try, and ask again. The closure must not block.
    pub fn notify_when_available(&self, notify: impl FnOnce() + Send + 'static) {
        self.watcher.request(Box::new(notify));
    }

    /// Restores the number of tokens in the pipe, if this process holds none. To be called only when no child that
    /// was given the pipe is left, or a token that a child still holds is counted as lost.
    pub fn repair(&self) -> Repair {
        self.pipe.restore(self.size.get())
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.pipe.put_back(self.byte);
    }
}

impl fmt::Debug for TokenPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPool")
            .field("size", &self.size)
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}
