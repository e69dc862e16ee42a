//! The steps of a build as dkms announces them, each with the command that it stands for, and
//! how such an announcement begins and ends.

use std::path::Path;

use kiln_build::job::parallel_make;
use kiln_kernel::package::PackageId;

use super::{Session, conf_reader::Facts, scripts::Script, target::Target};

/// One step.
pub(crate) struct Step {
    /// What is announced, and stands in make.log.
    pub(crate) title: String,
    /// The command.
    pub(crate) command: String,
}

/// The steps of a build, in order. Complains about scripts that cannot be run.
pub(crate) fn steps(
    session: &mut Session,
    package: &PackageId,
    target: &Target,
    facts: &Facts,
) -> Vec<Step> {
    let conf = &facts.conf;
    let mut steps: Vec<Step> = conf
        .patches
        .iter()
        .map(|patch| Step {
            title: format!("Applying patch {}", patch.path),
            command: format!("patch -p1 < ./patches/{}", patch.path),
        })
        .collect();
    steps.extend(hook(
        session,
        package,
        "pre_build",
        conf.pre_build.as_deref(),
    ));
    steps.push(Step {
        title: "Building module(s)".to_owned(),
        command: parallel_make(&conf.make, &session.jobs, &target.kernel),
    });
    steps.extend(hook(
        session,
        package,
        "post_build",
        conf.post_build.as_deref(),
    ));
    steps
}

fn hook(
    session: &mut Session,
    package: &PackageId,
    name: &str,
    said: Option<&str>,
) -> Option<Step> {
    let said = said?;
    // The build's own copy does not exist before or after the build; its source does.
    if !Script::find(package, session.tree.source(package), said).is_executable() {
        session.say_not_executable(name);
        return None;
    }
    let script = Script::find(package, session.tree.build(package), said);
    Some(Step {
        title: format!("Running the {name} script"),
        command: format!("cd {}/ && {}", script.directory.display(), script.command),
    })
}

impl Session {
    /// Whether the first patch exists, which is looked at before it is announced.
    pub(crate) fn patches_are_there(&self, package: &PackageId, facts: &Facts) -> bool {
        facts.conf.patches.first().is_none_or(|patch| {
            let own = format!("/etc/dkms/{}/patches/{}", package.name, patch.path);
            self.tree
                .source(package)
                .join("patches")
                .join(&patch.path)
                .exists()
                || Path::new(&own).exists()
        })
    }

    /// Says that steps went well, the first of which may have been announced.
    pub(crate) fn say_steps(&mut self, steps: &[Step], announced: bool) {
        for (index, step) in steps.iter().enumerate() {
            if index > 0 || !announced {
                self.announce(&step.command, &step.title);
            }
            self.say_end(&step.command, 0);
        }
    }

    /// `Title...`, or the command itself if the user wants to see it.
    pub(crate) fn announce(&mut self, command: &str, title: &str) {
        if self.is_verbose() {
            self.console.line(command);
        } else {
            self.console.part(format_args!("{title}..."));
        }
    }

    /// The end of a line that [`Session::announce`] began.
    pub(crate) fn say_end(&mut self, command: &str, status: i32) {
        if status == 0 {
            self.console.line(" done.");
            return;
        }
        self.console
            .part(format_args!("(bad exit status: {status})"));
        if !self.is_verbose() {
            self.console
                .line(format_args!("\nFailed command:\n{command}"));
        }
    }
}
