//! What cannot be published: a clear error, and nothing written.

use std::{fs, path::Path};

use kiln_publish::{
    BuildFiles, BuildId, Capability, DkmsTarball, Document, Family, KernelBuild, ModuleFile,
    ModulePackage, PublishError, TarballContent, Times, package_name,
};

use crate::made::DATE;

fn package(directory: &Path, family: Family) -> ModulePackage {
    let file = directory.join("in/a.ko");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "a").unwrap();
    let id = BuildId {
        name: "pair".to_owned(),
        version: "1.0".to_owned(),
        kernel: "6.1".to_owned(),
        machine: "x86_64".to_owned(),
    };
    let module = ModuleFile {
        name: "a.ko".to_owned(),
        from: file,
        directory: None,
    };
    ModulePackage::new(family, id, vec![module], DATE)
}

#[test]
fn packages_that_cannot_be() {
    type Change = fn(&mut ModulePackage);
    let cases: [(Change, &str); 17] = [
        (
            |p| p.modules.clear(),
            "there are no modules of pair/1.0 for kernel 6.1 to be packed",
        ),
        (
            |p| p.modules.push(p.modules[0].clone()),
            "two files are to be installed as ",
        ),
        (
            |p| p.id.machine = "vax".to_owned(),
            "has no architecture for machine vax",
        ),
        (
            |p| p.id.kernel = "6/1".to_owned(),
            "kernel release \"6/1\" contains a slash",
        ),
        (
            |p| p.id.kernel = String::new(),
            "kernel release \"\" is empty",
        ),
        (
            |p| p.id.name = "_".to_owned(),
            "PACKAGE_NAME \"_\" has no letter or digit",
        ),
        (
            |p| p.id.version = "__".to_owned(),
            "PACKAGE_VERSION \"__\" has no letter or digit",
        ),
        (
            |p| p.revision = "1-2".to_owned(),
            "revision \"1-2\" does not start with a digit, or",
        ),
        (
            |p| p.layout.modules_root = "lib".to_owned(),
            "directory of all modules \"lib\" is not absolute",
        ),
        (
            |p| p.layout.directory = "../x".to_owned(),
            "directory of modules \"../x\" is not a relative path",
        ),
        (
            |p| p.modules[0].directory = Some("/x".to_owned()),
            "directory of a module \"/x\" is not",
        ),
        (
            |p| p.modules[0].name = "a/b.ko".to_owned(),
            "file name of a module \"a/b.ko\" contains a slash",
        ),
        (
            |p| p.summary = "a\nDepends: b".to_owned(),
            "summary \"a\\nDepends: b\" contains a line break",
        ),
        (|p| p.maintainer = String::new(), "maintainer \"\" is empty"),
        (
            |p| p.requires = vec![Capability::named("a, b")],
            "package \"a, b\" is not the name of one package",
        ),
        (
            |p| {
                p.documents = vec![Document {
                    name: "..".to_owned(),
                    content: Vec::new(),
                }]
            },
            "name of a document \"..\" is not a name",
        ),
        (
            |p| p.modules[0].from = "/nowhere/a.ko".into(),
            "cannot read /nowhere/a.ko",
        ),
    ];
    for family in [Family::Debian, Family::Suse] {
        for (change, said) in cases {
            let directory = tempfile::tempdir().unwrap();
            let mut package = package(directory.path(), family);
            change(&mut package);
            let out = directory.path().join("out");
            let error = package.write(&out).unwrap_err();
            assert!(error.to_string().contains(said), "{said}: {error}");
            let written = fs::read_dir(&out).map_or(0, Iterator::count);
            assert_eq!(written, 0, "{said}");
        }
    }
    assert!(package_name(Family::Debian, "...", "6.1").is_err());
}

#[test]
fn a_place_that_cannot_be_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let package = package(directory.path(), Family::Debian);
    for place in ["/proc/nowhere".into(), directory.path().join("in/a.ko")] {
        let error = package.write(&place).unwrap_err();
        assert!(matches!(error, PublishError::Write { .. }), "{error:?}");
    }
}

#[test]
fn tarballs_that_cannot_be() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("dkms.conf"), "").unwrap();
    let build = KernelBuild {
        kernel: "6.1".to_owned(),
        machine: "x86_64".to_owned(),
        files: BuildFiles::Named(vec![("module/a.ko".to_owned(), source.join("dkms.conf"))]),
    };
    let tarball = || DkmsTarball {
        name: "pair".to_owned(),
        version: "1.0".to_owned(),
        content: TarballContent::Source(source.clone()),
        builds: vec![build.clone()],
        times: Times::At(DATE),
    };
    tarball().write(directory.path()).unwrap();
    type Change = fn(&mut DkmsTarball);
    let cases: [(Change, &str); 5] = [
        (
            |t| t.builds.push(t.builds[0].clone()),
            "two files are to be installed as ./dkms_main_tree/6.1/x86_64/module/a.ko",
        ),
        (
            |t| {
                t.builds[0].files =
                    BuildFiles::Named(vec![("../a".to_owned(), "/etc/passwd".into())])
            },
            "name of what was built \"../a\" is not",
        ),
        (
            |t| t.builds[0].kernel = "..".to_owned(),
            "kernel release \"..\" is not a name",
        ),
        (
            |t| t.content = TarballContent::Source("/nowhere".into()),
            "cannot read /nowhere",
        ),
        (
            |t| {
                t.content = TarballContent::Binaries {
                    conf: "/nowhere".into(),
                }
            },
            "cannot read /nowhere",
        ),
    ];
    let out = directory.path().join("out");
    for (change, said) in cases {
        let mut tarball = tarball();
        change(&mut tarball);
        let error = tarball.write_to(&out.join("t.tar")).unwrap_err();
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
    let error = tarball().write_to(&out.join("t.tar.lzo")).unwrap_err();
    assert!(
        matches!(error, PublishError::UnknownCompression { .. }),
        "{error}"
    );
    assert_eq!(fs::read_dir(&out).map_or(0, Iterator::count), 0);
}
