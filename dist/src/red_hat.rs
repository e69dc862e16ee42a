//! The RPM package, the same to the byte for the same program and date.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kiln_durable::regular;
use rpm::{BuildConfig, Dependency, FileOptions, PackageBuilder, Scriptlet};

use crate::{
    elf,
    family::Family,
    tree::{Content, Entry, PROGRAM, Tree},
};

/// The dkms that it stands in for.
const DKMS: &str = "3.4.3";

/// What builds need besides the program; all of it is in every distribution of the family.
const REQUIRED: [&str; 9] = [
    "bash",
    "binutils",
    "bubblewrap",
    "coreutils",
    "gcc",
    "kmod",
    "make",
    "patch",
    "util-linux",
];

/// What some modules or some machines need.
const RECOMMENDED: [&str; 5] = [
    "elfutils-libelf-devel",
    "kernel-devel",
    "openssl",
    "xz",
    "zstd",
];

/// Writes the package into a directory, and gives its path.
pub(crate) fn write(
    program: &Path,
    date: u32,
    to: &Path,
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let arch = std::env::consts::ARCH;
    let version = env!("CARGO_PKG_VERSION");
    let tree = Tree::new(Family::Redhat, "/usr".as_ref(), program)?;

    let mut builder = PackageBuilder::new(
        "kiln",
        version,
        "MIT OR Apache-2.0",
        arch,
        "Builds kernel modules for every kernel, and stands in for dkms",
    );
    builder
        .release("1")
        .using_config(
            BuildConfig::v4()
                .compression(rpm::CompressionType::Zstd)
                .source_date(date),
        )
        .build_host("localhost")
        .description(
            "kiln builds packages of kernel module sources for any number of kernels at once, in a\n\
             sandbox, and takes what it has built before from a cache. The dkms command is here, with\n\
             its files and its kernel hooks, so that all packages that need dkms work with it.",
        )
        .provides(Dependency::eq("dkms", DKMS))
        .conflicts(Dependency::any("dkms"))
        .obsoletes(Dependency::less_eq("dkms", format!("{DKMS}-99")))
        .post_install_script(Scriptlet::new(include_str!("../redhat/post")))
        .post_trans_script(Scriptlet::new(include_str!("../redhat/posttrans")))
        .pre_uninstall_script(Scriptlet::new(include_str!("../redhat/preun")))
        .post_uninstall_script(Scriptlet::new(include_str!("../redhat/postun")));
    for name in REQUIRED {
        builder.requires(Dependency::any(name));
    }
    for name in RECOMMENDED {
        builder.recommends(Dependency::any(name));
    }
    for name in elf::requirements(&regular::read_at_once(program, PROGRAM)?)? {
        builder.requires(Dependency::any(name));
    }
    for entry in tree.entries() {
        add(&mut builder, entry)?;
    }

    let package = builder.build()?;
    fs::create_dir_all(to)?;
    let path = to.join(format!("kiln-{version}-1.{arch}.rpm"));
    package.write_file(&path)?;
    Ok(path)
}

fn add(builder: &mut PackageBuilder, entry: &Entry) -> Result<(), rpm::Error> {
    let path = entry.path.to_string_lossy().into_owned();
    let options = FileOptions::new(path.clone()).permissions(entry.mode());
    match &entry.content {
        Content::Text(bytes) if path.contains("/doc/") => {
            builder.with_file_contents(bytes.clone(), options.doc())
        }
        Content::Text(bytes) | Content::Program(bytes) => {
            builder.with_file_contents(bytes.clone(), options)
        }
        Content::Setting(bytes) | Content::Hook(bytes) => {
            builder.with_file_contents(bytes.clone(), options.config().noreplace())
        }
        Content::Link(to) => builder.with_symlink(FileOptions::symlink(path, to.to_string_lossy())),
        Content::Directory => {
            builder.with_dir_entry(FileOptions::dir(path).permissions(entry.mode()))
        }
    }
    .map(|_| ())
}
