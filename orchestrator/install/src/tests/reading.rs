//! What the overlay does not share with plain file operations: order, identity, footprint.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use super::{
    super::TransactionError,
    begin, content,
    ground::{self, Ground},
};

#[test]
fn nothing_is_on_disk_before_a_commit_or_after_a_drop() {
    let ground = Ground::new();
    let before = ground.tree();
    let mut transaction = begin(&ground.kernel());
    assert!(transaction.is_empty());
    ground::record(&mut transaction, ground.root());
    assert!(!transaction.is_empty());
    assert_eq!(ground.tree(), before);
    drop(transaction);
    assert_eq!(ground.tree(), before);
}

#[test]
fn files_are_found_in_the_order_of_find() {
    let ground = Ground::bare();
    for number in 0..200 {
        let name = ["x.ko", "x.ko.xz", "y.ko"][number % 3];
        ground.write(&format!("K/{}/{number}/{name}", number % 7), "");
    }
    symlink("0", ground.path("K/link")).unwrap();
    symlink("0/0/x.ko", ground.path("K/x.ko")).unwrap();
    let find = Command::new("find")
        .arg(ground.kernel())
        .args([
            "-type", "f", "(", "-name", "x.ko", "-o", "-name", "x.ko.xz", ")",
        ])
        .output()
        .unwrap();
    let expected = String::from_utf8(find.stdout).unwrap();
    let transaction = begin(&ground.kernel());
    let found = transaction.find(&["x.ko", "x.ko.xz"]).unwrap();
    assert!(found.len() > 100);
    assert!(
        found
            .iter()
            .map(|path| path.to_str().unwrap())
            .eq(expected.lines())
    );
}

#[test]
fn what_was_moved_and_moved_back_is_no_change() {
    let ground = Ground::new();
    let (module, archive) = (ground.path("K/kernel/b.ko"), ground.path("dkms/b/b.ko"));
    let mut transaction = begin(&ground.kernel());
    transaction.rename(&module, &archive).unwrap();
    assert_eq!(
        content(&transaction, &archive).unwrap(),
        fs::read(&module).unwrap()
    );
    transaction.rename(&archive, &module).unwrap();
    assert!(transaction.is_empty());
}

#[test]
fn moving_keeps_the_file_and_copying_makes_one_with_mode_644() {
    let ground = Ground::new();
    let original = ground.path("K/kernel/b.ko");
    fs::set_permissions(&original, fs::Permissions::from_mode(0o640)).unwrap();
    let inode = original.metadata().unwrap().ino();
    let (moved, copied) = (ground.path("dkms/moved"), ground.path("dkms/copied"));
    let mut transaction = begin(&ground.kernel());
    transaction.put(&original, &copied).unwrap();
    transaction.rename(&original, &moved).unwrap();
    transaction.commit().unwrap();
    let moved = moved.metadata().unwrap();
    assert_eq!((moved.ino(), moved.mode() & 0o777), (inode, 0o640));
    let copied = copied.metadata().unwrap();
    assert_ne!(copied.ino(), inode);
    assert_eq!(copied.mode() & 0o777, 0o644);
}

#[test]
fn a_file_can_be_moved_to_another_name_that_it_has() {
    let ground = Ground::new();
    let (module, archive) = (ground.path("K/kernel/b.ko"), ground.path("dkms/b/b.ko"));
    fs::hard_link(&module, &archive).unwrap();
    let mut transaction = begin(&ground.kernel());
    transaction.rename(&module, &archive).unwrap();
    transaction.commit().unwrap();
    transaction.finish().unwrap();
    assert!(archive.exists() && !module.exists());
    let left = ground.tree().into_keys();
    let left: Vec<_> = left
        .filter(|path| path.to_str().unwrap().contains(".kiln"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_kernel_may_be_called_by_another_name() {
    let ground = Ground::new();
    symlink(".", ground.path("alias")).unwrap();
    let kernel = ground.path("alias/K");
    let mut transaction = begin(&kernel);
    let found = transaction.find(&["a.ko"]).unwrap();
    assert_eq!(found, [kernel.join("updates/dkms/a.ko")]);
    transaction.remove(&found[0]).unwrap();
    transaction
        .put_bytes("new", &ground.path("K//updates/./dkms/a.ko"))
        .unwrap();
    transaction.commit().unwrap();
    assert_eq!(fs::read(&found[0]).unwrap(), b"new");
}

#[test]
fn what_cannot_be_done_is_said_at_once() {
    let ground = Ground::new();
    let mut transaction = begin(&ground.kernel());
    let (missing, directory) = (ground.path("missing"), ground.path("K/updates"));
    let to = ground.path("K/x.ko");
    let is_missing = |e| matches!(e, Err(TransactionError::Missing { path }) if path == missing);
    assert!(is_missing(transaction.put(&missing, &to)));
    assert!(is_missing(transaction.rename(&missing, &to)));
    let is_directory =
        |e| matches!(e, Err(TransactionError::IsDirectory { path }) if path == directory);
    assert!(is_directory(transaction.put_bytes("", &directory)));
    assert!(is_directory(
        transaction.put_link(Path::new("x"), &directory)
    ));
    assert!(is_directory(transaction.rename(&directory, &to)));
    assert!(is_directory(transaction.remove(&directory)));
    assert!(transaction.is_empty());
}

#[test]
fn nothing_is_put_behind_a_link_that_goes() {
    let ground = Ground::new();
    let link = ground.path("dkms/a/kernel-K-x");
    fs::create_dir_all(ground.path("dkms/a/1/K/x")).unwrap();
    let mut transaction = begin(&ground.kernel());
    transaction.put_bytes("", &link.join("1")).unwrap();
    transaction.remove(&link).unwrap();
    let refused = transaction.put_bytes("", &link.join("2"));
    assert!(matches!(refused, Err(TransactionError::Write { .. })));
}

#[test]
fn a_file_where_a_directory_should_be_fails_the_commit_and_nothing_else() {
    let ground = Ground::new();
    let before = ground.tree();
    let mut transaction = begin(&ground.kernel());
    ground::record(&mut transaction, ground.root());
    let below_file = ground.path("K/modules.dep/x.ko");
    transaction.put_bytes("", &below_file).unwrap();
    let error = transaction.commit().unwrap_err();
    assert!(matches!(error, TransactionError::Write { .. }), "{error:?}");
    assert_eq!(ground.tree(), before);
}

/// A file that somebody put where one was to be removed is not ours to remove.
#[test]
fn what_has_been_replaced_since_is_not_removed() {
    let ground = Ground::new();
    let path = ground.path("K/extra/c.ko");
    let mut transaction = begin(&ground.kernel());
    transaction.remove(&path).unwrap();
    let (plan, _) = crate::Plan::of(&transaction.overlay, &transaction.kernel);
    fs::write(&path, "put there since").unwrap();
    plan.apply(&transaction.disk).unwrap();
    assert!(path.exists());
}

#[test]
fn packages_can_be_removed_from_a_kernel_that_is_gone() {
    let ground = Ground::new();
    fs::remove_dir_all(ground.kernel()).unwrap();
    let mut transaction = begin(&ground.kernel());
    assert!(transaction.find(&["a.ko"]).unwrap().is_empty());
    transaction
        .remove(&ground.path("dkms/a/kernel-K-x"))
        .unwrap();
    transaction.commit().unwrap();
    transaction.finish().unwrap();
    assert!(ground.path("dkms/a/kernel-K-x").symlink_metadata().is_err());
    assert!(!ground.kernel().exists());
}
