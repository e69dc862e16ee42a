//! Mounts from which nothing may be executed (mount(8), `noexec`): a program there is one that cannot be run, and no stat says
//! so.

use std::{path::Path, sync::OnceLock};

use kiln_durable::regular;
use rustix::fs::{StatVfsMountFlags, statvfs};

/// Whether nothing on the file system of a path may be executed.
pub fn forbids_execution(path: &Path) -> bool {
    statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// The mount points below /usr from which nothing may be executed, as this process found them.
pub fn without_execution() -> &'static [String] {
    static FOUND: OnceLock<Vec<String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        listed(&regular::text_of_system("/proc/self/mountinfo").unwrap_or_default())
    })
}

/// Reads mountinfo, proc_pid_mountinfo(5).
fn listed(table: &str) -> Vec<String> {
    let mut found: Vec<String> = table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (place, options) = (fields.nth(4)?, fields.next()?);
            let is_system = Path::new(place).starts_with("/usr");
            (is_system && options.split(',').any(|option| option == "noexec"))
                .then(|| place.to_owned())
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_the_system_without_execution_are_listed() {
        let table = "22 1 8:1 / / rw,relatime - ext4 /dev/vda rw\n\
                     23 22 0:20 / /proc rw,nosuid,nodev,noexec - proc proc rw\n\
                     24 22 8:1 /usr /usr/share/x\\040y ro,noexec,relatime shared:1 - ext4 /dev/vda rw\n\
                     25 22 8:1 /usr /usr/share/z ro,relatime - ext4 /dev/vda rw,noexec\n";
        assert_eq!(listed(table), ["/usr/share/x\\040y"]);
        assert!(!forbids_execution(Path::new("/usr/bin")));
    }
}
