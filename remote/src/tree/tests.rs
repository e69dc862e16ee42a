use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn blob(text: &str) -> Blob {
    Blob::bytes(text)
}

fn sample() -> Arc<Tree> {
    let mut builder = Tree::builder();
    builder.file("usr/src/a.c", blob("a"), Mode::Plain).unwrap();
    builder
        .file("usr/bin/sh", blob("#!"), Mode::Executable)
        .unwrap();
    builder.symlink("bin", "usr/bin").unwrap();
    builder.directory("tmp").unwrap();
    builder.finish()
}

/// Computed with the protobuf messages by hand: another client makes the same of the same tree.
#[test]
fn an_empty_directory_is_the_empty_blob() {
    let empty = Tree::builder().finish();
    assert_eq!(empty.digest(), BlobDigest::of(b""));
}

#[test]
fn the_order_does_not_matter() {
    let mut builder = Tree::builder();
    builder.directory("tmp").unwrap();
    builder.symlink("bin", "usr/bin").unwrap();
    builder.directory("usr/bin").unwrap();
    builder
        .file("usr/bin/sh", blob("#!"), Mode::Executable)
        .unwrap();
    builder.file("usr/src/a.c", blob("a"), Mode::Plain).unwrap();
    builder.file("usr/src/a.c", blob("a"), Mode::Plain).unwrap();
    assert_eq!(builder.finish().digest(), sample().digest());
}

#[test]
fn a_directory_is_the_same_tree() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["tmp", "usr/src", "usr/bin"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    fs::write(path("usr/src/a.c"), "a").unwrap();
    fs::write(path("usr/bin/sh"), "#!").unwrap();
    fs::set_permissions(path("usr/bin/sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("usr/bin", path("bin")).unwrap();
    let tree = Tree::of_directory(folder.path()).unwrap();
    assert_eq!(tree.digest(), sample().digest());
    assert_eq!(tree.size(), 8);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let error = Tree::of_directory(folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("/pipe is neither file, symbolic link nor directory"),
        "{error}"
    );
}

#[test]
fn trees_are_mounted_and_merged() {
    let mut builder = Tree::builder();
    builder.file("src/a.c", blob("a"), Mode::Plain).unwrap();
    let source = builder.finish();
    let mut builder = Tree::builder();
    builder
        .file("usr/bin/sh", blob("#!"), Mode::Executable)
        .unwrap();
    let tools = builder.finish();

    let mut builder = Tree::builder();
    builder.tree("usr", &source).unwrap();
    builder.tree("", &tools).unwrap();
    builder.symlink("bin", "usr/bin").unwrap();
    builder.directory("tmp").unwrap();
    // What is there already is no conflict.
    builder.tree("", &sample()).unwrap();
    assert_eq!(builder.finish().digest(), sample().digest());
    // The trees that went in are as they were.
    assert_eq!(source.size(), 3);
}

#[test]
fn conflicts_are_found() {
    let conflict = |path: &str| {
        Err(TreeError::Conflict {
            path: path.to_owned(),
        })
    };
    let mut builder = Tree::builder();
    builder.tree("", &sample()).unwrap();
    let mut add = |path, text, mode| builder.file(path, blob(text), mode).map(drop);
    assert_eq!(
        add("usr/src/a.c", "b", Mode::Plain),
        conflict("usr/src/a.c")
    );
    assert_eq!(
        add("usr/src/a.c", "a", Mode::Executable),
        conflict("usr/src/a.c")
    );
    assert_eq!(add("bin/ls", "ls", Mode::Executable), conflict("bin/ls"));
    assert_eq!(add("usr", "a", Mode::Plain), conflict("usr"));
    for path in ["", "/usr", "usr/", "a//b", "./a", "a/../b", ".."] {
        let error = builder.file(path, blob(""), Mode::Plain).map(drop);
        let path = path.to_owned();
        assert_eq!(error, Err(TreeError::Path { path }));
    }
}

#[test]
fn what_is_known_is_left_out() {
    let tree = sample();
    let collect = |known: &dyn Fn(&BlobDigest) -> bool| {
        let mut blobs = Vec::new();
        tree.root.blobs(&known, &mut blobs);
        blobs.len()
    };
    // Two files; the root, usr, usr/src, usr/bin, tmp.
    assert_eq!(collect(&|_| false), 7);
    assert_eq!(collect(&|digest| *digest == tree.digest()), 0);
    assert_eq!(collect(&|digest| *digest == BlobDigest::of(b"a")), 6);
}

#[test]
fn absolute_links_are_made_relative_and_nothing_else() {
    let made = |links: [(&str, &str); 4]| {
        let mut builder = Tree::builder();
        builder.file("usr/bin/sh", blob("#!"), Mode::Plain).unwrap();
        for (path, target) in links {
            builder.symlink(path, target).unwrap();
        }
        let inner = builder.finish();
        let mut builder = Tree::builder();
        builder.symlink("top", "/usr").unwrap();
        builder.tree("a/b", &inner).unwrap();
        builder.finish()
    };
    let absolute = made([
        ("here", "/usr/bin/sh"),
        ("deep/er/there", "//usr/bin"),
        ("root", "/"),
        ("usr/stays", "../here"),
    ]);
    assert!(absolute.has_absolute_links());
    let relative = absolute.with_relative_links();
    assert!(!relative.has_absolute_links());
    let mut expected = Tree::builder();
    expected
        .file("a/b/usr/bin/sh", blob("#!"), Mode::Plain)
        .unwrap();
    for (path, target) in [
        ("top", "usr"),
        ("a/b/here", "../../usr/bin/sh"),
        ("a/b/deep/er/there", "../../../../usr/bin"),
        ("a/b/root", "../../"),
        ("a/b/usr/stays", "../here"),
    ] {
        expected.symlink(path, target).unwrap();
    }
    assert_eq!(relative.digest(), expected.finish().digest());
    assert_eq!(relative.with_relative_links().digest(), relative.digest());
}
