//! The answers that a job takes to an engine: to what kbuild asks the compilers for the job's kernel, which is
//! found out by letting it build nothing.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use kiln_kernel::package::PackageId;
use kiln_sandbox::{Scratch, View, package_dir, write_uname};
use kiln_scheduler::{CancelToken, ProcessSpec, run_process};

use super::{
    JobRunner,
    compilers::lead_compilers,
    script::script,
    stage::{make_owned, set_build_variables},
};
use crate::{
    conf::Conf,
    keys::probe_topic,
    plan::{Ingredient, JobSpec, compilers},
    probes::{COMPILER_NAME, Consulted, SOCKET_NAME, stand_in},
};

/// kbuild does it in half a second.
const PATIENCE: Duration = Duration::from_secs(30);

impl JobRunner {
    /// Gives a job answers to take with it, and leads the names of compilers to what reads them.
    pub(super) fn show_sheet(
        &self,
        toolbox: &Ingredient,
        spec: &JobSpec,
        scratch: &Scratch,
        cancel: &CancelToken,
        view: &mut View,
    ) -> io::Result<Consulted> {
        let topic = probe_topic(toolbox.digest, spec);
        let survey = |socket: &Path| self.survey(spec, socket, cancel).unwrap_or(false);
        let Some(sheet) = self
            .probes
            .sheet(toolbox, compilers(&spec.conf), topic, survey)
        else {
            return Ok(Consulted::Nothing);
        };
        let script = scratch.run().join(COMPILER_NAME);
        fs::write(&script, stand_in())?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        view.show_at(&sheet.directory, &spec.layout.run.join(SOCKET_NAME));
        lead_compilers(spec, scratch, view)?;
        Ok(Consulted::Sheet(sheet))
    }

    /// Lets kbuild build nothing for a job's kernel, with the job's compiler, asking at `socket`.
    /// Says whether it came to its end.
    fn survey(&self, spec: &JobSpec, socket: &Path, cancel: &CancelToken) -> io::Result<bool> {
        let (site, layout, kernel) = (&self.site, &spec.layout, &spec.kernel.tree);
        let scratch = site
            .scratch(&format!("survey-{}", spec.scratch_name()))
            .map_err(io::Error::other)?;
        let package = PackageId::new("kiln-survey", "0").map_err(io::Error::other)?;
        let build = layout.package(&package).join("build");
        let conf = Conf {
            modules: Vec::new(),
            make: format!(
                "make -C {} M={} modules",
                layout.kernel_source_dir(&kernel.release).display(),
                build.display()
            ),
            patches: Vec::new(),
            pre_build: None,
            post_build: None,
            environment: Vec::new(),
            package: package.clone(),
            ..Conf::clone(&spec.conf)
        };
        let source = package_dir(&scratch.dkms_tree(), &package).join("build");
        make_owned(&scratch.dkms_tree(), &source, site.user)?;
        fs::write(source.join("Kbuild"), "obj-m :=\n")?;
        let mut view = View::new(layout, build, site.allowance);
        view.show_kernel(layout, kernel, &spec.kernel.mounts());
        write_uname(&scratch.run().join("bin"), &kernel.release, &kernel.arch)?;
        self.ask_at(socket, spec, &scratch, &mut view)?;
        set_build_variables(&mut view);
        fs::write(scratch.run().join("job.sh"), script(&conf, kernel, layout))?;
        let process = ProcessSpec {
            time_limit: Some(PATIENCE),
            ..ProcessSpec::new(self.script_command(layout, &view, &scratch)?)
        };
        let exit = run_process(process, cancel, &mut |_| ()).map_err(io::Error::other)?;
        Ok(exit.status.success())
    }
}
