//! What an action may open where it has no namespaces of its own: rules of the kernel's Landlock (landlock(7)).
//!
//! It writes to its scratch directory alone, reads what holds programs, headers and settings, and what is shown to it, speaks no TCP,
//! and signals nobody else. The watch takes the rules upon itself before it starts the action; nobody gets rid of them.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

use super::{Layout, SYSTEM_DIRECTORIES, Scratch, View};

/// Before, nothing could be moved from one directory to another.
const NEEDED: ABI = ABI::V2;

/// The newest that is asked for.
const KNOWN: ABI = ABI::V6;

/// What an action may read besides the system's directories.
const READABLE: [&str; 7] = [
    "/etc",
    "/opt",
    "/proc",
    "/sys",
    "/dev/random",
    "/dev/urandom",
    "/var/lib/dkms",
];

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
    let trees = [&layout.dkms_tree, &layout.source_tree, &layout.install_tree];
    let shown = view.read_only.iter().map(|(host, _)| host);
    let system = SYSTEM_DIRECTORIES.iter().chain(&READABLE).map(Path::new);
    let readable = system
        .chain(trees.into_iter().chain(shown).map(PathBuf::as_path))
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
