//! The families of distributions that differ in which kernel hooks they have.

use std::path::Path;

use clap::ValueEnum;
use kiln_durable::regular;

/// No os-release is larger, in bytes.
const OS_RELEASE: u64 = 1 << 20;

/// Whose kernel hooks are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Family {
    /// Debian, Ubuntu and their like: /etc/kernel, by the kernels' own packages.
    Debian,
    /// Fedora, Red Hat and their like: kernel-install, and a service for what it missed.
    Redhat,
    /// Any other with systemd: as Red Hat's.
    Generic,
}

impl Family {
    /// What os-release says this machine is.
    pub(crate) fn of_this_machine() -> Self {
        ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|path| regular::read_text_at_once(Path::new(path), OS_RELEASE).ok())
            .map_or(Self::Generic, |text| Self::of(&text))
    }

    /// What the text of an os-release says.
    fn of(os_release: &str) -> Self {
        os_release
            .lines()
            .filter_map(|line| {
                line.strip_prefix("ID=")
                    .or_else(|| line.strip_prefix("ID_LIKE="))
            })
            .flat_map(|value| value.trim_matches(['"', '\'']).split(' '))
            .find_map(|id| match id {
                "debian" | "ubuntu" => Some(Self::Debian),
                "fedora" | "rhel" | "centos" => Some(Self::Redhat),
                _ => None,
            })
            .unwrap_or(Self::Generic)
    }
}

#[cfg(test)]
mod tests {
    use super::Family;

    #[test]
    fn derived_distributions_are_of_the_family_that_they_name() {
        assert_eq!(Family::of("NAME=x\nID=debian\n"), Family::Debian);
        assert_eq!(
            Family::of("ID_LIKE=\"ubuntu debian\"\nID=mint\n"),
            Family::Debian
        );
        assert_eq!(
            Family::of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"),
            Family::Redhat
        );
        assert_eq!(Family::of("ID=arch\n"), Family::Generic);
    }
}
