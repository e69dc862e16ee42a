//! Finds the kernels in a set of header packages, and which packages each is made of.
//!
//! Goes by the packages' files: a build tree is what an installed kernel's `build` link leads to, or
//! what looks like one, and everything that it refers to belongs to the kernel. What the packages say
//! of themselves only serves messages, the architecture, and to tell versions that do not fit.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use kiln_cache::EntryKind;

use super::{
    KernelStoreError, StoredKernel, StoredPackage,
    entry::{Entry, at, top_digest},
};
use crate::{
    KernelInput, KernelTree, fingerprints::Fingerprints, kernel_trees_named_by_makefile,
    layers::Layers, normalize, parts_referred_to, toolbox::KBUILD_PREFIX, version,
};

/// Build trees lie at most this deep below /usr/src: `linux-<version>-obj/<arch>/<flavour>`.
const DEPTH: usize = 3;

/// Finds the kernels, sorted by version.
pub(super) fn assemble(
    entries: &[Entry],
    fingerprints: &mut Fingerprints<'_>,
) -> Result<Vec<StoredKernel>, KernelStoreError> {
    check_conflicts(entries, fingerprints)?;
    let files = Layers::of(entries.iter().map(|entry| entry.directory.clone()));
    let trees = build_trees(entries, &files)?;
    if trees.is_empty() {
        return Err(KernelStoreError::NoKernel {
            files: entries.iter().map(|entry| entry.file.clone()).collect(),
        });
    }
    let mut used = vec![false; entries.len()];
    let mut kernels = Vec::new();
    for tree in trees {
        kernels.push(kernel(entries, &files, &tree, &mut used, fingerprints)?);
    }
    let unused = entries
        .iter()
        .zip(used)
        .find(|(entry, used)| !used && entry.digest.is_some() && !entry.tops.is_empty());
    if let Some((entry, _)) = unused {
        return Err(KernelStoreError::Unused {
            file: entry.file.clone(),
        });
    }
    kernels.sort_by(|a, b| {
        let (a, b) = (a.tree(), b.tree());
        version::compare(a.release.as_str(), b.release.as_str()).then_with(|| a.build.cmp(&b.build))
    });
    Ok(kernels)
}

/// A build tree that was found: paths inside.
struct Found {
    /// What messages call it until its release is known.
    name: String,
    build: PathBuf,
    source: Option<PathBuf>,
    /// The links of the installed kernel, where the packages have them.
    links: Option<PathBuf>,
}

fn build_trees(entries: &[Entry], files: &Layers) -> Result<Vec<Found>, KernelStoreError> {
    let mut found: BTreeMap<PathBuf, Found> = BTreeMap::new();
    let mut tops: Vec<&PathBuf> = entries.iter().flat_map(|entry| &entry.tops).collect();
    tops.sort();
    tops.dedup();
    for link in tops.iter().filter(|top| is_build_link(top)) {
        let directory = link.parent().unwrap_or(link);
        let name = file_name(directory);
        let build = resolve(files, link, &name, entries)?;
        let source = directory.join("source");
        let source = match files.places(&source).next() {
            Some(_) => Some(resolve(files, &source, &name, entries)?),
            None => None,
        };
        found.entry(build.clone()).or_insert_with(|| Found {
            name,
            build,
            source,
            links: Some(directory.to_owned()),
        });
    }
    for top in tops.iter().filter(|top| top.starts_with("/usr/src")) {
        let mut trees = Vec::new();
        search(files, top, DEPTH, &mut trees);
        for build in trees {
            let link = build.join("source");
            let source = files.resolve(&link).map(|place| place.inside).or_else(|| {
                let named = kernel_trees_named_by_makefile(files, &build);
                named.into_iter().find(|tree| !tree.starts_with(&build))
            });
            found.entry(build.clone()).or_insert_with(|| Found {
                name: file_name(&build),
                build,
                source,
                links: None,
            });
        }
    }
    Ok(found.into_values().collect())
}

/// Follows a link of an installed kernel, which must lead somewhere.
fn resolve(
    files: &Layers,
    link: &Path,
    kernel: &str,
    entries: &[Entry],
) -> Result<PathBuf, KernelStoreError> {
    if let Some(place) = files.resolve(link) {
        return Ok(place.inside);
    }
    let target = files
        .places(link)
        .next()
        .and_then(|host| fs::read_link(host).ok())
        .map(|target| normalize(&link.parent().unwrap_or(link).join(target)))
        .unwrap_or_else(|| link.to_owned());
    let brings = entries.iter().find(|entry| entry.has(link));
    Err(missing(kernel, target, brings))
}

fn missing(kernel: &str, path: PathBuf, asked_by: Option<&Entry>) -> KernelStoreError {
    let package = asked_by.and_then(|entry| entry.facts.dependency_with(&file_name(&path)));
    KernelStoreError::Missing {
        kernel: kernel.to_owned(),
        package,
        path,
    }
}

fn is_build_link(top: &Path) -> bool {
    top.file_name().is_some_and(|name| name == "build")
        && (top.starts_with("/lib/modules") || top.starts_with("/usr/lib/modules"))
}

fn search(files: &Layers, directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Some(host) = files.places(directory).next() else {
        return;
    };
    if !host.is_dir() || host.is_symlink() {
        return;
    }
    let has = |name: &str| files.places(&directory.join(name)).next().is_some();
    let configured = ["include/generated/autoconf.h", "Module.symvers"]
        .iter()
        .any(|name| files.exists(&directory.join(name)));
    if configured {
        found.push(directory.to_owned());
    } else if depth > 0 && !has("Makefile") && !has("Kbuild") && !has("dkms.conf") {
        let children = fs::read_dir(&host).into_iter().flatten().flatten();
        let mut children: Vec<PathBuf> = children
            .map(|entry| directory.join(entry.file_name()))
            .collect();
        children.sort();
        for child in children {
            search(files, &child, depth - 1, found);
        }
    }
}

fn kernel(
    entries: &[Entry],
    files: &Layers,
    found: &Found,
    used: &mut [bool],
    fingerprints: &mut Fingerprints<'_>,
) -> Result<StoredKernel, KernelStoreError> {
    let builder = entries
        .iter()
        .find(|entry| at(&entry.directory, &found.build).is_dir());
    // First of all, for the tree's own Makefile may be in the part that is missing.
    let members = members(entries, files, found, fingerprints)?;
    for index in &members {
        used[*index] = true;
    }
    let mut members: Vec<&Entry> = members.into_iter().map(|index| &entries[index]).collect();
    members.sort_by(|a, b| {
        let builds = |entry: &Entry| at(&entry.directory, &found.build).is_dir();
        builds(b)
            .cmp(&builds(a))
            .then_with(|| a.directory.cmp(&b.directory))
    });
    let own = Layers::of(members.iter().map(|entry| entry.directory.clone()));
    let mut tree = KernelTree::open_in(&own, &found.build, found.source.as_deref())?;
    if let Some(arch) = builder.and_then(|entry| entry.facts.arch.clone()) {
        tree.arch = arch;
    }
    check_versions(entries, builder, tree.release.as_str())?;
    for root in &KernelInput::new(tree.clone(), fingerprints)?.roots {
        check_undivided(entries, &root.path, fingerprints)?;
    }
    let packages = members
        .into_iter()
        .map(|entry| StoredPackage {
            file: entry.file.clone(),
            digest: entry.digest,
            name: entry.facts.name.clone(),
            version: entry.facts.version.clone(),
            directory: entry.directory.clone(),
        })
        .collect();
    Ok(StoredKernel { tree, packages })
}

/// The packages that a kernel is made of, by their places: those that have its build tree, its source,
/// its links, and whatever part these refer to.
fn members(
    entries: &[Entry],
    files: &Layers,
    found: &Found,
    fingerprints: &mut Fingerprints<'_>,
) -> Result<BTreeSet<usize>, KernelStoreError> {
    let mut members = BTreeSet::new();
    let mut seen = BTreeSet::new();
    // Each with the package that refers to it.
    let mut open: Vec<(PathBuf, Option<usize>)> = [Some(&found.build), found.source.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| (path.clone(), None))
        .collect();
    if let Some(links) = &found.links {
        let links = [links.join("build"), links.join("source")];
        members.extend((0..entries.len()).filter(|i| links.iter().any(|l| entries[*i].has(l))));
    }
    while let Some((path, asked_by)) = open.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let bring: Vec<usize> = (0..entries.len())
            .filter(|i| entries[*i].has(&path))
            .collect();
        let Some(first) = bring.first().copied() else {
            let asked_by = asked_by.map(|index| &entries[index]);
            return Err(missing(&found.name, path, asked_by));
        };
        members.extend(bring);
        let host = at(&entries[first].directory, &path);
        if let Ok(target) = fs::read_link(&host) {
            let target = normalize(&path.parent().unwrap_or(&path).join(target));
            open.extend(part_of(&target).map(|part| (part, Some(first))));
        } else if host.is_dir() {
            let scan = fingerprints.tree(&host)?;
            let parts = parts_referred_to(files, &path, &scan, part_of, fingerprints);
            open.extend(parts.into_iter().map(|part| (part, Some(first))));
        }
    }
    Ok(members)
}

/// The part of a kernel that a path is in, as far as packages divide kernels up.
fn part_of(path: &Path) -> Option<PathBuf> {
    let kbuild = path
        .strip_prefix("/usr/lib")
        .is_ok_and(|rest| rest.to_string_lossy().starts_with(KBUILD_PREFIX));
    let length = if path.starts_with("/usr/src/kernels") {
        5
    } else if path.starts_with("/usr/src") || kbuild {
        4
    } else {
        return None;
    };
    let names: Vec<_> = path.components().take(length).collect();
    (names.len() == length).then(|| names.into_iter().collect())
}

/// Checks the packages that are there against the versions that the build tree's package asks for.
fn check_versions(
    entries: &[Entry],
    builder: Option<&Entry>,
    kernel: &str,
) -> Result<(), KernelStoreError> {
    for relation in builder.into_iter().flat_map(|entry| &entry.facts.depends) {
        let named: Vec<(&Entry, &str)> = entries
            .iter()
            .filter(|entry| entry.facts.name.as_deref() == Some(relation.name.as_str()))
            .filter_map(|entry| Some((entry, entry.facts.version.as_deref()?)))
            .collect();
        if let Some((entry, found)) = named.first()
            && !named.iter().any(|(_, version)| relation.fits(version))
        {
            return Err(KernelStoreError::WrongVersion {
                kernel: kernel.to_owned(),
                package: relation.name.clone(),
                needs: relation.needs(),
                file: entry.file.clone(),
                found: (*found).to_owned(),
            });
        }
    }
    Ok(())
}

/// Checks that a root of a kernel is whole in one package, whichever is looked at.
fn check_undivided(
    entries: &[Entry],
    root: &Path,
    fingerprints: &mut Fingerprints<'_>,
) -> Result<(), KernelStoreError> {
    let mut bring = entries
        .iter()
        .filter(|entry| fs::symlink_metadata(at(&entry.directory, root)).is_ok());
    let Some(first) = bring.next() else {
        return Ok(());
    };
    for second in bring {
        let one = top_digest(&at(&first.directory, root), fingerprints)?;
        if one != top_digest(&at(&second.directory, root), fingerprints)? {
            return Err(KernelStoreError::Divided {
                path: root.to_owned(),
                first: first.file.clone(),
                second: second.file.clone(),
            });
        }
    }
    Ok(())
}

/// Checks that no two packages bring one path with different content.
fn check_conflicts(
    entries: &[Entry],
    fingerprints: &mut Fingerprints<'_>,
) -> Result<(), KernelStoreError> {
    let mut by_top: BTreeMap<&Path, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        for top in &entry.tops {
            by_top.entry(top).or_default().push(entry);
        }
    }
    for (top, bring) in by_top {
        for (index, second) in bring.iter().enumerate().skip(1) {
            for first in &bring[..index] {
                if let Some(path) = conflict(top, first, second, fingerprints)? {
                    return Err(KernelStoreError::Conflict {
                        path,
                        first: first.file.clone(),
                        second: second.file.clone(),
                    });
                }
            }
        }
    }
    Ok(())
}

/// The first path below `top` that two packages have with different content.
fn conflict(
    top: &Path,
    first: &Entry,
    second: &Entry,
    fingerprints: &mut Fingerprints<'_>,
) -> Result<Option<PathBuf>, KernelStoreError> {
    let (one, other) = (at(&first.directory, top), at(&second.directory, top));
    if top_digest(&one, fingerprints)? == top_digest(&other, fingerprints)? {
        return Ok(None);
    }
    let is_tree = |path: &Path| path.is_dir() && !path.is_symlink();
    if !is_tree(&one) || !is_tree(&other) {
        return Ok(Some(top.to_owned()));
    }
    let one = fingerprints.tree(&one)?.manifest();
    let other = fingerprints.tree(&other)?.manifest();
    let clash = one.entries().iter().find(|entry| {
        let there = other.entry(&entry.path);
        there.is_some_and(|there| {
            *there != entry.kind
                && !matches!(
                    (there, &entry.kind),
                    (EntryKind::Directory, EntryKind::Directory)
                )
        })
    });
    Ok(clash.map(|entry| top.join(String::from_utf8_lossy(&entry.path).as_ref())))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
