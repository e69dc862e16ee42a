//! Puts kiln in front of a job's compilers, to answer kbuild's probes. Without it a job only takes longer.

use std::{env, fs, io, os::unix::fs::symlink, path::Path};

use kiln_cache::ObjectDigest;
use kiln_scheduler::{CancelToken, Lane};

use super::JobRunner;
use crate::{
    plan::{JobSpec, PROGRAMS, compilers},
    probes::{COMPILER_NAME, Consulted, SOCKET_NAME, SOCKET_VARIABLE},
    sandbox::{Isolation, Scratch, View},
};

impl JobRunner {
    /// Has a job's probes answered: at a socket of its own, or from a sheet that it takes with it.
    pub(super) fn stand_in_for_compilers(
        &self,
        spec: &JobSpec,
        scratch: &Scratch,
        lane: Lane,
        cancel: &CancelToken,
        view: &mut View,
    ) -> Consulted {
        let programs = spec.tools.iter().find(|tool| tool.name == PROGRAMS);
        // kiln itself need not run on the libraries of another system.
        if self.site.isolation != Isolation::Bubblewrap || !spec.kernel.system.is_host() {
            return Consulted::Nothing;
        }
        let Some(programs) = programs else {
            return Consulted::Nothing;
        };
        let consulted = match lane {
            Lane::Local => self.show_socket(programs.digest, spec, scratch, view),
            Lane::Remote => self.show_sheet(programs.digest, spec, scratch, cancel, view),
        };
        consulted.unwrap_or(Consulted::Nothing)
    }

    fn show_socket(
        &self,
        toolbox: ObjectDigest,
        spec: &JobSpec,
        scratch: &Scratch,
        view: &mut View,
    ) -> io::Result<Consulted> {
        let desk = self.probes.desk(toolbox)?;
        self.ask_at(desk.socket(), spec, scratch, view)?;
        Ok(Consulted::Desk(desk))
    }

    /// Leads the names of compilers to kiln, which asks at a socket.
    pub(super) fn ask_at(
        &self,
        socket: &Path,
        spec: &JobSpec,
        scratch: &Scratch,
        view: &mut View,
    ) -> io::Result<()> {
        let kiln = env::current_exe()?;
        if self.site.user.barrier(&kiln).is_some() || !kiln.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let run = &spec.layout.run;
        for (host, name) in [(kiln.as_path(), COMPILER_NAME), (socket, SOCKET_NAME)] {
            // Where it appears something must be.
            fs::write(scratch.run().join(name), [])?;
            view.show_at(host, &run.join(name));
        }
        lead_compilers(spec, scratch, view)
    }

    #[cfg(not(feature = "remote"))]
    fn show_sheet(
        &self,
        _: ObjectDigest,
        _: &JobSpec,
        _: &Scratch,
        _: &CancelToken,
        _: &mut View,
    ) -> io::Result<Consulted> {
        Ok(Consulted::Nothing)
    }
}

/// Makes links from the names of a job's compilers to what stands in for them.
pub(super) fn lead_compilers(spec: &JobSpec, scratch: &Scratch, view: &mut View) -> io::Result<()> {
    let run = &spec.layout.run;
    view.set(SOCKET_VARIABLE, run.join(SOCKET_NAME));
    let system = &spec.kernel.system;
    let names = compilers(&spec.conf).into_iter();
    for name in names.filter(|name| !name.contains('/') && system.find_program(name).is_some()) {
        symlink(
            run.join(COMPILER_NAME),
            scratch.run().join("bin").join(name),
        )?;
    }
    Ok(())
}
