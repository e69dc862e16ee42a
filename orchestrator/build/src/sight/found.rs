//! The key that an action's outcome belongs under, once it is known what the action looked at.

use std::{io, path::PathBuf, time::SystemTime};

use kiln_cache::ScanError;
use kiln_kernel::toolbox::{SystemRoot, TextComponent};
use kiln_sandbox::{Layout, Protection};

use super::{Looker, Reach, SEEN, Seen, SeenError, Since, SystemFiles, Traced};
use crate::keys::{Key, Keys};

/// Under which key an outcome belongs.
pub(crate) struct FoundKey {
    /// The key.
    pub(crate) key: Key,
    /// Why it names everything that the sandbox shows, if it does.
    pub(crate) untraced: Option<String>,
    /// How much that was.
    pub(crate) reach: Reach,
}

impl FoundKey {
    /// The key of an outcome for which nothing of the system was looked at.
    pub(crate) fn of_nothing(keys: &Keys) -> Self {
        Self {
            key: keys.with_system(TextComponent::new(SEEN, Vec::new())),
            untraced: None,
            reach: Reach::System,
        }
    }
}

/// Why an outcome belongs nowhere.
#[derive(Debug)]
pub(crate) enum Void {
    /// Something that was looked at was touched meanwhile.
    InputChanged {
        /// What.
        path: PathBuf,
    },
    /// Something cannot be looked at.
    Scan(ScanError),
}

impl Void {
    /// The path and the error of what cannot be looked at.
    pub(crate) fn io(error: ScanError) -> (PathBuf, io::Error) {
        (PathBuf::from("/usr"), io::Error::other(error))
    }
}

/// What an action may have read that can read all of the machine: no key holds it, so this is good for one outcome.
fn anything() -> TextComponent {
    let line = format!(
        "{:?} {} {:032x}",
        SystemTime::now(),
        std::process::id(),
        fastrand::u128(..)
    );
    TextComponent::new("anything", vec![line])
}

/// The key that the outcome of an action belongs under that began at `since`.
///
/// # Errors
/// Fails if something that counts changed since then.
pub(crate) fn found_key(
    keys: &Keys,
    since: Since,
    traced: Option<&Traced>,
    place: (&Layout, &SystemRoot),
    files: &SystemFiles,
) -> Result<FoundKey, Void> {
    let (layout, system) = place;
    let mut looker = Looker::since(system.clone(), files, since);
    let reach = traced.map_or(Reach::System, |traced| traced.extent.reach());
    let seen = traced.map(|traced| {
        let seen = Seen::of(traced, &mut looker)?;
        seen.component(&mut looker).map_err(SeenError::from)
    });
    let (component, untraced) = match seen {
        Some(Ok(component)) => (component, None),
        Some(Err(SeenError::Scan(error))) => return Err(Void::Scan(error)),
        other => {
            let reason = match other {
                Some(Err(error)) => error.to_string(),
                _ => "it was not traced".to_owned(),
            };
            let everything = match Protection::of_layout(layout) {
                Protection::Permissions => anything(),
                _ => looker.everything(layout, reach).map_err(Void::Scan)?,
            };
            (everything, Some(reason))
        }
    };
    if let Some(moved) = looker.moved() {
        let path = moved.path.clone();
        return Err(Void::InputChanged { path });
    }
    if !since.clock_ran() {
        let path = PathBuf::from("the clock");
        return Err(Void::InputChanged { path });
    }
    Ok(FoundKey {
        key: keys.with_system(component),
        untraced,
        reach,
    })
}
