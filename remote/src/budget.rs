//! What a server may cost in a run, and the breaker that ends it.
//!
//! Time counts while at least one call is waited for, by the clock and not per call. Each answer pays some
//! of it back, and so does each byte that a call carries, but a debt never falls below zero: a server that was fast for
//! an hour has earned nothing by it. When the debt exceeds the patience, or the server fails for good, the breaker
//! trips: whoever waits is woken, every later call ends at once, and so does the connection.
//!
//! What comes over the wire and is carried by no call (HTTP/2's pings and settings, headers) pays nothing. To take it is
//! work for us, whether a call is waited for or not: there may be so much of it, and then the breaker trips as well.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::error::RemoteError;

/// What a server may cost in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// How long to wait for a server that does nothing, all in all.
    pub patience: Duration,
    /// How long an answer may take without counting against the patience.
    pub answer: Duration,
    /// How many bytes a second a server must at least move, in either direction.
    pub rate: u64,
    /// How long connecting may take, the TLS handshake included.
    pub connect: Duration,
    /// How often a call that failed in passing is made, the first time included.
    pub attempts: u32,
}

impl Default for Budget {
    /// That of a cache: what is there saves a second or more, so a few seconds are worth a try.
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(5),
            answer: Duration::from_millis(100),
            rate: 64 << 10,
            connect: Duration::from_secs(5),
            attempts: 4,
        }
    }
}

impl Budget {
    /// That of an engine which does the work: it may restart while it is waited for.
    pub fn execution() -> Self {
        Self {
            patience: Duration::from_secs(60),
            attempts: 10,
            ..Self::default()
        }
    }
}

/// How much may have come over the wire, in bytes, that no call has taken: what is under way to us, and as much again of calls
/// that were given up. It is forgotten at the rate at which a server must move bytes.
const NOISE: f64 = (64 << 20) as f64;

/// What an answer takes besides its content, in bytes: headers, acknowledgements.
const OF_AN_ANSWER: f64 = 4096.0;

/// What content takes besides itself, in either direction: frames, TLS's records, room that is given.
const OF_CONTENT: f64 = 1.0 / 64.0;

/// Counts what is waited for, and trips.
pub(crate) struct Breaker {
    budget: Budget,
    endpoint: Endpoint,
    account: Mutex<Account>,
    woken: Notify,
    received: AtomicU64,
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct Account {
    calls: usize,
    since: Option<Instant>,
    debt: Duration,
    waited: Duration,
    /// How many bytes calls have given to the connection that have not gone over the wire.
    to_send: usize,
    /// How many bytes have come over the wire that no call has taken, and since when they are forgotten.
    noise: f64,
    heard: Option<Instant>,
    tripped: Option<Arc<RemoteError>>,
}

impl Account {
    /// Brings the debt up to date.
    fn settle(&mut self, now: Instant) {
        let Some(since) = self.since.replace(now) else {
            return;
        };
        if self.calls > 0 {
            let passed = now.saturating_duration_since(since);
            self.debt += passed;
            self.waited += passed;
        }
    }

    fn pay(&mut self, time: Duration) {
        self.debt = self.debt.saturating_sub(time);
    }

    /// Forgets what came over the wire and was wanted.
    fn excuse(&mut self, bytes: f64) {
        self.noise = (self.noise - bytes).max(0.0);
    }

    /// Counts what came over the wire.
    fn hear(&mut self, bytes: usize, rate: u64, now: Instant) {
        let silence = now.saturating_duration_since(self.heard.replace(now).unwrap_or(now));
        let forgotten = silence.as_secs_f64() * rate as f64;
        self.excuse(forgotten);
        self.noise += bytes as f64;
    }
}

impl Breaker {
    pub(crate) fn new(budget: Budget, endpoint: Endpoint) -> Self {
        Self {
            budget,
            endpoint,
            account: Mutex::default(),
            woken: Notify::new(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why no more calls are made, if so.
    pub(crate) fn tripped(&self) -> Option<Arc<RemoteError>> {
        self.account().tripped.clone()
    }

    pub(crate) fn waited(&self) -> Duration {
        self.account().waited
    }

    pub(crate) fn bytes(&self) -> (u64, u64) {
        let received = self.received.load(Ordering::Relaxed);
        (received, self.sent.load(Ordering::Relaxed))
    }

    /// Ends all calls, now and later. The first cause stays.
    pub(crate) fn trip(&self, cause: RemoteError) -> RemoteError {
        let mut account = self.account();
        let cause = account.tripped.get_or_insert_with(|| Arc::new(cause));
        let error = RemoteError::GaveUp(Arc::clone(cause));
        drop(account);
        self.woken.notify_waiters();
        error
    }

    /// Waits for a part of a call; in vain when the breaker trips, now or meanwhile.
    pub(crate) async fn wait<T>(
        &self,
        call: &'static str,
        part: impl Future<Output = T>,
    ) -> Result<T, RemoteError> {
        let _waiting = Waiting::begin(self);
        let mut part = pin!(part);
        loop {
            let woken = self.woken.notified();
            let left = self.left(call)?;
            tokio::select! {
                biased;
                done = &mut part => return Ok(done),
                () = woken => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// How long may be waited from now on if nothing happens.
    fn left(&self, call: &'static str) -> Result<Duration, RemoteError> {
        let mut account = self.account();
        if let Some(cause) = &account.tripped {
            return Err(RemoteError::GaveUp(Arc::clone(cause)));
        }
        account.settle(Instant::now());
        let left = self.budget.patience.saturating_sub(account.debt);
        if !left.is_zero() {
            // No shorter than the timer's own step, or the last wait would be many.
            return Ok(left.max(Duration::from_millis(1)));
        }
        let waited = account.waited;
        drop(account);
        Err(self.trip(RemoteError::TooSlow {
            endpoint: self.endpoint.clone(),
            call,
            waited,
        }))
    }

    /// The server has answered a call, or given the next part of an answer.
    pub(crate) fn answered(&self) {
        let mut account = self.account();
        account.settle(Instant::now());
        account.pay(self.budget.answer);
        account.excuse(OF_AN_ANSWER);
    }

    /// This many bytes came over the wire.
    ///
    /// # Errors
    ///
    /// When the connection has to end.
    pub(crate) fn count_received(&self, bytes: usize) -> Result<(), RemoteError> {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut account = self.account();
        if let Some(cause) = &account.tripped {
            return Err(RemoteError::GaveUp(Arc::clone(cause)));
        }
        account.hear(bytes, self.budget.rate, Instant::now());
        if account.noise <= NOISE {
            return Ok(());
        }
        drop(account);
        let endpoint = self.endpoint.clone();
        Err(self.trip(RemoteError::Noise { endpoint }))
    }

    /// This many bytes went over the wire.
    pub(crate) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut account = self.account();
        let carried = bytes.min(account.to_send);
        account.to_send -= carried;
        self.moved(&mut account, carried);
    }

    /// A call has taken this many bytes.
    pub(crate) fn carried_in(&self, bytes: usize) {
        let mut account = self.account();
        account.excuse(bytes as f64);
        self.moved(&mut account, bytes);
    }

    /// A call has given this many bytes to the connection.
    pub(crate) fn carried_out(&self, bytes: usize) {
        let mut account = self.account();
        account.to_send = account.to_send.saturating_add(bytes);
    }

    fn moved(&self, account: &mut Account, bytes: usize) {
        account.settle(Instant::now());
        account.excuse(bytes as f64 * OF_CONTENT);
        account.pay(Duration::from_secs_f64(
            bytes as f64 / self.budget.rate.max(1) as f64,
        ));
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("account", &*self.account())
            .finish_non_exhaustive()
    }
}

/// While it is held, time counts.
struct Waiting<'b>(&'b Breaker);

impl<'b> Waiting<'b> {
    fn begin(breaker: &'b Breaker) -> Self {
        let mut account = breaker.account();
        account.settle(Instant::now());
        account.calls += 1;
        Self(breaker)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut account = self.0.account();
        account.settle(Instant::now());
        account.calls -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(Budget::default(), "grpc://cache".parse().unwrap())
    }

    /// Runs with a clock that jumps to the next timer when nothing else is to be done.
    fn run(test: impl Future<Output = ()>) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn a_dead_server_costs_the_patience_once() {
        run(async {
            let breaker = breaker();
            let start = Instant::now();
            let dead = || breaker.wait("Test", std::future::pending::<()>());
            let (one, other) = tokio::join!(dead(), dead());
            assert!(matches!(one, Err(RemoteError::GaveUp(_))));
            assert!(matches!(other, Err(RemoteError::GaveUp(_))));
            for _ in 0..100 {
                dead().await.unwrap_err();
            }
            assert_eq!(start.elapsed(), Duration::from_secs(5));
            assert_eq!(breaker.waited(), Duration::from_secs(5));
            let cause = breaker.tripped().unwrap();
            assert_eq!(
                cause.to_string(),
                "grpc://cache:80 is too slow: 5 s spent waiting for it in Test"
            );
        });
    }

    #[test]
    fn answers_pay_for_themselves_and_not_for_the_future() {
        run(async {
            let breaker = breaker();
            for _ in 0..1000 {
                let quick = tokio::time::sleep(Duration::from_millis(50));
                breaker.wait("Test", quick).await.unwrap();
                breaker.answered();
            }
            assert_eq!(breaker.waited(), Duration::from_secs(50));
            breaker
                .wait("Test", std::future::pending::<()>())
                .await
                .unwrap_err();
            assert_eq!(breaker.waited(), Duration::from_secs(55));
        });
    }

    #[test]
    fn slow_answers_add_up() {
        run(async {
            let breaker = breaker();
            let mut answers = 0;
            loop {
                let slow = tokio::time::sleep(Duration::from_millis(600));
                if breaker.wait("Test", slow).await.is_err() {
                    break;
                }
                breaker.answered();
                answers += 1;
            }
            assert_eq!(answers, 9);
            assert!(
                breaker.waited() <= Duration::from_secs(5) + answers * Duration::from_millis(100)
            );
        });
    }

    #[test]
    fn a_trickle_is_not_enough() {
        run(async {
            let breaker = breaker();
            let trickle = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    breaker.count_received(100).unwrap();
                    breaker.carried_in(100);
                }
            };
            breaker.wait("Test", trickle).await.unwrap_err();
            assert!(breaker.waited() < Duration::from_millis(5100));
            let (received, _) = breaker.bytes();
            assert!(received < 6000);
        });
    }

    #[test]
    fn a_steady_flow_is() {
        run(async {
            let breaker = breaker();
            let flow = async {
                for _ in 0..600 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    breaker.count_received(7000).unwrap();
                    breaker.carried_in(7000);
                }
            };
            breaker.wait("Test", flow).await.unwrap();
            assert_eq!(breaker.waited(), Duration::from_secs(60));
        });
    }

    #[test]
    fn what_no_call_carries_is_no_work() {
        run(async {
            let breaker = breaker();
            let pings = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    breaker.count_received(50_000).unwrap();
                    breaker.count_sent(50_000);
                }
            };
            breaker.wait("Test", pings).await.unwrap_err();
            assert_eq!(breaker.waited(), Duration::from_secs(5));
            breaker.count_received(1).unwrap_err();
        });
    }

    #[test]
    fn what_is_sent_counts_when_it_goes_over_the_wire() {
        run(async {
            let breaker = breaker();
            breaker.carried_out(600 * 7000);
            let flow = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    breaker.count_sent(7000);
                }
            };
            breaker.wait("Test", flow).await.unwrap_err();
            assert!(breaker.waited() > Duration::from_secs(64));
            assert!(breaker.waited() < Duration::from_secs(66));
        });
    }

    #[test]
    fn noise_ends_the_connection_whether_or_not_somebody_waits() {
        run(async {
            let breaker = breaker();
            for _ in 0..1000 {
                breaker.count_received(1 << 20).unwrap();
                breaker.carried_in(1 << 20);
            }
            let noise = || breaker.count_received(1 << 20);
            let heard = (0..100).take_while(|_| noise().is_ok()).count();
            assert_eq!(heard, 64);
            let cause = breaker.tripped().unwrap();
            assert!(matches!(*cause, RemoteError::Noise { .. }));
        });
    }

    #[test]
    fn what_belongs_to_calls_is_no_noise() {
        run(async {
            let breaker = breaker();
            for _ in 0..100_000 {
                breaker.count_received((1 << 20) + 2000).unwrap();
                breaker.carried_in(1 << 20);
            }
            for _ in 0..1_000_000 {
                breaker.count_received(500).unwrap();
                breaker.answered();
            }
        });
    }

    #[test]
    fn time_without_a_call_is_free() {
        run(async {
            let breaker = breaker();
            breaker.wait("Test", async {}).await.unwrap();
            tokio::time::sleep(Duration::from_secs(3600)).await;
            breaker.wait("Test", async {}).await.unwrap();
            assert_eq!(breaker.waited(), Duration::ZERO);
        });
    }
}
