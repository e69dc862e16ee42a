//! What the machine brings to the tests: kernels with headers, and a real module for each.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    sync::{Mutex, OnceLock},
};

use rustix::process::{Pid, Signal};

/// The C source of a module that does nothing.
pub(crate) const HELLO_C: &str = r#"#include <linux/module.h>
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("hello");
static int __init hello_init(void) { pr_info("hello\n"); return 0; }
static void __exit hello_exit(void) { }
module_init(hello_init);
module_exit(hello_exit);
"#;

/// The source of a module in which it shows where it was built.
pub(crate) fn placed_c() -> String {
    format!("{HELLO_C}\nchar place[] = __FILE__;\n")
}

/// Releases of kernels with headers: those that the tests were provided with, else all.
pub(crate) fn kernels() -> &'static [String] {
    static KERNELS: OnceLock<Vec<String>> = OnceLock::new();
    KERNELS.get_or_init(|| {
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
        assert!(
            releases.len() >= 2,
            "the tests need headers of two kernels; `tests/provision.sh test` installs them"
        );
        releases
    })
}

/// The kernel that most tests build for.
pub(crate) fn kernel() -> &'static str {
    &kernels()[0]
}

/// Another one.
pub(crate) fn other_kernel() -> &'static str {
    &kernels()[1]
}

/// The build tree of a kernel.
pub(crate) fn tree(release: &str) -> std::path::PathBuf {
    Path::new("/lib/modules").join(release).join("build")
}

/// The compiler that the usual kernel was built with.
pub(crate) fn compiler() -> String {
    let config = fs::read_to_string(tree(kernel()).join(".config")).unwrap();
    let text = config.split("CONFIG_CC_VERSION_TEXT=\"").nth(1).unwrap();
    text.split_whitespace().next().unwrap().to_owned()
}

/// The architecture as the kernel calls it.
pub(crate) fn arch() -> &'static str {
    std::env::consts::ARCH
}

/// A module that plain make built for a kernel, so that a test needs no compiler.
pub(crate) fn module(release: &str) -> Vec<u8> {
    static MODULES: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut modules = MODULES.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(module) = modules.get(release) {
        return module.clone();
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("hello.c"), HELLO_C).unwrap();
    fs::write(directory.path().join("Makefile"), "obj-m := hello.o\n").unwrap();
    let output = Command::new("make")
        .arg("-C")
        .arg(tree(release))
        .arg(format!("M={}", directory.path().display()))
        .env_remove("MAKEFLAGS")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "make cannot build a module for {release}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let module = fs::read(directory.path().join("hello.ko")).unwrap();
    modules.insert(release.to_owned(), module.clone());
    module
}

/// Processes whose command line holds `token`.
pub(crate) fn processes(token: &str) -> Vec<u32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut arguments = line.split(|byte| *byte == 0);
            arguments.any(|argument| argument == token.as_bytes())
        })
        .collect()
}

/// Waits for the command of `World::waits` with this token, and wakes it: what comes after it goes on.
pub(crate) fn wake(token: &str) {
    let starts = |pid: u32, start: &[u8]| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(start))
    };
    // Once it sleeps it hears the signal.
    let asleep = || {
        let all = processes(token);
        let sleeps = all.iter().any(|pid| starts(*pid, b"sleep\0"));
        all.into_iter().find(|pid| sleeps && starts(*pid, b"sh\0"))
    };
    super::run::wait_until("the job sleeps", || asleep().is_some());
    let pid = asleep().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let pid = pid.unwrap();
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    // Whoever wakes another one with this token must not find this one.
    let woken = pid.as_raw_nonzero().get().unsigned_abs();
    super::run::wait_until("the job wakes", || !processes(token).contains(&woken));
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
