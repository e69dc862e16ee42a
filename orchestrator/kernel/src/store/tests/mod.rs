//! Header packages in the shapes that distributions give them, small enough to read; and packages
//! that nobody should unpack. Real ones are in the black-box tests.

mod hostile;
mod parts;
mod power;
mod shapes;
mod unpacking;

use std::{
    fs,
    path::{Path, PathBuf},
};

use kiln_cache::Store;

use super::{KernelStore, KernelStoreError, StoredKernel};
use crate::fingerprints::Fingerprints;

/// A member of a package.
#[derive(Clone, Copy)]
enum Member<'a> {
    File(&'a str, &'a str),
    Program(&'a str, &'a str),
    Link(&'a str, &'a str),
    HardLink(&'a str, &'a str),
    Device(&'a str),
    /// A file of a time that no clock shows.
    Timeless(&'a str),
}

use Member::{Device, File, HardLink, Link, Program, Timeless};

/// A tar of members, whose paths go into it as they are.
fn tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = tar::Header::new_gnu();
        let (kind, path, content, target) = match *member {
            File(path, content) => (tar::EntryType::Regular, path, content, ""),
            Program(path, content) => (tar::EntryType::Regular, path, content, ""),
            Link(path, target) => (tar::EntryType::Symlink, path, "", target),
            HardLink(path, target) => (tar::EntryType::Link, path, "", target),
            Device(path) => (tar::EntryType::Char, path, "", ""),
            Timeless(path) => (tar::EntryType::Regular, path, "", ""),
        };
        let raw = header.as_gnu_mut().unwrap();
        raw.name[..path.len()].copy_from_slice(path.as_bytes());
        raw.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(match member {
            Program(..) => 0o4751,
            _ => 0o600,
        });
        header.set_mtime(match member {
            Timeless(_) => u64::MAX,
            _ => 1_000_000_000,
        });
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A store with a directory to write packages to.
struct World {
    root: tempfile::TempDir,
    cache: Store,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let cache = Store::open(&root.path().join("cache")).unwrap();
        Self { root, cache }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a tarball.
    fn tarball(&self, name: &str, members: &[Member<'_>]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, tar(members)).unwrap();
        path
    }

    /// Writes a Debian package.
    fn deb(&self, name: &str, control: &str, members: &[Member<'_>]) -> PathBuf {
        let path = self.path(name);
        let mut builder = ar::Builder::new(fs::File::create(&path).unwrap());
        let control = zstd::encode_all(&tar(&[File("./control", control)])[..], 1).unwrap();
        let data = zstd::encode_all(&tar(members)[..], 1).unwrap();
        for (name, content) in [
            ("debian-binary", &b"2.0\n"[..]),
            ("control.tar.zst", &control),
            ("data.tar.zst", &data),
        ] {
            let header = ar::Header::new(name.into(), content.len() as u64);
            builder.append(&header, content).unwrap();
        }
        path
    }

    fn add(&self, paths: &[PathBuf]) -> Result<Vec<StoredKernel>, KernelStoreError> {
        let store = KernelStore::open(&self.cache).unwrap();
        store.add(paths, &mut Fingerprints::new(&self.cache))
    }

    /// The entries of the store, sorted.
    fn entries(&self) -> Vec<PathBuf> {
        let directory = self.cache.directory().join("kernels");
        let mut found: Vec<PathBuf> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.ends_with("tmp"))
            .collect();
        found.sort();
        found
    }
}

/// The members of a configured build tree at `place`, with a Makefile that says `makefile`.
fn build_tree(place: &str, release: &str, makefile: &str) -> Vec<(String, String, bool)> {
    let file = |name: &str, content: &str| (format!("{place}/{name}"), content.to_owned(), false);
    vec![
        file("Makefile", makefile),
        file(
            "Module.symvers",
            "0x00000001\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n",
        ),
        file("include/generated/autoconf.h", "#define CONFIG_MODULES 1\n"),
        file(
            "include/generated/utsrelease.h",
            &format!("#define UTS_RELEASE \"{release}\"\n"),
        ),
        file("include/config/auto.conf", "CONFIG_MODULES=y\n"),
    ]
}

/// The same as members.
fn members(tree: &[(String, String, bool)]) -> Vec<Member<'_>> {
    tree.iter()
        .map(|(path, content, program)| {
            if *program {
                Program(path, content)
            } else {
                File(path, content)
            }
        })
        .collect()
}

/// A Debian kernel's two packages of its own; what they need besides is in [`kbuild`].
fn debian(world: &World, abi: &str, version: &str) -> [PathBuf; 2] {
    let common = format!("/usr/src/linux-headers-{abi}-common");
    let place = format!("./usr/src/linux-headers-{abi}-amd64");
    let makefile = format!("include {common}/Makefile\n");
    let tree = build_tree(&place, &format!("{abi}-amd64"), &makefile);
    let mut headers = members(&tree);
    let scripts = format!("{place}/scripts");
    let build = format!("./lib/modules/{abi}-amd64/build");
    let source = format!("./lib/modules/{abi}-amd64/source");
    headers.extend([
        Link(&scripts, "../../lib/linux-kbuild-6.1/scripts"),
        Link(&build, &place[1..]),
        Link(&source, &common),
        File("./usr/share/doc/x/copyright", "not kept"),
    ]);
    let control = format!(
        "Package: linux-headers-{abi}-amd64\nVersion: {version}\nArchitecture: amd64\n\
         Depends: linux-headers-{abi}-common (= {version}), linux-kbuild-6.1 (>= 6.1.2-1), gcc-12\n"
    );
    let headers = world.deb(&format!("headers-{abi}-{version}.deb"), &control, &headers);
    let makefile = format!("./usr/src/linux-headers-{abi}-common/Makefile");
    let scripts = format!("./usr/src/linux-headers-{abi}-common/scripts");
    let control =
        format!("Package: linux-headers-{abi}-common\nVersion: {version}\nArchitecture: all\n");
    let common = world.deb(
        &format!("common-{abi}-{version}.deb"),
        &control,
        &[
            File(&makefile, &format!("# the kernel's own, of {version}\n")),
            Link(&scripts, "../../lib/linux-kbuild-6.1/scripts"),
        ],
    );
    [headers, common]
}

/// Debian's programs of a build.
fn kbuild(world: &World, version: &str) -> PathBuf {
    let control = format!("Package: linux-kbuild-6.1\nVersion: {version}\nArchitecture: amd64\n");
    world.deb(
        &format!("kbuild-{version}.deb"),
        &control,
        &[
            Program("./usr/lib/linux-kbuild-6.1/scripts/basic/fixdep", version),
            Link("./usr/src/linux-kbuild-6.1", "../lib/linux-kbuild-6.1"),
        ],
    )
}

fn inside(kernel: &StoredKernel) -> &Path {
    &kernel.tree().build
}
