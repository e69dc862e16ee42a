//! Watches the events of a run and the report at its end, and says what breaks a promise of docs/scheduling.md.

use std::collections::HashMap;

use kiln_scheduler::{Event, Graph, JobId, JobState, Lane, Place, RunReport};

/// What the events so far have said.
pub(crate) struct Audit<'g, P> {
    graph: &'g Graph<P>,
    /// Slots of the local and of the remote lane.
    slots: [usize; 2],
    lost: [bool; 2],
    running: HashMap<Place, JobId>,
    ends: Vec<Option<JobState>>,
    starts: usize,
    handed_back: usize,
    /// The first promise that was broken.
    broken: Option<String>,
}

impl<'g, P> Audit<'g, P> {
    pub(crate) fn new(graph: &'g Graph<P>, slots: [usize; 2]) -> Self {
        Self {
            graph,
            slots,
            lost: [false; 2],
            running: HashMap::new(),
            ends: vec![None; graph.len()],
            starts: 0,
            handed_back: 0,
            broken: None,
        }
    }

    /// Takes in the next event.
    pub(crate) fn hear<O>(&mut self, event: &Event<O>) {
        match *event {
            Event::Started { job, place } => self.start(job, place),
            Event::Phase { job, .. } => {
                let runs = self.running.values().any(|&running| running == job);
                self.demand(runs, job, "tells a phase and does not run");
            }
            Event::Finished {
                job, place, state, ..
            } => {
                self.leave(job, place);
                self.end(job, state);
            }
            Event::HandedBack { job, place, .. } => {
                self.handed_back += 1;
                self.leave(job, place);
            }
            Event::LaneLost { lane } => {
                let before = std::mem::replace(&mut self.lost[index(lane)], true);
                self.demand(!before, self.first(), "sees a lane lost twice");
            }
            Event::Blocked { job, by } => self.end(job, JobState::Blocked { by }),
            Event::Stranded { job } => self.end(job, JobState::Stranded),
            Event::Cancelled { job } => self.end(job, JobState::Cancelled),
            _ => {}
        }
    }

    /// Returns how many attempts were started, and how many came back.
    pub(crate) fn attempts(&self) -> (usize, usize) {
        (self.starts, self.handed_back)
    }

    /// Compares all that was heard with the report.
    pub(crate) fn close(mut self, report: &RunReport) -> Result<(), String> {
        if let Some((&place, &job)) = self.running.iter().next() {
            self.demand(false, job, &format!("still runs in {place:?}"));
        }
        for job in self.graph.jobs() {
            let (said, state) = (self.ends[job.index()], report.state(job));
            self.demand(
                said == Some(state),
                job,
                &format!("ended as {state:?} and was told of as {said:?}"),
            );
            if let JobState::Blocked { by } = state {
                let chain = self
                    .graph
                    .dependencies(job)
                    .iter()
                    .any(|&on| on == by || report.state(on) == JobState::Blocked { by });
                let cause = matches!(
                    report.state(by),
                    JobState::Failed | JobState::Aborted | JobState::Stranded
                );
                self.demand(chain && cause, job, "is blocked for no good reason");
            }
        }
        self.broken.map_or(Ok(()), Err)
    }

    fn start(&mut self, job: JobId, place: Place) {
        self.starts += 1;
        let lane = index(place.lane);
        self.demand(!self.lost[lane], job, "starts in a lost lane");
        self.demand(
            (place.slot as usize) < self.slots[lane],
            job,
            "has no such slot",
        );
        self.demand(
            self.graph.placement(job).allows(place.lane),
            job,
            "is in the wrong lane",
        );
        self.demand(
            self.ends[job.index()].is_none(),
            job,
            "starts after its end",
        );
        let succeeded = |on: &JobId| self.ends[on.index()] == Some(JobState::Succeeded);
        let met = self.graph.dependencies(job).iter().all(succeeded);
        self.demand(met, job, "starts before its dependencies");
        let before = self.running.insert(place, job);
        self.demand(before.is_none(), job, "takes a taken slot");
    }

    fn leave(&mut self, job: JobId, place: Place) {
        let was = self.running.remove(&place);
        self.demand(was == Some(job), job, "leaves where it was not");
    }

    fn end(&mut self, job: JobId, state: JobState) {
        let before = self.ends[job.index()].replace(state);
        self.demand(
            before.is_none() && state.is_final(),
            job,
            "ends more than once",
        );
    }

    fn demand(&mut self, holds: bool, job: JobId, what: &str) {
        if !holds && self.broken.is_none() {
            self.broken = Some(format!("job {job} {what}"));
        }
    }

    /// A job to name when no job in particular is at fault.
    fn first(&self) -> JobId {
        self.graph
            .jobs()
            .next()
            .expect("a run with events has jobs")
    }
}

fn index(lane: Lane) -> usize {
    match lane {
        Lane::Local => 0,
        Lane::Remote => 1,
    }
}
