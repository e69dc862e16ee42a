//! Chooses the next job to start on this machine: the most urgent one that memory allows.
//!
//! Invariants: a job that does not fit may be overtaken by smaller ones, but only [`MAX_OVERTAKES`] times, after which
//! nothing else starts before it; and when nothing runs the most urgent job starts whatever it needs. So every ready
//! job starts in the end. Reasons and figures: docs/scheduling.md.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::graph::Graph;
use crate::job::JobId;
use crate::lane::Lane;
use crate::memory::MemoryGuard;
use crate::ready::{ReadyQueue, Urgency};

/// How long after its start a job's memory is assumed not to show in the gauge yet.
const SETTLING: Duration = Duration::from_secs(4);
/// How old a reading of the gauge may be.
const FRESH: Duration = Duration::from_millis(20);
/// How many jobs may start before one that was found too large and was more urgent.
const MAX_OVERTAKES: u32 = 32;
/// How many jobs that do not fit are looked past in search of one that does.
const MAX_PARKED: usize = 64;

/// The memory side of the decision which job starts next.
#[derive(Debug)]
pub(crate) struct Admission {
    guard: Option<MemoryGuard>,
    reading: Option<Reading>,
    settling: VecDeque<Settling>,
    parked: Vec<Parked>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    spendable: Option<u64>,
}

#[derive(Debug)]
struct Settling {
    job: JobId,
    since: Instant,
    memory: u64,
}

/// A job that was the most urgent one and did not fit.
#[derive(Debug)]
struct Parked {
    job: JobId,
    overtaken: u32,
}

/// What the local lane looks like at the moment of choosing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) running: usize,
}

impl Admission {
    pub(crate) fn new(guard: Option<MemoryGuard>) -> Self {
        Self {
            guard,
            reading: None,
            settling: VecDeque::new(),
            parked: Vec::new(),
        }
    }

    /// Tells whether some job was taken from the queue and put aside.
    pub(crate) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Takes the next job to start from those put aside and the queue. `None` when nothing fits now; `on_park` hears
    /// of each job that is put aside for the first time.
    pub(crate) fn choose<P>(
        &mut self,
        graph: &Graph<P>,
        ready: &mut ReadyQueue,
        moment: Moment,
        on_park: &mut dyn FnMut(JobId),
    ) -> Option<JobId> {
        if self.guard.is_none() {
            return ready.pop(Lane::Local);
        }
        if let Some(starved) = self
            .parked
            .iter()
            .position(|parked| parked.overtaken >= MAX_OVERTAKES)
        {
            let job = self.parked[starved].job;
            return self.fits(graph, job, moment).then(|| self.unpark(starved));
        }
        for index in 0..self.parked.len() {
            if self.fits(graph, self.parked[index].job, moment) {
                return Some(self.unpark(index));
            }
        }
        while self.parked.len() < MAX_PARKED {
            let job = ready.pop(Lane::Local)?;
            if self.fits(graph, job, moment) {
                self.overtake(self.parked.len());
                return Some(job);
            }
            on_park(job);
            self.parked.push(Parked { job, overtaken: 0 });
        }
        None
    }

    /// Lets a job that was put aside start in the other lane: the most urgent one that may, if it is more urgent than what
    /// that lane would start otherwise.
    pub(crate) fn release<P>(
        &mut self,
        graph: &Graph<P>,
        otherwise: Option<Urgency>,
        may: impl Fn(JobId) -> bool,
    ) -> Option<JobId> {
        let urgency = |index: &usize| Urgency::of(graph, self.parked[*index].job);
        let index = (0..self.parked.len())
            .filter(|&index| may(self.parked[index].job))
            .max_by_key(urgency)?;
        (Some(urgency(&index)) > otherwise).then(|| self.parked.remove(index).job)
    }

    /// Counts a started job's estimate against the memory until the gauge can be trusted to show it.
    pub(crate) fn started<P>(&mut self, graph: &Graph<P>, job: JobId, now: Instant) {
        let memory = graph.estimate(job).memory;
        if self.guard.is_some() && memory > 0 {
            self.settling.push_back(Settling {
                job,
                since: now,
                memory,
            });
        }
    }

    /// Stops counting a job that has ended.
    pub(crate) fn ended(&mut self, job: JobId) {
        if let Some(index) = self
            .settling
            .iter()
            .position(|settling| settling.job == job)
        {
            self.settling.remove(index);
            // What it held is free again, which the last reading does not show.
            self.reading = None;
        }
    }

    /// Gives up the jobs put aside; they are not going to start here.
    pub(crate) fn close(&mut self) -> Vec<JobId> {
        self.parked.drain(..).map(|parked| parked.job).collect()
    }

    fn unpark(&mut self, index: usize) -> JobId {
        self.overtake(index);
        self.parked.remove(index).job
    }

    /// Notes that a job starts before the first `passed` of those put aside.
    fn overtake(&mut self, passed: usize) {
        for parked in &mut self.parked[..passed] {
            parked.overtaken += 1;
        }
    }

    fn fits<P>(&mut self, graph: &Graph<P>, job: JobId, moment: Moment) -> bool {
        let needed = graph.estimate(job).memory;
        if needed == 0 || moment.running == 0 {
            return true;
        }
        let Some(spendable) = self.spendable(moment.now) else {
            return true;
        };
        while self
            .settling
            .front()
            .is_some_and(|first| moment.now.duration_since(first.since) >= SETTLING)
        {
            self.settling.pop_front();
        }
        let promised = self
            .settling
            .iter()
            .fold(0u64, |sum, settling| sum.saturating_add(settling.memory));
        spendable.saturating_sub(promised) >= needed
    }

    fn spendable(&mut self, now: Instant) -> Option<u64> {
        let guard = self.guard.as_ref()?;
        let reading = self
            .reading
            .filter(|reading| now.duration_since(reading.at) < FRESH);
        let reading = reading.unwrap_or_else(|| Reading {
            at: now,
            spendable: guard.spendable(),
        });
        self.reading = Some(reading);
        reading.spendable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::GraphBuilder;
    use crate::job::Estimate;

    struct Bench {
        graph: Graph<()>,
        ready: ReadyQueue,
        admission: Admission,
        parked: Vec<JobId>,
        now: Instant,
    }

    impl Bench {
        fn of(available: u64, needs: &[u64]) -> Self {
            let mut builder = GraphBuilder::new();
            for &memory in needs {
                builder.add(
                    (),
                    Estimate {
                        duration: Duration::ZERO,
                        memory,
                    },
                );
            }
            let graph = builder.build().unwrap();
            let ready = ReadyQueue::of(&graph, graph.jobs());
            let admission = Admission::new(Some(MemoryGuard::new(0, move || Some(available))));
            Self {
                graph,
                ready,
                admission,
                parked: Vec::new(),
                now: Instant::now(),
            }
        }

        fn choose(&mut self, running: usize) -> Option<usize> {
            let moment = Moment {
                now: self.now,
                running,
            };
            let parked = &mut self.parked;
            let job = self
                .admission
                .choose(&self.graph, &mut self.ready, moment, &mut |job| {
                    parked.push(job)
                })?;
            self.admission.started(&self.graph, job, self.now);
            Some(job.index())
        }
    }

    #[test]
    fn started_jobs_count_until_they_settle_or_end() {
        let mut bench = Bench::of(100, &[60, 60, 60]);
        assert_eq!(bench.choose(0), Some(0));
        assert_eq!(bench.choose(1), None);
        bench.now += SETTLING;
        assert_eq!(bench.choose(1), Some(1));
        assert_eq!(bench.choose(2), None);
        bench.admission.ended(JobId::at(1));
        assert_eq!(bench.choose(1), Some(2));
    }

    #[test]
    fn a_smaller_job_goes_first_and_the_wait_is_told_once() {
        let mut bench = Bench::of(100, &[500, 50, 10]);
        assert_eq!(bench.choose(1), Some(1));
        assert_eq!(bench.choose(2), Some(2));
        assert_eq!(bench.choose(2), None);
        assert_eq!(bench.parked, [JobId::at(0)]);
        assert_eq!(
            bench.choose(0),
            Some(0),
            "alone, it starts whatever it needs"
        );
    }

    #[test]
    fn a_large_job_is_not_overtaken_for_ever() {
        let needs: Vec<u64> = std::iter::once(500)
            .chain(std::iter::repeat_n(0, 100))
            .collect();
        let mut bench = Bench::of(100, &needs);
        let overtakers = std::iter::from_fn(|| bench.choose(1)).count();
        assert_eq!(overtakers, MAX_OVERTAKES as usize);
        assert_eq!(bench.choose(0), Some(0));
        assert_eq!(bench.choose(1), Some(MAX_OVERTAKES as usize + 1));
    }

    #[test]
    fn only_so_many_jobs_are_looked_past() {
        let needs: Vec<u64> = std::iter::repeat_n(500, MAX_PARKED).chain([1]).collect();
        let mut bench = Bench::of(100, &needs);
        assert_eq!(bench.choose(1), None);
        assert_eq!(bench.parked.len(), MAX_PARKED);
    }

    #[test]
    fn a_job_put_aside_may_go_elsewhere_when_it_is_the_most_urgent() {
        let mut bench = Bench::of(100, &[500, 500, 500, 1]);
        assert_eq!(bench.choose(1), Some(3));
        let others = |job: JobId| job.index() > 0;
        let [first, second, third] = [0, 1, 2].map(JobId::at);
        let (graph, admission) = (&bench.graph, &mut bench.admission);
        let than = |job| Some(Urgency::of(graph, job));
        assert_eq!(admission.release(graph, than(first), others), None);
        assert_eq!(admission.release(graph, than(third), others), Some(second));
        assert_eq!(admission.release(graph, None, others), Some(third));
        assert_eq!(admission.release(graph, None, others), None);
        assert_eq!(admission.close(), [first]);
    }
}
