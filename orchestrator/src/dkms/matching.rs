//! `dkms match`: gives a kernel the packages that another one has.

use super::{
    Session,
    console::Died,
    install::Ending,
    target::Target,
    tree::{Selection, State},
};

impl Session {
    /// `dkms match` for one kernel.
    ///
    /// # Errors
    /// Ends with 1, 2, 3 or 21.
    pub(crate) fn match_kernels(&mut self, target: &Target) -> Result<(), Died> {
        let template = self.arguments.template_kernel.clone();
        if template.is_empty() {
            return Err(self.console.die(
                1,
                &[
                    "Invalid number of parameters passed.",
                    "Usage: match --templatekernel=<kernel-version> -k <kernel-version>",
                    "   or: match --templatekernel=<kernel-version> -k <kernel-version> <module>",
                ],
            ));
        }
        if template == target.kernel.as_str() {
            return Err(self.console.die(
                2,
                &["The templatekernel and the specified kernel version are the same."],
            ));
        }
        let selection = Selection {
            kernel: &template,
            arch: target.arch.as_str(),
            ..Selection::default()
        };
        let mut rows = self.tree.rows(&selection);
        for row in rows.iter().filter(|row| row.state == State::Broken) {
            self.say_broken(&row.package);
        }
        rows.retain(|row| row.state == State::Installed);
        let module = self.arguments.module.clone();
        if !module.is_empty() {
            if !self.tree.root.join(&module).is_dir() {
                return Err(self.console.die(
                    3,
                    &[&format!(
                        "The module: {module} is not located in the DKMS tree."
                    )],
                ));
            }
            rows.retain(|row| row.package.name.as_str() == module);
        }
        self.console.line("");
        self.console
            .line(format_args!("Matching modules in kernel: {target}"));
        self.console.line(format_args!(
            "to the configuration of kernel: {template} ({})",
            target.arch
        ));
        if rows.is_empty() {
            self.console.line("");
            self.console
                .line("There is nothing to be done for this match.");
            return Ok(());
        }
        self.prepare_kernel(target)?;
        let wanted: Vec<_> = rows
            .iter()
            .filter(|row| !self.tree.is_built(&row.package, target) || self.force)
            .map(|row| (row.package.clone(), target.clone()))
            .collect();
        if wanted.len() > 1
            && let Some(requests) = self.requests(&wanted)
        {
            self.start_builds(requests, true);
        }
        let mut last = Ok(());
        for row in rows {
            let package = row.package;
            self.lock_package(&package)?;
            self.console.line(format_args!("Module:  {}", package.name));
            self.console
                .line(format_args!("Version: {}", package.version));
            if self.tree.is_broken(&package) {
                self.say_source_is_gone(&package);
                continue;
            }
            let _ = self.subshell(|session| session.maybe_build(Some(&package), target));
            last = self.subshell(|session| {
                let installed = session.maybe_install(Some(&package), target, Ending::Now);
                session.end_transaction();
                installed.map(drop)
            });
        }
        last
    }
}
