//! The distribution's own dkms builds the same packages for the same kernels: both make
//! the same modules, and both fail on the same packages.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

use crate::{
    kiln::{Run, open_directory},
    matrix::{Matrix, matrix},
    provisions::{name, path, program},
};

/// dkms runs at once; each make below uses every core for what it can.
const AT_ONCE: usize = 2;

#[test]
fn every_module_for_the_newest_kernel_is_the_one_that_dkms_builds() {
    let [(packages, kernels), _] = Matrix::runs();
    compare(&matrix().wide, packages, &kernels);
}

#[test]
fn modules_for_the_cloud_kernel_are_those_that_dkms_builds() {
    let [_, (mut packages, mut kernels)] = Matrix::runs();
    packages.truncate(2);
    kernels.retain(|kernel| kernel.contains("cloud"));
    assert!(
        !kernels.is_empty(),
        "no cloud kernel has headers; `make test` installs them"
    );
    compare(&matrix().deep, packages, &kernels);
}

/// Builds the packages with dkms and compares all modules; reports all that differ.
fn compare(run: &Run, packages: Vec<PathBuf>, kernels: &[String]) {
    for needed in ["dkms", "unshare", "strip"] {
        program(needed);
    }
    let script = path("tests/real-dkms.sh");
    let out = open_directory();
    let queue = Mutex::new(VecDeque::from(packages));
    let problems = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(source) = queue.lock().unwrap().pop_front() else {
                        return;
                    };
                    let to = out.path().join(name(&source));
                    dkms(&script, &to, &source, kernels);
                    for kernel in kernels {
                        let found = problems_of(run, &source, kernel, &to.join(kernel));
                        problems.lock().unwrap().extend(found);
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn dkms(script: &Path, to: &Path, source: &Path, kernels: &[String]) {
    let output = Command::new(script)
        .arg(to)
        .arg(source)
        .args(kernels)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cannot run dkms for {}: {}",
        name(source),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What differs between the two for one package and kernel.
fn problems_of(run: &Run, source: &Path, kernel: &str, dkms: &Path) -> Vec<String> {
    let cells = run.cells();
    let label = label(source);
    let cell = &cells[&(label.clone(), kernel.to_owned())];
    let result = cell["result"].as_str().unwrap();
    let status = fs::read_to_string(dkms.join("status")).unwrap();
    match (result, status.trim()) {
        ("built" | "hit", "0") => {}
        ("failed", status) if status != "0" => return Vec::new(),
        ("excluded", "77") => return Vec::new(),
        (_, status) => {
            return vec![format!(
                "{label} for {kernel}: {result} by kiln, exit code {status} of dkms"
            )];
        }
    }
    let theirs = modules(dkms);
    let ours = modules(&results(kernel, &label));
    if theirs.is_empty() || !theirs.keys().eq(ours.keys()) {
        return vec![format!(
            "{label} for {kernel}: dkms makes {:?}, kiln {:?}",
            theirs.keys(),
            ours.keys()
        )];
    }
    theirs
        .iter()
        .filter(|(module, bytes)| ours[*module] != **bytes)
        .map(|(module, _)| format!("{label} for {kernel}: {module} differs"))
        .collect()
}

/// NAME/VERSION, as the package's own conf says. The corpus has plain assignments only.
fn label(source: &Path) -> String {
    let conf = fs::read_to_string(source.join("dkms.conf")).unwrap();
    let field = |name: &str| {
        let line = conf
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default()
            .trim_matches(|c: char| c == '"' || c == '\'' || c.is_whitespace())
            .to_owned()
    };
    format!("{}/{}", field("PACKAGE_NAME"), field("PACKAGE_VERSION"))
}

/// Where kiln has put the modules of a package.
fn results(kernel: &str, label: &str) -> PathBuf {
    let arch = fs::read_dir(matrix().results().join(kernel))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    arch.join(label)
}

/// The modules in a directory, by name, without debugging information.
fn modules(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let stripped = open_directory();
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "ko"))
        .map(|path| {
            let copy = stripped.path().join(name(&path));
            let done = program("strip")
                .args(["-g", "-o"])
                .args([&copy, &path])
                .status()
                .unwrap();
            assert!(done.success(), "cannot strip {}", path.display());
            (name(&path), fs::read(copy).unwrap())
        })
        .collect()
}
