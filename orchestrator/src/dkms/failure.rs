//! What is said of a build that failed: dkms's words, and the first real error.

use std::{process::Command, sync::Arc};

use kiln_build::job::FirstError;
use kiln_cache::{ActionRecord, Status as RecordStatus};
use kiln_kernel::package::PackageId;

use super::{
    Session,
    confs::Known,
    console::{Died, Status},
    make_log::Told,
    programs::{is_executable, program},
    steps::Step,
    target::Target,
};
use crate::report::{first_error, hidden_files};

/// Exit statuses of the job script (job/body.sh).
const PATCH_MISSING: i32 = 65;
const PATCH_FAILED: i32 = 66;
const MODULE_MISSING: i32 = 67;
const PRE_BUILD_FAILED: i32 = 68;
const POST_BUILD_FAILED: i32 = 69;
const MAKE_FAILED: i32 = 70;

impl Session {
    /// The end of a build whose commands failed.
    pub(crate) fn build_failed(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Known,
        steps: &[Step],
        record: &Arc<ActionRecord>,
    ) -> Died {
        let RecordStatus::Failure { code, cause } = &record.status else {
            return Died(Status(10));
        };
        let text = self.log_of(record);
        let told = Told::by(text, |line| steps.iter().any(|step| step.title == line));
        let text = self.log_of(record);
        let log = self.keep_failed_log(package, target, text);
        let consult = format!("Consult {} for more information.", log.display());
        let ran = told.begun;
        let last_code = told.code.unwrap_or(1);
        let made_all = *code == MODULE_MISSING || *code > MAKE_FAILED;
        let failed_at = if made_all || *code == PATCH_MISSING {
            None
        } else {
            ran.checked_sub(1)
        };
        let said_first = self.patches_are_there(package, facts);
        for (index, step) in steps.iter().take(ran).enumerate() {
            if index > 0 || !said_first {
                self.announce(&step.command, &step.title);
            }
            let status = if failed_at == Some(index) {
                last_code
            } else {
                0
            };
            self.say_end(&step.command, status);
        }
        let first = telling_error(record);
        let mut lines: Vec<String> = Vec::new();
        let status = match *code {
            PATCH_MISSING => {
                let missing = &facts.conf.patches[ran.min(facts.conf.patches.len() - 1)].path;
                let build = self.tree.build(package);
                lines.push(format!(
                    "Patch {missing} as specified in dkms.conf cannot be"
                ));
                lines.push(format!("found in {}/patches/.", build.display()));
                5
            }
            PATCH_FAILED => {
                let patch = &facts.conf.patches[failed_at.unwrap_or(0)].path;
                lines.push(format!("Application of patch {patch} failed."));
                lines.push(consult);
                6
            }
            MODULE_MISSING => {
                let module = told.missing.as_ref().unwrap_or(cause);
                lines.push(format!("Build of {module} failed for: {target}"));
                lines.push(
                    "Make sure the name and location of the generated module are correct,"
                        .to_owned(),
                );
                lines.push(format!(
                    "or consult {} for more information.",
                    log.display()
                ));
                7
            }
            PRE_BUILD_FAILED | POST_BUILD_FAILED => {
                self.console.line(consult);
                return Died(Status(last_code));
            }
            _ => {
                lines.push(format!(
                    "Bad return status for module build on kernel: {target}"
                ));
                lines.push(consult);
                10
            }
        };
        if let Some(error) = first {
            lines.push(format!("The first error was: {error}"));
            lines.extend(hidden_files(record));
        }
        if *code > MAKE_FAILED {
            lines.push(format!("What was built cannot be used: {cause}"));
        }
        self.report_problem(package, target);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        self.console.die(status, &lines)
    }

    /// The end of a build that could not be made.
    pub(crate) fn build_impossible(
        &mut self,
        package: &PackageId,
        target: &Target,
        steps: &[Step],
        words: &str,
    ) -> Died {
        let text = format!("{words}\n");
        let log = self.keep_failed_log(package, target, text.as_bytes());
        if let Some(step) = steps.first() {
            self.say_end(&step.command, 1);
        }
        self.report_problem(package, target);
        self.console.die(
            10,
            &[
                &format!("Bad return status for module build on kernel: {target}"),
                &format!("Consult {} for more information.", log.display()),
                &format!("The first error was: {words}"),
            ],
        )
    }

    /// Tells apport, where there is one.
    pub(crate) fn report_problem(&mut self, package: &PackageId, target: &Target) {
        let apport = std::path::Path::new("/usr/share/apport/apport");
        if !is_executable(apport) || program("python3").is_none() {
            return;
        }
        let mut command = Command::new("python3");
        command
            .arg("/usr/share/apport/package-hooks/dkms_packages.py")
            .args(["-m", package.name.as_str()])
            .args(["-v", package.version.as_str()])
            .args(["-k", target.kernel.as_str()]);
        super::scripts::run(&mut self.console, command);
    }
}

/// The first error of a failed build, if it says more than that make failed.
fn telling_error(record: &ActionRecord) -> Option<FirstError> {
    let error = first_error(record)?;
    let words = error.message.as_str();
    let tells = error.file.is_some()
        || ["ERROR: modpost", "configure: error: "]
            .iter()
            .any(|start| words.starts_with(start))
        || ["No rule to make", "No such file or directory", "not found"]
            .iter()
            .any(|part| words.contains(part));
    tells.then_some(error)
}
