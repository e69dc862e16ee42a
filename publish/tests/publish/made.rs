//! Real modules, made once with plain make, and what is published of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use kiln_publish::{BuildId, Family, ModuleFile, ModulePackage, SourceDate};
use tempfile::TempDir;

/// The time in all that is published.
pub(crate) const DATE: SourceDate = SourceDate(1_700_000_000);

/// The modules of the package under test.
pub(crate) const MODULES: [&str; 2] = ["kiln_one", "kiln_two"];

/// A kernel of this machine that has headers.
pub(crate) fn kernel() -> &'static str {
    static KERNEL: OnceLock<String> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let mut kernels: Vec<String> = fs::read_dir("/lib/modules")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|kernel| headers(kernel).join("include/config/auto.conf").exists())
            .collect();
        kernels.sort();
        kernels.pop().expect("`make test` installs kernel headers")
    })
}

/// The headers of a kernel.
pub(crate) fn headers(kernel: &str) -> PathBuf {
    Path::new("/lib/modules").join(kernel).join("build")
}

/// A module's file, as it is built.
pub(crate) fn module(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(build);
    directory.join(format!("{name}.ko"))
}

fn build() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("publish-modules");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let mut makefile = String::from("obj-m :=");
    for name in MODULES {
        makefile.push_str(&format!(" {name}.o"));
        let source = format!(
            "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\nMODULE_DESCRIPTION(\"{name}\");\n"
        );
        fs::write(directory.join(format!("{name}.c")), source).unwrap();
    }
    fs::write(directory.join("Makefile"), makefile + "\n").unwrap();
    let output = Command::new("make")
        .arg("-C")
        .arg(headers(kernel()))
        .arg(format!("M={}", directory.display()))
        .env_remove("MAKEFLAGS")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for name in MODULES {
        let file = directory.join(format!("{name}.ko"));
        assert!(run("strip", &["-g", file.to_str().unwrap()]).0, "{name}");
    }
    directory
}

/// A package of all the modules.
pub(crate) fn package(family: Family) -> ModulePackage {
    let modules = MODULES.map(|name| ModuleFile {
        name: format!("{name}.ko"),
        from: module(name),
        directory: None,
    });
    let mut package = ModulePackage::new(family, id(), modules.into(), DATE);
    package.license = "GPL".to_owned();
    package
}

/// Which build the modules are of.
pub(crate) fn id() -> BuildId {
    BuildId {
        name: "kiln_pair".to_owned(),
        version: "1.0-rc2".to_owned(),
        kernel: kernel().to_owned(),
        machine: std::env::consts::ARCH.to_owned(),
    }
}

/// The name of the package under test.
pub(crate) fn name(family: Family) -> String {
    package(family).package_name().unwrap()
}

/// Writes a package twice, where its modules lie elsewhere, are younger and come in another
/// order the second time; both have to be the same.
pub(crate) fn written(package: &ModulePackage) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = package.write(directory.path()).unwrap();
    let mut other = package.clone();
    other.modules.reverse();
    for module in &mut other.modules {
        let copy = directory.path().join("other").join(&module.name);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(&copy, fs::read(&module.from).unwrap()).unwrap();
        module.from = copy;
    }
    let again = other.write(&directory.path().join("again")).unwrap();
    assert_eq!(again.file_name(), path.file_name());
    assert!(
        fs::read(&again).unwrap() == fs::read(&path).unwrap(),
        "{} is another when it is made again",
        path.display()
    );
    (directory, path)
}

/// Runs a program; whether it succeeds, and what it prints on either stream.
pub(crate) fn run(program: &str, words: &[&str]) -> (bool, String) {
    let output = Command::new(program)
        .args(words)
        .env("LC_ALL", "C.UTF-8")
        .output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Runs a program that has to succeed.
#[track_caller]
pub(crate) fn expect(program: &str, words: &[&str]) -> String {
    let (good, text) = run(program, words);
    assert!(good, "{program} {words:?}\n{text}");
    text
}
