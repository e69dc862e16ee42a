//! What a run tells its caller while it goes on.

use std::borrow::Cow;
use std::time::Duration;

use crate::job::JobId;
use crate::lane::{Lane, Place};
use crate::state::JobState;
use crate::task::HandBack;

/// One piece of news, in the order in which the coordinator learned of it.
///
/// Every job yields exactly one of `Finished`, `Blocked`, `Cancelled` and `Stranded`, each `Started` is followed by one
/// `Finished` or `HandedBack` of the same place, and nothing comes between them for another job of that place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<O> {
    /// The job was handed to an executor.
    Started {
        /// The job.
        job: JobId,
        /// Where it runs now.
        place: Place,
    },
    /// The running job says what it is doing.
    Phase {
        /// The job.
        job: JobId,
        /// In the job's own words.
        name: Cow<'static, str>,
    },
    /// The job ended.
    Finished {
        /// The job.
        job: JobId,
        /// Where it ran.
        place: Place,
        /// `Succeeded`, `Failed` or `Aborted`.
        state: JobState,
        /// What the executor said of it; `None` when the task was dropped or its worker panicked.
        outcome: Option<O>,
        /// From its start to its end, by the clock.
        wall: Duration,
    },
    /// The job does not run any more and has not ended. It starts again, or is `Cancelled` or `Stranded`.
    HandedBack {
        /// The job.
        job: JobId,
        /// Where it was.
        place: Place,
        /// What that means for the lane and the job.
        why: HandBack,
        /// What the executor said of it; `None` when the job was taken back because the whole lane is lost.
        outcome: Option<O>,
        /// From its start to its return, by the clock.
        wall: Duration,
    },
    /// A lane takes nothing any more. Told once a lane.
    LaneLost {
        /// Which one.
        lane: Lane,
    },
    /// The job can never start.
    Blocked {
        /// The job.
        job: JobId,
        /// The job that failed, was aborted or stranded.
        by: JobId,
    },
    /// The job will not start, because no lane is left that may take it.
    Stranded {
        /// The job.
        job: JobId,
    },
    /// The job will not start, because the run ends early.
    Cancelled {
        /// The job.
        job: JobId,
    },
    /// The job is ready but does not fit into memory now. Told once a job, unless it is handed back in between.
    MemoryWait {
        /// The job.
        job: JobId,
    },
    /// The cancellation was seen; running jobs are awaited. Told once a run.
    Cancelling,
    /// About a tenth of a second has passed while something runs; a view may redraw.
    Tick,
}
