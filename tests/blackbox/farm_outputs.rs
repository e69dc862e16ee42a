//! What a farm makes of modules: packages, tarballs, signatures, provenance and sums.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{
    farm_manifest::{Manifest, module},
    machine::{arch, kernel, other_kernel},
    world::World,
};

/// What a program prints.
#[track_caller]
pub(crate) fn said(program: &str, arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {err}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every file below a folder, with its inode and its content, but for kiln's account of them.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, (u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if !path
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(".kiln-outputs")
            {
                let inner = path.strip_prefix(folder).unwrap().to_owned();
                let inode = fs::metadata(&path).unwrap().ino();
                found.insert(inner, (inode, fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// The only file of a folder with this ending.
#[track_caller]
fn only(folder: &Path, ending: &str) -> PathBuf {
    let files: Vec<PathBuf> = tree(folder)
        .into_keys()
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect();
    let [file] = files.as_slice() else {
        panic!("not one {ending} but {files:?}");
    };
    folder.join(file)
}

const EVERYTHING: &str = "[outputs]\ndirectory = \"out\"\n\
    formats = [\"modules\", \"deb\", \"rpm\", \"dkms-tarball\"]\n\
    provenance = [\"in-toto\", \"spdx\"]\nbuilder = \"https://farm.example/1\"\n";

/// A key and a certificate in a world.
fn key(world: &World) {
    said(
        "openssl",
        &[
            "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
            "/CN=farm", "-keyout", "key.pem", "-out", "cert.pem",
        ],
        &world.path(""),
    );
}

#[test]
fn every_form_is_made_and_says_what_is_in_it() {
    let world = World::new();
    world.package("lower", "");
    world.package("upper", "BUILD_DEPENDS[0]=lower");
    Manifest::new(&["upper", "lower"], &[kernel()])
        .more(EVERYTHING)
        .more("[outputs.packages]\nmaintainer = \"A Farm <farm@example.org>\"\nrevision = \"7\"\n")
        .write(&world);
    world.kiln("farm run").exits(0).says("2 built");
    let out = world.path("out");
    let plain = fs::read(out.join(module(kernel(), "upper/1.0", "upper"))).unwrap();

    let deb = only(&out, &format!("upper-modules-{}_1.0-7_amd64.deb", kernel()));
    let deb = deb.to_str().unwrap();
    let fields = said("dpkg-deb", &["-f", deb], &out);
    assert!(
        fields.contains("Maintainer: A Farm <farm@example.org>"),
        "{fields}"
    );
    assert!(
        fields.contains(&format!("linux-image-{}", kernel())),
        "{fields}"
    );
    assert!(
        fields.contains(&format!("lower-modules-{}", kernel())),
        "{fields}"
    );
    said("dpkg-deb", &["-x", deb, "unpacked"], &world.path(""));
    let unpacked = world.path("unpacked");
    assert_eq!(fs::read(only(&unpacked, "upper.ko")).unwrap(), plain);
    fs::remove_dir_all(unpacked).unwrap();

    let rpms: Vec<PathBuf> = tree(&out.join("rpm")).into_keys().collect();
    assert_eq!(rpms.len(), 2);
    let rpm = rpms
        .iter()
        .find(|path| path.to_str().unwrap().contains("upper"));
    let rpm = out.join("rpm").join(rpm.unwrap());
    let listed = said(
        "rpm",
        &[
            "-qp",
            "--qf",
            "%{LICENSE}\n[%{FILENAMES}\n]",
            rpm.to_str().unwrap(),
        ],
        &out,
    );
    assert!(
        listed.starts_with("GPL\n") && listed.contains("/upper.ko"),
        "{listed}"
    );
}

#[test]
fn sums_and_provenance_cover_everything() {
    let world = World::new();
    world.package("one", "");
    Manifest::new(&["one"], &[kernel(), other_kernel()])
        .more(EVERYTHING)
        .write(&world);
    world.kiln("farm run").exits(0);
    let out = world.path("out");
    said(
        "sha256sum",
        &["--check", "--strict", "--quiet", "SHA256SUMS"],
        &out,
    );
    let sums = fs::read_to_string(out.join("SHA256SUMS")).unwrap();
    let files = tree(&out);
    assert_eq!(sums.lines().count(), files.len() - 1, "{sums}");

    let folder = out.join(kernel()).join(arch()).join("one/1.0");
    let statement = fs::read(folder.join("provenance.intoto.json")).unwrap();
    let statement: Value = serde_json::from_slice(&statement).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    let subjects = statement["subject"].as_array().unwrap();
    for subject in subjects {
        let name = subject["name"].as_str().unwrap();
        let digest = subject["digest"]["sha256"].as_str().unwrap();
        assert!(sums.contains(&format!("{digest}  {name}\n")), "{subject}");
    }
    let names: Vec<&str> = subjects
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    for ending in ["one.ko", ".deb", ".rpm", ".dkms.tar.gz"] {
        assert!(names.iter().any(|name| name.ends_with(ending)), "{names:?}");
    }
    let run = world.kiln("farm plan --json").exits(0);
    let key = run.events()[0]["key"].as_str().unwrap().to_owned();
    let text = statement.to_string();
    assert!(text.contains(&key), "{text}");
    assert!(text.contains("https://farm.example/1"));
    // Every component of the key, by its digest.
    let digest = said(
        "grep",
        &["-o", "\"blake3\": *\"[0-9a-f]*\"", "provenance.intoto.json"],
        &folder,
    );
    assert!(digest.lines().count() >= 4, "{digest}");
    assert!(text.contains("kernel tree "), "{text}");
    let spdx = fs::read(folder.join("provenance.spdx.json")).unwrap();
    let spdx: Value = serde_json::from_slice(&spdx).unwrap();
    assert_eq!(spdx["spdxVersion"], "SPDX-2.3");
}

#[test]
fn what_is_there_is_left_alone_until_something_changes() {
    let world = World::new();
    world.package("one", "");
    let manifest = |more: &str| {
        let manifest = Manifest::new(&["one"], &[kernel()])
            .more(EVERYTHING)
            .more(more);
        manifest.write(&world)
    };
    manifest("");
    world.kiln("farm run").exits(0).says("1 built");
    let before = tree(&world.path("out"));
    world.kiln("farm run").exits(0).says("1 from the cache");
    let sums = Path::new("SHA256SUMS");
    for (path, file) in tree(&world.path("out")) {
        assert!(
            path == sums || before[&path] == file,
            "{} was made anew",
            path.display()
        );
    }
    manifest("[outputs.packages]\nmaintainer = \"B <b@example.org>\"\n");
    world.kiln("farm run").exits(0).says("1 from the cache");
    let after = tree(&world.path("out"));
    for (path, (_, content)) in &after {
        let is_package = path.extension().is_some_and(|e| e == "deb" || e == "rpm");
        let follows = path == sums || path.to_str().unwrap().contains("provenance");
        let changed = *content != before[path].1;
        assert!(follows || changed == is_package, "{}", path.display());
    }
    // A second machine makes the same bytes.
    let line = format!(
        "farm run -o again --cache-dir {}",
        world.path("cold").display()
    );
    world.kiln(line).exits(0).says("1 built");
    for (path, (_, content)) in tree(&world.path("again")) {
        let text = path.to_str().unwrap().to_owned();
        let varies = ["make.log", "SHA256SUMS", "provenance", "tar.gz"];
        // The time that a build took is in its log.
        assert!(
            varies.iter().any(|v| text.contains(v)) || content == after[&path].1,
            "{text}"
        );
    }
}

#[test]
fn the_archive_of_a_farm_is_one_that_dkms_loads() {
    let world = World::new();
    world.package("one", "");
    Manifest::new(&["one"], &[kernel()])
        .more("[outputs]\ndirectory = \"out\"\nformats = [\"dkms-tarball\"]\nchecksums = false\n")
        .write(&world);
    world.kiln("farm run").exits(0);
    let out = world.path("out");
    let files: Vec<PathBuf> = tree(&out).into_keys().collect();
    let name = format!("one-1.0-kernel{}-{}.dkms.tar.gz", kernel(), arch());
    assert_eq!(files, [Path::new("dkms").join(&name)], "and nothing else");
    let tarball = out.join("dkms").join(name);
    let run = world.on_machine("", format!("dkms ldtarball {}", tarball.display()));
    run.exits(0);
}

#[test]
fn modules_are_signed_with_the_key_of_the_farm() {
    let world = World::new();
    key(&world);
    world.package("one", "");
    let signing = "[outputs.signing]\nkey = \"key.pem\"\ncertificate = \"cert.pem\"\n";
    let magic = b"~Module signature appended~\n";
    Manifest::new(&["one"], &[kernel()])
        .outputs("plain")
        .write(&world);
    world.kiln("farm run").exits(0);
    let place = module(kernel(), "one/1.0", "one");
    let plain = fs::read(world.path("plain").join(&place)).unwrap();
    assert!(!plain.ends_with(magic));

    Manifest::new(&["one"], &[kernel()])
        .more("[outputs]\ndirectory = \"signed\"\nformats = [\"modules\", \"deb\"]\n")
        .more(signing)
        .write(&world);
    world.kiln("farm run").exits(0);
    let path = world.path("signed").join(&place);
    let signed = fs::read(&path).unwrap();
    assert!(signed.ends_with(magic) && signed.starts_with(&plain));
    let inode = fs::metadata(&path).unwrap().ino();
    world.kiln("farm run").exits(0);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "signed once");
    let deb = only(&world.path("signed"), ".deb");
    said(
        "dpkg-deb",
        &["-x", deb.to_str().unwrap(), "unpacked"],
        &world.path(""),
    );
    assert_eq!(
        fs::read(only(&world.path("unpacked"), "one.ko")).unwrap(),
        signed
    );

    Manifest::new(&["one"], &[kernel()])
        .outputs("detached")
        .more(signing)
        .more("style = \"detached\"\n")
        .write(&world);
    world.kiln("farm run").exits(0);
    let detached = world.path("detached").join(&place);
    assert_eq!(fs::read(&detached).unwrap(), plain);
    let folder = detached.parent().unwrap();
    let verify = [
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "one.ko.p7s",
        "-content",
        "one.ko",
    ];
    let certificate = world.path("cert.pem");
    let certificate = certificate.to_str().unwrap();
    let trust = [
        "-certfile",
        certificate,
        "-CAfile",
        certificate,
        "-purpose",
        "any",
        "-out",
        "/dev/null",
    ];
    said("openssl", &[&verify[..], &trust[..]].concat(), folder);
}

#[test]
fn nothing_is_signed_by_files_that_others_could_have_changed_or_a_key_that_they_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    key(&world);
    world.package("one", "");
    Manifest::new(&["one"], &[kernel()])
        .outputs("out")
        .more("[outputs.signing]\nkey = \"key.pem\"\ncertificate = \"cert.pem\"\n")
        .write(&world);
    for (name, mode, told) in [
        ("farm.toml", 0o666, "the manifest for signing modules: "),
        ("key.pem", 0o644, "the key for signing modules: "),
        ("cert.pem", 0o666, "the certificate for signing modules: "),
    ] {
        let path = world.path(name);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        world
            .kiln("farm run")
            .exits(2)
            .says(told)
            .says(&format!("(mode {mode:04o}): chmod go-"))
            .never_says("built");
        fs::set_permissions(&path, before).unwrap();
    }
    world.kiln("farm run").exits(0).says("1 built");
}

#[test]
fn a_key_that_is_not_there_is_missed_before_anything_is_built() {
    let world = World::new();
    world.package("one", "");
    Manifest::new(&["one"], &[kernel()])
        .outputs("out")
        .more("[outputs.signing]\nkey = \"no.pem\"\ncertificate = \"cert.pem\"\n")
        .write(&world);
    world
        .kiln("farm run")
        .exits(2)
        .says("the key for signing modules is not at")
        .says("no.pem")
        .never_says("built");
}

#[test]
fn no_results_are_promised_that_could_not_be_signed() {
    let world = World::new();
    key(&world);
    fs::write(world.path("key.pem"), "no key\n").unwrap();
    world.package("one", "");
    Manifest::new(&["one"], &[kernel()])
        .outputs("out")
        .more("[outputs.signing]\nkey = \"key.pem\"\ncertificate = \"cert.pem\"\n")
        .write(&world);
    world
        .kiln("farm run")
        .exits(1)
        .says("openssl does not sign")
        .never_says("results in");
}

#[test]
fn the_sums_of_shards_are_those_of_the_whole() {
    let world = World::new();
    for name in ["aa", "bb", "cc"] {
        world.package(name, "");
    }
    Manifest::new(&["aa", "bb", "cc"], &[kernel(), other_kernel()])
        .more("[outputs]\ndirectory = \"out\"\nformats = [\"modules\", \"deb\"]\n")
        .write(&world);
    world.kiln("farm run -o whole").exits(0).says("6 built");
    for shard in 1..=2 {
        world
            .kiln(format!("farm run -o parts --shard {shard}/2"))
            .exits(0);
    }
    let lines = |folder: &str, names: &[&str]| {
        let texts = names
            .iter()
            .map(|name| fs::read_to_string(world.path(folder).join(name)));
        let mut lines: Vec<String> = texts
            .flat_map(|text| text.unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        lines.sort();
        lines
    };
    let parts = lines("parts", &["SHA256SUMS.1-of-2", "SHA256SUMS.2-of-2"]);
    assert_eq!(parts, lines("whole", &["SHA256SUMS"]));
    assert_eq!(parts.len(), 18, "a module, a log and a package each");
}
