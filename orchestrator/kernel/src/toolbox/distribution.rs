//! A system's distribution, as far as dkms's rules differ by it.

use std::path::Path;

use kiln_durable::regular;

use super::SystemRoot;
use crate::sizes;

/// `ID`, or `ID_LIKE` where that is set, of os-release(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution(String);

impl Distribution {
    /// Reads a system's os-release; none if it has none.
    pub fn of(system: &SystemRoot) -> Option<Self> {
        ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .filter_map(|path| system.files().resolve(Path::new(path)))
            .find_map(|place| regular::read_text_at_once(&place.host, sizes::TEXT).ok())
            .map(|text| Self::of_text(&text))
    }

    fn of_text(text: &str) -> Self {
        let value = |name: &str| {
            text.lines()
                .filter_map(|line| line.trim().split_once('='))
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value.trim_matches(['"', '\'']).to_owned())
                .next_back()
        };
        let id = value("ID").unwrap_or_default();
        Self(if id == "ubuntu" {
            id
        } else {
            value("ID_LIKE").unwrap_or(id)
        })
    }

    fn is_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.starts_with(name))
    }

    /// Where modules go instead of DEST_MODULE_LOCATION, if the distribution has one place.
    pub fn destination(&self) -> Option<&'static str> {
        if self.is_any(&["fedora", "centos", "rhel"]) {
            Some("/extra")
        } else if self.is_any(&["sles", "suse", "opensuse"]) {
            Some("/updates")
        } else if self.is_any(&["debian", "ubuntu", "arch"]) {
            Some("/updates/dkms")
        } else {
            None
        }
    }

    /// Whether rpm knows which architecture a kernel is, and who owns a directory.
    pub fn asks_rpm(&self) -> bool {
        !self.is_any(&["debian", "ubuntu", "arch", "gentoo"])
    }

    /// Commands that add and remove weak-updates links.
    pub fn weak_modules(&self) -> Option<(&'static str, &'static str)> {
        if self.is_any(&["rhel"]) {
            Some((
                "/usr/sbin/weak-modules --no-initramfs --add-modules",
                "/usr/sbin/weak-modules --no-initramfs --remove-modules",
            ))
        } else if self.is_any(&["sles", "suse", "opensuse"]) {
            // dkms does not expand the variable either.
            Some((
                "/usr/lib/module-init-tools/weak-modules2 --add-kernel-modules ${kernelver}",
                "/usr/lib/module-init-tools/weak-modules2 --remove-kernel-modules ${kernelver}",
            ))
        } else {
            None
        }
    }

    /// Whether the distribution keeps its own machine owner key (Ubuntu's shim-signed).
    pub fn is_ubuntu(&self) -> bool {
        self.is_any(&["ubuntu"])
    }

    /// Whether it is Debian or says that it is like it.
    pub fn is_debian(&self) -> bool {
        self.is_any(&["debian"])
    }

    /// Whether keys come from portage's configuration.
    pub fn is_gentoo(&self) -> bool {
        self.is_any(&["gentoo"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_decides() {
        for (text, destination, rpm) in [
            ("ID=debian\n", Some("/updates/dkms"), false),
            ("ID=ubuntu\nID_LIKE=debian\n", Some("/updates/dkms"), false),
            ("ID=\"fedora\"\n", Some("/extra"), true),
            (
                "ID=almalinux\nID_LIKE=\"rhel centos fedora\"\n",
                Some("/extra"),
                true,
            ),
            (
                "ID=opensuse-tumbleweed\nID_LIKE=\"opensuse suse\"\n",
                Some("/updates"),
                true,
            ),
            ("ID=arch\n", Some("/updates/dkms"), false),
            ("ID=gentoo\n", None, false),
            ("ID=alpine\n", None, true),
        ] {
            let distribution = Distribution::of_text(text);
            assert_eq!(distribution.destination(), destination, "{text}");
            assert_eq!(distribution.asks_rpm(), rpm, "{text}");
        }
    }
}
