//! Which directories outside a kernel's build tree belong to it.
//!
//! Distributions split a kernel's headers over several directories: Debian's build tree
//! links `scripts` and `tools` into linux-kbuild and includes the Makefile of a `-common`
//! tree; Ubuntu links most entries into a flavourless tree; SUSE's Makefile includes one.
//! kiln follows exactly these two kinds of reference: symbolic links that leave the tree,
//! and absolute or relative paths in a short wrapper Makefile at its top.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use kiln_durable::regular;
use kiln_files::is_everybodys;

use crate::layers::Layers;

/// A wrapper Makefile is a few lines; the kernel's own is far larger.
const WRAPPER_MAKEFILE_LIMIT: u64 = 8 * 1024;

/// Lists the directories and files outside `root` that it refers to, sorted and without
/// duplicates. All paths are those inside.
///
/// `links` are the symbolic links of the tree: path relative to `root`, and target.
pub fn external_roots<'a>(
    files: &Layers,
    root: &Path,
    links: impl Iterator<Item = (&'a Path, &'a Path)>,
) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = link_targets(root, links)
        .chain(kernel_trees_named_by_makefile(files, root))
        .filter_map(|path| Some(files.resolve(&path)?.inside))
        .filter(|path| !path.starts_with(root) && !root.starts_with(path))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The paths outside `root` that it refers to, by name: whether they are there is not looked at.
pub(crate) fn outside_targets<'a>(
    files: &Layers,
    root: &Path,
    links: impl Iterator<Item = (&'a Path, &'a Path)>,
) -> impl Iterator<Item = PathBuf> {
    link_targets(root, links)
        .chain(makefile_paths(files, root))
        .map(|path| normalize(&path))
        .filter(move |path| !path.starts_with(root))
}

/// Where systems and installers put what belongs to kernels.
const SYSTEM: [&str; 5] = ["/usr", "/lib", "/opt", "/boot", "/var/lib"];

/// By one of these the directory is known in which a kernel's tree, or a part of one, lies.
const SIGNS: [&str; 4] = [
    "scripts/Kbuild.include",
    "scripts/Makefile.build",
    "include/linux/module.h",
    "include/generated/autoconf.h",
];

/// Whether a build may be shown what the tree at `root` leads to: a link in it may be anybody's, and lead to what is the
/// caller's alone, as whom builds run. Builds of root are nobody's, and see what everybody may read.
pub(crate) fn may_be_shown(root: &Path, path: &Path) -> bool {
    let is_part = |directory: &Path| !root.starts_with(directory) && has_sign(directory);
    is_of_nobody() || is_of_system(path) || path.ancestors().any(is_part)
}

/// The same for the source tree that belongs to a build tree, which may be in it.
pub(crate) fn may_be_source(path: &Path) -> bool {
    is_of_nobody() || is_of_system(path) || has_sign(path)
}

fn is_of_nobody() -> bool {
    rustix::process::geteuid().is_root()
}

fn has_sign(directory: &Path) -> bool {
    let mut signs = SIGNS.iter();
    signs.any(|sign| directory.join(sign).is_file())
}

/// Whether everybody may read something in a directory of the system's, and it is not the caller's own.
fn is_of_system(path: &Path) -> bool {
    SYSTEM.iter().any(|place| path.starts_with(place)) && is_everybodys(path)
}

/// Where the symbolic links of a tree lead that leave it, by name.
fn link_targets<'a>(
    root: &Path,
    links: impl Iterator<Item = (&'a Path, &'a Path)>,
) -> impl Iterator<Item = PathBuf> {
    links.filter_map(move |(path, target)| {
        let parent = root.join(path);
        let target = normalize(&parent.parent()?.join(target));
        (!target.starts_with(root)).then_some(target)
    })
}

/// The kernel trees whose files the top Makefile of `root` names, if it is a wrapper.
pub(crate) fn kernel_trees_named_by_makefile(files: &Layers, root: &Path) -> Vec<PathBuf> {
    makefile_paths(files, root)
        .into_iter()
        .filter_map(|path| {
            let place = files.resolve(&path)?;
            let directory = if place.host.is_dir() {
                place.inside
            } else {
                place.inside.parent()?.to_owned()
            };
            is_kernel_tree(files, &directory).then_some(directory)
        })
        .collect()
}

/// The paths outside the tree that the top Makefile names, if it is a wrapper.
fn makefile_paths(files: &Layers, root: &Path) -> Vec<PathBuf> {
    let Some(place) = files.resolve(&root.join("Makefile")) else {
        return Vec::new();
    };
    let Ok(text) = regular::read_at_once(&place.host, WRAPPER_MAKEFILE_LIMIT) else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_matches(['"', '\'', '(', ')', ';']))
        .map(|word| word.rsplit('=').next().unwrap_or(word))
        .filter(|word| word.starts_with('/') || word.starts_with("../"))
        .map(|word| root.join(word))
        .collect()
}

/// A Makefile may well mention `/usr/bin`; only trees that kbuild could run in count.
fn is_kernel_tree(files: &Layers, directory: &Path) -> bool {
    files.exists(&directory.join("Makefile")) || files.exists(&directory.join("Kbuild"))
}

/// Resolves `.` and `..` by name, without asking the file system.
pub(crate) fn normalize(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(Path::new(std::ffi::OsStr::from_bytes(
                other.as_os_str().as_bytes(),
            ))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn follows_links_out_of_the_tree_and_a_wrapper_makefile() {
        let temp = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(temp.path()).unwrap();
        for dir in ["build/sub", "kbuild/scripts", "common", "unrelated"] {
            fs::create_dir_all(base.join(dir)).unwrap();
        }
        fs::write(base.join("common/Makefile"), "all:\n").unwrap();
        fs::write(
            base.join("build/Makefile"),
            format!(
                "# {0}/unrelated\nCC = /usr/bin/cc\ninclude {0}/common/Makefile\n",
                base.display()
            ),
        )
        .unwrap();
        let links = [
            (Path::new("scripts"), Path::new("../kbuild/scripts")),
            (Path::new("sub/inside"), Path::new("../Makefile")),
            (Path::new("dangling"), Path::new("/nowhere/at/all")),
        ];
        assert_eq!(
            external_roots(&Layers::host(), &base.join("build"), links.into_iter()),
            [base.join("common"), base.join("kbuild/scripts")]
        );
    }
}
