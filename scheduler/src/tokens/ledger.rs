//! Who has how many tokens, and who is to be offered one next: numbers only, no pipe and no thread.
//!
//! A job is offered one token at a time, by a byte in its pipe. What is not taken within some milliseconds goes on to a job
//! that has no offer, so whoever wants a token gets it; a request of the scheduler's comes before all offers. Invariant: free
//! tokens, those that jobs were given, and those that are handed out are always as many as at the beginning.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bell::Bell;

#[cfg(test)]
mod tests;

/// How long an offer waits for its job before it goes on to another.
const PATIENCE: Duration = Duration::from_millis(10);
/// The same where offers go round and nobody takes any.
const MOST_PATIENCE: Duration = Duration::from_millis(40);

/// How long an offer lies in a pipe that the job uses. A page of a pipe that never gets empty fills by and by, after some
/// thousand tokens that were put back, for nothing that was read from it is written to again.
const FRESH: Duration = Duration::from_millis(100);
/// How often an offer is made anew after the job has last used the pipe.
const REFRESHES: u8 = 3;

/// A job's account. Numbers are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u64);

/// All accounts of a pool; `R` is a request for a token.
#[derive(Debug)]
pub(super) struct Ledger<R> {
    free: usize,
    requests: VecDeque<R>,
    accounts: BTreeMap<Number, Account>,
    opened: u64,
    /// Counts offers made and refused, to tell which was first.
    turns: u64,
    patience: Duration,
}

/// What one job has.
#[derive(Debug)]
struct Account {
    /// Tokens that went into the pipe and have not come back, the offered one included.
    given: usize,
    offer: Offer,
    /// Whether it left the last offer lying.
    declined: bool,
    /// How often the offer is to be made anew.
    refreshes: u8,
    /// When it was last made an offer, or refused one.
    turn: u64,
    bell: Arc<Bell>,
}

/// The token that a job may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    None,
    /// It is the job's, but not in the pipe yet.
    Due,
    /// It lies in the pipe.
    Lies {
        since: Instant,
        /// Whether the feeder sleeps for a time only.
        is_timed: bool,
    },
    /// The feeder is about to take out whatever lies in the pipe.
    Leaves,
}

impl Offer {
    fn lies(since: Instant) -> Self {
        Self::Lies {
            since,
            is_timed: false,
        }
    }
}

/// What a feeder has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Put one token in.
    Put,
    /// Take so many bytes out, or what is left of them.
    Take(usize),
    /// Take one token out, and let the job write first if it could not.
    Refresh,
    /// Sleep until something changes, or for so long.
    Wait(Option<Duration>),
    /// The account is closed.
    End,
}

impl<R> Ledger<R> {
    pub(super) fn new(size: usize) -> Self {
        Self {
            free: size,
            requests: VecDeque::new(),
            accounts: BTreeMap::new(),
            opened: 0,
            turns: 0,
            patience: PATIENCE,
        }
    }

    /// Returns how many tokens nobody has.
    pub(super) fn free(&self) -> usize {
        self.free
    }

    /// Takes a token to be handed out, if one is free.
    pub(super) fn take(&mut self) -> bool {
        let left = self.free.checked_sub(1);
        self.free = left.unwrap_or(0);
        left.is_some()
    }

    /// Takes a token back that was handed out.
    pub(super) fn put_back(&mut self) {
        self.free += 1;
    }

    /// Notes that somebody wants a token, and calls back all that lie unused.
    pub(super) fn request(&mut self, request: R) {
        self.requests.push_back(request);
        for account in self.accounts.values_mut() {
            match account.offer {
                Offer::Due => {
                    account.revoke();
                    self.free += 1;
                }
                Offer::Lies { .. } => account.bell.ring(),
                Offer::None | Offer::Leaves => {}
            }
        }
    }

    /// Opens an account for a job whose feeder hears a bell.
    pub(super) fn open(&mut self, bell: Arc<Bell>) -> Number {
        let number = Number(self.opened);
        self.opened += 1;
        let account = Account {
            given: 0,
            offer: Offer::None,
            declined: false,
            refreshes: 0,
            turn: 0,
            bell,
        };
        self.accounts.insert(number, account);
        self.patience = PATIENCE;
        number
    }

    /// Closes an account: all that the job was given is free.
    pub(super) fn close(&mut self, number: Number) {
        if let Some(account) = self.accounts.remove(&number) {
            self.free += account.given;
            account.bell.ring();
        }
    }

    /// Tells a job's feeder what to do, which has seen so many bytes in the pipe; `stirred` if the job has changed the
    /// pipe since.
    pub(super) fn next(
        &mut self,
        number: Number,
        inside: usize,
        stirred: bool,
        now: Instant,
    ) -> Step {
        let Some(account) = self.accounts.get_mut(&number) else {
            return Step::End;
        };
        if inside == 0 {
            return match account.offer {
                Offer::Due => {
                    account.offer = Offer::lies(now);
                    Step::Put
                }
                Offer::Lies { .. } => {
                    account.was_taken();
                    self.patience = PATIENCE;
                    Step::Wait(None)
                }
                Offer::None | Offer::Leaves => Step::Wait(None),
            };
        }
        if account.offer == Offer::Due {
            // One has come back by itself, and serves as well.
            account.revoke();
            self.free += 1;
        }
        let is_right = inside == 1 && account.given > 0;
        if !is_right || !self.requests.is_empty() {
            account.offer = Offer::Leaves;
            return Step::Take(inside);
        }
        if stirred {
            account.refreshes = REFRESHES;
        }
        if !matches!(account.offer, Offer::Lies { .. }) {
            account.offer = Offer::lies(now);
        }
        self.let_lie(number, now)
    }

    /// Leaves an offer where it is until it has to be made anew, to whoever comes first then.
    fn let_lie(&mut self, number: Number, now: Instant) -> Step {
        let others_want = self.accounts.values().any(Account::is_hungry);
        let Some(account) = self.accounts.get_mut(&number) else {
            return Step::End;
        };
        let Offer::Lies { since, is_timed } = &mut account.offer else {
            return Step::Wait(None);
        };
        let for_others = others_want.then_some(*since + self.patience);
        let to_refresh = (account.refreshes > 0).then_some(*since + FRESH);
        let until = for_others.into_iter().chain(to_refresh).min();
        *is_timed = until.is_some();
        let left = until.map(|until| until.saturating_duration_since(now));
        if left != Some(Duration::ZERO) {
            return Step::Wait(left);
        }
        account.offer = Offer::Leaves;
        let was_used = account.refreshes == REFRESHES;
        account.refreshes = account.refreshes.saturating_sub(1);
        if until != for_others {
            return Step::Refresh;
        }
        if account.declined && !was_used {
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
        }
        self.turns += 1;
        account.declined = !was_used;
        account.turn = self.turns;
        Step::Take(1)
    }

    /// Takes in that a feeder found no room for the token that it was to put in.
    pub(super) fn could_not_put(&mut self, number: Number) {
        if let Some(account) = self.accounts.get_mut(&number) {
            account.revoke();
            self.free += 1;
        }
    }

    /// Takes in that a feeder took so many bytes out of the pipe; tells how many of them were none of ours.
    pub(super) fn took(&mut self, number: Number, count: usize) -> usize {
        let Some(account) = self.accounts.get_mut(&number) else {
            return 0;
        };
        account.offer = Offer::None;
        if count == 0 {
            account.declined = false;
        }
        let ours = count.min(account.given);
        account.given -= ours;
        self.free += ours;
        count - ours
    }

    /// Gives what is free to those who asked, who are returned, and offers the rest to jobs.
    pub(super) fn distribute(&mut self) -> Vec<R> {
        let served = self.free.min(self.requests.len());
        self.free -= served;
        let served = self.requests.drain(..served).collect();
        if !self.requests.is_empty() {
            return served;
        }
        let mut are_hungry = false;
        while let Some(account) = self
            .accounts
            .values_mut()
            .filter(|account| account.is_hungry())
            .min_by_key(|account| account.rank())
        {
            if self.free == 0 {
                are_hungry = true;
                break;
            }
            self.free -= 1;
            self.turns += 1;
            account.given += 1;
            account.offer = Offer::Due;
            account.turn = self.turns;
            account.bell.ring();
        }
        if are_hungry {
            self.accounts.values_mut().for_each(Account::begin_to_time);
        }
        served
    }
}

impl Account {
    /// Whether it could take a token.
    fn is_hungry(&self) -> bool {
        self.offer == Offer::None
    }

    /// Lower comes first: those who took the last one, and of them who has least; then the others in turn.
    fn rank(&self) -> (bool, usize, u64) {
        let given = if self.declined { 0 } else { self.given };
        (self.declined, given, self.turn)
    }

    /// Takes an offer back that is not in the pipe yet.
    fn revoke(&mut self) {
        self.offer = Offer::None;
        self.given -= 1;
    }

    /// Has the feeder of an offer that lies see to it that this ends, if it sleeps without a limit.
    fn begin_to_time(&mut self) {
        if let Offer::Lies { is_timed, .. } = &mut self.offer
            && !*is_timed
        {
            *is_timed = true;
            self.bell.ring();
        }
    }

    fn was_taken(&mut self) {
        self.offer = Offer::None;
        self.declined = false;
    }
}
