//! The machine owner's key and its certificate: where they are, and how they come to be where there are none.
//!
//! Nobody reads the key here: what signs is told its name. One that others may read is not used.

use std::{
    env, fs, io,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use kiln_build::conf::{Framework, owners_text};
use kiln_durable::regular;
use kiln_files::{Guard, NewFile, Secrecy};
use kiln_kernel::sizes;
use kiln_publish::ModuleKey;

use super::{Session, console::Died, programs::program, target::Target};

impl Session {
    /// Finds the machine owner's key and certificate, and makes them where they are missing.
    /// Gives nothing where modules cannot be signed; it has been said why.
    ///
    /// # Errors
    /// Ends if a program that makes them was killed.
    pub(crate) fn prepare_mok(
        &mut self,
        target: &Target,
    ) -> Result<Option<(ModuleKey, String)>, Died> {
        let mut key = self.variables.value("mok_signing_key").to_owned();
        let mut certificate = self.variables.value("mok_certificate").to_owned();
        if key.is_empty() && self.distribution.is_ubuntu() {
            (key, certificate) = (
                "/var/lib/shim-signed/mok/MOK.priv".to_owned(),
                "/var/lib/shim-signed/mok/MOK.der".to_owned(),
            );
            let there = Path::new(&key).is_file() && Path::new(&certificate).is_file();
            if !there && self.ask_shim_for_a_key(&certificate)?.is_none() {
                return Ok(None);
            }
        } else if key.is_empty() && self.distribution.is_gentoo() {
            (key, certificate) = self.key_of_portage(target);
        }
        if key.is_empty() {
            key = "/var/lib/dkms/mok.key".to_owned();
        }
        let said = ModuleKey::new(&key);
        let key = said.name();
        self.console.line(format_args!("Signing key: {key}"));
        if certificate.is_empty() {
            certificate = "/var/lib/dkms/mok.pub".to_owned();
        }
        self.console
            .line(format_args!("Public certificate (MOK): {certificate}"));

        // What it leads to may be on a disk that is not there now.
        let leads_nowhere = |path: &&str| {
            let path = Path::new(path);
            path.is_symlink() && !path.exists()
        };
        if let Some(link) = [key, &certificate].into_iter().find(leads_nowhere) {
            self.console.line(format_args!(
                "{link} is a link that leads nowhere, modules won't be signed"
            ));
            return Ok(None);
        }
        let missing = |path: &str| !Path::new(path).is_file();
        if !said.is_in_token() && (missing(key) || missing(&certificate)) {
            self.console.line(
                "Certificate or key are missing, generating self signed certificate for MOK...",
            );
            if program("openssl").is_none() {
                self.console
                    .line("openssl not found, can't generate key and certificate.");
                return Ok(None);
            }
            // Who could write there would have root write to whatever they put in the place of what is made.
            for place in [key, &certificate].into_iter().filter(|path| missing(path)) {
                let directory = Path::new(place).parent().unwrap_or(Path::new("/"));
                let inspected = Guard::of_process().inspect(directory, Secrecy::Public);
                if let Err(suspicion) = inspected
                    && !suspicion.is_missing()
                {
                    self.console.line(format_args!(
                        "{place} is not made, modules won't be signed: {}",
                        suspicion.advice()
                    ));
                    return Ok(None);
                }
            }
            // What could not be made is missing, and that is told.
            if let Ok(status) = make_key(Path::new(key), Path::new(&certificate)) {
                self.must_have_ended("openssl", status)?;
            }
            if missing(key) {
                self.console.line(format_args!(
                    "Key file {key} not found and can't be generated, modules won't be signed"
                ));
                return Ok(None);
            }
        }
        if missing(&certificate) {
            self.console.line(format_args!(
                "Certificate file {certificate} not found and can't be generated, modules won't be signed"
            ));
            return Ok(None);
        }
        if !said.is_in_token() {
            let key = Path::new(key);
            if let Err(suspicion) = Guard::of_process().inspect_end(key, Secrecy::Secret) {
                self.console.line(format_args!(
                    "Key file {} is not used, modules won't be signed: {}",
                    key.display(),
                    suspicion.advice()
                ));
                return Ok(None);
            }
            // Who could put another in its place reads nothing.
            self.trust
                .judge(&mut self.console, "the signing key", key)?;
        }
        // Only where there is one are the files looked at once more.
        let settings = match said.has_pin() {
            true => Framework::files(),
            false => Vec::new(),
        };
        let telling = settings
            .into_iter()
            .filter(|file| said.is_told_by(&owners_text(file).unwrap_or_default()));
        for file in said.pin_file().into_iter().chain(telling) {
            if let Err(suspicion) = Guard::of_process().inspect_end(&file, Secrecy::Secret) {
                self.console.line(format_args!(
                    "The PIN in {} is not used, modules won't be signed: {}",
                    file.display(),
                    suspicion.advice()
                ));
                return Ok(None);
            }
        }
        let what = "the certificate (MOK)";
        self.trust
            .judge(&mut self.console, what, Path::new(&certificate))?;
        Ok(Some((said, certificate)))
    }

    /// Ubuntu's own tool makes and enrols the key.
    fn ask_shim_for_a_key(&mut self, certificate: &str) -> Result<Option<()>, Died> {
        let Some(policy) = program("update-secureboot-policy") else {
            self.console
                .line("Binary update-secureboot-policy not found, modules won't be signed");
            return Ok(None);
        };
        // It makes no new key beside an old certificate.
        let _ = fs::remove_file(certificate);
        self.console.line(
            "Certificate or key are missing, generating them using update-secureboot-policy...",
        );
        let made = Command::new(&policy)
            .arg("--new-key")
            .env("SHIM_NOTRIGGER", "y")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if let Ok(status) = made {
            self.must_have_ended("update-secureboot-policy", status)?;
        }
        let mut enroll = Command::new(&policy);
        enroll.arg("--enroll-key");
        super::scripts::run(&mut self.console, enroll);
        Ok(Some(()))
    }

    /// The key of portage's settings, or of the kernel's.
    fn key_of_portage(&mut self, target: &Target) -> (String, String) {
        let settings = regular::read_text_at_once(Path::new("/etc/portage/make.conf"), sizes::TEXT)
            .unwrap_or_default();
        let value = |name: &str| {
            env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .or_else(|| {
                    settings
                        .lines()
                        .filter_map(|line| line.split_once('='))
                        .find(|(key, _)| *key == name)
                        .map(|(_, value)| value.replace('"', ""))
                })
                .unwrap_or_default()
        };
        let (key, certificate) = (value("MODULES_SIGN_KEY"), value("MODULES_SIGN_CERT"));
        if !key.is_empty() || !self.kernel_config_path(target).is_file() {
            return (key, certificate);
        }
        let config = self.kernel_config(target);
        let said = config.value("CONFIG_MODULE_SIG_KEY").unwrap_or_default();
        let path = self.kernel_source_dir(target).join(said);
        let path = fs::canonicalize(&path)
            .unwrap_or(path)
            .display()
            .to_string();
        (path.clone(), path)
    }
}

/// Makes what is missing of a key and its certificate. A key that is there stays, and gets a
/// certificate; a certificate without its key, which may be enrolled, is kept under another name. Where there can be
/// no certificate there is a key, as with dkms. Gives how openssl ended.
fn make_key(key: &Path, certificate: &Path) -> io::Result<ExitStatus> {
    let mut new_key = match key.is_file() {
        true => None,
        false => Some(NewFile::beside(key, 0o600)?),
    };
    let mut new_certificate = match NewFile::beside(certificate, 0o644) {
        Err(error) if new_key.is_none() => return Err(error.into()),
        new => new.ok(),
    };
    let nowhere = Path::new("/dev/null");
    let mut command = Command::new("openssl");
    command
        .args(["req", "-new", "-x509", "-nodes", "-days", "36500"])
        .args(["-subj", "/CN=DKMS module signing key"])
        .args(["-addext", "extendedKeyUsage=codeSigning"]);
    match &new_key {
        Some(new) => command
            .args(["-newkey", "rsa:2048", "-keyout"])
            .arg(new.path()),
        None => command.arg("-key").arg(key),
    };
    let status = command
        .args(["-outform", "DER", "-out"])
        .arg(new_certificate.as_ref().map_or(nowhere, NewFile::path))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        return Ok(status);
    }
    for new in new_key.iter_mut().chain(&mut new_certificate) {
        new.file().sync_all()?;
    }
    // openssl does not notice that a disk is full.
    let are_whole = new_key.as_ref().is_none_or(|new| is_whole_key(new.path()))
        && new_certificate
            .as_ref()
            .is_none_or(|new| is_whole_certificate(new.path()));
    if !are_whole {
        return Err(io::ErrorKind::StorageFull.into());
    }
    if let Some(new) = new_key {
        keep_aside(certificate)?;
        new.place()?;
    }
    if let Some(new) = new_certificate {
        new.place()?;
    }
    Ok(status)
}

/// Whether a file has a key in PEM to its end (RFC 7468).
fn is_whole_key(path: &Path) -> bool {
    let text = regular::read_text_at_once(path, sizes::TEXT).unwrap_or_default();
    let last = text.trim_end().lines().last();
    last.is_some_and(|last| last.starts_with("-----END ") && last.ends_with("-----"))
}

/// Whether a file has a certificate in DER to its end: a sequence of as many bytes as it says (X.690, 8.1.3).
fn is_whole_certificate(path: &Path) -> bool {
    let bytes = regular::read_at_once(path, sizes::TEXT).unwrap_or_default();
    match bytes.as_slice() {
        [0x30, 0x81, length, content @ ..] => content.len() == usize::from(*length),
        [0x30, 0x82, high, low, content @ ..] => {
            content.len() == usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => false,
    }
}

/// Gives a file that is to be replaced a second name, which nothing has yet.
fn keep_aside(path: &Path) -> io::Result<()> {
    for number in 1_u32.. {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".old{number}"));
        match fs::hard_link(path, aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            result => return result,
        }
    }
    Ok(())
}
