//! File systems that a killed engine leaves mounted: those on which it had staged what ran.

use std::{fs, path::Path, process::Command};

/// Takes away what is mounted below a folder.
pub(crate) fn release_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        // Root's way, and an ordinary user's.
        for unmount in [
            ["umount", "--lazy"].as_slice(),
            &["fusermount3", "-u", "-z"],
        ] {
            let mut command = Command::new(unmount[0]);
            let released = command.args(&unmount[1..]).arg(point).output();
            if released.is_ok_and(|output| output.status.success()) {
                break;
            }
        }
    }
}
