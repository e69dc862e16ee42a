//! What a worker shows its actions of this machine: programs and libraries, but neither kernels nor their
//! kbuild, which are in an action's inputs.

use std::path::Path;

/// The directories, those that are there.
pub(crate) fn shown() -> Vec<&'static str> {
    let mut shown = vec![
        "/usr/bin",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/gcc",
        "/usr/lib64",
        "/usr/include",
        "/usr/share/perl",
        "/etc/alternatives",
    ];
    shown.retain(|path| Path::new(path).exists());
    shown
}
