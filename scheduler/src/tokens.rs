//! The right to keep a core busy, as a number of tokens that the jobs of a machine share.
//!
//! What the pool counts are its own numbers, never bytes in a pipe. Each job has a jobserver of its own, a pipe that is
//! fed from here, so what it loses or forges is its own until it ends. Invariant: free tokens + tokens handed out + tokens
//! lent to jobs = size, whatever any child does. The accounting is explained in docs/scheduling.md.

mod feeder;
mod ledger;
mod pipe;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger::{Ledger, Number};
use pipe::JobPipe;

use crate::bell::Bell;
use crate::descriptors::Numbers;
use crate::process::keep_all;

/// A job's jobserver could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Its pipe, or what tells of changes in it, could not be made.
    #[error("cannot make the jobserver pipe")]
    Pipe(#[source] io::Error),
    /// The pipe could not be opened a second time through `/proc/self/fd`.
    #[error("cannot reopen the jobserver pipe through /proc")]
    Reopen(#[source] io::Error),
    /// The thread that feeds it could not be started.
    #[error("cannot start the token thread")]
    Thread(#[source] io::Error),
}

/// A fixed number of tokens, lent to each job's processes as a GNU make jobserver.
///
/// It may be used from several threads and by several runs at once.
pub struct TokenPool {
    size: NonZeroUsize,
    shared: Arc<Shared>,
}

/// One token; dropping it gives it back.
#[must_use = "dropping it gives it back"]
pub struct Token {
    shared: Arc<Shared>,
}

/// What a job has of the pool beyond its own token. Dropping it takes all back, to be done when the job's processes are
/// gone: what is left of them has no part in the pool any more.
#[must_use = "dropping it ends the job's jobserver"]
pub struct Loan {
    shared: Arc<Shared>,
    number: Number,
}

/// Takes a token that was asked for.
type Request = Box<dyn FnOnce(Token) + Send>;

/// What the pool, its tokens and its loans have in common.
struct Shared {
    ledger: Mutex<Ledger<Request>>,
}

impl TokenPool {
    /// Makes a pool with all its tokens free.
    #[must_use]
    pub fn new(size: NonZeroUsize) -> Self {
        let ledger = Mutex::new(Ledger::new(size.get()));
        Self {
            size,
            shared: Arc::new(Shared { ledger }),
        }
    }

    /// Returns the number of tokens.
    #[must_use]
    pub fn size(&self) -> NonZeroUsize {
        self.size
    }

    /// Returns how many tokens are neither handed out nor lent to a job.
    #[must_use]
    pub fn available(&self) -> usize {
        self.shared.ledger().free()
    }

    /// Returns the variables that let a `make` below find its job's jobserver: `MAKEFLAGS`. They are the same for all
    /// jobs. A command also needs [`lend`](Self::lend).
    #[must_use]
    pub fn make_env() -> Vec<(OsString, OsString)> {
        let Numbers {
            tokens_out,
            tokens_in,
            ..
        } = Numbers::new();
        let ends = format!("{tokens_out},{tokens_in}");
        // The first is for make before 4.2.
        let flags = format!("-j --jobserver-fds={ends} --jobserver-auth={ends}");
        vec![("MAKEFLAGS".into(), flags.into())]
    }

    /// Opens a jobserver for one job, and makes a command's process inherit both its ends, under the numbers that
    /// `MAKEFLAGS` names. It leaves the command's environment as it is.
    ///
    /// # Errors
    /// When the system refuses the pipe, a second handle on it, or a thread.
    pub fn lend(&self, command: &mut Command) -> Result<Loan, TokenError> {
        let numbers = Numbers::new();
        let (pipe, [out, back]) = JobPipe::open()?;
        let bell = Arc::new(Bell::new().map_err(TokenError::Pipe)?);
        let number = self.shared.change(|ledger| ledger.open(Arc::clone(&bell)));
        let loan = Loan {
            shared: Arc::clone(&self.shared),
            number,
        };
        feeder::start(Arc::clone(&self.shared), number, pipe, bell)?;
        keep_all(
            command,
            [(out, numbers.tokens_out), (back, numbers.tokens_in)],
        );
        Ok(loan)
    }

    /// Takes a token if one is free. Never blocks.
    #[must_use]
    pub fn try_acquire(&self) -> Option<Token> {
        self.shared.ledger().take().then(|| self.shared.token())
    }

    /// Hands a token to a closure as soon as one is free, from whatever thread frees it; tokens that lie in a job's
    /// jobserver are fetched for it, and jobs are lent none before. The closure must not block.
    pub fn request(&self, hand: impl FnOnce(Token) + Send + 'static) {
        self.shared.change(|ledger| ledger.request(Box::new(hand)));
    }
}

impl Shared {
    /// Changes the ledger, and hands out what was asked for and is free now.
    fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut Ledger<Request>) -> R) -> R {
        let (result, served) = {
            let mut ledger = self.ledger();
            let result = change(&mut ledger);
            (result, ledger.distribute())
        };
        // Not under the lock, which a token that is dropped takes.
        for hand in served {
            hand(self.token());
        }
        result
    }

    /// A token that the ledger has given away.
    fn token(self: &Arc<Self>) -> Token {
        Token {
            shared: Arc::clone(self),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<Request>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.shared.change(Ledger::put_back);
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Nothing is done to the pipe here: a process that is left could hold it up.
        self.shared.change(|ledger| ledger.close(self.number));
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

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
