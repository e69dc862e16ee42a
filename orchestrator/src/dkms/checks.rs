//! What an action insists on before it does anything, with dkms's words where it is not so.

use std::path::Path;

use kiln_kernel::package::PackageId;

use super::{
    Session,
    arguments::Action,
    console::{Died, Status},
    target::Target,
};

impl Session {
    /// The package that the command names.
    ///
    /// # Errors
    /// Ends if either of name and version is missing or is no name.
    pub(crate) fn package(&mut self, action: &str) -> Result<PackageId, Died> {
        let (module, version) = (&self.arguments.module, &self.arguments.module_version);
        if module.is_empty() || version.is_empty() {
            return Err(self.console.die(
                1,
                &[
                    "Arguments <module> and <module-version> are not specified.",
                    &format!("Usage: {action} <module>/<module-version> or"),
                    &format!("       {action} -m <module>/<module-version> or"),
                    &format!("       {action} -m <module> -v <module-version>"),
                ],
            ));
        }
        let named = PackageId::new(module, version);
        named.map_err(|error| {
            if action == "add" {
                let directory = format!("{}/{module}-{version}", self.tree.sources.display());
                if Path::new(&directory).exists() {
                    return self.console.die(2, &[&format!("{error}.")]);
                }
                let words = format!("Directory: {directory} does not exist.");
                return self
                    .console
                    .die(2, &["Could not find module source directory.", &words]);
            }
            // What cannot be a directory's name is not there.
            let words = format!(
                "The module/version combo: {module}/{version} is not located in the DKMS tree."
            );
            self.console.die(3, &[&words])
        })
    }

    /// Refuses `--all`.
    ///
    /// # Errors
    /// Ends where it was said.
    pub(crate) fn no_all(&mut self, action: &str) -> Result<(), Died> {
        if self.arguments.all {
            return Err(self.console.die(
                5,
                &[&format!(
                    "The action {action} does not support the --all parameter."
                )],
            ));
        }
        Ok(())
    }

    /// The one kernel of an action that takes only one.
    ///
    /// # Errors
    /// Ends where there are several.
    pub(crate) fn one_target(&mut self, action: &str) -> Result<Target, Died> {
        self.no_all(action)?;
        match self.targets.as_slice() {
            [target] => Ok(target.clone()),
            _ => Err(self.console.die(
                4,
                &[&format!(
                    "The action {action} does not support multiple kernel version parameters on the command line."
                )],
            )),
        }
    }

    /// Refuses a kernel's hook without exactly one kernel.
    ///
    /// # Errors
    /// Ends unless one was said.
    pub(crate) fn one_kernel_said(&mut self) -> Result<(), Died> {
        let action = self.arguments.action.map_or("", Action::name);
        self.no_all(action)?;
        if self.arguments.kernels.len() != 1 {
            return Err(self.console.die(
                4,
                &[&format!(
                    "The action {action} requires exactly one kernel version parameter on the command line."
                )],
            ));
        }
        Ok(())
    }

    /// Refuses ordinary users.
    ///
    /// # Errors
    /// Ends unless the user is root.
    pub(crate) fn must_be_root(&mut self) -> Result<(), Died> {
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        Err(self
            .console
            .die(1, &["You must be root to use this command."]))
    }

    /// Refuses a tree that cannot be written to.
    ///
    /// # Errors
    /// Ends if it cannot.
    pub(crate) fn tree_must_be_writable(&mut self) -> Result<(), Died> {
        if rustix::fs::access(&self.tree.root, rustix::fs::Access::WRITE_OK).is_ok() {
            return Ok(());
        }
        let root = self.tree.root.display();
        Err(self
            .console
            .die(1, &[&format!("No write access to DKMS tree at {root}")]))
    }

    /// Refuses a package whose source is gone.
    ///
    /// # Errors
    /// Ends if it is.
    pub(crate) fn not_broken(&mut self) -> Result<(), Died> {
        let (module, version) = (&self.arguments.module, &self.arguments.module_version);
        let Ok(package) = PackageId::new(module, version) else {
            return Ok(());
        };
        if !self.tree.is_broken(&package) {
            return Ok(());
        }
        self.say_source_is_gone(&package);
        Err(Died(Status(4)))
    }

    /// Says of a package that is broken why nothing is done with it.
    pub(crate) fn say_source_is_gone(&mut self, package: &PackageId) {
        self.console.error(&[
            &format!("{package} is broken!"),
            "Missing the source directory or the symbolic link pointing to it.",
            "Manual intervention is required!",
        ]);
    }

    /// Refuses a package that is not registered.
    ///
    /// # Errors
    /// Ends if it is not.
    pub(crate) fn must_be_added(&mut self, package: &PackageId) -> Result<(), Died> {
        if self.tree.is_added(package) {
            return Ok(());
        }
        Err(self.console.die(
            3,
            &[&format!(
                "The module/version combo: {package} is not located in the DKMS tree."
            )],
        ))
    }
}
