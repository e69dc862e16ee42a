//! From the text of a manifest to its contents, with the line of whatever is wrong.

use std::{io, path::Path};

use kiln_durable::regular;

use super::{Contents, Format, KernelSource, Manifest, Rule};
use crate::{FarmError, Located, paths};

/// The most of a manifest that is read.
const SIZE_LIMIT: u64 = 64 << 20;

/// How alike two keys must be for one to be offered in place of the other.
const ALIKE: f64 = 0.75;

pub(super) fn text(path: &Path) -> Result<String, FarmError> {
    let read = regular::read_text_at_once(path, SIZE_LIMIT);
    read.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FarmError::NoManifest {
            path: path.to_owned(),
        },
        _ => FarmError::Read {
            path: path.to_owned(),
            source,
        },
    })
}

pub(super) fn contents(path: &Path, text: &str) -> Result<Contents, FarmError> {
    toml::from_str(text).map_err(|error| {
        let at = located(path, text, error.span().map_or(0, |span| span.start));
        match unknown_key(error.message()) {
            Some((key, allowed)) => FarmError::UnknownKey {
                at,
                meant: meant(&key, &allowed),
                key,
                allowed,
            },
            None => FarmError::Syntax {
                at,
                error: Box::new(error),
            },
        }
    })
}

/// The line of a place in a text, counted from 1.
pub(super) fn located(path: &Path, text: &str, place: usize) -> Located {
    let before = text.get(..place).unwrap_or(text);
    Located {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
    }
}

/// Takes serde's message about an unknown field apart: it quotes the key, then what is allowed.
fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    let quoted = message.strip_prefix("unknown field ")?;
    let mut words = quoted
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect::<Vec<_>>();
    if words.is_empty() {
        return None;
    }
    let key = words.remove(0);
    Some((key, words))
}

/// The allowed key that was probably meant.
fn meant(key: &str, allowed: &[String]) -> Option<String> {
    let key = key.replace('-', "_");
    allowed
        .iter()
        .map(|one| (strsim::jaro_winkler(&key, one), one))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, one)| one.clone())
}

/// Checks what the types do not.
pub(super) fn check(manifest: &Manifest) -> Result<(), FarmError> {
    let path = || manifest.path().to_owned();
    if manifest.packages().is_empty() {
        return Err(FarmError::Empty {
            path: path(),
            key: "packages",
        });
    }
    if manifest.kernels().is_empty() {
        return Err(FarmError::Empty {
            path: path(),
            key: "kernels",
        });
    }
    let globs = manifest.kernels().iter().flat_map(|entry| {
        let globs: &[String] = match &entry.get_ref().source {
            KernelSource::Headers(globs) => globs,
            KernelSource::Release(_) | KernelSource::Tree(_) => &[],
        };
        globs.iter().map(move |glob| (manifest.at(entry), glob))
    });
    let packages = manifest.packages().iter();
    let packages = packages.map(|glob| (manifest.at(glob), glob.get_ref()));
    for (at, glob) in packages.chain(globs) {
        paths::check(glob).map_err(|source| FarmError::Pattern {
            at,
            pattern: glob.clone(),
            source: Box::new(source),
        })?;
    }
    let rules = manifest.rules();
    for rule in rules.include.iter().chain(&rules.exclude) {
        if is_empty(rule.get_ref()) {
            return Err(FarmError::EmptyRule {
                at: manifest.at(rule),
            });
        }
    }
    let price = manifest.cost().cpu_hour;
    if price.is_some_and(|price| !price.is_finite() || price < 0.0) {
        return Err(FarmError::Price { path: path() });
    }
    let formats = manifest.outputs().map(|outputs| &outputs.formats);
    if formats.is_some_and(Vec::<Format>::is_empty) {
        return Err(FarmError::Empty {
            path: path(),
            key: "outputs.formats",
        });
    }
    Ok(())
}

fn is_empty(rule: &Rule) -> bool {
    [
        &rule.package,
        &rule.version,
        &rule.kernel,
        &rule.name,
        &rule.arch,
    ]
    .iter()
    .all(|part| part.is_none())
}
