//! Modules that are built once with plain make, so that most packages need no compiler:
//! they differ in what dkms compares.

use std::{
    collections::BTreeMap,
    fs,
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
};

use super::kernel;

/// A module by what it says about its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Module {
    /// Version 1.0.
    One,
    /// Version 1.0 from another source.
    OneAgain,
    /// Version 2.0.
    Two,
    /// Version 3.0-beta10, which sorts after 3.0-beta9.
    Three,
    /// Version 3.0-beta9.
    ThreeBefore,
    /// No version at all.
    Unversioned,
    /// No version at all, and another content.
    UnversionedAgain,
    /// A version that is empty.
    Empty,
}

const ALL: [(Module, &str, &str); 8] = [
    (Module::One, "one", "MODULE_VERSION(\"1.0\");"),
    (
        Module::OneAgain,
        "one_again",
        "MODULE_VERSION(\"1.0\"); int again = 3;",
    ),
    (Module::Two, "two", "MODULE_VERSION(\"2.0\");"),
    (Module::Three, "three", "MODULE_VERSION(\"3.0-beta10\");"),
    (
        Module::ThreeBefore,
        "three_before",
        "MODULE_VERSION(\"3.0-beta9\");",
    ),
    (Module::Unversioned, "unversioned", ""),
    (
        Module::UnversionedAgain,
        "unversioned_again",
        "int again = 5;",
    ),
    (Module::Empty, "empty", "MODULE_VERSION(\"\");"),
];

/// The C source of a module that does nothing; `more` is further code.
pub(crate) fn c(more: &str) -> String {
    format!(
        "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\nMODULE_DESCRIPTION(\"test\");\n\
         static int __init start(void) {{ return 0; }}\nstatic void __exit end(void) {{ }}\n\
         module_init(start);\nmodule_exit(end);\n{more}\n"
    )
}

impl Module {
    /// The module for the kernel that most tests build for, stripped as dkms strips it.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.bytes_for(kernel::release())
    }

    /// The module for a kernel.
    pub(crate) fn bytes_for(self, release: &str) -> Vec<u8> {
        static BUILT: Mutex<BTreeMap<String, BTreeMap<Module, Vec<u8>>>> =
            Mutex::new(BTreeMap::new());
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        built
            .entry(release.to_owned())
            .or_insert_with(|| build(release))[&self]
            .clone()
    }
}

/// The module with the debug sections that it is built with.
pub(crate) fn unstripped() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| {
        let stripped = Module::One.bytes();
        let directory = tempfile::tempdir().unwrap();
        let (object, section) = (directory.path().join("m.ko"), directory.path().join("s"));
        fs::write(&object, stripped).unwrap();
        fs::write(&section, "what a debugger reads").unwrap();
        let mut objcopy = Command::new("objcopy");
        objcopy.arg(format!("--add-section=.debug_str={}", section.display()));
        assert!(objcopy.arg(&object).status().unwrap().success());
        fs::read(&object).unwrap()
    })
}

fn build(release: &str) -> BTreeMap<Module, Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut makefile = String::from("obj-m :=");
    for (_, name, more) in ALL {
        makefile.push_str(&format!(" {name}.o"));
        fs::write(root.join(format!("{name}.c")), c(more)).unwrap();
    }
    fs::write(root.join("Makefile"), makefile + "\n").unwrap();
    let output = Command::new("make")
        .arg("-j4")
        .arg("-C")
        .arg(kernel::tree(release))
        .arg(format!("M={}", root.display()))
        .env_remove("MAKEFLAGS")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "make cannot build modules for {release}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    ALL.into_iter()
        .map(|(module, name, _)| {
            let path = root.join(format!("{name}.ko"));
            let stripped = Command::new("strip").arg("-g").arg(&path).status().unwrap();
            assert!(stripped.success());
            (module, fs::read(&path).unwrap())
        })
        .collect()
}
