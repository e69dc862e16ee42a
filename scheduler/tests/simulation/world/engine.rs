//! The engine and this machine's cores, as two executors of one virtual time.
//!
//! The engine has a queue of its own, first come first served, and workers that die with what they have. It answers over
//! a wire that delays both ways. Time goes on when the coordinator has started all it can (`flush`), up to the next
//! moment at which it is told something.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use kiln_scheduler::{Executor, HandBack, Task, Verdict};

use super::clock::{Agenda, MILLISECOND, SECOND, Time};
use super::plan::Job;

/// How long a word takes to the engine or back.
const WIRE: std::ops::Range<Time> = 20 * MILLISECOND..500 * MILLISECOND;
/// How long after a worker's death its attempt is given up.
const GIVEN_UP: Time = 5 * SECOND;
/// How long a worker that died is missing.
const MISSING: Time = 30 * SECOND;

/// What there is to work with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub(crate) workers: usize,
    /// What `--remote-jobs` says.
    pub(crate) remote_jobs: usize,
    pub(crate) cores: usize,
    /// When the engine dies, if it does.
    pub(crate) dies: Option<Time>,
}

/// Everything below the coordinator.
pub(crate) struct World {
    site: Site,
    state: Mutex<State>,
}

/// This machine.
pub(crate) struct Near<'w>(pub(crate) &'w World);

/// The engine.
pub(crate) struct Far<'w>(pub(crate) &'w World);

type JobTask = Task<Job, usize>;
type JobVerdict = Verdict<usize>;

struct State {
    agenda: Agenda<Happening>,
    rng: Rng,
    queue: VecDeque<Attempt>,
    idle: usize,
    /// Attempts at the engine so far, by job.
    attempts: Vec<u8>,
    health: Health,
    /// What workers did for attempts that were lost.
    wasted: Time,
    /// Tasks that nobody will ever hear of again.
    silent: Vec<JobTask>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Well,
    Dead,
    /// Dead, and the coordinator was told.
    KnownDead,
}

struct Attempt {
    task: JobTask,
    /// How long it keeps a worker, and whether that lives on.
    lasts: Time,
    lost: bool,
}

enum Happening {
    Arrives(Attempt),
    WorkEnds(Attempt),
    WorkerReturns,
    Answers(JobTask, JobVerdict),
    EndsHere(JobTask),
    EngineDies,
}

impl World {
    pub(crate) fn new(site: Site, jobs: usize, rng: Rng) -> Self {
        let mut agenda = Agenda::new();
        if let Some(at) = site.dies {
            agenda.add(at, Happening::EngineDies);
        }
        let state = State {
            agenda,
            rng,
            queue: VecDeque::new(),
            idle: site.workers,
            attempts: vec![0; jobs],
            health: Health::Well,
            wasted: 0,
            silent: Vec::new(),
        };
        Self {
            site,
            state: Mutex::new(state),
        }
    }

    /// Returns the time, and what workers did in vain until now.
    pub(crate) fn spent(&self) -> (Time, Time) {
        let state = self.state();
        (state.agenda.now(), state.wasted)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor<Job> for Near<'_> {
    type Outcome = usize;

    fn slots(&self) -> usize {
        self.0.site.cores
    }

    fn start(&self, task: JobTask) {
        let lasts = task.payload().lasts;
        self.0.state().agenda.add(lasts, Happening::EndsHere(task));
    }

    fn flush(&self) {
        self.0.state().proceed();
    }
}

impl Executor<Job> for Far<'_> {
    type Outcome = usize;

    fn slots(&self) -> usize {
        self.0.site.remote_jobs
    }

    fn start(&self, task: JobTask) {
        self.0.state().send(task);
    }
}

impl State {
    fn send(&mut self, task: JobTask) {
        let job = *task.payload();
        let before = &mut self.attempts[task.id().index()];
        let lost = *before < job.lost;
        *before += 1;
        let lasts = if lost {
            (job.lasts as f64 * self.rng.f64()) as Time
        } else {
            job.lasts
        };
        let wire = self.rng.u64(WIRE);
        let attempt = Attempt { task, lasts, lost };
        self.agenda.add(wire, Happening::Arrives(attempt));
    }

    /// Lets time go on until the coordinator is told something.
    fn proceed(&mut self) {
        let mut told = false;
        while !told {
            assert!(
                self.agenda.proceed(),
                "the run waits and nothing is under way"
            );
            while let Some(happening) = self.agenda.due() {
                told |= self.happen(happening);
            }
        }
    }

    /// Returns whether the coordinator was told something.
    fn happen(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Arrives(attempt) if attempt.task.payload().refused => {
                let job = attempt.task.id().index();
                self.answer(attempt.task, 0, Verdict::HandBack(HandBack::Refused, job));
            }
            Happening::Arrives(attempt) => {
                self.queue.push_back(attempt);
                self.assign();
            }
            Happening::WorkEnds(attempt) => self.end_work(attempt),
            Happening::WorkerReturns => {
                self.idle += 1;
                self.assign();
            }
            Happening::Answers(task, verdict) => return self.deliver(task, verdict),
            Happening::EndsHere(task) => {
                let verdict = own_end(&task);
                task.finish(verdict);
                return true;
            }
            Happening::EngineDies => self.health = Health::Dead,
        }
        false
    }

    fn assign(&mut self) {
        while self.idle > 0 {
            let Some(attempt) = self.queue.pop_front() else {
                break;
            };
            self.idle -= 1;
            attempt.task.phase("executing");
            let lasts = attempt.lasts;
            self.agenda.add(lasts, Happening::WorkEnds(attempt));
        }
    }

    fn end_work(&mut self, attempt: Attempt) {
        let job = attempt.task.id().index();
        if attempt.lost {
            self.wasted += attempt.lasts;
            self.agenda.add(MISSING, Happening::WorkerReturns);
            let verdict = Verdict::HandBack(HandBack::Retry, job);
            self.answer(attempt.task, GIVEN_UP, verdict);
        } else {
            self.idle += 1;
            let verdict = own_end(&attempt.task);
            self.answer(attempt.task, 0, verdict);
            self.assign();
        }
    }

    fn answer(&mut self, task: JobTask, after: Time, verdict: JobVerdict) {
        let wire = self.rng.u64(WIRE);
        self.agenda
            .add(after + wire, Happening::Answers(task, verdict));
    }

    /// An engine that died is noticed by one task. The others come late, more than once for the engine, or never.
    fn deliver(&mut self, task: JobTask, verdict: JobVerdict) -> bool {
        let job = task.id().index();
        match self.health {
            Health::Well => task.finish(verdict),
            Health::KnownDead if job.is_multiple_of(3) => {
                self.silent.push(task);
                return false;
            }
            Health::KnownDead if job % 3 == 1 => task.finish(verdict),
            Health::Dead | Health::KnownDead => {
                self.health = Health::KnownDead;
                task.finish(Verdict::HandBack(HandBack::LaneLost, job));
            }
        }
        true
    }
}

fn own_end(task: &JobTask) -> JobVerdict {
    let job = task.id().index();
    if task.payload().fails {
        Verdict::Failed(job)
    } else {
        Verdict::Succeeded(job)
    }
}
