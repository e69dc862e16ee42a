//! Puts kiln in the place of a job's make, so that no make brings jobs of its own: docs/sandbox.md.

use std::{ffi::OsString, fs, io, path::Path};

use kiln_sandbox::{Isolation, MakeSettings, Scratch, View, make_script, write_program};
use kiln_scheduler::{Lane, TokenPool};

use super::JobRunner;
use crate::plan::JobSpec;

/// Where a job finds make if nothing stands in its place.
const USUAL_MAKE: &str = "/usr/bin/make";

impl JobRunner {
    /// Has every make of a job take the jobs of the run.
    pub(super) fn stand_in_for_make(
        &self,
        spec: &JobSpec,
        scratch: &Scratch,
        lane: Lane,
        view: &mut View,
    ) -> io::Result<()> {
        let layout = &spec.layout;
        let settings = MakeSettings {
            jobserver: match lane {
                Lane::Local => jobserver(),
                // A worker has one processor for each action, as far as anyone knows.
                Lane::Remote => OsString::new(),
            },
            kernel_dir: layout.kernel_source_dir(&spec.kernel.tree.release).into(),
        };
        let run = scratch.run();
        let covered = lane == Lane::Local && self.site.isolation == Isolation::Bubblewrap;
        let system = &spec.kernel.system;
        let Some(make) = system.find_program("make").filter(|_| covered) else {
            let script = make_script(Path::new(USUAL_MAKE), &settings);
            return write_program(&run.join("bin/make"), &script);
        };
        let real = layout.run.join("make");
        // Where it appears something must be.
        fs::write(run.join("make"), [])?;
        view.show_at(&make.host, &real);
        // kiln itself need not run on the libraries of another system.
        match self.kiln().filter(|_| system.is_host()) {
            Some(kiln) => {
                fs::write(run.join("make.settings"), settings.to_bytes())?;
                view.show_at(&kiln, &make.inside);
            }
            None => {
                let script = run.join("make.sh");
                write_program(&script, &make_script(&real, &settings))?;
                view.show_at(&script, &make.inside);
            }
        }
        Ok(())
    }
}

/// The options by which a make takes part in this run's jobs.
fn jobserver() -> OsString {
    let flags = TokenPool::make_env().into_iter();
    let mut flags = flags.filter(|(name, _)| name == "MAKEFLAGS");
    flags.next().map(|(_, flags)| flags).unwrap_or_default()
}
