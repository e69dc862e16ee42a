//! Programs whose content is hashed: the compiler with its parts, make, binutils, the shell.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::SystemRoot;
use crate::layers::Place;

/// Where programs are looked for inside a sandbox, after kiln's own.
pub const SEARCH_PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Programs that every kbuild job may run.
const PROGRAMS: &[&str] = &[
    "sh", "bash", "make", "patch", "as", "ld", "ld.bfd", "ar", "nm", "objcopy", "objdump",
    "ranlib", "readelf", "strip",
];

/// Programs that only LLVM builds run.
pub const LLVM_PROGRAMS: &[&str] = &[
    "clang",
    "ld.lld",
    "llvm-ar",
    "llvm-nm",
    "llvm-objcopy",
    "llvm-objdump",
    "llvm-readelf",
    "llvm-strip",
];

/// Finds a program of this machine as the shell inside a sandbox would, links followed.
pub fn find_program(name: &str) -> Option<PathBuf> {
    SystemRoot::host()
        .find_program(name)
        .map(|place| place.host)
}

/// Programs and directories to hash for jobs that use the given compilers: name and place,
/// sorted. Compilers that are not installed are passed over.
pub fn hashed_programs(
    system: &SystemRoot,
    compilers: &[String],
    llvm: bool,
) -> Vec<(String, Place)> {
    let names = PROGRAMS
        .iter()
        .chain(if llvm { LLVM_PROGRAMS } else { &[] })
        .map(|name| (*name).to_owned())
        .chain(compilers.iter().cloned());
    let mut found = Vec::new();
    for name in names {
        let Some(place) = system.find_program(&name) else {
            continue;
        };
        if compilers.contains(&name) || name == "clang" {
            found.extend(compiler_parts(system, &name, &place.inside));
        }
        found.push((name, place));
    }
    // Several names lead to one compiler: its directories go by the most telling of them.
    found.sort_by(|(a, _), (b, _)| (Reverse(a.len()), a).cmp(&(Reverse(b.len()), b)));
    let mut directories = BTreeSet::new();
    found.retain(|(_, place)| !place.host.is_dir() || directories.insert(place.host.clone()));
    found.sort_by(|a, b| (&a.0, &a.1.inside).cmp(&(&b.0, &b.1.inside)));
    found
}

/// The directories that a compiler keeps its own programs and headers in.
fn compiler_parts(system: &SystemRoot, name: &str, path: &Path) -> Vec<(String, Place)> {
    let file = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let place = |inside: PathBuf| Place {
        host: system.host_path(&inside),
        inside,
    };
    if file.contains("clang") {
        return path
            .parent()
            .filter(|directory| *directory != Path::new("/usr/bin"))
            .map(|directory| (name.to_owned(), place(directory.to_owned())))
            .into_iter()
            .collect();
    }
    let version = file
        .rsplit('-')
        .next()
        .filter(|v| v.starts_with(|c: char| c.is_ascii_digit()));
    let mut parts = Vec::new();
    for base in ["/usr/lib/gcc", "/usr/libexec/gcc", "/usr/lib64/gcc"] {
        for triplet in subdirectories(place(PathBuf::from(base))) {
            for directory in subdirectories(triplet) {
                let wanted = version.is_none_or(|v| directory.inside.ends_with(v));
                if wanted && !directory.host.is_symlink() {
                    parts.push((name.to_owned(), directory));
                }
            }
        }
    }
    parts
}

fn subdirectories(directory: Place) -> Vec<Place> {
    fs::read_dir(&directory.host)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| Place {
            inside: directory.inside.join(entry.file_name()),
            host: entry.path(),
        })
        .filter(|place| place.host.is_dir())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_comes_with_its_parts() {
        let gcc = find_program("gcc").expect("the tests need gcc");
        assert!(gcc.is_absolute() && !gcc.is_symlink());
        let programs = hashed_programs(&SystemRoot::host(), &["gcc".to_owned()], false);
        let has_cc1 = programs
            .iter()
            .any(|(_, place)| place.host.join("cc1").is_file());
        assert!(has_cc1, "{programs:?}");
        assert!(programs.iter().any(|(name, _)| name == "make"));
        assert!(find_program("no-such-program").is_none());
    }
}
