//! The other tools on the same work: the distribution's dkms, and plain make.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    Result,
    measure::{Measured, checked},
    site::{Site, file_name, label},
};

/// The user that kiln drops to where root calls it.
const NOBODY: &str = "65534";

/// Builds a package with dkms, a kernel after the other, and gives the time of each
/// `dkms build`. The set-up is not in it; dkms' tree is in memory.
pub(crate) fn dkms(site: &Site, source: &Path, kernels: &[String]) -> Result<Vec<Duration>> {
    let out = site.work("dkms").join(file_name(source));
    checked(
        Command::new(site.root.join("tests/real-dkms.sh"))
            .arg(&out)
            .arg(source)
            .args(kernels),
    )?;
    kernels
        .iter()
        .map(|kernel| {
            let number = |name: &str| -> Result<u64> {
                let text = fs::read_to_string(out.join(kernel).join(name))?;
                Ok(text.trim().parse()?)
            };
            match number("status")? {
                0 => Ok(Duration::from_millis(number("ms")?)),
                status => Err(format!(
                    "dkms ends with {status} on {} for {kernel}, which kiln builds",
                    source.display()
                )
                .into()),
            }
        })
        .collect()
}

/// A copy of a package's source that plain make builds in, at a path like that of dkms.
pub(crate) struct PlainMake {
    tree: PathBuf,
    script: String,
    make_options: String,
}

impl PlainMake {
    /// Prepares to build with `jobs` processes; `make_options`, quoted for a shell, go
    /// to the MAKE command.
    pub(crate) fn new(site: &Site, jobs: usize, make_options: &str) -> Self {
        Self {
            tree: site.work("plain"),
            // What dkms does after reading the conf: the MAKE command with -j and
            // KERNELRELEASE, then strip.
            script: format!(
                r#"set -e
                arch=x86_64 kernel_source_dir=/lib/modules/$kernelver/build source_tree=/usr/src
                . ./dkms.conf
                command=${{MAKE[0]:-make -C $kernel_source_dir M=$PWD}}
                eval "${{command/#make/make -j{jobs} KERNELRELEASE=$kernelver $make_options}}"
                for index in "${{!BUILT_MODULE_NAME[@]}}"; do
                    strip -g "${{BUILT_MODULE_LOCATION[index]}}${{BUILT_MODULE_NAME[index]}}.ko"
                done"#
            ),
            make_options: make_options.to_owned(),
        }
    }

    /// Copies the source afresh, which is not measured, and builds it, which is.
    pub(crate) fn run(&self, source: &Path, kernel: &str, cache: &Path) -> Result<Measured> {
        let version = self.tree.join(file_name(source)).join("version");
        let _ = fs::remove_dir_all(&version);
        fs::create_dir_all(&version)?;
        // A dkms.conf may name $dkms_tree/NAME/VERSION/build.
        let package = version.join(label(source)?);
        fs::create_dir_all(&package)?;
        let build = package.join("build");
        checked(Command::new("cp").arg("-a").arg(source).arg(&build))?;
        let mut command = Command::new("bash");
        if fs::metadata(&version)?.uid() == 0 {
            checked(Command::new("chown").args(["-R", NOBODY]).arg(&version))?;
            command = Command::new("setpriv");
            command.args([
                "--reuid",
                NOBODY,
                "--regid",
                NOBODY,
                "--clear-groups",
                "bash",
            ]);
        }
        command
            .args(["-c", &self.script])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .env("kernelver", kernel)
            .env("make_options", &self.make_options)
            .env("dkms_tree", &version)
            .env("CCACHE_DIR", cache)
            .current_dir(&build);
        checked(&mut command)
    }
}
