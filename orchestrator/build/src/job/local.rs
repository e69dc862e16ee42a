//! Jobs that run here: the script in the sandbox, with a jobserver of its own and within limits.

use std::{
    cell::Cell, collections::BTreeSet, ffi::OsStr, io, path::Path, process::Command, time::Duration,
};

use kiln_sandbox::{Attention, Layout, MemoryGauge, Scratch, View};
use kiln_scheduler::{Lane, PhaseChannel, Phases, ProcessSpec, StopReason, Task, run_process};

use super::{
    Abort, JobEnd, JobPayload, JobRunner, LogWriter,
    execute::{Beginning, LaidOut},
    judge::Ran,
    phases::PhaseNames,
};
use crate::{plan::JobSpec, sight::Since};

/// How long a job that is stopped may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);

/// How often a job is run again with more to see, because it has looked for other packages.
const ROUNDS: usize = 4;

/// Why a job is stopped that leaves no room: at once, for it goes on writing until it ends.
pub(super) const DISK_FULL: StopReason = StopReason::Other("disk full");

/// How much of a job's output is kept for the case that it is the sandbox's own complaint.
const HEAD: usize = 512;

impl JobRunner {
    /// Runs a job here, if it is not known by now.
    pub(super) fn attempt(&self, task: &Task<JobPayload, JobEnd>) -> Result<JobEnd, Abort> {
        let begun = match self.begin(task)? {
            Beginning::Known(end) => return Ok(end),
            Beginning::Build(begun) => begun,
        };
        let mut neighbours = BTreeSet::new();
        let mut rounds = 0..ROUNDS;
        let mut attention = Attention::Few;
        loop {
            let mut laid = self.prepare(task, &begun, Lane::Local, &neighbours)?;
            if laid.scratch.may_run_out() {
                attention = Attention::All;
            }
            laid.view.attention = attention;
            let log = laid.scratch.path().join("log.zst");
            let (ran, was_scarce) = self.run_script(task, &task.payload().spec, &laid, &log)?;
            if was_scarce && attention == Attention::Few && ran.exit.stopped.is_none() {
                // Nobody looked at what it was refused.
                attention = Attention::All;
                continue;
            }
            let traced = ran.traced.as_ref().filter(|_| ran.exit.stopped.is_none());
            let known = neighbours.len();
            let has_failed = !ran.exit.status.success();
            let found = traced.map(|traced| traced.neighbours(has_failed));
            neighbours.extend(found.unwrap_or_default());
            if neighbours.len() == known || rounds.next().is_none() {
                return self.conclude(task, &begun, &laid, &log, &ran);
            }
        }
    }

    /// The command that runs a scratch directory's `job.sh` in a sandbox.
    pub(super) fn script_command(
        &self,
        layout: &Layout,
        view: &View,
        scratch: &Scratch,
    ) -> io::Result<Command> {
        let script = layout.run.join("job.sh");
        let arguments = [
            OsStr::new("--norc"),
            OsStr::new("--noprofile"),
            script.as_os_str(),
        ];
        let (isolation, user) = (self.site.isolation, self.site.user);
        let bash = OsStr::new("/bin/bash");
        isolation.command(user, layout, view, scratch, bash, &arguments)
    }

    /// Also gives whether there was little room on its disk at some time.
    fn run_script(
        &self,
        task: &Task<JobPayload, JobEnd>,
        spec: &JobSpec,
        laid: &LaidOut,
        log: &Path,
    ) -> Result<(Ran, bool), Abort> {
        let phases = PhaseChannel::new()?;
        let scratch = &laid.scratch;
        let mut view = laid.view.clone();
        view.set("KILN_PHASE_FD", phases.fd_number().to_string());
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| Abort::Io { path, source }
        };
        let mut command = self
            .script_command(&spec.layout, &view, scratch)
            .map_err(io_error(scratch.path()))?;
        let loan = self.tokens.lend(&mut command)?;
        let onlooker = self.look_on(&mut command, spec, &view, scratch);
        let since = Since::now();

        let mut writer = LogWriter::create(log).map_err(io_error(log))?;
        let header = format!(
            "kiln {} make.log for {} for kernel {} ({})\n",
            env!("CARGO_PKG_VERSION"),
            spec.conf.package,
            spec.kernel.tree.release,
            spec.kernel.tree.arch
        );
        writer.add(header.as_bytes());
        let mut head = Vec::new();
        let begun = Cell::new(false);
        let was_scarce = Cell::new(false);
        let mut memory = MemoryGauge::new(view.allowance.memory);
        let mut names = PhaseNames::default();
        let process = ProcessSpec {
            time_limit: self.site.job_time_limit,
            output_limit: Some(view.allowance.log),
            grace: GRACE,
            watch: Some(Box::new(|process| {
                was_scarce.set(was_scarce.get() || scratch.is_scarce());
                let is_full = was_scarce.get() && scratch.is_full();
                memory
                    .look(process)
                    .or_else(|| is_full.then_some(DISK_FULL))
            })),
            phases: Some(Phases {
                channel: phases,
                on_line: Box::new(|line: &[u8]| {
                    if !begun.replace(true) {
                        return;
                    }
                    if let Some(name) = names.hear(line) {
                        task.phase(name);
                    }
                }),
            }),
            ..ProcessSpec::new(command)
        };
        let exit = run_process(process, task.cancel(), &mut |chunk: &[u8]| {
            let room = HEAD.saturating_sub(head.len());
            head.extend_from_slice(&chunk[..chunk.len().min(room)]);
            writer.add(chunk);
        })?;
        drop(loan);
        writer
            .finish()
            .map_err(|error| self.io_error(error, log, scratch))?;
        let traced = onlooker.map(|onlooker| onlooker.finish(laid.links.clone()));
        let was_scarce = was_scarce.get() || scratch.is_scarce();
        let ran = Ran {
            lane: Lane::Local,
            exit,
            not_begun: (!begun.get()).then_some(head),
            since,
            traced,
        };
        Ok((ran, was_scarce))
    }
}
