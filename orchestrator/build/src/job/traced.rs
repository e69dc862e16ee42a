//! What a job looks at: its command is traced where there are namespaces to tell its files from others.

use std::process::Command;

use kiln_sandbox::{Isolation, Scratch, View};
use kiln_scheduler::Lane;

use super::{Abort, JobRunner, judge::Ran, record::subject};
use crate::{
    keys::Keys,
    plan::JobSpec,
    sight::{Extent, FoundKey, Onlooker, Reach, Void, found_key},
};

impl JobRunner {
    /// Has a job's command traced.
    pub(super) fn look_on(
        &self,
        command: &mut Command,
        spec: &JobSpec,
        view: &View,
        scratch: &Scratch,
    ) -> Option<Onlooker> {
        if self.site.isolation != Isolation::Bubblewrap {
            return None;
        }
        let extent = Extent::new(&spec.layout, view, scratch);
        Onlooker::on(command, extent.audited(self.site.audit.is_on()))
    }

    /// The key that a job's outcome belongs under.
    pub(super) fn found_key(
        &self,
        keys: &Keys,
        spec: &JobSpec,
        ran: &Ran,
    ) -> Result<FoundKey, Abort> {
        // What a worker has nobody knows here, but that it is to be the same.
        if ran.lane == Lane::Remote {
            let key = keys.remote().clone();
            let untraced = Some("it ran on an engine's worker".to_owned());
            return Ok(FoundKey {
                key,
                untraced,
                reach: Reach::System,
            });
        }
        let files = &self.site.system_files;
        let place = (&spec.layout, &spec.kernel.system);
        let found = found_key(keys, ran.since, ran.traced.as_ref(), place, files);
        if let Ok(found) = &found {
            let subject = subject(spec);
            let subject = format!("{} for {}", subject.name, spec.kernel.tree.release);
            (self.site.audit).judge(&subject, ran.traced.as_ref(), found);
        }
        found.map_err(|void| match void {
            Void::InputChanged { path } => Abort::InputChanged { path },
            Void::Scan(error) => {
                let (path, source) = Void::io(error);
                Abort::Io { path, source }
            }
        })
    }
}
