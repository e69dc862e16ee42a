//! The ledger over pipes that are only numbers, and a clock that the tests set.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

/// A ledger and what lies in the pipe of each of its jobs.
struct Bench {
    ledger: Ledger<u32>,
    pipes: BTreeMap<Number, usize>,
    served: Vec<u32>,
    now: Instant,
}

impl Bench {
    fn new(size: usize) -> Self {
        Self {
            ledger: Ledger::new(size),
            pipes: BTreeMap::new(),
            served: Vec::new(),
            now: Instant::now(),
        }
    }

    /// Opens jobs, and feeds them.
    fn open<const N: usize>(&mut self) -> [Number; N] {
        let numbers = std::array::from_fn(|_| {
            let number = self.ledger.open(Arc::new(Bell::new().unwrap()));
            self.pipes.insert(number, 0);
            number
        });
        self.feed();
        numbers
    }

    /// Lets all feeders work until each would sleep; gives the shortest time that one would.
    fn feed(&mut self) -> Option<Duration> {
        for _ in 0..1000 {
            let mut shortest: Option<Duration> = None;
            let mut all_wait = true;
            for (&number, inside) in &mut self.pipes {
                match self.ledger.next(number, *inside, false, self.now) {
                    Step::Put => *inside += 1,
                    Step::Take(count) => {
                        assert!(count <= *inside);
                        *inside -= count;
                        self.ledger.took(number, count);
                    }
                    Step::Refresh => {
                        *inside -= 1;
                        self.ledger.took(number, 1);
                    }
                    Step::Wait(time) => {
                        shortest = shortest.into_iter().chain(time).min();
                        continue;
                    }
                    Step::End => continue,
                }
                all_wait = false;
            }
            self.served.extend(self.ledger.distribute());
            let mut accounts = self.ledger.accounts.values();
            if all_wait && accounts.all(|account| account.offer != Offer::Due) {
                return shortest;
            }
        }
        panic!("the feeders never sleep: {:?}", self.ledger);
    }

    /// A job takes a token if one lies in its pipe.
    fn take(&mut self, job: Number) -> bool {
        let inside = self.pipes.get_mut(&job).unwrap();
        let taken = *inside > 0;
        *inside -= usize::from(taken);
        self.feed();
        taken
    }

    /// A job puts bytes into its pipe.
    fn put(&mut self, job: Number, count: usize) {
        *self.pipes.get_mut(&job).unwrap() += count;
        self.feed();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.feed();
    }

    /// Free tokens, and those that each job was given.
    fn total(&self) -> usize {
        let given = self.ledger.accounts.values().map(|account| account.given);
        self.ledger.free + given.sum::<usize>()
    }
}

#[test]
fn a_job_gets_one_token_after_the_other() {
    let mut bench = Bench::new(3);
    let [job] = bench.open();
    assert_eq!((bench.pipes[&job], bench.ledger.free()), (1, 2));
    for _ in 0..3 {
        assert!(bench.take(job));
    }
    assert!(!bench.take(job));
    bench.put(job, 3);
    assert_eq!((bench.pipes[&job], bench.ledger.free()), (1, 2));
}

#[test]
fn what_is_forged_is_thrown_away() {
    let mut bench = Bench::new(3);
    let [job, other] = bench.open();
    assert!(bench.take(job));
    bench.put(job, 64_000);
    assert_eq!(bench.total(), 3);
    assert_eq!(bench.pipes, BTreeMap::from([(job, 1), (other, 1)]));
    while bench.take(other) {}
    bench.put(job, 64_000);
    assert_eq!(bench.total(), 3);
    bench.ledger.close(job);
    bench.ledger.close(other);
    assert_eq!(bench.ledger.free(), 3);
}

#[test]
fn what_was_lost_is_free_when_the_job_ends() {
    let mut bench = Bench::new(2);
    let [job, other] = bench.open();
    assert!(bench.take(job));
    bench.ledger.close(job);
    assert_eq!(bench.ledger.next(job, 0, false, bench.now), Step::End);
    assert!(bench.take(other));
    assert!(bench.take(other));
    assert_eq!(bench.total(), 2);
}

#[test]
fn an_offer_that_is_left_lying_goes_round_until_somebody_takes_it() {
    let mut bench = Bench::new(1);
    let jobs: [Number; 4] = bench.open();
    let mut offered = Vec::new();
    for _ in 0..8 {
        offered.push(jobs.iter().position(|job| bench.pipes[job] == 1).unwrap());
        bench.pass(MOST_PATIENCE);
    }
    assert_eq!(offered, [0, 1, 2, 3, 0, 1, 2, 3]);
}

#[test]
fn who_takes_an_offer_is_the_next_to_get_one() {
    let mut bench = Bench::new(2);
    let [wide, ..]: [Number; 4] = bench.open();
    for _ in 0..10 {
        bench.pass(MOST_PATIENCE);
    }
    while !bench.take(wide) {
        bench.pass(MOST_PATIENCE);
    }
    bench.pass(MOST_PATIENCE);
    assert_eq!(bench.pipes[&wide], 1);
}

/// A page of a pipe is written to again only after it was empty.
#[test]
fn an_offer_in_a_pipe_that_is_used_is_made_anew_some_times() {
    let mut bench = Bench::new(1);
    let [job] = bench.open();
    let step = bench.ledger.next(job, 1, true, bench.now);
    assert_eq!(step, Step::Wait(Some(FRESH)));
    for _ in 0..REFRESHES {
        bench.now += FRESH;
        let step = bench.ledger.next(job, 1, false, bench.now);
        assert_eq!(step, Step::Refresh);
        bench.ledger.took(job, 1);
        assert!(bench.ledger.distribute().is_empty());
        assert_eq!(bench.ledger.next(job, 0, false, bench.now), Step::Put);
    }
    assert_eq!(bench.feed(), None);
}

#[test]
fn nobody_wakes_where_nothing_can_move() {
    let mut bench = Bench::new(2);
    let jobs: [Number; 2] = bench.open();
    assert_eq!(bench.feed(), None, "each has an offer");
    let [third] = bench.open();
    assert_eq!(bench.feed(), Some(PATIENCE), "one has none");
    bench.ledger.close(third);
    assert_eq!(bench.feed(), None);
    for job in jobs {
        assert!(bench.take(job));
    }
    let [_third] = bench.open();
    assert_eq!(bench.feed(), None, "nothing is free");
}

#[test]
fn the_patience_grows_only_while_nobody_takes_anything() {
    let mut bench = Bench::new(1);
    let [first, second] = bench.open();
    for _ in 0..5 {
        bench.pass(MOST_PATIENCE);
    }
    assert_eq!(bench.feed(), Some(MOST_PATIENCE));
    assert!(bench.take(first) || bench.take(second));
    assert_eq!(bench.ledger.patience, PATIENCE);
}

#[test]
fn a_request_comes_before_all_offers() {
    let mut bench = Bench::new(2);
    let [job, other] = bench.open();
    assert_eq!(bench.ledger.free(), 0);
    bench.ledger.request(7);
    bench.feed();
    assert_eq!(bench.served, [7]);
    assert_eq!(bench.pipes.values().sum::<usize>(), 1);
    while bench.take(job) || bench.take(other) {}
    bench.ledger.request(8);
    bench.feed();
    assert_eq!(bench.served, [7], "nothing is free");
    bench.put(job, 1);
    assert_eq!(bench.served, [7, 8]);
    assert_eq!((bench.total(), bench.pipes[&job]), (0, 0));
}

#[test]
fn an_offer_that_is_not_in_the_pipe_yet_is_taken_back_too() {
    let mut bench = Bench::new(1);
    let number = bench.ledger.open(Arc::new(Bell::new().unwrap()));
    assert!(bench.ledger.distribute().is_empty());
    bench.ledger.request(7);
    assert_eq!(bench.ledger.distribute(), [7]);
    assert_eq!(
        bench.ledger.next(number, 0, false, bench.now),
        Step::Wait(None)
    );
}

/// Whatever jobs do, no token is lost or made.
#[test]
fn the_sum_is_always_the_same() {
    let mut random = fastrand::Rng::with_seed(7);
    for size in 1..6 {
        let mut bench = Bench::new(size);
        let jobs: [Number; 4] = bench.open();
        let mut held = 0;
        for step in 0..2000 {
            let job = jobs[random.usize(..4)];
            match random.u32(..8) {
                0..3 => drop(bench.take(job)),
                3..5 => bench.put(job, random.usize(..3)),
                5 => bench.pass(PATIENCE),
                6 => bench.ledger.request(step),
                _ if held > 0 => {
                    held -= 1;
                    bench.ledger.put_back();
                }
                _ => {}
            }
            bench.feed();
            held += bench.served.drain(..).count();
            assert_eq!(bench.total() + held, size);
        }
        jobs.iter().for_each(|&job| bench.ledger.close(job));
        held += bench.ledger.distribute().len();
        assert_eq!(bench.ledger.free() + held, size);
    }
}
