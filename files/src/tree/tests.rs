//! Layouts in which a careless copy eats what it copies.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use super::*;

/// A directory with `one/a`, `one/sub/b` and a link.
fn world() -> tempfile::TempDir {
    let world = tempfile::tempdir().unwrap();
    let one = world.path().join("one");
    fs::create_dir_all(one.join("sub")).unwrap();
    fs::write(one.join("a"), "a").unwrap();
    fs::write(one.join("sub/b"), "b").unwrap();
    symlink("a", one.join("link")).unwrap();
    world
}

/// Whether the source is what [`world`] made.
fn is_whole(one: &Path) -> bool {
    fs::read(one.join("a")).is_ok_and(|text| text == b"a")
        && fs::read(one.join("sub/b")).is_ok_and(|text| text == b"b")
        && fs::read_link(one.join("link")).is_ok_and(|to| to == Path::new("a"))
}

type Copy = fn(&Path, &Path) -> Result<Copied, FilesError>;
const BOTH: [Copy; 2] = [copied, replaced];

fn copied(from: &Path, to: &Path) -> Result<Copied, FilesError> {
    copy_tree(&SourceTree::open(from)?, to)
}

fn replaced(from: &Path, to: &Path) -> Result<Copied, FilesError> {
    replace_tree(&SourceTree::open(from)?, to)
}

#[test]
fn a_copy_has_everything_and_what_else_was_there() {
    let world = world();
    let (one, two) = (world.path().join("one"), world.path().join("two"));
    fs::create_dir(&two).unwrap();
    fs::write(two.join("a"), "old").unwrap();
    fs::write(two.join("other"), "kept").unwrap();
    fs::set_permissions(one.join("a"), Permissions::from_mode(0o640)).unwrap();
    assert_eq!(copied(&one, &two).unwrap(), Copied::Copied);
    assert!(is_whole(&one) && is_whole(&two));
    assert_eq!(fs::read(two.join("other")).unwrap(), b"kept");
    let (old, new) = (one.join("a"), two.join("a"));
    let (old, new) = (fs::metadata(old).unwrap(), fs::metadata(new).unwrap());
    assert_eq!((old.mode(), old.mtime()), (new.mode(), new.mtime()));
    let times = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(times(&one), times(&two));
    assert_eq!(replaced(&one, &two).unwrap(), Copied::Copied);
    assert!(is_whole(&two) && !two.join("other").exists());
    assert_eq!(fs::read_dir(world.path()).unwrap().count(), 2);
}

#[test]
fn a_copy_onto_itself_changes_nothing() {
    let world = world();
    let one = world.path().join("one");
    let link = world.path().join("link");
    symlink(&one, &link).unwrap();
    for copy in BOTH {
        for (from, to) in [(&one, &link), (&link, &one), (&one, &one)] {
            assert_eq!(copy(from, to).unwrap(), Copied::Same);
            assert!(is_whole(&one) && link.is_symlink());
        }
    }
}

#[test]
fn neither_a_parent_nor_a_child_is_copied_over() {
    let world = world();
    let one = world.path().join("one");
    let by_link = world.path().join("link");
    symlink(&one, &by_link).unwrap();
    for copy in BOTH {
        for (from, to) in [
            (one.clone(), one.join("sub")),
            (one.clone(), one.join("new")),
            (one.clone(), by_link.join("sub/new")),
            (one.join("sub"), one.clone()),
            (one.join("sub"), by_link.clone()),
        ] {
            let copied = copy(&from, &to);
            assert!(
                matches!(copied, Err(FilesError::Overlap { .. })),
                "{copied:?}"
            );
            assert!(is_whole(&one));
            assert!(!one.join("new").exists() && !one.join("sub/new").exists());
        }
    }
}

#[test]
fn what_a_link_in_the_target_leads_to_stays() {
    let world = world();
    let one = world.path().join("one");
    let (two, theirs) = (world.path().join("two"), world.path().join("theirs"));
    fs::create_dir_all(&theirs).unwrap();
    fs::create_dir(&two).unwrap();
    fs::write(theirs.join("b"), "theirs").unwrap();
    fs::write(theirs.join("a"), "theirs").unwrap();
    symlink(&theirs, two.join("sub")).unwrap();
    symlink(theirs.join("a"), two.join("a")).unwrap();
    let done = copied(&one, &two);
    assert!(matches!(done, Err(FilesError::InTheWay { .. })), "{done:?}");
    assert!(two.join("a").is_symlink(), "nothing was written");
    fs::remove_file(two.join("sub")).unwrap();
    copied(&one, &two).unwrap();
    assert!(is_whole(&two) && !two.join("a").is_symlink());
    let top = world.path().join("top");
    symlink(&theirs, &top).unwrap();
    assert!(copied(&one, &top).is_err());
    assert_eq!(replaced(&one, &top).unwrap(), Copied::Copied);
    assert!(is_whole(&top) && !top.is_symlink());
    for name in ["a", "b"] {
        assert_eq!(fs::read(theirs.join(name)).unwrap(), b"theirs");
    }
}

#[test]
fn a_hard_link_to_the_source_is_no_harm() {
    let world = world();
    let (one, two) = (world.path().join("one"), world.path().join("two"));
    fs::create_dir(&two).unwrap();
    fs::hard_link(one.join("a"), two.join("a")).unwrap();
    symlink(one.join("sub"), two.join("other")).unwrap();
    copied(&one, &two).unwrap();
    assert!(is_whole(&one) && is_whole(&two));
}

#[test]
fn what_cannot_be_read_leaves_what_was_there() {
    let world = world();
    let (one, two) = (world.path().join("one"), world.path().join("two"));
    fs::create_dir(&two).unwrap();
    fs::write(two.join("a"), "old").unwrap();
    for copy in BOTH {
        assert!(copy(&one.join("a"), &two).is_err());
        assert!(copy(&one.join("missing"), &two).is_err());
        assert_eq!(fs::read(two.join("a")).unwrap(), b"old");
    }
    fs::remove_file(two.join("a")).unwrap();
    fs::create_dir(two.join("a")).unwrap();
    assert!(copied(&one, &two).is_err());
    assert!(!two.join("sub").exists(), "nothing was written");
}

#[test]
fn a_link_is_removed_and_not_what_it_leads_to() {
    let world = world();
    let (one, link) = (world.path().join("one"), world.path().join("link"));
    symlink(&one, &link).unwrap();
    remove_tree(&link).unwrap();
    assert!(is_whole(&one) && !link.is_symlink());
    remove_tree(&link).unwrap();
    remove_tree(&one).unwrap();
    assert!(!one.exists());
}

#[test]
fn what_comes_in_the_place_of_a_listed_file_is_not_copied() {
    let temp = world();
    let (from, to) = (temp.path().join("one"), temp.path().join("to"));
    let secret = temp.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let source = SourceTree::open(&from).unwrap();
    let copy = |listing: &[Entry]| {
        let _ = fs::remove_dir_all(&to);
        copy_entries(&source, listing, &to)
    };
    let listing = list(&source).unwrap();
    copy(&listing).unwrap();
    let file = from.join("sub/b");
    fs::remove_file(&file).unwrap();
    symlink(&secret, &file).unwrap();
    copy(&listing).unwrap_err();
    fs::remove_file(&file).unwrap();
    fs::hard_link(&secret, &file).unwrap();
    copy(&listing).unwrap_err();
    assert!(!to.join("sub/b").exists());
}

#[test]
fn what_comes_in_the_place_of_a_directory_on_the_way_is_not_copied() {
    let temp = world();
    let (from, to) = (temp.path().join("one"), temp.path().join("to"));
    let (inner, moved) = (from.join("sub"), temp.path().join("moved"));
    let source = SourceTree::open(&from).unwrap();
    let listing = list(&source).unwrap();
    // The very files that were listed, by way of a link.
    fs::rename(&inner, &moved).unwrap();
    symlink(&moved, &inner).unwrap();
    copy_entries(&source, &listing, &to).unwrap_err();
    assert!(!to.join("sub/b").exists());
    // A link is listed as such.
    let paths = list(&source).unwrap();
    assert!(paths.iter().all(|entry| !entry.path.starts_with("sub/b")));
}

#[test]
fn a_copy_is_its_copiers_alone_to_change() {
    let temp = world();
    let (from, to) = (temp.path().join("one"), temp.path().join("to"));
    let (inner, file) = (from.join("sub"), from.join("sub/b"));
    if rustix::process::geteuid().is_root() {
        for path in [&from, &inner, &file] {
            std::os::unix::fs::chown(path, Some(4321), Some(4321)).unwrap();
        }
    }
    fs::set_permissions(&file, Permissions::from_mode(0o6777)).unwrap();
    fs::set_permissions(&inner, Permissions::from_mode(0o3777)).unwrap();
    copied(&from, &to).unwrap();
    let owner = rustix::process::geteuid().as_raw();
    for path in [&to, &to.join("sub"), &to.join("sub/b")] {
        let copy = fs::metadata(path).unwrap();
        assert_eq!((copy.mode() & 0o7022, copy.uid()), (0, owner), "{path:?}");
    }
    assert_eq!(
        fs::metadata(to.join("sub/b")).unwrap().mode() & 0o777,
        0o755
    );
}

#[test]
fn what_a_link_in_the_place_of_a_copy_leads_to_keeps_its_mode() {
    let temp = tempfile::tempdir().unwrap();
    let (victim, place) = (temp.path().join("victim"), temp.path().join("place"));
    fs::create_dir(&victim).unwrap();
    fs::set_permissions(&victim, Permissions::from_mode(0o700)).unwrap();
    symlink(&victim, &place).unwrap();
    let like = fs::metadata(temp.path()).unwrap();
    crate::place::keep_attributes_of_directory(&like, &place).unwrap_err();
    let wide = temp.path().join("wide");
    fs::create_dir(&wide).unwrap();
    fs::set_permissions(&wide, Permissions::from_mode(0o751)).unwrap();
    let like = fs::metadata(&wide).unwrap();
    crate::place::keep_attributes_of_directory(&like, &place).unwrap_err();
    let mode = fs::metadata(&victim).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn what_has_no_room_or_no_end_is_refused_before_anything_is_written() {
    let temp = world();
    let (from, to) = (temp.path().join("one"), temp.path().join("to"));
    let sparse = fs::File::create(from.join("sparse")).unwrap();
    sparse.set_len(10 << 40).unwrap();
    for copy in BOTH {
        let refused = copy(&from, &to).unwrap_err();
        assert!(
            matches!(&refused, FilesError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull),
            "{refused:?}"
        );
    }
    fs::remove_file(from.join("sparse")).unwrap();
    let mut deep = from.clone();
    for _ in 0..14 {
        deep.push("d".repeat(250));
    }
    fs::create_dir_all(&deep).unwrap();
    for number in 0..10_000 {
        fs::write(deep.join(number.to_string()), "").unwrap();
    }
    for copy in BOTH {
        let refused = copy(&from, &to).unwrap_err();
        assert!(matches!(refused, FilesError::TooMuch { .. }), "{refused:?}");
    }
    assert!(!to.exists());
}

#[test]
fn a_pipe_is_refused_and_a_socket_is_left_out() {
    let temp = world();
    let (from, to) = (temp.path().join("one"), temp.path().join("to"));
    let _listener = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
    for copy in BOTH {
        assert_eq!(copy(&from, &to).unwrap(), Copied::Copied);
        assert!(is_whole(&to) && !to.join("socket").exists());
        fs::remove_dir_all(&to).unwrap();
    }
    let pipe = from.join("sub/pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for copy in BOTH {
        let refused = copy(&from, &to).unwrap_err();
        assert!(
            matches!(&refused, FilesError::Special { path } if *path == pipe),
            "{refused:?}"
        );
        assert!(!to.exists());
    }
}
