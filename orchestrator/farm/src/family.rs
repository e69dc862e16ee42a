//! Whose kernel a kernel is: packages of modules for it follow the conventions of its distribution.
//!
//! The manifest may say it for a kernel. Else it is told by the release, by the header packages, or by
//! the system that has the kernel installed; where all of that says nothing, nothing is known.

use std::path::Path;

use kiln_durable::regular;
use kiln_kernel::{KernelSource, TargetKernel, sizes};
use kiln_publish::{Family, Format};

/// The family of distributions that a kernel is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelFamily {
    /// The manifest says so.
    Said(Family),
    /// It looks so.
    Guessed(Family),
    /// There is nothing to tell it by.
    Unknown,
}

impl KernelFamily {
    /// What the manifest says of a kernel, else what can be told of it.
    pub(super) fn new(said: Option<Family>, source: &KernelSource, target: &TargetKernel) -> Self {
        match said {
            Some(family) => Self::Said(family),
            None => guess(source, target).map_or(Self::Unknown, Self::Guessed),
        }
    }

    /// This, unless only the other is what the manifest says.
    pub(super) fn or_said(self, other: Self) -> Self {
        match (self, other) {
            (Self::Said(_), _) => self,
            (_, Self::Said(_)) => other,
            _ => self,
        }
    }

    /// Whose conventions packages of a format follow; `farm` is what the manifest says for all kernels.
    ///
    /// None if the manifest says that the kernel is of a distribution with the other format.
    pub(super) fn of_packages(self, format: Format, farm: Option<Family>) -> Option<Family> {
        let fits = |family: &Family| family.format() == format;
        let usual = match format {
            Format::Deb => Family::Debian,
            Format::Rpm => Family::Fedora,
        };
        match self {
            Self::Said(family) => Some(family).filter(fits),
            Self::Guessed(family) => farm
                .filter(fits)
                .or(Some(family).filter(fits))
                .or(Some(usual)),
            Self::Unknown => farm.filter(fits).or(Some(usual)),
        }
    }
}

fn guess(source: &KernelSource, target: &TargetKernel) -> Option<Family> {
    let release = target.tree.release.as_str();
    if is_red_hat(release) {
        return Some(Family::Fedora);
    }
    match source {
        KernelSource::Stored(kernel) => {
            let packages = kernel.packages().iter();
            let packages =
                packages.map(|package| (package.file.as_path(), package.name.as_deref()));
            of_packages(&packages.collect::<Vec<_>>())
        }
        KernelSource::Installed(_) => of_system(Path::new("/")),
        KernelSource::InRoot(_) => of_system(target.system.directory()),
        KernelSource::Tree(_) => None,
    }
}

/// `6.8.5-301.fc40.x86_64`, `5.14.0-427.el9.x86_64` and their like.
fn is_red_hat(release: &str) -> bool {
    release.split(['.', '-', '_', '+']).any(|part| {
        ["fc", "el", "amzn"].iter().any(|tag| {
            part.strip_prefix(tag)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    })
}

/// The family that packages its kernels like this: files, and the names that they state.
fn of_packages(packages: &[(&Path, Option<&str>)]) -> Option<Family> {
    let is = |ending: &str| {
        packages
            .iter()
            .all(|(file, _)| file.extension().is_some_and(|e| e == ending))
    };
    let names: Vec<&str> = packages.iter().filter_map(|(_, name)| *name).collect();
    let any = |test: fn(&str) -> bool| names.iter().any(|name| test(name));
    if is("deb") {
        // Debian's kbuild is a package by itself. Of Ubuntu's two packages, one has all flavours in
        // common; `make bindeb-pkg` makes one package, called as Debian's are.
        let parts = names
            .iter()
            .filter(|name| name.starts_with("linux-") && name.contains("-headers-"));
        let debian = any(|name| name.starts_with("linux-kbuild-")) || parts.count() < 2;
        return Some(if debian {
            Family::Debian
        } else {
            Family::Ubuntu
        });
    }
    if is("rpm") {
        // SUSE's flavours have a package each, beside the one that they share.
        let suse = any(|name| name == "kernel-default-devel")
            || (any(|name| name == "kernel-devel") && names.len() > 1);
        return Some(if suse { Family::Suse } else { Family::Fedora });
    }
    None
}

/// The family of an installed system, by its os-release(5).
fn of_system(root: &Path) -> Option<Family> {
    ["etc/os-release", "usr/lib/os-release"]
        .iter()
        .find_map(|path| regular::read_text_at_once(&root.join(path), sizes::TEXT).ok())
        .and_then(|text| of_os_release(&text))
}

fn of_os_release(text: &str) -> Option<Family> {
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        let (_, value) = lines.find(|(key, _)| key.trim() == name)?;
        Some(value.trim().trim_matches(['"', '\'']))
    };
    let words = ["ID", "ID_LIKE"].into_iter().filter_map(value);
    words
        .flat_map(str::split_whitespace)
        .find_map(|word| match word {
            "ubuntu" => Some(Family::Ubuntu),
            "debian" => Some(Family::Debian),
            "fedora" | "rhel" | "centos" => Some(Family::Fedora),
            "sles" | "suse" => Some(Family::Suse),
            word if word.starts_with("opensuse") => Some(Family::Suse),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_told_by_their_releases_and_packages() {
        for (release, red_hat) in [
            ("6.8.5-301.fc40.x86_64", true),
            ("5.14.0-427.13.1.el9_4.x86_64", true),
            ("6.1.79-99.167.amzn2023.x86_64", true),
            ("6.1.0-57-amd64", false),
            ("6.8.0-45-generic", false),
            ("6.4.0-150600.21-default", false),
            ("6.6.0-elbow", false),
        ] {
            assert_eq!(is_red_hat(release), red_hat, "{release}");
        }
        let of = |ending: &str, names: &[&str]| {
            let files: Vec<String> = names
                .iter()
                .map(|name| format!("{name}_1.{ending}"))
                .collect();
            let packages = files.iter().zip(names);
            let packages = packages.map(|(file, name)| (Path::new(file.as_str()), Some(*name)));
            of_packages(&packages.collect::<Vec<_>>())
        };
        let debian = [
            "linux-headers-6.1.0-57-amd64",
            "linux-headers-6.1.0-57-common",
            "linux-kbuild-6.1",
        ];
        assert_eq!(of("deb", &debian), Some(Family::Debian));
        assert_eq!(of("deb", &["linux-headers-6.6.1"]), Some(Family::Debian));
        let ubuntu = ["linux-headers-6.8.0-45-generic", "linux-headers-6.8.0-45"];
        assert_eq!(of("deb", &ubuntu), Some(Family::Ubuntu));
        let hwe = [
            "linux-headers-6.5.0-45-generic",
            "linux-hwe-6.5-headers-6.5.0-45",
        ];
        assert_eq!(of("deb", &hwe), Some(Family::Ubuntu));
        assert_eq!(
            of("rpm", &["kernel-default-devel", "kernel-devel"]),
            Some(Family::Suse)
        );
        assert_eq!(
            of("rpm", &["kernel-rt-devel", "kernel-devel"]),
            Some(Family::Suse)
        );
        assert_eq!(of("rpm", &["kernel-devel"]), Some(Family::Fedora));
        assert_eq!(of("zst", &["linux-headers"]), None);
    }

    #[test]
    fn systems_are_told_by_their_os_release() {
        for (text, family) in [
            ("NAME=x\nID=debian\n", Some(Family::Debian)),
            (
                "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
                Some(Family::Ubuntu),
            ),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
                Some(Family::Fedora),
            ),
            (
                "ID_LIKE='suse opensuse'\nID=opensuse-leap\n",
                Some(Family::Suse),
            ),
            ("ID=arch\n", None),
            ("", None),
        ] {
            assert_eq!(of_os_release(text), family, "{text}");
        }
    }

    #[test]
    fn what_is_said_of_a_kernel_comes_before_what_is_said_of_the_farm_before_a_guess() {
        let (deb, rpm) = (Format::Deb, Format::Rpm);
        let said = KernelFamily::Said(Family::Suse);
        assert_eq!(
            said.of_packages(rpm, Some(Family::Fedora)),
            Some(Family::Suse)
        );
        assert_eq!(said.of_packages(deb, Some(Family::Ubuntu)), None);
        let guessed = KernelFamily::Guessed(Family::Ubuntu);
        assert_eq!(guessed.of_packages(deb, None), Some(Family::Ubuntu));
        assert_eq!(
            guessed.of_packages(deb, Some(Family::Debian)),
            Some(Family::Debian)
        );
        assert_eq!(
            guessed.of_packages(deb, Some(Family::Suse)),
            Some(Family::Ubuntu)
        );
        assert_eq!(guessed.of_packages(rpm, None), Some(Family::Fedora));
        assert_eq!(
            KernelFamily::Unknown.of_packages(deb, None),
            Some(Family::Debian)
        );
        assert_eq!(guessed.or_said(said), said);
        assert_eq!(said.or_said(KernelFamily::Said(Family::Debian)), said);
    }
}
