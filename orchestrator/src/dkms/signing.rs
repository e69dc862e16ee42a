//! Signing modules: with which tool, and whether at all. The key is `mok.rs`'s.

use std::{
    env, fs,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::Command,
};

use kiln_cache::{ObjectDigest, Output};
use kiln_durable::regular;
use kiln_publish::{ModuleKey, SIGNATURE_MARK};

use super::{
    Session,
    console::Died,
    framework::{SIGNING, unread},
    programs::{is_executable, program},
    target::Target,
};

/// How modules are signed for one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signing {
    /// Not at all.
    No,
    /// With sign-file or a program that takes the same arguments.
    With {
        program: PathBuf,
        hash: String,
        key: ModuleKey,
        certificate: String,
    },
}

impl Session {
    /// Checks that a kernel has headers, and finds out how its modules are signed; says so.
    ///
    /// # Errors
    /// Ends with 21 where the headers are missing, and where modules that cannot be signed
    /// would never be loaded.
    pub(crate) fn prepare_kernel_and_signing(&mut self, target: &Target) -> Result<(), Died> {
        if self
            .prepared
            .as_ref()
            .is_some_and(|(known, _)| known == target)
        {
            return Ok(());
        }
        self.prepare_kernel(target)?;
        let signing = self.prepare_signing(target)?;
        self.console.line("");
        if signing == Signing::No {
            self.must_not_be_enforced(target)?;
        }
        self.prepared = Some((target.clone(), signing));
        Ok(())
    }

    /// Checks that a kernel has headers.
    ///
    /// # Errors
    /// Ends with 21.
    pub(crate) fn prepare_kernel(&mut self, target: &Target) -> Result<(), Died> {
        if self.kernel_source_dir(target).join("include").exists() {
            return Ok(());
        }
        let kernel = &target.kernel;
        let tree = self.install_tree.display();
        Err(self.console.die(
            21,
            &[
                &format!(
                    "Your kernel headers for kernel {kernel} cannot be found at {tree}/{kernel}/build or {tree}/{kernel}/source."
                ),
                &format!(
                    "Please install your distribution's kernel headers package matching {kernel}, or use the --kernelsourcedir option to tell DKMS where it's located."
                ),
            ],
        ))
    }

    /// How modules of this kernel are signed, as far as it is known.
    pub(crate) fn signing(&self) -> Signing {
        self.prepared
            .as_ref()
            .map_or(Signing::No, |(_, signing)| signing.clone())
    }

    fn prepare_signing(&mut self, target: &Target) -> Result<Signing, Died> {
        let layout = self.layout();
        let target_of_conf = self.conf_reader().conf_target(target, &layout);
        let scope = target_of_conf.scope(None).unwrap_or_default();
        let scope: Vec<(&str, &str)> = scope.iter().map(|(n, v)| (*n, v.as_str())).collect();
        self.variables
            .read(SIGNING, &scope)
            .map_err(|error| self.console.die(1, &[&unread(&error)]))?;
        let wish = self.variables.value("try_sign_modules").to_owned();
        if wish == "false" {
            self.console
                .line("Module signing is disabled by policy, modules won't be signed");
            return Ok(Signing::No);
        }
        if wish != "true" && running_in_chroot() {
            self.console
                .line("Running in chroot, modules won't be signed");
            return Ok(Signing::No);
        }
        let config = self.kernel_config_path(target);
        if !config.is_file() {
            self.console.line(format_args!(
                "Kernel config {} not found, modules won't be signed",
                config.display()
            ));
            return Ok(Signing::No);
        }
        let Some(hash) = self
            .kernel_config(target)
            .value("CONFIG_MODULE_SIG_HASH")
            .map(str::to_owned)
        else {
            self.console.line(
                "The kernel is built without module signing facility, modules won't be signed",
            );
            return Ok(Signing::No);
        };
        let sign_file = self.sign_file(target);
        self.console
            .line(format_args!("Sign command: {}", sign_file.display()));
        if !is_executable(&sign_file) {
            self.console.line(format_args!(
                "Binary {} not found, modules won't be signed",
                sign_file.display()
            ));
            return Ok(Signing::No);
        }
        self.trust
            .judge(&mut self.console, "the sign command", &sign_file)?;
        Ok(match self.prepare_mok(target)? {
            Some((key, certificate)) => Signing::With {
                program: sign_file,
                hash,
                key,
                certificate,
            },
            None => Signing::No,
        })
    }

    fn sign_file(&mut self, target: &Target) -> PathBuf {
        let said = self.variables.value("sign_file");
        if !said.is_empty() {
            return said.into();
        }
        let kernel = target.kernel.as_str();
        let short = kernel.rsplit_once('.').map_or(kernel, |(short, _)| short);
        let usual = if self.distribution.is_debian() {
            Some(format!("/usr/lib/linux-kbuild-{short}/scripts/sign-file").into())
        } else if self.distribution.is_ubuntu() {
            program("kmodsign").or_else(|| {
                Some(format!("/usr/src/linux-headers-{kernel}/scripts/sign-file").into())
            })
        } else if self.distribution.is_gentoo() {
            Some(format!("/usr/src/linux-{kernel}/scripts/sign-file").into())
        } else {
            None
        };
        // Looked up for each kernel: a tool signs with the hashes that its kernel knows.
        usual.filter(|path| path.is_file()).unwrap_or_else(|| {
            self.kernel_directory(target)
                .join("build/scripts/sign-file")
        })
    }

    /// Signs a module in place; a failure is a warning, as in dkms.
    ///
    /// # Errors
    /// Ends if the program was killed: an unsigned module would stand for one that can be signed.
    pub(crate) fn sign(
        &mut self,
        signing: &Signing,
        module: &Path,
        built: &Output,
        shown: &Path,
    ) -> Result<bool, Died> {
        let Signing::With {
            program,
            hash,
            key,
            certificate,
        } = signing
        else {
            return Ok(true);
        };
        self.console
            .line(format_args!("Signing module {}", shown.display()));
        let mut command = Command::new(program);
        command.arg(hash);
        let handed = key.hand_to(&mut command);
        command.arg(certificate).arg(module);
        let output = handed.and_then(|()| command.output());
        let words = match output {
            Ok(output) => {
                self.must_have_ended("sign-file", output.status)?;
                if !output.status.success() {
                    [output.stdout, output.stderr].concat()
                } else if is_signed(module, built).unwrap_or(false) {
                    return Ok(true);
                } else {
                    // sign-file does not notice that a disk is full.
                    b"What it has left is not the module with a signature.".to_vec()
                }
            }
            Err(error) => error.to_string().into_bytes(),
        };
        let words = String::from_utf8_lossy(&words);
        self.console.warn(&[
            &format!("Failed to sign module '{}'!", shown.display()),
            words.trim_end_matches('\n'),
        ]);
        Ok(false)
    }

    /// Ends if the kernel loads signed modules only: an unsigned one would be installed, and
    /// then be missed at the next boot.
    ///
    /// # Errors
    /// Ends with 6.
    pub(crate) fn must_not_be_enforced(&mut self, target: &Target) -> Result<(), Died> {
        let Some(reason) = self.enforcement(target) else {
            return Ok(());
        };
        Err(self.console.die(
            6,
            &[
                &format!("Kernel {} loads signed modules only ({reason}).", target.kernel),
                "Make and enroll a key with 'dkms generate_mok' and 'mokutil --import /var/lib/dkms/mok.pub',",
                "or name one in /etc/dkms/framework.conf (mok_signing_key, mok_certificate).",
                "You may override by specifying --force.",
            ],
        ))
    }

    /// Why a kernel loads no unsigned modules, if it does not.
    fn enforcement(&mut self, target: &Target) -> Option<&'static str> {
        if self.force {
            return None;
        }
        if self.kernel_config(target).value("CONFIG_MODULE_SIG_FORCE") == Some("y") {
            return Some("CONFIG_MODULE_SIG_FORCE");
        }
        if target.kernel.as_str() != super::targets::uname("-r") {
            return None;
        }
        let lockdown = regular::text_of_system("/sys/kernel/security/lockdown").unwrap_or_default();
        if lockdown.contains("[integrity]") || lockdown.contains("[confidentiality]") {
            return Some("lockdown");
        }
        let enforced = regular::text_of_system("/sys/module/module/parameters/sig_enforce");
        if enforced.is_ok_and(|value| value.trim() == "Y") {
            return Some("module.sig_enforce");
        }
        secure_boot().then_some("Secure Boot")
    }
}

/// Whether a file is a module as it was built, with a signature at its end.
fn is_signed(module: &Path, built: &Output) -> io::Result<bool> {
    let mut file = regular::open_at_once(module)?;
    let mark = SIGNATURE_MARK.len() as u64;
    let length = file.metadata()?.len();
    if length < built.size.saturating_add(mark)
        || ObjectDigest::of_reader((&file).take(built.size))? != built.object
    {
        return Ok(false);
    }
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(length - mark))?;
    file.take(mark).read_to_end(&mut end)?;
    Ok(end == SIGNATURE_MARK)
}

/// Whether the firmware says that Secure Boot is on (the last byte of the variable).
fn secure_boot() -> bool {
    let directory = "/sys/firmware/efi/efivars";
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("SecureBoot-")
        })
        .any(|entry| regular::of_system(entry.path()).is_ok_and(|bytes| bytes.last() == Some(&1)))
}

/// Whether this is a chroot, as Debian's ischroot(1) finds out.
fn running_in_chroot() -> bool {
    let value = |name: &str| env::var(name).unwrap_or_default();
    if value("FAKECHROOT") == "true"
        && env::var_os("FAKECHROOT_BASE").is_some()
        && value("LD_PRELOAD").contains("libfakechroot.so")
    {
        return true;
    }
    if let (Ok(of_init), Ok(own)) = (
        regular::of_system("/proc/1/mountinfo"),
        regular::of_system("/proc/self/mountinfo"),
    ) && of_init != own
    {
        return true;
    }
    rustix::process::geteuid().is_root() && !same_root_as_init()
}

/// Whether `/` is what it is for the first process.
fn same_root_as_init() -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &str| fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    identity("/proc/1/root") == identity("/")
}
