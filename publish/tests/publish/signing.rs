//! Signed modules and detached signatures: sign-file and openssl make the same, and modinfo
//! and openssl read it.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use kiln_publish::{ModuleKey, ModuleSigner, PublishError, SigningTool};
use tempfile::TempDir;

use crate::made::{expect, headers, kernel, module};

/// A directory with a key, a certificate and a module, and what signs with each tool.
struct Signing {
    directory: TempDir,
    signers: [ModuleSigner; 2],
}

impl Signing {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        expect(
            "openssl",
            &[
                "req",
                "-new",
                "-x509",
                "-nodes",
                "-days",
                "36500",
                "-newkey",
                "rsa:2048",
                "-subj",
                "/CN=the farm",
                "-keyout",
                &path("key.pem"),
                "-outform",
                "DER",
                "-out",
                &path("certificate.der"),
            ],
        );
        fs::copy(module("kiln_one"), path("one.ko")).unwrap();
        let sign_file = headers(kernel()).join("scripts/sign-file");
        let signers =
            [SigningTool::SignFile(sign_file), SigningTool::Openssl].map(|tool| ModuleSigner {
                tool,
                hash: "sha256".to_owned(),
                key: ModuleKey::new(&path("key.pem")),
                certificate: path("certificate.der").into(),
            });
        for signer in &signers {
            signer.check().unwrap();
        }
        Self { directory, signers }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

#[test]
fn modinfo_reads_the_signature_that_either_tool_appends() {
    let signing = Signing::new();
    let module = signing.path("one.ko");
    let built = fs::read(&module).unwrap();
    let mut results = Vec::new();
    for (signer, name) in signing.signers.iter().zip(["a.ko", "b.ko"]) {
        let signed = signing.path(name);
        signer.sign(&module, &signed).unwrap();
        let shown = expect("modinfo", &[signed.to_str().unwrap()]);
        for wanted in ["the farm", "sha256", "PKCS#7"] {
            assert!(shown.contains(wanted), "{wanted}:\n{shown}");
        }
        results.push(fs::read(&signed).unwrap());
    }
    assert!(results[0] == results[1], "the tools differ");
    assert!(results[0].starts_with(&built) && results[0].len() > built.len());
    assert_eq!(fs::read(&module).unwrap(), built);

    // In place, and again: it stays what it is.
    for signer in &signing.signers {
        signer.sign(&module, &module).unwrap();
        assert!(fs::read(&module).unwrap() == results[0]);
    }
    let left = fs::read_dir(signing.directory.path()).unwrap().count();
    assert_eq!(left, 5, "something is left of the work");
}

#[test]
fn openssl_verifies_the_detached_signature_that_either_tool_makes() {
    let signing = Signing::new();
    let module = signing.path("one.ko");
    let certificate = signing.path("certificate.pem");
    let (from, to) = (
        signing.path("certificate.der"),
        certificate.to_str().unwrap(),
    );
    expect(
        "openssl",
        &[
            "x509",
            "-inform",
            "DER",
            "-in",
            from.to_str().unwrap(),
            "-out",
            to,
        ],
    );
    let mut results = Vec::new();
    for signer in &signing.signers {
        let signature = signer.detach(&module).unwrap();
        assert_eq!(signature, signing.path("one.ko.p7s"));
        let verify = |file: &PathBuf| {
            Command::new("openssl")
                .args([
                    "cms",
                    "-verify",
                    "-binary",
                    "-inform",
                    "DER",
                    "-noverify",
                    "-out",
                    "/dev/null",
                    "-certfile",
                    to,
                    "-in",
                ])
                .arg(&signature)
                .arg("-content")
                .arg(file)
                .output()
                .unwrap()
        };
        let verified = verify(&module);
        assert!(verified.status.success(), "{verified:?}");
        assert!(!verify(&certificate).status.success());
        results.push(fs::read(&signature).unwrap());
    }
    assert!(results[0] == results[1], "the tools differ");
}

#[test]
fn what_cannot_be_signed_stays_as_it_is() {
    let signing = Signing::new();
    let compressed = signing.path("one.ko.xz");
    fs::write(&compressed, b"\xfd7zXZ\0...").unwrap();
    let module = signing.path("one.ko");
    let built = fs::read(&module).unwrap();
    for signer in &signing.signers {
        let error = signer.sign(&compressed, &compressed).unwrap_err();
        assert!(matches!(error, PublishError::NotAModule { .. }), "{error}");

        let mut wrong = signer.clone();
        wrong.hash = "md99".to_owned();
        for error in [
            wrong.sign(&module, &module).unwrap_err(),
            wrong.detach(&module).unwrap_err(),
        ] {
            assert!(matches!(error, PublishError::NotSigned { .. }), "{error}");
            assert!(error.to_string().contains("one.ko: "), "{error}");
        }

        wrong.key = ModuleKey::new(signing.path("none").to_str().unwrap());
        wrong.hash = "sha256".to_owned();
        assert_eq!(
            wrong.check().unwrap_err().to_string(),
            format!("the key for signing modules is not at {}", wrong.key.name())
        );
    }
    // A program that says it has signed, and has not.
    let mut liar = signing.signers[0].clone();
    liar.tool = SigningTool::SignFile("/bin/true".into());
    for error in [
        liar.sign(&module, &module).unwrap_err(),
        liar.detach(&module).unwrap_err(),
    ] {
        assert!(matches!(error, PublishError::NotSigned { .. }), "{error}");
    }
    liar.tool = SigningTool::SignFile("/nowhere/sign-file".into());
    assert!(liar.check().is_err());
    let error = liar.sign(&module, &module).unwrap_err();
    assert!(matches!(error, PublishError::Program { .. }), "{error}");
    assert!(fs::read(&module).unwrap() == built);
    assert!(!signing.path("one.ko.p7s").exists());
}

#[test]
fn what_others_may_change_or_read_signs_nothing() {
    let signing = Signing::new();
    for (name, mode, what) in [
        ("key.pem", 0o644, "the key"),
        ("key.pem", 0o622, "the key"),
        ("certificate.der", 0o666, "the certificate"),
    ] {
        let before = fs::metadata(signing.path(name)).unwrap().permissions();
        let set = |permissions| fs::set_permissions(signing.path(name), permissions).unwrap();
        set(PermissionsExt::from_mode(mode));
        for signer in &signing.signers {
            let told = signer.check().unwrap_err().to_string();
            assert!(told.starts_with(what), "{told}");
            assert!(
                told.contains(&format!("(mode {mode:04o}): chmod go-")),
                "{told}"
            );
        }
        set(before);
        signing.signers[0].check().unwrap();
    }
    let mut signer = signing.signers[0].clone();
    let program = signing.path("sign-file");
    fs::write(&program, "").unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o777)).unwrap();
    signer.tool = SigningTool::SignFile(program);
    let told = signer.check().unwrap_err().to_string();
    assert!(
        told.starts_with("the program for signing modules: "),
        "{told}"
    );
}

#[test]
fn the_pin_of_a_token_is_on_no_command_line() {
    let signing = Signing::new();
    let program = signing.path("sign-file");
    let told = signing.path("told");
    let script = format!(
        "#!/bin/sh\necho \"$2 $KBUILD_SIGN_PIN $(cat ${{2##*file:}})\" >{}\nfalse\n",
        told.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let mut signer = signing.signers[0].clone();
    signer.tool = SigningTool::SignFile(program);
    signer.key = ModuleKey::new("pkcs11:token=ours?pin-value=12%2034");
    signer.check().unwrap();
    let module = signing.path("one.ko");
    signer.sign(&module, &module).unwrap_err();
    assert_eq!(
        fs::read_to_string(told).unwrap(),
        "pkcs11:token=ours?pin-source=file:/proc/self/fd/0 12 34 12 34\n"
    );
}
