//! Errors that end a command: what failed, why, and what to do.

use kiln_build::plan::{PlanError, SiteError};
use kiln_cache::StoreError;
use kiln_farm::{FarmError, KernelProblem};
use kiln_kernel::{
    KernelSelectionError, KernelStoreError, KernelTreeError, package::FindError,
    toolbox::SystemRootError,
};
use kiln_report::ReportError;

use super::{config, out, words};
use crate::error::CommandError;

/// Prints an error with its causes and a hint.
pub(crate) fn command_error(error: &CommandError) {
    if let CommandError::Config(error) = error {
        config::problems(&error.problems);
        return;
    }
    out::error_line(&format!("kiln: error: {}", words::chain(error)));
    if let Some(hint) = hint(error) {
        out::error_line(&format!("kiln: hint: {hint}"));
    }
}

fn hint(error: &CommandError) -> Option<String> {
    match error {
        CommandError::Kernels(error) => kernel_hint(error),
        CommandError::Farm(error) => farm_hint(error),
        CommandError::Find(FindError::Broken { package, .. }) => Some(format!(
            "put the source back and run `dkms add {package}`, or remove the package from the tree"
        )),
        CommandError::Find(FindError::NotFound { .. }) => Some(
            "give a path with a slash in it, for instance ./NAME, for a directory here".to_owned(),
        ),
        CommandError::Report(error) => report_hint(error),
        CommandError::Isolation(_) => Some(
            "it may work when it is tried again; nothing was built without a sandbox".to_owned(),
        ),
        CommandError::NoProgram { program } => Some(words::install_hint(program)),
        CommandError::NoRecord { package, kernel } => {
            let kernel = kernel.split('/').next().unwrap_or(kernel);
            Some(format!("kiln build {package} -k {kernel}"))
        }
        CommandError::Store(error)
        | CommandError::Site(SiteError::Store(error))
        | CommandError::Plan(PlanError::Store(error) | PlanError::Site(SiteError::Store(error))) => {
            store_hint(error)
        }
        _ => None,
    }
}

fn farm_hint(error: &FarmError) -> Option<String> {
    Some(match error {
        FarmError::NoManifest { .. } => {
            "name the manifest: kiln farm run FILE; docs/farm.md has one to begin with".to_owned()
        }
        FarmError::UnknownKey { allowed, meant, .. } => {
            let meant = meant.as_ref().map(|key| format!("did you mean {key:?}? "));
            format!(
                "{}allowed here: {}",
                meant.unwrap_or_default(),
                allowed.join(", ")
            )
        }
        FarmError::Empty {
            key: "packages", ..
        } => "packages = [\"PATH\", ...]: directories, .deb, .rpm, tarballs, globs".to_owned(),
        FarmError::Empty { key: "kernels", .. } => {
            "a [[kernels]] entry with `release`, `headers` or `tree`".to_owned()
        }
        FarmError::EmptyRule { .. } => {
            "name at least one of package, version, kernel, name, arch".to_owned()
        }
        FarmError::Kernel { source, .. } => match source.as_ref() {
            KernelProblem::Selection(error) => return kernel_hint(error),
            _ => return None,
        },
        FarmError::SameKernel { .. } => {
            "results of both would have one name: keep one of them".to_owned()
        }
        FarmError::SamePackage { .. } => "keep one of them in the manifest".to_owned(),
        FarmError::SameModule { kernel, second, .. } => {
            let name = second.split('/').next().unwrap_or(second);
            format!(
                "leave one of them out: [[matrix.exclude]] with package = {name:?} and kernel = {kernel:?}"
            )
        }
        FarmError::NothingMatches { .. } | FarmError::NotThere { .. } => {
            "paths and globs are relative to the manifest".to_owned()
        }
        _ => return None,
    })
}

fn report_hint(error: &ReportError) -> Option<String> {
    match error {
        ReportError::Occupied { .. } => {
            Some("give --report a directory of its own, or the one of an earlier report".to_owned())
        }
        ReportError::Version {
            found, expected, ..
        } if found > expected => Some("use the newer kiln".to_owned()),
        ReportError::Read { .. } | ReportError::NotAReport { .. } => {
            Some("give the DIR of `kiln build --report DIR`, or a report.json".to_owned())
        }
        _ => None,
    }
}

fn kernel_hint(error: &KernelSelectionError) -> Option<String> {
    match error {
        KernelSelectionError::Tree(KernelTreeError::NoHeaders { kernel, .. }) => {
            let is_path = kernel.contains('/');
            (!is_path).then(|| headers_package(kernel))
        }
        KernelSelectionError::Tree(KernelTreeError::Incomplete { missing, path }) => {
            Some(if *missing == "Module.symvers" {
                format!(
                    "without it modules have no symbol versions: build the kernel's modules in {} (make modules), or install the distribution's headers",
                    path.display()
                )
            } else {
                "configure and prepare the tree (make modules_prepare), or install the distribution's headers".to_owned()
            })
        }
        KernelSelectionError::NoneInstalled => Some(headers_package("<release>")),
        KernelSelectionError::NoMatch { available, .. } => Some(if available.is_empty() {
            "no kernel has headers; install some first".to_owned()
        } else {
            format!("kernels with headers: {}", available.join(", "))
        }),
        KernelSelectionError::Store(error) => header_package_hint(error),
        KernelSelectionError::Root(SystemRootError::Incomplete { .. }) => Some(
            "a root is a whole system with bash, make and a compiler: a debootstrap folder, an unpacked container image".to_owned(),
        ),
        _ => None,
    }
}

fn header_package_hint(error: &KernelStoreError) -> Option<String> {
    match error {
        KernelStoreError::Missing {
            package: Some(package),
            ..
        } => Some(format!("give that package too: -k {package}_....deb")),
        KernelStoreError::NoKernel { .. } | KernelStoreError::Missing { .. } => Some(
            "a kernel takes all of its header packages: on Debian linux-headers-<release>, linux-headers-<version>-common and linux-kbuild-<version>; on others linux-headers-<release> with the headers it depends on, or kernel-devel".to_owned(),
        ),
        KernelStoreError::Conflict { .. } => {
            Some("give packages that exclude each other in separate commands".to_owned())
        }
        _ => None,
    }
}

/// How distributions call the package with a kernel's headers.
fn headers_package(release: &str) -> String {
    let has = |path: &str| std::path::Path::new(path).exists();
    if has("/usr/bin/apt-get") {
        format!("apt-get install linux-headers-{release}")
    } else if has("/usr/bin/dnf") {
        format!("dnf install kernel-devel-{release}")
    } else if has("/usr/bin/zypper") {
        "zypper install kernel-default-devel".to_owned()
    } else if has("/usr/bin/pacman") {
        "pacman -S linux-headers".to_owned()
    } else {
        format!("install the kernel headers for {release}")
    }
}

fn store_hint(error: &StoreError) -> Option<String> {
    Some(match error {
        StoreError::NotOurs { .. } | StoreError::ReadOnly { .. } => {
            "choose another cache with --cache-dir or KILN_CACHE".to_owned()
        }
        StoreError::WritableByOthers { path, .. } => {
            format!("chmod go-w {}", path.display())
        }
        StoreError::Exposed { source, .. } => return source.remedy(),
        StoreError::NewerFormat { .. } => {
            "use the newer kiln, or another cache with --cache-dir".to_owned()
        }
        StoreError::NoSpace { .. } => {
            "make room, or run `kiln cache gc --max-size SIZE`".to_owned()
        }
        _ => return None,
    })
}
