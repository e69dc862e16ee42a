//! Scans: what of a tree counts, what cannot be scanned, and what is noticed meanwhile.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use kiln_cache::{
    ChangeKind, EntryKind, ObjectDigest, ScanError, ScanOptions, Stop, TreeScan, scan_file,
    scan_tree,
};
use proptest::prelude::*;

use crate::fixture::{root_or_skip, settle, write};

pub(crate) fn scan(root: &Path) -> TreeScan {
    scan_tree(root, None, &ScanOptions::default()).unwrap()
}

#[test]
fn a_tree_is_its_files_directories_and_links() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "src/main.c", "int x;");
    write(dir.path(), "run", "#!/bin/sh");
    fs::set_permissions(dir.path().join("run"), PermissionsExt::from_mode(0o755)).unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    symlink("/nowhere", dir.path().join("link")).unwrap();

    let scan = scan(dir.path());
    let manifest = scan.manifest();
    let file = |content: &[u8], executable| EntryKind::File {
        digest: ObjectDigest::of(content),
        executable,
    };
    let entries: Vec<_> = manifest
        .entries()
        .iter()
        .map(|entry| (&entry.path[..], &entry.kind))
        .collect();
    assert_eq!(
        entries,
        [
            (&b"empty"[..], &EntryKind::Directory),
            (
                b"link",
                &EntryKind::Symlink {
                    target: b"/nowhere".into()
                }
            ),
            (b"run", &file(b"#!/bin/sh", true)),
            (b"src", &EntryKind::Directory),
            (b"src/main.c", &file(b"int x;", false)),
        ]
    );
    assert_eq!(scan.digest, manifest.digest());
    assert_eq!((scan.files_read, scan.bytes_read), (2, 15));
    let (digest, identity) = scan.snapshot.file(b"src/main.c").unwrap();
    assert_eq!((digest, identity.size), (ObjectDigest::of(b"int x;"), 6));
    assert_eq!(scan.snapshot.entry(b"src"), Some(EntryKind::Directory));
    assert_eq!(scan.snapshot.entry(b"src/"), None);
    assert_eq!(scan.snapshot.entry(b"src/main.c/x"), None);
}

#[test]
fn the_root_may_be_a_link_to_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "tree/a", "1");
    symlink("tree", dir.path().join("build")).unwrap();
    assert_eq!(
        scan(&dir.path().join("build")).digest,
        scan(&dir.path().join("tree")).digest
    );
}

#[test]
fn what_is_excluded_does_not_count_and_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a", "1");
    let before = scan(dir.path()).digest;
    write(dir.path(), "out/x/y", "2");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        dir.path().join("out/fifo"),
        rustix::fs::Mode::RUSR,
    )
    .unwrap();
    let options = ScanOptions {
        exclude: vec![b"out".into()],
        ..ScanOptions::default()
    };
    let without = scan_tree(dir.path(), None, &options).unwrap();
    assert_eq!(without.digest, before);

    settle();
    write(dir.path(), "out2/x", "2");
    let with = scan_tree(dir.path(), Some(&without.snapshot), &options).unwrap();
    assert_ne!(
        with.digest, before,
        "a prefix of a name is not a prefix of a path"
    );
}

#[test]
fn a_file_that_is_larger_than_any_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("sparse")).unwrap();
    file.set_len(300 << 30).unwrap();
    let error = scan_tree(dir.path(), None, &ScanOptions::default()).unwrap_err();
    assert!(
        error.to_string().ends_with("sparse has more than 2 GiB"),
        "{error}"
    );
}

#[test]
fn a_scan_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("sparse")).unwrap();
    file.set_len(2 << 30).unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let options = ScanOptions {
        stop: Stop::when(move || counted.fetch_add(1, Ordering::Relaxed) == 5),
        ..ScanOptions::default()
    };
    let error = scan_tree(dir.path(), None, &options).unwrap_err();
    assert!(matches!(error, ScanError::Stopped { .. }), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 6);
}

#[test]
fn names_need_not_be_utf8() {
    let dir = tempfile::tempdir().unwrap();
    let sub = dir.path().join(OsStr::from_bytes(b"d\xff"));
    fs::create_dir(&sub).unwrap();
    fs::write(sub.join(OsStr::from_bytes(b"\xfe\n")), "1").unwrap();
    symlink(OsStr::from_bytes(b"\xfd"), dir.path().join("l")).unwrap();
    let first = scan(dir.path());
    assert!(first.snapshot.file(b"d\xff/\xfe\n").is_some());
    settle();
    let again = scan_tree(dir.path(), Some(&first.snapshot), &ScanOptions::default()).unwrap();
    assert!(again.unchanged);
    assert_eq!(
        kiln_cache::Manifest::decode(&first.manifest().encode()).unwrap(),
        first.manifest()
    );
}

#[test]
fn what_has_no_content_cannot_be_scanned() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("sub/fifo");
    fs::create_dir(dir.path().join("sub")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    let error = scan_tree(dir.path(), None, &ScanOptions::default()).unwrap_err();
    assert!(matches!(error, ScanError::NotRegular { path } if path == fifo));
    let error = scan_file(&fifo, None).unwrap_err();
    assert!(matches!(error, ScanError::NotRegular { path } if path == fifo));

    fs::remove_file(&fifo).unwrap();
    let _socket = UnixListener::bind(&fifo).unwrap();
    assert!(scan(dir.path()).snapshot.file(b"sub/fifo").is_none());
}

#[test]
fn what_is_not_there_or_not_readable_is_said_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for error in [
        scan_tree(&missing, None, &ScanOptions::default()).unwrap_err(),
        scan_file(&missing, None).unwrap_err(),
    ] {
        assert!(matches!(error, ScanError::Io { path, .. } if path == missing));
    }
    if root_or_skip("unreadable file in a tree") {
        write(dir.path(), "secret", "x");
        fs::set_permissions(dir.path().join("secret"), PermissionsExt::from_mode(0o000)).unwrap();
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let error = crate::process::as_nobody("scan_unreadable", dir.path());
        assert!(
            error.contains("cannot read") && error.contains("secret"),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_written_while_it_is_read_is_noticed() {
    use std::os::unix::fs::FileExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("busy");
    fs::write(&path, vec![0; 64 << 20]).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let write = |_| assert_eq!(file.write_at(b"x", 0).unwrap(), 1);
    let tree = || scan_tree(dir.path(), None, &ScanOptions::default()).map(|_| ());
    let alone = || scan_file(&path, None).map(|_| ());
    for found in [scan_amid(write, tree), scan_amid(write, alone)] {
        assert!(
            matches!(&found, Err(ScanError::ChangedWhileRead { path: changed }) if *changed == path),
            "{found:?}"
        );
    }
}

#[test]
fn a_tree_that_grows_while_it_is_read_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("large"), vec![0; 64 << 20]).unwrap();
    let add = |count| fs::write(dir.path().join(format!("new{count}")), "").unwrap();
    let found = scan_amid(add, || {
        scan_tree(dir.path(), None, &ScanOptions::default()).map(|_| ())
    });
    assert!(
        matches!(found, Err(ScanError::ChangedWhileRead { .. })),
        "{found:?}"
    );
}

/// What a scan says while something else is changed every millisecond.
///
/// On a busy machine the changes may stall; a scan that saw hardly any of them says nothing.
fn scan_amid(
    change: impl Fn(u32) + Sync,
    scan: impl Fn() -> Result<(), ScanError>,
) -> Result<(), ScanError> {
    let (changes, done) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                change(changes.load(Ordering::SeqCst));
                changes.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let mut found = Ok(());
        for _ in 0..100 {
            let before = changes.load(Ordering::SeqCst);
            found = scan();
            if found.is_err() || changes.load(Ordering::SeqCst) - before >= 6 {
                break;
            }
        }
        done.store(true, Ordering::SeqCst);
        found
    })
}

/// One entry of a tree to be made.
#[derive(Clone, Debug, PartialEq)]
enum Made {
    File(u8, bool),
    Link(u8),
    Directory,
}

fn any_tree() -> impl Strategy<Value = std::collections::BTreeMap<String, Made>> {
    let made = prop_oneof![
        (0..3_u8, any::<bool>()).prop_map(|(content, executable)| Made::File(content, executable)),
        (0..3_u8).prop_map(Made::Link),
        Just(Made::Directory),
    ];
    // Directories are d0 and d1, so that no file is where a directory should be.
    proptest::collection::btree_map("(d[01]/){0,2}[ab.-]{1,2}[xy]", made, 0..6)
}

fn make(root: &Path, tree: impl Iterator<Item = (String, Made)>, age: u64) {
    for (path, made) in tree {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match made {
            Made::File(content, executable) => {
                fs::write(&path, [content]).unwrap();
                let mode = if executable { 0o755 } else { 0o600 };
                fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
                let then = SystemTime::UNIX_EPOCH + Duration::from_secs(age);
                let times = FileTimes::new().set_modified(then);
                File::open(&path).unwrap().set_times(times).unwrap();
            }
            Made::Link(target) => symlink(format!("t{target}"), &path).unwrap(),
            Made::Directory => fs::create_dir_all(&path).unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_digest_is_of_the_content_and_of_nothing_else(one in any_tree(), other in any_tree()) {
        let dir = tempfile::tempdir().unwrap();
        let root = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let (first, second, third) = (root("1"), root("second"), root("3"));
        make(&first, one.clone().into_iter(), 1_000_000);
        // The same, elsewhere, made in another order, with other times.
        make(&second, one.clone().into_iter().rev(), 2_000_000);
        make(&third, other.clone().into_iter(), 1_000_000);
        prop_assert_eq!(scan(&first).digest, scan(&second).digest);

        let changes = scan(&first).manifest().diff(&scan(&third).manifest());
        prop_assert_eq!(scan(&first).digest == scan(&third).digest, changes.is_empty());
        prop_assert!(one == other || changes.iter().any(|change| change.what >= ChangeKind::Added));
        if one != other {
            prop_assert_ne!(scan(&first).digest, scan(&third).digest);
        }
    }
}
