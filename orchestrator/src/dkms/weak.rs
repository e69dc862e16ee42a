//! Weak modules: links from other kernels' directories to a module that fits them too, kept
//! by the distribution's own tool on RHEL and SUSE.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use kiln_kernel::package::PackageId;

use super::{
    Session,
    confs::Known,
    install::within,
    target::Target,
    tree::{Selection, State},
};

impl Session {
    /// Tells the distribution's tool of new modules.
    pub(crate) fn add_weak_modules(&mut self, package: &PackageId, target: &Target, facts: &Known) {
        if facts.conf.no_weak_modules || is_off() {
            return;
        }
        let Some((add, _)) = self.distribution.weak_modules() else {
            return;
        };
        self.console.line("Adding linked weak modules...");
        self.tell_weak_modules(add, package, target, facts);
    }

    /// Tells the distribution's tool of modules that go.
    pub(crate) fn remove_weak_modules(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
    ) {
        if facts.conf.no_weak_modules || is_off() {
            return;
        }
        let Some((_, remove)) = self.distribution.weak_modules() else {
            return;
        };
        let used = self
            .tree
            .built(package, &Selection::default())
            .iter()
            .any(|row| row.state == State::Installed);
        if used {
            self.console.line("Removing linked weak modules...");
            self.tell_weak_modules(remove, package, target, facts);
        }
    }

    fn tell_weak_modules(
        &mut self,
        command: &str,
        package: &PackageId,
        target: &Target,
        facts: &Known,
    ) {
        let suffix = self.suffix(target);
        let directory = self.kernel_directory(target);
        let mut list = String::new();
        for index in 0..facts.conf.modules.len() {
            let place = self
                .actual_destination(package, target, facts, index)
                .map(|(place, _)| place)
                .unwrap_or_default();
            let parent = within(&directory, &place);
            let name = &facts.conf.modules[index].dest_name;
            let module = suffix.find(&parent, name, |path| self.is_there(path));
            list.push_str(&module.map(|p| p.display().to_string()).unwrap_or_default());
            list.push('\n');
        }
        let mut words = command.split_whitespace();
        let program = words.next().unwrap_or_default();
        let mut child = Command::new(program);
        child.args(words).stdin(Stdio::piped());
        if self.console.is_quiet() || self.console.is_holding() {
            child.stdout(Stdio::null()).stderr(Stdio::null());
        }
        match child.spawn() {
            Ok(mut child) => {
                if let Some(mut stdin) = child.stdin.take() {
                    let _ = stdin.write_all(list.as_bytes());
                }
                let _ = child.wait();
            }
            Err(error) => self.console.note(format_args!("{program}: {error}")),
        }
    }
}

/// Whether the environment says that there are to be none.
fn is_off() -> bool {
    std::env::var_os("NO_WEAK_MODULES").is_some_and(|value| !value.is_empty())
}
