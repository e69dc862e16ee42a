//! What an action may open where it has no namespaces of its own: rules of the kernel's Landlock (landlock(7)).
//!
//! It writes to its scratch directory alone, reads what a sandbox would show it, speaks no TCP,
//! and signals nobody else. The watch takes the rules upon itself before it starts the action; nobody gets rid of them.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

use super::{
    ETC_DIRECTORIES, ETC_FILES, Layout, SYSTEM_DIRECTORIES, Scratch, View, bubblewrap::covers,
};

/// Before, nothing could be moved from one directory to another.
const NEEDED: ABI = ABI::V2;

/// The newest that is asked for.
const KNOWN: ABI = ABI::V6;

/// What an action may read besides what a sandbox shows: what the kernel says itself.
const READABLE: [&str; 4] = ["/proc", "/sys", "/dev/random", "/dev/urandom"];

/// What one may read besides whose outcome is in no key: all that has settings, programs and headers.
const FOR_ONCE: [&str; 4] = ["/etc", "/opt", "/usr", "/var/lib/dkms"];

/// Devices that take everything.
const SINKS: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/full"];

/// Whether this kernel has such rules.
pub(super) fn works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| empty().is_ok_and(|ruleset| Option::<OwnedFd>::from(ruleset).is_some()))
}

/// Rules that allow nothing yet.
fn empty() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()
}

/// The rules for an action; none where the kernel has none.
pub(super) fn rules(
    layout: &Layout,
    view: &View,
    scratch: &Scratch,
) -> Result<Option<OwnedFd>, RulesetError> {
    if !works() {
        return Ok(None);
    }
    let system = system(&covers(layout, &view.system));
    let shown = view.read_only.iter().map(|(host, _)| host);
    let for_once = match view.is_for_once {
        true => &FOR_ONCE[..],
        false => &[],
    };
    let trees = [&layout.dkms_tree, &layout.source_tree, &layout.install_tree];
    let trees = trees.into_iter().filter(|_| view.is_for_once);
    let readable = [&READABLE[..], &ETC_FILES, &ETC_DIRECTORIES, for_once]
        .concat()
        .into_iter()
        .map(Path::new)
        .chain(
            system
                .iter()
                .chain(shown)
                .chain(trees)
                .map(PathBuf::as_path),
        )
        .chain([scratch.path()]);
    let read = AccessFs::from_read(KNOWN);
    let sink: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::WriteFile;
    // What is not there, or this process cannot see, the action cannot either.
    let ruleset = empty()?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(SINKS, sink))?
        .add_rules(path_beneath_rules(
            scratch.writable(),
            AccessFs::from_all(KNOWN),
        ))?;
    Ok(ruleset.into())
}

/// The system's directories but for those that are covered in a sandbox, too: where one is inside, what is beside it.
fn system(covered: &[PathBuf]) -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = SYSTEM_DIRECTORIES.map(PathBuf::from).into();
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        let is_whole = !covered.iter().any(|cover| cover.starts_with(&directory));
        if is_whole
            && !SYSTEM_DIRECTORIES
                .iter()
                .any(|top| directory == Path::new(top))
        {
            found.push(directory);
            continue;
        }
        // A link leads into another of these directories, of which not all may be read.
        if covered.contains(&directory) || directory.is_symlink() {
            continue;
        }
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        open.extend(entries.map(|entry| entry.path()));
    }
    found
}
