//! When and where the jobs of a run ran, as the scheduler told it.
//!
//! Times are milliseconds from the start of the run and come from whoever calls. A job that was handed back
//! and started again is here as it ran the last time: a cell has one stretch in one lane.

use std::collections::HashMap;

use kiln_build::plan::CellId;
use kiln_report::{Cell, Lane, Phase, Place, Span};

/// What has been seen of all jobs.
#[derive(Default)]
pub(super) struct Timeline {
    jobs: HashMap<CellId, Job>,
}

struct Job {
    lane: Lane,
    start: u64,
    end: Option<u64>,
    /// Their names and when they began.
    phases: Vec<(String, u64)>,
}

impl Timeline {
    pub(super) fn started(&mut self, cell: CellId, place: kiln_scheduler::Place, now: u64) {
        let job = Job {
            lane: lane(place),
            start: now,
            end: None,
            phases: Vec::new(),
        };
        self.jobs.insert(cell, job);
    }

    pub(super) fn phase(&mut self, cell: CellId, name: &str, now: u64) {
        if let Some(job) = self.jobs.get_mut(&cell) {
            job.phases.push((name.to_owned(), now));
        }
    }

    /// The job does not run any more. What comes later says nothing of when it ran: a job that was handed
    /// back may be given up long after.
    pub(super) fn ended(&mut self, cell: CellId, now: u64) {
        if let Some(job) = self.jobs.get_mut(&cell) {
            job.end.get_or_insert(now);
        }
    }

    /// Tells a cell when and where it ran, if it did; one that still runs does so until now.
    pub(super) fn fill(&self, id: CellId, cell: &mut Cell, now: u64) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let end_ms = job.end.unwrap_or(now);
        cell.span = Some(Span {
            start_ms: job.start,
            end_ms,
        });
        cell.lane = Some(job.lane);
        let starts = job.phases.iter().map(|(_, start)| *start);
        let ends = starts.skip(1).chain([end_ms]);
        cell.phases = job
            .phases
            .iter()
            .zip(ends)
            .map(|((name, start_ms), end_ms)| Phase {
                name: name.clone(),
                span: Span {
                    start_ms: *start_ms,
                    end_ms,
                },
            })
            .collect();
    }
}

fn lane(place: kiln_scheduler::Place) -> Lane {
    Lane {
        place: match place.lane {
            kiln_scheduler::Lane::Local => Place::Local,
            kiln_scheduler::Lane::Remote => Place::Remote,
        },
        slot: place.slot,
    }
}

#[cfg(test)]
mod tests {
    use kiln_report::Outcome;
    use kiln_scheduler::Lane::{Local, Remote};

    use super::*;

    fn place(lane: kiln_scheduler::Lane, slot: u32) -> kiln_scheduler::Place {
        kiln_scheduler::Place { lane, slot }
    }

    fn filled(timeline: &Timeline, id: usize) -> Cell {
        let mut cell = Cell::new("a", "1", "k", "x86_64", Outcome::Built);
        timeline.fill(CellId::new(id), &mut cell, 90);
        cell
    }

    #[test]
    fn jobs_are_where_the_scheduler_put_them() {
        let mut timeline = Timeline::default();
        timeline.started(CellId::new(0), place(Local, 0), 1);
        timeline.started(CellId::new(1), place(Remote, 0), 2);
        timeline.started(CellId::new(2), place(Remote, 7), 3);
        timeline.phase(CellId::new(1), "upload", 4);
        timeline.phase(CellId::new(1), "build", 9);
        timeline.ended(CellId::new(1), 20);
        let lane = |place, slot| Some(Lane { place, slot });
        assert_eq!(filled(&timeline, 0).lane, lane(Place::Local, 0));
        assert_eq!(filled(&timeline, 2).lane, lane(Place::Remote, 7));
        let there = filled(&timeline, 1);
        assert_eq!(there.lane, lane(Place::Remote, 0));
        let spans: Vec<_> = there.phases.iter().map(|phase| phase.span).collect();
        let span = |start_ms, end_ms| Span { start_ms, end_ms };
        assert_eq!(spans, [span(4, 9), span(9, 20)]);
        assert_eq!(there.span, Some(span(2, 20)));
        assert_eq!(
            filled(&timeline, 0).span,
            Some(span(1, 90)),
            "it still runs"
        );
        assert_eq!(filled(&timeline, 3).lane, None);
    }

    #[test]
    fn a_job_that_came_back_is_where_it_ran_last() {
        let mut timeline = Timeline::default();
        for cell in [CellId::new(0), CellId::new(1)] {
            timeline.started(cell, place(Remote, 3), 5);
            timeline.phase(cell, "upload", 6);
            timeline.ended(cell, 10);
        }
        timeline.started(CellId::new(0), place(Local, 1), 30);
        timeline.ended(CellId::new(0), 40);
        let moved = filled(&timeline, 0);
        let span = |start_ms, end_ms| Some(Span { start_ms, end_ms });
        assert_eq!(moved.span, span(30, 40));
        assert_eq!(moved.lane.map(|lane| lane.place), Some(Place::Local));
        assert!(moved.phases.is_empty());

        timeline.ended(CellId::new(1), 80);
        assert_eq!(filled(&timeline, 1).span, span(5, 10), "given up later");
    }
}
