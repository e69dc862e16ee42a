//! Room on the file system that an action writes to.

use std::path::Path;

use kiln_durable::regular;

/// How much there is, or has to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// In bytes.
    bytes: u64,
    /// In files (statvfs(3): `f_favail`).
    files: u64,
}

impl Room {
    /// An action is stopped when there is less: what it could not write it may have taken for something else.
    pub(super) const FLOOR: Self = Self {
        bytes: 32 << 20,
        files: 512,
    };

    /// As long as there is more each time that somebody looks, nothing was refused in between: nobody writes so much
    /// within a tenth of a second.
    pub(super) const PLENTY: Self = Self {
        bytes: 512 << 20,
        files: 16 << 10,
    };

    /// What the file system of a path has; none if it does not tell.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(path).ok()?;
        Some(Self {
            bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            // Some make files as they are wanted, and count none.
            files: match stat.f_files {
                0 => u64::MAX,
                _ => stat.f_favail,
            },
        })
    }

    /// Whether there is less of one of them.
    pub(super) fn is_below(self, other: Self) -> bool {
        self.bytes < other.bytes || self.files < other.files
    }
}

/// Whether an action that writes to a path may be refused what another machine gives it, however much room there is: users
/// have quotas there, or the system has promised no more memory than it has (`vm.overcommit_memory`, proc(5)).
pub(super) fn may_refuse(path: &Path) -> bool {
    let is_strict = regular::text_of_system("/proc/sys/vm/overcommit_memory")
        .is_ok_and(|policy| policy.trim() == "2");
    is_strict || has_quotas(path)
}

/// Whether users or groups have quotas on the file system of a path, which statvfs(3) does not show. Those of a
/// directory (project quotas) it does.
fn has_quotas(path: &Path) -> bool {
    let Ok(place) = rustix::fs::stat(path) else {
        return true;
    };
    let device = place.st_dev;
    let number = format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    let Ok(mounts) = regular::text_of_system("/proc/self/mountinfo") else {
        return true;
    };
    mounts
        .lines()
        .filter(|line| line.split(' ').nth(2) == Some(number.as_str()))
        .filter_map(|line| line.rsplit_once(' '))
        .any(|(_, options)| names_quotas(options))
}

/// Whether the options of a mounted file system have quotas counted (ext4(5), xfs(5)).
fn names_quotas(options: &str) -> bool {
    options.split(',').any(|option| {
        let name = option.split('=').next().unwrap_or_default();
        matches!(
            name,
            "quota" | "usrquota" | "grpquota" | "uquota" | "gquota" | "usrjquota" | "grpjquota"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_told_from_other_options() {
        for options in [
            "rw,usrquota",
            "rw,quota,usrjquota=aquota.user",
            "rw,attr2,gquota",
        ] {
            assert!(names_quotas(options), "{options}");
        }
        for options in ["rw", "rw,noquota,prjquota", "rw,errors=remount-ro"] {
            assert!(!names_quotas(options), "{options}");
        }
    }
}
