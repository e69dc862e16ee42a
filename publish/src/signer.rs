//! Signs modules with the farm's key, as the kernel's scripts/sign-file does.
//!
//! An appended signature is a CMS message in DER, a `struct module_signature` and a magic
//! string (include/linux/module_signature.h, Documentation/admin-guide/module-signing.rst); a
//! detached one is the message alone, in `<module>.p7s`. The message names the certificate by
//! issuer and serial number, and has neither certificates nor a time in it: with an RSA key it
//! is the same whenever it is made, and whichever of the two tools makes it.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kiln_files::{Guard, Secrecy};
use tempfile::TempDir;

use crate::{
    error::PublishError,
    field, input,
    key::ModuleKey,
    output::{TEMPORARY, replace_with},
};

const ELF: &[u8] = b"\x7fELF";
/// What a signed module ends with: MODULE_SIG_STRING of the kernel's module_signature.h.
pub const SIGNATURE_MARK: &[u8] = b"~Module signature appended~\n";
/// Size of `struct module_signature`.
const TRAILER: usize = 12;
/// `id_type` of a CMS message: PKEY_ID_PKCS7.
const CMS: u8 = 2;

/// How modules are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSigner {
    /// With what.
    pub tool: SigningTool,
    /// The hash, as CONFIG_MODULE_SIG_HASH has it: `sha256`, `sha512`.
    pub hash: String,
    /// The private key: a file in PEM, or, for sign-file, one in a token.
    pub key: ModuleKey,
    /// The certificate, in DER or PEM.
    pub certificate: PathBuf,
}

/// What makes signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningTool {
    /// The kernel's sign-file, or a program that takes the same arguments (Ubuntu's kmodsign).
    SignFile(PathBuf),
    /// openssl(1), at least 3.0: for kernels whose sign-file is not at hand or does not run.
    Openssl,
}

impl ModuleSigner {
    /// Checks that key, certificate and tool are there, before anything is built for them.
    ///
    /// # Errors
    /// Fails with the first that is missing or not believed.
    pub fn check(&self) -> Result<(), PublishError> {
        field::component("hash", &self.hash)?;
        if let SigningTool::SignFile(program) = &self.tool {
            believed("program", program, Secrecy::Public)?;
        }
        if !(self.key.is_in_token() && matches!(self.tool, SigningTool::SignFile(_))) {
            believed("key", Path::new(self.key.name()), Secrecy::Secret)?;
        }
        believed("certificate", &self.certificate, Secrecy::Public)
    }

    /// Writes a module with its signature to `to`, which may be the module itself; works in a
    /// directory beside the module. Signatures
    /// that it had are replaced, so that signing twice changes nothing.
    ///
    /// # Errors
    /// Fails if the module is none, and if it cannot be signed or written.
    pub fn sign(&self, module: &Path, to: &Path) -> Result<(), PublishError> {
        let content = read(module)?;
        let unsigned = unsigned(&content);
        let signed = match &self.tool {
            SigningTool::Openssl => appended(unsigned, &self.message(module, unsigned)?),
            SigningTool::SignFile(program) => {
                let directory = beside(module)?;
                let file = staged(&directory, unsigned)?;
                self.run(program, &[], &file, module)?;
                let signed = input::read(&file)?;
                if !signed.starts_with(unsigned) || signature_length(&signed).is_none() {
                    return Err(self.not_signed(module, "there is no signature in its result"));
                }
                signed
            }
        };
        replace_with(to, &signed)
    }

    /// Writes a signature of a module as it is to `<module>.p7s`, and gives that path.
    ///
    /// # Errors
    /// Fails if the module is none, and if it cannot be signed or the signature not written.
    pub fn detach(&self, module: &Path) -> Result<PathBuf, PublishError> {
        let content = read(module)?;
        let message = self.message(module, &content)?;
        let path = with_ending(module, ".p7s");
        replace_with(&path, &message)?;
        Ok(path)
    }

    /// The signature of a module's content.
    fn message(&self, module: &Path, content: &[u8]) -> Result<Vec<u8>, PublishError> {
        let directory = beside(module)?;
        let input = staged(&directory, content)?;
        let output = with_ending(&input, ".p7s");
        match &self.tool {
            SigningTool::SignFile(program) => {
                self.run(program, &["-d"], &input, module)?;
            }
            SigningTool::Openssl => self.run_openssl(&input, &output, module)?,
        }
        let message = input::read(&output).unwrap_or_default();
        if message.is_empty() {
            return Err(self.not_signed(module, "it has made no signature"));
        }
        Ok(message)
    }

    fn run(
        &self,
        program: &Path,
        options: &[&str],
        file: &Path,
        module: &Path,
    ) -> Result<(), PublishError> {
        let mut command = Command::new(program);
        command.args(options).arg(&self.hash);
        let handed = self.key.hand_to(&mut command);
        handed.map_err(|error| self.not_signed(module, &error.to_string()))?;
        command.arg(&self.certificate).arg(file);
        self.finish(command, module)
    }

    fn run_openssl(&self, input: &Path, output: &Path, module: &Path) -> Result<(), PublishError> {
        let mut command = Command::new("openssl");
        command
            .args([
                "cms",
                "-sign",
                "-binary",
                "-noattr",
                "-nocerts",
                "-nosmimecap",
            ])
            .args(["-md", &self.hash, "-inkey", self.key.name(), "-signer"])
            .arg(&self.certificate)
            .args(["-outform", "DER", "-in"])
            .arg(input)
            .arg("-out")
            .arg(output)
            .stdin(Stdio::null());
        self.finish(command, module)
    }

    fn finish(&self, mut command: Command, module: &Path) -> Result<(), PublishError> {
        let output = command.output();
        let output = output.map_err(|source| PublishError::Program {
            program: command.get_program().into(),
            source,
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        Err(self.not_signed(module, if said.is_empty() { "it failed" } else { said }))
    }

    fn not_signed(&self, module: &Path, said: &str) -> PublishError {
        PublishError::NotSigned {
            program: match &self.tool {
                SigningTool::SignFile(program) => program.clone(),
                SigningTool::Openssl => "openssl".into(),
            },
            module: module.to_owned(),
            said: said.to_owned(),
        }
    }
}

/// A directory next to a module, where there is room for another.
fn beside(module: &Path) -> Result<TempDir, PublishError> {
    let directory = module.parent().filter(|p| !p.as_os_str().is_empty());
    tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempdir_in(directory.unwrap_or(Path::new(".")))
        .map_err(PublishError::write(module))
}

/// A copy of what is signed: it stays what was read even if the module is replaced meanwhile.
fn staged(directory: &TempDir, content: &[u8]) -> Result<PathBuf, PublishError> {
    let path = directory.path().join("module");
    fs::write(&path, content).map_err(PublishError::write(&path))?;
    Ok(path)
}

/// Checks that a file, which messages call `what`, is there, and that nobody else could have changed it, or read
/// it if it is a secret.
///
/// # Errors
/// Fails if it is not so.
pub fn believed(what: &'static str, path: &Path, secrecy: Secrecy) -> Result<(), PublishError> {
    if !path.is_file() {
        return Err(PublishError::SigningInput {
            what,
            path: path.to_owned(),
        });
    }
    let inspected = Guard::of_process().inspect(path, secrecy);
    inspected.map_err(|suspicion| PublishError::SigningUntrusted { what, suspicion })
}

fn read(module: &Path) -> Result<Vec<u8>, PublishError> {
    let content = input::read(module)?;
    if content.starts_with(ELF) {
        return Ok(content);
    }
    Err(PublishError::NotAModule {
        path: module.to_owned(),
    })
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// A module with a signature behind it.
fn appended(module: &[u8], message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a signature is a few hundred bytes");
    let mut trailer = [0; TRAILER];
    trailer[2] = CMS;
    trailer[8..].copy_from_slice(&length.to_be_bytes());
    [module, message, &trailer, SIGNATURE_MARK].concat()
}

/// A module without the signatures behind it.
fn unsigned(mut content: &[u8]) -> &[u8] {
    while let Some(length) = signature_length(content) {
        content = &content[..content.len() - length];
    }
    content
}

/// The bytes that the last signature takes, all told.
fn signature_length(content: &[u8]) -> Option<usize> {
    let trailer = content
        .strip_suffix(SIGNATURE_MARK)?
        .last_chunk::<TRAILER>()?;
    let length = u32::from_be_bytes([trailer[8], trailer[9], trailer[10], trailer[11]]);
    let all = usize::try_from(length).ok()? + TRAILER + SIGNATURE_MARK.len();
    (all <= content.len()).then_some(all)
}
