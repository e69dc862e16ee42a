//! Why an action is not in the cache: what differs from the nearest earlier one.

use std::collections::BTreeMap;

use kiln_cache::{ActionRecord, ChangeKind, Component, Detail, Manifest, ObjectDigest, Store};

use super::{Content, Ingredient};

/// Why a job has to be built, as far as keys alone tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissReason {
    /// The package was never built for any kernel.
    NeverBuilt,
    /// It was built for other kernels only.
    NewKernel,
    /// Components differ from the newest earlier outcome for this kernel.
    Changed {
        /// The names of the components.
        components: Vec<String>,
    },
    /// The inputs are the same, and the stored outcome is gone or damaged.
    Lost,
    /// It failed before with the same inputs, and the user asked to try again.
    RetryFailed,
    /// It failed before with the same inputs, perhaps for a reason that has passed.
    Doubtful,
    /// The user asked not to use the cache.
    CacheUnused,
}

/// One component that differs between two keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The component's name.
    pub component: String,
    /// What changed in it; empty where that cannot be known any more.
    pub changes: Vec<Change>,
}

/// One change within a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A file of a tree.
    File {
        /// Its path, relative to the tree.
        path: String,
        /// How it changed.
        what: ChangeKind,
    },
    /// A line of a text.
    Line {
        /// Its name.
        name: String,
        /// The value before, if there was one.
        before: Option<String>,
        /// The value now, if there is one.
        after: Option<String>,
    },
    /// The component is new.
    Appeared,
    /// The component is gone.
    Vanished,
}

/// Says in few words why a key was missed, given the nearest earlier record.
pub(super) fn miss_reason(
    nearest: Option<&ActionRecord>,
    target: &str,
    components: &[Component],
) -> MissReason {
    let Some(record) = nearest else {
        return MissReason::NeverBuilt;
    };
    if record.subject.target != target {
        return MissReason::NewKernel;
    }
    let names = differing(&record.components, components);
    if names.is_empty() {
        MissReason::Lost
    } else {
        MissReason::Changed { components: names }
    }
}

/// The names of the components that differ, sorted.
pub fn differing(earlier: &[Component], later: &[Component]) -> Vec<String> {
    let digests = |list: &[Component]| -> BTreeMap<String, ObjectDigest> {
        list.iter().map(|c| (c.name.clone(), c.digest)).collect()
    };
    let (before, after) = (digests(earlier), digests(later));
    let mut names: Vec<String> = before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Compares a key's ingredients with an earlier record, down to files and lines.
pub fn differences(
    store: &Store,
    earlier: &ActionRecord,
    ingredients: &[Ingredient],
) -> Vec<Difference> {
    let mut found = Vec::new();
    for component in &earlier.components {
        if !ingredients.iter().any(|i| i.name == component.name) {
            found.push(Difference {
                component: component.name.clone(),
                changes: vec![Change::Vanished],
            });
        }
    }
    for ingredient in ingredients {
        let before = earlier
            .components
            .iter()
            .find(|c| c.name == ingredient.name);
        let changes = match before {
            None => vec![Change::Appeared],
            Some(before) if before.digest == ingredient.digest => continue,
            Some(before) => changes(store, before, ingredient),
        };
        found.push(Difference {
            component: ingredient.name.clone(),
            changes,
        });
    }
    found
}

fn changes(store: &Store, before: &Component, after: &Ingredient) -> Vec<Change> {
    let earlier = match before.detail {
        Detail::Opaque => None,
        _ => store.read(&before.digest).ok().flatten(),
    };
    let Some(earlier) = earlier else {
        return Vec::new();
    };
    match &after.content {
        Content::Opaque => Vec::new(),
        Content::Text(text) => text_changes(&String::from_utf8_lossy(&earlier), &text.text),
        Content::Tree(scan) => tree_changes(&earlier, &scan.manifest()),
        Content::Manifest(manifest) => tree_changes(&earlier, manifest),
    }
}

fn tree_changes(earlier: &[u8], later: &Manifest) -> Vec<Change> {
    let Ok(earlier) = Manifest::decode(earlier) else {
        return Vec::new();
    };
    earlier
        .diff(later)
        .into_iter()
        .map(|change| Change::File {
            path: String::from_utf8_lossy(&change.path).into_owned(),
            what: change.what,
        })
        .collect()
}

fn text_changes(earlier: &str, later: &str) -> Vec<Change> {
    fn lines(text: &str) -> BTreeMap<&str, &str> {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .collect()
    }
    let (before, after) = (lines(earlier), lines(later));
    let mut names: Vec<&str> = before.keys().chain(after.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| before.get(name) != after.get(name))
        .map(|name| Change::Line {
            name: name.to_owned(),
            before: before.get(name).map(|v| (*v).to_owned()),
            after: after.get(name).map(|v| (*v).to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_by_name() {
        let changes = text_changes("A=1\nB=2\nC=3\n", "A=1\nB=4\nD=5\n");
        assert_eq!(changes.len(), 3);
        assert_eq!(
            changes[0],
            Change::Line {
                name: "B".to_owned(),
                before: Some("2".to_owned()),
                after: Some("4".to_owned()),
            }
        );
    }
}
