//! Puts kiln in front of a job's compilers, to answer kbuild's probes. Without it a job only takes longer.

use std::{
    env, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use kiln_kernel::toolbox::LLVM_PROGRAMS;
use kiln_sandbox::{Isolation, Scratch, View};
use kiln_scheduler::{CancelToken, Lane};

use super::JobRunner;
use crate::{
    plan::{Ingredient, JobSpec, PROGRAMS, compilers},
    probes::{COMPILER_NAME, Consulted, SOCKET_NAME, SOCKET_VARIABLE},
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
            Lane::Local => self.show_socket(programs, spec, scratch, view),
            Lane::Remote => self.show_sheet(programs, spec, scratch, cancel, view),
        };
        consulted.unwrap_or(Consulted::Nothing)
    }

    fn show_socket(
        &self,
        toolbox: &Ingredient,
        spec: &JobSpec,
        scratch: &Scratch,
        view: &mut View,
    ) -> io::Result<Consulted> {
        let desk = self.probes.desk(toolbox, compilers(&spec.conf))?;
        self.ask_at(desk.socket(), spec, scratch, view)?;
        Ok(Consulted::Desk(desk))
    }

    /// This program, if a sandbox can show it.
    pub(super) fn kiln(&self) -> Option<PathBuf> {
        let kiln = env::current_exe().ok()?;
        (self.site.user.barrier(&kiln).is_none() && kiln.is_file()).then_some(kiln)
    }

    /// Leads the names of compilers to kiln, which asks at a socket.
    pub(super) fn ask_at(
        &self,
        socket: &Path,
        spec: &JobSpec,
        scratch: &Scratch,
        view: &mut View,
    ) -> io::Result<()> {
        let kiln = self.kiln().ok_or(io::ErrorKind::NotFound)?;
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
        _: &Ingredient,
        _: &JobSpec,
        _: &Scratch,
        _: &CancelToken,
        _: &mut View,
    ) -> io::Result<Consulted> {
        Ok(Consulted::Nothing)
    }
}

/// Gives LLVM's programs their plain names, which kbuild calls them by, where there are only those of
/// the version that the kernel was built with.
pub(super) fn name_llvm_plainly(spec: &JobSpec, scratch: &Scratch) -> io::Result<()> {
    let Some(version) = spec.conf.compiler.llvm_version() else {
        return Ok(());
    };
    let system = &spec.kernel.system;
    for name in LLVM_PROGRAMS {
        let versioned = system.find_program(&format!("{name}-{version}"));
        if let Some(place) = versioned.filter(|_| system.find_program(name).is_none()) {
            symlink(place.inside, scratch.run().join("bin").join(name))?;
        }
    }
    Ok(())
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
