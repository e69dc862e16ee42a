//! Snapshots: what they save, and that they never save too much.

use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use kiln_cache::{ScanOptions, TreeScan, TreeSnapshot, scan_file, scan_tree, unchanged};
use proptest::prelude::*;

use crate::fixture::{settle, write};
use crate::scanning::scan;

/// A tree that has settled, and its scan.
fn settled() -> (tempfile::TempDir, TreeScan) {
    let dir = tempfile::tempdir().unwrap();
    for path in ["a", "b", "sub/c", "sub/deep/d", "other/e"] {
        write(dir.path(), path, path);
    }
    symlink("a", dir.path().join("link")).unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    settle();
    let scan = scan(dir.path());
    (dir, scan)
}

fn rescan(root: &Path, previous: &TreeSnapshot) -> TreeScan {
    scan_tree(root, Some(previous), &ScanOptions::default()).unwrap()
}

#[test]
fn an_unchanged_tree_is_not_read() {
    let (dir, first) = settled();
    assert_eq!(first.files_read, 5);
    assert_eq!(unchanged(dir.path(), &first.snapshot).unwrap(), None);
    let again = rescan(dir.path(), &first.snapshot);
    assert!(again.unchanged);
    assert_eq!((again.files_read, again.bytes_read), (0, 0));
    assert_eq!(
        (again.digest, &again.snapshot),
        (first.digest, &first.snapshot)
    );
}

#[test]
fn only_what_changed_is_read() {
    let (dir, first) = settled();
    fs::write(dir.path().join("sub/c"), "new").unwrap();
    let changed = unchanged(dir.path(), &first.snapshot).unwrap();
    assert_eq!(changed.unwrap(), Path::new("sub/c"));
    let again = rescan(dir.path(), &first.snapshot);
    assert_eq!(
        (again.files_read, again.bytes_read, again.unchanged),
        (1, 3, false)
    );
    assert_eq!(again.digest, scan(dir.path()).digest);
    assert_ne!(again.digest, first.digest);
}

#[test]
fn every_kind_of_change_is_noticed() {
    type Edit = (&'static str, fn(&Path));
    let edits: [Edit; 10] = [
        ("same size and time", |root| {
            let path = root.join("a");
            let modified = path.metadata().unwrap().modified().unwrap();
            fs::write(&path, "z").unwrap();
            let times = FileTimes::new().set_modified(modified);
            File::open(&path).unwrap().set_times(times).unwrap();
        }),
        ("replaced by rename", |root| {
            fs::write(root.join("sub/new"), "x").unwrap();
            fs::rename(root.join("sub/new"), root.join("a")).unwrap();
        }),
        ("mode", |root| {
            fs::set_permissions(root.join("a"), PermissionsExt::from_mode(0o755)).unwrap();
        }),
        ("added", |root| {
            fs::write(root.join("sub/deep/new"), "").unwrap()
        }),
        ("added to an empty directory", |root| {
            fs::write(root.join("empty/new"), "").unwrap()
        }),
        ("removed", |root| {
            fs::remove_file(root.join("other/e")).unwrap()
        }),
        ("directory removed", |root| {
            fs::remove_dir(root.join("empty")).unwrap()
        }),
        ("renamed", |root| {
            fs::rename(root.join("a"), root.join("a2")).unwrap()
        }),
        ("link", |root| {
            fs::remove_file(root.join("link")).unwrap();
            symlink("b", root.join("link")).unwrap();
        }),
        ("directory replaced by a link", |root| {
            fs::rename(root.join("other"), root.join("sub/other")).unwrap();
            symlink("sub/other", root.join("other")).unwrap();
        }),
    ];
    for (name, edit) in edits {
        let (dir, first) = settled();
        edit(dir.path());
        assert!(
            unchanged(dir.path(), &first.snapshot).unwrap().is_some(),
            "{name}"
        );
        let again = rescan(dir.path(), &first.snapshot);
        let fresh = scan(dir.path());
        assert_eq!(again.digest, fresh.digest, "{name}");
        assert_ne!(again.digest, first.digest, "{name}");
        assert!(!again.unchanged, "{name}");
        assert_eq!(again.manifest(), fresh.manifest(), "{name}");
    }
}

#[test]
fn a_touch_costs_a_read_and_changes_nothing() {
    let (dir, first) = settled();
    let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    File::open(dir.path().join("a"))
        .unwrap()
        .set_times(times)
        .unwrap();
    let again = rescan(dir.path(), &first.snapshot);
    assert_eq!((again.files_read, again.unchanged), (1, true));
    assert_eq!(again.digest, first.digest);
}

#[test]
fn what_was_written_just_before_the_scan_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "old", "1");
    settle();
    write(dir.path(), "fresh", "1");
    let first = scan(dir.path());
    assert!(unchanged(dir.path(), &first.snapshot).unwrap().is_some());
    let again = rescan(dir.path(), &first.snapshot);
    assert_eq!(
        (again.files_read, again.unchanged),
        (1, true),
        "only the fresh one"
    );
    settle();
    let settled = rescan(dir.path(), &again.snapshot);
    let last = rescan(dir.path(), &settled.snapshot);
    assert_eq!((last.files_read, last.unchanged), (0, true));
    assert_eq!(unchanged(dir.path(), &settled.snapshot).unwrap(), None);
}

#[test]
fn a_write_in_the_same_tick_as_the_scan_is_never_missed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    for round in 0..200 {
        fs::write(&path, format!("{round:04} one")).unwrap();
        let tree = scan(dir.path());
        let file = scan_file(&path, None).unwrap();
        fs::write(&path, format!("{round:04} two")).unwrap();
        assert_ne!(
            rescan(dir.path(), &tree.snapshot).digest,
            tree.digest,
            "round {round}"
        );
        let again = scan_file(&path, Some(&file.snapshot)).unwrap();
        assert_ne!(
            again.snapshot.digest(),
            file.snapshot.digest(),
            "round {round}"
        );
    }
}

#[test]
fn a_snapshot_made_with_other_options_saves_reading_and_nothing_else() {
    let (dir, first) = settled();
    let options = ScanOptions {
        exclude: vec![b"sub".into()],
        ..ScanOptions::default()
    };
    let part = scan_tree(dir.path(), Some(&first.snapshot), &options).unwrap();
    assert_eq!((part.files_read, part.unchanged), (0, false));
    assert_eq!(
        part.digest,
        scan_tree(dir.path(), None, &options).unwrap().digest
    );
    let whole = rescan(dir.path(), &part.snapshot);
    assert_eq!((whole.digest, whole.files_read), (first.digest, 2));
}

#[test]
fn a_missing_tree_is_an_error_but_a_missing_entry_a_change() {
    let (dir, first) = settled();
    fs::remove_dir_all(dir.path().join("sub")).unwrap();
    assert!(unchanged(dir.path(), &first.snapshot).unwrap().is_some());
    assert!(unchanged(&dir.path().join("sub"), &first.snapshot).is_err());
}

#[test]
fn a_file_is_read_once_and_links_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "cc1", "compiler");
    symlink("cc1", dir.path().join("cc")).unwrap();
    settle();
    let path = dir.path().join("cc");
    let first = scan_file(&path, None).unwrap();
    assert!(first.read && first.snapshot.is_current());
    assert_eq!(first.snapshot.path(), path);
    assert_eq!(first.snapshot.identity().size, 8);
    assert!(!scan_file(&path, Some(&first.snapshot)).unwrap().read);

    write(dir.path(), "cc2", "other");
    fs::remove_file(&path).unwrap();
    symlink("cc2", &path).unwrap();
    assert!(!first.snapshot.is_current());
    let again = scan_file(&path, Some(&first.snapshot)).unwrap();
    assert!(again.read);
    assert_ne!(again.snapshot.digest(), first.snapshot.digest());
}

#[test]
fn a_snapshot_is_read_back_as_it_was() {
    let (dir, first) = settled();
    let decoded = TreeSnapshot::decode(&first.snapshot.encode()).unwrap();
    assert_eq!(decoded, first.snapshot);
    assert_eq!(decoded.manifest(), first.manifest());
    assert_eq!(unchanged(dir.path(), &decoded).unwrap(), None);
    assert_eq!(decoded.encode(), first.snapshot.encode());
    assert_eq!(
        dir.path().as_os_str().as_bytes().is_empty(),
        decoded.is_empty()
    );
}

proptest! {
    #[test]
    fn a_damaged_snapshot_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "d/a", "1");
        let mut bytes = scan(dir.path()).snapshot.encode();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        prop_assert!(TreeSnapshot::decode(&bytes).is_err());
    }
}
