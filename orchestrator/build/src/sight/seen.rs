//! The set of paths that a job looked at, as a component of its key: a line a path, with what is there.

use std::{collections::BTreeSet, path::PathBuf};

use kiln_cache::ScanError;
use kiln_kernel::toolbox::TextComponent;
use kiln_trace::{Gap, Use};

use super::{Looker, Traced};

/// The component's name.
pub const SEEN: &str = "system files looked up";

/// Why a trace makes no component.
#[derive(Debug, thiserror::Error)]
pub enum SeenError {
    /// The trace may lack something.
    #[error(transparent)]
    Gap(#[from] Gap),
    /// A link that the job made or has leads to a directory of the system.
    #[error("a link leads to the directory {path}")]
    LinkToDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A path that no line can hold.
    #[error("the name of {path:?} is not text")]
    Name {
        /// The path.
        path: PathBuf,
    },
    /// Something cannot be looked at.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

/// Paths of the system, each with how it was used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    paths: BTreeSet<(PathBuf, Use)>,
}

impl Seen {
    /// What the traces say, with where the links lead that an action had or made.
    ///
    /// # Errors
    /// Fails if a trace has a gap, or a path cannot be written down.
    pub fn of(traced: &Traced, looker: &mut Looker<'_>) -> Result<Self, SeenError> {
        if let Some(gap) = traced.traces.iter().find_map(|trace| trace.gap()) {
            return Err(gap.clone().into());
        }
        let mut seen = Self::default();
        let links = traced.links.iter();
        let links = links.map(|target| (target.clone(), Use::Link));
        let lookups = traced.traces.iter().flat_map(|trace| trace.lookups());
        let traced = lookups.map(|lookup| (lookup.path, lookup.usage));
        for (path, usage) in traced.chain(links) {
            seen.add(path, usage, looker)?;
        }
        Ok(seen)
    }

    fn add(&mut self, path: PathBuf, usage: Use, looker: &mut Looker<'_>) -> Result<(), SeenError> {
        let text = path.to_str();
        if text.is_none_or(|text| text.contains(['=', '\n', '\r'])) {
            return Err(SeenError::Name { path });
        }
        let usage = match usage {
            Use::Link => {
                if let Some((_, metadata)) = looker.find(&path)
                    && metadata.is_dir()
                {
                    return Err(SeenError::LinkToDirectory { path });
                }
                Use::Open
            }
            usage => usage,
        };
        if let Some(missing) = looker.missing_part(&path) {
            self.paths.insert((missing, Use::Look));
            return Ok(());
        }
        self.paths.insert((path, usage));
        Ok(())
    }

    /// The paths.
    pub(super) fn paths(self) -> impl Iterator<Item = PathBuf> {
        self.paths.into_iter().map(|(path, _)| path)
    }

    /// Reads the paths of a component's text; none if it is no such text.
    pub fn parse(text: &str) -> Option<Self> {
        let path = |line: &str| {
            let (usage, rest) = line.split_once(' ')?;
            let (path, _) = rest.split_once('=')?;
            let path = path.replace(r"\\", r"\");
            let usage = USES.iter().find(|(word, _)| *word == usage)?.1;
            Some((PathBuf::from(path), usage))
        };
        let paths = text.lines().map(path).collect::<Option<_>>()?;
        Some(Self { paths })
    }

    /// The component, with what is there now.
    ///
    /// # Errors
    /// Fails if something cannot be looked at.
    pub fn component(&self, looker: &mut Looker<'_>) -> Result<TextComponent, ScanError> {
        let libraries = self.libraries();
        let mut lines = Vec::with_capacity(self.paths.len());
        for (path, usage) in &self.paths {
            let state = looker.state(path, *usage, &libraries)?;
            lines.push(format!("{} {}={state}", word(*usage), path.display()));
        }
        Ok(TextComponent::new(SEEN, lines))
    }

    /// The names of shared libraries that were asked for.
    fn libraries(&self) -> BTreeSet<String> {
        self.paths
            .iter()
            .filter_map(|(path, _)| path.file_name()?.to_str())
            .filter(|name| name.contains(".so"))
            .map(str::to_owned)
            .collect()
    }
}

const USES: [(&str, Use); 3] = [
    ("look", Use::Look),
    ("open", Use::Open),
    ("execute", Use::Execute),
];

fn word(usage: Use) -> &'static str {
    let known = USES.iter().find(|(_, known)| *known == usage);
    known.map_or("open", |(word, _)| word)
}
