//! The matrix that several tests look at, built once in a test run: every package for the
//! newest kernel, and a few small ones for the others.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    kiln::{self, Run, build, run},
    provisions::{kernels, package, packages},
};

/// Packages that are quick to build: they get all kernels.
const SMALL: [&str; 4] = ["acpi-call", "v4l2loopback", "rapiddisk", "bbswitch"];

/// The matrix after its first run.
pub(crate) struct Matrix {
    /// Holds the cache and the results, until the next run.
    directory: PathBuf,
    /// Every package, for the newest kernel.
    pub(crate) wide: Run,
    /// The small ones, for the other kernels.
    pub(crate) deep: Run,
}

impl Matrix {
    /// The cache that was filled.
    pub(crate) fn cache(&self) -> PathBuf {
        self.directory.join("cache")
    }

    /// Where kiln has put the results of all cells.
    pub(crate) fn results(&self) -> PathBuf {
        self.directory.join("results")
    }

    /// The directories and kernels of the two runs.
    pub(crate) fn runs() -> [(Vec<PathBuf>, Vec<String>); 2] {
        let mut newest = kernels();
        let others = newest.split_off(1);
        [(packages(), newest), (SMALL.map(package).to_vec(), others)]
    }
}

/// The matrix; the first caller builds it.
pub(crate) fn matrix() -> &'static Matrix {
    static MATRIX: OnceLock<Matrix> = OnceLock::new();
    MATRIX.get_or_init(|| {
        // What a static holds is never dropped, so no temporary directory would be removed.
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus-matrix");
        if directory.exists() {
            fs::remove_dir_all(&directory).unwrap();
        }
        fs::create_dir(&directory).unwrap();
        let cache = directory.join("cache");
        let [wide, deep] = Matrix::runs().map(|(packages, kernels)| {
            let mut command = build(&cache, &packages, &kernels);
            command.arg("-o").arg(directory.join("results"));
            run(command)
        });
        Matrix {
            directory,
            wide,
            deep,
        }
    })
}

#[test]
fn kiln_keeps_little_in_memory_while_it_builds_the_matrix() {
    let matrix = matrix();
    for run in [&matrix.wide, &matrix.deep] {
        assert!(run.peak_memory > 0, "its memory was seen");
        assert!(
            run.peak_memory < 300 << 20,
            "kiln held {} bytes",
            run.peak_memory
        );
    }
}

#[test]
fn a_failed_job_names_the_file_and_line() {
    for prefix in ["lttng-modules", "librem_ec_acpi"] {
        let cells = matrix().wide.cells();
        let ((label, _), cell) = cells
            .into_iter()
            .find(|((label, _), _)| label.starts_with(prefix))
            .unwrap();
        assert_eq!(kiln::text(&cell["result"]), "failed", "{label}");
        let error = &cell["first_error"];
        assert!(
            error["file"].is_string() && error["line"].is_u64(),
            "{label}: {error}"
        );
    }
}
