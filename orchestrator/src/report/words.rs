//! Short texts that several reports use: results, durations, sizes, reasons, hints.

use std::{path::Path, time::Duration};

use kiln_build::{
    conf::{ConfError, Exclusion},
    job::{Abort, FIRST_ERROR_NOTE, FirstError, HIDDEN_NOTE},
    outcome::CellResult,
    plan::{CellFault, Change, Difference, Lack, MissReason, Need, Plan},
    shared::SharedNotice,
};
use kiln_cache::{ActionRecord, ChangeKind, Damage, DamagedItem};
use kiln_sandbox::{Isolation, IsolationError, Protection};

/// The single word for a result.
pub(super) fn word(result: &CellResult) -> &'static str {
    match result {
        CellResult::NotAsked => "",
        CellResult::Hit(_) => "hit",
        CellResult::Built(_) => "built",
        CellResult::Failed(_) | CellResult::KnownFailure(_) | CellResult::Fault(_) => "failed",
        CellResult::Excluded(_) | CellResult::LeftOut(_) => "excluded",
        CellResult::Blocked { .. } => "blocked",
        CellResult::Aborted(Abort::Interrupted) | CellResult::Cancelled | CellResult::Pending => {
            "not run"
        }
        CellResult::Aborted(_) => "aborted",
    }
}

/// A duration for people.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = time.as_secs();
        if whole < 3600 {
            format!("{}:{:02} min", whole / 60, whole % 60)
        } else {
            format!("{}:{:02} h", whole / 3600, whole / 60 % 60)
        }
    }
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// The first error of a failed job.
pub(crate) fn first_error(record: &ActionRecord) -> Option<FirstError> {
    serde_json::from_str(record.note.get(FIRST_ERROR_NOTE)?).ok()
}

/// What a failed job could not see, though it is there.
pub(crate) fn hidden_files(record: &ActionRecord) -> Vec<String> {
    let paths = record.note.get(HIDDEN_NOTE).into_iter();
    let paths = paths.flat_map(|paths| paths.lines());
    paths
        .map(|path| format!("it looked for {path}, which is there, but which builds do not see"))
        .collect()
}

/// Why a cell has no results, in one line.
pub(crate) fn result_cause(plan: &Plan, result: &CellResult) -> String {
    cause(plan, result).unwrap_or_else(|| word(result).to_owned())
}

/// Why a cell has no results, in one line.
pub(crate) fn cause(plan: &Plan, result: &CellResult) -> Option<String> {
    Some(match result {
        CellResult::Failed(record) | CellResult::KnownFailure(record) => {
            match first_error(record) {
                Some(error) => error.to_string(),
                None => "the build failed without a message".to_owned(),
            }
        }
        CellResult::Fault(fault) => chain(fault),
        CellResult::Aborted(abort) => chain(abort),
        CellResult::Blocked { by } => format!(
            "needs {}, which is not built",
            plan.packages[plan.cells[by.index()].package].label
        ),
        CellResult::Excluded(rule) => exclusion(rule),
        CellResult::LeftOut(rule) => rule.to_string(),
        CellResult::NotAsked
        | CellResult::Hit(_)
        | CellResult::Built(_)
        | CellResult::Cancelled
        | CellResult::Pending => {
            return None;
        }
    })
}

/// What the user can do about it.
pub(crate) fn hint(result: &CellResult) -> Option<String> {
    let text = match result {
        CellResult::KnownFailure(_) => {
            "it failed before with the same inputs; --retry-failed builds it again".to_owned()
        }
        CellResult::Fault(CellFault::MissingDependency { name }) => format!(
            "install the source of {name} (a package {name}-dkms, or /usr/src/{name}-<version>), or name its directory too"
        ),
        CellResult::Fault(CellFault::Unreachable { path }) => format!(
            "builds do not run as root: let others pass there (chmod o+rx {}), or put the tree elsewhere",
            path.display()
        ),
        CellResult::Fault(CellFault::Conf(error)) => match &**error {
            ConfError::TimeLimit { .. } => "--conf-timeout gives a dkms.conf more time".to_owned(),
            ConfError::Hidden { .. } => {
                "what it reads has to be in its package, in /etc/dkms, /etc/default or /etc/sysconfig"
                    .to_owned()
            }
            _ => return None,
        },
        CellResult::Aborted(Abort::Lack(lack)) => lack_hint(lack),
        CellResult::Aborted(Abort::DiskFull { .. }) => {
            "make room there, or run `kiln cache gc --max-size SIZE`; nothing half-done was stored"
                .to_owned()
        }
        CellResult::Aborted(Abort::InputChanged { .. }) => {
            "nothing was stored; run again when the files are at rest".to_owned()
        }
        CellResult::Aborted(Abort::Killed { .. } | Abort::Shortage(_)) => {
            "nothing was stored; run again, with fewer jobs (-j) if memory is short".to_owned()
        }
        CellResult::Aborted(Abort::TimeLimit { .. }) => "--timeout gives it more time".to_owned(),
        _ => return None,
    };
    Some(text)
}

/// How to come by what a build needs.
pub(super) fn lack_hint(lack: &Lack) -> String {
    match (&lack.root, &lack.what) {
        (Some(root), _) => format!(
            "install it there (chroot {}), or give another root",
            root.display()
        ),
        (None, Need::Compiler { compiler, .. }) => install_hint(compiler),
        (None, Need::Pahole { .. }) => install_hint("pahole"),
        (None, Need::Loader { loader, .. }) => loader_hint(loader),
    }
}

/// Which package has the loader of another architecture.
fn loader_hint(loader: &std::path::Path) -> String {
    let name = loader.file_name().unwrap_or_default().to_string_lossy();
    let (debian, fedora) = match &*name {
        "ld-linux.so.2" => ("apt-get install libc6-i386", "dnf install glibc.i686"),
        "ld-linux-x86-64.so.2" => ("apt-get install libc6", "dnf install glibc"),
        _ => return format!("install the C library that has {}", loader.display()),
    };
    let has_apt = std::path::Path::new("/usr/bin/apt-get").exists();
    if has_apt { debian } else { fedora }.to_owned()
}

/// Which package has a program, in the words of the distribution at hand.
pub(super) fn install_hint(program: &str) -> String {
    let has = |path: &str| std::path::Path::new(path).exists();
    let generic = program.rsplit('/').next().unwrap_or(program);
    // Debian and its kin name the packages of versioned compilers like the programs.
    let unprefixed = generic
        .find("gcc-")
        .or_else(|| generic.find("clang-"))
        .map_or(generic, |at| &generic[at..]);
    // The linker and the other tools of LLVM are in packages of a version too.
    let unprefixed = unprefixed.strip_prefix("ld.").unwrap_or(unprefixed);
    let unprefixed = &unprefixed.replacen("llvm-strip", "llvm", 1);
    if has("/usr/bin/apt-get") {
        format!("apt-get install {unprefixed}")
    } else if has("/usr/bin/dnf") {
        format!("dnf install {}", unversioned(unprefixed))
    } else if has("/usr/bin/zypper") {
        format!("zypper install {}", unprefixed.replace('-', ""))
    } else if has("/usr/bin/pacman") {
        format!("pacman -S {}", unversioned(unprefixed))
    } else {
        format!("install the package that has {program}")
    }
}

fn unversioned(program: &str) -> &str {
    program.split('-').next().unwrap_or(program)
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// The rule that excludes a kernel.
pub(super) fn exclusion(rule: &Exclusion) -> String {
    format!("excluded by {}={}", rule.directive, rule.value)
}

/// Why a job has to be built.
pub(crate) fn miss(reason: &MissReason) -> String {
    match reason {
        MissReason::NeverBuilt => "never built before".to_owned(),
        MissReason::NewKernel => "never built for this kernel".to_owned(),
        MissReason::Changed { components } => format!("changed: {}", components.join(", ")),
        MissReason::Lost => "its result is gone from the cache".to_owned(),
        MissReason::Doubtful => "failed before, perhaps for a reason that has passed".to_owned(),
        MissReason::RetryFailed => "failed before; --retry-failed".to_owned(),
        MissReason::CacheUnused => "--no-cache".to_owned(),
    }
}

/// One difference, as a few lines: what changed, and how.
pub(super) fn difference(difference: &Difference, limit: usize) -> Vec<String> {
    let place = difference.component.as_str();
    if difference.changes.is_empty() {
        return vec![format!(
            "{place} changed (its earlier content is no longer known)"
        )];
    }
    let mut lines: Vec<String> = difference
        .changes
        .iter()
        .take(limit)
        .map(|change| match change {
            Change::Appeared => format!("{place} is new"),
            Change::Vanished => format!("{place} is gone"),
            Change::File { path, what } => {
                format!("{path} in {} {}", tree_name(place), verb(*what))
            }
            Change::Line {
                name,
                before,
                after,
            } => line_change(place, name, before.as_deref(), after.as_deref()),
        })
        .collect();
    if difference.changes.len() > limit {
        lines.push(format!(
            "... and {} more in {}",
            difference.changes.len() - limit,
            tree_name(place)
        ));
    }
    lines
}

fn tree_name(component: &str) -> String {
    match component.strip_prefix("kernel tree ") {
        Some(path) => format!("the kernel tree {path}"),
        None if component == "source" => "the source".to_owned(),
        None => component.to_owned(),
    }
}

fn verb(what: ChangeKind) -> &'static str {
    match what {
        ChangeKind::Added => "was added",
        ChangeKind::Removed => "was removed",
        ChangeKind::Content => "changed",
        ChangeKind::Mode => "changed its mode",
        ChangeKind::Type => "changed its type",
    }
}

/// Digests mean nothing to a reader: only that they differ.
fn line_change(place: &str, name: &str, before: Option<&str>, after: Option<&str>) -> String {
    let is_digest = |value: &str| {
        value
            .split(' ')
            .next_back()
            .is_some_and(|word| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit()))
    };
    match (before, after) {
        (Some(a), Some(b)) if is_digest(a) && is_digest(b) => format!("{name} changed ({place})"),
        (Some(a), Some(b)) => format!("{name} changed from {a:?} to {b:?} ({place})"),
        (None, Some(b)) if !is_digest(b) => format!("{name} is new: {b:?} ({place})"),
        (None, _) => format!("{name} is new ({place})"),
        (Some(_), None) => format!("{name} is gone ({place})"),
    }
}

/// That bubblewrap is not used.
pub(super) fn bare(reason: &IsolationError) -> String {
    let protection = Protection::of(Isolation::Bare);
    format!(
        "{reason}; building without a sandbox of its own, in scratch directories whose paths show in the results. What protects the machine: {protection}"
    )
}

/// That this program cannot talk to the server that a setting names.
pub(crate) fn no_remote(setting: &str) -> String {
    format!("{setting} is set and not used: this kiln is built without remote caches and engines")
}

/// That jobs run here and not on the engine.
pub(super) fn engine_lost(error: &dyn std::error::Error) -> String {
    format!("the engine cannot be used, building here: {}", chain(error))
}

/// That jobs with a toolchain root do not go to the engine.
pub(super) const ROOTS_STAY: &str = "jobs with a toolchain root run here: remote_exec.root_platform does not say which of the engine's workers bring no programs of their own";

/// That what was made from an input is made again.
pub(super) fn input_changed(path: &Path) -> String {
    format!(
        "{} changed during the build; what it goes into is built again",
        path.display()
    )
}

/// What was printed while a dkms.conf was evaluated.
pub(super) fn complaint(package: &str, line: &str) -> String {
    format!("dkms.conf of {package}: {line}")
}

/// What is to be known of the shared cache.
pub(crate) fn shared(notice: &SharedNotice) -> String {
    match notice {
        SharedNotice::Refused(count, error) => {
            let more = match count {
                1 => String::new(),
                _ => format!(" (and {} more)", count - 1),
            };
            let why = chain(error.as_ref());
            format!("not taken from the shared cache, but built here: {why}{more}")
        }
        SharedNotice::Away(error) => format!(
            "the shared cache cannot be used, going on without: {}",
            chain(error.as_ref())
        ),
        SharedNotice::NotUploaded(error) => format!(
            "results are not in the shared cache: {}",
            chain(error.as_ref())
        ),
    }
}

/// That something in the cache was damaged.
pub(super) fn damage(damage: &Damage) -> String {
    let what = match damage.item {
        DamagedItem::Object(digest) => format!("object {digest}"),
        DamagedItem::Record(key) => format!("record {key}"),
    };
    format!(
        "{what} in the cache was damaged; it is built again (moved to {})",
        damage.path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let text = |ms| duration(Duration::from_millis(ms));
        assert_eq!(text(7), "7 ms");
        assert_eq!(text(999), "999 ms");
        assert_eq!(text(1_340), "1.3 s");
        assert_eq!(text(125_000), "2:05 min");
        assert_eq!(text(3_725_000), "1:02 h");
    }
}
