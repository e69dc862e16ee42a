//! The real header packages that the tests were provided with, and packages made of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::world::World;

/// A file of the corpus.
fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(name)
}

/// Kernels whose header packages are there, with these packages: the build tree's first.
pub(crate) fn provided() -> Vec<(String, Vec<PathBuf>)> {
    let text = fs::read_to_string(corpus("headers"))
        .expect("the tests need corpus/headers; `tests/provision.sh test` provides it");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            let release = words.next().unwrap().to_owned();
            let files = words.map(|file| fs::canonicalize(root.join(file)).unwrap());
            (release, files.collect())
        })
        .collect()
}

/// The packages of a kernel.
pub(crate) fn packages(release: &str) -> Vec<PathBuf> {
    let found = provided().into_iter().find(|(name, _)| name == release);
    found
        .unwrap_or_else(|| panic!("no packages of {release}"))
        .1
}

/// `-k` for each of these files.
pub(crate) fn options(files: &[PathBuf]) -> String {
    let options: Vec<String> = files
        .iter()
        .map(|f| format!("-k {}", f.display()))
        .collect();
    options.join(" ")
}

/// `-k` for each package of a kernel.
pub(crate) fn kernel_options(release: &str) -> String {
    options(&packages(release))
}

/// Another system with a compiler that is not installed here, and the compiler's name.
pub(crate) fn toolchain_root() -> (PathBuf, String) {
    let compiler = fs::read_to_string(corpus("root-compiler"))
        .expect("the tests need corpus/root; `tests/provision.sh test` makes it");
    let root = fs::canonicalize(corpus("root")).unwrap();
    (root, compiler.trim().to_owned())
}

/// Words for [`World::on_machine`] after which no kernel is installed, nor was one ever.
pub(crate) const NO_KERNELS: &str = r#"
for directory in usr/lib; do
    mkdir -p "$WORLD/layers/upper/$directory" "$WORLD/layers/work/$directory"
    mount -t overlay overlay -o "lowerdir=/$directory,upperdir=$WORLD/layers/upper/$directory,workdir=$WORLD/layers/work/$directory" "/$directory"
done
rm -rf /usr/lib/linux-kbuild-* /usr/lib/modules /usr/src/linux-*
awk 'BEGIN { RS = ""; ORS = "\n\n" } !/^Package: linux-(headers|kbuild|compiler)/' /var/lib/dpkg/status > "$WORLD/layers/status"
cp "$WORLD/layers/status" /var/lib/dpkg/status
rm -f /var/lib/dpkg/info/linux-headers-* /var/lib/dpkg/info/linux-kbuild-*
"#;

/// Unpacks packages into a directory of the world, as dpkg would.
pub(crate) fn unpack(world: &World, files: &[PathBuf], into: &str) -> PathBuf {
    let into = world.path(into);
    for file in files {
        let status = Command::new("dpkg-deb")
            .arg("-x")
            .arg(file)
            .arg(&into)
            .status();
        assert!(status.unwrap().success());
    }
    into
}

/// The header packages of a kernel as one RPM in the shape of kernel-devel: a single tree below
/// /usr/src/kernels, without the links that the kernel's own package has.
pub(crate) fn kernel_devel(world: &World, release: &str) -> PathBuf {
    let parts = unpack(world, &packages(release), "parts");
    let tree = world.path("merged");
    let merge = format!(
        "set -e; mkdir {tree}; cd {parts}/usr; rm -f src/linux-headers-*/scripts src/linux-headers-*/tools
         cp -R src/linux-headers-*-common*/. {tree}; rm src/linux-headers-{release}/Makefile
         cp -R src/linux-headers-{release}/. {tree}; cp -R lib/linux-kbuild-*/. {tree}",
        tree = tree.display(),
        parts = parts.display(),
    );
    let status = Command::new("sh").args(["-c", &merge]).status().unwrap();
    assert!(status.success());
    let mut builder = rpm::PackageBuilder::new(
        "kernel-devel",
        &release.replace('-', "."),
        "GPL-2.0",
        std::env::consts::ARCH,
        "kernel headers",
    );
    builder.using_config(rpm::BuildConfig::v4().compression(rpm::CompressionWithLevel::Zstd(1)));
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(tree.join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let inner = directory.join(entry.file_name());
            let name = format!("/usr/src/kernels/{release}/{}", inner.display());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                builder.with_dir_entry(rpm::FileOptions::dir(name)).unwrap();
                open.push(inner);
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).unwrap();
                let target = target.to_str().unwrap();
                builder
                    .with_symlink(rpm::FileOptions::symlink(name, target))
                    .unwrap();
            } else {
                builder
                    .with_file(entry.path(), rpm::FileOptions::new(name))
                    .unwrap();
            }
        }
    }
    let file = world.path(format!("kernel-devel-{release}.rpm"));
    builder.build().unwrap().write_file(&file).unwrap();
    file
}
