//! The plan itself: packages x kernels, and what is to be done about each pair. It is complete
//! before anything is built, and does not change while it is run.

use std::sync::Arc;

use kiln_cache::Subject;
use kiln_kernel::KernelInput;

use super::{Cell, CellId, PackageInput, PackageInputError, SourceLocation};

/// As many lines of what a dkms.conf printed are told.
const COMPLAINTS: usize = 5;

/// Packages x kernels, and what is to be done about each pair.
pub struct Plan {
    /// The packages: those asked for, then those that they depend on.
    pub packages: Vec<PlannedPackage>,
    /// The kernels, oldest first.
    pub kernels: Vec<Arc<KernelInput>>,
    /// The cells, package by package.
    pub cells: Vec<Cell>,
}

/// A row of the matrix.
pub struct PlannedPackage {
    /// How it is called: name and version once they are known.
    pub label: String,
    /// Its source, if that could be read.
    pub input: Result<Arc<PackageInput>, Arc<PackageInputError>>,
    /// Whether the user named it.
    pub asked_for: bool,
}

impl PlannedPackage {
    /// What to call the package by on kiln's command line.
    pub fn argument(&self) -> String {
        match &self.input {
            Ok(input) => match (&input.registered, &input.location) {
                (Some(id), _) => id.to_string(),
                (None, SourceLocation::Directory(path))
                | (None, SourceLocation::Archive { file: path, .. }) => path.display().to_string(),
            },
            Err(_) => self.label.clone(),
        }
    }
}

impl Plan {
    /// The cell of a package and a kernel, by their places.
    pub fn cell(&self, package: usize, kernel: usize) -> CellId {
        CellId(package * self.kernels.len() + kernel)
    }

    /// What was printed while dkms.conf files were evaluated: each line once a package, with its name, the first few.
    pub fn complaints(&self) -> Vec<(&str, &str)> {
        let mut found = Vec::new();
        for (index, package) in self.packages.iter().enumerate() {
            let cells = self.cells.iter().filter(|cell| cell.package == index);
            let specs = cells.filter_map(|cell| cell.spec.as_deref());
            let mut lines: Vec<&str> = Vec::new();
            for line in specs.flat_map(|spec| &spec.conf.complaints) {
                if lines.len() < COMPLAINTS && !lines.contains(&&**line) {
                    lines.push(line);
                }
            }
            found.extend(lines.into_iter().map(|line| (&*package.label, line)));
        }
        found
    }

    /// What a cell's records are about.
    pub fn subject(&self, cell: CellId) -> Subject {
        let cell = &self.cells[cell.0];
        Subject {
            name: self.packages[cell.package].label.clone(),
            target: self.kernels[cell.kernel].tree.target(),
        }
    }
}
