//! The packages, made from the program under test by the targets of the Makefile.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The packages that `make` makes.
pub(crate) struct Made {
    /// The Debian package.
    pub(crate) deb: PathBuf,
    /// The RPM package.
    pub(crate) rpm: PathBuf,
}

/// The packages, made by the first that asks.
pub(crate) fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
        let _ = fs::remove_dir_all(&output);
        make("deb rpm", &output);
        let of_kind = |extension: &str| {
            let mut paths = fs::read_dir(&output)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|e| e == extension));
            paths.next().unwrap()
        };
        Made {
            deb: of_kind("deb"),
            rpm: of_kind("rpm"),
        }
    })
}

/// Makes targets of the Makefile, for the program under test.
pub(crate) fn make(targets: &str, output: &Path) {
    let built = Path::new(env!("CARGO_BIN_EXE_kiln")).parent().unwrap();
    let profile = match built.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        profile => profile,
    };
    let done = Command::new("make")
        .args(targets.split(' '))
        .arg(format!("PROFILE={profile}"))
        .arg(format!("OUTPUT={}", output.display()))
        .env("CARGO_TARGET_DIR", built.parent().unwrap())
        .env_remove("MAKEFLAGS")
        .env_remove("LD_LIBRARY_PATH")
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "make {targets}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// A package of the corpus.
pub(crate) fn of_corpus(name: &str) -> PathBuf {
    let debs = root().join("corpus/debs");
    fs::read_dir(&debs)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            let file = path.file_name().unwrap().to_string_lossy();
            file.starts_with(&format!("{name}_"))
        })
        .unwrap_or_else(|| {
            panic!(
                "{name} is not in {}; `make test` downloads it",
                debs.display()
            )
        })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
