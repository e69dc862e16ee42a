//! Tells outcomes of a job from ends that say nothing about its inputs, in either lane.
//!
//! What is known of this machine (its disk, its limits, whether the script began) counts for a job that ran here only.
//! An engine's worker may have been killed or have had a full disk, too: that is no outcome, and not for
//! this file to mend.

use std::{fs, io, path::Path};

use kiln_sandbox::{Disturbance, MemoryGauge, Scratch, Shortage, are_limits_low};
use kiln_scheduler::{Lane, ProcessExit, StopReason};

use super::{Abort, FirstError, JobRunner, doubt::Doubt, first_error, local::DISK_FULL, open_log};
use crate::{
    plan::JobSpec,
    sight::{Since, Traced},
};

/// How a job's script ended.
pub(super) struct Ran {
    /// Where.
    pub(super) lane: Lane,
    /// Its end, as the process itself or the engine says.
    pub(super) exit: ProcessExit,
    /// What was said in the place of the script, if that did not begin; of a job that ran here only.
    pub(super) not_begun: Option<Vec<u8>>,
    /// When it began.
    pub(super) since: Since,
    /// What it looked at of the system; none if nobody looked on.
    pub(super) traced: Option<Traced>,
}

impl Ran {
    /// What it looked for that is there, but that it could not see: paths, a line each, the first few.
    pub(super) fn hidden(&self) -> Option<String> {
        let hidden = self.traced.as_ref()?.hidden();
        let paths = hidden.iter().take(HIDDEN).filter_map(|path| path.to_str());
        let paths: Vec<&str> = paths.collect();
        (!paths.is_empty()).then(|| paths.join("\n"))
    }
}

/// As many paths are told that a job could not see.
const HIDDEN: usize = 3;

/// An end that says something about the inputs.
pub(super) enum Ended {
    Built,
    Failed {
        code: i32,
        error: Option<FirstError>,
        doubt: Option<Doubt>,
    },
}

impl JobRunner {
    /// Tells outcomes from ends that say nothing about the inputs.
    pub(super) fn judge(
        &self,
        spec: &JobSpec,
        ran: &Ran,
        scratch: &Scratch,
        log: &Path,
    ) -> Result<Ended, Abort> {
        let exit = ran.exit;
        let disk_full = || Abort::DiskFull {
            path: scratch.path().to_owned(),
        };
        match exit.stopped {
            None => {}
            Some(StopReason::TimeLimit) => {
                return Err(Abort::TimeLimit {
                    limit: self.site.job_time_limit.unwrap_or_default(),
                });
            }
            Some(StopReason::OutputLimit) => {
                return Err(Abort::OutputLimit {
                    limit: self.site.allowance.log,
                });
            }
            Some(MemoryGauge::EXCEEDED) => return Err(Abort::Shortage(Shortage::AllowedMemory)),
            Some(DISK_FULL) => return Err(disk_full()),
            Some(_) => return Err(Abort::Interrupted),
        }
        if exit.status.success() {
            return Ok(Ended::Built);
        }
        match Disturbance::of(exit.status) {
            Some(Disturbance::Killed(signal)) => return Err(Abort::Killed { signal }),
            Some(Disturbance::Shortage(Shortage::Room)) => return Err(disk_full()),
            Some(Disturbance::Shortage(shortage)) => return Err(Abort::Shortage(shortage)),
            None => {}
        }
        // Whoever has no code was killed.
        let code = exit.status.code().unwrap_or_default();
        if let Some(said) = &ran.not_begun {
            return Err(Abort::Sandbox {
                message: String::from_utf8_lossy(said).trim().to_owned(),
            });
        }
        let build = spec.layout.package(&spec.conf.package).join("build");
        let io_error = |source: io::Error| Abort::Io {
            path: log.to_owned(),
            source,
        };
        let text = fs::File::open(log).and_then(open_log).map_err(io_error)?;
        let (error, causes) = first_error(text, &build).map_err(io_error)?;
        // How full a worker's disk is nobody can tell from here.
        let may_be_full = ran.lane == Lane::Remote || scratch.is_scarce();
        if causes.disk_full && may_be_full {
            return Err(disk_full());
        }
        if causes.killed {
            return Err(Abort::Killed { signal: 9 });
        }
        let has_low_limits = ran.lane == Lane::Local && are_limits_low();
        let doubt = causes.doubt.or(has_low_limits.then_some(Doubt::Limits));
        Ok(Ended::Failed { code, error, doubt })
    }
}
