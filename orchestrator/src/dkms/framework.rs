//! The variables of framework.conf and framework.conf.d, and those of the environment that
//! stand in for them.
//!
//! The files are bash and belong to the machine's owner. They are read in three helpings, as
//! dkms does, because values may mention the kernel at hand.

use std::{
    collections::BTreeMap,
    env, fs, io,
    process::{Command, Stdio},
};

use kiln_build::conf::{Framework, RawConf, evaluate_literal, framework_driver};
use kiln_durable::regular;
use kiln_files::{Guard, Secrecy};
use kiln_publish::ModuleKey;
use tempfile::TempDir;

/// What may be set before anything else is known.
pub(crate) const GENERAL: &[&str] = &[
    "source_tree",
    "dkms_tree",
    "install_tree",
    "tmp_location",
    "verbose",
    "symlink_modules",
    "autoinstall_all_kernels",
    "modprobe_on_install",
    "parallel_jobs",
    "compress_gzip_opts",
    "compress_xz_opts",
    "compress_zstd_opts",
    "build_environment",
    "post_transaction",
    "no_scripts",
];

/// What is asked for when modules are signed.
pub(crate) const SIGNING: &[&str] = &[
    "sign_file",
    "mok_signing_key",
    "mok_certificate",
    "try_sign_modules",
];

/// What is asked for when all is done.
pub(crate) const POST_TRANSACTION: &[&str] = &["post_transaction"];

/// Variables that the environment may set where no file does.
const FROM_ENVIRONMENT: &[&str] = &[
    "autoinstall_all_kernels",
    "modprobe_on_install",
    "parallel_jobs",
    "build_environment",
    "post_transaction",
    "sign_file",
    "mok_signing_key",
    "mok_certificate",
    "try_sign_modules",
];

/// The variables by name.
#[derive(Debug, Clone)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The built-in values, under those of the environment.
    pub(crate) fn initial() -> Self {
        let mut values = BTreeMap::from([
            ("dkms_tree", "/var/lib/dkms".to_owned()),
            ("source_tree", "/usr/src".to_owned()),
            ("install_tree", "/lib/modules".to_owned()),
            (
                "tmp_location",
                env::var("TMPDIR")
                    .ok()
                    .filter(|t| !t.is_empty())
                    .unwrap_or_else(|| "/tmp".to_owned()),
            ),
            (
                "compress_xz_opts",
                "--check=crc32 --lzma2=dict=1MiB".to_owned(),
            ),
            ("compress_zstd_opts", "-q --rm -T0".to_owned()),
        ]);
        for name in FROM_ENVIRONMENT {
            if let Ok(value) = env::var(name) {
                values.insert(name, value);
            }
        }
        Self(
            values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// A variable; unset is empty.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Sets a variable, as an option of the command line does.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Reads `names` from the files; `scope` is what else values may mention.
    ///
    /// # Errors
    /// Fails if one cannot be read, or bash does not come to the end of them.
    pub(crate) fn read(&mut self, names: &[&str], scope: &[(&str, &str)]) -> io::Result<()> {
        let Some(texts) = Framework::texts()? else {
            return Ok(());
        };
        let mut variables: Vec<(&str, &str)> = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        variables.extend_from_slice(scope);
        let slices: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let raw = match evaluate_literal(&slices, names, &variables, &[]) {
            Some(raw) => raw,
            None => run_bash(names, &variables)?,
        };
        for name in names {
            if let Some(value) = raw.stated(name) {
                self.0.insert((*name).to_owned(), value.to_owned());
            }
        }
        Ok(())
    }
}

/// What is said where the files cannot be read.
pub(crate) fn unread(error: &io::Error) -> String {
    format!("framework.conf cannot be evaluated: {error}.")
}

/// Makes a directory in which nobody else can put a script in the place of ours: TMPDIR is the caller's to say, and may be
/// anybody's.
fn own_directory() -> io::Result<TempDir> {
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    for parent in [env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
        let made = tempfile::tempdir_in(parent).and_then(|made| {
            let inspected = Guard::of_process().inspect(made.path(), Secrecy::Public);
            inspected.map_err(|suspicion| io::Error::other(suspicion.advice()))?;
            Ok(made)
        });
        match made {
            Ok(made) => return Ok(made),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Whether a value may be in the environment of programs: it is no key with a PIN.
fn is_public(value: &str) -> bool {
    !ModuleKey::new(value).has_pin()
}

/// Lets bash read the files, with the caller's rights: they are the machine owner's.
fn run_bash(names: &[&str], variables: &[(&str, &str)]) -> io::Result<RawConf> {
    let directory = own_directory()?;
    let script = directory.path().join("driver.sh");
    let out = directory.path().join("out");
    fs::write(&script, framework_driver())?;
    let mut command = Command::new("bash");
    command
        .args(["--norc", "--noprofile"])
        .arg(&script)
        .envs(
            variables
                .iter()
                .copied()
                .filter(|(_, value)| is_public(value)),
        )
        .env("KILN_MODE", "framework")
        .env("KILN_OUT", &out)
        .env("KILN_NAMES", names.join(" "))
        .stdin(Stdio::null());
    for (name, value) in variables {
        let inside = match *name {
            "kernelver" => "KILN_KERNEL",
            "arch" => "KILN_ARCH",
            "kernel_source_dir" => "KILN_KERNEL_DIR",
            "dkms_tree" => "KILN_DKMS_TREE",
            "source_tree" => "KILN_SOURCE_TREE",
            "install_tree" => "KILN_INSTALL_TREE",
            "module" => "KILN_MODULE",
            "module_version" => "KILN_VERSION",
            _ => continue,
        };
        command.env(inside, value);
    }
    let status = command.status()?;
    if !status.success() {
        let said = format!("bash did not come to its end ({status})");
        return Err(io::Error::other(said));
    }
    RawConf::parse(&regular::read_at_once(&out, kiln_kernel::sizes::TEXT)?)
        .map_err(io::Error::other)
}
