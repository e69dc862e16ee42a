//! What the real machine brings: kernels with headers, the program under test, and the
//! names that stand for what differs from machine to machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::OnceLock,
};

/// Stands for the kernel that most tests build for.
pub(crate) const RELEASE: &str = "KERNEL";
/// Stands for another one.
pub(crate) const OTHER: &str = "SECOND";

/// Releases of kernels with headers: those that the tests were provided with, else all.
pub(crate) fn releases() -> &'static [String] {
    static RELEASES: OnceLock<Vec<String>> = OnceLock::new();
    RELEASES.get_or_init(|| {
        let provided = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/kernels");
        let mut releases: Vec<String> = match fs::read_to_string(provided) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(_) => fs::read_dir("/lib/modules")
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect(),
        };
        releases.retain(|release| tree(release).join("Module.symvers").exists());
        releases.sort();
        releases.truncate(2);
        assert!(
            releases.len() == 2,
            "the tests need headers of two kernels; `tests/provision.sh test` installs them"
        );
        releases
    })
}

/// The kernel that [`RELEASE`] stands for.
pub(crate) fn release() -> &'static str {
    &releases()[0]
}

/// The kernel that runs, which need not have headers.
pub(crate) fn running() -> &'static str {
    static RUNNING: OnceLock<String> = OnceLock::new();
    RUNNING.get_or_init(|| said("uname", "-r"))
}

/// The architecture that dkms takes for the kernels'.
pub(crate) fn arch() -> &'static str {
    static ARCH: OnceLock<String> = OnceLock::new();
    ARCH.get_or_init(|| said("uname", "-m"))
}

/// The build tree of a kernel.
pub(crate) fn tree(release: &str) -> PathBuf {
    Path::new("/lib/modules").join(release).join("build")
}

/// The program under test: the built one, or what KILN_TEST_DKMS names.
pub(crate) fn dkms() -> PathBuf {
    std::env::var_os("KILN_TEST_DKMS").map_or(env!("CARGO_BIN_EXE_kiln").into(), PathBuf::from)
}

/// The cache that all tests share: what it holds goes by content.
pub(crate) fn cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for entry in fs::read_dir(home).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let of_process = name.strip_prefix("dkms-cache-");
            if of_process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                let _ = root_command("rm").arg("-rf").arg(&path).status();
            }
        }
        let cache = home.join(format!("dkms-cache-{}", process::id()));
        fs::create_dir_all(&cache).unwrap();
        cache
    })
}

/// Text with stand-ins for the kernels, the architecture and the names made up on the way.
pub(crate) fn redacted(text: &str) -> String {
    let mut text = text
        .replace(release(), RELEASE)
        .replace(&releases()[1], OTHER)
        .replace(running(), "RUNNING")
        .replace(arch(), "ARCH");
    for (before, length) in [(".tmp_ARCH_", 6), ("/tmp/dkms.", 6)] {
        let mut from = 0;
        while let Some(found) = text[from..].find(before) {
            let start = from + found + before.len();
            let end = (start + length).min(text.len());
            if text.is_char_boundary(end) {
                text.replace_range(start..end, "XXXXXX");
            }
            from = start;
        }
    }
    text
}

/// A line in which the stand-ins are what they stand for.
pub(crate) fn named(line: &str) -> String {
    line.replace(RELEASE, release())
        .replace(OTHER, &releases()[1])
        .replace("RUNNING", running())
        .replace("ARCH", arch())
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command that runs as root.
pub(crate) fn root_command(program: &str) -> Command {
    if is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", program]);
        sudo
    }
}

fn said(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
